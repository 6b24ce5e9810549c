# SPDX-License-Identifier: Apache-2.0
"""The state vector at one moment, from the newest sample of every sensor.

Position and attitude come from motion capture, the velocity is its difference over one control period by stamps (the
published robot's choice), everything else is passed through.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.continuity import is_pose_jump
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample

_SECOND = 1_000_000_000
_SOURCES: dict[type, str] = {PoseSample: "mocap/pose", ImuSample: "imu/data_raw", CrankSample: "joint_states",
                             TelemetrySample: "motor_telemetry", BatterySample: "battery_state"}


def _jumps(first: PoseSample, second: PoseSample) -> bool:
    return is_pose_jump(first.position, second.position, second.stamp - first.stamp)


@dataclass(frozen=True)
class MaximumAges:
    """How old the newest sample of each source may be, s."""

    pose: float = 0.1
    imu: float = 0.15
    cranks: float = 0.15
    telemetry: float = 0.3
    battery: float = 3.0

    def of(self, kind: type) -> int:
        """Return the limit for a sample type in nanoseconds."""
        seconds = {PoseSample: self.pose, ImuSample: self.imu, CrankSample: self.cranks,
                   TelemetrySample: self.telemetry, BatterySample: self.battery}[kind]
        return round(seconds * _SECOND)


@dataclass(frozen=True)
class Estimate:
    """A state vector, or the reason why there is none.

    Args:
        stamp: moment of the estimate, ns.
        state: shape ``(24,)`` in the order of the state layout, or None.
        status: ``"ok"``, or what is missing, one line.
    """

    stamp: int
    state: np.ndarray | None
    status: str


def _is_finite(sample: Sample) -> bool:
    # Plain numbers: for a few of them NumPy takes ten times as long.
    for value in vars(sample).values():
        if isinstance(value, np.ndarray):
            if not all(map(math.isfinite, value.ravel().tolist())):
                return False
        elif not math.isfinite(value):
            return False
    return True


class StateAssembler:
    """Collects samples in any order and assembles the state on request.

    A pose that the robot cannot have reached waits for the next one: if that agrees with it, the robot was moved (a
    reset of the world, a hand) and no velocity is taken across; if not, it was an outlier and is dropped.

    Args:
        control_period: time over which the velocity is differenced, s.
        maximum_ages: beyond them a source counts as lost and there is no state.
    """

    def __init__(self, control_period: float, maximum_ages: MaximumAges | None = None) -> None:
        self._period = round(control_period * _SECOND)
        self._ages = maximum_ages or MaximumAges()
        self.rejected = dict.fromkeys(_SOURCES.values(), 0)
        self.pose_jumps = 0
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._newest: dict[type, Sample] = {}
        self._poses: deque[PoseSample] = deque()
        self._far_pose: PoseSample | None = None

    def add(self, sample: Sample) -> bool:
        """Take one sample; return False if it was rejected: not finite, or not newer than the last of its source."""
        kind = type(sample)
        last = self._newest.get(kind)
        is_bad = not _is_finite(sample)
        if isinstance(sample, PoseSample) and not is_bad:
            is_bad = abs(float(np.linalg.norm(sample.quaternion)) - 1.0) > 0.01
        if is_bad or (last is not None and sample.stamp <= last.stamp) or (
                isinstance(sample, PoseSample) and not self._is_continuous(sample)):
            self.rejected[_SOURCES[kind]] += 1
            return False
        self._newest[kind] = sample
        if isinstance(sample, PoseSample):
            self._poses.append(sample)
            while len(self._poses) > 2 and self._poses[1].stamp <= sample.stamp - self._period:
                self._poses.popleft()
        return True

    def _is_continuous(self, pose: PoseSample) -> bool:
        """Tell whether a pose may follow; the second one at another place makes that the place."""
        last, far = self.newest_pose(), self._far_pose
        self._far_pose = None
        if last is None or not _jumps(last, pose):
            return True
        if far is None or pose.stamp <= far.stamp or _jumps(far, pose):
            self._far_pose = pose
            return False
        self._poses.clear()
        self._poses.append(far)
        self.pose_jumps += 1
        return True

    def _forget(self, kind: type) -> None:
        self.rejected[_SOURCES[kind]] += 1
        del self._newest[kind]
        if kind is PoseSample:
            self._poses.clear()
            self._far_pose = None

    def ages(self, stamp: int) -> dict[str, float]:
        """Return the age of every source at a moment, s; infinite where nothing came yet."""
        return {name: (stamp - self._newest[kind].stamp) / _SECOND if kind in self._newest else float("inf")
                for kind, name in _SOURCES.items()}

    def velocity(self) -> np.ndarray | None:
        """Return the velocity in ``map`` over the last control period, shape ``(3,)`` m/s, or None."""
        if len(self._poses) < 2:
            return None
        first, last = self._poses[0], self._poses[-1]
        if last.stamp - first.stamp > 2 * self._period:
            return None
        velocity: np.ndarray = (last.position - first.position) / ((last.stamp - first.stamp) / _SECOND)
        return velocity

    def newest_pose(self) -> PoseSample | None:
        """Return the newest pose."""
        return self._poses[-1] if self._poses else None

    def estimate(self, stamp: int) -> Estimate:
        """Assemble the state for a moment (ns)."""
        for kind, name in _SOURCES.items():
            if kind not in self._newest:
                return Estimate(stamp, None, f"no {name} yet")
            age = stamp - self._newest[kind].stamp
            if age > self._ages.of(kind):
                return Estimate(stamp, None, f"{name} is {age / _SECOND:.2f} s old")
            if age < -self._ages.of(kind):
                # Of another clock: kept, it would never grow old, and every honest sample after it would look late.
                self._forget(kind)
                return Estimate(stamp, None, f"{name} was stamped {-age / _SECOND:.2f} s ahead of the clock")
        velocity = self.velocity()
        if velocity is None:
            return Estimate(stamp, None, "too few mocap/pose samples for a velocity")
        pose, imu, cranks, telemetry, battery = (self._newest[kind] for kind in _SOURCES)
        assert isinstance(pose, PoseSample) and isinstance(imu, ImuSample) and isinstance(cranks, CrankSample)
        assert isinstance(telemetry, TelemetrySample) and isinstance(battery, BatterySample)
        yaw, pitch, roll = Rotation.from_quat(pose.quaternion).as_euler("ZYX")
        values: dict[str, float] = {}
        for i, axis in enumerate("xyz"):
            values[f"position_{axis}"] = pose.position[i]
            values[f"velocity_{axis}"] = velocity[i]
            values[f"angular_velocity_{axis}"] = imu.angular_velocity[i]
        for name, angle in (("roll", roll), ("pitch", pitch), ("yaw", yaw),
                            ("left_leg", cranks.angles[0]), ("right_leg", cranks.angles[1])):
            values[f"{name}_cos"], values[f"{name}_sin"] = np.cos(angle), np.sin(angle)
        for i, side in enumerate(("left", "right")):
            values[f"{side}_leg_velocity"] = cranks.rates[i]
            values[f"{side}_back_emf"] = telemetry.back_emf[i]
        values["battery_voltage"] = battery.voltage
        return Estimate(stamp, STATE.vector(values), "ok")
