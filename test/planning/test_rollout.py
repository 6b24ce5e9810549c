# SPDX-License-Identifier: Apache-2.0
"""The engine: whatever computes, it predicts as the plain model does, with the change that was set last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_samples import naive_rollout, random_change, random_checkpoint, state_at, walker

from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Change, Factors, Layer
from l2a_ros.planning.native_rollout import Kernel, NativeRollout, native_kernels
from l2a_ros.planning.plan import RoughModel
from l2a_ros.planning.rollout import Backend, RolloutEngine
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.frames import frame_tables
from l2a_ros.robot.layout import STATE, Frame


def by_torch(checkpoint: Checkpoint) -> Backend:
    return TorchRollout(checkpoint.frame)


def by_kernel(kernel: Kernel) -> Callable[[Checkpoint], Backend]:
    def make(checkpoint: Checkpoint) -> Backend:
        sizes = [checkpoint.weights[0].weight.shape[1], *(len(layer.bias) for layer in checkpoint.weights)]
        return NativeRollout(kernel, sizes, frame_tables(checkpoint.frame), STATE.size, 2)
    return make


#: What predicts in single precision here.
SINGLE = {"torch": by_torch, **{kernel.name: by_kernel(kernel) for kernel in native_kernels()
                                if kernel is not Kernel.AVX512_BF16}}
backends = pytest.mark.parametrize("make", SINGLE.values(), ids=SINGLE)


def run(engine: RolloutEngine, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return engine.rollout(state, actions).copy()


def dense_change(checkpoint: Checkpoint, seed: int, scale: float = 0.2) -> list[Layer]:
    generator = torch.Generator().manual_seed(seed)
    return [Layer(torch.randn(layer.weight.shape, generator=generator) * scale,
                  torch.randn(layer.bias.shape, generator=generator) * scale) for layer in checkpoint.weights]


def change_of(kind: str, checkpoint: Checkpoint, seed: int) -> Change:
    low, dense = random_change(checkpoint, 1 + seed % 5, seed), dense_change(checkpoint, seed)
    return {"none": (), "low rank": low, "dense": dense, "mixed": [*low[:1], *dense[1:]]}[kind]


def in_double(part: Any) -> Any:
    return type(part)(*(getattr(part, field.name).double() for field in dataclasses.fields(part)))


@backends
@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([(), (8,), (20, 10), (6, 5, 4)]), st.sampled_from(list(Frame)),
       st.sampled_from(["none", "low rank", "dense", "mixed"]), st.integers(1, 6), st.integers(1, 5))
def test_rollout_is_the_plain_prediction_step_by_step(make: Callable[[Checkpoint], Backend], seed: int,
                                                      hidden: tuple[int, ...], frame: Frame, kind: str, count: int,
                                                      horizon: int) -> None:
    checkpoint = random_checkpoint(seed, hidden, frame)
    change = change_of(kind, checkpoint, seed)
    double = dataclasses.replace(checkpoint, weights=[in_double(layer) for layer in checkpoint.weights])
    engine, rng = RolloutEngine(checkpoint, make(checkpoint)), np.random.default_rng(seed)
    engine.set_change(change)
    state = state_at(*rng.uniform(-3, 3, 3)) + rng.normal(0.0, 0.1, STATE.size)
    actions = rng.uniform(13.0, 56.0, (count, horizon, 2))
    found = run(engine, state, actions)
    assert found.shape == (count, horizon, STATE.size)
    assert found.dtype == np.float32
    before = np.concatenate([np.tile(state, (count, 1, 1)), found[:, :-1]], axis=1)
    for step in range(horizon):
        # From where the engine itself got to.
        expected = double.predict(torch.from_numpy(before[:, step]).double(),
                                  torch.from_numpy(actions[:, step]).double(), [in_double(part) for part in change])
        # Inputs of 56 rad/s lose three digits where normalisation takes off a mean of 33.
        np.testing.assert_allclose(found[:, step], expected.numpy(), rtol=2e-5, atol=2e-5)


@backends
def test_change_is_set_and_taken_back(make: Callable[[Checkpoint], Backend]) -> None:
    checkpoint = random_checkpoint()
    engine, state, actions = RolloutEngine(checkpoint, make(checkpoint)), state_at(), np.full((2, 3, 2), 30.0)
    plain = run(engine, state, actions)
    engine.set_change(random_change(checkpoint))
    changed = run(engine, state, actions)
    assert np.abs(changed - plain).max() > 1e-2
    engine.set_change(dense_change(checkpoint, 9))
    assert np.abs(run(engine, state, actions) - changed).max() > 1e-2
    engine.set_change(random_change(checkpoint))
    np.testing.assert_array_equal(run(engine, state, actions), changed)
    engine.set_change(())
    np.testing.assert_array_equal(run(engine, state, actions), plain)
    np.testing.assert_array_equal(run(RolloutEngine(checkpoint, make(checkpoint)), state, actions), plain)


@backends
def test_trained_weights_are_left_alone(make: Callable[[Checkpoint], Backend]) -> None:
    checkpoint = random_checkpoint()
    before = [(layer.weight.clone(), layer.bias.clone()) for layer in checkpoint.weights]
    engine, change = RolloutEngine(checkpoint, make(checkpoint)), dense_change(checkpoint, 1)
    of_change = [part.weight.clone() for part in change]
    engine.set_change(change)
    run(engine, state_at(), np.full((2, 3, 2), 30.0))
    for (weight, bias), layer in zip(before, checkpoint.weights, strict=True):
        assert torch.equal(weight, layer.weight)
        assert torch.equal(bias, layer.bias)
    assert all(torch.equal(weight, part.weight) for weight, part in zip(of_change, change, strict=True))


def test_which_changes_fit() -> None:
    checkpoint = random_checkpoint(hidden=(20, 10))
    engine, change = RolloutEngine(checkpoint), random_change(checkpoint)
    dense = dense_change(checkpoint, 0)
    assert engine.fits(change)
    assert engine.fits(dense)
    assert engine.fits([change[0], *dense[1:]])
    assert engine.fits(())
    for one in (change, dense):
        assert not engine.fits(one[:-1])
        assert not engine.fits([*one, one[-1]])
        assert not engine.fits(one[::-1])
    assert not engine.fits(random_change(random_checkpoint(hidden=(20, 11))))
    assert not engine.fits(random_change(random_checkpoint(hidden=(20, 10), frame=Frame.MAP)))
    assert not engine.fits([Factors(factors.backward, factors.forward) for factors in change])
    assert not engine.fits([Layer(part.weight.T, part.bias) for part in dense])


@backends
def test_changes_that_do_not_fit_are_refused_and_change_nothing(make: Callable[[Checkpoint], Backend]) -> None:
    checkpoint = random_checkpoint()
    engine, change = RolloutEngine(checkpoint, make(checkpoint)), random_change(checkpoint)
    engine.set_change(change)
    before = run(engine, state_at(), np.full((2, 3, 2), 30.0))
    other, dense = random_change(checkpoint, seed=1), dense_change(checkpoint, 1)
    for wrong in (other[:-1], [*other, other[-1]], [*other[:-1], Factors(other[-1].forward, other[-2].backward)],
                  [*dense[:-1], Layer(dense[-1].weight[:-1], dense[-1].bias[:-1])], random_change(walker())):
        with pytest.raises(ValueError, match="does not fit"):
            engine.set_change(wrong)
        np.testing.assert_array_equal(run(engine, state_at(), np.full((2, 3, 2), 30.0)), before)


@backends
def test_walker_walks(make: Callable[[Checkpoint], Backend]) -> None:
    """A model that can be worked out by hand: 40 + 40 rad/s are 4 cm per step, wherever it looks."""
    for yaw in (0.0, 0.5 * np.pi, -2.0):
        states = run(RolloutEngine(walker(), make(walker())), state_at(1.0, 2.0, yaw), np.full((1, 5, 2), 40.0))[0]
        np.testing.assert_allclose(states[-1][:2], [1.0 + 0.2 * np.cos(yaw), 2.0 + 0.2 * np.sin(yaw)], atol=1e-5)


@backends
@pytest.mark.parametrize("count", [1, 7])
def test_one_candidate_or_many_are_the_same(make: Callable[[Checkpoint], Backend], count: int) -> None:
    checkpoint = random_checkpoint()
    engine, rng = RolloutEngine(checkpoint, make(checkpoint)), np.random.default_rng(0)
    actions = rng.uniform(13.0, 56.0, (50, 4, 2))
    np.testing.assert_allclose(run(engine, state_at(), actions[:count]), run(engine, state_at(), actions)[:count],
                               rtol=1e-4, atol=1e-5)


@backends
def test_answers_of_other_sizes_are_kept(make: Callable[[Checkpoint], Backend]) -> None:
    """The array of an answer is used again by the next question of its size, and by no other."""
    checkpoint, rng = random_checkpoint(), np.random.default_rng(0)
    engine = RolloutEngine(checkpoint, make(checkpoint), make(checkpoint))
    assert engine.exact is not None
    shapes = [(6, 4), (1, 1), (6, 3), (5, 4), (4, 6), (12, 2)]
    asked = [rng.uniform(13.0, 56.0, (*shape, 2)) for shape in shapes]
    answers = [engine.rollout(state_at(), actions) for actions in asked]
    copies = [answer.copy() for answer in answers]
    exact = engine.exact.rollout(state_at(0.0, 0.0, 1.0), asked[0])
    for answer, copy, actions in zip(answers, copies, asked, strict=True):
        np.testing.assert_array_equal(answer, copy)
        np.testing.assert_array_equal(copy, run(RolloutEngine(checkpoint, make(checkpoint)), state_at(), actions))
    assert not np.shares_memory(exact, answers[0])
    again = engine.rollout(state_at(), asked[0] + 1.0)
    assert again is answers[0]
    assert not np.array_equal(again, copies[0])


@backends
def test_any_kind_of_array_will_do(make: Callable[[Checkpoint], Backend]) -> None:
    checkpoint, rng = random_checkpoint(), np.random.default_rng(0)
    engine = RolloutEngine(checkpoint, make(checkpoint))
    actions = rng.uniform(13.0, 56.0, (6, 4, 2)).astype(np.float32)
    expected = run(engine, state_at(), actions)
    for other in (actions.astype(np.float64), np.asfortranarray(actions), np.repeat(actions, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(run(engine, np.repeat(state_at(), 2)[::2], other), expected)


# Rough and exact -----------------------------------------------------------------------------------------------------


def test_a_model_in_single_precision_has_none_beside_it() -> None:
    engine = RolloutEngine(walker())
    assert isinstance(engine, RoughModel)
    assert engine.exact is None


def test_the_exact_model_follows_every_change() -> None:
    checkpoint, rng = random_checkpoint(hidden=(40, 40)), np.random.default_rng(0)
    engine = RolloutEngine(checkpoint, TorchRollout(checkpoint.frame, dtype=torch.bfloat16),
                           TorchRollout(checkpoint.frame))
    actions = rng.uniform(13.0, 56.0, (6, 4, 2))
    assert engine.exact is not None
    for change in ((), random_change(checkpoint), ()):
        engine.set_change(change)
        plain = RolloutEngine(checkpoint)
        plain.set_change(change)
        expected = run(plain, state_at(), actions)
        np.testing.assert_array_equal(run(engine.exact, state_at(), actions), expected)
        rough = run(engine, state_at(), actions)
        moved = np.abs(expected - state_at()).max()
        assert 1e-5 * moved < np.abs(rough - expected).max() < 0.03 * moved, "rough, but not wrong"


# PyTorch's own in bfloat16 -------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([(8,), (40, 33), (30, 30, 30)]), st.sampled_from(list(Frame)))
def test_pytorch_in_bfloat16_is_close(seed: int, hidden: tuple[int, ...], frame: Frame) -> None:
    """Single-precision first layer: voltages and rates are not rounded, only what is made of them."""
    checkpoint, rng = random_checkpoint(seed, hidden, frame), np.random.default_rng(seed)
    state, actions = state_at(*rng.uniform(-3, 3, 3)), rng.uniform(13.0, 56.0, (9, 1, 2))
    expected = naive_rollout(checkpoint, None, state, actions[0])[0]
    rough = run(RolloutEngine(checkpoint, TorchRollout(frame, dtype=torch.bfloat16)), state, actions)
    change = np.abs(rough[0, 0] - expected)
    # Eight bits; each layer rounds weights and what enters, and sums some tens of such products.
    assert change.max() < 0.1 * np.abs(expected - state).max()
    assert np.isfinite(rough).all()
    actions[3, 0, 1] = np.nan
    spoiled = run(RolloutEngine(checkpoint, TorchRollout(frame, dtype=torch.bfloat16)), state, actions)
    np.testing.assert_array_equal(np.isfinite(spoiled).all(axis=(1, 2)), np.arange(9) != 3)
