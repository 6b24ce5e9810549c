# SPDX-License-Identifier: Apache-2.0
"""The faults that change the robot's body, written into a compiled model, and out of it again."""

from __future__ import annotations

import mujoco
import numpy as np

from l2a_ros.simulation.fault_schedule import FaultSchedule

_FIELDS = ("geom_contype", "geom_conaffinity", "geom_rgba", "body_mass", "body_inertia", "body_ipos", "body_iquat")


class ModelFaults:
    """Writes what acts into one model; what acts no more leaves the model as it was compiled.

    Args:
        model: healthy.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._healthy = {name: getattr(model, name).copy() for name in _FIELDS}
        self._weights: list[tuple[float, ...]] = []

    def apply(self, faults: FaultSchedule) -> None:
        """Write the faults that act now, and no others."""
        model = self._model
        for name, values in self._healthy.items():
            getattr(model, name)[:] = values
        for fault in faults.active:
            if fault.name == "missing_leg":
                gone = model.geom_bodyid == model.body(f"{fault.part}_leg").id
                model.geom_contype[gone] = 0
                model.geom_conaffinity[gone] = 0
                model.geom_rgba[gone, 3] = 0.0
        weights = faults.values("shell_weight")
        for grams, *place in weights:
            _add_mass(model, model.body("base_link").id, grams / 1000.0, np.array(place))
        if weights or self._weights:
            # What the solver derives from the masses; it would change the data of the robot.
            mujoco.mj_setConst(model, mujoco.MjData(model))
        self._weights = weights


def _add_mass(model: mujoco.MjModel, body: int, mass: float, place: np.ndarray) -> None:
    """Glue a point mass (kg) to a body at a place in its frame, m."""
    if mass == 0.0:
        return
    old, centre = float(model.body_mass[body]), model.body_ipos[body].copy()
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[body])
    axes = turn.reshape(3, 3)
    inertia = axes @ np.diag(model.body_inertia[body]) @ axes.T
    apart, share = place - centre, old * mass / (old + mass)
    inertia += share * (apart @ apart * np.eye(3) - np.outer(apart, apart))
    model.body_mass[body] = old + mass
    model.body_ipos[body] = centre + mass / (old + mass) * apart
    model.body_inertia[body], axes = np.linalg.eigh(inertia)
    if np.linalg.det(axes) < 0.0:
        axes[:, 0] *= -1.0
    mujoco.mju_mat2Quat(model.body_iquat[body], np.ascontiguousarray(axes).ravel())
