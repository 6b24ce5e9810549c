# SPDX-License-Identifier: Apache-2.0
"""The state seen from the robot's own heading, and back.

Where the robot stands and which way it looks does not change how it moves. A *heading frame* is ``map`` shifted to the
robot and turned by its yaw; the dynamics model sees the state there, without position and yaw, and predicts the change
there. For comparison with the published robot a model can also see the state in ``map``, without position only
(:class:`~l2a_ros.robot.layout.Frame`). All functions work on torch tensors of any leading shape ``(..., n)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from l2a_ros.robot.layout import INPUT_STATE_NAMES, MAP_INPUT_STATE_NAMES, STATE, Frame

_PLANE_POSITION = STATE.indices(["position_x", "position_y"])
_PLANE_VELOCITY = STATE.indices(["velocity_x", "velocity_y"])
_YAW = STATE.indices(["yaw_cos", "yaw_sin"])
_ANGLES = [STATE.indices([f"{name}_cos", f"{name}_sin"]) for name in ("roll", "pitch", "yaw", "left_leg", "right_leg")]
_COSINES = [pair[0] for pair in _ANGLES]
_SINES = [pair[1] for pair in _ANGLES]
_TURNED = [_PLANE_POSITION, _PLANE_VELOCITY, _YAW]
_TURNED_FIRST = [pair[0] for pair in _TURNED]
_TURNED_SECOND = [pair[1] for pair in _TURNED]

_INPUT_STATES = STATE.indices(INPUT_STATE_NAMES)
_MAP_INPUT_STATES = STATE.indices(MAP_INPUT_STATE_NAMES)


@dataclass(frozen=True)
class FrameTables:
    """The same as the functions below, as tables of indices for code that is not Python.

    Args:
        seen: state elements that enter the network, in order; the actions follow them.
        turned: pairs of state elements that turn with the heading.
        circles: pairs that are the cosine and sine of an angle.
        yaw: the pair that holds the heading, None where nothing is turned.
    """

    seen: tuple[int, ...]
    turned: tuple[tuple[int, int], ...]
    circles: tuple[tuple[int, int], ...]
    yaw: tuple[int, int] | None


def frame_tables(frame: Frame) -> FrameTables:
    """Return the tables of :func:`model_input` and :func:`apply_change`."""
    circles = tuple((pair[0], pair[1]) for pair in _ANGLES)
    if frame is Frame.MAP:
        return FrameTables(tuple(_MAP_INPUT_STATES), (), circles, None)
    return FrameTables(tuple(_INPUT_STATES), tuple((pair[0], pair[1]) for pair in _TURNED), circles,
                       (_YAW[0], _YAW[1]))


def _turn(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the planar parts (position, velocity, yaw) of state-like vectors by an angle given as cosine and sine."""
    turned = vectors.clone()
    first, second = vectors[..., _TURNED_FIRST], vectors[..., _TURNED_SECOND]
    cosine, sine = cosine.unsqueeze(-1), sine.unsqueeze(-1)
    turned[..., _TURNED_FIRST] = cosine * first - sine * second
    turned[..., _TURNED_SECOND] = sine * first + cosine * second
    return turned


def heading_frame(states: Tensor, reference: Tensor) -> Tensor:
    """Express states ``(..., 24)`` in the heading frame of reference states of the same shape."""
    shifted = states.clone()
    shifted[..., _PLANE_POSITION] -= reference[..., _PLANE_POSITION]
    return _turn(shifted, reference[..., _YAW[0]], -reference[..., _YAW[1]])


def model_input(states: Tensor, actions: Tensor, frame: Frame = Frame.HEADING) -> Tensor:
    """Return what the network sees.

    Args:
        states: ``(..., 24)``.
        actions: ``(..., 2)``, rad/s.
        frame: where it sees them.

    Returns:
        ``(..., 21)``, or ``(..., 24)`` in ``map``.
    """
    if frame is Frame.MAP:
        return torch.cat([states[..., _MAP_INPUT_STATES], actions], dim=-1)
    return torch.cat([heading_frame(states, states)[..., _INPUT_STATES], actions], dim=-1)


def state_change(states: Tensor, next_states: Tensor, frame: Frame = Frame.HEADING) -> Tensor:
    """Return what the network predicts: the change ``(..., 24)``, in the heading frame of the first state or in map."""
    if frame is Frame.MAP:
        return next_states - states
    return heading_frame(next_states, states) - heading_frame(states, states)


def apply_change(states: Tensor, changes: Tensor, frame: Frame = Frame.HEADING) -> Tensor:
    """Return the next states ``(..., 24)``, inverse of :func:`state_change`; angle pairs are put back on the circle."""
    # The change is a difference of vectors, so turning it back and adding is all there is to do.
    turned = changes if frame is Frame.MAP else _turn(changes, states[..., _YAW[0]], states[..., _YAW[1]])
    following = states + turned
    cosine, sine = following[..., _COSINES], following[..., _SINES]
    norm = torch.sqrt(cosine * cosine + sine * sine).clamp_min(1e-6)
    following[..., _COSINES] = cosine / norm
    following[..., _SINES] = sine / norm
    return following


def part_of_a_step(state: np.ndarray, following: np.ndarray, part: float) -> np.ndarray:
    """Return the state ``(24,)`` after this part (0 to 1) of the step from one state to the following one.

    Everything changes evenly; angle pairs are put back on the circle.
    """
    between: np.ndarray = state + part * (np.asarray(following, dtype=np.float64) - state)
    norm = np.maximum(np.hypot(between[_COSINES], between[_SINES]), 1e-6)
    between[_COSINES] /= norm
    between[_SINES] /= norm
    return between


def planar_pose(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return position in the plane ``(..., 2)`` m and yaw ``(...,)`` rad of states ``(..., 24)``."""
    return states[..., _PLANE_POSITION], torch.atan2(states[..., _YAW[1]], states[..., _YAW[0]])


def planar_pose_of(state: np.ndarray) -> tuple[np.ndarray, float]:
    """Return position in the plane ``(2,)`` m and yaw (rad) of one state ``(24,)``."""
    return state[_PLANE_POSITION], math.atan2(state[_YAW[1]], state[_YAW[0]])


def planar_track(states: np.ndarray) -> np.ndarray:
    """Return the positions in the plane ``(..., 2)`` m of states ``(..., 24)``."""
    return states[..., _PLANE_POSITION]


def with_planar_pose(state: np.ndarray, position: np.ndarray, yaw: float) -> np.ndarray:
    """Return a copy of a state ``(24,)`` with this position ``(2,)`` m and yaw (rad); its velocity turns with it."""
    moved = np.array(state, dtype=np.float64)
    turn = yaw - planar_pose_of(state)[1]
    x, y = state[_PLANE_VELOCITY]
    moved[_PLANE_POSITION] = position
    moved[_PLANE_VELOCITY] = math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y
    moved[_YAW] = math.cos(yaw), math.sin(yaw)
    return moved
