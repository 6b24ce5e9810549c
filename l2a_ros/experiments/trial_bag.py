# SPDX-License-Identifier: Apache-2.0
"""The recording of a trial that was run in this process: what it heard and commanded, with the topics of the nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.training.collect import MOTOR_COMMANDS, ROBOT_STATE, joint_state
from l2a_ros.trials.log import TrialLog

REFERENCE_PATH = "/reference_path"
_SECOND = 1_000_000_000
_JOINT_STATE, _PATH = "sensor_msgs/msg/JointState", "nav_msgs/msg/Path"


def write_bag(folder: Path, log: TrialLog) -> None:
    """Write states, commands and path of a trial as a bag (MCAP): to replay, to look at, to train on."""
    with BagWriter(folder) as bag:
        bag.add_topic(ROBOT_STATE, _JOINT_STATE)
        bag.add_topic(MOTOR_COMMANDS, _JOINT_STATE)
        bag.add_topic(REFERENCE_PATH, _PATH)
        rows = log.rows()
        if rows:
            bag.write_message(REFERENCE_PATH, rows[0].stamp, _path(log.path.points, rows[0].stamp))
        for row in rows:
            bag.write_message(ROBOT_STATE, row.stamp, joint_state(STATE.names, row.stamp, row.state))
            if np.all(np.isfinite(row.command)):
                bag.write_message(MOTOR_COMMANDS, row.stamp,
                                  joint_state(ACTION.names, row.stamp, velocity=row.command))


def _path(points: np.ndarray, stamp: int) -> Any:
    header = message_type("std_msgs/msg/Header")(
        stamp=message_type("builtin_interfaces/msg/Time")(sec=stamp // _SECOND, nanosec=stamp % _SECOND),
        frame_id="map")
    point, turn = message_type("geometry_msgs/msg/Point"), message_type("geometry_msgs/msg/Quaternion")
    pose, stamped = message_type("geometry_msgs/msg/Pose"), message_type("geometry_msgs/msg/PoseStamped")
    return message_type(_PATH)(header=header, poses=[
        stamped(header=header, pose=pose(position=point(x=float(x), y=float(y), z=0.0),
                                         orientation=turn(x=0.0, y=0.0, z=0.0, w=1.0))) for x, y in points])
