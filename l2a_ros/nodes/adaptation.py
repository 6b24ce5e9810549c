# SPDX-License-Identifier: Apache-2.0
"""Node: answers every ``robot_state`` with the model adapted to the last transitions."""

from __future__ import annotations

import array
import time

from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Cut, Episode
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.adaptation_report import AdaptationReport
from l2a_ros.nodes.adaptation_settings import ADAPTATION_SCHEMA, LONGEST_PAST, LiveAdaptation, adaptation_settings
from l2a_ros.nodes.diagnostics import WARN, Diagnostics, Health
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import SECOND, commanded_rates, layout_vector, to_nanoseconds
from l2a_ros.nodes.model import MODEL_SCHEMA, load_model
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.time_jumps import TimeJumps
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.robot.layout import STATE

SCHEMA = (
    *MODEL_SCHEMA,
    *ADAPTATION_SCHEMA,
    Parameter("lockstep", False, "wait for every command before the next state is used"),
    Parameter("command_wait", 0.015, "longest wait for the command that answers the state before, s", 0.0, 1.0),
)
#: In lock-step nothing is late, so the wait only bounds how long a broken graph hangs, s.
LOCKSTEP_WAIT = 5.0


class AdaptationNode(ManagedNode):
    """Shell of :class:`OnlineAdapter` and :class:`Episode`."""

    def __init__(self) -> None:
        super().__init__("adaptation", SCHEMA)
        self._active = False
        self._waiting: tuple[int, JointState, float] | None = None
        self._diagnostics = Diagnostics(self, self._health)
        self._live = LiveAdaptation(self)
        self._jumps = TimeJumps(self, self._on_time_jump, self.settings["lockstep"])
        self.start()

    def configure(self) -> None:
        """Load the checkpoint and open the interfaces."""
        settings = self.settings
        checkpoint = load_model(settings)
        self._lockstep: bool = settings["lockstep"]
        self._wait = LOCKSTEP_WAIT if self._lockstep else settings["command_wait"]
        self._adapter = OnlineAdapter(checkpoint, settings["method"], adaptation_settings(
            settings, checkpoint, settings["method"]))
        self._live.attach(self._adapter)
        # As much as any setting of M can ask for, so that a longer one need not wait for new transitions.
        self._episode = Episode(settings["control_period"], max(LONGEST_PAST, checkpoint.card.past))
        self._answer: tuple[int, UInt8MultiArray] | None = None
        self._report = AdaptationReport()
        self._model = self.create_lifecycle_publisher(UInt8MultiArray, names.ADAPTED_MODEL.name,
                                                      names.ADAPTED_MODEL.profile(self._lockstep))
        self._metrics = self.create_lifecycle_publisher(JointState, names.ADAPTATION_METRICS.name,
                                                        names.ADAPTATION_METRICS.profile(self._lockstep))
        for topic, callback in ((names.ROBOT_STATE, self._on_state), (names.MOTOR_COMMANDS, self._on_command)):
            self.create_subscription(JointState, topic.name, callback, topic.profile(self._lockstep))
        self.create_service(Trigger, names.ADAPTATION_RESET, self._on_reset)

    def activate(self) -> None:
        """Begin with an empty window."""
        self._begin_anew()
        self._active = True

    def _begin_anew(self) -> None:
        """Forget all that is known of the time before: after a jump its stamps say nothing."""
        self._empty_window()
        self._waiting = self._answer = None
        self._report.forget_last()

    def _empty_window(self) -> None:
        """Go on from the trained weights with nothing in the window."""
        self._episode.cut(Cut.RESET)
        self._adapter.reset()

    def _on_time_jump(self, *_: object) -> None:
        if self._active:
            self._begin_anew()

    def deactivate(self) -> None:
        """Stop answering."""
        self._active = False

    def next_deadline(self) -> float | None:
        """Return when to stop waiting for a command."""
        return None if self._waiting is None else self._waiting[2]

    def on_deadline(self) -> None:
        """Go on without the command; the window is cut there."""
        if self._waiting is not None:
            self._adapt()

    def _on_state(self, message: JointState) -> None:
        if not self._active:
            return
        stamp = to_nanoseconds(message.header.stamp)
        if self._answer is not None and has_begun_again(stamp, self._answer[0]):
            self._begin_anew()
        if self._answer is not None and stamp <= self._answer[0]:
            if stamp == self._answer[0]:
                self._model.publish(self._answer[1])
            return
        if self._waiting is not None and stamp > self._waiting[0]:
            self._adapt()
        self._waiting = (stamp, message, time.monotonic() + self._wait)
        self._adapt_if_ready()

    def _on_command(self, message: JointState) -> None:
        if not self._active:
            return
        stamp = to_nanoseconds(message.header.stamp)
        delay = 0.0 if self._lockstep else max(0.0, (self.get_clock().now().nanoseconds - stamp) / SECOND)
        try:
            self._episode.add_command(stamp, commanded_rates(message), delay)
        except UserError as error:
            self._refuse(error)
        self._adapt_if_ready()

    def _adapt_if_ready(self) -> None:
        last = self._episode.last_stamp
        if self._waiting is not None and (last is None or self._episode.has_command(last)):
            self._adapt()

    def _adapt(self) -> None:
        assert self._waiting is not None
        stamp, message, _ = self._waiting
        self._waiting = None
        begin = time.monotonic()
        try:
            self._episode.add_state(stamp, layout_vector(STATE, message, "robot_state"))
        except UserError as error:
            self._refuse(error)
            return
        adaptation = self._adapter.adapt(self._episode.window(), stamp)
        wire = UInt8MultiArray()
        wire.data = array.array("B", adaptation.model.to_bytes())
        self._model.publish(wire)
        self._answer = stamp, wire
        past = self._adapter.window_length
        self._metrics.publish(self._report.answered(
            adaptation, time.monotonic() - begin, self.settings["adapt_budget"], min(len(self._episode), past), past))

    def _refuse(self, error: UserError) -> None:
        self._report.refused()
        self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        # The tick that was answered stays answered: if its state is repeated, so is its model.
        self._empty_window()
        response.success, response.message = True, "window emptied; back to the trained weights"
        return response

    def _health(self) -> list[Health]:
        if not self._active:
            return [Health("model", WARN, "not active")]
        return [self._report.health(self._episode.cuts, self._jumps.count)]


def main() -> None:
    """Run the node."""
    run_node(AdaptationNode, "adaptation")


if __name__ == "__main__":
    main()
