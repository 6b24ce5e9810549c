# SPDX-License-Identifier: Apache-2.0
"""Node: the simulated robot, with the topics and services of the real one.

Three ways time passes (parameter ``clock``): ``real`` follows the wall clock and stamps with it; a factor runs that
many times as fast and publishes /clock; ``lockstep`` publishes /clock too and waits for the command of every control
period, so that the result does not depend on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from l2a_ros.nodes.limits import LIMITS_SCHEMA, load_limits
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import SECOND, commanded_rates, named_vector, to_nanoseconds, to_stamp
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.robot.samples import Sample
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain, terrain_names
from l2a_ros.simulation.viewer import Viewer
from l2a_ros.timing.clock_mode import REAL, clock_speed

SCHEMA = (
    Parameter("control_period", 0.1, "time between commands, s (lock-step: the world stops that often)", 0.005, 1.0),
    Parameter("lockstep", False, "set by clock; the same for every node of a graph"),
    Parameter("clock", "real", "real, lockstep, or a factor of real time such as 2.0"),
    Parameter("terrain", "carpet", f"floor: {', '.join(terrain_names())}, or a YAML file"),
    Parameter("faults", [""], "what breaks: NAME[:ARGUMENTS][@ONSET_S]"),
    Parameter("seed", 0, "of the start and the sensor noise", 0, 2**31 - 1),
    Parameter("headless", True, "false opens MuJoCo's viewer"),
    Parameter("command_timeout", 0.3, "the robot stands when the newest command is older, s", 0.01, 10.0),
    *LIMITS_SCHEMA,
)
_MILLISECOND = 1_000_000
#: Physics between two looks at the clock in real time, s.
SLICE = 0.005
#: Most that is caught up at once, s; a longer standstill of the machine is skipped and counted.
LONGEST_CATCH_UP = 0.05
#: Wall time after which an unanswered tick is announced again, s.
REPEAT = 0.25
#: Where simulated time begins: zero means "no time yet" in ROS.
SIMULATED_START = SECOND


class MujocoSimNode(ManagedNode):
    """Shell of :class:`Millirobot`, :class:`Sensors` and :class:`MotorGate`."""

    _viewer: Viewer | None = None  # a node that is refused is destroyed too

    def __init__(self) -> None:
        super().__init__("mujoco_sim", SCHEMA)
        self._active = False
        self._diagnostics = Diagnostics(self, self._health)
        self.start()

    def configure(self) -> None:
        """Build the world and open the interfaces."""
        settings = self.settings
        self._speed = clock_speed(settings["clock"])
        self._lockstep = self._speed == 0.0
        self._period_ms = round(settings["control_period"] * 1000)
        faults = [parse_fault(text) for text in settings["faults"]]
        limits = load_limits(settings)
        self._robot = Millirobot(load_terrain(settings["terrain"]), settings["seed"], faults)
        self._sensors = Sensors(self._robot, settings["seed"])
        self._gate = MotorGate(limits, settings["command_timeout"])
        self._gate_shown = self._gate.state
        self._elapsed_ms = 0
        self._skipped = 0.0
        self._paused, self._step_ms = self._lockstep, 0
        self._counts = {topic.name: 0 for topic in names.SENSOR_TOPICS}
        self._unanswered: int | None = None
        self._repeat_at = 0.0
        self._repeats = 0
        self._viewer = None if settings["headless"] else Viewer(self._robot)
        self._outputs: dict[str, Any] = {}
        topics = [*names.SENSOR_TOPICS]
        if self.settings["clock"] != REAL:
            topics += [names.CLOCK]
        if self._lockstep:
            topics += [names.SIM_TICK]
        for topic in topics:
            self._outputs[topic.name] = self.create_lifecycle_publisher(topic.type, topic.name,
                                                                           topic.profile(self._lockstep))
        self.create_subscription(JointState, names.MOTOR_COMMANDS.name, self._on_command,
                                 names.MOTOR_COMMANDS.profile(self._lockstep))
        names.subscribe_estop(self, self._on_estop)
        for name, act in ((names.ARM, self._gate.arm), (names.DISARM, self._gate.disarm),
                          (names.RESET_STOP, self._gate.reset_stop)):
            self.create_service(Trigger, name, partial(self._on_gate, act))
        self.create_service(SetBool, names.SIM_PAUSE, self._on_pause)
        self.create_service(Trigger, names.SIM_STEP, self._on_step)
        self.create_service(Trigger, names.SIM_RESET, self._on_reset)

    def activate(self) -> None:
        """Let time pass."""
        self._epoch = self.get_clock().now().nanoseconds if self.settings["clock"] == REAL else SIMULATED_START
        self._epoch -= self._elapsed_ms * _MILLISECOND
        self._anchor = time.monotonic() - self._elapsed_ms / 1000.0 / (self._speed or 1.0)
        self._active = True

    def deactivate(self) -> None:
        """Stand, and let no time pass."""
        if self._active:
            self._gate.disarm()
        self._active = False

    def cleanup(self) -> None:
        """Close the viewer."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def destroy_node(self) -> None:
        """Close the viewer, whatever ended the node."""
        if self._viewer is not None:
            self._viewer.close()
        super().destroy_node()

    @property
    def _stamp(self) -> int:
        return self._epoch + self._elapsed_ms * _MILLISECOND

    # Time ------------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when the next slice of physics, or the next look at an unanswered tick, is due."""
        if not self._active:
            return None
        if self._lockstep:
            return self._repeat_at
        return self._anchor + (self._elapsed_ms / 1000.0 + SLICE) / self._speed

    def on_deadline(self) -> None:
        """Advance in real time, or repeat an unanswered tick."""
        now = time.monotonic()
        if self._lockstep:
            self._repeat_at = now + REPEAT
            if self._unanswered is not None:
                self._repeats += 1
                self._announce_tick(self._unanswered)
            else:
                self._advance_if_allowed()
            return
        behind = (now - self._anchor) * self._speed - self._elapsed_ms / 1000.0
        if self._paused and not self._step_ms:
            self._skip(behind)
            return
        if behind > LONGEST_CATCH_UP * max(1.0, self._speed):
            self._skipped += behind - SLICE
            self._skip(behind - SLICE)
            behind = SLICE
        milliseconds = int(behind * 1000.0)
        if self._paused:
            milliseconds = min(milliseconds, self._step_ms)
            self._step_ms -= milliseconds
        self._advance(milliseconds)

    def _skip(self, seconds: float) -> None:
        """Leave out time: the stamps go on, the world does not."""
        self._anchor += seconds / self._speed
        if self.settings["clock"] == REAL:
            self._epoch += round(seconds * SECOND)

    def _advance(self, milliseconds: int) -> None:
        ticking = not self._lockstep and names.CLOCK.name in self._outputs
        for _ in range(milliseconds):
            self._robot.step(self._gate.output(self._stamp))
            self._elapsed_ms += 1
            for sample in self._sensors.sample(self._elapsed_ms, self._stamp):
                self._publish(sample)
            if ticking and self._elapsed_ms % 10 == 0:
                self._outputs[names.CLOCK.name].publish(Clock(clock=to_stamp(self._stamp)))
        if self._viewer is not None:
            self._viewer.show()

    def _advance_if_allowed(self) -> None:
        """Lock-step: walk one control period unless paused, or unless somebody needed is not there yet."""
        if self._unanswered is not None or (self._paused and not self._step_ms):
            return
        needed = [*(topic.name for topic in names.SENSOR_TOPICS), names.SIM_TICK.name]
        if any(self._outputs[name].get_subscription_count() == 0 for name in needed):
            return
        self._step_ms = max(0, self._step_ms - self._period_ms)
        self._advance(self._period_ms)
        self._unanswered = self._stamp
        self._repeat_at = time.monotonic() + REPEAT
        self._outputs[names.CLOCK.name].publish(Clock(clock=to_stamp(self._stamp)))
        self._announce_tick(self._stamp)

    def _announce_tick(self, stamp: int) -> None:
        self._outputs[names.SIM_TICK.name].publish(
            named_vector(tuple(self._counts), [float(count) for count in self._counts.values()], stamp))

    def _publish(self, sample: Sample) -> None:
        topic, message = sensor_message(sample)
        self._counts[topic.name] += 1
        self._outputs[topic.name].publish(message)

    # Commands and services -------------------------------------------------------------------------------------------

    def _on_command(self, message: JointState) -> None:
        if not self._active:
            return
        stamp = to_nanoseconds(message.header.stamp)
        if self._lockstep and stamp != self._unanswered:
            return
        try:
            self._gate.offer(commanded_rates(message), stamp, self._stamp)
        except UserError as error:
            self._gate.counters.refused += 1
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
        self._show_gate()
        if self._lockstep:
            self._unanswered = None
            self._advance_if_allowed()

    def _on_estop(self, message: Bool) -> None:
        if message.data:
            self._gate.stop("estop topic")
            self._show_gate()

    def _on_gate(self, act: Callable[[], tuple[bool, str]], _: Trigger.Request,
                 response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = act()
        self._show_gate()
        return response

    def _show_gate(self) -> None:
        if self._gate.state is not self._gate_shown:
            self._gate_shown = self._gate.state
            self.get_logger().info(f"motor gate: {self._gate.state} {self._gate.reason}")
            self._diagnostics.publish()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused, self._step_ms = bool(request.data), 0
        response.success, response.message = True, "paused" if self._paused else "running"
        if self._lockstep and self._active:
            self._advance_if_allowed()
        return response

    def _on_step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._paused:
            response.success, response.message = False, "not paused; call sim/pause with data true first"
            return response
        self._step_ms += self._period_ms
        response.success, response.message = True, "one control period"
        if self._lockstep and self._active:
            self._advance_if_allowed()
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._gate.disarm()
        self._robot.reset()
        self._sensors.reset()
        response.success, response.message = True, "the robot is back at its start, disarmed; time goes on"
        return response

    def _health(self) -> list[Health]:
        if not self._active:
            return [Health("motor gate", WARN, "not active")]
        gate, counters = self._gate, self._gate.counters
        level = ERROR if gate.state is GateState.STOPPED else OK
        values: dict[str, object] = {"state": str(gate.state), "safety_stops": counters.safety_stops,
                                     "refused": counters.refused, "late": counters.late, "ignored": counters.ignored,
                                     "timeouts": counters.timeouts}
        world: dict[str, object] = {"simulated time (s)": self._robot.time, "skipped time (s)": self._skipped,
                                    "repeated ticks": self._repeats, "battery (V)": self._robot.battery_voltage}
        return [Health("motor gate", level, gate.reason or str(gate.state), values),
                Health("world", WARN if self._skipped else OK, "paused" if self._paused else "running", world)]


def main() -> None:
    """Run the node."""
    run_node(MujocoSimNode, "mujoco_sim")


if __name__ == "__main__":
    main()
