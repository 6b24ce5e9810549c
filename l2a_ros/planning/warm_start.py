# SPDX-License-Identifier: Apache-2.0
"""The previous plan, moved on to now."""

from __future__ import annotations

import numpy as np


def slide(actions: np.ndarray, begin: int, now: int, period: float) -> np.ndarray | None:
    """Return what is left of a plan, as a plan that begins now.

    It goes by the stamps, not by how often was planned: a tick that was left out moves the plan on by two. An action
    between two of the old ones is their average over time, the last one is repeated.

    Args:
        actions: of the old plan, ``(h, a)``, each held for ``period``.
        begin: when its first one took effect, ns.
        now: when the first one of the new plan does, ns.
        period: s.

    Returns:
        ``(h, a)``; None where nothing is left, or time went backwards.
    """
    elapsed = (now - begin) / (period * 1e9)
    horizon = len(actions)
    if not 0.0 <= elapsed < horizon:
        return None
    whole = int(elapsed)
    part = elapsed - whole
    held = np.concatenate([actions[whole:], np.repeat(actions[-1:], whole + 1, axis=0)])
    moved: np.ndarray = (1.0 - part) * held[:horizon] + part * held[1:horizon + 1]
    return moved
