# SPDX-License-Identifier: Apache-2.0
"""Does the simulated robot move as the real one was measured to?

The real robot was recorded at 10 Hz while it was driven at random (a new pair of leg rates every 0.1 s inside a circle,
held turns back to it outside). The simulated one is driven the same way and measured the same way; every figure is
computed here from rows of 0.1 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.benchmarks.measured import MEASURED
from l2a_ros.benchmarks.table import Row
from l2a_ros.robot.limits import REVOLUTION, LegRateLimits
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain

#: Columns of a recorded drive, one row per control period.
COLUMNS = ("time", "x", "y", "z", "roll", "pitch", "yaw", "gyro_x", "gyro_y", "gyro_z", "left_angle", "right_angle",
           "left_command", "right_command", "battery_voltage")
#: Rows that make one window of speed and yaw rate (0.5 s).
WINDOW = 5
#: Leg rates around which straight walking is averaged, rev/s, and differences around which turning is.
SPEED_BINS = (3.5, 4.5, 5.5, 6.5)
YAW_BINS = (-5.0, -3.0, -1.0, 1.0, 3.0, 5.0)
#: Largest difference between the sides that counts as straight, rev/s.
STRAIGHT = 1.5
#: Open-circuit voltages that the drives of a terrain cover, V.
CHARGE = (3.6, 4.22)
#: Terrains on which the real robot was driven in its fast mode, and that mode's leg rates, rev/s.
FAST_TERRAINS, FAST_MODE = ("gravel",), (4.0, 12.0)
#: From the sample of the state to the new rates at the motors: serial line and radio, s (assumed).
LINK_DELAY = 0.02
#: Fewest windows of which a mean or a spread is taken.
FEWEST = 8


class RoomDriver:
    """Drives as the real robot was driven to gather data: at random within a circle, held turns back to it outside.

    Args:
        seed: of the draws.
        limits: range of the random rates.
        centre: of the circle, m.
        radius: of the circle, m.
        turn: slow and fast leg rate of a turn back, rev/s.
        ahead: leg rate of walking straight back, rev/s.
    """

    def __init__(self, seed: int, limits: LegRateLimits | None = None, centre: tuple[float, float] = (0.2, -0.4),
                 radius: float = 1.2, turn: tuple[float, float] = (2.5, 7.5), ahead: float = 5.0) -> None:
        self._rng = np.random.default_rng([seed, 5])
        self._centre, self._radius, self._turn, self._ahead = centre, radius, turn, ahead
        self._limits = limits or LegRateLimits()

    def __call__(self, x: float, y: float, yaw: float) -> np.ndarray:
        """Return the leg rates ``(2,)``, rad/s, for a pose in m and rad."""
        dx, dy = self._centre[0] - x, self._centre[1] - y
        if math.hypot(dx, dy) <= self._radius:
            return self._rng.uniform(self._limits.minimum, self._limits.maximum, 2)
        error = math.remainder(math.atan2(dy, dx) - yaw, 2.0 * math.pi)
        slow, fast = self._turn
        if abs(error) < math.radians(30.0):
            rates = (self._ahead, self._ahead)
        else:
            rates = (slow, fast) if error > 0.0 else (fast, slow)
        return np.array(rates) * REVOLUTION


def _wrapped_difference(angles: np.ndarray, steps: int) -> np.ndarray:
    difference = angles[steps:] - angles[:-steps]
    wrapped: np.ndarray = (difference + math.pi) % (2.0 * math.pi) - math.pi
    return wrapped


@dataclass(frozen=True)
class Windows:
    """Windows of 0.5 s cut one after the other from drives.

    Args:
        speed: distance between the ends over the time, m/s, shape ``(n,)``.
        yaw_rate: rad/s.
        mean_rate: mean of both leg rates, rev/s.
        difference: right minus left leg rate, rev/s.
    """

    speed: np.ndarray
    yaw_rate: np.ndarray
    mean_rate: np.ndarray
    difference: np.ndarray


def cut_windows(drive: np.ndarray) -> Windows:
    """Cut one drive (rows of :data:`COLUMNS`) into windows that do not overlap."""
    rows = drive[::WINDOW]
    column = {name: rows[:, i] for i, name in enumerate(COLUMNS)}
    dt = np.diff(column["time"])
    yaw = np.unwrap(drive[:, COLUMNS.index("yaw")])[::WINDOW]
    left, right = (np.diff(column[f"{side}_angle"]) / dt / REVOLUTION for side in ("left", "right"))
    return Windows(np.hypot(np.diff(column["x"]), np.diff(column["y"])) / dt, np.diff(yaw) / dt,
                   (left + right) / 2.0, right - left)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) >= FEWEST else math.nan


def _std(values: np.ndarray) -> float:
    return float(values.std()) if len(values) >= FEWEST else math.nan


def behaviour(drives: list[np.ndarray]) -> dict[str, float]:
    """Return the figures of some drives on one terrain, by name; SI units, angles of attitude in degrees.

    A figure that too few windows speak for is NaN.
    """
    cut = [cut_windows(drive) for drive in drives]
    windows = Windows(*(np.concatenate([getattr(each, name) for each in cut])
                        for name in ("speed", "yaw_rate", "mean_rate", "difference")))
    figures: dict[str, float] = {}
    straight = np.abs(windows.difference) < STRAIGHT
    residuals = []
    for rate in SPEED_BINS:
        inside = straight & (np.abs(windows.mean_rate - rate) < 0.5)
        figures[f"speed at {rate:g} rev/s"] = _mean(windows.speed[inside])
        residuals.append(windows.speed[inside] - windows.speed[inside].mean() if inside.any() else np.zeros(0))
    figures["speed spread"] = _std(np.concatenate(residuals))
    residuals = []
    for difference in YAW_BINS:
        inside = np.abs(windows.difference - difference) < 1.0
        figures[f"yaw rate at {difference:+g} rev/s"] = _mean(windows.yaw_rate[inside])
        residuals.append(windows.yaw_rate[inside] - windows.yaw_rate[inside].mean() if inside.any() else np.zeros(0))
    figures["yaw rate spread"] = _std(np.concatenate(residuals))
    figures["left bias"] = _mean(windows.yaw_rate[np.abs(windows.difference) < 1.0])

    tables = [{name: drive[:, i] for i, name in enumerate(COLUMNS)} for drive in drives]
    speeds = np.concatenate([np.hypot(np.diff(t["x"]), np.diff(t["y"])) / np.diff(t["time"]) for t in tables])
    for percentile in (50, 95, 99):
        figures[f"speed percentile {percentile}"] = float(np.percentile(speeds, percentile))
    for name in ("roll", "pitch"):
        figures[f"{name} spread"] = math.degrees(_std(np.concatenate([t[name] for t in tables])))
    figures["height spread"] = _std(np.concatenate([t["z"] for t in tables]))
    for axis in "xyz":
        low, high = np.percentile(np.concatenate([t[f"gyro_{axis}"] for t in tables]), [5, 95])
        figures[f"gyro {axis} range"] = math.degrees((high - low) / 2.0)

    for side in ("left", "right"):
        rates = [np.diff(t[f"{side}_angle"]) / np.diff(t["time"]) for t in tables]
        commands = [t[f"{side}_command"] for t in tables]
        figures[f"{side} rate over command"] = float(np.median(np.concatenate(
            [rate / command[:-1] for rate, command in zip(rates, commands, strict=True)])))
        for shift, name in ((0, "same"), (-1, "previous"), (1, "next")):
            # Row k's rate is that of the interval which follows the row.
            pairs = [(rate[1:-1], command[1 + shift:len(rate) - 1 + shift])
                     for rate, command in zip(rates, commands, strict=True)]
            figures[f"{side} correlation with the {name} command"] = float(np.corrcoef(
                np.concatenate([rate for rate, _ in pairs]), np.concatenate([command for _, command in pairs]))[0, 1])
    voltages = np.concatenate([t["battery_voltage"] for t in tables])
    figures["battery low"], figures["battery high"] = float(voltages.min()), float(voltages.max())
    return figures


@dataclass(frozen=True)
class DrivePlan:
    """One drive to record.

    Args:
        terrain: name of the floor.
        seed: of the start, the noise, the ground and the driving.
        ticks: control periods.
        charge: open-circuit voltage at its start, V.
        fastest: mode of the robot: most leg rate, rev/s; with ``slowest`` the range of the random rates.
        slowest: least leg rate, rev/s.
    """

    terrain: str
    seed: int
    ticks: int
    charge: float
    slowest: float = 2.0
    fastest: float = 9.0


def plan_drives(terrain: str, minutes: float, seed: int) -> list[DrivePlan]:
    """Split driving into runs of a minute, with charges that go from full to tired."""
    runs = max(2, round(minutes))
    slowest, fastest = FAST_MODE if terrain in FAST_TERRAINS else (2.0, 9.0)
    return [DrivePlan(terrain, seed * 1000 + i, round(minutes * 600.0 / runs),
                      CHARGE[1] + (CHARGE[0] - CHARGE[1]) * i / (runs - 1), slowest, fastest) for i in range(runs)]


def record_drive(plan: DrivePlan) -> np.ndarray:
    """Drive and return rows of :data:`COLUMNS`, as sensors and motion capture report them."""
    robot = InProcessRobot(load_terrain(plan.terrain), plan.seed, battery=Battery(full_voltage=plan.charge))
    driver = RoomDriver(plan.seed, LegRateLimits(plan.slowest * REVOLUTION, plan.fastest * REVOLUTION))
    robot.settle()
    rows = []
    command = np.zeros(2)
    newest: dict[type, Sample] = {}
    for _ in range(plan.ticks):
        newest |= {type(sample): sample for sample in robot.samples}
        pose, imu = newest[PoseSample], newest[ImuSample]
        cranks, battery = newest[CrankSample], newest[BatterySample]
        assert isinstance(pose, PoseSample) and isinstance(imu, ImuSample)
        assert isinstance(cranks, CrankSample) and isinstance(battery, BatterySample)
        yaw, pitch, roll = Rotation.from_quat(pose.quaternion).as_euler("ZYX")
        previous, command = command, driver(pose.position[0], pose.position[1], yaw)
        rows.append([robot.elapsed_ms / 1000.0, *pose.position, roll, pitch, yaw, *imu.angular_velocity,
                     *cranks.angles, *command, battery.voltage])
        robot.tick(command, previous, LINK_DELAY)
    return np.array(rows)


def record_drives(plans: Sequence[DrivePlan], workers: int) -> Iterator[tuple[DrivePlan, np.ndarray]]:
    """Make drives, several at once; yields each as it is done."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(record_drive, plan): plan for plan in plans}
        for job in as_completed(jobs):
            yield jobs[job], job.result()


def fidelity_rows(drives: Mapping[str, list[np.ndarray]]) -> list[Row]:
    """Compare drives on each terrain with the measured robot."""
    rows = []
    for terrain, figures in MEASURED.items():
        if terrain not in drives:
            continue
        ours = behaviour(drives[terrain])
        for name, measured in figures.items():
            rows.append(Row(f"{terrain}: {name}", ours[name], measured.unit, "real robot", measured.middle,
                            measured.middle / ours[name] if ours[name] else None, measured.tolerance,
                            measured.admits(ours[name])))
    return rows
