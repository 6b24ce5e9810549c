# SPDX-License-Identifier: Apache-2.0
"""``trial``: lays the path, starts it, watches it, stops it and writes the report.

With the path ``drawn`` it takes lines drawn by hand, one trial after the other, until it is interrupted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces
from l2a_ros.nodes.interfaces import Topic
from l2a_ros.nodes.messages import SECOND, commanded_rates, layout_vector, named_values, named_vector, to_nanoseconds
from l2a_ros.nodes.parameters import declare
from l2a_ros.nodes.runtime import NodeStopped, run_node
from l2a_ros.nodes.time_jumps import TimeJumps, time_is_simulated
from l2a_ros.nodes.trial_course import GRAPH_POLL, Course
from l2a_ros.nodes.trial_drawing import DrawingBoard
from l2a_ros.nodes.trial_settings import SCHEMA, read_room, trial_settings
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.drawing import Drawing, path_file_text
from l2a_ros.trials.paths import DRAWN, load_shape
from l2a_ros.trials.report import check_folder, report_table, write_file
from l2a_ros.trials.script import POLL, Abandoned, Script
from l2a_ros.trials.session import Session

NAME = "trial"
#: A trial that does not get the processor for a moment must not take that for a jump of time, s.
JUMP_FORWARD = 10.0
DEPTH = 200
#: In the folder of a trial whose path was drawn: that path, to lay it again.
PATH_FILE = "path.yaml"


class Trial(Node):
    """The trial as a script of waits (:meth:`_script`); callbacks only note what was heard."""

    _written = True  # until it is built: a node that was refused has nothing to write

    def __init__(self) -> None:
        super().__init__(NAME)
        values = declare(self, SCHEMA)
        self.exit_code: int | None = None
        self._lockstep: bool = values["lockstep"]
        self._is_started = bool(values["autostart"])
        self._poll_at = time.monotonic()
        self._script_of_waits = self._script()
        room = read_room(values)
        drawing = Drawing(room) if values["path"] == DRAWN else None
        shape = load_shape(values["path"]) if drawing is None else drawing
        self._session = Session(shape, trial_settings(values), room)
        new = f"runs/{time.strftime('%Y%m%d-%H%M%S')}_{Path(values['path']).stem}_{values['method']}"
        self._jumps = TimeJumps(self, lambda what, _: self._session.time_jumped(what), self._lockstep, JUMP_FORWARD)
        self._out = self._folder = check_folder(Path(values["out"] or new))
        self._listen(interfaces.ROBOT_STATE, self._on_state)
        self._listen(interfaces.MOTOR_COMMANDS, self._on_command)
        self._listen(interfaces.DIAGNOSTICS, self._on_diagnostics)
        self._listen(interfaces.ADAPTATION_METRICS, lambda m: self._on_metrics("adaptation", m))
        self._listen(interfaces.MPC_METRICS, lambda m: self._on_metrics("mpc", m))
        self._listen(interfaces.INITIAL_POSE, lambda _: self._session.pose_set())
        if self._lockstep:
            self._listen(interfaces.SIM_NO_STATE, self._on_no_state)
        topic = interfaces.TRIAL_METRICS
        self._metrics_publisher = self.create_publisher(topic.type, topic.name, topic.profile(self._lockstep))
        self._course = Course(self, values, self._session)
        self._board = None if drawing is None else DrawingBoard(
            self, drawing, self._session, self._lockstep, values["autostart"], self._request_stop)
        self.create_service(Trigger, interfaces.TRIAL_START, self._on_start)
        self.create_service(Trigger, interfaces.TRIAL_STOP, self._on_stop)
        self._written = False

    def _listen(self, topic: Topic, callback: Callable[[Any], None]) -> None:
        offered = topic.profile(self._lockstep)
        # The topics' own depths are meant for control, where only the newest counts; a report wants every message.
        deep = QoSProfile(reliability=offered.reliability, durability=offered.durability,
                          history=HistoryPolicy.KEEP_LAST, depth=max(DEPTH, offered.depth))
        self.create_subscription(topic.type, topic.name, callback, deep)

    def _on_state(self, message: JointState) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        row = self._session.state_heard(stamp, layout_vector(STATE, message, "robot_state"), time.monotonic(),
                                        self._loop_moment())
        if row is not None:
            metrics = row.metrics()
            self._metrics_publisher.publish(named_vector(list(metrics), list(metrics.values()), stamp))

    def _on_no_state(self, message: JointState) -> None:
        self._session.no_state_heard(to_nanoseconds(message.header.stamp))

    def _on_command(self, message: JointState) -> None:
        self._session.command_heard(to_nanoseconds(message.header.stamp), commanded_rates(message), self._loop_moment())

    def _on_metrics(self, source: str, message: JointState) -> None:
        self._session.metrics_heard(source, to_nanoseconds(message.header.stamp), named_values(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": motor gate"):  # of the simulated robot or the driver
                self._session.gate_heard({pair.key: pair.value for pair in status.values}, status.message)

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._board is not None:
            response.success, response.message = self._board.start()
            return response
        response.success, self._is_started = not self._is_started, True
        response.message = "starting" if response.success else "the trial has been started already"
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._board is not None and not (self._board.is_walking or self._board.wants_start):
            response.success, response.message = False, "no trial runs; Ctrl-C ends the drawing of lines"
            return response
        self._request_stop()
        response.success, response.message = True, "stopping; the report is written"
        return response

    def _request_stop(self) -> None:
        self._course.stop_requested = True

    def next_deadline(self) -> float | None:
        """Return when the script goes on, monotonic seconds."""
        return self._poll_at

    def on_deadline(self) -> None:
        """Let the script go on."""
        self._poll_at = time.monotonic() + next(self._script_of_waits, POLL)

    def _script(self) -> Script:
        if self._board is not None:
            yield from self._follow_drawn_lines(self._board)
            return
        while not (self._is_started or self._course.stop_requested):
            yield GRAPH_POLL
        failed = yield from self._trial()
        self._written = True
        if failed:
            raise NodeStopped(f"error: {failed}")
        self.exit_code = 0

    def _follow_drawn_lines(self, board: DrawingBoard) -> Script:
        """Follow one line after the other, each with a folder of its own: ``001``, ``002`` and so on."""
        try:
            yield from self._course.connect()
        except Abandoned as reason:
            self._written = True
            raise NodeStopped(f"error: {reason}") from None
        board.open()
        number = 0
        while True:
            while not board.wants_start:
                yield GRAPH_POLL
            while (folder := self._out / f"{number + 1:03d}").exists():
                number += 1
            self._folder, self._course.stop_requested = folder, False
            board.begin()
            failed = yield from self._trial()
            if failed:
                self.get_logger().error(failed)
            board.end(is_done=self._session.log is not None)
            self._session.forget()

    def _trial(self) -> Generator[float, None, str]:
        """Make one trial and write its report; return why it could not be made or went wrong, or nothing."""
        failed = ""
        course = self._course
        try:
            yield from course.get_ready()
            yield from course.drive()
        except Abandoned as reason:
            failed = "" if course.stop_requested else str(reason)
        yield from course.stand()
        self._write(failed or self._session.outcome or "stopped by request")
        return failed

    def _loop_moment(self) -> float:
        """Return seconds on the clock that the loop runs on: simulated time where time is simulated."""
        return self.get_clock().now().nanoseconds / SECOND if time_is_simulated(self) else time.monotonic()

    def _write(self, ended: str) -> None:
        written = self._session.write(self._folder, ended)
        if written is None:
            return
        report, files = written
        log = self._session.log
        if self._board is not None and log is not None:
            files.append(self._folder / PATH_FILE)
            write_file(files[-1], path_file_text(log.path.points).encode())
        print(report_table(report, files), flush=True)

    def destroy_node(self) -> None:
        """Leave the robot standing and what was heard on disk, also after a signal."""
        if not self._written:
            self._written = True
            stand = self._course.stand()
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
