# SPDX-License-Identifier: Apache-2.0
"""The named state vector at one moment, from everything the sensors said.

Position, attitude and their rates come from the motion filter, predicted to the moment; legs, back-EMF and battery
from their own filters. The velocity in the state is, as on the published robot, the mean over one control period; that
of the filter is momentary, and with the body shaking at every step it swings as far as the robot walks fast
(``state_velocity``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.legs import LegFilter
from l2a_ros.estimation.low_pass import LowPass
from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.estimation.motion_filter import HISTORY, MotionFilter
from l2a_ros.estimation.settings import FilterSettings, SourceSettings
from l2a_ros.robot.calibration import Mounting
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample

_SECOND = 1_000_000_000
POSE, IMU = "mocap/pose", "imu/data_raw"
SOURCES: dict[type, str] = {PoseSample: POSE, ImuSample: IMU, CrankSample: "joint_states",
                            TelemetrySample: "motor_telemetry", BatterySample: "battery_state"}
#: What the state is ready to use with.
OK = "ok"


@dataclass(frozen=True)
class Estimate:
    """A state vector, or the reason why there is none.

    Args:
        stamp: moment of the estimate, ns.
        state: shape ``(24,)`` in the order of the state layout, or None.
        status: ``"ok"``, or what is wrong, one line; there may be a state all the same, as long as it is good enough.
        motion: what the filter says of the body, or None.
    """

    stamp: int
    state: np.ndarray | None
    status: str
    motion: MotionEstimate | None = None


class StateEstimator:
    """Takes samples in any order and gives the state of any moment near the newest.

    Args:
        control_period: time over which the velocity of the state is the mean, s.
        sources: how old samples may be, and how they are smoothed.
        settings: of the motion filter.
        mounting: how the sensors sit on the body.
    """

    def __init__(self, control_period: float, sources: SourceSettings | None = None,
                 settings: FilterSettings | None = None, mounting: Mounting | None = None) -> None:
        self._period = round(control_period * _SECOND)
        self._sources = sources or SourceSettings()
        self._settings = settings or FilterSettings()
        self._filter = MotionFilter(self._settings, mounting, HISTORY + control_period)
        self.rejected = dict.fromkeys(SOURCES.values(), 0)
        ages = self._sources
        self._ages = {CrankSample: ages.maximum_crank_age, TelemetrySample: ages.maximum_telemetry_age,
                      BatterySample: ages.maximum_battery_age, ImuSample: ages.maximum_imu_age}
        self._newest: dict[type, Sample] = {}
        self._legs = LegFilter()
        self._back_emf, self._battery = LowPass(ages.back_emf_time), LowPass(ages.battery_time)
        self._parts: dict[type, LegFilter | LowPass] = {
            CrankSample: self._legs, TelemetrySample: self._back_emf, BatterySample: self._battery}

    def reset(self) -> None:
        """Forget all samples."""
        self._newest = {}
        self._filter.reset()
        for part in self._parts.values():
            part.reset()

    def set_pose(self, stamp: int, position: np.ndarray, quaternion: np.ndarray) -> None:
        """See :meth:`MotionFilter.set_pose`."""
        self._filter.set_pose(stamp, position, quaternion)

    def add(self, sample: Sample) -> None:
        """Take one sample."""
        kind = type(sample)
        if isinstance(sample, PoseSample):
            self._filter.add_pose(sample)
            return
        if not self._is_new(sample) or not self._take(sample):
            self.rejected[SOURCES[kind]] += 1
        else:
            self._newest[kind] = sample
        if isinstance(sample, ImuSample):
            # Its order does not matter to the filter.
            self._filter.add_imu(sample)

    def _is_new(self, sample: Sample) -> bool:
        last = self._newest.get(type(sample))
        return _is_finite(sample) and (last is None or sample.stamp > last.stamp)

    def _take(self, sample: Sample) -> bool:
        if isinstance(sample, CrankSample):
            return self._legs.add(sample)
        if isinstance(sample, TelemetrySample):
            return self._back_emf.add(sample.stamp, sample.back_emf.tolist())
        if isinstance(sample, BatterySample):
            return self._battery.add(sample.stamp, [sample.voltage])
        return True

    def motion(self, stamp: int) -> MotionEstimate | None:
        """Return what the filter says of the body at a moment, ns."""
        return self._filter.estimate(stamp)

    def ages(self, stamp: int) -> dict[str, float]:
        """Return the age of every source at a moment, s; infinite where nothing came yet."""
        ages = {name: (stamp - self._newest[kind].stamp) / _SECOND if kind in self._newest else math.inf
                for kind, name in SOURCES.items()}
        return ages | {POSE: self._filter.age(stamp)}

    def report(self) -> dict[str, float]:
        """Return the figures of the motion filter, and how many readings of the encoders were glitches."""
        return self._filter.report() | {"glitches of encoders": self._legs.rejected["glitch"]}

    # The state -------------------------------------------------------------------------------------------------------

    def estimate(self, stamp: int) -> Estimate:
        """Return the state at a moment, ns."""
        motion = self._filter.estimate(stamp)
        if motion is None or not motion.health.is_live:
            return Estimate(stamp, None, self._filter.status(stamp), motion)
        missing = self._missing(stamp)
        if missing:
            return Estimate(stamp, None, missing, motion)
        status = OK if motion.health is Health.TRACKING else self._filter.status(stamp)
        if ImuSample not in self._newest:
            status = f"no {IMU}: the angular velocity is that of the poses" if status == OK else status
        return Estimate(stamp, self._vector(stamp, motion), status, motion)

    def _missing(self, stamp: int) -> str:
        """Say which of the other sources is not there, or too old; empty if all are."""
        for kind, limit in self._ages.items():
            name = SOURCES[kind]
            if kind is ImuSample and not self._sources.imu_required:
                if kind in self._newest and stamp - self._newest[kind].stamp > limit * _SECOND:
                    del self._newest[kind]
                continue
            if kind not in self._newest:
                return f"no {name} yet"
            age = stamp - self._newest[kind].stamp
            if age > limit * _SECOND:
                return f"{name} is {age / _SECOND:.2f} s old"
            if age < -limit * _SECOND:
                # Of another clock: kept, it would never grow old, and every honest sample after it would look late.
                del self._newest[kind]
                if kind in self._parts:
                    self._parts[kind].reset()
                self.rejected[name] += 1
                return f"{name} was stamped {-age / _SECOND:.2f} s ahead of the clock"
        return ""

    def _velocity(self, motion: MotionEstimate) -> np.ndarray:
        if self._sources.state_velocity == "momentary":
            return motion.velocity
        before = self._filter.estimate(motion.stamp - self._period)
        if before is None or motion.since > before.stamp:
            # It began, or was put elsewhere, within the period.
            return motion.velocity
        velocity: np.ndarray = (motion.position - before.position) / (self._period / _SECOND)
        return velocity

    def _vector(self, stamp: int, motion: MotionEstimate) -> np.ndarray:
        legs, back_emf, battery = self._legs.estimate(stamp), self._back_emf.value, self._battery.value
        assert legs is not None and back_emf is not None and battery is not None, "none of them is missing"
        yaw, pitch, roll = Rotation.from_quat(motion.quaternion).as_euler("ZYX")
        velocity = self._velocity(motion)
        values: dict[str, float] = {}
        for i, axis in enumerate("xyz"):
            values[f"position_{axis}"] = motion.position[i]
            values[f"velocity_{axis}"] = velocity[i]
            values[f"angular_velocity_{axis}"] = motion.angular_velocity[i]
        for name, angle in (("roll", roll), ("pitch", pitch), ("yaw", yaw),
                            ("left_leg", legs.angles[0]), ("right_leg", legs.angles[1])):
            values[f"{name}_cos"], values[f"{name}_sin"] = math.cos(angle), math.sin(angle)
        for i, side in enumerate(("left", "right")):
            values[f"{side}_leg_velocity"] = legs.rates[i]
            values[f"{side}_back_emf"] = back_emf[i]
        values["battery_voltage"] = battery[0]
        return STATE.vector(values)


def _is_finite(sample: Sample) -> bool:
    # Plain numbers: for a few of them NumPy takes ten times as long.
    for value in vars(sample).values():
        if isinstance(value, np.ndarray):
            if not all(map(math.isfinite, value.ravel().tolist())):
                return False
        elif not math.isfinite(value):
            return False
    return True
