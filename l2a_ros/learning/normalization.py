# SPDX-License-Identifier: Apache-2.0
"""Zero mean and unit spread for what enters and leaves the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Spreads below this fraction of a unit count as constant, so that nothing is divided by (almost) zero.
SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of a quantity with n elements, each ``(n,)``."""

    mean: Tensor
    std: Tensor

    @staticmethod
    def fit(values: Tensor) -> Normalization:
        """Measure a data set ``(samples, n)``."""
        std = values.std(dim=0, correction=0)
        return Normalization(values.mean(dim=0), torch.where(std < SMALLEST_SPREAD, torch.ones_like(std), std))

    def normalise(self, values: Tensor) -> Tensor:
        """Return values ``(..., n)`` with zero mean and unit spread."""
        return (values - self.mean) / self.std

    def restore(self, values: Tensor) -> Tensor:
        """Undo :meth:`normalise`."""
        return values * self.std + self.mean
