# SPDX-License-Identifier: Apache-2.0
"""The millirobot in MuJoCo: 1 kHz physics with the firmware's rate loops on the two drives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from l2a_ros.robot.layout import MOTOR_JOINTS, SIDES
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.faults import Fault
from l2a_ros.simulation.motor import Motor
from l2a_ros.simulation.terrain import Terrain
from l2a_ros.simulation.world import PHYSICS_PERIOD, build_model


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
