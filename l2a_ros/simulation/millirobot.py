# SPDX-License-Identifier: Apache-2.0
"""The millirobot in MuJoCo: 1 kHz physics with the firmware's rate loops on the two drives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from l2a_ros.robot.description import coupled_joints, robot_urdf
from l2a_ros.robot.layout import MOTOR_JOINTS, SIDES
from l2a_ros.simulation.faults import Fault
from l2a_ros.simulation.motor import Motor
from l2a_ros.simulation.terrain import Terrain

PHYSICS_PERIOD = 0.001
#: Reflected inertia of rotor and gear on each of the three coupled cranks of a side, kg m^2 (assumed).
CRANK_ARMATURE = 1.0e-7
#: Viscous loss of gear and linkage per crank, N m s/rad (assumed).
CRANK_DAMPING = 2.0e-6
_ROBOT, _FLOOR = 1, 2


@dataclass(frozen=True)
class Battery:
    """One lithium cell: open-circuit voltage falls linearly over the run, and with the current drawn.

    Args:
        full_voltage: V at the start.
        internal_resistance: ohm (assumed).
        fade: V/s (assumed: 4.1 V to 3.5 V in about 30 min of walking).
    """

    full_voltage: float = 4.1
    internal_resistance: float = 0.15
    fade: float = 3.3e-4


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


class Millirobot:
    """One simulated robot.

    Args:
        terrain: the floor.
        seed: of the small differences between runs (crank phase at the start).
        faults: what breaks and when.
        heading: yaw at the start, rad.
        battery: the cell.
    """

    def __init__(self, terrain: Terrain, seed: int = 0, faults: Sequence[Fault] = (), heading: float = 0.0,
                 battery: Battery | None = None) -> None:
        self.model = build_model(terrain)
        self.data = mujoco.MjData(self.model)
        self._terrain = terrain
        self._seed = seed
        self._faults = list(faults)
        self._heading = heading
        self._battery = battery or Battery()
        joints = [self.model.joint(name) for name in MOTOR_JOINTS]
        self._crank_angle = [int(joint.qposadr[0]) for joint in joints]
        self._crank_rate = [int(joint.dofadr[0]) for joint in joints]
        self._all_cranks = {side: [int(self.model.joint(i).qposadr[0]) for i in range(self.model.njnt)
                                   if f"{side}_leg" in self.model.joint(i).name] for side in SIDES}
        self._healthy_contype = self.model.geom_contype.copy()
        self._healthy_conaffinity = self.model.geom_conaffinity.copy()
        self._healthy_rgba = self.model.geom_rgba.copy()
        self.motors = [Motor(), Motor()]
        self.reset()

    def reset(self) -> None:
        """Put the robot back to its start, healthy, with a crank phase drawn from the seed."""
        mujoco.mj_resetData(self.model, self.data)
        self.model.geom_contype[:] = self._healthy_contype
        self.model.geom_conaffinity[:] = self._healthy_conaffinity
        self.model.geom_rgba[:] = self._healthy_rgba
        rng = np.random.default_rng(self._seed)
        self.data.qpos[:3] = [0.0, 0.0, 0.024]
        self.data.qpos[3:7] = [math.cos(self._heading / 2), 0.0, 0.0, math.sin(self._heading / 2)]
        for i, side in enumerate(SIDES):
            phase = rng.uniform(-0.3, 0.3)
            self.data.qpos[self._all_cranks[side]] = phase
            self.motors[i] = Motor()
            self.motors[i].reset(phase)
        self._pending = sorted(self._faults, key=lambda fault: fault.onset)
        self.battery_voltage = self._battery.full_voltage
        self._strike_due_faults()
        mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return float(self.data.time)

    @property
    def crank_angles(self) -> np.ndarray:
        """Angles of the two drives, shape ``(2,)``, rad, unwrapped."""
        angles: np.ndarray = self.data.qpos[self._crank_angle]
        return angles

    @property
    def crank_rates(self) -> np.ndarray:
        """Rates of the two drives, shape ``(2,)``, rad/s."""
        rates: np.ndarray = self.data.qvel[self._crank_rate]
        return rates

    @property
    def position(self) -> np.ndarray:
        """Position of ``base_link`` in ``map``, shape ``(3,)``, m."""
        position: np.ndarray = self.data.qpos[:3].copy()
        return position

    @property
    def quaternion(self) -> np.ndarray:
        """Attitude of ``base_link`` in ``map``, shape ``(4,)``, x y z w."""
        quaternion: np.ndarray = self.data.qpos[[4, 5, 6, 3]]
        return quaternion

    @property
    def angular_velocity(self) -> np.ndarray:
        """What an ideal gyroscope reads, shape ``(3,)``, rad/s in ``imu_link``."""
        rates: np.ndarray = self.data.sensordata[0:3].copy()
        return rates

    @property
    def specific_force(self) -> np.ndarray:
        """What an ideal accelerometer reads, shape ``(3,)``, m/s^2 in ``imu_link`` (+g on z at rest)."""
        force: np.ndarray = self.data.sensordata[3:6].copy()
        return force

    def step(self, command: Sequence[float] | np.ndarray) -> None:
        """Advance one millisecond with commanded crank rates (left, right) in rad/s."""
        if self._pending:
            self._strike_due_faults()
        data, drawn = self.data, 0.0
        for i, motor in enumerate(self.motors):
            data.ctrl[i] = motor.step(command[i], data.qpos[self._crank_angle[i]], data.qvel[self._crank_rate[i]],
                                      self.battery_voltage, PHYSICS_PERIOD)
            drawn += abs(motor.duty * motor.current)
        battery = self._battery
        self.battery_voltage = battery.full_voltage - battery.fade * data.time - battery.internal_resistance * drawn
        mujoco.mj_step(self.model, data)

    def _strike_due_faults(self) -> None:
        while self._pending and self._pending[0].onset <= self.data.time + 1e-9:
            fault = self._pending.pop(0)
            if fault.name == "missing_leg":
                body = self.model.body(f"{fault.part}_leg").id
                for geom in np.flatnonzero(self.model.geom_bodyid == body):
                    self.model.geom_contype[geom] = 0
                    self.model.geom_conaffinity[geom] = 0
                    self.model.geom_rgba[geom, 3] = 0.0
            else:
                factor = fault.value if fault.name == "motor_gain" else 0.0
                self.motors[SIDES.index(fault.part)].gain = factor
