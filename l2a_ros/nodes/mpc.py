# SPDX-License-Identifier: Apache-2.0
"""Node: plans from every ``robot_state`` with the model adapted for it, and commands the motors."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import Path
from rclpy.event_handler import PublisherEventCallbacks, QoSOfferedDeadlineMissedInfo
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, UInt8MultiArray

from l2a_ros.errors import UserError
from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from l2a_ros.nodes.limits import LIMITS_SCHEMA, load_limits
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import (
    SECOND,
    layout_vector,
    motor_commands,
    named_vector,
    path_message,
    path_points,
    to_nanoseconds,
)
from l2a_ros.nodes.model import MODEL_SCHEMA, load_model
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.planning.line_follower import NO_PATH, Decision, LineFollower
from l2a_ros.planning.line_following import LineFollowingWeights
from l2a_ros.planning.planners import make_planner, planner_names
from l2a_ros.planning.random_shooting import RandomShootingSettings
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.continuity import has_begun_again, is_state_jump
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.layout import STATE
from l2a_ros.timing.statistics import Statistics

SCHEMA = (
    *MODEL_SCHEMA,
    Parameter("lockstep", False, "wait for the adapted model of every state"),
    Parameter("planner", "random_shooting", "how action sequences are searched", choices=planner_names()),
    Parameter("candidates", 200, "action sequences per plan", 1, 100000),
    Parameter("horizon", 10, "control periods per action sequence", 1, 100),
    Parameter("longest_hold", 7, "a sequence holds each draw for up to so many periods; 1 as published", 1, 100),
    Parameter("seed", 0, "of the planner's draws", 0, 2**31 - 1),
    Parameter("lateral_weight", 50.0, "cost per metre beside the path", 0.0, 1e6, is_dynamic=True),
    Parameter("progress_weight", 10.0, "reward per metre along the path", 0.0, 1e6, is_dynamic=True),
    Parameter("heading_weight", 5.0, "cost per rad of heading error", 0.0, 1e6, is_dynamic=True),
    *LIMITS_SCHEMA,
    Parameter("model_wait", 0.025, "longest wait for the adapted model of a state, s", 0.0, 1.0),
    Parameter("maximum_state_age", 0.25, "the robot stands when the newest state is older, s", 0.01, 10.0),
)
#: In lock-step nothing is late, so the wait only bounds how long a broken graph hangs, s.
LOCKSTEP_WAIT = 10.0
COUNTED = ("plans", "late plans", "deadlines missed", "models not in time", "messages of wrong layout", "pose jumps")
#: Control periods within which a command is promised on the topic.
DEADLINE = 2.0
#: Weight of the newest measurement in the running mean of the command delay.
DELAY_GAIN = 0.2


@dataclass(frozen=True)
class _Tick:
    stamp: int
    state: np.ndarray
    arrival: float
    until: float


class MpcNode(ManagedNode):
    """Shell of :class:`LineFollower`."""

    def __init__(self) -> None:
        super().__init__("mpc", SCHEMA)
        self._active = False
        self._waiting: _Tick | None = None
        self._diagnostics = Diagnostics(self, self._health)
        self._jumps = TimeJumps(self, self._on_time_jump, self.settings["lockstep"])
        self.start()

    def configure(self) -> None:
        """Load the checkpoint, build the planner, warm it up and open the interfaces."""
        settings = self.settings
        checkpoint = load_model(settings)
        limits = load_limits(settings)
        planner = make_planner(settings["planner"], RandomShootingSettings(
            settings["candidates"], settings["horizon"], settings["longest_hold"], limits, settings["seed"]))
        self._follower = LineFollower(RolloutEngine(checkpoint), planner, self._weights(), limits,
                                      settings["control_period"])
        self._follower.warm_up()
        self._lockstep: bool = settings["lockstep"]
        self._model_wait = LOCKSTEP_WAIT if self._lockstep else settings["model_wait"]
        self._model: AdaptedModel | None = None
        self._answer: JointState | None = None
        self._newest: _Tick | None = None
        self._state_time = 0.0
        self._delay = 0.0 if self._lockstep else 0.5 * settings["control_period"]
        self._reason = "no state yet"
        self._latency, self._planning = Statistics(), Statistics()
        self._counts = dict.fromkeys(COUNTED, 0)
        self._commands = self.create_lifecycle_publisher(
            JointState, names.MOTOR_COMMANDS.name,
            names.MOTOR_COMMANDS.with_deadline(self._lockstep, DEADLINE * settings["control_period"]),
            event_callbacks=PublisherEventCallbacks(deadline=self._on_deadline_missed, use_default_callbacks=False))
        self._metrics = self.create_lifecycle_publisher(JointState, names.MPC_METRICS.name,
                                                        names.MPC_METRICS.profile(self._lockstep))
        self._plan = self.create_lifecycle_publisher(Path, names.PLAN.name, names.PLAN.profile(self._lockstep))
        self.add_post_set_parameters_callback(self._on_parameters)
        # A plan that took too long must not be followed by plans for states that are old by now.
        self.create_subscription(JointState, names.ROBOT_STATE.name, self._on_state,
                                 names.ROBOT_STATE.newest(self._lockstep))
        self.create_subscription(UInt8MultiArray, names.ADAPTED_MODEL.name, self._on_model,
                                 names.ADAPTED_MODEL.profile(self._lockstep))
        self.create_subscription(Path, names.REFERENCE_PATH.name, self._on_path, names.REFERENCE_PATH.qos)
        names.subscribe_estop(self, self._on_estop)

    def _weights(self) -> LineFollowingWeights:
        return LineFollowingWeights(*(self.settings[f"{term}_weight"] for term in ("lateral", "progress", "heading")))

    def _on_parameters(self, parameters: list[RosParameter]) -> None:
        # The executor has one thread: this runs between two ticks.
        self.settings |= {each.name: each.value for each in parameters if each.name in self.settings}
        self._follower.set_weights(self._weights())

    def activate(self) -> None:
        """Begin."""
        self._begin_anew()
        self._active = True

    def _begin_anew(self) -> None:
        """Forget all that is known of the time before, but not the path: it is laid in space."""
        self._model = self._waiting = self._answer = self._newest = None
        self._state_time = 0.0
        self._follower.restart()

    def deactivate(self) -> None:
        """Command the robot to stand, then be silent."""
        if self._active:
            self._stand(self.get_clock().now().nanoseconds, "not active")
        self._active = False

    def cleanup(self) -> None:
        """Let go of the parameters."""
        self.remove_post_set_parameters_callback(self._on_parameters)

    # Deadlines: the model of this tick is late, or no state comes any more -------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when to plan without the model of this tick, or when the newest state is too old."""
        if self._waiting is not None:
            return self._waiting.until
        if self._active and self._state_time and not self._lockstep:
            return self._state_time + self.settings["maximum_state_age"]
        return None

    def on_deadline(self) -> None:
        """Plan with the newest model there is, or stand."""
        if self._waiting is not None:
            self._counts["models not in time"] += 1
            self._plan_and_command()
            return
        now = self.get_clock().now().nanoseconds
        # Simulated time may run slower than the wall clock, or not at all.
        if (time_is_simulated(self) and self._newest is not None
                and now - self._newest.stamp <= self.settings["maximum_state_age"] * SECOND):
            self._state_time = time.monotonic()
            return
        self._state_time = 0.0
        self._stand(now, "no robot_state any more")

    # Messages --------------------------------------------------------------------------------------------------------

    def _on_time_jump(self, what: str, _: float) -> None:
        if not self._active:
            return
        self._begin_anew()
        # In lock-step a command answers a state, and that comes.
        if not self._lockstep:
            self._stand(self.get_clock().now().nanoseconds, what)
            self._answer = None

    def _on_deadline_missed(self, event: QoSOfferedDeadlineMissedInfo) -> None:
        self._counts["deadlines missed"] += event.total_count_change

    def _on_path(self, message: Path) -> None:
        try:
            self._follower.set_path(path_points(message), to_nanoseconds(message.header.stamp))
        except UserError as error:
            self._refuse(error)
            self._follower.set_path(NO_PATH, 0)

    def _on_estop(self, message: Bool) -> None:
        # The latch is the robot's own gate; here the path is forgotten, so that its release alone moves nothing.
        if message.data:
            self._follower.set_path(NO_PATH, 0)
            if self._active:
                self._stand(self.get_clock().now().nanoseconds, "estop")

    def _on_model(self, message: UInt8MultiArray) -> None:
        try:
            model = AdaptedModel.from_bytes(message.data.tobytes())
        except UserError as error:
            self._refuse(error)
            return
        # One sender, in order: what came last is the newest, also after a jump of time.
        self._model = model
        if self._waiting is not None and model.stamp == self._waiting.stamp:
            self._plan_and_command()

    def _on_state(self, message: JointState) -> None:
        if not self._active:
            return
        stamp, now = to_nanoseconds(message.header.stamp), time.monotonic()
        if self._newest is not None and has_begun_again(stamp, self._newest.stamp):
            model = self._model
            self._begin_anew()
            # The model of this state may have come before it.
            self._model = model if model is not None and model.stamp == stamp else None
        if self._answer is not None and stamp <= to_nanoseconds(self._answer.header.stamp):
            if stamp == to_nanoseconds(self._answer.header.stamp):
                self._commands.publish(self._answer)
            return
        if self._waiting is not None and stamp == self._waiting.stamp:
            return
        self._state_time = now
        age = 0.0 if self._lockstep else (self.get_clock().now().nanoseconds - stamp) / SECOND
        try:
            state = layout_vector(STATE, message, "robot_state")
        except UserError as error:
            self._refuse(error)
            self._stand(stamp, str(error))
            return
        tick, before = _Tick(stamp, state, now, now + self._model_wait), self._newest
        self._newest = tick
        if before is not None and is_state_jump(before.state, state, stamp - before.stamp):
            self._counts["pose jumps"] += 1
            self._follower.restart()
        if age > self.settings["maximum_state_age"]:
            self._stand(stamp, f"robot_state is {age:.2f} s old")
        elif not self._follower.wants_plan(stamp):
            self._stand(stamp, "no path")
        else:
            self._waiting = tick
            if self._model is not None and self._model.stamp == stamp:
                self._plan_and_command()

    # Planning --------------------------------------------------------------------------------------------------------

    def _plan_and_command(self) -> None:
        assert self._waiting is not None
        tick, self._waiting = self._waiting, None
        begin = time.monotonic()
        decision = self._follower.decide(tick.state, tick.stamp, self._model, self._delay)
        self._counts["plans"] += 1
        self._command(decision, tick.stamp)
        now = time.monotonic()
        latency = (self.get_clock().now().nanoseconds - tick.stamp) / SECOND if not self._lockstep else 0.0
        if not self._lockstep:
            self._delay += DELAY_GAIN * (min(latency, self.settings["control_period"]) - self._delay)
            self._counts["late plans"] += latency > self.settings["control_period"]
        # While it planned, no message was looked at: a long plan is not a missing state.
        self._state_time = now
        self._latency.add(now - tick.arrival)
        self._planning.add(now - begin)
        self._report(decision, tick, begin, now)

    def _report(self, decision: Decision, tick: _Tick, begin: float, now: float) -> None:
        plan, model = decision.plan, self._model
        self._metrics.publish(named_vector(
            ("state_to_command_s", "model_wait_s", "plan_s", "delay_s", "cost", "mean_cost", "not_finite",
             "lateral_error_m", "model_version", "model_is_of_this_tick"),
            (now - tick.arrival, begin - tick.arrival, now - begin, self._delay,
             float("nan") if plan is None else plan.cost, float("nan") if plan is None else plan.mean_cost,
             0 if plan is None else plan.not_finite, decision.lateral_error,
             0 if model is None else model.version, model is not None and model.stamp == tick.stamp), tick.stamp))
        if plan is not None and len(plan.states) and self._plan.get_subscription_count():
            self._plan.publish(path_message(np.array([planar_pose_of(state)[0] for state in plan.states]), tick.stamp))

    def _stand(self, stamp: int, reason: str) -> None:
        self._waiting = None
        self._command(self._follower.stand(reason), stamp)

    def _command(self, decision: Decision, stamp: int) -> None:
        if decision.reason != self._reason:
            self._reason = decision.reason
            self.get_logger().info(self._reason)
            self._diagnostics.publish()
        self._answer = motor_commands(decision.rates, stamp)
        self._commands.publish(self._answer)

    def _refuse(self, error: UserError) -> None:
        self._counts["messages of wrong layout"] += 1
        self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _health(self) -> list[Health]:
        if not self._active:
            return [Health("planner", WARN, "not active")]
        values: dict[str, object] = dict(self._counts)
        values |= {f"state to command {name} (s)": value for name, value in self._latency.summary().items()}
        values |= {f"plan {name} (s)": value for name, value in self._planning.summary().items()}
        values |= {"command delay (s)": self._delay, "commands out of range": self._follower.limited,
                   "time jumps": self._jumps.count}
        level = OK if self._reason in ("following", "no path") else (WARN if self._reason == "no state yet" else ERROR)
        return [Health("planner", level, self._reason, values)]


def main() -> None:
    """Run the node."""
    run_node(MpcNode, "mpc")


if __name__ == "__main__":
    main()
