# SPDX-License-Identifier: Apache-2.0
"""The faults that change the robot's body, written into a compiled model, and out of it again."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from l2a_ros.robot.layout import LEGS
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.ground import contact_friction, contact_stiffness
from l2a_ros.simulation.terrain import REACH, Terrain

_FIELDS = ("geom_contype", "geom_conaffinity", "geom_rgba", "geom_pos", "geom_size", "geom_sameframe", "geom_priority",
           "geom_friction", "geom_solref", "bvh_aabb", "body_mass", "body_inertia", "body_ipos", "body_iquat")
#: In a contact the geom of higher priority says what it is like: that of the ground is 1.
_ABOVE_THE_GROUND = 2


class ModelFaults:
    """Writes what acts into one model; what acts no more leaves the model as it was compiled.

    Args:
        model: healthy.
        terrain: the ground in it.
    """

    def __init__(self, model: mujoco.MjModel, terrain: Terrain) -> None:
        self._model = model
        self._terrain = terrain
        self._along_x = _along_x(terrain)
        self._healthy = {name: getattr(model, name).copy() for name in _FIELDS}
        self._weights: list[tuple[float, ...]] = []
        self._grips: list[tuple[int, float, Terrain]] = []

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
        self._grips = []
        for leg in LEGS:
            left = math.prod(1.0 - share for (share,) in faults.values("worn_leg", leg))
            if left != 1.0:
                _shorten(model, model.body(f"{leg}_leg").id, left)
            factors = [factor for (factor,) in faults.values("foot_grip", leg)]
            if factors:
                foot = model.geom(f"{leg}_foot").id
                model.geom_priority[foot] = _ABOVE_THE_GROUND
                self._grips.append((foot, math.prod(factors), self._terrain))
                self._stand(len(self._grips) - 1, self._terrain)
        weights = faults.values("shell_weight")
        for grams, *place in weights:
            _add_mass(model, model.body("base_link").id, grams / 1000.0, np.array(place))
        if weights or self._weights:
            # What the solver derives from the masses; it would change the data of the robot.
            mujoco.mj_setConst(model, mujoco.MjData(model))
        self._weights = weights

    @property
    def depends_on_place(self) -> bool:
        """Whether what acts depends on where the feet are: then :meth:`follow` is to be called before every step."""
        return bool(self._grips and self._terrain.zones)

    def follow(self, data: mujoco.MjData) -> None:
        """Give the feet that grip otherwise the friction that goes with the zone they are above."""
        for i, (foot, _, below) in enumerate(self._grips):
            x = float(self._along_x @ data.geom_xpos[foot])
            surface = self._terrain.surface(x) if abs(x) <= REACH else self._terrain
            if surface is not below:
                self._stand(i, surface)

    def _stand(self, i: int, surface: Terrain) -> None:
        """Make the contact of a foot that of a surface, but for its sliding friction."""
        foot, factor, _ = self._grips[i]
        self._grips[i] = foot, factor, surface
        self._model.geom_friction[foot] = contact_friction(surface)
        self._model.geom_friction[foot, 0] *= factor
        self._model.geom_solref[foot] = contact_stiffness(surface)


def _along_x(terrain: Terrain) -> np.ndarray:
    """Return the direction ``(3,)`` of the ground's own x axis in ``map``."""
    axis = np.zeros(3)
    mujoco.mju_rotVecQuat(axis, np.array([1.0, 0.0, 0.0]), np.array(terrain.attitude))
    return axis


def _shorten(model: mujoco.MjModel, leg: int, left: float) -> None:
    """Leave a share of the length of a leg, measured from its axis to the centre of its foot; the foot stays as big."""
    for geom in np.flatnonzero(model.geom_bodyid == leg):
        if model.geom_contype[geom]:
            # The one box in which contacts of the leg are looked for; its axes are those of the leg.
            model.bvh_aabb[model.body_bvhadr[leg], :3] -= (1.0 - left) * model.geom_pos[geom]
        model.geom_pos[geom] *= left
        # Else a geom that was in the middle of its body would stay there.
        model.geom_sameframe[geom] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
            model.geom_size[geom, 1] *= left


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
