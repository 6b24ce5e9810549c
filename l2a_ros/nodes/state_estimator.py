# SPDX-License-Identifier: Apache-2.0
"""Node: sensor topics in, ``robot_state`` once per control period and ``odometry`` with every pose out."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from l2a_ros.errors import UserError
from l2a_ros.estimation.state_assembler import Estimate, StateAssembler
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from l2a_ros.nodes.messages import SECOND, layout_vector, named_vector, to_nanoseconds, to_stamp
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.realtime import LoopProcess
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sensor_messages import MOCAP_PARAMETER, mocap_topic, sensor_sample
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.robot.layout import STATE, Layout
from l2a_ros.robot.samples import PoseSample
from l2a_ros.timing.deadlines import Deadlines
from l2a_ros.timing.statistics import Statistics

SCHEMA = (
    Parameter("control_period", 0.1, "time between robot_state messages, s", 0.005, 1.0),
    Parameter("lockstep", False, "tick when the simulated world says that its samples are complete"),
    MOCAP_PARAMETER,
)


#: ``sim/tick``: how many samples of each sensor topic precede the tick.
TICK_LAYOUT = Layout("tick", tuple((topic.name, "1") for topic in names.SENSOR_TOPICS))
#: How far a sample's stamp may be ahead of this machine's clock, s. One from further on would outlive all that follow.
LARGEST_LEAD = 0.1


class StateEstimatorNode(Node):
    """Shell of :class:`StateAssembler`."""

    def __init__(self) -> None:
        super().__init__("state_estimator")
        self.loop_process = LoopProcess(self)
        settings = declare(self, SCHEMA)
        self._period: float = settings["control_period"]
        self._lockstep: bool = settings["lockstep"]
        self._assembler = StateAssembler(self._period)
        self._last_status = "no tick yet"
        self._begin_anew()
        self._received = {topic.name: 0 for topic in names.SENSOR_TOPICS}
        self._stamps: dict[str, int] = {}
        self._jumps = TimeJumps(self, self._on_time_jump, self._lockstep)
        self._time_before, self._jump = 0, 0
        self._deadlines = Deadlines(self._period, time.monotonic())
        self._tick_time: float | None = None
        self._periods = Statistics()
        self._bad_messages = 0

        self._state, self._odometry = (
            self.create_publisher(topic.type, topic.name, topic.profile(self._lockstep))
            for topic in (names.ROBOT_STATE, names.ODOMETRY))
        mocap = mocap_topic(settings["mocap_type"])
        for topic in (mocap if each is names.MOCAP_POSE else each for each in names.SENSOR_TOPICS):
            self.create_subscription(topic.type, topic.name, partial(self._on_sensor, topic),
                                     topic.profile(self._lockstep))
        if self._lockstep:
            self.create_subscription(JointState, names.SIM_TICK.name, self._on_sim_tick, names.SIM_TICK.qos)
            self._no_state = self.create_publisher(JointState, names.SIM_NO_STATE.name, names.SIM_NO_STATE.qos)
        self.create_service(Trigger, names.ESTIMATOR_RESET, self._on_reset)
        self._diagnostics = Diagnostics(self, self._health)

    def _begin_anew(self) -> None:
        """Forget all that is known of the time before: after a jump its stamps say nothing."""
        self._simulated = time_is_simulated(self)
        self._assembler.reset()
        self._expected: tuple[int, dict[str, float]] | None = None
        self._last: JointState | None = None
        self._next_tick: int | None = None
        self._latest: int | None = None

    def _on_time_jump(self, _: str, seconds: float) -> None:
        self._begin_anew()
        self._jump = max(0, round(-seconds * SECOND))
        self._time_before = self.get_clock().now().nanoseconds + self._jump

    def _is_from_before(self, stamp: int) -> bool:
        """Tell whether a sample was under way when time jumped back; taken, it would make all others look late."""
        now = self.get_clock().now().nanoseconds
        return now < self._time_before and stamp - now > self._jump // 2

    # Ticks -----------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return the next tick on the monotonic clock; simulated time ticks by its samples."""
        return None if self._simulated else self._deadlines.next

    def on_deadline(self) -> None:
        """Tick."""
        now = time.monotonic()
        self._deadlines.advance(now)
        self._tick(self.get_clock().now().nanoseconds)

    def _tick(self, stamp: int) -> None:
        now = time.monotonic()
        if self._tick_time is not None:
            self._periods.add(now - self._tick_time)
        self._tick_time = now
        estimate: Estimate = self._assembler.estimate(stamp)
        if estimate.status != self._last_status:
            self._last_status = estimate.status
            self._diagnostics.publish()
        if estimate.state is None:
            if self._lockstep:
                self._no_state.publish(named_vector((), (), stamp))
            return
        self._last = named_vector(STATE.names, estimate.state, stamp)
        self._state.publish(self._last)

    def _on_sim_tick(self, message: JointState) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        if self._last is not None and has_begun_again(stamp, to_nanoseconds(self._last.header.stamp)):
            self._last = None
        if self._last is not None and stamp <= to_nanoseconds(self._last.header.stamp):
            # The world asks again: somebody did not hear the answer.
            self._state.publish(self._last)
            return
        try:
            counts = layout_vector(TICK_LAYOUT, message, names.SIM_TICK.name)
        except UserError as error:
            self._refuse(error)
            return
        self._expected = (stamp, dict(zip(TICK_LAYOUT.names, counts, strict=True)))
        self._tick_if_complete()

    def _tick_if_complete(self) -> None:
        if self._expected is None:
            return
        stamp, counts = self._expected
        if all(self._received[name] >= count for name, count in counts.items()):
            self._expected = None
            self._tick(stamp)

    # Samples ---------------------------------------------------------------------------------------------------------

    def _on_sensor(self, topic: names.Topic, message: Any) -> None:
        self._received[topic.name] += 1
        try:
            sample = sensor_sample(topic, message)
            if self._simulated and not self._lockstep and self._is_from_before(sample.stamp):
                raise UserError(f"{topic.name} has a stamp from before time jumped back")
            if not self._simulated and sample.stamp - self.get_clock().now().nanoseconds > LARGEST_LEAD * SECOND:
                raise UserError(f"{topic.name} has a stamp from the future; synchronise the clocks of the machines")
        except UserError as error:
            self._refuse(error)
            return
        if self._simulated:
            self._note_stamp(topic.name, sample.stamp)
        if self._assembler.add(sample) and isinstance(sample, PoseSample):
            self._publish_odometry(sample)
        if self._lockstep:
            self._tick_if_complete()
        elif self._simulated:
            self._tick_by_samples(sample.stamp)

    def _note_stamp(self, topic: str, stamp: int) -> None:
        """Begin anew when stamps show that simulated time did; /clock may be seen later, or not be there at all."""
        if has_begun_again(stamp, self._stamps.get(topic)):
            self._received[topic] = 1
        if has_begun_again(stamp, self._latest):
            self._begin_anew()
        self._stamps[topic] = stamp
        self._latest = stamp if self._latest is None else max(self._latest, stamp)

    def _refuse(self, error: UserError) -> None:
        self._bad_messages += 1
        self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _tick_by_samples(self, stamp: int) -> None:
        period = round(self._period * SECOND)
        if self._next_tick is None:
            self._next_tick = (stamp // period + 1) * period
        elif stamp >= self._next_tick + period // 10:
            # A tenth of a period late, so that the other sources' samples of the same moment are in.
            self._tick(self._next_tick)
            self._next_tick = max(self._next_tick + period, (stamp // period) * period)

    def _publish_odometry(self, pose: PoseSample) -> None:
        velocity = self._assembler.velocity()
        message = Odometry()
        message.header.stamp = to_stamp(pose.stamp)
        message.header.frame_id, message.child_frame_id = names.MAP_FRAME, names.BASE_FRAME
        target = message.pose.pose
        target.position.x, target.position.y, target.position.z = (float(value) for value in pose.position)
        q = target.orientation
        q.x, q.y, q.z, q.w = (float(value) for value in pose.quaternion)
        if velocity is not None:
            # REP-105: the twist is in the child frame.
            x, y, z, w = pose.quaternion
            turned = velocity + 2.0 * np.cross(-np.array([x, y, z]), np.cross(-np.array([x, y, z]), velocity)
                                               + w * velocity)
            linear = message.twist.twist.linear
            linear.x, linear.y, linear.z = (float(value) for value in turned)
        for block, spread in ((message.pose, (2e-4, 2e-3)), (message.twist, (5e-3, 1e-1))):
            for i in range(6):
                block.covariance[7 * i] = spread[i >= 3] ** 2
        self._odometry.publish(message)

    # Service and diagnostics -----------------------------------------------------------------------------------------

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._assembler.reset()
        response.success, response.message = True, "forgot all samples"
        return response

    def _health(self) -> list[Health]:
        stamp = self.get_clock().now().nanoseconds
        values: dict[str, object] = {f"age of {name} (s)": age for name, age in self._assembler.ages(stamp).items()}
        values |= {f"rejected {name}": count for name, count in self._assembler.rejected.items()}
        values |= {f"period {name} (s)": value for name, value in self._periods.summary().items()}
        values |= {"overruns": self._deadlines.overruns, "messages refused": self._bad_messages,
                   "pose jumps": self._assembler.pose_jumps, "time jumps": self._jumps.count}
        level = OK if self._last_status == "ok" else (WARN if self._last is None else ERROR)
        return [Health("state", level, self._last_status, values)]


def main() -> None:
    """Run the node."""
    run_node(StateEstimatorNode, "state_estimator")


if __name__ == "__main__":
    main()
