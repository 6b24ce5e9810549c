# SPDX-License-Identifier: Apache-2.0
"""The state seen from the robot's own heading: where it stands and which way it looks must not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from l2a_ros.robot.frames import (
    FrameTables,
    apply_change,
    frame_tables,
    heading_frame,
    model_input,
    part_of_a_step,
    planar_pose,
    planar_pose_of,
    planar_track,
    state_change,
    with_planar_pose,
)
from l2a_ros.robot.layout import ACTION, INPUT_SIZE, INPUT_STATE_NAMES, OUTPUT_SIZE, STATE, Frame, input_size

ANGLES = ("roll", "pitch", "yaw", "left_leg", "right_leg")
seeds, shapes = st.integers(0, 2**31), st.sampled_from([(), (1,), (5,), (2, 3), (4, 2, 3)])


def random_states(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Draw states whose angle pairs lie on the circle."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(*shape, STATE.size))
    for name in ANGLES:
        angle = rng.uniform(-math.pi, math.pi, shape)
        states[..., STATE.index(f"{name}_cos")] = np.cos(angle)
        states[..., STATE.index(f"{name}_sin")] = np.sin(angle)
    return torch.from_numpy(states)


def moved(states: Tensor, x: float, y: float, turn: float) -> Tensor:
    """Move the whole map in the plane, written element by element."""
    result = states.clone()
    cosine, sine = math.cos(turn), math.sin(turn)
    for first, second in (("position_x", "position_y"), ("velocity_x", "velocity_y"), ("yaw_cos", "yaw_sin")):
        a, b = states[..., STATE.index(first)], states[..., STATE.index(second)]
        result[..., STATE.index(first)] = cosine * a - sine * b
        result[..., STATE.index(second)] = sine * a + cosine * b
    result[..., STATE.index("position_x")] += x
    result[..., STATE.index("position_y")] += y
    return result


def test_sizes() -> None:
    assert (INPUT_SIZE, OUTPUT_SIZE) == (21, 24)
    assert set(STATE.names) - set(INPUT_STATE_NAMES) == {
        "position_x", "position_y", "position_z", "yaw_cos", "yaw_sin"}


@settings(max_examples=60)
@given(seeds, shapes)
def test_apply_change_inverts_state_change(seed: int, shape: tuple[int, ...]) -> None:
    states, following = random_states(seed, shape), random_states(seed + 1, shape)
    torch.testing.assert_close(apply_change(states, state_change(states, following)), following, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(seeds, shapes, st.floats(-50, 50), st.floats(-50, 50), st.floats(-10, 10))
def test_moving_the_map_changes_nothing(seed: int, shape: tuple[int, ...], x: float, y: float, turn: float) -> None:
    states, following = random_states(seed, shape), random_states(seed + 1, shape)
    actions = torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, ACTION.size)))
    there, following_there = moved(states, x, y, turn), moved(following, x, y, turn)
    torch.testing.assert_close(model_input(there, actions), model_input(states, actions), rtol=1e-9, atol=1e-9)
    change = state_change(states, following)
    torch.testing.assert_close(state_change(there, following_there), change, rtol=1e-9, atol=1e-9)
    # ... and what is predicted moves along.
    torch.testing.assert_close(apply_change(there, change), moved(apply_change(states, change), x, y, turn),
                               rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(seeds)
def test_each_angle_pair_is_put_back_on_the_circle(seed: int) -> None:
    states = random_states(seed, (7,))
    rough = torch.from_numpy(np.random.default_rng(seed).normal(0.0, 0.3, (7, STATE.size)))
    following = apply_change(states, rough)
    for name in ANGLES:
        pair = following[:, STATE.indices([f"{name}_cos", f"{name}_sin"])]
        torch.testing.assert_close(pair.norm(dim=-1), torch.ones(7, dtype=torch.float64))
    others = [name for name in STATE.names if not name.endswith(("_cos", "_sin"))
              and name not in ("position_x", "position_y", "velocity_x", "velocity_y")]
    picked = STATE.indices(others)
    torch.testing.assert_close(following[:, picked], (states + rough)[:, picked])


def test_pair_of_zero_length_stays_finite() -> None:
    states = random_states(0, ())
    change = torch.zeros(STATE.size, dtype=torch.float64)
    for name in ("roll_cos", "roll_sin"):
        change[STATE.index(name)] = -states[STATE.index(name)]
    assert torch.isfinite(apply_change(states, change)).all()


def test_known_example() -> None:
    """Looking along +y at (1, 2): a step of 0.3 m ahead and 0.1 m to the left is (-0.1, +0.3) in map."""
    upright = dict.fromkeys(STATE.names, 0.0) | {f"{name}_cos": 1.0 for name in ANGLES}
    state = torch.from_numpy(STATE.vector(
        upright | {"position_x": 1.0, "position_y": 2.0, "yaw_cos": 0.0, "yaw_sin": 1.0, "velocity_y": 0.5}))
    following = state.clone()
    following[STATE.indices(["position_x", "position_y"])] += torch.tensor([-0.1, 0.3])
    following[STATE.index("velocity_x")] -= 0.2
    change = STATE.named(state_change(state, following).numpy())
    assert change["position_x"] == pytest.approx(0.3)
    assert change["position_y"] == pytest.approx(0.1)
    assert change["velocity_x"] == pytest.approx(0.0)
    assert change["velocity_y"] == pytest.approx(0.2)
    seen = dict(zip((*INPUT_STATE_NAMES, *ACTION.names),
                    model_input(state, torch.tensor([20.0, 30.0], dtype=torch.float64)).tolist(), strict=True))
    assert seen["velocity_x"] == pytest.approx(0.5)
    assert seen["velocity_y"] == pytest.approx(0.0)
    assert (seen["left_leg"], seen["right_leg"]) == (20.0, 30.0)


def test_heading_frame_of_a_state_itself_is_at_the_origin_looking_ahead() -> None:
    own = heading_frame(random_states(3, (6,)), random_states(3, (6,)))
    torch.testing.assert_close(own[:, STATE.indices(["position_x", "position_y", "yaw_cos", "yaw_sin"])],
                               torch.tensor([[0.0, 0.0, 1.0, 0.0]], dtype=torch.float64).expand(6, 4))


@pytest.mark.parametrize("yaw", [-3.1, -0.5, 0.0, 1.0, 3.1])
def test_planar_pose(yaw: float) -> None:
    states = random_states(1, (4,))
    states[2, STATE.indices(["yaw_cos", "yaw_sin"])] = torch.tensor([math.cos(yaw), math.sin(yaw)],
                                                                    dtype=torch.float64)
    positions, yaws = planar_pose(states)
    assert yaws[2].item() == pytest.approx(yaw)
    position, angle = planar_pose_of(states[2].numpy())
    assert angle == pytest.approx(yaw)
    np.testing.assert_array_equal(position, positions[2].numpy())
    np.testing.assert_array_equal(position, states[2].numpy()[:2])


def test_inputs_are_left_alone() -> None:
    states, following = random_states(0, (3,)), random_states(1, (3,))
    copies = states.clone(), following.clone()
    apply_change(states, state_change(states, following))
    model_input(states, torch.zeros(3, 2, dtype=torch.float64))
    assert torch.equal(states, copies[0])
    assert torch.equal(following, copies[1])


# Tables for code that is not Python ----------------------------------------------------------------------------------


def turn(vector: list[float], tables: FrameTables, cosine: float, sine: float) -> list[float]:
    turned = list(vector)
    for x, y in tables.turned:
        turned[x] = cosine * vector[x] - sine * vector[y]
        turned[y] = sine * vector[x] + cosine * vector[y]
    return turned


@settings(max_examples=60)
@given(seeds, st.sampled_from(list(Frame)))
def test_tables_say_the_same_as_the_functions(seed: int, frame: Frame) -> None:
    """What the compiled rollout does with them, element by element."""
    tables = frame_tables(frame)
    state, rng = random_states(seed, ()), np.random.default_rng(seed)
    action, change = torch.from_numpy(rng.normal(size=ACTION.size)), torch.from_numpy(rng.normal(size=STATE.size))
    cosine, sine = (1.0, 0.0) if tables.yaw is None else (float(state[i]) for i in tables.yaw)
    seen = turn(state.tolist(), tables, cosine, -sine)
    expected = model_input(state, action, frame)
    np.testing.assert_allclose([*(seen[i] for i in tables.seen), *action.tolist()], expected, atol=1e-12)
    following = [a + b for a, b in zip(state.tolist(), turn(change.tolist(), tables, cosine, sine), strict=True)]
    for c, s in tables.circles:
        norm = math.hypot(following[c], following[s])
        following[c], following[s] = following[c] / norm, following[s] / norm
    np.testing.assert_allclose(following, apply_change(state, change, frame), atol=1e-12)


def test_tables_fit_the_network() -> None:
    for frame in Frame:
        tables = frame_tables(frame)
        assert len(tables.seen) + ACTION.size == input_size(frame)
        indices = [*tables.seen, *(i for pair in (*tables.turned, *tables.circles) for i in pair), *(tables.yaw or ())]
        assert all(type(i) is int and 0 <= i < STATE.size for i in indices)
        assert len({i for pair in tables.circles for i in pair}) == 2 * len(ANGLES)
    assert frame_tables(Frame.MAP).yaw is None
    assert frame_tables(Frame.MAP).turned == ()
    assert frame_tables(Frame.HEADING).yaw == tuple(STATE.indices(["yaw_cos", "yaw_sin"]))


# Part of a step ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, st.floats(0.0, 1.0))
def test_part_of_a_step_lies_between_its_ends(seed: int, part: float) -> None:
    state, following = random_states(seed, ()).numpy(), random_states(seed + 1, ()).numpy()
    copies = state.copy(), following.copy()
    found = part_of_a_step(state, following, part)
    for name in STATE.names:
        if not name.endswith(("_cos", "_sin")):
            i = STATE.index(name)
            assert found[i] == pytest.approx((1.0 - part) * state[i] + part * following[i], abs=1e-12)
    for name in ANGLES:
        pair = STATE.indices([f"{name}_cos", f"{name}_sin"])
        assert np.hypot(*found[pair]) == pytest.approx(1.0)
        # The angle lies between theirs, the short way round.
        first, last, between = (math.atan2(*each[pair][::-1]) for each in (state, following, found))
        whole, way = math.remainder(last - first, 2.0 * math.pi), math.remainder(between - first, 2.0 * math.pi)
        assert -1e-6 <= way * math.copysign(1.0, whole) <= abs(whole) + 1e-6
    np.testing.assert_array_equal(state, copies[0])
    np.testing.assert_array_equal(following, copies[1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nothing_and_all_of_a_step(dtype: type) -> None:
    state, following = random_states(0, ()).numpy(), random_states(1, ()).numpy().astype(dtype)
    np.testing.assert_allclose(part_of_a_step(state, following, 0.0), state, rtol=1e-12)
    np.testing.assert_allclose(part_of_a_step(state, following, 1.0), following, rtol=1e-6)
    assert part_of_a_step(state, following, 0.5).dtype == np.float64


def test_half_of_half_a_turn_stays_finite() -> None:
    """Half-way between opposite directions there is none."""
    state = random_states(0, ()).numpy()
    following = state.copy()
    following[STATE.indices(["yaw_cos", "yaw_sin"])] *= -1.0
    assert np.isfinite(part_of_a_step(state, following, 0.5)).all()


# Places --------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, st.floats(-50, 50), st.floats(-50, 50), st.floats(-10, 10))
def test_state_somewhere_else_is_the_same_robot(seed: int, x: float, y: float, yaw: float) -> None:
    """It is where it should be, and its model sees no difference."""
    state = random_states(seed, ()).numpy()
    copy = state.copy()
    placed = with_planar_pose(state, np.array([x, y]), yaw)
    position, found = planar_pose_of(placed)
    assert position.tolist() == [x, y]
    assert math.remainder(found - yaw, 2.0 * math.pi) == pytest.approx(0.0, abs=1e-9)
    action = torch.zeros(ACTION.size, dtype=torch.float64)
    np.testing.assert_allclose(model_input(torch.from_numpy(placed), action),
                               model_input(torch.from_numpy(state), action), atol=1e-9)
    assert placed[STATE.index("position_z")] == state[STATE.index("position_z")]
    np.testing.assert_array_equal(state, copy)
    np.testing.assert_allclose(with_planar_pose(placed, *planar_pose_of(state)), state, atol=1e-9)


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_planar_track(shape: tuple[int, ...]) -> None:
    states = random_states(0, shape)
    np.testing.assert_array_equal(planar_track(states.numpy()), planar_pose(states)[0].numpy())
    assert planar_track(states.numpy()).shape == (*shape, 2)
