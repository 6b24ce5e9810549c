# SPDX-License-Identifier: Apache-2.0
"""Random driving: within the limits, recorded whole, and taken up again."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import find_bags, read_bag
from l2a_ros.experience.dataset import condition_of, read_recordings
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.training.collect import CHARGE, Recording, collect, plan_recordings, record_random_driving
from l2a_ros.training.random_driving import RandomDriver

TERRAINS = ("carpet", "styrofoam")


def test_driver_stays_within_the_limits() -> None:
    limits = LegRateLimits(15.0, 40.0)
    driver = RandomDriver(0, limits)
    rates = np.array([driver() for _ in range(5000)])
    assert all(limits.admits(row) for row in rates)
    assert rates.min() < 15.5
    assert rates.max() > 39.5, "the whole range is used"
    assert abs(np.corrcoef(rates.T)[0, 1]) < 0.1, "left and right are drawn apart"


def test_driver_holds_each_draw_for_a_few_periods() -> None:
    driver = RandomDriver(3, longest_hold=4)
    rates = [tuple(driver()) for _ in range(2000)]
    holds, length = [], 1
    for one, following in itertools.pairwise(rates):
        if one == following:
            length += 1
        else:
            holds.append(length)
            length = 1
    assert set(holds) == {1, 2, 3, 4}


def test_driver_is_the_same_for_the_same_seed() -> None:
    drivers = [RandomDriver(seed) for seed in (5, 5, 6)]
    runs = [np.array([driver() for _ in range(50)]) for driver in drivers]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_what_it_returns_may_be_changed() -> None:
    driver, twin = RandomDriver(1, longest_hold=50), RandomDriver(1, longest_hold=50)
    for _ in range(20):
        rates = driver()
        np.testing.assert_array_equal(rates, twin())
        rates[:] = 0.0


def test_plan() -> None:
    plan = plan_recordings(Path("data"), ["carpet", "turf"], minutes=1.0, run_seconds=20.0, control_period=0.1, seed=4)
    assert [recording.folder.name for recording in plan] == [
        "carpet_0000", "carpet_0001", "carpet_0002", "turf_0000", "turf_0001", "turf_0002"]
    assert all(recording.ticks == 200 for recording in plan)
    seeds = {recording.seed for recording in plan}
    others = {recording.seed for recording in plan_recordings(Path("data"), ["carpet", "turf"], 1.0, 20.0, 0.1, 5)}
    assert len(seeds) == 6
    assert not seeds & others


def test_plan_refuses_what_makes_no_run() -> None:
    with pytest.raises(UserError, match="unknown terrain 'lava'"):
        plan_recordings(Path("data"), ["carpet", "lava"], 1.0, 20.0, 0.1, 0)
    for minutes, seconds in ((0.0, 20.0), (0.1, 20.0), (1.0, 0.01)):
        with pytest.raises(UserError, match="make no run"):
            plan_recordings(Path("data"), ["carpet"], minutes, seconds, 0.1, 0)


def test_each_recording_draws_a_fault_or_none() -> None:
    faults = [("missing_leg:front_right@5.0",), ("payload:0.02", "motor_gain:right,0.6")]
    plan = plan_recordings(Path("data"), ["carpet", "slope:10,90"], 20.0, 20.0, 0.1, 0, faults)
    assert len({recording.folder for recording in plan}) == len(plan) == 120
    assert {recording.faults for recording in plan} == {(), *faults}
    for entry in ((), *faults):
        assert 20 < sum(recording.faults == entry for recording in plan) < 60
    assert {condition_of(recording.folder) for recording in plan if recording.terrain == "carpet"} == {
        "carpet", "carpet+missing_leg_front_right@5.0", "carpet+payload_0.02+motor_gain_right_0.6"}
    assert all(condition_of(recording.folder).startswith("slope_10_90") for recording in plan[60:])
    plain = plan_recordings(Path("data"), ["carpet", "slope:10,90"], 20.0, 20.0, 0.1, 0)
    assert [recording.seed for recording in plan] == [recording.seed for recording in plain]
    assert plan == plan_recordings(Path("data"), ["carpet", "slope:10,90"], 20.0, 20.0, 0.1, 0, faults)


def test_every_fault_is_driven_for_as_long() -> None:
    faults = [("missing_leg:front_right",), (), ("missing_leg:front_right",)]
    plan = plan_recordings(Path("data"), ["gravel", "carpet"], 1.0, 20.0, 0.1, 0, faults, every_fault=True)
    assert [recording.folder.name for recording in plan if recording.terrain == "gravel"] == [
        *(f"gravel+missing_leg_front_right_{i:04d}" for i in range(3)), *(f"gravel_{i:04d}" for i in range(3))]
    assert len({recording.seed for recording in plan}) == 12
    without = plan_recordings(Path("data"), ["gravel", "carpet"], 1.0, 20.0, 0.1, 0, faults[:1], every_fault=True)
    assert len(without) == 6
    assert all(recording.faults for recording in without)


def test_plan_refuses_what_would_collide() -> None:
    with pytest.raises(UserError, match="unknown fault 'rust'"):
        plan_recordings(Path("data"), ["carpet"], 1.0, 20.0, 0.1, 0, [("rust",)])
    with pytest.raises(UserError, match="same terrain is asked for twice"):
        plan_recordings(Path("data"), ["carpet", "carpet"], 1.0, 20.0, 0.1, 0)
    with pytest.raises(UserError, match="at most 10000 recordings"):
        plan_recordings(Path("data"), ["carpet"], 1e6, 20.0, 0.1, 0)


def test_fault_strikes_in_a_recording(tmp_path: Path) -> None:
    def voltage(name: str, *faults: str) -> np.ndarray:
        record_random_driving(Recording(tmp_path / name, "carpet", 5, 50, 0.1, faults))
        states = [message.message.position for message in read_bag(tmp_path / name, ["/robot_state"])]
        return np.array(states)[:, STATE.index("battery_voltage")]

    plain, struck = voltage("plain"), voltage("struck", "battery:3.0@1.1")
    np.testing.assert_array_equal(plain[:6], struck[:6])
    assert plain[-1] > 3.4
    assert struck[-1] < 3.1


def test_lost_states_are_not_recorded(tmp_path: Path) -> None:
    record_random_driving(Recording(tmp_path / "run", "carpet", 0, 20, 0.1, ("mocap_dropout:0.8@1.0",)))
    states = [message.stamp for message in read_bag(tmp_path / "run", ["/robot_state"])]
    assert 11 < len(states) < 21
    recordings, _ = read_recordings([tmp_path / "run"], 0.1)
    assert len(recordings[0]) == 2, "nothing reaches across the gap"
    with pytest.raises(UserError, match="never knows its state"):
        record_random_driving(Recording(tmp_path / "never", "carpet", 0, 5, 0.1, ("mocap_dropout:100",)))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_robot_that_falls_over_ends_what_is_recorded_and_nothing_else(tmp_path: Path) -> None:
    folder = record_random_driving(Recording(tmp_path / "run", "slope:40,90", 3, 60, 0.1))
    assert 5 < len(list(read_bag(folder, ["/robot_state"]))) < 61


def test_recording_reads_back(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "run", "turf", 11, 12, 0.1)
    assert record_random_driving(recording) == tmp_path / "run"
    states, commands = [], []
    for message in read_bag(tmp_path / "run"):
        assert message.log_time == message.stamp
        if message.topic == "/robot_state":
            assert tuple(message.message.name) == STATE.names
            states.append((message.stamp, message.message.position))
        else:
            assert message.topic == "/motor_commands"
            assert tuple(message.message.name) == ACTION.names
            commands.append((message.stamp, message.message.velocity))
    assert [stamp for stamp, _ in states] == [stamp for stamp, _ in commands]
    assert len(states) == 13
    assert set(np.diff([stamp for stamp, _ in states])) == {100_000_000}
    assert all(LegRateLimits().admits(np.array(rates)) and np.any(rates) for _, rates in commands[:-1])
    assert not np.any(commands[-1][1]), "it ends standing"
    voltage = states[0][1][STATE.index("battery_voltage")]
    assert CHARGE[0] - 0.05 < voltage < CHARGE[1] + 0.01
    recordings, _ = read_recordings([tmp_path / "run"], 0.1)
    assert [len(segment) for segment in recordings[0]] == [12]


def test_recording_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def states(name: str, seed: int) -> np.ndarray:
        record_random_driving(Recording(tmp_path / name, "carpet", seed, 4, 0.1))
        return np.array([message.message.position for message in read_bag(tmp_path / name, ["/robot_state"])])

    one, same, other = states("a", 1), states("b", 1), states("c", 2)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_unfinished_recording_is_made_again(tmp_path: Path) -> None:
    """A recording appears whole or not at all."""
    leftover = tmp_path / ".run.unfinished"
    leftover.mkdir()
    (leftover / "run.mcap").write_bytes(b"half of it")
    record_random_driving(Recording(tmp_path / "run", "carpet", 0, 3, 0.1))
    assert not leftover.exists()
    assert len(list(read_bag(tmp_path / "run"))) == 8


def test_collect_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Processes of their own make what is missing, and only that."""
    plan = [Recording(tmp_path / "new" / "data" / f"{terrain}_{i}", terrain, i, 3, 0.1)
            for terrain in TERRAINS for i in range(2)]
    assert list(collect(plan[2:3], 1)) == [plan[2].folder]
    kept = (plan[2].folder / "metadata.yaml").stat().st_mtime_ns
    assert set(collect(plan, 2)) == {plan[0].folder, plan[1].folder, plan[3].folder}
    assert find_bags(tmp_path / "new") == sorted(recording.folder for recording in plan)
    assert (plan[2].folder / "metadata.yaml").stat().st_mtime_ns == kept
    assert list(collect(plan, 2)) == []
    recordings, report = read_recordings([tmp_path / "new"], 0.1)
    assert len(recordings) == 4
    assert report.transitions == 12


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ended_command_leaves_no_worker_and_no_half_recording(tmp_path: Path, how: signal.Signals) -> None:
    """Only the command itself gets the signal; what was queued is not made."""
    command = [sys.executable, "-m", "l2a_ros.cli", "collect", "--out", str(tmp_path), "--terrain", "carpet",
               "--minutes", "20", "--run-seconds", "6", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(tmp_path.glob("carpet*")):
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(how)
        # Pipes close when the last worker is gone.
        said = process.communicate()[1]
    assert process.returncode in (130, -how)
    assert "Traceback" not in said
    psutil.wait_procs(workers, timeout=60)
    assert not [worker for worker in workers if worker.is_running()]
    finished = list(tmp_path.glob("carpet*"))
    assert len(finished) < 100
    for bag in finished:
        assert len(list(read_bag(bag, ["/robot_state"]))) == 61
