# SPDX-License-Identifier: Apache-2.0
"""Robots that differ: what varies from recording to recording, so that there is something to learn to adapt to.

Three kinds of ground alone differ too little: a model meta-trained on them learns that adapting does not pay. What is
varied here can be varied on a real robot too, without breaking it: the gain of a motor in software, a weight on the
shell, tape or rubber on a foot, a shorter leg in place of one, the calibration of encoders. A bias of the gyroscope
would be nothing new: the state estimator takes it off. Slopes, legs that are gone, pulled loads and a shifted motion
capture are left for what the robot has never met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from l2a_ros.robot.layout import LEGS, SIDES
from l2a_ros.training.collect import Recording

#: What may vary: numbers of the fault of that name, each drawn evenly between two bounds; the rest is the part
#: that it strikes.
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "motor_gain": ((0.4, 1.0),),
    "shell_weight": ((3.0, 25.0), (-0.04, 0.04), (-0.03, 0.03)),  # g, m, m
    "foot_grip": ((0.1, 2.0),),
    "encoder_slip": ((-0.2, 0.3),),
    "worn_leg": ((0.1, 0.6),),
}
#: What of the robot a fault strikes.
_PARTS = {"motor_gain": SIDES, "foot_grip": LEGS, "encoder_slip": SIDES, "worn_leg": LEGS}
#: How often a recording has none, one, two or three of them.
SHARES = (0.1, 0.2, 0.3, 0.4)
_STREAM = 11


def draw_variation(seed: int) -> tuple[str, ...]:
    """Draw what one recording varies, written as faults are; the same for the same seed."""
    rng = np.random.default_rng([seed, _STREAM])
    names = rng.permutation(list(RANGES))[:int(rng.choice(len(SHARES), p=SHARES))]
    texts = []
    for name in names:
        numbers = [f"{rng.uniform(low, high):.3f}" for low, high in RANGES[name]]
        parts = _PARTS.get(name, ())
        struck = [parts[int(rng.integers(len(parts)))]] if parts else []
        texts.append(f"{name}:{','.join(struck + numbers)}")
    return tuple(texts)


def vary(recordings: Sequence[Recording]) -> list[Recording]:
    """Return the recordings with a variation of its own for each, besides the faults that it has."""
    varied = []
    for recording in recordings:
        condition, _, number = recording.folder.name.rpartition("_")
        varied.append(replace(recording, faults=(*recording.faults, *draw_variation(recording.seed)),
                              folder=recording.folder.with_name(f"{condition}+varied_{number}")))
    return varied
