# SPDX-License-Identifier: Apache-2.0
"""Experience: recordings written and read back."""
