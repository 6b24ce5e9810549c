# SPDX-License-Identifier: Apache-2.0
"""The course of a trial on a robot: who must be there, the path, arming, driving, standing. Waits, never blocks."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.duration import Duration
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces
from l2a_ros.nodes.messages import path_message
from l2a_ros.nodes.trial_settings import CONNECTIONS
from l2a_ros.trials.console import Progress
from l2a_ros.trials.script import POLL, Abandoned, Script, asking, until
from l2a_ros.trials.session import Session

#: Steps of the world in lock-step before the path is laid: the robot drops onto its feet.
SETTLING_STEPS = 5
#: So many in all until there is a state: samples may be missing.
MOST_SETTLING_STEPS = 100
GRAPH_POLL, CALL_TIMEOUT, RESEND, STOP_TIMEOUT = 0.1, 5.0, 1.0, 1.0


class Course:
    """Takes a robot through trials, one after the other: ``get_ready``, ``drive``, and ``stand`` whatever happened.

    Args:
        node: that asks the others.
        values: of its parameters.
        session: hears what they say.
    """

    def __init__(self, node: Node, values: Mapping[str, Any], session: Session) -> None:
        self._node, self._values, self._session = node, values, session
        self._lockstep: bool = values["lockstep"]
        self._is_armed = False
        #: The trial is to end now.
        self.stop_requested = False
        topic = interfaces.REFERENCE_PATH
        self._path_publisher = node.create_publisher(topic.type, topic.name, topic.profile(self._lockstep))
        self._arm, self._disarm = (node.create_client(Trigger, name) for name in (interfaces.ARM, interfaces.DISARM))
        self._step = node.create_client(Trigger, interfaces.SIM_STEP) if self._lockstep else None
        self._pause = node.create_client(SetBool, interfaces.SIM_PAUSE) if self._lockstep else None
        self._handshakes = [node.create_client(GetParameters, f"{name}/get_parameters")
                            for name in values["expected_nodes"]]

    def connect(self) -> Script:
        """Wait until everybody is there and hears this node, and it is known where the robot is.

        Raises:
            Abandoned: if somebody does not come, or a stop is asked for.
        """
        wait = self._values["wait_timeout"]
        yield from self._until(lambda: not self._missing(), wait, lambda: f"{self._missing()} (waited {wait:g} s)",
                               GRAPH_POLL)
        # An answer proves that the other node knows of this node's subscriptions, which were announced before: knowing
        # of the other's publishers is not enough to hear their first message.
        for client in self._handshakes:
            yield from self._call(client, GetParameters.Request())
        if self._step is None:
            return
        session, steps = self._session, 0
        while steps < SETTLING_STEPS or session.state_stamp != session.tick_stamp:
            if steps == MOST_SETTLING_STEPS:
                raise Abandoned(f"there is no robot_state after {steps} steps of the world; does a sensor fail?")
            yield from self._settle(self._step, session.tick_stamp)
            steps += 1

    def get_ready(self) -> Script:
        """Lay the path, arm the robot, begin the trial.

        Raises:
            Abandoned: if somebody is not there, the path will not do, or the robot must not move.
        """
        yield from self.connect()
        session = self._session
        try:
            path = session.lay_path()
        except UserError as error:
            raise Abandoned(str(error)) from None
        # From the next state on: whether mpc has seen this one by now depends on the machine.
        self._path_publisher.publish(path_message(path.points, session.state_stamp + 1))
        if self._lockstep and not self._path_publisher.wait_for_all_acked(Duration(seconds=CALL_TIMEOUT)):
            raise Abandoned("reference_path was not received by everyone who listens; is mpc stuck?")
        self._is_armed = True
        yield from self._call(self._arm, Trigger.Request())
        session.begin(time.monotonic())
        if self._pause is not None:
            yield from self._call(self._pause, SetBool.Request(data=False))

    def drive(self) -> Script:
        """Watch the trial until it is over or to be stopped.

        Raises:
            Abandoned: if it cannot go on.
        """
        session, log = self._session, self._session.log
        assert log is not None
        progress = Progress(sys.stdout, log.path.length)
        patience = self._values["wait_timeout" if self._lockstep else "state_timeout"]
        try:
            while not (log.finished or self.stop_requested):
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

    def stand(self) -> Script:
        """Stop the robot: no path, motors off, in lock-step the world too. Never fails, never takes long."""
        if not self._is_armed:
            return
        self._path_publisher.publish(path_message(np.empty((0, 2)), max(self._session.state_stamp, 0)))
        futures = [self._disarm.call_async(Trigger.Request())]
        futures += [self._pause.call_async(SetBool.Request(data=True))] if self._pause is not None else []
        end = time.monotonic() + STOP_TIMEOUT
        while not all(future.done() for future in futures) and time.monotonic() < end:
            yield POLL
        self._is_armed = False
        if not futures[0].done():
            print(f"{self._node.get_name()}: warning: {interfaces.DISARM} did not answer", file=sys.stderr, flush=True)

    def _settle(self, step: Client, before: int) -> Script:
        # A lost request is sent again, but not before it is certain that no step was made.
        stepped = asking(lambda: step.call_async(Trigger.Request()), lambda: self._session.tick_stamp != before,
                         time.monotonic, CALL_TIMEOUT)
        yield from self._until(stepped, self._values["wait_timeout"],
                               lambda: "no robot_state came for a step of the world; is state_estimator alive?")

    def _until(self, met: Callable[[], bool], seconds: float, what: Callable[[], str], poll: float = POLL) -> Script:
        """Wait before the start: a request to stop ends the wait."""
        yield from until(lambda: met() or self.stop_requested, time.monotonic, seconds, what, poll)
        if self.stop_requested:
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

    def _missing(self) -> str:
        """Say what is not there yet, or nothing."""
        node = self._node
        for topic, publishes, other in CONNECTIONS:
            name = node.resolve_topic_name(topic.name)
            look = node.get_publishers_info_by_topic if publishes else node.get_subscriptions_info_by_topic
            if other in self._values["expected_nodes"] and all(each.node_name != other for each in look(name)):
                return f"node {other} does not {'publish' if publishes else 'subscribe to'} {name}"
        for client in (self._arm, self._disarm, self._step, self._pause, *self._handshakes):
            if client is not None and not client.service_is_ready():
                return f"service {client.srv_name} is not there"
        # In lock-step nothing moves before the trial lets the world make a step.
        silent = [] if self._lockstep else self._session.silent(time.monotonic())
        reasons = [f"no fresh message on {', '.join(map(node.resolve_topic_name, silent))}"] if silent else []
        # It knows better why there is no state.
        reasons += [f"the robot is not ready: {self._session.not_ready}"] if self._session.not_ready else []
        return "; ".join(reasons)
