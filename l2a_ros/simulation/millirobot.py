# SPDX-License-Identifier: Apache-2.0
"""The millirobot in MuJoCo: 1 kHz physics with the firmware's rate loops on the two drives."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from l2a_ros.robot.layout import MOTOR_JOINTS, SIDES
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.faults import Fault
from l2a_ros.simulation.model_faults import ModelFaults
from l2a_ros.simulation.motor import DRIVES, Motor
from l2a_ros.simulation.payload import add_sled, pose_behind
from l2a_ros.simulation.placement import pose_on_ground
from l2a_ros.simulation.terrain import Terrain
from l2a_ros.simulation.world import PHYSICS_PERIOD, build_spec, start_pose


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
        self._spec = build_spec(terrain, seed)
        self._plain_model = self._spec.compile()
        #: A pulled payload is another model: who keeps a reference to either must look whether it is still the same.
        self.model, self.data = self._plain_model, mujoco.MjData(self._plain_model)
        self.faults = FaultSchedule(faults)
        self._terrain = terrain
        self._seed = seed
        self._heading = heading
        self._battery = battery or Battery()
        self._base_to_imu = _base_to_imu(self.model, self.data)
        joints = [self.model.joint(name) for name in MOTOR_JOINTS]
        self._crank_angle = [int(joint.qposadr[0]) for joint in joints]
        self._crank_rate = [int(joint.dofadr[0]) for joint in joints]
        self._all_cranks = {side: [int(self.model.joint(i).qposadr[0]) for i in range(self.model.njnt)
                                   if f"{side}_leg" in self.model.joint(i).name] for side in SIDES}
        self._plain_faults = self._model_faults = ModelFaults(self.model, terrain)
        self.motors = [Motor(drive) for drive in DRIVES]
        self.reset()

    def reset(self) -> None:
        """Put the robot back to its start, healthy, with a crank phase drawn from the seed."""
        self._payload = 0.0
        self._use(self._plain_model, self._plain_faults)
        mujoco.mj_resetData(self.model, self.data)
        rng = np.random.default_rng(self._seed)
        self.data.qpos[:7] = start_pose(self._terrain, self._heading)
        for i, side in enumerate(SIDES):
            phase = rng.uniform(-0.3, 0.3)
            self.data.qpos[self._all_cranks[side]] = phase
            self.motors[i] = Motor(DRIVES[i])
            self.motors[i].reset(phase)
        self.elapsed_ms = 0
        self._drawn, self._cell_fault = 0.0, list[tuple[float, ...]]()
        self._discharge()
        self._encoder_slip, self._slip_origin, self._hurry = np.zeros(2), np.zeros(2), [1.0, 1.0]
        #: What the encoder of each side reads for ever, rad; None for one that is not stuck.
        self._stuck: list[float | None] = [None, None]
        self.faults.restart()
        self._model_faults.apply(self.faults)
        mujoco.mj_forward(self.model, self.data)
        self.faults.advance(0)
        self._apply_faults()

    def place(self, x: float, y: float, yaw: float) -> None:
        """Put the robot to another place, where it stands still; time and what is broken stay as they are.

        Args:
            x: in ``map``, m.
            y: in ``map``, m.
            yaw: where it looks, rad.

        Raises:
            UserError: for a place that is none.
        """
        data = self.data
        data.qpos[:7] = pose_on_ground(self.model, data, x, y, yaw)
        data.qvel[:] = data.qacc_warmstart[:] = 0.0
        mujoco.mj_kinematics(self.model, data)
        if self._payload:
            data.qpos[-7:] = pose_behind(self.model, data)
        for motor, angle in zip(self.motors, self.crank_angles, strict=True):
            motor.reset(float(angle))
        mujoco.mj_forward(self.model, data)

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
    def encoder_angles(self) -> np.ndarray:
        """What ideal encoders read, shape ``(2,)``, rad, unwrapped: the drives' angles unless one slips or is stuck."""
        angles = self.crank_angles
        angles = angles - self._encoder_slip * (angles - self._slip_origin)
        for i, reading in enumerate(self._stuck):
            if reading is not None:
                angles[i] = reading
        return angles

    @property
    def encoder_rates(self) -> np.ndarray:
        """Rates by ideal encoders, shape ``(2,)``, rad/s."""
        rates = self.crank_rates * (1.0 - self._encoder_slip)
        for i, reading in enumerate(self._stuck):
            if reading is not None:
                rates[i] = 0.0
        return rates

    @property
    def position(self) -> np.ndarray:
        """Position of ``base_link`` in ``map``, shape ``(3,)``, m.

        That which goes with its velocity: MuJoCo's steps are semi-implicit, its position is half a step ahead.
        """
        position: np.ndarray = self.data.qpos[:3] - 0.5 * PHYSICS_PERIOD * self.data.qvel[:3]
        return position

    @property
    def quaternion(self) -> np.ndarray:
        """Attitude of ``base_link`` in ``map``, shape ``(4,)``, x y z w."""
        quaternion: np.ndarray = self.data.qpos[[4, 5, 6, 3]]
        return quaternion

    @property
    def angular_velocity(self) -> np.ndarray:
        """What an ideal gyroscope reads, shape ``(3,)``, rad/s in ``imu_link``.

        MuJoCo's own gyroscope is computed before a step moves the body: it is one step behind the pose.
        """
        rates: np.ndarray = self._base_to_imu @ self.data.qvel[3:6]
        return rates

    @property
    def specific_force(self) -> np.ndarray:
        """What an ideal accelerometer reads, shape ``(3,)``, m/s^2 in ``imu_link`` (+g on z at rest).

        Of the step that ends now: exactly what the velocity changed by, in the axes of the middle of the step. MuJoCo
        gives it in those of its begin.
        """
        x, y, z = self.data.sensordata[:3].tolist()
        a, b, c = (0.5 * PHYSICS_PERIOD * self.angular_velocity).tolist()
        return np.array([x - (b * z - c * y), y - (c * x - a * z), z - (a * y - b * x)])

    def step(self, command: Sequence[float] | np.ndarray) -> None:
        """Advance one millisecond with commanded crank rates (left, right) in rad/s."""
        data, voltage, drawn = self.data, self.battery_voltage, 0.0
        angles, rates, torques = data.qpos, data.qvel, data.ctrl
        for i, motor in enumerate(self.motors):
            # The rate loop believes the encoder: one that reads too little makes its legs turn too fast.
            # Plain numbers: NumPy's are slow one at a time.
            stuck = self._stuck[i]
            torques[i] = motor.step(float(command[i]) * self._hurry[i], float(angles[self._crank_angle[i]]),
                                    float(rates[self._crank_rate[i]]), voltage, PHYSICS_PERIOD,
                                    None if stuck is None else (stuck, 0.0))
            drawn += abs(motor.duty * motor.current)
        self._drawn = drawn
        self._discharge()
        if self._model_faults.depends_on_place:
            self._model_faults.follow(data)
        mujoco.mj_step(self.model, data)
        self.elapsed_ms += 1
        if self.faults.advance(self.elapsed_ms):
            self._apply_faults()

    def replace_faults(self, faults: Sequence[Fault]) -> None:
        """Take another list of faults: onsets of those added count from now, those removed heal."""
        self.faults.replace(faults, self.elapsed_ms)
        if self.faults.advance(self.elapsed_ms):
            self._apply_faults()

    def _discharge(self) -> None:
        cell = self._battery
        voltage = self._cell_fault[-1][0] if self._cell_fault else cell.full_voltage - cell.fade * self.data.time
        self.battery_voltage = voltage - cell.internal_resistance * self._drawn

    def _apply_faults(self) -> None:
        """Make the robot what the faults that act now leave of it, from the healthy one: what acts no more is gone."""
        faults = self.faults
        payload, before = sum(mass for (mass,) in faults.values("payload")), self.model
        if payload != self._payload:
            self._pull(payload)
        self._model_faults.apply(faults)
        if self.model is not before:
            mujoco.mj_forward(self.model, self.data)
        for i, side in enumerate(SIDES):
            factors = [factor for (factor,) in faults.values("motor_gain", side)]
            self.motors[i].gain = float(np.prod(factors)) * (not faults.values("dead_motor", side))
            slip = sum(share for (share,) in faults.values("encoder_slip", side))
            if slip != self._encoder_slip[i]:
                self._encoder_slip[i], self._slip_origin[i] = slip, self.crank_angles[i]
                self._hurry[i] = 1.0 / (1.0 - slip)
            is_stuck = bool(faults.values("stuck_encoder", side))
            if is_stuck is (self._stuck[i] is None):
                # The rate loop sees a leg that stands, and pushes it as hard as it can.
                self._stuck[i] = float(self.encoder_angles[i]) if is_stuck else None
        cell = faults.values("battery")
        if cell != self._cell_fault:
            self._cell_fault = cell
            self._discharge()

    def _pull(self, mass: float) -> None:
        """Put a sled of this mass (kg) behind the robot, or take it away."""
        pose = self.data.qpos[-7:].copy() if self._payload else pose_behind(self.model, self.data)
        self._payload = mass
        if not mass:
            self._use(self._plain_model, self._plain_faults)
            return
        spec = self._spec.copy()
        add_sled(spec, mass, pose)
        model = spec.compile()
        self._use(model, ModelFaults(model, self._terrain))

    def _use(self, model: mujoco.MjModel, model_faults: ModelFaults) -> None:
        """Go on in another model of the same robot: what only one of them has comes last in both."""
        self._model_faults = model_faults
        if model is self.model:
            return
        old, self.model, self.data = self.data, model, mujoco.MjData(model)
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl"):
            common = min(len(getattr(old, name)), len(getattr(self.data, name)))
            getattr(self.data, name)[:common] = getattr(old, name)[:common]
        self.data.time = old.time


def _base_to_imu(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Return the rotation ``(3, 3)`` from the axes of ``base_link`` to those of ``imu_link``."""
    mujoco.mj_kinematics(model, data)
    base = data.body("base_link").xmat.reshape(3, 3)
    rotation: np.ndarray = data.site("imu").xmat.reshape(3, 3).T @ base
    return rotation
