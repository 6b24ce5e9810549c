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

#: More poses are thinned out, and beyond the second number evo is not asked: it keeps several 4 x 4 matrices for each.
MANY_POSES, TOO_MANY_POSES = 20_000, 200_000


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
    """Return evo's figures for two trajectories of the same length and stamps, or None for too few or too many poses.

    evo counts the interval of relative errors in poses; so it is right where they come regularly.
    """
    from evo.core.filters import FilterException
    from evo.core.metrics import APE, RPE, PoseRelation
    from evo.core.trajectory import PoseTrajectory3D
    from evo.core.units import Unit

    if len(truth) < 3:
        return None
    step = float(np.median(np.diff(truth.stamps))) / 1e9
    # The shortest interval must remain a whole number of poses.
    shortest = max(1, round(min(intervals) / step))
    every = next((each for each in range(1, shortest) if shortest % each == 0 and len(truth) <= MANY_POSES * each),
                 shortest if len(truth) > MANY_POSES else 1)
    truth, estimate = truth.part(slice(None, None, every)), estimate.part(slice(None, None, every))
    if len(truth) > TOO_MANY_POSES:
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

    relative = {interval: figures(RPE, delta=count, delta_unit=Unit.frames, all_pairs=True)
                for interval in intervals if (count := round(interval / (every * step)))}
    return EvoErrors(len(truth), *figures(APE), relative)
