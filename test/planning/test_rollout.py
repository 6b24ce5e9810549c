# SPDX-License-Identifier: Apache-2.0
"""Many candidates at once are each candidate alone, predicted step by step with the normalisation of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_samples import naive_rollout, random_change, random_checkpoint, state_at, walker

from l2a_ros.learning.network import Factors
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.layout import STATE


def run(engine: RolloutEngine, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return engine.rollout(torch.from_numpy(state.astype(np.float32)),
                          torch.from_numpy(actions.astype(np.float32))).numpy()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([(), (8,), (20, 10), (6, 5, 4)]), st.integers(1, 6), st.integers(1, 5),
       st.sampled_from([None, 1, 4]))
def test_rollout_is_the_naive_prediction(seed: int, hidden: tuple[int, ...], count: int, horizon: int,
                                         rank: int | None) -> None:
    checkpoint = random_checkpoint(seed, hidden)
    rng = np.random.default_rng(seed)
    change = None if rank is None else random_change(checkpoint, rank, seed)
    engine = RolloutEngine(checkpoint)
    engine.set_change(change or ())
    state = state_at(*rng.uniform(-3, 3, 3)) + rng.normal(0.0, 0.1, STATE.size)
    actions = rng.uniform(13.0, 56.0, (count, horizon, 2))
    found = run(engine, state, actions)
    assert found.shape == (count, horizon, STATE.size)
    for i in range(count):
        np.testing.assert_allclose(found[i], naive_rollout(checkpoint, change, state, actions[i]),
                                   rtol=1e-3, atol=1e-3)


def test_change_is_set_and_taken_back() -> None:
    checkpoint = random_checkpoint()
    engine, state, actions = RolloutEngine(checkpoint), state_at(), np.full((2, 3, 2), 30.0)
    plain = run(engine, state, actions)
    engine.set_change(random_change(checkpoint))
    changed = run(engine, state, actions)
    assert np.abs(changed - plain).max() > 1e-2
    engine.set_change(random_change(checkpoint, seed=9))
    assert np.abs(run(engine, state, actions) - changed).max() > 1e-2
    engine.set_change(())
    np.testing.assert_array_equal(run(engine, state, actions), plain)
    np.testing.assert_array_equal(run(RolloutEngine(checkpoint), state, actions), plain)


def test_trained_weights_are_left_alone() -> None:
    checkpoint = random_checkpoint()
    before = [layer.weight.clone() for layer in checkpoint.weights]
    engine = RolloutEngine(checkpoint)
    engine.set_change(random_change(checkpoint))
    run(engine, state_at(), np.full((2, 3, 2), 30.0))
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, checkpoint.weights, strict=True))


def test_which_changes_fit() -> None:
    checkpoint = random_checkpoint(hidden=(20, 10))
    engine, change = RolloutEngine(checkpoint), random_change(checkpoint)
    assert engine.fits(change)
    assert engine.fits(())
    assert not engine.fits(change[:-1])
    assert not engine.fits([*change, change[-1]])
    assert not engine.fits(random_change(random_checkpoint(hidden=(20, 11))))
    assert not engine.fits([Factors(factors.backward, factors.forward) for factors in change])


def test_walker_walks() -> None:
    """A model that can be worked out by hand: 40 + 40 rad/s are 4 cm per step, wherever it looks."""
    for yaw in (0.0, 0.5 * np.pi, -2.0):
        states = run(RolloutEngine(walker()), state_at(1.0, 2.0, yaw), np.full((1, 5, 2), 40.0))[0]
        np.testing.assert_allclose(states[-1][:2], [1.0 + 0.2 * np.cos(yaw), 2.0 + 0.2 * np.sin(yaw)], atol=1e-5)


@pytest.mark.parametrize("count", [1, 7])
def test_one_candidate_or_many_are_the_same(count: int) -> None:
    engine, rng = RolloutEngine(random_checkpoint()), np.random.default_rng(0)
    actions = rng.uniform(13.0, 56.0, (50, 4, 2))
    np.testing.assert_allclose(run(engine, state_at(), actions[:count]), run(engine, state_at(), actions)[:count],
                               rtol=1e-4, atol=1e-5)
