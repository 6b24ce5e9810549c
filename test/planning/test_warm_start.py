# SPDX-License-Identifier: Apache-2.0
"""What is left of a plan: properties of sliding it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from l2a_ros.planning.warm_start import slide

BEGIN, PERIOD = 1_795_000_000_123_456_789, 0.1
TICK = 100_000_000

plans = st.tuples(st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-100.0, 100.0)))


def slid(actions: np.ndarray, elapsed: int) -> np.ndarray:
    moved = slide(actions, BEGIN, BEGIN + elapsed, PERIOD)
    assert moved is not None and moved.shape == actions.shape
    return moved


@given(plans)
def test_at_once_it_is_the_plan(actions: np.ndarray) -> None:
    moved = slid(actions, 0)
    np.testing.assert_array_equal(moved, actions)
    assert not np.shares_memory(moved, actions)


@given(plans, st.data())
def test_whole_steps_shift_it_and_repeat_the_last(actions: np.ndarray, data: st.DataObject) -> None:
    steps = data.draw(st.integers(0, len(actions) - 1))
    expected = [actions[min(t + steps, len(actions) - 1)] for t in range(len(actions))]
    np.testing.assert_array_equal(slid(actions, steps * TICK), expected)


@given(plans, st.data())
def test_an_action_between_two_is_their_average_over_time(actions: np.ndarray, data: st.DataObject) -> None:
    """Each action of the new plan is the mean over its period of what the old one would have done."""
    elapsed = data.draw(st.integers(0, 100 * len(actions) - 1)) * TICK // 100
    # In hundredths of a step, the last action for ever.
    fine = np.repeat(np.concatenate([actions, np.repeat(actions[-1:], len(actions), axis=0)]), 100, axis=0)
    begin = elapsed * 100 // TICK
    expected = fine[begin:begin + 100 * len(actions)].reshape(len(actions), 100, -1).mean(axis=1)
    np.testing.assert_allclose(slid(actions, elapsed), expected, atol=1e-9)


@given(plans, st.data())
def test_it_stays_between_the_actions_of_the_plan(actions: np.ndarray, data: st.DataObject) -> None:
    moved = slid(actions, data.draw(st.integers(0, TICK * len(actions) - 1)))
    assert np.all(moved >= actions.min(axis=0) - 1e-9) and np.all(moved <= actions.max(axis=0) + 1e-9)


@given(plans, st.data())
def test_two_whole_slides_are_one(actions: np.ndarray, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(actions) - 1))
    second = data.draw(st.integers(0, len(actions) - 1 - first))
    once, then = slid(actions, (first + second) * TICK), slid(slid(actions, first * TICK), second * TICK)
    np.testing.assert_array_equal(then, once)


@given(plans, st.data())
def test_a_constant_plan_stays_as_it_is(actions: np.ndarray, data: st.DataObject) -> None:
    constant = np.tile(actions[:1], (len(actions), 1))
    moved = slid(constant, data.draw(st.integers(0, TICK * len(actions) - 1)))
    np.testing.assert_allclose(moved, constant, atol=1e-12)


@given(plans, st.integers(1, 2**62))
def test_nothing_is_left_after_its_end_or_before_its_begin(actions: np.ndarray, far: int) -> None:
    end = BEGIN + len(actions) * TICK
    assert slide(actions, BEGIN, end, PERIOD) is None
    assert slide(actions, BEGIN, end + far, PERIOD) is None
    assert slide(actions, BEGIN, BEGIN - far, PERIOD) is None
    assert slide(actions, BEGIN, end - 1, PERIOD) is not None


@pytest.mark.parametrize("period", [0.05, 0.07, 0.1, 1.0 / 3.0])
def test_periods_that_are_no_whole_nanoseconds(period: float) -> None:
    """A stamp of one step later is that, whatever rounding says."""
    actions = np.arange(12.0).reshape(6, 2)
    for steps in range(5):
        moved = slide(actions, BEGIN, BEGIN + round(steps * period * 1e9), period)
        np.testing.assert_allclose(moved, actions[[min(t + steps, 5) for t in range(6)]], atol=1e-7)
