# SPDX-License-Identifier: Apache-2.0
"""The robot of the URDF and a floor, compiled to a MuJoCo model."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from l2a_ros.robot.description import coupled_joints, robot_urdf
from l2a_ros.robot.layout import MOTOR_JOINTS
from l2a_ros.simulation.ground import add_ground
from l2a_ros.simulation.looks import add_looks
from l2a_ros.simulation.terrain import Terrain

PHYSICS_PERIOD = 0.001
#: Reflected inertia of rotor and gear on each of the three coupled cranks of a side, kg m^2 (fitted: how fast the legs
#: follow a new command).
CRANK_ARMATURE = 5.0e-7
#: Viscous loss of gear and linkage per crank, N m s/rad (assumed).
CRANK_DAMPING = 2.0e-6
#: Height of the body's centre above the ground at the start, m: the feet are just above it whatever the crank phase.
START_HEIGHT = 0.028
#: Radius of the balls with which the hull touches rough ground, m. With 2 mm they sank in between the prisms that a
#: height field is made of, were held there, and the legs jammed.
HULL_ROUNDING = 0.006
_ROBOT, _FLOOR = 1, 2


def build_model(terrain: Terrain, seed: int = 0) -> mujoco.MjModel:
    """Compile the world of :func:`build_spec`."""
    return build_spec(terrain, seed).compile()


def build_spec(terrain: Terrain, seed: int = 0) -> mujoco.MjSpec:
    """Describe the world: the robot of the URDF with couplings and drives, the ground, and sensors.

    Args:
        terrain: the ground.
        seed: of its bumps.
    """
    urdf = robot_urdf().replace(
        "</robot>", '<mujoco><compiler discardvisual="false" fusestatic="false"/></mujoco></robot>')
    spec = mujoco.MjSpec.from_string(urdf)
    spec.option.timestep = PHYSICS_PERIOD
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 4.0
    # One robot is one island: to look for more costs a twentieth of a step and changes no bit.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND

    base = spec.body("base_link")
    base.add_freejoint(name="base")
    for geom in spec.geoms:
        collides = geom.contype != 0
        # Own parts never touch each other: only robot against floor.
        geom.contype, geom.conaffinity = (_ROBOT, _FLOOR) if collides else (0, 0)
        if collides:
            geom.group = 3
    # MuJoCo turns the URDF's mimic tags into soft couplings; a gear is stiff.
    imported = {coupling.name1: coupling for coupling in spec.equalities}
    for follower in coupled_joints():
        coupling = imported[follower]
        coupling.solref[:] = [0.002, 1.0]
        coupling.solimp[:3] = [0.99, 0.999, 0.001]
    for name in MOTOR_JOINTS:
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.gainprm[0] = 1.0
    for joint in spec.joints:
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
            joint.armature = CRANK_ARMATURE
            joint.damping[0] = CRANK_DAMPING
    site = spec.body("imu_link").add_site(name="imu")
    spec.add_sensor(name="accelerometer", type=mujoco.mjtSensor.mjSENS_ACCELEROMETER, objtype=mujoco.mjtObj.mjOBJ_SITE,
                    objname=site.name)

    if add_ground(spec, terrain, seed, (_FLOOR, _ROBOT)):
        _round_hull(base)
    add_looks(spec, base)
    return spec


def start_pose(terrain: Terrain, heading: float) -> np.ndarray:
    """Return the pose at the start, upright on the ground at the origin: position and quaternion wxyz ``(7,)``, m."""
    attitude, position, quaternion = np.array(terrain.attitude), np.zeros(3), np.zeros(4)
    mujoco.mju_rotVecQuat(position, np.array([0.0, 0.0, START_HEIGHT]), attitude)
    mujoco.mju_mulQuat(quaternion, attitude, np.array([math.cos(heading / 2.0), 0.0, 0.0, math.sin(heading / 2.0)]))
    return np.concatenate([position, quaternion])


def _round_hull(base: mujoco.MjsBody) -> None:
    """Let the hull touch the ground with balls in its box instead of the box.

    A box against a height field means a test of every cell below it, which is slower than everything else together.
    """
    for box in [geom for geom in base.geoms if geom.type == mujoco.mjtGeom.mjGEOM_BOX and geom.contype]:
        box.contype = box.conaffinity = 0
        reach = box.size - HULL_ROUNDING
        corners = [(x, y, -1.0) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)]
        corners += [(x, y, 1.0) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
        for i, corner in enumerate(corners):
            base.add_geom(name=f"{box.name}_{i}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[HULL_ROUNDING, 0, 0],
                          pos=box.pos + reach * np.array(corner), contype=_ROBOT, conaffinity=_FLOOR, group=3, mass=0.0)
