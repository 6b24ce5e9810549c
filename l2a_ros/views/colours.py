# SPDX-License-Identifier: Apache-2.0
"""Colours for figures: told apart with every kind of colour vision, and bright on a dark ground."""

from __future__ import annotations

import numpy as np

#: Sky blue, yellow and vermillion of Okabe and Ito (2008), "Color Universal Design": none, half and all of the scale.
_SCALE = np.array([[0.337, 0.706, 0.914], [0.941, 0.894, 0.259], [0.835, 0.369, 0.0]])


def error_colours(errors: np.ndarray, worst: float) -> np.ndarray:
    """Return the colours of errors by their size.

    Args:
        errors: ``(n,)``, of either sign.
        worst: what this and more looks like is the end of the scale, in the unit of the errors.

    Returns:
        Red, green and blue from 0 to 1, ``(n, 3)``.
    """
    share = np.clip(np.abs(np.asarray(errors, dtype=np.float64)) / worst, 0.0, 1.0)
    places = np.linspace(0.0, 1.0, len(_SCALE))
    return np.stack([np.interp(share, places, channel) for channel in _SCALE.T], axis=-1)
