# SPDX-License-Identifier: Apache-2.0
"""Messages as the reader of recordings gives them, for the tests of the live view, and a small recording of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.experience.bag_writer import BagWriter, serialize, typestore
from l2a_ros.robot.layout import ACTION, STATE

SECOND = 1_000_000_000
TICK = SECOND // 10
START = 100 * SECOND
LINE = ((0.0, 0.0), (2.0, 0.0))
JOINT_STATE, PATH, ODOMETRY = "sensor_msgs/msg/JointState", "nav_msgs/msg/Path", "nav_msgs/msg/Odometry"
MARKERS, DIAGNOSTICS = "visualization_msgs/msg/MarkerArray", "diagnostic_msgs/msg/DiagnosticArray"


def make(kind: str, **values: Any) -> Any:
    """Make a message."""
    return typestore().types[kind](**values)


def header(stamp: int, frame: str = "map") -> Any:
    """Make a header."""
    return make("std_msgs/msg/Header", frame_id=frame,
                stamp=make("builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND))


def vector(names: Any, position: Any = (), stamp: int = START, velocity: Any = ()) -> Any:
    """Make a named vector, or joints."""
    return make(JOINT_STATE, header=header(stamp), name=list(names), position=np.array(position, np.float64),
                velocity=np.array(velocity, np.float64), effort=np.zeros(0))


def state(x: float = 0.0, y: float = 0.0, stamp: int = START, **values: float) -> Any:
    """Make a ``robot_state``: the robot at a place, along x."""
    numbers = dict.fromkeys(STATE.names, 0.0) | {name: 1.0 for name in STATE.names if name.endswith("_cos")}
    numbers |= {"position_x": x, "position_y": y, "position_z": 0.0245, **values}
    return vector(STATE.names, [numbers[name] for name in STATE.names], stamp)


def command(left: float, right: float, stamp: int = START) -> Any:
    """Make a motor command, rad/s."""
    return vector(ACTION.names, (), stamp, (left, right))


def metrics(stamp: int = START, **values: float) -> Any:
    """Make a named vector of figures."""
    return vector(values, list(values.values()), stamp)


def _point(x: float, y: float, z: float = 0.0) -> Any:
    return make("geometry_msgs/msg/Point", x=x, y=y, z=z)


def _pose(x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Any:
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    return make("geometry_msgs/msg/Pose", position=_point(x, y, z), orientation=turn)


def path(points: Any = LINE, stamp: int = START) -> Any:
    """Make a path."""
    return make(PATH, header=header(stamp), poses=[
        make("geometry_msgs/msg/PoseStamped", header=header(stamp), pose=_pose(x, y)) for x, y in points])


def odometry(x: float, y: float, z: float = 0.0245, yaw: float = 0.0, stamp: int = START) -> Any:
    """Make an odometry."""
    nothing = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    covariance = np.zeros(36)
    return make(ODOMETRY, header=header(stamp), child_frame_id="base_link",
                pose=make("geometry_msgs/msg/PoseWithCovariance", pose=_pose(x, y, z, yaw), covariance=covariance),
                twist=make("geometry_msgs/msg/TwistWithCovariance", covariance=covariance,
                           twist=make("geometry_msgs/msg/Twist", linear=nothing, angular=nothing)))


def marker(name: str, points: Any, colour: Any = (0.1, 0.4, 1.0, 1.0), colours: Any = ()) -> Any:
    """Make a marker of lines, with a colour or one for each point."""
    def rgba(values: Any) -> Any:
        return make("std_msgs/msg/ColorRGBA", **dict(zip("rgba", map(float, values), strict=True)))

    kind = typestore().types["visualization_msgs/msg/Marker"]
    empty = np.zeros(0, np.uint8)
    texture = make("sensor_msgs/msg/CompressedImage", header=header(START), format="", data=empty)
    return kind(header=header(START), ns=name, id=0, type=5 if colours else 4, action=0, pose=_pose(0.0, 0.0),
                scale=make("geometry_msgs/msg/Vector3", x=0.01, y=0.0, z=0.0), color=rgba(colour),
                lifetime=make("builtin_interfaces/msg/Duration", sec=2, nanosec=0), frame_locked=False,
                points=[_point(*each) for each in points], colors=[rgba(each) for each in colours], texture_resource="",
                texture=texture, uv_coordinates=[], text="", mesh_resource="", mesh_use_embedded_materials=False,
                mesh_file=make("visualization_msgs/msg/MeshFile", filename="", data=empty))


def plan_markers() -> Any:
    """Make the markers of a plan: two candidates of two pieces each, the plan, what the trained model says of it."""
    green, red = (0.0, 1.0, 0.0, 0.6), (1.0, 0.0, 0.0, 0.6)
    candidates = marker("candidates", [(0.0, 0.0), (0.1, 0.1), (0.1, 0.1), (0.2, 0.2),
                                       (0.0, 0.0), (0.1, -0.1), (0.1, -0.1), (0.2, -0.2)],
                        colours=[red] * 4 + [green] * 4)
    return make(MARKERS, markers=[candidates, marker("plan", [(0.0, 0.0), (0.2, 0.0)]),
                                  marker("plan of the trained model", [(0.0, 0.0), (0.2, 0.1)], (1.0, 1.0, 1.0, 0.9))])


def diagnostics(name: str, level: int, message: str, **values: str) -> Any:
    """Make a diagnostic message of one status."""
    pairs = [make("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in values.items()]
    return make(DIAGNOSTICS, header=header(START), status=[make(
        "diagnostic_msgs/msg/DiagnosticStatus", level=level, name=name, message=message, hardware_id="", values=pairs)])


def write_walk(bag: Path, ticks: int = 40, robots: tuple[str, ...] = ("/",)) -> Path:
    """Write a recording of a walk along the line, more and more beside it."""
    writer = BagWriter(bag)
    for robot in robots:
        kinds = {"robot_state": JOINT_STATE, "reference_path": PATH, "odometry": ODOMETRY, "trial/metrics": JOINT_STATE,
                 "adaptation/metrics": JOINT_STATE, "motor_commands": JOINT_STATE, "plan_markers": MARKERS}
        for topic, kind in kinds.items():
            writer.add_topic(f"{robot}{topic}", kind)
        for i in range(ticks):
            stamp, x, y = START + i * TICK, 0.04 * i, 0.0015 * i
            messages = {"odometry": odometry(x, y, stamp=stamp), "robot_state": state(x, y, stamp),
                        "motor_commands": command(20.0, 30.0, stamp), "adaptation/metrics": metrics(
                            stamp, loss_before=0.2, loss_after=0.1, adapted=1.0),
                        "trial/metrics": metrics(stamp, lateral_error_m=y, cost=0.5, progress_m=x, elapsed_s=0.1 * i)}
            if i == 1:
                messages["reference_path"] = path(stamp=stamp)
            if i == ticks - 1:
                messages["plan_markers"] = plan_markers()
            for topic, message in messages.items():
                writer.write(f"{robot}{topic}", stamp, serialize(kinds[topic], message))
    writer.close()
    return bag
