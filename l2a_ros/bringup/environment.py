# SPDX-License-Identifier: Apache-2.0
"""What the environment of every node process must hold."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from l2a_ros.robot.share import share_file

#: Names the profile for Fast DDS 3 (Kilted and newer), which warns of the older name, and for Fast DDS 2 (Jazzy).
_DDS_PROFILE, _OLD_DDS_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


def node_environment(inherited: Mapping[str, str], threads: int = 1, large_messages: bool = False) -> dict[str, str]:
    """Return what to add to the inherited environment of a node process.

    The user's own settings of the middleware win. One thread of linear algebra per node unless the graph says
    otherwise, and no busy waiting: the nodes of a loop share few cores. A node that sends ``large_messages`` gets
    shared memory for them.
    """
    added = {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        # Last words of a node that is killed must not be left in a buffer.
        "PYTHONUNBUFFERED": "1",
    }
    defaults = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "AMENT_PREFIX_PATH": sys.prefix}
    if not (inherited.get(_DDS_PROFILE) or inherited.get(_OLD_DDS_PROFILE)):
        name = _OLD_DDS_PROFILE if inherited.get("ROS_DISTRO") == "jazzy" else _DDS_PROFILE
        defaults[name] = str(share_file("config", "fastdds_large.xml" if large_messages else "fastdds.xml"))
    return added | {name: value for name, value in defaults.items() if not inherited.get(name)}
