# SPDX-License-Identifier: Apache-2.0
"""What the tests of nodes share: node processes, nodes in a thread, and a peer that talks to them over DDS."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import HistoryPolicy, QoSProfile
from std_srvs.srv import SetBool, Trigger

from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.graph import ParameterValue, parameter_text
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_vector, to_nanoseconds
from l2a_ros.nodes.runtime import make_executor, spin
from l2a_ros.robot.layout import STATE

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000
#: The control period, ns.
PERIOD = SECOND // 10
#: Deadline of a wait: far more than needed, so that only what never comes fails.
PATIENCE = 30.0
#: After so long a request that is not answered is sent again, s.
RESEND = 3.0
#: Before the first request that must not be sent again, s.
SETTLE = 0.5

# This process finds the nodes as fast as they find each other. Read by the middleware once, when it is first used.
os.environ.update({name: value for name, value in node_environment(os.environ).items() if "PROFILES" in name})


def until(condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE) -> Any:
    """Wait for a condition and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain: {what or condition}"
        time.sleep(0.005)
    return value


def ros_arguments(parameters: dict[str, ParameterValue]) -> list[str]:
    """Return the command line of some parameters."""
    return ["--ros-args", *(text for name, value in parameters.items()
                            for text in ("-p", f"{name}:={parameter_text(value)}"))]


def environment() -> dict[str, str]:
    """Return the environment of a node process, as a run of the graph sets it."""
    return {**os.environ, **node_environment(os.environ), "PYTHONPATH": str(ROOT)}


class NodeProcess:
    """A node as a process of its own; use as a context. Ends with SIGINT and exit code 0 unless ``wait`` was called.

    Args:
        name: of the node.
        arguments: raw arguments instead of parameters.
        first: code that the process runs before it is the node, to break something in it.
        parameters: by name.
    """

    def __init__(self, name: str, arguments: Sequence[str] = (), first: str = "", **parameters: ParameterValue) -> None:
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self.name = name
        module = f"l2a_ros.nodes.{name}"
        program = ["-c", f"{first}\nfrom {module} import main\nmain()"] if first else ["-m", module]
        self.process = subprocess.Popen(
            [sys.executable, *program, *(arguments or ros_arguments(parameters))], cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors, env=environment())
        self._waited = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        early = self.process.poll()
        if early is None:
            self.process.send_signal(2)
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if kind is None and not self._waited:
            assert early is None, f"{self.name} ended by itself with {early}\n{self.errors}"
            assert self.process.returncode == 0, f"{self.name} ended with {self.process.returncode}\n{self.errors}"
        elif kind is not None:
            print(f"--- {self.name}\n{self.errors}")
        self._output.close()
        self._errors.close()

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until it has ended by itself and return its exit code."""
        self._waited = True
        return self.process.wait(seconds)


def assert_refused(node: str, message: str, **parameters: ParameterValue) -> None:
    """Start a node with bad parameters: one line on stderr, exit code 2."""
    with NodeProcess(node, **parameters) as process:
        assert process.wait() == 2, process.errors
        lines = process.errors.strip().splitlines()
        assert len(lines) == 1, process.errors
        assert lines[0].startswith(f"{node}: error: ")
        assert message in lines[0]


def refusal(factory: Callable[[], Node], **parameters: ParameterValue) -> str:
    """Return what a node says about bad parameters before it is there."""
    with pytest.raises(UserError) as caught, NodeThread(factory, **parameters):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


class NodeThread:
    """A node in a thread of the test's process, in rclpy's default context, driven by the loop of a node process.

    For nodes that import what takes seconds; a thread starts at once. Use as a context.
    """

    def __init__(self, factory: Callable[[], Node], **parameters: ParameterValue) -> None:
        self._factory, self._parameters = factory, parameters
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        rclpy.init(args=ros_arguments(self._parameters),
                   signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        try:
            self.node = self._factory()
            #: The loop ends when this is a number (and not by a shutdown under its feet).
            self.node.exit_code = None
            self._executor = make_executor()
            self._executor.add_node(self.node)
        except BaseException:
            rclpy.shutdown()
            raise
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            spin(self.node, self._executor)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            self.failure = error

    def is_alive(self) -> bool:
        """Tell whether the node has not ended."""
        return self._thread.is_alive()

    def __exit__(self, kind: object, *_: object) -> None:
        alive = self.is_alive()
        self.node.exit_code = 0
        self._thread.join(10.0)
        self.node.destroy_node()
        self._executor.shutdown()
        rclpy.shutdown()
        if kind is None:
            assert alive and self.failure is None, f"the node died: {self.failure!r}"


class Peer:
    """A node of the test: hears topics into lists, publishes, calls services. Use as a context."""

    def __init__(self, lockstep: bool = False, name: str = "peer") -> None:
        self.lockstep = lockstep
        self.heard: dict[str, list[Any]] = {}
        #: Every diagnostic status heard so far, oldest first.
        self.said: list[DiagnosticStatus] = []
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self.node.create_subscription(names.DIAGNOSTICS.type, names.DIAGNOSTICS.name, self._on_diagnostics,
                                      names.DIAGNOSTICS.qos)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self.node)
        while not self._ended.is_set():
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()

    def listen(self, *topics: names.Topic, react: Callable[[Any], None] | None = None) -> None:
        """Keep what comes on topics; ``react`` is called with each message before others can see it."""
        for topic in topics:
            offered, kept = topic.profile(self.lockstep), self.heard.setdefault(topic.name, [])
            deep = QoSProfile(reliability=offered.reliability, durability=offered.durability,
                              history=HistoryPolicy.KEEP_LAST, depth=max(1000, offered.depth))

            def callback(message: Any, kept: list[Any] = kept) -> None:
                if react is not None:
                    react(message)
                kept.append(message)

            self.node.create_subscription(topic.type, topic.name, callback, deep)

    def of(self, topic: names.Topic) -> list[Any]:
        """Return what was heard on a topic so far, oldest first; grows."""
        return self.heard[topic.name]

    def stamps(self, topic: names.Topic) -> list[int]:
        """Return the stamps heard on a topic, ns."""
        return [to_nanoseconds(message.header.stamp) for message in list(self.of(topic))]

    def offer(self, *topics: names.Topic) -> None:
        """Make publishers; ``publish`` makes them too."""
        for topic in topics:
            if topic.name not in self._publishers:
                self._publishers[topic.name] = self.node.create_publisher(topic.type, topic.name,
                                                                          topic.profile(self.lockstep))

    def publish(self, topic: names.Topic, message: Any, to_nobody: bool = False) -> None:
        """Publish, once somebody listens unless it may go to nobody."""
        self.offer(topic)
        publisher = self._publishers[topic.name]
        if not to_nobody:
            until(publisher.get_subscription_count, f"nobody listens to {topic.name}")
        publisher.publish(message)

    def listeners(self, topic: names.Topic) -> int:
        """Return how many listen to a topic that is published here."""
        return int(self._publishers[topic.name].get_subscription_count())

    def trigger(self, service: str, once: bool = False) -> Any:
        """Call a service of type Trigger and return the response."""
        return self.call(Trigger, service, Trigger.Request(), once)

    def pause(self, paused: bool) -> Any:
        """Pause the simulated world, or let it run."""
        return self.call(SetBool, names.SIM_PAUSE, SetBool.Request(data=paused))

    def client(self, kind: Any, service: str) -> Any:
        """Return the client of a service once the service is there.

        Seen once in thousands: a client that never finds its service, while its sister that was made in the same moment
        does. So another one is made after a while.
        """
        again = time.monotonic() + RESEND

        def found() -> Any:
            nonlocal again
            if service in self._clients and time.monotonic() >= again:
                again = time.monotonic() + RESEND
                self.node.destroy_client(self._clients.pop(service))
            if service not in self._clients:
                self._clients[service] = self.node.create_client(kind, service)
            client = self._clients[service]
            return client if client.service_is_ready() else None

        return until(found, f"service {service} is not there")

    def call(self, kind: Any, service: str, request: Any, once: bool = False) -> Any:
        """Call a service once it is there and return the response.

        A client may know a service that does not know the client yet; then the request is lost. So it is sent again
        after a while, unless it must be sent but ``once``.
        """
        is_new = service not in self._clients
        client, futures, again = self.client(kind, service), [], 0.0
        if once and is_new:
            # Nothing tells when the service knows the client; this is far longer than it takes.
            time.sleep(SETTLE)

        def answered() -> Any:
            nonlocal again
            if time.monotonic() >= again and not (once and futures):
                again = time.monotonic() + RESEND
                futures.append(client.call_async(request))
            return next((future for future in futures if future.done()), None)

        return until(answered, f"service {service} does not answer").result()

    def _manage(self, node: str) -> None:
        # Both at once: a client that is made while the node is busy configuring itself is found late.
        for kind, service in ((ChangeState, f"{node}/change_state"), (GetState, f"{node}/get_state")):
            if service not in self._clients:
                self._clients[service] = self.node.create_client(kind, service)

    def transition(self, node: str, transition: int) -> bool:
        """Ask a managed node for a transition."""
        self._manage(node)
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call(ChangeState, f"{node}/change_state", request).success)

    def lifecycle_state(self, node: str) -> str:
        """Return the state of a managed node."""
        self._manage(node)
        return str(self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label)

    def set_parameters(self, node: str, values: Mapping[str, Any]) -> str:
        """Set parameters of a node one by one, as ``ros2 param set`` does, and return why some are refused."""
        request = SetParameters.Request(parameters=[RosParameter(name, value=value).to_parameter_msg()
                                                    for name, value in values.items()])
        results = self.call(SetParameters, f"{node}/set_parameters", request).results
        assert all(bool(result.reason) != result.successful for result in results), "a refusal has a reason"
        return "; ".join(result.reason for result in results if not result.successful)

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            self._statuses[status.name] = status
            self.said.append(status)

    def status(self, name: str) -> DiagnosticStatus:
        """Return the newest diagnostic status with this name."""
        return until(lambda: self._statuses.get(name), f"no diagnostics of {name}")

    def text(self, status: str, key: str) -> str:
        """Return a value of the newest diagnostic status; empty while it does not say it."""
        return str(next((pair.value for pair in self.status(status).values if pair.key == key), ""))

    def figure(self, status: str, key: str) -> float:
        """Return a number of the newest diagnostic status; NaN while it does not say it."""
        return float(self.text(status, key) or "nan")

    def says(self, status: str, text: str) -> None:
        """Wait until the message of a diagnostic status holds a text."""
        until(lambda: text in self.status(status).message,
              f"{status} says '{self.status(status).message}', not '{text}'")


def resting_state(stamp: int, **values: float) -> Any:
    """Return a ``robot_state`` message: standing at the origin along +x, unless told otherwise."""
    rest = dict.fromkeys(STATE.names, 0.0)
    rest |= {name: 1.0 for name in STATE.names if name.endswith("_cos")} | {"battery_voltage": 4.0, **values}
    return named_vector(STATE.names, np.array([rest[name] for name in STATE.names]), stamp)
