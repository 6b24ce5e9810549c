# SPDX-License-Identifier: Apache-2.0
"""Drifts: something constant happens beside what the commands do, and only the window tells what.

Robots that can be driven for training differ less than what a robot may meet. What a slope, a pulled load or a wrongly
defined rigid body do to the change of state per period is, for the most part, one more constant: sideways, forwards,
in yaw or roll. So such constants are added to the targets of training windows, the same to the past and to the future
of a window and another one for each: the initial weights cannot know them, an adaptation that reads the past can. This
is meta-augmentation (Rajendran, Irpan and Jang, "Meta-learning requires meta-augmentation", 2020) on the outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_drifts(windows: int, size: int, largest: float, generator: torch.Generator) -> Tensor:
    """Draw a drift for each window, ``(windows, 1, size)`` in normalised units.

    The elements of one drift are normal with one standard deviation, which is drawn evenly from 0 to ``largest``: many
    windows have hardly any.

    Args:
        windows: how many.
        size: elements of a target.
        largest: standard deviation.
        generator: of the draws.
    """
    scales = largest * torch.rand(windows, 1, 1, generator=generator)
    return scales * torch.randn(windows, 1, size, generator=generator)
