# SPDX-License-Identifier: Apache-2.0
"""Many robots at once: the same robots as one at a time, however they are shared out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from multiprocessing import resource_tracker

import numpy as np
import psutil
import pytest

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import STATE
from l2a_ros.simulation import fleet as fleets
from l2a_ros.simulation.fleet import Fleet, RobotSetup, draw_setups, robot_seed, throughput

SETUPS = [RobotSetup("carpet"), RobotSetup("gravel", ("missing_leg:front_left@0.3",)),
          RobotSetup("slope:12,60", heading=0.5), RobotSetup("turf", ("motor_gain:left,0.5",), full_voltage=3.7),
          RobotSetup("carpet")]
TICKS = 6
# The helper process of the multiprocessing module lives from its first use on; it is not one of a test's own processes.
resource_tracker.ensure_running()


def commands(robots: int = len(SETUPS), ticks: int = TICKS) -> np.ndarray:
    return np.random.default_rng(7).uniform(15.0, 50.0, (robots, ticks, 2)).swapaxes(0, 1)


def walk(fleet: Fleet) -> np.ndarray:
    """Return the states ``(ticks + 1, N, 24)`` of a walk from the start."""
    return np.array([fleet.reset(), *(fleet.tick(rates) for rates in commands(len(fleet)))])


def walk_with(workers: int, seed: int = 3, setups: Sequence[RobotSetup] = SETUPS) -> np.ndarray:
    with Fleet(setups, seed, workers) as fleet:
        return walk(fleet)


def children() -> set[int]:
    """Return the ids of this process's children, zombies too."""
    return {child.pid for child in psutil.Process().children()}


def test_equals_single_robots_with_any_number_of_workers() -> None:
    alone = []
    for i, setup in enumerate(SETUPS):
        robot = setup.build(robot_seed(3, i), 0.1)
        alone.append([robot.settle().state, *(robot.tick(rates).state for rates in commands()[:, i])])
    here = walk_with(1)
    assert here.shape == (TICKS + 1, len(SETUPS), STATE.size)
    assert np.isfinite(here).all()
    np.testing.assert_array_equal(here, np.array(alone).swapaxes(0, 1))
    before = children()
    assert walk_with(2).tobytes() == here.tobytes()
    assert children() == before, "no worker is left"


def test_seeds_and_resets() -> None:
    with Fleet(SETUPS[:2], 3, workers=1) as fleet:
        first = walk(fleet)
        assert walk(fleet).tobytes() == first.tobytes(), "a reset forgets everything"
        np.testing.assert_array_equal(first, walk_with(1)[:, :2], err_msg="a robot does not depend on the others")
        fleet.reset(seed=4)
        other = walk(fleet)
        assert not np.array_equal(first, other)
        np.testing.assert_array_equal(other, walk_with(1, 4, SETUPS[:2]))
        fleet.reset([RobotSetup("turf"), RobotSetup("turf")], seed=3)
        changed = walk(fleet)
        assert not np.array_equal(changed, first)
        assert not np.array_equal(changed[:, 0], changed[:, 1]), "alike, but with seeds of their own"
        with pytest.raises(UserError, match="2 robots; give it as many set-ups, not 1"):
            fleet.reset(SETUPS[:1])
    assert robot_seed(3, 0) != robot_seed(3, 1) != robot_seed(4, 1)
    assert all(0 <= robot_seed(3, i) < 2**31 for i in range(50))


def test_draws() -> None:
    terrains, faults = ["carpet", "turf", "slope:10"], ["dead_motor:left", "missing_leg:hind_left"]
    drawn = draw_setups(60, 1, terrains, faults, (3.6, 4.15))
    assert drawn == draw_setups(60, 1, terrains, faults, (3.6, 4.15))
    assert drawn[:20] == draw_setups(20, 1, terrains, faults, (3.6, 4.15))
    assert drawn != draw_setups(60, 2, terrains, faults, (3.6, 4.15))
    assert {setup.terrain for setup in drawn} == set(terrains)
    assert {setup.faults for setup in drawn} == {(), *((fault,) for fault in faults)}
    assert all(3.6 <= setup.full_voltage <= 4.15 for setup in drawn)
    assert not any(setup.faults for setup in draw_setups(20, 1, terrains))


@pytest.mark.parametrize(("setups", "workers", "expected"), [
    ([], 1, "at least one robot"), ([RobotSetup("lava")], 2, "unknown terrain 'lava'"),
    ([RobotSetup("carpet:50")], 2, "40"), ([RobotSetup(faults=("flat_tyre",))], 2, "unknown fault 'flat_tyre'"),
    (SETUPS, 0, "at least one worker"),
])
def test_bad_fleets(setups: list[RobotSetup], workers: int, expected: str) -> None:
    before = children()
    with pytest.raises(UserError, match=expected):
        Fleet(setups, workers=workers)
    assert children() == before


def test_bad_commands_and_wrong_order() -> None:
    with Fleet(SETUPS[:1], workers=1) as fleet:
        with pytest.raises(RuntimeError, match="reset the fleet before its first tick"):
            fleet.tick(np.full((1, 2), 20.0))
        before = fleet.reset()
        for bad in (np.zeros(2), np.zeros((2, 2)), np.zeros((1, 3)), np.array([[20.0, np.nan]])):
            with pytest.raises(UserError, match="1 x 2 finite crank rates"):
                fleet.tick(bad)
        assert np.isfinite(before).all()
    for _ in range(2):
        fleet.close()
    with pytest.raises(RuntimeError, match="closed"):
        fleet.reset()


def test_no_state_is_nan() -> None:
    with Fleet([SETUPS[0], RobotSetup(faults=("mocap_dropout:60@0.6",))], workers=1) as fleet:
        states = walk(fleet)
        for rates in commands(2):
            states = fleet.tick(rates)
    assert np.isfinite(states[0]).all()
    assert np.isnan(states[1]).all()


def test_a_worker_that_dies_or_fails_is_reported() -> None:
    before = children()
    with Fleet(SETUPS, workers=2) as fleet:
        fleet.reset()
        os.kill(min(children() - before), signal.SIGKILL)
        with pytest.raises(RuntimeError, match=r"the worker of robots \d to \d ended unexpectedly \(exit code -9\)"):
            fleet.tick(commands()[0])
        assert children() == before, "the other worker is ended too, and none is a zombie"
        with pytest.raises(RuntimeError, match="closed"):
            fleet.tick(commands()[0])
    with Fleet(SETUPS[:2], workers=2) as fleet:
        with pytest.raises(RuntimeError, match="robots 0 to 0 failed: RuntimeError: reset the fleet"):
            fleet.tick(commands(2)[0])
        assert children() == before


def test_a_worker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    with Fleet(SETUPS[:2], workers=2) as fleet:
        fleet.reset()
        monkeypatch.setattr(fleets, "PATIENCE", 0.2)
        monkeypatch.setattr(fleets, "_FAREWELL", 0.2)
        for child in children() - before:
            os.kill(child, signal.SIGSTOP)
        with pytest.raises(RuntimeError, match=r"has not answered for 0\.2 s"):
            fleet.tick(commands(2)[0])
        assert children() == before


def test_throughput_is_that_of_the_clock() -> None:
    times = iter([10.0, 10.5])
    assert throughput(SETUPS[:2], 1, 3, lambda: next(times)) == pytest.approx(2 * 3 * 0.1 / 0.5)
    assert throughput(SETUPS[:1], 1, 2, time.perf_counter) > 0.0
