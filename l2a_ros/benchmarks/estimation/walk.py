# SPDX-License-Identifier: Apache-2.0
"""A simulated robot that walks at random, what its sensors say as it arrives, and the truth of every millisecond."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from l2a_ros.robot.limits import STAND
from l2a_ros.robot.samples import ImuSample, PoseSample, Sample
from l2a_ros.simulation.faults import Fault, parse_fault, without_wire
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.mocap_faults import LONGEST_OUTLIER
from l2a_ros.simulation.radio import CommandRadio
from l2a_ros.simulation.sensors import Sensors, SensorSettings
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

MILLISECOND = 1_000_000
#: The robot stands for so long before it walks, as it does at the start of a trial, s.
REST = 1.0
_TICK_MS = 100
#: The unit's own rate: slower ones are made of it by leaving readings out.
FULL_RATE = SensorSettings(imu_period_ms=1)


@dataclass(frozen=True)
class Walk:
    """What happened.

    Args:
        samples: of all sensors, in order of arrival.
        arrivals: when each sample arrived, ns, ``(n,)``, rising.
        position: true position of ``base_link`` in ``map``, m, ``(m, 3)``; row k is of k milliseconds, from 0 on.
        quaternion: true attitude of ``base_link`` in ``map``, x y z w, ``(m, 4)``.
        velocity: true velocity of ``base_link`` in ``map``, m/s, ``(m, 3)``.
        angular_velocity: true angular velocity in ``base_link``, rad/s, ``(m, 3)``.
        dropouts: begin and end of each time without motion capture, ns.
        latency: by which poses arrive, and are stamped, late, ns.
        gyro_bias: rad/s in ``imu_link``, ``(3,)``, without that of faults.
    """

    samples: list[Sample]
    arrivals: np.ndarray
    position: np.ndarray
    quaternion: np.ndarray
    velocity: np.ndarray
    angular_velocity: np.ndarray
    dropouts: list[tuple[int, int]]
    latency: int
    gyro_bias: np.ndarray

    @property
    def end(self) -> int:
        """Last moment of which there is a truth, ns."""
        return (len(self.position) - 1) * MILLISECOND

    def row(self, stamp: int) -> int:
        """Return the row of the truth at a stamp (ns) of a whole millisecond."""
        return stamp // MILLISECOND

    def outliers(self, far: float = 0.005, turned: float = math.radians(3.0)) -> np.ndarray:
        """Tell of each pose, in order of arrival, whether it is further from the truth than noise can explain.

        The first samples of a frozen pose are not: nobody could tell, and they do no harm.

        Args:
            far: m.
            turned: rad.

        Returns:
            Booleans, shape ``(poses,)``.
        """
        poses = [sample for sample in self.samples if isinstance(sample, PoseSample)]
        rows = np.array([max(self.row(pose.stamp - self.latency), 0) for pose in poses])
        distance = np.linalg.norm(np.array([pose.position for pose in poses]) - self.position[rows], axis=1)
        product = np.sum(np.array([pose.quaternion for pose in poses]) * self.quaternion[rows], axis=1)
        is_far: np.ndarray = (distance > far) | (np.abs(product) < math.cos(turned / 2.0))
        return is_far

    def with_imu_period(self, milliseconds: int) -> Walk:
        """Return the walk as a slower inertial unit sees it, which leaves readings out; 0 for none at all.

        What is left are momentary values, aliased by the stride: the unit has no filter of its own (`robot.md` 1.3).
        """
        kept = [not isinstance(sample, ImuSample)
                or (milliseconds > 0 and sample.stamp % (milliseconds * MILLISECOND) == 0) for sample in self.samples]
        return replace(self, samples=[sample for sample, keep in zip(self.samples, kept, strict=True) if keep],
                       arrivals=self.arrivals[np.array(kept, dtype=bool)])


def outlier_rate(share: float, pose_period_ms: int = SensorSettings.pose_period_ms) -> float:
    """Return the argument of the fault ``mocap_outlier`` (per second) with which a share of all poses are outliers.

    An outlier lasts 1 to ``LONGEST_OUTLIER`` samples, each as likely. After each good sample one begins with a
    probability p, so that there are (1 - p) / p good samples for each one.
    """
    mean = 0.5 * (1 + LONGEST_OUTLIER)
    good = mean * (1.0 - share) / share
    return -math.log1p(-1.0 / (1.0 + good)) / (pose_period_ms / 1000.0)


def trouble(seconds: float, latency: float = 0.01, outliers: float = 0.01, dropout: float = 0.3, every: float = 2.0,
            first: float = 4.0) -> list[Fault]:
    """Return what motion capture does to a walk: latency (s), a share of outliers, and dropouts (s).

    Dropouts begin at the same times whatever the seed, so that moments of several seeds can be compared.
    """
    texts = [f"mocap_latency:{latency:g}"] if latency else []
    texts += [f"mocap_outlier:{outlier_rate(outliers):.6f}"] if outliers else []
    begin = first
    while dropout and begin + dropout < seconds:
        texts.append(f"mocap_dropout:{dropout:g}@{begin:g}")
        begin += every
    return [parse_fault(text) for text in texts]


def walk(seed: int, seconds: float, settings: SensorSettings = FULL_RATE, faults: Sequence[Fault] = (),
         terrain: str = "carpet", rest: float = REST) -> Walk:
    """Let a robot stand for a while and then walk with random commands, each held for 0.1 to 0.5 s.

    Args:
        seed: of the start, the ground, the commands and all noise.
        seconds: simulated time.
        settings: of the sensors.
        faults: what breaks and when (s from the start), for example those of :func:`trouble`.
        terrain: the floor.
        rest: how long it stands at first, s.

    Raises:
        UserError: for a fault of the wire, or a terrain that is not known.
    """
    robot = Millirobot(load_terrain(terrain), seed, without_wire(faults))
    sensors, radio, driver = Sensors(robot, seed, settings), CommandRadio(robot.faults, seed), RandomDriver(seed)
    steps = round(seconds * 1000.0)
    position, quaternion = np.zeros((steps + 1, 3)), np.zeros((steps + 1, 4))
    velocity, angular_velocity = np.zeros((steps + 1, 3)), np.zeros((steps + 1, 3))
    samples: list[Sample] = []
    arrivals: list[int] = []
    command = [float(rate) for rate in STAND]
    for k in range(steps + 1):
        stamp = k * MILLISECOND
        if k:
            if (k - 1) % _TICK_MS == 0:
                command = [float(rate) for rate in (driver() if k > rest * 1000.0 else STAND)]
                radio.send(stamp)
            robot.step(radio.output(command, stamp))
            arrived = sensors.sample(k, stamp)
            samples += arrived
            arrivals += [stamp] * len(arrived)
        position[k], quaternion[k] = robot.position, robot.quaternion
        velocity[k], angular_velocity[k] = robot.data.qvel[:3], robot.data.qvel[3:6]
    silences = [fault for fault in faults if fault.name == "mocap_dropout"]
    dropouts = sorted((round(fault.onset * 1000.0) * MILLISECOND,
                       round((fault.onset + fault.duration) * 1000.0) * MILLISECOND) for fault in silences)
    latency = round(1000.0 * sum(fault.values[0] for fault in faults if fault.name == "mocap_latency")) * MILLISECOND
    return Walk(samples, np.array(arrivals, dtype=np.int64), position, quaternion, velocity, angular_velocity, dropouts,
                latency, sensors.gyro_bias)
