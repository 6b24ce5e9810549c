# SPDX-License-Identifier: Apache-2.0
"""Robots that differ: what varies from recording to recording, so that there is something to learn to adapt to.

Three kinds of ground alone differ too little: a model meta-trained on them learns that adapting does not pay. What is
varied here can be varied on a real robot too, without breaking it: the gain of a motor in software, a weight on the
shell, how the rigid body of motion capture is defined, the calibration of encoders. A bias of the gyroscope would be
nothing new: the state estimator takes it off. Broken legs and pulled loads are left for what the robot has never met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from l2a_ros.robot.layout import SIDES
from l2a_ros.training.collect import Recording

#: What may vary: numbers of the fault of that name, each drawn evenly between two bounds; the rest is its side.
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "motor_gain": ((0.4, 1.0),),
    "shell_weight": ((3.0, 25.0), (-0.04, 0.04), (-0.03, 0.03)),  # g, m, m
    "pose_shift": ((-0.03, 0.03), (-0.03, 0.03), (-0.3, 0.3)),  # m, m, rad
    "encoder_slip": ((-0.2, 0.3),),
}
_OF_A_SIDE = ("motor_gain", "encoder_slip")
#: How often a recording has none, one or two of them.
SHARES = (0.15, 0.4, 0.45)
_STREAM = 11


def draw_variation(seed: int) -> tuple[str, ...]:
    """Draw what one recording varies, written as faults are; the same for the same seed."""
    rng = np.random.default_rng([seed, _STREAM])
    names = rng.permutation(list(RANGES))[:int(rng.choice(len(SHARES), p=SHARES))]
    texts = []
    for name in names:
        numbers = [f"{rng.uniform(low, high):.3f}" for low, high in RANGES[name]]
        side = [SIDES[int(rng.integers(len(SIDES)))]] if name in _OF_A_SIDE else []
        texts.append(f"{name}:{','.join(side + numbers)}")
    return tuple(texts)


def vary(recordings: Sequence[Recording]) -> list[Recording]:
    """Return the recordings with a variation of its own for each, besides the faults that it has."""
    varied = []
    for recording in recordings:
        condition, _, number = recording.folder.name.rpartition("_")
        varied.append(replace(recording, faults=(*recording.faults, *draw_variation(recording.seed)),
                              folder=recording.folder.with_name(f"{condition}+varied_{number}")))
    return varied
