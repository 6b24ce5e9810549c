# SPDX-License-Identifier: Apache-2.0
"""Getting on along the path: a reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories


@dataclass(frozen=True)
class Progress(Term):
    """Minus the gain in the fraction of the segment per step (published, weight 10).

    As published, the step that moves on to the next segment counts nothing, and a gain counts by the segment's length:
    with way-points 1 m apart the weight is per metre, with shorter segments it is more.
    """

    name = "progress"
    weight: float = weight_setting(10.0, "that a segment length of progress takes away")

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return minus segment lengths, ``(h, n)``."""
        fraction, segment, start = trajectories.tracks.fraction, trajectories.tracks.segment, trajectories.start
        loss = np.empty_like(fraction)
        np.subtract(start.fraction, fraction[0], out=loss[0])
        np.subtract(fraction[:-1], fraction[1:], out=loss[1:])
        if segment.ndim:
            loss[0, segment[0] != start.segment] = 0.0
            loss[1:][segment[1:] != segment[:-1]] = 0.0
        elif segment != start.segment[0]:
            loss[0] = 0.0
        return loss
