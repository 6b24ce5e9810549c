# SPDX-License-Identifier: Apache-2.0
"""Many simulated robots in lock-step, without ROS: for training and for experiments over terrains and faults.

The 1 kHz loop of a robot is Python around MuJoCo, so threads would wait for each other; robots are shared out among
processes that stay alive, and only commands and states travel, once per control period. A robot depends on its own seed
alone: the result is the same with any number of workers, and that of a single ``InProcessRobot``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain

#: A worker that has not answered after so long is given up, s.
PATIENCE = 120.0
#: Time for a worker that was asked to end, s.
_FAREWELL = 5.0
_STREAM = 5


@dataclass(frozen=True)
class RobotSetup:
    """What one robot of the fleet walks on and what breaks, written as everywhere.

    Args:
        terrain: ``NAME[:ANGLE[,DIRECTION[,BEGIN]]]``.
        faults: ``NAME[:ARGUMENTS][@ONSET_S]`` each.
        heading: yaw at the start, rad.
        full_voltage: of the cell, V.
    """

    terrain: str = "carpet"
    faults: tuple[str, ...] = ()
    heading: float = 0.0
    full_voltage: float = Battery().full_voltage

    def build(self, seed: int, control_period: float) -> InProcessRobot:
        """Make the robot.

        Raises:
            UserError: for a terrain or fault that is not one.
        """
        return InProcessRobot(load_terrain(self.terrain), seed, [parse_fault(text) for text in self.faults],
                              control_period, self.heading, Battery(full_voltage=self.full_voltage))


def robot_seed(seed: int, number: int) -> int:
    """Return the seed of one robot of a fleet, 0 to 2^31 - 1; it does not depend on how many there are."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0]) >> 1


def draw_setups(count: int, seed: int, terrains: Sequence[str], faults: Sequence[str] = (),
                voltage: tuple[float, float] | None = None) -> list[RobotSetup]:
    """Draw what each robot meets: a terrain, a fault, a heading and a charge.

    Args:
        count: robots.
        seed: of the draws; the first robots of a larger fleet are those of a smaller one.
        terrains: to choose from.
        faults: to choose from, each as likely as no fault.
        voltage: range of the full cell, V; None for the usual one.
    """
    setups = []
    for number in range(count):
        rng = np.random.default_rng([seed, _STREAM, number])
        fault = ["", *faults][int(rng.integers(len(faults) + 1))]
        setups.append(RobotSetup(
            terrains[int(rng.integers(len(terrains)))], (fault,) if fault else (), float(rng.uniform(-np.pi, np.pi)),
            Battery().full_voltage if voltage is None else float(rng.uniform(*voltage))))
    return setups


class Fleet:
    """Robots that walk one control period at a time, all together; to be closed, or used in a ``with`` block.

    Workers import the program's main module again: a script needs the usual ``if __name__ == "__main__":``.

    Args:
        setups: one per robot.
        seed: from which every robot's own seed is derived (:func:`robot_seed`).
        workers: processes; one means none besides this one, and None one per core.
        control_period: s, a whole number of milliseconds.
        settle_ticks: control periods to stand after a reset, so that every sensor has spoken.

    Raises:
        UserError: for a terrain or a fault that is not one, or no robot.
    """

    def __init__(self, setups: Sequence[RobotSetup], seed: int = 0, workers: int | None = None,
                 control_period: float = 0.1, settle_ticks: int = 5) -> None:
        self._setups = _checked(setups)
        self._seed = seed
        share = len(os.sched_getaffinity(0)) if workers is None else workers
        if share < 1:
            raise UserError(f"a fleet needs at least one worker, not {workers}")
        share = min(share, len(self._setups))
        self._blocks = [range(len(self._setups) * i // share, len(self._setups) * (i + 1) // share)
                        for i in range(share)]
        self._local = _Block(control_period, settle_ticks) if share == 1 else None
        self._workers = [_Worker(block, control_period, settle_ticks) for block in self._blocks] if share > 1 else []
        self._closed = False

    def __len__(self) -> int:
        """Return the number of robots."""
        return len(self._setups)

    def __enter__(self) -> Self:
        """Return the fleet."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the workers."""
        self.close()

    def reset(self, setups: Sequence[RobotSetup] | None = None, seed: int | None = None) -> np.ndarray:
        """Put every robot at its start and let it come to rest.

        Args:
            setups: what the robots meet from now on, as many as before; None for the same again.
            seed: None for the same again.

        Returns:
            States ``(N, 24)``; a row is NaN where the robot's estimator has no state (its status says why).
        """
        if setups is not None:
            if len(setups) != len(self):
                raise UserError(f"this fleet has {len(self)} robots; give it as many set-ups, not {len(setups)}")
            self._setups = _checked(setups)
        self._seed = self._seed if seed is None else seed
        return self._do("reset", [[(robot_seed(self._seed, i), self._setups[i]) for i in block]
                                  for block in self._blocks])

    def tick(self, commands: np.ndarray) -> np.ndarray:
        """Walk one control period.

        Args:
            commands: crank rates ``(N, 2)``, rad/s.

        Returns:
            States ``(N, 24)`` at its end; a row is NaN where the robot's estimator has no state.
        """
        rates = np.ascontiguousarray(commands, dtype=np.float64)
        if rates.shape != (len(self), ACTION.size) or not np.isfinite(rates).all():
            raise UserError(f"commands must be {len(self)} x {ACTION.size} finite crank rates, not {rates.shape}")
        return self._do("tick", [rates[block.start:block.stop] for block in self._blocks])

    def close(self) -> None:
        """End the workers and wait for them; more than once does no harm."""
        self._closed = True
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _do(self, task: str, arguments: Sequence[Any]) -> np.ndarray:
        if self._closed:
            raise RuntimeError("the fleet is closed")
        if self._local is not None:
            return self._local.do(task, arguments[0])
        try:
            for worker, argument in zip(self._workers, arguments, strict=True):
                worker.ask(task, argument)
            return np.concatenate([worker.answer() for worker in self._workers])
        except BaseException:
            # Answers may still be under way: nothing more can be asked.
            self.close()
            raise


def throughput(setups: Sequence[RobotSetup], workers: int, ticks: int, clock: Callable[[], float],
               seed: int = 0, control_period: float = 0.1) -> float:
    """Measure how much a fleet simulates: robots times simulated seconds per second of the clock.

    Args:
        setups: the robots.
        workers: processes.
        ticks: control periods to walk after a warm-up.
        clock: gives the time, s.
        seed: of the robots and of their commands.
        control_period: s.
    """
    rng = np.random.default_rng([seed, _STREAM])
    commands = rng.uniform(20.0, 50.0, (ticks, len(setups), ACTION.size))
    with Fleet(setups, seed, workers, control_period) as fleet:
        fleet.reset()
        begin = clock()
        for rates in commands:
            fleet.tick(rates)
        return len(setups) * ticks * control_period / (clock() - begin)


def _checked(setups: Sequence[RobotSetup]) -> list[RobotSetup]:
    if not setups:
        raise UserError("a fleet needs at least one robot")
    for setup in setups:
        load_terrain(setup.terrain)
        for fault in setup.faults:
            parse_fault(fault)
    return list(setups)


class _Block:
    """The robots of one process."""

    def __init__(self, control_period: float, settle_ticks: int) -> None:
        self._control_period = control_period
        self._settle_ticks = settle_ticks
        self._robots: list[InProcessRobot] = []

    def do(self, task: str, argument: Any) -> np.ndarray:
        if task == "reset":
            self._robots = [setup.build(seed, self._control_period) for seed, setup in argument]
            estimates = [robot.settle(self._settle_ticks) for robot in self._robots]
        elif self._robots:
            estimates = [robot.tick(rates) for robot, rates in zip(self._robots, argument, strict=True)]
        else:
            raise RuntimeError("reset the fleet before its first tick")
        lost = np.full(STATE.size, np.nan)
        return np.array([lost if estimate.state is None else estimate.state for estimate in estimates])


class _Worker:
    """A process with some of the robots, seen from the fleet."""

    def __init__(self, robots: range, *timing: float) -> None:
        self._name = f"the worker of robots {robots.start} to {robots.stop - 1}"
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *timing), daemon=True)
        self._process.start()
        # Only the process itself holds its end now, so that its death ends the wait for its answer.
        theirs.close()

    def ask(self, task: str, argument: Any) -> None:
        try:
            self._pipe.send((task, argument))
        except OSError:
            raise self._death() from None

    def answer(self) -> np.ndarray:
        try:
            if not self._pipe.poll(PATIENCE):
                raise RuntimeError(f"{self._name} has not answered for {PATIENCE:g} s")
            states, error = self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if error:
            raise RuntimeError(f"{self._name} failed: {error}")
        answer: np.ndarray = states
        return answer

    def dismiss(self) -> None:
        self._pipe.close()

    def end(self) -> None:
        self._process.join(_FAREWELL)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _death(self) -> RuntimeError:
        self._process.join(_FAREWELL)
        return RuntimeError(f"{self._name} ended unexpectedly (exit code {self._process.exitcode})")


def _work(pipe: Connection[Any, Any], control_period: float, settle_ticks: int) -> None:
    """Do what the fleet asks until it closes the pipe or dies."""
    # An interrupt from the keyboard reaches the whole group; the fleet itself decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    block = _Block(control_period, settle_ticks)
    while True:
        try:
            task, argument = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            reply: tuple[np.ndarray | None, str] = (block.do(task, argument), "")
        except Exception as error:  # noqa: BLE001 (the fleet reports it)
            reply = (None, f"{type(error).__name__}: {error}")
        try:
            pipe.send(reply)
        except OSError:
            return
