# SPDX-License-Identifier: Apache-2.0
"""Node: sensor topics in, ``robot_state`` once per control period and ``odometry`` more often out."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import Diagnostics
from l2a_ros.nodes.estimator_outputs import metrics_message, odometry_message
from l2a_ros.nodes.estimator_report import EstimatorReport
from l2a_ros.nodes.estimator_settings import SCHEMA, make_estimator
from l2a_ros.nodes.messages import SECOND, layout_vector, map_pose, named_vector, to_nanoseconds
from l2a_ros.nodes.parameters import declare
from l2a_ros.nodes.realtime import LoopProcess
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sensor_messages import mocap_topic, sensor_sample
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.robot.layout import STATE, Layout
from l2a_ros.robot.samples import ImuSample, PoseSample
from l2a_ros.timing.deadlines import Deadlines

#: ``sim/tick``: how many samples of each sensor topic precede the tick.
TICK_LAYOUT = Layout("tick", tuple((topic.name, "1") for topic in names.SENSOR_TOPICS))
#: How far a sample's stamp may be ahead of this machine's clock, s. One from further on would outlive all that follow.
LARGEST_LEAD = 0.1


class StateEstimatorNode(Node):
    """Shell of :class:`StateEstimator`."""

    def __init__(self) -> None:
        super().__init__("state_estimator")
        self.loop_process = LoopProcess(self)
        settings = declare(self, SCHEMA)
        self._period: float = settings["control_period"]
        self._lockstep: bool = settings["lockstep"]
        self._odometry_period = round(SECOND / settings["odometry_rate"])
        self._estimator = make_estimator(settings)
        self._report = EstimatorReport(self._estimator)
        self._begin_anew()
        self._received = {topic.name: 0 for topic in names.SENSOR_TOPICS}
        self._stamps: dict[str, int] = {}
        self._jumps = TimeJumps(self, self._on_time_jump, self._lockstep)
        self._time_before, self._jump = 0, 0
        self._deadlines = Deadlines(self._period, time.monotonic())

        self._state, self._odometry, self._metrics = (
            self.create_publisher(topic.type, topic.name, topic.profile(self._lockstep))
            for topic in (names.ROBOT_STATE, names.ODOMETRY, names.ESTIMATOR_METRICS))
        mocap = mocap_topic(settings["mocap_type"])
        for topic in (mocap if each is names.MOCAP_POSE else each for each in names.SENSOR_TOPICS):
            self.create_subscription(topic.type, topic.name, partial(self._on_sensor, topic),
                                     topic.profile(self._lockstep))
        if self._lockstep:
            self.create_subscription(JointState, names.SIM_TICK.name, self._on_sim_tick, names.SIM_TICK.qos)
            self._no_state = self.create_publisher(JointState, names.SIM_NO_STATE.name, names.SIM_NO_STATE.qos)
        self.create_subscription(PoseWithCovarianceStamped, names.INITIAL_POSE.name, self._on_initial_pose,
                                 names.INITIAL_POSE.qos)
        self.create_service(Trigger, names.ESTIMATOR_RESET, self._on_reset)
        self._diagnostics = Diagnostics(self, lambda: self._report.health(
            self.get_clock().now().nanoseconds, time.monotonic(),
            {"overruns": self._deadlines.overruns, "time jumps": self._jumps.count}))

    def _begin_anew(self) -> None:
        """Forget all that is known of the time before: after a jump its stamps say nothing."""
        self._simulated = time_is_simulated(self)
        self._estimator.reset()
        self._expected: tuple[int, dict[str, float]] | None = None
        self._last: JointState | None = None
        self._next_tick: int | None = None
        self._latest: int | None = None
        self._last_odometry: int | None = None

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
        if self._lockstep:
            self._publish_odometry_until(stamp)
        estimate = self._estimator.estimate(stamp)
        if self._report.tick(estimate.status, estimate.state is not None, time.monotonic()):
            self._diagnostics.publish()
        age = self._estimator.ages(stamp)[names.MOCAP_POSE.name]
        self._metrics.publish(metrics_message(stamp, estimate.motion, age, self._estimator.report()))
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
        self._report.heard(topic.name)
        self._estimator.add(sample)
        if self._lockstep:
            self._tick_if_complete()
            return
        if isinstance(sample, PoseSample | ImuSample):
            self._publish_odometry(sample.stamp)
        if self._simulated:
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
        self._report.refused += 1
        self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _tick_by_samples(self, stamp: int) -> None:
        period = round(self._period * SECOND)
        if self._next_tick is None:
            self._next_tick = (stamp // period + 1) * period
        elif stamp >= self._next_tick + period // 10:
            # A tenth of a period late, so that the other sources' samples of the same moment are in.
            self._tick(self._next_tick)
            self._next_tick = max(self._next_tick + period, (stamp // period) * period)

    def _publish_odometry(self, stamp: int) -> None:
        """Publish the odometry of a moment, unless one of less than a period before is out."""
        if self._last_odometry is not None and stamp < self._last_odometry + self._odometry_period:
            return
        motion = self._estimator.motion(stamp)
        if motion is not None and motion.health.is_live:
            self._last_odometry = stamp
            self._odometry.publish(odometry_message(motion))

    def _publish_odometry_until(self, stamp: int) -> None:
        """Publish what is due until a tick: only then all samples are there, in any run of the same world."""
        first = max(stamp - round(self._period * SECOND), self._last_odometry or 0)
        due = first - first % self._odometry_period + self._odometry_period
        for moment in range(due, stamp + 1, self._odometry_period):
            self._publish_odometry(moment)

    # By hand ---------------------------------------------------------------------------------------------------------

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._estimator.reset()
        response.success, response.message = True, "forgot all samples"
        return response

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            position, quaternion = map_pose(message.header.frame_id, message.pose.pose, names.INITIAL_POSE.name)
        except UserError as error:
            self._refuse(error)
            return
        self._estimator.set_pose(self._latest or self.get_clock().now().nanoseconds, position, quaternion)
        self.get_logger().info(f"begins again at x {position[0]:.2f} m, y {position[1]:.2f} m")


def main() -> None:
    """Run the node."""
    run_node(StateEstimatorNode, "state_estimator")


if __name__ == "__main__":
    main()
