# SPDX-License-Identifier: Apache-2.0
"""A Python interpreter that runs without real-time rights, also when root starts it."""

from __future__ import annotations

import sys
from pathlib import Path

#: Rights are given up where a new program begins, so it gives them up and becomes the interpreter. Constants of
#: <linux/prctl.h> and <linux/capability.h>.
_SCRIPT = """#!{python}
import ctypes, os, resource, sys
PR_CAPBSET_DROP, CAP_IPC_LOCK, CAP_SYS_NICE = 24, 14, 23
for capability in (CAP_IPC_LOCK, CAP_SYS_NICE):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


def unprivileged_python(folder: Path) -> Path:
    """Write the interpreter into a folder and return its path."""
    file = folder / "python"
    file.write_text(_SCRIPT.format(python=sys.executable))
    file.chmod(0o755)
    return file
