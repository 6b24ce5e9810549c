# SPDX-License-Identifier: Apache-2.0
"""Settings of the estimator: each with its unit, its range and what it is good for.

The node's parameters, their descriptions and ranges are made from these lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from l2a_ros.errors import UserError


def setting(default: float, minimum: float, maximum: float, description: str) -> Any:
    """Return a dataclass field with a range and a description."""
    return field(default=default, metadata={"minimum": minimum, "maximum": maximum, "description": description})


@dataclass(frozen=True)
class FilterSettings:
    """What the motion filter believes of its sensors, of the robot and of the room.

    Noise is that of the shipped simulator and of the real robot's measured unit. SI units.

    Raises:
        UserError: for a value out of its range.
    """

    mocap_position_noise: float = setting(
        2e-4, 1e-6, 0.1, "standard deviation of a pose's position, m; 0.2 mm is usual for a room of a few metres. Too "
                         "small: the estimate trembles with every pose; too large: it lags behind")
    mocap_attitude_noise: float = setting(
        1.75e-3, 1e-5, 0.5, "standard deviation of a pose's attitude on each axis, rad; 0.1 degrees for a marker set "
                            "of 10 cm, in inverse proportion to its size")
    gyro_noise: float = setting(
        2.1e-3, 1e-6, 1.0, "standard deviation of one gyroscope reading, rad/s (measured at rest: 0.12 deg/s)")
    gyro_scale_error: float = setting(
        0.0, 0.0, 0.2, "standard deviation of the gyroscope's scale, as a fraction; data sheets say up to 0.03")
    gyro_bias_spread: float = setting(
        0.1, 0.0, 3.0, "standard deviation of the gyroscope's bias at the start, rad/s, unless the robot is seen to "
                       "rest then. Up to 1.4 (78 deg/s) was measured on a robot that was moved while it calibrated")
    gyro_bias_walk: float = setting(
        1e-5, 0.0, 0.1, "how fast the gyroscope's bias wanders, rad/s per root of a second")
    accelerometer_noise: float = setting(
        0.045, 1e-5, 10.0, "standard deviation of one accelerometer reading, m/s^2 (measured at rest: 0.03 to 0.05)")
    accelerometer_scale_error: float = setting(
        0.03, 0.0, 0.2, "standard deviation of the accelerometer's scale, as a fraction; measured at rest: 0.037 off")
    accelerometer_bias_spread: float = setting(
        0.3, 0.0, 5.0, "standard deviation of the accelerometer's bias at the start, m/s^2 (data sheet: 0.5 to 0.8)")
    accelerometer_bias_walk: float = setting(
        2e-3, 0.0, 1.0, "how fast the accelerometer's bias wanders, m/s^2 per root of a second")
    gyro_range: float = setting(
        34.9, 0.1, 1000.0, "readings of the gyroscope that are so large are cut off and tell little, rad/s")
    accelerometer_range: float = setting(
        78.4, 1.0, 10000.0, "readings of the accelerometer that are so large are cut off and tell little, m/s^2")
    imu_averaging: float = setting(
        0.0015, 0.0, 0.1, "time over which the inertial unit averages (its filter), s. Readings that follow each other "
                          "no slower are means of the time between them; slower ones are momentary values")
    longest_imu_interval: float = setting(
        0.015, 0.001, 1.0, "readings of the inertial unit that are further apart are not integrated, s: a stride of 2 "
                          "to 9 Hz looks like another motion then")
    motion_acceleration: float = setting(
        1.0, 0.001, 100.0, "how much the velocity changes by itself, m/s per root of a second: what is believed "
                           "between readings that are too far apart to tell")
    motion_memory: float = setting(
        0.2, 0.02, 100.0, "how long the body moves faster or slower than on average, s; the same. A body that does not "
                           "shake has a long memory")
    motion_turning: float = setting(
        0.67, 0.001, 100.0, "how much the body turns by itself, rad per root of a second: the same for the attitude")
    mocap_latency: float = setting(
        -1.0, -1.0, 0.5, "age of a pose at its stamp, s: what the capture system takes and its driver does not take "
                         "off. -1 estimates it against the inertial unit")
    mocap_latency_spread: float = setting(
        0.01, 0.0, 0.5, "standard deviation of the latency before it is known, s")
    mocap_jitter: float = setting(
        2e-4, 0.0, 0.1, "standard deviation of what is left of the latency from pose to pose once it is known, s")
    gate: float = setting(
        38.0, 1.0, 1e6, "poses with a larger squared Mahalanobis distance (6 degrees of freedom) from the prediction "
                        "are refused; 38 refuses one good pose in a million")
    lowest: float = setting(-1.0, -100.0, 100.0, "poses below are refused, m in map: it is another body")
    highest: float = setting(
        0.6, -100.0, 100.0, "poses above are refused, m in map: it is another body (0.86 and 1.3 m were recorded)")
    maximum_tilt: float = setting(
        1.75, 0.01, 3.2, "poses whose z axis leans further from up are refused, rad; 3.2 for never")
    maximum_speed: float = setting(
        3.0, 0.01, 100.0, "poses that the robot could only reach faster are refused, m/s")
    maximum_turn_rate: float = setting(
        35.0, 0.1, 1000.0, "poses that the robot could only reach by turning faster are refused, rad/s")
    maximum_coast: float = setting(
        0.35, 0.0, 60.0, "there is a state for so long after the last good pose, s, if it is sure enough")
    maximum_position_spread: float = setting(
        0.03, 0.001, 10.0, "and for as long as the standard deviation of the position is no larger, m")
    reacquire_time: float = setting(
        0.15, 0.0, 10.0, "after a loss, poses must agree with each other and with the inertial unit for so long, s")

    def __post_init__(self) -> None:
        check_ranges(self)


#: What the velocity in the state may be.
VELOCITIES = ("mean", "momentary")


@dataclass(frozen=True)
class SourceSettings:
    """How old what the other sensors said may be, and how it is smoothed. SI units.

    Raises:
        UserError: for a value out of its range.
    """

    maximum_imu_age: float = setting(0.15, 0.001, 60.0, "there is no state when imu/data_raw is older, s")
    maximum_crank_age: float = setting(0.15, 0.001, 60.0, "there is no state when joint_states is older, s")
    maximum_telemetry_age: float = setting(0.3, 0.001, 60.0, "there is no state when motor_telemetry is older, s")
    maximum_battery_age: float = setting(3.0, 0.001, 600.0, "there is no state when battery_state is older, s")
    back_emf_time: float = setting(
        0.005, 0.0, 10.0, "time constant of the back-EMF's low-pass, s. Its 10 bit need none, and the stride is to "
                          "stay in it; more for a noisier firmware")
    battery_time: float = setting(
        1.0, 0.0, 60.0, "time constant of the battery voltage's low-pass, s: it sags with every push of a leg")
    imu_required: bool = field(default=True, metadata={"description":
        "whether there is no state without imu/data_raw. Without it, poses alone tell how the body turns"})
    state_velocity: str = field(default="mean", metadata={
        "choices": VELOCITIES, "description":
        "velocity in robot_state: its mean over the last control period, as published and as the shipped models know "
        "it, or the momentary one"})

    def __post_init__(self) -> None:
        check_ranges(self)


def check_ranges(settings: Any) -> None:
    """Refuse a dataclass of :func:`setting` fields that holds a value out of its range.

    Raises:
        UserError: naming the setting, its range and the value.
    """
    for each in fields(settings):
        if "choices" in each.metadata and getattr(settings, each.name) not in each.metadata["choices"]:
            raise UserError(f"{each.name} must be one of {', '.join(each.metadata['choices'])}, "
                            f"not '{getattr(settings, each.name)}'")
        if "minimum" not in each.metadata:
            continue
        value, low, high = getattr(settings, each.name), each.metadata["minimum"], each.metadata["maximum"]
        if not low <= value <= high:
            raise UserError(f"{each.name} must be from {low:g} to {high:g}, not {value:g}")
