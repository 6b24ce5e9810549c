# SPDX-License-Identifier: Apache-2.0
"""What computes: what the settings allow, agrees with single precision, and is the fastest."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from planning_samples import random_checkpoint, walker

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.planning import engine_choice, native_rollout
from l2a_ros.planning.costs import make_terms
from l2a_ros.planning.engine_choice import (
    AGREEMENT,
    EngineSettings,
    Option,
    Probe,
    choose,
    disagreement,
    options,
    usable_cores,
)
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.native_rollout import Kernel, NativeRollout, native_kernels
from l2a_ros.planning.rollout import Backend, RolloutEngine
from l2a_ros.planning.sampling import FINALISTS
from l2a_ros.planning.start_up import engine_probes
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.layout import Frame
from l2a_ros.robot.limits import LegRateLimits

CHECKPOINT = random_checkpoint(hidden=(30, 31))
PROBES = engine_probes(CHECKPOINT, make_terms({}), leg_rate_bounds(LegRateLimits()), 200, 6)


def machine(monkeypatch: pytest.MonkeyPatch, kernels: list[Kernel], has_cuda: bool = False,
            bfloat16: bool = True) -> None:
    """Pretend that this machine has these."""
    monkeypatch.setattr(engine_choice, "native_kernels", lambda: kernels)
    monkeypatch.setattr(engine_choice, "_has_bfloat16", lambda device: bfloat16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)


def names(**settings: str) -> list[str]:
    return [option.name for option in options(CHECKPOINT, EngineSettings(**settings))]


# What the settings allow ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "expected"), [
    ({}, ["native avx512", "torch cpu float32", "native avx512_bf16", "torch cpu bfloat16"]),
    ({"engine": "native"}, ["native avx512", "native avx512_bf16"]),
    ({"engine": "torch"}, ["torch cpu float32", "torch cpu bfloat16"]),
    ({"precision": "float32"}, ["native avx512", "torch cpu float32"]),
    ({"precision": "bfloat16"}, ["native avx512_bf16", "torch cpu bfloat16"]),
    ({"engine": "native", "precision": "float32"}, ["native avx512"]),
    ({"engine": "torch", "device": "cpu", "precision": "bfloat16"}, ["torch cpu bfloat16"]),
])
def test_settings_narrow_the_choice(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str],
                                    expected: list[str]) -> None:
    machine(monkeypatch, list(Kernel))
    assert names(**settings) == expected
    assert names(**({"device": "cpu"} | settings)) == expected


@pytest.mark.parametrize(("kernels", "expected"), [
    ([], ["torch cpu float32"]),
    ([Kernel.PORTABLE], ["native portable", "torch cpu float32"]),
    ([Kernel.PORTABLE, Kernel.AVX2], ["native avx2", "torch cpu float32"]),
    ([Kernel.PORTABLE, Kernel.AVX2, Kernel.AVX512], ["native avx512", "torch cpu float32"]),
])
def test_of_the_compiled_ones_in_single_precision_the_widest(monkeypatch: pytest.MonkeyPatch, kernels: list[Kernel],
                                                             expected: list[str]) -> None:
    machine(monkeypatch, kernels, bfloat16=False)
    assert names() == expected


@pytest.mark.parametrize(("settings", "expected"), [
    ({}, ["native avx2", "torch cpu float32", "torch cuda float32", "torch cpu bfloat16", "torch cuda bfloat16"]),
    ({"device": "cpu"}, ["native avx2", "torch cpu float32", "torch cpu bfloat16"]),
    ({"device": "cuda"}, ["torch cuda float32", "torch cuda bfloat16"]),
    ({"device": "cuda", "engine": "torch", "precision": "float32"}, ["torch cuda float32"]),
])
def test_a_graphics_processor_is_one_more(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str],
                                          expected: list[str]) -> None:
    machine(monkeypatch, [Kernel.PORTABLE, Kernel.AVX2], has_cuda=True)
    assert names(**settings) == expected


@pytest.mark.parametrize(("settings", "kernels", "bfloat16", "says"), [
    ({"device": "cuda"}, [Kernel.AVX2], True, "device 'cuda' needs a graphics processor .* so use 'cpu'"),
    ({"device": "cuda", "engine": "native"}, [Kernel.AVX2], True, "computes on the processor; use device 'cpu'"),
    ({"engine": "native"}, [], True, "install a C compiler and install l2a_ros again, or use engine 'torch'"),
    ({"engine": "native", "precision": "bfloat16"}, [Kernel.PORTABLE, Kernel.AVX2], True,
     "no native rollout in bfloat16 .*; use precision 'float32', or 'auto'"),
    ({"engine": "torch", "precision": "bfloat16"}, list(Kernel), False, "no torch rollout in bfloat16"),
    ({"precision": "bfloat16"}, [Kernel.AVX512], False, "no auto rollout in bfloat16"),
])
def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], kernels: list[Kernel],
                                   bfloat16: bool, says: str) -> None:
    machine(monkeypatch, kernels, bfloat16=bfloat16)
    for ask in (options, lambda *given: choose(*given, PROBES, None)):
        with pytest.raises(UserError, match=says) as error:
            ask(CHECKPOINT, EngineSettings(**settings))
        assert "\n" not in str(error.value)


def test_everything_that_is_listed_can_be_made_and_predicts() -> None:
    """The real ones of this machine, in both frames."""
    for frame in Frame:
        checkpoint = random_checkpoint(2, (40, 33), frame)
        probe = engine_probes(checkpoint, make_terms({}), leg_rate_bounds(LegRateLimits()), 20, 3)[1]
        expected = RolloutEngine(checkpoint).rollout(probe.state, probe.actions).copy()
        found = options(checkpoint, EngineSettings())
        assert len([option for option in found if option.name.startswith("native")]) == min(
            len({kernel is Kernel.AVX512_BF16 for kernel in native_kernels()}), 2)
        for option in found:
            states = RolloutEngine(checkpoint, option.make()).rollout(probe.state, probe.actions)
            tolerance = 1e-4 if option.precision == "float32" else 0.03 * np.abs(expected - probe.state).max()
            np.testing.assert_allclose(states, expected, atol=tolerance, err_msg=option.name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no graphics processor")
def test_graphics_processor_is_chosen_and_predicts() -> None:
    choice = choose(CHECKPOINT, EngineSettings(device="cuda", precision="float32"), PROBES, None)
    assert choice.name == "torch cuda float32"
    np.testing.assert_allclose(RolloutEngine(CHECKPOINT, choice.backend).rollout(PROBES[0].state, PROBES[0].actions),
                               RolloutEngine(CHECKPOINT).rollout(PROBES[0].state, PROBES[0].actions), atol=1e-3)


def test_threads() -> None:
    assert EngineSettings(threads=3).thread_count == 3
    assert EngineSettings().thread_count == usable_cores() >= 1


# How far off ---------------------------------------------------------------------------------------------------------


class Told:
    """Predicts numbers that it was given, one per sequence, in the first element of every state."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def set_weights(self, weights: object) -> None:
        """Nothing depends on them."""

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0.0
        out[:, :, 0] = self._numbers[:, np.newaxis]


def gap(costs: np.ndarray, truth: np.ndarray) -> float:
    """The disagreement of an engine that finds these costs."""
    count = len(truth)
    probe = Probe(np.zeros(24), np.zeros((count, 1, 2), np.float32), lambda states, _: states[:, 0, 0].astype(float))
    return disagreement(RolloutEngine(walker(), Told(np.asarray(costs, float))), probe, np.asarray(truth, float))


TRUTH = np.arange(10.0, 110.0)


def test_same_costs_are_no_disagreement() -> None:
    assert gap(TRUTH, TRUTH) == 0.0
    assert gap(TRUTH[::-1], TRUTH[::-1]) == 0.0
    assert gap(-TRUTH, -TRUTH) == 0.0


def test_what_is_among_the_finalists_is_found() -> None:
    """The exact model decides between them, so their order does not matter, nor what the rough one says they cost."""
    rough = TRUTH.copy()
    rough[:FINALISTS] = rough[:FINALISTS][::-1] - 500.0
    assert gap(rough, TRUTH) == 0.0
    rough = TRUTH.copy()
    rough[0] = TRUTH[FINALISTS - 1] - 0.5
    assert gap(rough, TRUTH) == 0.0


def test_best_that_is_missed_is_what_the_next_costs_more() -> None:
    rough = TRUTH.copy()
    rough[:2] = 1000.0
    # 12 instead of 10, by the larger of 10 and how far costs are spread.
    assert gap(rough, TRUTH) == pytest.approx(2.0 / TRUTH.std())
    truth = TRUTH + 990.0
    rough = truth.copy()
    rough[:2] = 5000.0
    assert gap(rough, truth) == pytest.approx(2.0 / 1000.0)
    assert gap(-TRUTH, TRUTH) == pytest.approx((110.0 - FINALISTS - 10.0) / TRUTH.std()), "everything upside down"


def test_costs_around_zero_are_measured_by_their_spread() -> None:
    truth = TRUTH - 10.0
    rough = truth.copy()
    rough[0] = 1000.0
    assert gap(rough, truth) == pytest.approx(1.0 / truth.std())
    assert math.isfinite(gap(np.zeros(40), np.zeros(40)))


def test_sequences_that_blow_up() -> None:
    truth = TRUTH.copy()
    truth[5] = np.inf
    assert gap(truth, truth) == 0.0
    assert gap(np.where(TRUTH == 10.0, np.nan, TRUTH), TRUTH) == pytest.approx(1.0 / TRUTH.std()), "one lost by NaN"
    assert gap(np.full(100, 1.0), np.full(100, np.inf)) == 0.0, "there is no plan to be found"
    truth = np.where(np.arange(100) < 50, np.inf, TRUTH)
    assert gap(TRUTH, truth) == math.inf, "every finalist blows up"


@pytest.mark.parametrize("count", [1, FINALISTS, 100])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_engine_without_a_finite_prediction_disagrees(count: int, value: float) -> None:
    """Also where the first sequences, or all of them, are as good as the best."""
    assert gap(np.full(count, value), TRUTH[:count]) > AGREEMENT


# The choice ----------------------------------------------------------------------------------------------------------


class Clock:
    """Goes on only while a backend computes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(TorchRollout):
    """A right backend that takes these times, one after the other, then the last."""

    def __init__(self, clock: Clock, *seconds: float) -> None:
        super().__init__(CHECKPOINT.frame)
        self._clock, self._seconds = clock, list(seconds)

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        super().rollout(state, actions, out)
        self._clock.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]


class Broken(TorchRollout):
    """Takes each sequence for another one; on one probe alone if told."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__(CHECKPOINT.frame)
        self._only = only

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        super().rollout(state, actions, out)
        if self._only is None or np.array_equal(actions, PROBES[self._only].actions):
            out[:] = out[::-1].copy()


def offer(monkeypatch: pytest.MonkeyPatch, **made: tuple[str, Callable[[], Backend]]) -> None:
    monkeypatch.setattr(engine_choice, "options", lambda checkpoint, settings: sorted(
        [Option(name, precision, make) for name, (precision, make) in made.items()],
        key=lambda option: option.precision != "float32"))


def test_the_fastest_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for slow, fast in (("a", "b"), ("b", "a")):
        offer(monkeypatch, **{slow: ("float32", lambda: Timed(clock, 0.02)),
                              fast: ("float32", lambda: Timed(clock, 0.01))})
        choice = choose(CHECKPOINT, EngineSettings(), PROBES, clock)
        assert (choice.name, choice.seconds, choice.refused) == (fast, pytest.approx(0.01), ())
        assert isinstance(choice.backend, Timed)
        assert choice.exact is None


def test_a_busy_moment_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes are a backend's first rollouts and not timed; of the timed ones the shortest counts."""
    clock = Clock()
    first = [5.0] * len(PROBES)
    offer(monkeypatch, quick=("float32", lambda: Timed(clock, *first, 0.05, 0.09, 0.01, 0.3)),
          steady=("float32", lambda: Timed(clock, 0.02)))
    choice = choose(CHECKPOINT, EngineSettings(), PROBES, clock)
    assert (choice.name, choice.seconds) == ("quick", pytest.approx(0.01))


def test_without_a_clock_it_is_the_first_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    offer(monkeypatch, rough=("bfloat16", lambda: Timed(clock, 0.001)), first=("float32", lambda: Timed(clock, 0.03)),
          second=("float32", lambda: Timed(clock, 0.01)))
    for _ in range(3):
        choice = choose(CHECKPOINT, EngineSettings(), PROBES, None)
        assert (choice.name, choice.precision, choice.exact) == ("first", "float32", None)
        assert math.isnan(choice.seconds)


def test_bfloat16_has_single_precision_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    offer(monkeypatch, rough=("bfloat16", lambda: Timed(clock, 0.001)), exact=("float32", lambda: Timed(clock, 0.03)))
    choice = choose(CHECKPOINT, EngineSettings(), PROBES, clock)
    assert (choice.name, choice.precision) == ("rough", "bfloat16")
    assert isinstance(choice.exact, Timed)
    assert choice.exact is not choice.backend


@pytest.mark.skipif(Kernel.AVX512_BF16 not in native_kernels(), reason="this processor has no bfloat16")
def test_bfloat16_alone_is_decided_by_the_compiled_single_precision() -> None:
    choice = choose(CHECKPOINT, EngineSettings(engine="native", precision="bfloat16"), PROBES, None)
    assert choice.precision == "bfloat16"
    assert isinstance(choice.exact, NativeRollout)


def test_a_backend_that_does_not_run_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> TorchRollout:
        raise RuntimeError("out of memory\nmore of it")

    offer(monkeypatch, lost=("float32", lost), right=("float32", lambda: TorchRollout(Frame.HEADING)))
    choice = choose(CHECKPOINT, EngineSettings(), PROBES, None)
    assert choice.name == "right"
    assert choice.refused == ("lost does not run: out of memory",)


def test_native_on_a_graphics_processor_is_refused() -> None:
    with pytest.raises(UserError, match="device 'cpu'"):
        options(CHECKPOINT, EngineSettings(engine="native", device="cuda"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("timed", [True, False])
def test_what_disagrees_is_refused_and_named(monkeypatch: pytest.MonkeyPatch, precision: str, timed: bool) -> None:
    clock = Clock()
    offer(monkeypatch, wrong=(precision, lambda: Broken()),
          right=("float32", lambda: Timed(clock, 9.0)))
    choice = choose(CHECKPOINT, EngineSettings(), PROBES, clock if timed else None)
    assert choice.name == "right"
    [reason] = choice.refused
    assert reason.startswith("wrong is off by ")
    assert reason.endswith(" %")
    assert float(reason.split()[-2]) > 1.0


def test_if_all_disagree_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, one=("bfloat16", lambda: Broken()),
          other=("bfloat16", lambda: Broken()))
    with pytest.raises(UserError, match="one is off by .*; other is off by .*; use precision 'float32'"):
        choose(CHECKPOINT, EngineSettings(precision="bfloat16"), PROBES, None)


@pytest.mark.parametrize("bad", range(len(PROBES)))
def test_one_bad_probe_is_enough(monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    offer(monkeypatch, wrong=("bfloat16", lambda: Broken(bad)), right=("float32", lambda: TorchRollout(Frame.HEADING)))
    assert len(choose(CHECKPOINT, EngineSettings(), PROBES, None).refused) == 1


def test_single_precision_has_nobody_to_decide_between_its_finalists(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be right itself, also where all sequences are finalists."""
    few = engine_probes(CHECKPOINT, make_terms({}), leg_rate_bounds(LegRateLimits()), FINALISTS, 6)
    offer(monkeypatch, wrong=("float32", lambda: Broken()), right=("float32", lambda: TorchRollout(Frame.HEADING)))
    assert choose(CHECKPOINT, EngineSettings(), few, None).name == "right"


def test_without_probes_the_first_is_taken() -> None:
    choice = choose(CHECKPOINT, EngineSettings(), [], Clock())
    assert choice.name == options(CHECKPOINT, EngineSettings())[0].name
    assert math.isnan(choice.seconds)


def test_the_same_without_a_clock_every_time_here() -> None:
    choices = [choose(CHECKPOINT, EngineSettings(), PROBES, None) for _ in range(2)]
    assert choices[0].name == choices[1].name
    assert choices[0].precision == "float32"
    a, b = (RolloutEngine(CHECKPOINT, choice.backend).rollout(PROBES[1].state, PROBES[1].actions) for choice in choices)
    np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(Kernel.AVX512_BF16 not in native_kernels(), reason="this processor has no bfloat16")
@pytest.mark.parametrize("method", ["grbal", "mb"])
def test_shipped_models_agree_in_bfloat16(method: str) -> None:
    checkpoint = load_checkpoint(shipped_checkpoint(method))
    probes = engine_probes(checkpoint, make_terms({}), leg_rate_bounds(LegRateLimits()), 500, 10)
    choice = choose(checkpoint, EngineSettings("native", precision="bfloat16"), probes, None)
    assert (choice.name, choice.refused) == ("native avx512_bf16", ())
    reference = RolloutEngine(checkpoint)
    engine = RolloutEngine(checkpoint, choice.backend)
    for probe in probes:
        truth = probe.cost(reference.rollout(probe.state, probe.actions), probe.actions)
        assert disagreement(engine, probe, truth) <= AGREEMENT == 0.01


# The compiled library ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cc") is None, reason="no compiler")
def test_this_installation_has_the_compiled_rollout() -> None:
    """Without this test a build that fails would only be slow."""
    assert Kernel.PORTABLE in native_kernels()


def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    native_rollout._library.cache_clear()
    monkeypatch.setattr(native_rollout, "_INTERFACE", 1)
    try:
        assert native_kernels() == []
    finally:
        native_rollout._library.cache_clear()
