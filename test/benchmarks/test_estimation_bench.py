# SPDX-License-Identifier: Apache-2.0
"""The bench of the estimate: filters whose errors are known must get the figures they deserve."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from l2a_ros.benchmarks.estimation.cost import cost_rows
from l2a_ros.benchmarks.estimation.figures import (
    Ensemble,
    accuracy_rows,
    band,
    consistency_rows,
    difference_rows,
    ensemble,
    rate_table,
    settling,
    shares_of_band,
)
from l2a_ros.benchmarks.estimation.follow import (
    END,
    POSITION,
    SILENT,
    STARTING,
    TRACKED,
    Track,
    follow,
    is_tick,
    moments,
    phases,
    squared_errors,
)
from l2a_ros.benchmarks.estimation.walk import MILLISECOND, Walk, outlier_rate, trouble, walk
from l2a_ros.benchmarks.table import Row
from l2a_ros.cli.main import main
from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.robot.samples import ImuSample, PoseSample
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.mocap_faults import MocapFaults

SECONDS = 6.0
#: Correlated errors of nine elements, in m, m/s and rad.
FACTOR = 1e-3 * np.tril(np.random.default_rng(7).uniform(0.2, 1.0, (9, 9))) @ np.diag([1, 1, 1, 20, 20, 20, 5, 5, 5.0])


class Oracle:
    """Knows the truth and says it with an error of a known covariance."""

    def __init__(self, walked: Walk, seed: int = 0, scale: float = 1.0) -> None:
        self._walked, self._rng, self._scale = walked, np.random.default_rng(seed), scale
        self.heard: list[int] = []
        self.answers: list[tuple[int, int]] = []

    def add_pose(self, sample: PoseSample) -> None:
        self.heard.append(sample.stamp)

    def add_imu(self, sample: ImuSample) -> None:
        self.heard.append(sample.stamp)

    def estimate(self, stamp: int) -> MotionEstimate | None:
        self.answers.append((stamp, max(self.heard, default=-1)))
        if not self.heard:
            return None
        row, error = stamp // MILLISECOND, self._scale * FACTOR @ self._rng.normal(size=9)
        quaternion = (Rotation.from_rotvec(-error[6:]) * Rotation.from_quat(self._walked.quaternion[row])).as_quat()
        none = np.zeros(3)
        return MotionEstimate(stamp, self._walked.position[row] - error[:3], quaternion,
                              self._walked.velocity[row] - error[3:6], none, FACTOR @ FACTOR.T, none, none, none,
                              Health.TRACKING, since=0)


@pytest.fixture(scope="module")
def walked() -> Walk:
    return walk(3, SECONDS, faults=trouble(SECONDS))


def many(walked: Walk, scale: float, seeds: int = 50) -> Ensemble:
    stamps = np.union1d(moments(walked)[::5], [end for _, end in walked.dropouts])
    tracks = [follow(walked, Oracle(walked, seed, scale), stamps) for seed in range(seeds)]
    return ensemble(tracks, phases(stamps, walked.dropouts, walked.latency))


@pytest.fixture(scope="module")
def honest(walked: Walk) -> Ensemble:
    return many(walked, 1.0)


def figure(rows: list[Row], case: str) -> Row:
    return next(row for row in rows if row.case == case)


def test_a_walk_is_what_it_says(walked: Walk) -> None:
    assert len(walked.position) == 6001 and walked.end == 6_000_000_000
    poses = [sample for sample in walked.samples if isinstance(sample, PoseSample)]
    readings = [sample for sample in walked.samples if isinstance(sample, ImuSample)]
    assert len(readings) == 6000 and walked.latency == 10 * MILLISECOND
    assert walked.dropouts == [(4_000_000_000, 4_300_000_000)]
    stamps = [pose.stamp for pose in poses]
    assert 4_000_000_000 in stamps and 4_310_000_000 in stamps
    assert not [stamp for stamp in stamps if 4_000_000_000 < stamp < 4_310_000_000]
    assert np.all(np.diff(walked.arrivals) >= 0) and len(walked.arrivals) == len(walked.samples)
    # The truth hangs together: position and velocity as under an even acceleration in each step, attitude and rates.
    mean = 0.5 * (walked.velocity[1:] + walked.velocity[:-1])
    np.testing.assert_allclose(np.diff(walked.position, axis=0), 1e-3 * mean, atol=1e-9)
    turned = (Rotation.from_quat(walked.quaternion[:-1]).inv() * Rotation.from_quat(walked.quaternion[1:])).as_rotvec()
    np.testing.assert_allclose(turned, 1e-3 * walked.angular_velocity[1:], atol=1e-6)
    # A pose is that of the latency ago, an inertial reading that of its stamp.
    good = [pose for pose, is_bad in zip(poses, walked.outliers(), strict=True) if not is_bad]
    distances = [pose.position - walked.position[walked.row(pose.stamp - walked.latency)] for pose in good]
    assert np.std(distances) == pytest.approx(2e-4, rel=0.1)
    rates = np.array([reading.angular_velocity - walked.angular_velocity[walked.row(reading.stamp)]
                      for reading in readings])
    np.testing.assert_allclose(np.median(rates, axis=0), walked.gyro_bias, atol=2e-4)
    assert np.linalg.norm(walked.position[1000] - walked.position[500]) < 1e-3, "it stands for a second"
    assert np.linalg.norm(walked.position[-1] - walked.position[1000]) > 0.3


def test_walks_differ_by_seed_alone(walked: Walk) -> None:
    again, other = (walk(seed, 1.5, faults=trouble(SECONDS)) for seed in (3, 4))
    np.testing.assert_array_equal(again.position, walked.position[:1501])
    assert np.abs(other.position[-1] - again.position[-1]).max() > 1e-3
    assert [vars(sample).keys() for sample in again.samples] == [
        vars(sample).keys() for sample in walked.samples[:len(again.samples)]]


def test_slower_units_leave_readings_out(walked: Walk) -> None:
    for period, expected in ((1, 6000), (10, 600), (100, 60), (0, 0)):
        slower = walked.with_imu_period(period)
        readings = [sample for sample in slower.samples if isinstance(sample, ImuSample)]
        assert len(readings) == expected and len(slower.samples) == len(slower.arrivals)
        assert all(reading.stamp % (period * MILLISECOND) == 0 for reading in readings)
        assert len(slower.samples) - expected == len(walked.samples) - 6000, "nothing else is left out"


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_share_of_outliers(share: float) -> None:
    """The rate is worked out for the simulator's bursts: count them."""
    schedule = FaultSchedule([parse_fault(f"mocap_outlier:{outlier_rate(share)}")])
    schedule.advance(0)
    faults, count, bad = MocapFaults(schedule, 1, 10), 100_000, 0
    for k in range(count):
        pose = PoseSample(k, np.array([float(k), 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0]))
        (passed,) = faults.pass_on(pose, 10 * k, k)
        bad += passed.position is not pose.position
    assert bad / count == pytest.approx(share, rel=0.15)


def test_outliers_of_a_walk_are_found() -> None:
    spoiled = walk(0, 3.0, faults=[parse_fault(f"mocap_outlier:{outlier_rate(0.2)}")])
    assert 0.08 < spoiled.outliers().mean() < 0.35
    assert not walk(0, 3.0).outliers().any()
    # Good poses that are taken for late ones are far from the truth while the robot walks.
    assert replace(spoiled, latency=100 * MILLISECOND).outliers()[-100:].mean() > 0.5


def test_a_filter_is_asked_when_what_arrived_is_in_and_nothing_else(walked: Walk) -> None:
    oracle, stamps = Oracle(walked), moments(walked)
    track = follow(walked, oracle, stamps)
    assert [stamp for stamp, _ in oracle.answers] == stamps.tolist()
    assert all(newest == stamp for stamp, newest in oracle.answers[1:]), "with a reading every millisecond"
    assert np.all(np.isnan(track.errors[0])) and not track.is_live[0], "before the first sample"
    assert np.all(np.isfinite(track.errors[1:])) and np.all(track.is_live[1:])
    spread = np.sqrt(np.diag(FACTOR @ FACTOR.T))
    np.testing.assert_allclose(track.errors[1:].std(axis=0), spread, rtol=0.15)
    np.testing.assert_allclose(track.spreads[1:], np.tile(spread, (len(stamps) - 1, 1)))


def test_moments_and_what_they_are(walked: Walk) -> None:
    stamps = moments(walked)
    phase = phases(stamps, walked.dropouts, walked.latency)
    assert np.all(np.diff(stamps) > 0) and np.sum(is_tick(stamps)) == 60
    assert len(set((stamps // MILLISECOND % 10).tolist())) == 10, "of every age of the newest pose"
    assert stamps[phase == END].tolist() == [4_300_000_000]
    silent = stamps[phase == SILENT]
    assert silent.min() > 4_010_000_000 and silent.max() < 4_310_000_000 and 28 <= len(silent) <= 34
    assert stamps[phase == STARTING].max() < 3_000_000_000 <= stamps[phase == TRACKED].min()
    edges = MILLISECOND * np.array([4009, 4010, 4011, 4299, 4300, 4301, 4309, 4310])
    assert phases(edges, walked.dropouts, walked.latency).tolist() == [
        TRACKED, TRACKED, SILENT, SILENT, END, SILENT, SILENT, TRACKED]


def test_squared_errors_of_a_known_covariance() -> None:
    covariance = np.diag(np.arange(1.0, 10.0))
    errors = np.stack([np.sqrt(np.arange(1.0, 10.0)), np.full(9, math.nan)])
    squared = squared_errors(errors, np.stack([covariance, covariance]))
    assert squared[0] == pytest.approx(9.0) and math.isnan(squared[1])
    assert squared_errors(2.0 * errors[:1], covariance[None], POSITION)[0] == pytest.approx(12.0)
    assert squared_errors(errors[:1], -covariance[None])[0] == math.inf, "that is no covariance"


def test_band() -> None:
    low, high = band(50)
    assert low < 9.0 < high
    draws = np.random.default_rng(0).chisquare(450, 4000) / 50
    assert np.mean((draws > low) & (draws < high)) == pytest.approx(0.95, abs=0.015)
    assert band(10)[1] > high, "fewer seeds are less sure"


def test_an_honest_filter_is_consistent_and_one_twice_as_bad_is_not(walked: Walk, honest: Ensemble) -> None:
    rows = consistency_rows(honest)
    for name in ("tracked", "in dropouts"):
        # A dropout holds few moments.
        assert figure(rows, f"{name}: moments within the 95 % band").ours > 75.0
        for block in ("all", "position", "velocity", "attitude"):
            assert figure(rows, f"{name}: squared error over expected, {block}").ours == pytest.approx(1.0, abs=0.1)
    assert figure(rows, "tracked: moments within the 95 % band").met
    for scale, where in ((2.0, "above it (too sure)"), (0.5, "below it (too modest)")):
        rows = consistency_rows(many(walked, scale, 20))
        assert figure(rows, f"tracked: moments {where}").ours == 100.0
        assert figure(rows, "tracked: moments within the 95 % band").met is False
        assert figure(rows, "tracked: squared error over expected, all").ours == pytest.approx(scale**2, rel=0.1)


def test_seeds_without_an_estimate_widen_the_band() -> None:
    squared = np.random.default_rng(0).chisquare(9.0, (50, 400))
    squared[5:] = math.nan
    below, within, above = shares_of_band(squared)
    assert within == pytest.approx(0.95, abs=0.04) and below + within + above == pytest.approx(1.0)
    assert np.isnan(shares_of_band(np.full((3, 4), math.nan))).all()


def test_accuracy_of_known_errors(honest: Ensemble) -> None:
    rows = accuracy_rows(honest)
    variances = np.diag(FACTOR @ FACTOR.T)
    for name in ("tracked", "control ticks"):
        for case, expected in (("position RMSE", 1e3 * math.sqrt(variances[:3].sum())),
                               ("attitude RMSE", math.degrees(math.sqrt(variances[6:].sum()))),
                               ("velocity RMSE, worst axis", math.sqrt(variances[3:6].max())),
                               ("velocity RMSE, length", math.sqrt(variances[3:6].sum()))):
            assert figure(rows, f"{name}: {case}").ours == pytest.approx(expected, rel=0.1)
    assert figure(rows, "end of dropouts: position RMSE").ours == pytest.approx(
        1e3 * math.sqrt(variances[:3].sum()), rel=0.5)
    assert figure(rows, "end of dropouts: position RMSE").target == 15.0
    assert figure(rows, "tracked: position RMSE").met and figure(rows, "tracked: position RMSE").target == 2.0
    assert figure(rows, "tracked: without a live estimate").ours == 0.0
    far = accuracy_rows(replace(honest, errors=10.0 * honest.errors, is_live=np.zeros_like(honest.is_live)))
    assert figure(far, "tracked: position RMSE").met is False
    assert figure(far, "tracked: without a live estimate").ours == 100.0


def test_dropouts_that_an_outlier_lengthens_are_counted_apart(honest: Ensemble) -> None:
    at = np.flatnonzero(honest.phases == END)
    ages, errors = honest.ages.copy(), honest.errors.copy()
    ages[:5, at] += 100_000_000
    errors[:5, at] = 1.0
    rows = accuracy_rows(replace(honest, ages=ages, errors=errors))
    assert figure(rows, "end of dropouts: largest position error").ours < 10.0
    assert figure(rows, "end of dropouts begun by an outlier: position RMSE").ours == pytest.approx(
        1e3 * math.sqrt(3.0))


def test_settling(honest: Ensemble) -> None:
    errors = honest.errors.copy()
    errors[:, honest.stamps < 1_750_000_000] = 0.5
    late = replace(honest, errors=errors)
    assert settling(late, POSITION, 0.01) == pytest.approx(1.8)
    assert settling(honest, POSITION, 0.01) == 0.0
    errors[:, honest.stamps > 4_100_000_000] = 0.5
    assert settling(replace(honest, errors=errors), POSITION, 0.01) == pytest.approx(1.8), "until the first dropout"


def test_finite_differences(walked: Walk, honest: Ensemble) -> None:
    """The peer is what it says: compared here on its own, pose by pose."""
    poses = [pose for pose, is_bad in zip((s for s in walked.samples if isinstance(s, PoseSample)), walked.outliers(),
                                          strict=True) if not is_bad]
    stamps = moments(walked)
    track: Track = follow(walked, Oracle(walked), stamps)
    # Between two poses, and when one arrives.
    for i in np.searchsorted(stamps, [3_503_000_000, 3_500_000_000]):
        arrived = [pose for pose in poses if pose.stamp <= stamps[i]]
        one = (arrived[-1].position - arrived[-2].position) / 0.01
        ten = (arrived[-1].position - arrived[-11].position) / 0.1
        np.testing.assert_allclose(track.differences[i], walked.velocity[stamps[i] // MILLISECOND] - [one, ten],
                                   rtol=1e-9)
        assert track.ages[i] == stamps[i] - arrived[-1].stamp
    assert np.isnan(track.differences[(stamps > 4_020_000_000) & (stamps < 4_310_000_000)]).all()
    rows = difference_rows(honest)
    for row in rows:
        assert row.theirs is not None and row.ratio is not None
        assert row.target == 3.0 and row.ratio == pytest.approx(row.theirs / row.ours)
        assert 0.1 < row.theirs < 0.5 and row.met is bool(row.ratio >= 3.0)


def test_rates_beside_each_other(honest: Ensemble) -> None:
    lines = rate_table({1: honest, 0: replace(honest, errors=2.0 * honest.errors)})
    assert len(lines) == 4 and lines[2].startswith("| 1000 Hz |") and lines[3].startswith("| no IMU |")
    first, second = ([float(cell) for cell in line.split("|")[2:-1]] for line in lines[2:])
    assert second[:4] == pytest.approx([2.0 * value for value in first[:4]], rel=0.01)


def test_cost_of_every_call(walked: Walk) -> None:
    """With a clock that goes on by 100 us whenever it is read, each call takes 100 us."""
    time = 0.0

    def clock() -> float:
        nonlocal time
        time += 1e-4
        return time

    oracle = Oracle(walked)
    rows = cost_rows(walked, lambda: oracle, clock)
    for name in ("IMU reading", "pose", "answer"):
        assert figure(rows, f"one {name}: median").ours == pytest.approx(100.0)
        assert figure(rows, f"one {name}: median").target == 150.0
    # 500 readings, 100 answers and poses less those of the dropout, 100 us each.
    poses = sum(isinstance(s, PoseSample) and s.stamp >= 500_000_000 for s in walked.samples)
    assert figure(rows, rows[-1].case).ours == pytest.approx(3600.0 * (600.0 + poses / 5.5) * 1e-4, rel=0.01)
    assert all(stamp >= newest for stamp, newest in oracle.answers), "asked for what has come"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("l2a_ros.estimation.motion_filter")
    status = main(["bench", "estimation", "--quick", "--workers", "1", "--rate-seeds", "1", "--out", str(tmp_path),
                   "--json", str(tmp_path / "estimation.json")])
    said = capsys.readouterr()
    assert "walks 2/2" in said.err and "| no IMU |" in said.out
    content = json.loads((tmp_path / "estimation.json").read_text(encoding="utf-8"))
    assert content["bench"] == "estimation"
    cases = {row["case"]: row for row in content["rows"]}
    for case in ("tracked: position RMSE", "end of dropouts: position RMSE", "tracked: moments within the 95 % band",
                 "velocity RMSE, length, beside poses over 0.1 s", "IMU 10 Hz: position RMSE", "one pose: median"):
        assert math.isfinite(cases[case]["ours"])
    assert status == int(any(row["met"] is False for row in content["rows"]))
    with (tmp_path / "moments.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {line["phase"] for line in lines} == {"starting", "tracked", "dropout", "end of dropout"}
    assert all(float(line["live_share"]) <= 1.0 for line in lines)
    assert (tmp_path / "estimation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("flags", "expected"), [
    (["--only", "speed"], "unknown case 'speed'"), (["--seeds", "0"], "seeds and workers must be at least 1"),
    (["--seconds", "2"], "seconds must be at least 4.5"), (["--terrain", "moon"], "moon"),
])
def test_what_cannot_be_measured_is_said(flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("l2a_ros.estimation.motion_filter")
    assert main(["bench", "estimation", *flags]) == 2
    assert expected in capsys.readouterr().err
