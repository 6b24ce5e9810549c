# SPDX-License-Identifier: Apache-2.0
"""The robot's description: URDF text made from the one xacro file."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree

import xacro

from l2a_ros.robot.share import share_file


@cache
def robot_urdf() -> str:
    """Return the URDF of the millirobot as text."""
    document = xacro.process_file(str(share_file("urdf", "millirobot.urdf.xacro")))
    return str(document.toxml())


@cache
def coupled_joints() -> dict[str, str]:
    """Return which joint follows which: ``{follower: leader}``, one to one, as the ``mimic`` tags say."""
    couplings = {}
    for joint in ElementTree.fromstring(robot_urdf()).iter("joint"):
        mimic = joint.find("mimic")
        if mimic is not None:
            couplings[joint.attrib["name"]] = mimic.attrib["joint"]
    return couplings
