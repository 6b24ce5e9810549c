# SPDX-License-Identifier: Apache-2.0
"""Robot, sensors and estimator stepped together in one process, a control period at a time, without ROS.

For collecting data and for experiments; the pure objects are the ones that the nodes wrap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2a_ros.estimation.settings import FilterSettings
from l2a_ros.estimation.state_estimator import Estimate, StateEstimator
from l2a_ros.robot.limits import STAND
from l2a_ros.robot.samples import Sample
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.faults import Fault, without_wire
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.radio import CommandRadio
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import Terrain

_MILLISECOND = 1_000_000
#: A slope has no ceiling: a robot that walks at random for long leaves what is a room's height for motion capture.
OUTDOORS = FilterSettings(lowest=-100.0, highest=100.0)


class InProcessRobot:
    """A simulated robot that answers each command with the state one control period later.

    Args:
        terrain: the floor.
        seed: of the start and of the sensor noise.
        faults: what breaks and when.
        control_period: s, a whole number of milliseconds.
        heading: yaw at the start, rad.
        battery: the cell.

    Raises:
        UserError: for a fault of the wire, which there is not.
    """

    def __init__(self, terrain: Terrain, seed: int = 0, faults: Sequence[Fault] = (), control_period: float = 0.1,
                 heading: float = 0.0, battery: Battery | None = None) -> None:
        self.robot = Millirobot(terrain, seed, without_wire(faults), heading, battery)
        self._sensors = Sensors(self.robot, seed)
        self._radio = CommandRadio(self.robot.faults, seed)
        self._estimator = StateEstimator(control_period, settings=OUTDOORS)
        self._period_ms = round(control_period * 1000)
        self.elapsed_ms = 0
        self.samples: list[Sample] = []

    def tick(self, command: np.ndarray, previous: np.ndarray | None = None, delay: float = 0.0) -> Estimate:
        """Walk one control period.

        Args:
            command: crank rates ``(2,)``, rad/s.
            previous: rates that still hold for the first ``delay`` seconds.
            delay: s.

        Returns:
            The state at the end of the period; the sensor samples of the period are left in ``samples``.
        """
        late_ms = round(delay * 1000)
        held = [float(rate) for rate in (command if previous is None else previous)]
        new = [float(rate) for rate in command]
        self.samples = []
        for i in range(self._period_ms):
            if i == late_ms:
                self._radio.send(self.stamp)
            self.robot.step(self._radio.output(held if i < late_ms else new, self.stamp))
            self.elapsed_ms += 1
            for sample in self._sensors.sample(self.elapsed_ms, self.stamp):
                self.samples.append(sample)
                self._estimator.add(sample)
        return self._estimator.estimate(self.stamp)

    @property
    def stamp(self) -> int:
        """Simulated time, ns."""
        return self.elapsed_ms * _MILLISECOND

    def settle(self, ticks: int = 5) -> Estimate:
        """Stand for some control periods, so that the robot has come to rest and every source has spoken."""
        for _ in range(ticks):
            estimate = self.tick(STAND)
        return estimate
