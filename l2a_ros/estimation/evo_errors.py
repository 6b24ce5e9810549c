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

from l2a_ros.estimation.trajectory_errors import Trajectory, root_mean_square

#: More poses are thinned out: evo keeps several 4 x 4 matrices for each.
MOST_POSES = 20_000


@dataclass(frozen=True)
class EvoErrors:
    """Root mean squares as evo finds them; NaN where the recording is shorter than the interval.

    Args:
        poses: how many were compared: every k-th of a long trajectory.
        translation: absolute, m.
        angle: absolute, rad.
        relative: by interval in s, where poses come often enough: translation (m) and angle (rad).
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
    both = tuple(PoseTrajectory3D(each.positions, each.quaternions[:, [3, 0, 1, 2]],
                                  (each.stamps - truth.stamps[0]) / 1e9) for each in (truth, estimate))

    def figures(kind_of_metric: Any, **options: Any) -> tuple[float, float]:
        found = []
        for kind in (PoseRelation.translation_part, PoseRelation.rotation_angle_rad):
            metric = kind_of_metric(kind, **options)
            try:
                metric.process_data(both)
            except FilterException:
                return math.nan, math.nan
            found.append(root_mean_square(metric.error))
        return found[0], found[1]

    step = float(np.median(np.diff(truth.stamps))) / 1e9
    relative = {interval: figures(RPE, delta=count, delta_unit=Unit.frames, all_pairs=True)
                for interval in intervals if (count := round(interval / step))}
    return EvoErrors(len(truth), *figures(APE), relative)
