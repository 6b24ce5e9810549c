# SPDX-License-Identifier: Apache-2.0
"""Random action sequences."""

from __future__ import annotations

import numpy as np

from l2a_ros.planning.plan import ActionBounds


def held_uniform(rng: np.random.Generator, bounds: ActionBounds, count: int, horizon: int,
                 longest_hold: int) -> np.ndarray:
    """Draw sequences evenly within the bounds, ``(count, horizon, a)`` float32.

    A sequence holds each of its draws for the same number of steps, itself drawn from 1 to ``longest_hold``. With 1
    every step is a draw of its own; longer holds reach sharp turns with fewer candidates, since independent draws
    average out.
    """
    drawn = rng.random((count, horizon, bounds.size), dtype=np.float32)
    if longest_hold > 1:
        hold = rng.integers(1, longest_hold + 1, (count, 1))
        drawn = np.take_along_axis(drawn, (np.arange(horizon) // hold * hold)[:, :, np.newaxis], axis=1)
    width = (bounds.high - bounds.low).astype(np.float32)
    return bounds.clip(bounds.low.astype(np.float32) + width * drawn)


class SmoothNoise:
    """Normal noise that changes slowly along a sequence: first-order autoregressive, of unit variance in every step.

    Args:
        horizon: steps.
        smoothness: correlation from one step to the next, 0 (independent) to below 1.
    """

    def __init__(self, horizon: int, smoothness: float) -> None:
        steps = np.arange(horizon)
        lag = steps[:, np.newaxis] - steps[np.newaxis, :]
        # Row t: how much of each independent draw is in step t.
        mixing = np.where(lag >= 0, smoothness ** np.maximum(lag, 0), 0.0)
        mixing[:, 1:] *= np.sqrt(1.0 - smoothness * smoothness)
        self._mixing = mixing.astype(np.float32)
        self._is_white = smoothness == 0.0

    def draw(self, rng: np.random.Generator, count: int, size: int) -> np.ndarray:
        """Draw ``(count, horizon, size)`` float32."""
        horizon = len(self._mixing)
        white = rng.standard_normal((count, size, horizon), dtype=np.float32)
        smooth = white if self._is_white else white @ self._mixing.T
        return smooth.transpose(0, 2, 1)
