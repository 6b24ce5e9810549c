# SPDX-License-Identifier: Apache-2.0
"""``trial``: lays the path in front of the robot, starts it, watches it, stops it and writes the report."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces
from l2a_ros.nodes.interfaces import Topic
from l2a_ros.nodes.messages import (
    SECOND,
    commanded_rates,
    layout_vector,
    named_values,
    named_vector,
    path_message,
    to_nanoseconds,
)
from l2a_ros.nodes.parameters import declare
from l2a_ros.nodes.runtime import NodeStopped, run_node
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.nodes.trial_settings import CONNECTIONS, SCHEMA, trial_settings
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.console import Progress
from l2a_ros.trials.paths import load_path
from l2a_ros.trials.report import check_folder, report_table
from l2a_ros.trials.script import POLL, Abandoned, Script, asking, until
from l2a_ros.trials.session import Session

NAME = "trial"
#: Steps of the world in lock-step before the path is laid: the robot drops onto its feet.
SETTLING_STEPS = 5
#: So many in all until there is a state: samples may be missing.
MOST_SETTLING_STEPS = 100
#: A trial that does not get the processor for a moment must not take that for a jump of time, s.
JUMP_FORWARD = 10.0
DEPTH = 200
GRAPH_POLL, CALL_TIMEOUT, RESEND, STOP_TIMEOUT = 0.1, 5.0, 1.0, 1.0


class Trial(Node):
    """The trial as a script of waits (:meth:`_script`); callbacks only note what was heard."""

    _written = True  # until it is built: a node that was refused has nothing to write

    def __init__(self) -> None:
        super().__init__(NAME)
        self._values = values = declare(self, SCHEMA)
        self.exit_code: int | None = None
        self._lockstep: bool = values["lockstep"]
        self._start_requested, self._stop_requested = bool(values["autostart"]), False
        self._armed = False
        self._poll_at = time.monotonic()
        self._course = self._script()
        self._session = Session(load_path(values["path"]), trial_settings(values))
        new = f"runs/{time.strftime('%Y%m%d-%H%M%S')}_{Path(values['path']).stem}_{values['method']}"
        self._tick_stamp = -1
        self._jumps = TimeJumps(self, lambda what, _: self._session.time_jumped(what), self._lockstep, JUMP_FORWARD)
        self._out = check_folder(Path(values["out"] or new))
        self._listen(interfaces.ROBOT_STATE, self._on_state)
        self._listen(interfaces.MOTOR_COMMANDS, self._on_command)
        self._listen(interfaces.DIAGNOSTICS, self._on_diagnostics)
        self._listen(interfaces.ADAPTATION_METRICS, lambda m: self._on_metrics("adaptation", m))
        self._listen(interfaces.MPC_METRICS, lambda m: self._on_metrics("mpc", m))
        if self._lockstep:
            self._listen(interfaces.SIM_NO_STATE, self._on_no_state)
        self._path_publisher = self._offer(interfaces.REFERENCE_PATH)
        self._metrics_publisher = self._offer(interfaces.TRIAL_METRICS)
        self._arm = self.create_client(Trigger, interfaces.ARM)
        self._disarm = self.create_client(Trigger, interfaces.DISARM)
        self._step = self.create_client(Trigger, interfaces.SIM_STEP) if self._lockstep else None
        self._pause = self.create_client(SetBool, interfaces.SIM_PAUSE) if self._lockstep else None
        self._handshakes = [self.create_client(GetParameters, f"{node}/get_parameters")
                            for node in values["expected_nodes"]]
        self.create_service(Trigger, interfaces.TRIAL_START, self._on_start)
        self.create_service(Trigger, interfaces.TRIAL_STOP, self._on_stop)
        self._written = False

    def _listen(self, topic: Topic, callback: Callable[[Any], None]) -> None:
        offered = topic.profile(self._lockstep)
        # The topics' own depths are meant for control, where only the newest counts; a report wants every message.
        deep = QoSProfile(reliability=offered.reliability, durability=offered.durability,
                          history=HistoryPolicy.KEEP_LAST, depth=max(DEPTH, offered.depth))
        self.create_subscription(topic.type, topic.name, callback, deep)

    def _offer(self, topic: Topic) -> Any:
        return self.create_publisher(topic.type, topic.name, topic.profile(self._lockstep))

    def _on_state(self, message: JointState) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        self._tick_stamp = stamp
        row = self._session.state_heard(stamp, layout_vector(STATE, message, "robot_state"), time.monotonic(),
                                        self._loop_moment())
        if row is not None:
            metrics = row.metrics()
            self._metrics_publisher.publish(named_vector(list(metrics), list(metrics.values()), stamp))

    def _on_no_state(self, message: JointState) -> None:
        # On a topic of its own it may be seen after the state of the next tick.
        self._tick_stamp = max(self._tick_stamp, to_nanoseconds(message.header.stamp))

    def _on_command(self, message: JointState) -> None:
        self._session.command_heard(to_nanoseconds(message.header.stamp), commanded_rates(message), self._loop_moment())

    def _on_metrics(self, source: str, message: JointState) -> None:
        self._session.metrics_heard(source, to_nanoseconds(message.header.stamp), named_values(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": motor gate"):  # of the simulated robot or the driver
                self._session.gate_heard({pair.key: pair.value for pair in status.values}, status.message)

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, self._start_requested = not self._start_requested, True
        response.message = "starting" if response.success else "the trial has been started already"
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, self._stop_requested = True, True
        response.message = "stopping; the report is written"
        return response

    def next_deadline(self) -> float | None:
        """Return when the script goes on, monotonic seconds."""
        return self._poll_at

    def on_deadline(self) -> None:
        """Let the script go on."""
        self._poll_at = time.monotonic() + next(self._course, POLL)

    def _script(self) -> Script:
        failed = ""
        try:
            while not (self._start_requested or self._stop_requested):
                yield GRAPH_POLL
            if not self._stop_requested:
                yield from self._get_ready()
                yield from self._drive()
        except Abandoned as reason:
            failed = "" if self._stop_requested else str(reason)
        yield from self._stand()
        self._write(failed or self._session.outcome or "stopped by request")
        if failed:
            raise NodeStopped(f"error: {failed}")
        self.exit_code = 0

    def _get_ready(self) -> Script:
        wait = self._values["wait_timeout"]
        yield from self._until(lambda: not self._missing(), wait, lambda: f"{self._missing()} (waited {wait:g} s)",
                               GRAPH_POLL)
        # An answer proves that the other node knows of this node's subscriptions, which were announced before: knowing
        # of the other's publishers is not enough to hear their first message.
        for client in self._handshakes:
            yield from self._call(client, GetParameters.Request())
        session = self._session
        if self._step is not None:
            steps = 0
            while steps < SETTLING_STEPS or session.state_stamp != self._tick_stamp:
                if steps == MOST_SETTLING_STEPS:
                    raise Abandoned(f"there is no robot_state after {steps} steps of the world; does a sensor fail?")
                yield from self._settle(self._step, self._tick_stamp)
                steps += 1
        path = session.lay_path()
        # From the next state on: whether mpc has seen this one by now depends on the machine.
        self._path_publisher.publish(path_message(path.points, session.state_stamp + 1))
        if self._lockstep and not self._path_publisher.wait_for_all_acked(Duration(seconds=CALL_TIMEOUT)):
            raise Abandoned("reference_path was not received by everyone who listens; is mpc stuck?")
        self._armed = True
        yield from self._call(self._arm, Trigger.Request())
        session.begin(time.monotonic())
        if self._pause is not None:
            yield from self._call(self._pause, SetBool.Request(data=False))

    def _settle(self, step: Client, before: int) -> Script:
        # A lost request is sent again, but not before it is certain that no step was made.
        stepped = asking(lambda: step.call_async(Trigger.Request()), lambda: self._tick_stamp != before,
                         time.monotonic, CALL_TIMEOUT)
        yield from self._until(stepped, self._values["wait_timeout"],
                               lambda: "no robot_state came for a step of the world; is state_estimator alive?")

    def _drive(self) -> Script:
        session, log = self._session, self._session.log
        assert log is not None
        progress = Progress(sys.stdout, log.path.length)
        patience = self._values["wait_timeout" if self._lockstep else "state_timeout"]
        try:
            while not (log.finished or self._stop_requested):
                session.check(time.monotonic(), patience)
                if log.last is not None:
                    period = math.nan if self._lockstep else session.times.last_period
                    progress.show(log.last, period, time.monotonic())
                yield POLL
            # The command that answers the last state belongs to its row.
            patience = time.monotonic() + (CALL_TIMEOUT if self._lockstep else 2 * session.settings.control_period)
            while log.finished and not log.answered and time.monotonic() < patience:
                yield POLL
            if log.last is not None:
                progress.show(log.last, math.nan, math.inf)
        finally:
            progress.end()

    def _stand(self) -> Script:
        """Stop the robot: no path, motors off, in lock-step the world too. Never fails, never takes long."""
        if not self._armed:
            return
        self._path_publisher.publish(path_message(np.empty((0, 2)), max(self._session.state_stamp, 0)))
        futures = [self._disarm.call_async(Trigger.Request())]
        futures += [self._pause.call_async(SetBool.Request(data=True))] if self._pause is not None else []
        end = time.monotonic() + STOP_TIMEOUT
        while not all(future.done() for future in futures) and time.monotonic() < end:
            yield POLL
        self._armed = False
        if not futures[0].done():
            print(f"{NAME}: warning: {interfaces.DISARM} did not answer", file=sys.stderr, flush=True)

    def _until(self, met: Callable[[], bool], seconds: float, what: Callable[[], str], poll: float = POLL) -> Script:
        """Wait before the start: a request to stop ends the wait."""
        yield from until(lambda: met() or self._stop_requested, time.monotonic, seconds, what, poll)
        if self._stop_requested:
            raise Abandoned("stopped by request before the start")

    def _call(self, client: Client, request: Any) -> Script:
        """Call a service, again if need be: a request can be lost while two processes find each other."""
        futures: list[Any] = []
        answered = asking(lambda: futures.append(client.call_async(request)),
                          lambda: any(future.done() for future in futures), time.monotonic, RESEND)
        yield from self._until(answered, CALL_TIMEOUT, lambda: f"service {client.srv_name} did not answer")
        response: Any = next(future for future in futures if future.done()).result()
        if not getattr(response, "success", True):
            raise Abandoned(f"{client.srv_name} was refused: {response.message}")

    def _loop_moment(self) -> float:
        """Return seconds on the clock that the loop runs on: simulated time where time is simulated."""
        return self.get_clock().now().nanoseconds / SECOND if time_is_simulated(self) else time.monotonic()

    def _missing(self) -> str:
        """Say what is not there yet, or nothing."""
        for topic, publishes, node in CONNECTIONS:
            name = self.resolve_topic_name(topic.name)
            look = self.get_publishers_info_by_topic if publishes else self.get_subscriptions_info_by_topic
            if node in self._values["expected_nodes"] and all(each.node_name != node for each in look(name)):
                return f"node {node} does not {'publish' if publishes else 'subscribe to'} {name}"
        for client in (self._arm, self._disarm, self._step, self._pause, *self._handshakes):
            if client is not None and not client.service_is_ready():
                return f"service {client.srv_name} is not there"
        # In lock-step nothing moves before the trial lets the world make a step.
        silent = [] if self._lockstep else self._session.silent(time.monotonic())
        reasons = [f"no fresh message on {', '.join(map(self.resolve_topic_name, silent))}"] if silent else []
        # It knows better why there is no state.
        reasons += [f"the robot is not ready: {self._session.not_ready}"] if self._session.not_ready else []
        return "; ".join(reasons)

    def _write(self, ended: str) -> None:
        written = self._session.write(self._out, ended)
        self._written = True
        if written is not None:
            print(report_table(*written), flush=True)

    def destroy_node(self) -> None:
        """Leave the robot standing and what was heard on disk, also after a signal."""
        if not self._written:
            stand = self._stand()
            while next(stand, None) is not None and self.executor is not None:
                self.executor.spin_once(timeout_sec=POLL)
            try:
                self._write("interrupted")
            except UserError as error:
                print(f"{NAME}: error: {error}", file=sys.stderr, flush=True)
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(Trial, NAME)


if __name__ == "__main__":
    main()
