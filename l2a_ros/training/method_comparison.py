# SPDX-License-Identifier: Apache-2.0
"""Several methods on one recording: what each would have predicted, learnt and commanded, tick by tick.

Every method sees what its node would have seen in a replay: the same states, the same windows of transitions, the same
fall-backs (:class:`OnlineAdapter`). Its adapted model (theta') and its trained weights (theta*) predict what came next.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Episode
from l2a_ros.learning.network import Change
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.planning.line_follower import LineFollower
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.continuity import has_begun_again, is_state_jump
from l2a_ros.robot.frames import planar_pose_of, state_change

#: The longest window that a node can be asked for, transitions.
CAPACITY = 128
#: Errors of a prediction, with their units: of all elements in the units of the first model, of the pose in SI units.
ERRORS = {"normalised": "RMS over the 24 elements of the change, in standard deviations of the first model's data",
          "position_m": "distance in the plane, m", "yaw_rad": "absolute error of the heading, rad"}
_NOTHING = dict.fromkeys(ERRORS, math.nan)


@dataclass
class Contender:
    """A method and its model.

    Args:
        label: names it in tables.
        adapter: adapts.
        follower: plans; None for without.
    """

    label: str
    adapter: OnlineAdapter
    follower: LineFollower | None = None

    def __post_init__(self) -> None:
        """Build what predicts."""
        self.trained, self.adapted = (RolloutEngine(self.adapter.checkpoint) for _ in range(2))


@dataclass
class MethodTick:
    """What a method made of one tick.

    Args:
        status: of its adaptation.
        loss_before: mean squared error on the window before the step, normalised units of its own model.
        loss_after: after the step.
        step_norm: Euclidean norm of the change.
        one_trained: errors of theta* one period ahead, by the names of ``ERRORS``; NaN where the next state is unknown.
        one_adapted: of theta'.
        far_trained: errors of theta* K periods ahead, in open loop.
        far_adapted: of theta'.
        rates: what its planner would have commanded ``(2,)`` rad/s.
    """

    status: str
    loss_before: float
    loss_after: float
    step_norm: float
    one_trained: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    one_adapted: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    far_trained: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    far_adapted: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    rates: np.ndarray | None = None


@dataclass
class ComparedTick:
    """One tick: its stamp (ns), the recorded command ``(2,)`` rad/s and what each method made of it, by label."""

    stamp: int
    recorded: np.ndarray | None
    methods: dict[str, MethodTick]


@dataclass(frozen=True)
class _Open:
    """A tick whose outcome is not known yet."""

    tick: ComparedTick
    state: np.ndarray
    changes: dict[str, Change]


class Comparison:
    """Runs the contenders.

    Args:
        contenders: with different labels, of one control period.
        future: K, periods of the open-loop prediction.

    Raises:
        UserError: if their models are of different control periods.
    """

    def __init__(self, contenders: Sequence[Contender], future: int) -> None:
        periods = {each.adapter.checkpoint.card.control_period for each in contenders}
        if len(periods) != 1:
            raise UserError(f"the models are of different control periods ({', '.join(f'{p:g} s' for p in periods)}); "
                            "compare them one by one")
        self.contenders = list(contenders)
        self.control_period = periods.pop()
        self.future = future
        self.ticks: list[ComparedTick] = []
        first = contenders[0].adapter.checkpoint
        self._units, self._frame = first.outputs.std, first.frame
        self._episode = Episode(self.control_period, max(CAPACITY, *(each.adapter.checkpoint.card.past
                                                                     for each in contenders)))
        #: Ticks from which on the recording is contiguous, newest last, and the actions between them.
        self._open: deque[_Open] = deque(maxlen=future + 1)
        self._actions: deque[np.ndarray] = deque(maxlen=future)
        self._last: tuple[int, np.ndarray] | None = None

    def set_path(self, points: np.ndarray, stamp: int) -> None:
        """Let everybody who plans follow points ``(n, 2)`` m from the tick with this stamp (ns) on."""
        for each in self.contenders:
            if each.follower is not None:
                each.follower.set_path(points, stamp)

    def tick(self, stamp: int, state: np.ndarray, recorded: np.ndarray | None, in_force: np.ndarray) -> None:
        """Take the next state.

        Args:
            stamp: ns.
            state: ``(24,)``.
            recorded: the command that answered it, ``(2,)`` rad/s; None for none.
            in_force: what was commanded on average until the next state, ``(2,)`` rad/s; zero to learn nothing.
        """
        begun_again = self._last is not None and has_begun_again(stamp, self._last[0])
        if begun_again:
            for each in self.contenders:
                each.adapter.reset()
        is_transition = self._episode.add_state(stamp, state)
        window = self._episode.window()
        if is_transition:
            self._actions.append(window.actions[-1].numpy())
            self._judge(state)
        else:
            self._open.clear()
            self._actions.clear()
        tick, changes = ComparedTick(stamp, recorded, {}), {}
        for each in self.contenders:
            adaptation = each.adapter.adapt(window, stamp)
            model = adaptation.model
            made = MethodTick(str(model.status), adaptation.loss_before, adaptation.loss_after, adaptation.step_norm)
            if each.follower is not None:
                if begun_again or (self._last is not None and is_state_jump(self._last[1], state,
                                                                            stamp - self._last[0])):
                    each.follower.restart()
                made.rates = (each.follower.decide(state, stamp, model, 0.0) if each.follower.wants_plan(stamp)
                              else each.follower.stand("no path", stamp)).rates
            tick.methods[each.label], changes[each.label] = made, model.change
        self.ticks.append(tick)
        self._open.append(_Open(tick, state, changes))
        self._last = stamp, state
        self._episode.add_command(stamp, in_force, 0.0)

    def _judge(self, state: np.ndarray) -> None:
        """Compare what was predicted one and K periods ago with the state that came."""
        if self._open:
            self._measure(self._open[-1], [self._actions[-1]], state, "one")
        if len(self._open) > self.future - 1 and len(self._actions) == self.future:
            self._measure(self._open[-self.future], list(self._actions), state, "far")

    def _measure(self, opened: _Open, actions: list[np.ndarray], truth: np.ndarray, kind: str) -> None:
        sequence = np.array(actions, dtype=np.float32)[np.newaxis]
        for each in self.contenders:
            made, change = opened.tick.methods[each.label], opened.changes[each.label]
            trained = self._errors(opened.state, each.trained.rollout(opened.state, sequence)[0, -1], truth)
            adapted = trained
            if change:
                each.adapted.set_change(change)
                adapted = self._errors(opened.state, each.adapted.rollout(opened.state, sequence)[0, -1], truth)
            setattr(made, f"{kind}_trained", trained)
            setattr(made, f"{kind}_adapted", adapted)

    def _errors(self, before: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        start, end, true = (_tensor(each) for each in (before, predicted, truth))
        apart = (state_change(start, end, self._frame) - state_change(start, true, self._frame)) / self._units
        place, yaw = planar_pose_of(np.asarray(predicted, dtype=np.float64))
        true_place, true_yaw = planar_pose_of(truth)
        return {"normalised": float(apart.square().mean().sqrt()),
                "position_m": float(np.linalg.norm(place - true_place)),
                "yaw_rad": abs(math.remainder(yaw - true_yaw, 2.0 * math.pi))}


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
