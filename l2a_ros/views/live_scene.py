# SPDX-License-Identifier: Apache-2.0
"""From the stack's messages to pictures: the same for a run that goes on and for a recording of one.

Messages are those of ROS 2's Python or of the reader of recordings: their fields have the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.robot.layout import ACTION, MOTOR_JOINTS, SIDES, STATE
from l2a_ros.safety.times import SECOND
from l2a_ros.trials.room import Room
from l2a_ros.views import live_lines as lines
from l2a_ros.views.area import has_walls
from l2a_ros.views.live_drawings import Balls, Drawing, Figures, Lines, Picture, Plot, Pose, Words
from l2a_ros.views.live_robot import RobotShape
from l2a_ros.views.status import Diagnosis, StatusBoard, Whereabouts
from l2a_ros.views.track import ExecutedTrack

#: Where things are in the tree of drawings.
GROUND, ROBOT, STATUS = lines.GROUND, "world/robot", "status"
#: A dot over the robot, so that it is found from far away.
HERE, _ABOVE = f"{ROBOT}/here", 0.05
#: What the eye follows: a part of the robot that can be seen.
BODY = f"{ROBOT}/body/0"
ERROR, COST, LOSS = "plots/lateral_error", "plots/cost", "plots/loss"
LEGS = "plots/legs"
MEASURED, COMMANDED = f"{LEGS}/measured", f"{LEGS}/commanded"
#: Seconds between two texts.
STATUS_PERIOD = 0.5
#: A stamp further from the newest state than this is not believed, s.
_FAR = 5.0
#: What a jump back of time, a robot put back to its start, is drawn as, s.
_PAUSE = 0.1
#: The ground is drawn where the robot's feet are: a new height only when it differs by so much, m.
_STEP = 0.005
_PER_TURN, _CM_PER_M = 1.0 / (2.0 * math.pi), 100.0
_ERROR_LEVEL = 2
_RATES = [f"{side}_leg_velocity" for side in SIDES]
_LEG_ANGLES = [STATE.indices([f"{joint}_sin", f"{joint}_cos"]) for joint in MOTOR_JOINTS]
_POSITION = STATE.indices([f"position_{axis}" for axis in "xyz"])
_ANGLES = [STATE.indices([f"{name}_sin", f"{name}_cos"]) for name in ("yaw", "pitch", "roll")]
_LEFT, _RIGHT = (0.93, 0.53, 0.18, 1.0), (0.35, 0.60, 1.0, 1.0)
_PALE_LEFT, _PALE_RIGHT = (0.93, 0.53, 0.18, 0.45), (0.35, 0.60, 1.0, 0.45)
_GREY, _GREEN, _VIOLET, _RED = (0.6, 0.63, 0.67, 1.0), (0.1, 0.7, 0.5, 1.0), (0.6, 0.4, 0.95, 1.0), (0.9, 0.3, 0.3, 1.0)


class LiveScene:
    """Keeps what is needed to draw, and says what is new; a message that will not do draws nothing.

    Args:
        frame_rate: pictures of the moving robot per second of its time, at most.
        room: that the robot may be in, drawn if it has walls.
    """

    def __init__(self, frame_rate: float = 20.0, room: Room | None = None) -> None:
        self._room = room
        self._frame = SECOND / frame_rate
        self._shape = RobotShape(ROBOT)
        self._track, self._board = ExecutedTrack(), StatusBoard()
        self._lines = lines.TrackLines()
        self._origin: int | None = None
        self._newest = 0
        self._drawn_at: dict[str, int] = {}
        self._status_at = -math.inf
        self._ground: float | None = None
        self._has_odometry = self._has_markers = False
        self._whereabouts: Whereabouts | None = None
        self._plans: dict[str, int] = {}
        self._waiting: list[Drawing] = []
        self._bounds: np.ndarray | None = None
        self._handlers: dict[str, Callable[[Any, float], list[Drawing]]] = {
            "robot_state": self._on_state, "odometry": self._on_odometry, "joint_states": self._on_legs,
            "reference_path": self._on_path, "trial/path_preview": self._on_preview, "plan": self._on_plan,
            "plan_markers": self._on_markers, "motor_commands": self._on_command, "trial/metrics": self._on_trial,
            "mpc/metrics": self._on_mpc, "adaptation/metrics": self._on_adaptation, "diagnostics": self._on_diagnostics,
            "estop": self._on_estop}
        self._is_stopped = False

    @property
    def topics(self) -> tuple[str, ...]:
        """What it listens to, relative names."""
        return tuple(self._handlers)

    @property
    def bounds(self) -> np.ndarray | None:
        """The least and the greatest x and y of the path, ``(2, 2)``, m; None before there is one."""
        return self._bounds

    def furniture(self) -> list[Drawing]:
        """Return what stays: the robot's body, and what plots show."""
        return [
            *([lines.room(self._room)] if self._room is not None and has_walls(self._room) else []),
            *self._shape.body(), Balls(HERE, np.array([[0.0, 0.0, _ABOVE]]), 5.0, _LEFT, on_screen=True),
            Plot(ERROR, ("lateral error (cm, left positive)",), (_VIOLET,)), Plot(COST, ("cost per step",), (_RED,)),
            Plot(LOSS, ("before", "after the step"), (_GREY, _GREEN)),
            Plot(MEASURED, ("left", "right"), (_LEFT, _RIGHT)),
            Plot(COMMANDED, ("left told", "right told"), (_PALE_LEFT, _PALE_RIGHT))]

    def hear(self, topic: str, message: Any, moment: float) -> Picture | None:
        """Take a message.

        Args:
            topic: relative name.
            message: with the fields of its type.
            moment: when it came, s on one monotonic clock.

        Returns:
            What is new, if anything is.
        """
        stamp = _stamp(message)
        if topic in ("robot_state", "odometry"):
            self._time_goes_on(stamp)
        elif topic == "joint_states" and not self._is_due(topic, stamp):
            return None
        try:
            drawings = self._handlers[topic](message, moment)
        except UserError:
            return None
        if self._origin is None:
            # A path is there before the first state; it is drawn with that.
            self._waiting += drawings
            return None
        drawings, self._waiting = [*self._waiting, *drawings], []
        return Picture(self._seconds(stamp), drawings) if drawings else None

    def look(self, moment: float) -> Picture | None:
        """Return what time alone changes: the status in words, plans that are too old."""
        if self._origin is None or moment < self._status_at + STATUS_PERIOD:
            return None
        self._status_at = moment
        return Picture(self._seconds(self._newest), [Words(STATUS, self._status(moment)), *self._stale_plans()])

    def _time_goes_on(self, stamp: int) -> None:
        if self._origin is None:
            self._origin = self._newest = stamp
        elif has_begun_again(stamp, self._newest):
            self._origin = round(stamp - (self._newest - self._origin) - _PAUSE * SECOND)
            self._newest = stamp
            self._drawn_at.clear()
        self._newest = max(self._newest, stamp)

    def _seconds(self, stamp: int) -> float:
        if abs(stamp - self._newest) > _FAR * SECOND:
            stamp = self._newest
        return max(0.0, (stamp - (self._origin or 0)) / SECOND)

    def _is_due(self, topic: str, stamp: int) -> bool:
        due = stamp >= self._drawn_at.get(topic, -SECOND) + self._frame
        if due:
            self._drawn_at[topic] = stamp
        return due

    def _on_state(self, message: Any, moment: float) -> list[Drawing]:
        STATE.check_names(message.name, "robot_state")
        state = np.array(message.position, dtype=np.float64)
        if state.shape != (STATE.size,) or not np.all(np.isfinite(state)):
            return []
        stamp = _stamp(message)
        self._board.state_heard(stamp, moment)
        self._track.add(stamp, state)
        drawings: list[Drawing] = []
        if not self._has_odometry:
            yaw, pitch, roll = (math.atan2(*state[pair]) for pair in _ANGLES)
            drawings += self._robot(state[_POSITION], Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_quat())
        if "joint_states" not in self._drawn_at:
            drawings += self._shape.legs({joint: math.atan2(*state[pair])
                                          for joint, pair in zip(MOTOR_JOINTS, _LEG_ANGLES, strict=True)})
        named = STATE.named(state)
        turns = tuple(_PER_TURN * named[rate] for rate in _RATES)
        return [*drawings, *self._lines.grown(self._track), Figures(MEASURED, turns)]

    def _on_odometry(self, message: Any, _: float) -> list[Drawing]:
        self._has_odometry = True
        if not self._is_due("odometry", _stamp(message)):
            return []
        pose = message.pose.pose
        return self._robot(np.array([pose.position.x, pose.position.y, pose.position.z]),
                           np.array([getattr(pose.orientation, axis) for axis in "xyzw"]))

    def _robot(self, position: np.ndarray, quaternion: np.ndarray) -> list[Drawing]:
        if not np.all(np.isfinite([*position, *quaternion])):
            return []
        drawings: list[Drawing] = [Pose(ROBOT, position, quaternion)]
        height = float(position[2]) - lines.STANDING_HEIGHT
        if self._ground is None or abs(height - self._ground) > _STEP:
            self._ground = height
            drawings.append(Pose(GROUND, np.array([0.0, 0.0, height]), np.array([0.0, 0.0, 0.0, 1.0])))
        return drawings

    def _on_legs(self, message: Any, _: float) -> list[Drawing]:
        angles = dict(zip(message.name, map(float, message.position), strict=False))
        return self._shape.legs(angles) if all(map(math.isfinite, angles.values())) else []

    def _on_path(self, message: Any, _: float) -> list[Drawing]:
        points = _path_points(message)
        self._track.begin(points, _stamp(message))
        # Without points the robot stands; where it should have gone is still worth a look.
        if not len(points) or not np.all(np.isfinite(points)):
            return []
        self._bounds = np.stack([points.min(axis=0), points.max(axis=0)])
        return lines.reference(points)

    def _on_preview(self, message: Any, _: float) -> list[Drawing]:
        return lines.preview(_path_points(message))

    def _on_plan(self, message: Any, _: float) -> list[Drawing]:
        # With markers comes the same plan beside what it is compared with.
        return [] if self._has_markers else self._planned([lines.plan(_path_points(message))])

    def _on_markers(self, message: Any, _: float) -> list[Drawing]:
        self._has_markers = True
        return self._planned([each for each in map(lines.from_marker, message.markers) if each is not None])

    def _planned(self, drawn: Sequence[Lines]) -> list[Drawing]:
        self._plans |= {each.place: self._newest for each in drawn}
        return list(drawn)

    def _stale_plans(self) -> list[Drawing]:
        stale = [place for place, stamp in self._plans.items() if self._newest - stamp > lines.LIFETIME * SECOND]
        for place in stale:
            del self._plans[place]
        return [lines.nothing(place) for place in stale]

    def _on_command(self, message: Any, _: float) -> list[Drawing]:
        ACTION.check_names(message.name, "the motor command")
        return [Figures(COMMANDED, tuple(_PER_TURN * float(rate) for rate in message.velocity))]

    def _on_trial(self, message: Any, moment: float) -> list[Drawing]:
        values = _named(message)
        self._board.figures_heard("trial", values, moment)
        error = values.get("lateral_error_m", math.nan)
        self._whereabouts = Whereabouts(error, values.get("progress_m", math.nan), self._track.length)
        return [Figures(ERROR, (_CM_PER_M * error,)), Figures(COST, (values.get("cost", math.nan),))]

    def _on_mpc(self, message: Any, moment: float) -> list[Drawing]:
        values = _named(message)
        self._board.figures_heard("mpc", values, moment)
        if self._whereabouts is not None:  # the trial's own is measured at every state
            return []
        return [Figures(ERROR, (_CM_PER_M * values.get("lateral_error_m", math.nan),))]

    def _on_adaptation(self, message: Any, moment: float) -> list[Drawing]:
        values = _named(message)
        self._board.figures_heard("adaptation", values, moment)
        return [Figures(LOSS, (values.get("loss_before", math.nan), values.get("loss_after", math.nan)))]

    def _on_diagnostics(self, message: Any, moment: float) -> list[Drawing]:
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            self._board.diagnosis_heard(status.name, Diagnosis(
                status.message, {pair.key: pair.value for pair in status.values}, level >= _ERROR_LEVEL), moment)
        return []

    def _on_estop(self, message: Any, _: float) -> list[Drawing]:
        self._is_stopped = bool(message.data)
        return []

    def _status(self, moment: float) -> str:
        where = self._whereabouts or Whereabouts()
        said = self._board.lines(where, moment)
        title = f"{self._seconds(self._newest):.1f} s"
        if self._is_stopped:
            title = f"EMERGENCY STOP, {title}"
        elif self._board.is_alarming(moment):
            title = f"ATTENTION, {title}"
        # Two spaces at its end break a line.
        return "  \n".join([f"### {title}", "", *said])


def _stamp(message: Any) -> int:
    """Return the stamp of a message, ns; 0 without one."""
    header = getattr(message, "header", None)
    return 0 if header is None else int(header.stamp.sec) * SECOND + int(header.stamp.nanosec)


def _named(message: Any) -> dict[str, float]:
    return dict(zip(message.name, map(float, message.position), strict=False))


def _path_points(message: Any) -> np.ndarray:
    return np.array([[each.pose.position.x, each.pose.position.y] for each in message.poses],
                    dtype=np.float64).reshape(-1, 2)
