# SPDX-License-Identifier: Apache-2.0
"""Node: plans from every ``robot_state`` with the model adapted for it, and commands the motors."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from nav_msgs.msg import Path
from rclpy.event_handler import PublisherEventCallbacks, QoSOfferedDeadlineMissedInfo
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, UInt8MultiArray

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import WARN, Diagnostics, Health
from l2a_ros.nodes.live_cost import LiveCost
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import SECOND, layout_vector, motor_commands, path_points, to_nanoseconds
from l2a_ros.nodes.model_inbox import ModelInbox
from l2a_ros.nodes.mpc_report import NO_PATH as NO_PATH_REASON
from l2a_ros.nodes.mpc_report import NO_STATE, MpcReport, Tick
from l2a_ros.nodes.mpc_start import SCHEMA, start_up
from l2a_ros.nodes.plan_views import PlanViews
from l2a_ros.nodes.planning_thread import PlanningThread
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.planning.costs import Term
from l2a_ros.planning.line_follower import NO_PATH, Decision, Task
from l2a_ros.robot.continuity import has_begun_again, is_state_jump
from l2a_ros.robot.layout import STATE
from l2a_ros.timing.command_delay import CommandDelay

#: In lock-step nothing is late, so the wait only bounds how long a broken graph hangs, s.
LOCKSTEP_WAIT = 10.0
#: Control periods within which a command is promised on the topic.
DEADLINE = 2.0
#: From a state to its command until it has been measured, in control periods.
EXPECTED_DELAY = 0.3


class MpcNode(ManagedNode):
    """Shell of :class:`LineFollower`.

    In real time plans are made in a thread of their own, so that a stop, a state or a path is heard while one is made;
    the lock is held by whoever touches the rest of the node.
    """

    _thread: PlanningThread | None = None  # a node that is refused is destroyed too

    def __init__(self) -> None:
        super().__init__("mpc", SCHEMA)
        self._active = False
        self._waiting: Tick | None = None
        self._broken: Exception | None = None
        self._has_news = False
        self._lock = threading.RLock()
        self._diagnostics = Diagnostics(self, self._health)
        self._jumps = TimeJumps(self, self._on_time_jump, self.settings["lockstep"])
        self._live = LiveCost(self)
        self.start()

    def configure(self) -> None:
        """Load the checkpoint, build the planner, warm it up and open the interfaces."""
        settings = self.settings
        self._lockstep: bool = settings["lockstep"]
        self._follower, found = start_up(self, settings)
        self._live.attach(self._on_terms)
        self._models = ModelInbox(self._follower.check_model)
        self._report = MpcReport(found)
        self._model_wait = LOCKSTEP_WAIT if self._lockstep else settings["model_wait"]
        period = settings["control_period"]
        self._delay = CommandDelay(0.0 if self._lockstep else EXPECTED_DELAY * period, period,
                                   settings["actuation_delay"])
        self._commands = self.create_lifecycle_publisher(
            JointState, names.MOTOR_COMMANDS.name,
            names.MOTOR_COMMANDS.with_deadline(self._lockstep, DEADLINE * period),
            event_callbacks=PublisherEventCallbacks(deadline=self._on_deadline_missed, use_default_callbacks=False))
        self._metrics = self.create_lifecycle_publisher(JointState, names.MPC_METRICS.name,
                                                        names.MPC_METRICS.profile(self._lockstep))
        self._views = PlanViews(self, self._lockstep)
        # A plan that took too long must not be followed by plans for states that are old by now.
        self.create_subscription(JointState, names.ROBOT_STATE.name, self._on_state,
                                 names.ROBOT_STATE.newest(self._lockstep))
        self.create_subscription(UInt8MultiArray, names.ADAPTED_MODEL.name, self._on_model,
                                 names.ADAPTED_MODEL.profile(self._lockstep))
        self.create_subscription(Path, names.REFERENCE_PATH.name, self._on_path, names.REFERENCE_PATH.qos)
        names.subscribe_estop(self, self._on_estop)
        self._begin_anew()
        self._path_problem: str | None = None
        if not self._lockstep:
            self._thread = PlanningThread(self._on_broken)

    def _on_terms(self, terms: Sequence[Term]) -> None:
        with self._lock:
            self._follower.set_terms(terms)

    def activate(self) -> None:
        """Begin."""
        with self._lock:
            self._begin_anew()
            self._report.reason = NO_STATE
            self._active = True

    def _begin_anew(self, stamp: int | None = None) -> None:
        """Forget all that is known of the time before a state, but not the path: it is laid in space."""
        self._models.forget(but=stamp)
        self._answer: JointState | None = None
        self._newest: Tick | None = None
        self._waiting = None
        self._state_time = 0.0
        self._follower.restart()

    def deactivate(self) -> None:
        """Command the robot to stand, then be silent."""
        with self._lock:
            if self._active:
                self._stand(self.get_clock().now().nanoseconds, "not active")
            self._active = False

    def cleanup(self) -> None:
        """End the thread."""
        self._end_thread()

    def destroy_node(self) -> None:
        """End the thread too."""
        self._end_thread()
        super().destroy_node()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    # Deadlines: the model of this tick is late, or no state comes any more -------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when to plan without the model of this tick, or when the newest state is too old."""
        if self._broken is not None or self._has_news:
            return 0.0
        if self._waiting is not None:
            return self._waiting.until
        if self._active and self._state_time and not self._lockstep:
            return self._state_time + self.settings["maximum_state_age"]
        return None

    def on_deadline(self) -> None:
        """Plan with the newest model there is, or stand."""
        if self._broken is not None:
            with self._lock:
                self._stand(self.get_clock().now().nanoseconds, "planning failed")
            raise self._broken
        if self._has_news:
            self._has_news = False
            self._diagnostics.publish()
            return
        with self._lock:
            if self._waiting is not None:
                self._report.counts["models not in time"] += 1
                self._plan()
                return
            now = self.get_clock().now().nanoseconds
            # Simulated time may run slower than the wall clock, or not at all.
            if (time_is_simulated(self) and self._newest is not None
                    and now - self._newest.stamp <= self.settings["maximum_state_age"] * SECOND):
                self._state_time = time.monotonic()
                return
            self._state_time = 0.0
            self._stand(now, "no robot_state any more")

    def _on_broken(self, error: Exception) -> None:
        self._broken = error

    # Messages --------------------------------------------------------------------------------------------------------

    def _on_time_jump(self, what: str, _: float) -> None:
        with self._lock:
            if not self._active:
                return
            self._begin_anew()
            # In lock-step a command answers a state, and that comes.
            if not self._lockstep:
                self._stand(self.get_clock().now().nanoseconds, what)
                self._answer = None

    def _on_deadline_missed(self, event: QoSOfferedDeadlineMissedInfo) -> None:
        self._report.counts["deadlines missed"] += event.total_count_change

    def _on_path(self, message: Path) -> None:
        with self._lock:
            try:
                self._follower.set_path(path_points(message), to_nanoseconds(message.header.stamp))
                self._path_problem = None
            except UserError as error:
                self._refuse(error)
                self._path_problem = str(error)
                self._follower.set_path(NO_PATH, 0)

    def _on_estop(self, message: Bool) -> None:
        # The latch is the robot's own gate; here the path is forgotten, so that its release alone moves nothing.
        if message.data:
            with self._lock:
                self._follower.set_path(NO_PATH, 0)
                self._path_problem = None
                if self._active:
                    self._stand(self.get_clock().now().nanoseconds, "estop")

    def _on_model(self, message: UInt8MultiArray) -> None:
        with self._lock:
            try:
                model = self._models.take(message.data.tobytes())
            except UserError as error:
                self._refuse(error)
                # In lock-step no other one comes for this tick.
                if self._lockstep and self._waiting is not None:
                    self._stand(self._waiting.stamp, str(error))
                return
            if self._waiting is not None and model.stamp == self._waiting.stamp:
                self._plan()

    def _on_state(self, message: JointState) -> None:
        with self._lock:
            if self._active:
                self._on_active_state(message, to_nanoseconds(message.header.stamp))

    def _on_active_state(self, message: JointState, stamp: int) -> None:
        now = time.monotonic()
        if self._newest is not None and has_begun_again(stamp, self._newest.stamp):
            self._begin_anew(stamp)
        if self._newest is not None and stamp <= self._newest.stamp:
            # Said again by who did not hear the answer, which may be under way.
            if self._answer is not None and stamp == to_nanoseconds(self._answer.header.stamp):
                self._commands.publish(self._answer)
            return
        self._state_time = now
        age = 0.0 if self._lockstep else (self.get_clock().now().nanoseconds - stamp) / SECOND
        try:
            state = layout_vector(STATE, message, "robot_state")
        except UserError as error:
            self._refuse(error)
            self._stand(stamp, str(error))
            return
        tick, before = Tick(stamp, state, now, now + self._model_wait), self._newest
        self._newest = tick
        if before is not None and is_state_jump(before.state, state, stamp - before.stamp):
            self._report.counts["pose jumps"] += 1
            self._follower.restart()
        if age > self.settings["maximum_state_age"]:
            self._stand(stamp, f"robot_state is older than {self.settings['maximum_state_age']:g} s")
        elif not self._follower.wants_plan(stamp):
            self._stand(stamp, self._path_problem or NO_PATH_REASON)
        else:
            self._waiting = tick
            if self._models.is_of(stamp):
                self._plan()

    # Planning --------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Plan for the waiting tick, here in lock-step, else in the thread."""
        assert self._waiting is not None
        tick, self._waiting = self._waiting, None
        problem = self._models.problem_at(tick.stamp, math.inf if self._lockstep
                                          else self.settings["maximum_model_age"])
        if problem is not None:
            self._stand(tick.stamp, problem)
            return
        task = self._follower.prepare(tick.state, tick.stamp, self._models.model, self._delay.seconds)
        if isinstance(task, Decision):
            self._stand(tick.stamp, task.reason)
        elif self._thread is None:
            self._solve(tick, task)
        else:
            self._thread.submit(lambda: self._solve(tick, task))

    def _solve(self, tick: Tick, task: Task) -> None:
        begin = time.monotonic()
        latest = begin + self.settings["plan_budget"]
        answer = self._follower.solve(task, None if self._lockstep else lambda: time.monotonic() >= latest)
        with self._lock:
            decision = self._follower.finish(task, answer)
            # A stop, a jump or another path came meanwhile: what was planned must not be done.
            if decision is None or not self._active:
                self._report.counts["void plans"] += 1
                return
            self._command(decision, tick.stamp)
            now = time.monotonic()
            if not self._lockstep:
                latency = (self.get_clock().now().nanoseconds - tick.stamp) / SECOND
                self._delay.measured(latency)
                self._report.counts["late plans"] += latency > self.settings["control_period"]
            self._metrics.publish(self._report.answered(decision, tick, task.model, begin, now, self._delay.seconds,
                                                        self.settings["plan_budget"]))
        if len(answer.plan.states):
            self._views.show(answer.plan, tick.stamp, time.monotonic(),
                             lambda: self._follower.predict_trained(task, answer.plan.actions))

    def _stand(self, stamp: int, reason: str) -> None:
        self._waiting = None
        self._command(self._follower.stand(reason, stamp + self._delay.nanoseconds), stamp)

    def _command(self, decision: Decision, stamp: int) -> None:
        if decision.reason != self._report.reason:
            self._report.reason = decision.reason
            self.get_logger().info(decision.reason)
            # Published by the loop: it is the loop's health, and a plan must not be kept waiting.
            self._has_news = True
        self._answer = motor_commands(decision.rates, stamp)
        self._commands.publish(self._answer)

    def _refuse(self, error: UserError) -> None:
        self._report.counts["messages of wrong layout"] += 1
        self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _health(self) -> list[Health]:
        with self._lock:
            if not self._active:
                return [Health("planner", WARN, "not active")]
            self._report.counts["commands out of range"] = self._follower.limited
            self._report.counts["states overtaken"] = 0 if self._thread is None else self._thread.replaced
            return [self._report.health(self._delay.seconds, self._jumps.count)]


def main() -> None:
    """Run the node."""
    run_node(MpcNode, "mpc")


if __name__ == "__main__":
    main()
