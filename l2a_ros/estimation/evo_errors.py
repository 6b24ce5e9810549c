# SPDX-License-Identifier: Apache-2.0
"""The same errors by ``evo`` (https://github.com/MichaelGrupp/evo), where somebody has installed it.

It is under the GPL, so it is never a dependency of this package; nothing here is needed for anything else.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2a_ros.estimation.trajectory_errors import Trajectory

#: More poses are thinned out: evo keeps several 4 x 4 matrices for each.
MOST_POSES = 20_000


@dataclass(frozen=True)
class EvoErrors:
    """Root mean squares as evo finds them; NaN where it finds no pair.

    Args:
        poses: how many were compared: every k-th of a long trajectory.
        translation: absolute, m.
        angle: absolute, rad.
        relative: by interval in s: translation (m) and angle (rad).
    """

    poses: int
    translation: float
    angle: float
    relative: dict[float, tuple[float, float]]


def evo_is_installed() -> bool:
    """Tell whether evo can be imported."""
    return importlib.util.find_spec("evo") is not None


def evo_errors(truth: Trajectory, estimate: Trajectory, intervals: tuple[float, ...]) -> EvoErrors | None:
    """Return evo's figures for two trajectories of the same length and stamps, or None for fewer than three poses.

    evo counts the interval of relative errors in poses; so it is right where they come regularly.
    """
    from evo.core.filters import FilterException
    from evo.core.metrics import APE, RPE, PoseRelation
    from evo.core.trajectory import PoseTrajectory3D
    from evo.core.units import Unit

    chosen = slice(None, None, max(1, math.ceil(len(truth) / MOST_POSES)))
    truth, estimate = truth.part(chosen), estimate.part(chosen)
    if len(truth) < 3:
        return None
    both = tuple(PoseTrajectory3D(positions_xyz=each.positions, orientations_quat_wxyz=each.quaternions[:, [3, 0, 1, 2]],
                                  timestamps=(each.stamps - truth.stamps[0]) / 1e9) for each in (truth, estimate))

    def figure(metric: Any) -> float:
        try:
            metric.process_data(both)
        except FilterException:
            return math.nan
        return float(np.sqrt(np.mean(np.square(metric.error))))

    kinds = PoseRelation.translation_part, PoseRelation.rotation_angle_rad
    step = float(np.median(np.diff(truth.stamps))) / 1e9
    relative = {}
    for interval in intervals:
        count = round(interval / step)
        translation, angle = (figure(RPE(kind, delta=count, delta_unit=Unit.frames, all_pairs=True)) if count else math.nan
                              for kind in kinds)
        relative[interval] = translation, angle
    absolute, turned = (figure(APE(kind)) for kind in kinds)
    return EvoErrors(len(truth), absolute, turned, relative)
