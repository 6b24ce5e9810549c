# SPDX-License-Identifier: Apache-2.0
"""Each term of the cost by hand, and what holds for all of them: weight, power, sum, numbers that are not finite."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from costs_samples import bound, only, random_walks, states_of
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.planning import costs
from l2a_ros.planning.costs import PUBLISHED, TERMS, PathCost, make_terms, plain_terms
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import LegRateLimits

FASTEST = LegRateLimits().maximum
#: Files of the folder that are not terms.
MACHINERY = {"__init__", "path_cost", "registry", "term", "trajectories"}
NO_ACTIONS = np.zeros((1, 1, 2), dtype=np.float32)

seeds = st.integers(0, 2**31)
term_names = st.sampled_from(list(TERMS))


def every(**changes: float) -> dict[str, dict[str, float]]:
    """Settings with every term on."""
    return {name: {"weight": 1.0 + i, **changes} for i, name in enumerate(TERMS)}


# Each term ------------------------------------------------------------------------------------------------------------


def test_lateral_is_the_distance_to_the_segment() -> None:
    states = states_of(position_x=[[0.5, 1.0], [-0.3, 2.1]], position_y=[[0.2, -0.1], [0.4, 1.0]])
    np.testing.assert_allclose(bound(only("lateral"))(states, np.zeros((2, 2, 2))), [0.3, 0.5 + 0.1], rtol=1e-6)


def test_heading_is_the_angle_to_the_segment_the_short_way_round() -> None:
    path = LinePath(np.array([[0.0, 0.0], [-1.0, -1e-3]]))
    yaw = np.array([[math.pi], [-math.pi + 0.1], [math.pi - 0.1], [0.0], [20.0]])
    expected = [abs(math.remainder(each - math.atan2(-1e-3, -1.0), 2 * math.pi)) for each in yaw[:, 0]]
    cost = bound(only("heading"), path=path)
    np.testing.assert_allclose(cost(states_of(position_x=0 * yaw, yaw=yaw), np.zeros((5, 1, 2))), expected, rtol=1e-5)


def test_heading_does_not_mind_angle_pairs_off_the_circle() -> None:
    states = states_of(position_x=[[0.5]], yaw=[[0.3]])
    states[..., STATE.indices(["yaw_cos", "yaw_sin"])] *= 1.5
    assert bound(only("heading"))(states, NO_ACTIONS)[0] == pytest.approx(0.3, rel=1e-6)


def test_progress_is_the_gain_in_segment_lengths_but_for_the_step_that_switches() -> None:
    cost = bound(only("progress"), position=(0.2, 0.0))
    states = states_of(position_x=[[0.6, 0.5, 1.0], [1.9, 2.0, 2.0]], position_y=[[0.0, 0.0, 0.0], [0.0, 0.2, 0.6]])
    # Segments of 2 m; the second candidate goes round the corner in its second step.
    np.testing.assert_allclose(cost(states, np.zeros((2, 3, 2))), [-0.4, -(0.85 + 0.0 + 0.2)], rtol=1e-6)


def test_progress_of_a_first_step_that_switches() -> None:
    cost = bound(only("progress"), position=(1.9, 0.0))
    states = states_of(position_x=[[2.0, 2.0]], position_y=[[0.3, 0.5]])
    assert cost(states, np.zeros((1, 2, 2)))[0] == pytest.approx(-0.1)


def test_action_rate_is_the_change_against_the_step_before_and_the_command_in_force() -> None:
    actions = np.array([[[30.0, 20.0], [34.0, 20.0]]], dtype=np.float32)
    first, second = math.hypot(3.0, 4.0) / math.sqrt(2.0) / FASTEST, 4.0 / math.sqrt(2.0) / FASTEST
    cost = bound(only("action_rate"), previous=(33.0, 16.0))
    assert cost(np.zeros((1, 2, 24)), actions)[0] == pytest.approx(first + second)
    still = bound(only("action_rate"), previous=(30.0, 20.0))
    assert still(np.zeros((1, 2, 24)), actions[:, [0, 0]])[0] == 0.0


def test_effort_is_one_with_both_legs_at_the_fastest_rate() -> None:
    actions = np.array([[[FASTEST, FASTEST], [0.0, 0.0]], [[FASTEST, 0.0], [0.0, -FASTEST]]])
    np.testing.assert_allclose(bound(only("effort"))(np.zeros((2, 2, 24)), actions), [1.0, math.sqrt(2.0)])
    np.testing.assert_allclose(bound(only("effort", power=2.0))(np.zeros((2, 2, 24)), actions), [1.0, 1.0])
    np.testing.assert_allclose(bound(only("effort", fastest=2 * FASTEST))(np.zeros((2, 2, 24)), actions),
                               [0.5, math.sqrt(0.5)])


def test_forward_speed_is_along_the_heading() -> None:
    # Looking left: what goes to the left of map is forward, what goes along x is sideways.
    states = states_of(velocity_x=[[0.5, 0.0]], velocity_y=[[0.3, -0.2]], yaw=np.full((1, 2), math.pi / 2))
    cost = bound(only("forward_speed", target=0.4))
    assert cost(states, np.zeros((1, 2, 2)))[0] == pytest.approx(0.1 + 0.6, rel=1e-6)


def test_keep_in_is_the_distance_from_outside() -> None:
    states = states_of(position_x=[[0.9, 1.3], [-1.2, -2.0]], position_y=[[-0.4, 0.9], [0.0, 0.0]])
    cost = bound(only("keep_in", x_min=-1.0, x_max=1.0, y_min=-0.5, y_max=0.5))
    np.testing.assert_allclose(cost(states, np.zeros((2, 2, 2))), [0.5, 1.2], rtol=1e-6)


# All of them ----------------------------------------------------------------------------------------------------------


@given(seeds, term_names, st.floats(0.1, 100.0))
def test_weight_is_a_factor(seed: int, name: str, weight: float) -> None:
    states, actions = random_walks(seed)
    np.testing.assert_allclose(bound(only(name, weight=weight))(states, actions),
                               weight * bound(only(name))(states, actions), rtol=1e-12)


@given(seeds, term_names, st.sampled_from([0.5, 1.0, 1.7, 2.0, 3.0]), st.booleans())
def test_power_goes_to_the_size_of_each_step_and_keeps_the_sign(
        seed: int, name: str, power: float, ahead: bool) -> None:
    states, actions = random_walks(seed, horizon=1)
    position = (0.1, 0.0) if ahead else (1.9, 0.0)
    plain = bound(only(name), position)(states, actions)
    raised = bound(only(name, weight=3.0, power=power), position)(states, actions)
    np.testing.assert_allclose(raised, 3.0 * np.sign(plain) * np.abs(plain)**power, rtol=1e-9, atol=1e-12)
    assert name == "progress" or np.all(plain >= 0.0), "only progress is a reward"


@given(seeds, term_names)
def test_steps_add_up(seed: int, name: str) -> None:
    """The cost of a trajectory is that of its steps, each from where the one before ended."""
    states, actions = random_walks(seed, count=1)
    cost = PathCost(LinePath(np.array([[0.0, 0.0], [0.3, 0.0], [0.5, 0.4], [2.0, 0.5]])), only(name, power=1.3))
    seen, previous, total = cost.start(np.zeros(2)), np.array([20.0, 30.0]), 0.0
    whole = cost.at(seen, previous)(states, actions)[0]
    for step in range(states.shape[1]):
        total += cost.at(seen, previous)(states[:, step:step + 1], actions[:, step:step + 1])[0]
        seen = cost.advance(states[0, step, STATE.indices(["position_x", "position_y"])].astype(np.float64), seen)
        previous = actions[0, step].astype(np.float64)
    assert whole == pytest.approx(total, rel=1e-9, abs=1e-12)


@given(seeds, st.sampled_from([1.0, 2.0]))
def test_contributions_add_up_to_the_total(seed: int, power: float) -> None:
    states, actions = random_walks(seed)
    cost = bound(make_terms(every(power=power)))
    total = cost(states, actions)
    assert list(cost.contributions) == list(TERMS)
    assert total.dtype == np.float64
    assert total.shape == (len(states),)
    np.testing.assert_allclose(sum(cost.contributions.values()), total, rtol=1e-12)
    for name, settings in every(power=power).items():
        np.testing.assert_array_equal(cost.contributions[name], bound(only(name, **settings))(states, actions))


def test_contributions_are_those_of_the_last_call() -> None:
    (states, actions), cost = random_walks(0), bound(make_terms({}))
    assert cost.contributions == {}
    cost(states, actions)
    total = cost(states[:2], actions[:2])
    np.testing.assert_allclose(sum(cost.contributions.values()), total)


def test_each_trajectory_has_the_cost_that_it_has_alone() -> None:
    (states, actions), cost = random_walks(3, count=20), bound(make_terms(every()))
    np.testing.assert_array_equal(
        cost(states, actions), np.concatenate([cost(states[i:i + 1], actions[i:i + 1]) for i in range(20)]))


def test_states_and_actions_stay_as_they_are() -> None:
    states, actions = random_walks(1)
    before = states.copy(), actions.copy()
    states.setflags(write=False)
    actions.setflags(write=False)
    bound(make_terms(every(power=2.0)))(states, actions)
    np.testing.assert_array_equal(states, before[0])
    np.testing.assert_array_equal(actions, before[1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@given(data=st.data())
def test_candidates_that_are_not_finite_anywhere_cost_infinitely_much(bad: float, data: st.DataObject) -> None:
    states, actions = random_walks(2)
    terms = make_terms(every(power=10.0) if bad == 3e38 else data.draw(st.sampled_from([{}, every()])))
    cost = bound(terms)
    expected = cost(states, actions)
    which, step = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 4))
    if bad == 3e38:
        states[which, step, STATE.index("position_x")] = bad  # finite, but its cost is not
    else:
        states[which, step, data.draw(st.integers(0, STATE.size - 1))] = bad
    expected[which] = math.inf
    np.testing.assert_array_equal(cost(states, actions), expected)


@pytest.mark.filterwarnings("error")
def test_actions_that_are_not_finite_cost_infinitely_much_where_actions_cost() -> None:
    states, actions = random_walks(2)
    actions[1, 2, 0] = math.nan
    cost = bound(make_terms(every()))(states, actions)
    assert np.isfinite(cost).tolist() == [True, False, True, True, True, True]


def test_term_of_weight_0_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    states, actions = random_walks(0)
    monkeypatch.setattr(TERMS["heading"], "measure", lambda *_: pytest.fail("computed"))
    cost = bound(make_terms({"heading": {"weight": 0.0}}))
    cost(states, actions)
    assert list(cost.contributions) == ["lateral", "progress"]


def test_no_terms_cost_nothing() -> None:
    states, actions = random_walks(0)
    cost = bound(plain_terms({}))
    assert cost(states, actions).tolist() == [0.0] * len(states)
    states[1, 2, STATE.index("battery_voltage")] = math.nan
    assert cost(states, actions)[1] == math.inf


def test_robot_is_followed_with_the_memory_of_its_segment() -> None:
    cost = PathCost(LinePath(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])), make_terms({}))
    seen = cost.start(np.array([0.5, 0.01]))
    for position in ([0.98, 0.05], [0.95, 0.5], [0.9, 0.2]):
        seen = cost.advance(np.array(position), seen)
    assert seen.segment[0] == 1, "though the first is as near"
    assert abs(seen.lateral_error[0]) == pytest.approx(0.1)


# By name --------------------------------------------------------------------------------------------------------------


def test_every_file_of_the_folder_is_a_term_by_its_name() -> None:
    files = {file.stem for file in Path(costs.__path__[0]).glob("*.py")} - MACHINERY
    assert files == set(TERMS)
    for name, term in TERMS.items():
        assert term.name == name
        assert term.__module__.rpartition(".")[2] == name


def test_defaults_are_the_published_cost() -> None:
    assert PUBLISHED == {"lateral": 50.0, "progress": 10.0, "heading": 5.0}
    assert {term.name: term.weight for term in make_terms({})} == PUBLISHED
    assert all(term().power == 1.0 for term in TERMS.values())
    assert all(term().weight == PUBLISHED.get(name, 0.0) for name, term in TERMS.items())


def test_terms_are_made_from_settings_or_taken_as_they_are() -> None:
    heading = TERMS["heading"](weight=2.0)
    terms = make_terms({"heading": heading, "lateral": {"power": 2.0}, "progress": {"weight": 0}})
    assert terms == (TERMS["lateral"](power=2.0), heading)
    assert plain_terms({"effort": 2}) == (TERMS["effort"](weight=2.0),)


@pytest.mark.parametrize(("settings", "message"), [
    ({"latteral": {}}, "unknown cost term 'latteral'; known cost terms: lateral, progress, heading, action_rate, "
                       "effort, forward_speed, keep_in"),
    ({"lateral": {"wieght": 1.0}}, "unknown setting of cost.lateral: 'wieght'; known settings: weight, power"),
    ({"lateral": {"weight": -1.0}}, "cost.lateral.weight must be a number from 0 to 1e+06, not -1.0"),
    ({"lateral": {"weight": math.nan}}, "cost.lateral.weight must be a number from 0 to 1e+06, not nan"),
    ({"lateral": {"weight": math.inf}}, "cost.lateral.weight must be a number from 0 to 1e+06, not inf"),
    ({"lateral": {"weight": "50"}}, "cost.lateral.weight must be a number from 0 to 1e+06, not '50'"),
    ({"lateral": {"weight": True}}, "cost.lateral.weight must be a number from 0 to 1e+06, not True"),
    ({"lateral": {"power": 0.0}}, "cost.lateral.power must be a number from 0.1 to 10, not 0.0"),
    ({"keep_in": {"x_min": 2.0}}, "cost.keep_in.x_min must be below cost.keep_in.x_max, not 2 and 1.75"),
    ({"keep_in": {"y_max": math.nan}}, "cost.keep_in.y_max must be a number from -1000 to 1000, not nan"),
    ({"lateral": TERMS["heading"]()}, "the cost term 'lateral' is given the settings of 'heading'"),
    ({"lateral": None}, "the settings of cost.lateral must be numbers by name, not None"),
])
def test_bad_settings_are_refused_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make_terms(settings)  # type: ignore[arg-type]
    assert str(error.value) == message
