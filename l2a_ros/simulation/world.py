# SPDX-License-Identifier: Apache-2.0
"""The robot of the URDF and a floor, compiled to a MuJoCo model."""

from __future__ import annotations

import math

import mujoco

from l2a_ros.robot.description import coupled_joints, robot_urdf
from l2a_ros.robot.layout import MOTOR_JOINTS
from l2a_ros.simulation.terrain import Terrain

PHYSICS_PERIOD = 0.001
#: Reflected inertia of rotor and gear on each of the three coupled cranks of a side, kg m^2 (assumed).
CRANK_ARMATURE = 1.0e-7
#: Viscous loss of gear and linkage per crank, N m s/rad (assumed).
CRANK_DAMPING = 2.0e-6
_ROBOT, _FLOOR = 1, 2


def build_model(terrain: Terrain) -> mujoco.MjModel:
    """Compile the world: the robot of the URDF with couplings and drives, a floor of the given terrain, and sensors."""
    urdf = robot_urdf().replace(
        "</robot>", '<mujoco><compiler discardvisual="false" fusestatic="false"/></mujoco></robot>')
    spec = mujoco.MjSpec.from_string(urdf)
    spec.option.timestep = PHYSICS_PERIOD
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 4.0

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
    for kind, name in ((mujoco.mjtSensor.mjSENS_GYRO, "gyro"),
                       (mujoco.mjtSensor.mjSENS_ACCELEROMETER, "accelerometer")):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=site.name)

    half = terrain.slope / 2.0
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.5], quat=[math.cos(half), 0, math.sin(half), 0],
        contype=_FLOOR, conaffinity=_ROBOT, priority=1, condim=3, friction=[terrain.friction, 0.005, 0.0001],
        solref=[terrain.contact_time, terrain.contact_damping], rgba=[*terrain.color, 1.0])
    spec.worldbody.add_light(pos=[0.5, -0.5, 2.0], dir=[-0.2, 0.2, -1.0], castshadow=True)
    return spec.compile()
