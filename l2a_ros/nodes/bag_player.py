# SPDX-License-Identifier: Apache-2.0
"""``bag_player``: plays a recording to the nodes, tick by tick, and notes what they answer.

Every node runs in lock-step: a tick is over once all have answered it, so that nothing is lost and the same recording
gives the same states. The rate says how soon the next one may begin.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.experience.playback import Event, Kind, with_clock
from l2a_ros.experience.replay_log import FIGURES, ReplayLog, ReplayTick
from l2a_ros.experience.replay_picture import draw_replay
from l2a_ros.experience.replay_report import replay_content, write_replay
from l2a_ros.experience.replay_sources import SENSORS
from l2a_ros.experience.tick_commands import NOTHING
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import SECOND, commanded_rates, layout_vector, named_values, to_nanoseconds
from l2a_ros.nodes.parameters import declare
from l2a_ros.nodes.player_company import Company, Script
from l2a_ros.nodes.player_outputs import PlayerOutputs
from l2a_ros.nodes.player_settings import SCHEMA, replay_plan
from l2a_ros.nodes.runtime import NodeStopped, run_node
from l2a_ros.robot.layout import STATE
from l2a_ros.timing.pacer import Pacer

NAME = "bag_player"
#: Between two looks at what is waited for, s.
POLL = 0.05
#: After so long a tick is announced again: somebody may not have heard it, s.
REPEAT = 0.5
#: After so long the replay goes on without the answer, and after so many in a row not at all, s.
PATIENCE, MOST_UNANSWERED = 20.0, 3
#: So many messages are published between two looks at what came in.
BATCH = 20
#: Everybody gets so long to notice that time jumped, s.
SETTLE = 0.3
#: Between two lines that say how far it is, s.
PROGRESS = 2.0


class BagPlayer(Node):
    """The replay as a script of waits (:meth:`_script`); callbacks note what was heard."""

    _unwritten = False  # a node that was refused has nothing to write

    def __init__(self) -> None:
        super().__init__(NAME)
        self._values = values = declare(self, SCHEMA)
        self.exit_code: int | None = None
        self._plan = replay_plan(values)
        self._has_estimator = values["source"] == SENSORS
        self._expected = set(values["expected_nodes"])
        self._pacer = Pacer(values["rate"])
        self._pacer.pause(values["paused"])
        self._log = ReplayLog()
        self._tick: ReplayTick | None = None
        self._awaited: set[str] = set()
        self._unanswered = 0
        self._begun = self._said = time.monotonic()
        self._outputs = PlayerOutputs(self, self._plan.topics.played, self._plan.topics.mocap_type, self._has_estimator)
        if self._has_estimator:
            self._listen(names.ROBOT_STATE, self._on_state)
            self._listen(names.SIM_NO_STATE, self._on_no_state)
        self._listen(names.ADAPTATION_METRICS, self._on_metrics)
        self._listen(names.REPLAYED_COMMANDS, self._on_command)
        self.create_service(SetBool, names.PLAYER_PAUSE, self._on_pause)
        self.create_service(Trigger, names.PLAYER_STEP, self._on_step)
        self.add_post_set_parameters_callback(self._on_parameters)
        self._company = Company(self, sorted(self._expected), values["node_timeout"])
        self._course = self._script()
        self._poll_at = time.monotonic()

    def _listen(self, topic: names.Topic, callback: Callable[[JointState], None]) -> None:
        self.create_subscription(topic.type, topic.name, callback, names.LOCKSTEP)

    # The script ------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when the script goes on, monotonic seconds."""
        return self._poll_at

    def on_deadline(self) -> None:
        """Let the script go on."""
        try:
            self._poll_at = time.monotonic() + next(self._course)
        except StopIteration:
            self._write("completed")
            self.exit_code = 0

    def _go_on(self) -> None:
        self._poll_at = time.monotonic()

    def _script(self) -> Script:
        for line in self._plan.warnings:
            self._say(f"warning: {line}")
        said = len(self._plan.warnings)
        yield from self._company.gather(self._outputs.unheard)
        self._unwritten = True
        self._begun = time.monotonic()
        while True:
            for count, event in enumerate(with_clock(self._plan.events())):
                yield from self._until_due(event.time)
                if event.kind is Kind.TICK:
                    yield from self._play_tick(event)
                    self._pacer.stepped()
                elif event.kind is Kind.CLOCK:
                    self._outputs.publish_clock(event.time)
                elif event.kind is Kind.AGAIN:
                    yield from self._begin_again(event.time)
                elif event.message is not None:
                    self._outputs.publish(event.name, event.message)
                if count % BATCH == 0:
                    self._company.refuse_robots()
                    yield 0.0
            if not self._values["loop"] or not self._log.ticks:
                break
            yield from self._begin_again(self._log.ticks[0].stamp)
        for line in self._plan.warnings[said:]:
            self._say(f"warning: {line}")
        if not self._log.ticks:
            raise UserError(f"{self._plan.topics.bag} has no tick in the part that is played; lower start or raise "
                            "duration")

    def _until_due(self, moment: int) -> Script:
        while (due := self._pacer.due(moment, now := time.monotonic())) is None or due > now:
            yield POLL if due is None else min(POLL, due - now)

    def _begin_again(self, moment: int) -> Script:
        self._say("the recording begins again")
        self._outputs.publish_clock(moment)
        yield SETTLE

    # Ticks -----------------------------------------------------------------------------------------------------------

    def _play_tick(self, event: Event) -> Script:
        stamp = event.time
        self._tick = tick = self._log.begin(stamp, self._plan.states.get(stamp), self._plan.commands.recorded(stamp))

        def announce() -> None:
            if self._has_estimator:
                self._outputs.announce_tick(stamp)
            elif event.message is not None:
                self._outputs.publish(names.ROBOT_STATE.name, event.message)

        answering = self._expected & {"adaptation", "mpc"}
        self._awaited = {"state_estimator"} & self._expected if self._has_estimator else set()
        if not self._has_estimator:
            tick.state = tick.recorded_state
        announce()
        yield from self._until_answered(announce)
        # Who gets no state says nothing.
        has_state = tick.state is not None
        self._awaited = {node for node in answering if has_state and not self._has_said(node, tick)}
        rates = self._plan.commands.at(stamp)
        self._outputs.publish_command(stamp, NOTHING if rates is None else rates)
        yield from self._until_answered(announce)
        self._unanswered = 0 if tick.is_answered else self._unanswered + 1
        if self._unanswered >= MOST_UNANSWERED:
            raise NodeStopped(f"error: {MOST_UNANSWERED} ticks in a row were not answered")
        self._show(stamp)

    @staticmethod
    def _has_said(node: str, tick: ReplayTick) -> bool:
        return bool(tick.status) if node == "adaptation" else tick.command is not None

    def _until_answered(self, announce: Callable[[], None]) -> Script:
        begin = again = time.monotonic()
        while self._awaited and self._tick is not None:
            now = time.monotonic()
            if now > begin + PATIENCE:
                self._say(f"warning: {', '.join(sorted(self._awaited))} did not answer the tick at "
                          f"{self._tick.stamp / SECOND:.3f} s; going on")
                self._tick.is_answered = False
                return
            if now > again + REPEAT:
                again = now
                announce()
            yield POLL

    def _answered(self, node: str, message: JointState) -> ReplayTick | None:
        """Return the tick that a message answers, if it is the one of now."""
        tick = self._tick
        if tick is None or to_nanoseconds(message.header.stamp) != tick.stamp:
            return None
        self._awaited.discard(node)
        if not self._awaited:
            self._go_on()
        return tick

    def _on_state(self, message: JointState) -> None:
        tick = self._answered("state_estimator", message)
        if tick is not None and tick.state is None:
            tick.state = layout_vector(STATE, message, names.ROBOT_STATE.name)

    def _on_no_state(self, message: JointState) -> None:
        self._answered("state_estimator", message)

    def _on_metrics(self, message: JointState) -> None:
        tick = self._answered("adaptation", message)
        if tick is not None:
            values = named_values(message)
            tick.status = next((str(status) for status in AdaptationStatus if values.get(status)), "unknown")
            tick.figures = {name: values[name] for name in FIGURES}

    def _on_command(self, message: JointState) -> None:
        tick = self._answered("mpc", message)
        if tick is not None:
            tick.command = commanded_rates(message)

    # By hand ---------------------------------------------------------------------------------------------------------

    def _on_parameters(self, parameters: list[Any]) -> None:
        for parameter in parameters:
            if parameter.name == "rate":
                self._pacer.rate = parameter.value
                self._go_on()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._pacer.pause(bool(request.data))
        self._go_on()
        response.success, response.message = True, "paused" if self._pacer.paused else "playing"
        return response

    def _on_step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._pacer.step()
        response.message = ("one control period" if response.success
                            else "not paused; call bag_player/pause with data true first")
        self._go_on()
        return response

    # What is said of it ----------------------------------------------------------------------------------------------

    def _show(self, stamp: int) -> None:
        now = time.monotonic()
        if now >= self._said + PROGRESS:
            self._said = now
            done = (stamp - self._log.ticks[0].stamp) / SECOND
            self._say(f"{done:.1f} s of the recording, {done / max(1e-9, now - self._begun):.2f} times real time")

    @staticmethod
    def _say(text: str) -> None:
        print(f"{NAME}: {text}", file=sys.stderr if text.startswith("warning") else sys.stdout, flush=True)

    def _write(self, ended: str) -> None:
        self._unwritten = False
        took = time.monotonic() - self._begun
        if self._values["out"]:
            content = replay_content(self._plan, self._log, self._values, ended, took, self._pacer.lost,
                                     self._outputs.unwritable)
            title = f"replay of {self._plan.topics.title}: {self._values['method']}"
            write_replay(self._values["out"], content, self._log.csv(), draw_replay(self._log.rows(), title))
        for line in [*self._log.lines(), *([f"report: {self._values['out']}"] if self._values["out"] else [])]:
            print(line, flush=True)

    def destroy_node(self) -> None:
        """Leave what was heard on disk, also after a signal."""
        if self._unwritten and self._log.ticks:
            try:
                self._write("interrupted")
            except UserError as error:
                print(f"{NAME}: error: {error}", file=sys.stderr, flush=True)
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(BagPlayer, NAME)


if __name__ == "__main__":
    main()
