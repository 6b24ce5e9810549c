# SPDX-License-Identifier: Apache-2.0
"""What people look at of a plan."""

from __future__ import annotations

import numpy as np

from l2a_ros.planning.plan import Candidates
from l2a_ros.robot.frames import planar_track


def compared(candidates: Candidates, count: int) -> list[tuple[np.ndarray, float]]:
    """Return tracks of some candidates with where their cost is from the best (0) to the worst (1) of them.

    They are spread evenly over the order of costs, the worst first, so that the best is drawn over the others; a
    candidate without a finite cost is left out.

    Args:
        candidates: that were compared.
        count: how many to show at most.

    Returns:
        Positions ``(h, 2)`` m, and the share.
    """
    order = np.argsort(candidates.costs)
    order = order[np.isfinite(candidates.costs[order])]
    count = min(count, len(order))
    if count < 1:
        return []
    shown = order[np.linspace(0, len(order) - 1, count).astype(int)][::-1]
    costs = candidates.costs[shown]
    width = max(float(costs[0] - costs[-1]), 1e-12)
    return [(planar_track(candidates.states[i]), float((cost - costs[-1]) / width))
            for i, cost in zip(shown, costs, strict=True)]
