# SPDX-License-Identifier: Apache-2.0
"""`python -m l2a_ros.cli` is `l2a`."""

import sys

from l2a_ros.cli.main import main

sys.exit(main())
