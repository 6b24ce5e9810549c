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

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import OK, WARN, Diagnostics, Health
from l2a_ros.nodes.gate import GateServices
from l2a_ros.nodes.limits import LIMITS_SCHEMA, load_limits
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import SECOND, commanded_rates, to_nanoseconds
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sim_faults import LiveFaults
from l2a_ros.nodes.sim_outputs import SimOutputs
from l2a_ros.nodes.sim_pictures import SimPictures
from l2a_ros.nodes.sim_placing import PlacedByHand
from l2a_ros.nodes.sim_reset import WorldReset
from l2a_ros.safety.motor_gate import MotorGate
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.radio import CommandRadio
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain, terrain_names
from l2a_ros.timing.clock_mode import REAL, SIMULATED_START, clock_speed

SCHEMA = (
    Parameter("control_period", 0.1, "time between commands, s (lock-step: the world stops that often)", 0.005, 1.0),
    Parameter("lockstep", False, "set by clock; the same for every node of a graph"),
    Parameter("clock", "real", "real, lockstep, or a factor of real time such as 2.0"),
    Parameter("terrain", "carpet", f"ground: {', '.join(terrain_names())}, or a YAML file; :ANGLE[,DIRECTION] in deg"),
    Parameter("faults", [""], "what breaks: NAME[:ARGUMENTS][@ONSET_S]", is_dynamic=True),
    Parameter("seed", 0, "of the start and the sensor noise", 0, 2**31 - 1),
    Parameter("headless", True, "false opens MuJoCo's viewer"),
    Parameter("frames", "", "file for the poses of a film, which l2a render makes of them; empty for none"),
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


class MujocoSimNode(ManagedNode):
    """Shell of :class:`Millirobot`, :class:`Sensors` and :class:`MotorGate`."""

    _pictures: SimPictures | None = None  # a node that is refused is destroyed too

    def __init__(self) -> None:
        super().__init__("mujoco_sim", SCHEMA)
        self._active = False
        self._diagnostics = Diagnostics(self, self._health)
        self._faults = LiveFaults(self)
        self.start()

    def configure(self) -> None:
        """Build the world and open the interfaces."""
        settings = self.settings
        self._speed = clock_speed(settings["clock"])
        self._lockstep = self._speed == 0.0
        self._period_ms = round(settings["control_period"] * 1000)
        faults = parse_faults(self.get_parameter("faults").value, has_wire=False)
        limits = load_limits(settings)
        self._robot = Millirobot(load_terrain(settings["terrain"]), settings["seed"], faults)
        self._sensors = Sensors(self._robot, settings["seed"])
        self._gate = MotorGate(limits, settings["command_timeout"])
        self._radio = CommandRadio(self._robot.faults, settings["seed"], settings["command_timeout"])
        self._faults.attach(self._robot)
        self._gate_services = GateServices(self, self._gate, self._diagnostics)
        self._elapsed_ms = 0
        self._skipped = 0.0
        self._paused, self._step_ms = self._lockstep, 0
        self._unanswered: int | None = None
        self._repeat_at = 0.0
        self._repeats = 0
        self._pictures = SimPictures(self, self._robot, settings["headless"], settings["frames"], self._lockstep,
                                     settings["terrain"])
        self._outputs = SimOutputs(self, self._lockstep, settings["clock"] != REAL)
        self.create_subscription(JointState, names.MOTOR_COMMANDS.name, self._on_command,
                                 names.MOTOR_COMMANDS.profile(self._lockstep))
        self.create_service(SetBool, names.SIM_PAUSE, self._on_pause)
        self.create_service(Trigger, names.SIM_STEP, self._on_step)
        self.create_service(Trigger, names.SIM_RESET, self._on_reset)
        self._reset = WorldReset(self)
        self._placed = PlacedByHand(self, self._gate, lambda *pose: self._move(partial(self._robot.place, *pose)))
        if self._lockstep:
            self.create_subscription(JointState, names.SIM_NO_STATE.name, self._on_no_state, names.SIM_NO_STATE.qos)

    def activate(self) -> None:
        """Let time pass."""
        self._epoch = SIMULATED_START
        if self.settings["clock"] == REAL:
            self._epoch = self.get_clock().now().nanoseconds - self._elapsed_ms * _MILLISECOND
        self._anchor = time.monotonic() - self._elapsed_ms / 1000.0 / (self._speed or 1.0)
        self._active = True

    def deactivate(self) -> None:
        """Stand, and let no time pass."""
        if self._active:
            self._gate.disarm()
        self._active = False

    def cleanup(self) -> None:
        """Close the viewer, and write down what the film is made from."""
        if self._pictures is not None:
            self._pictures.close()

    def destroy_node(self) -> None:
        """Close the viewer, and write down what the film is made from, whatever ended the node."""
        if self._pictures is not None:
            self._pictures.close()
        super().destroy_node()

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Set parameters while the node runs; a refusal says what to do about it."""
        result = super().set_parameters_atomically(parameter_list)
        if "read-only" in result.reason:
            result.reason += " Restart the node with another value."
        return result

    @property
    def _stamp(self) -> int:
        return self._epoch + self._elapsed_ms * _MILLISECOND

    # Time ------------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when the next slice of physics, or the next look at an unanswered tick, is due."""
        if not self._active:
            return None
        if self._reset.next_look is not None:
            return self._reset.next_look
        if self._lockstep:
            return self._repeat_at
        return self._anchor + (self._elapsed_ms / 1000.0 + SLICE) / self._speed

    def on_deadline(self) -> None:
        """Advance in real time, or repeat an unanswered tick."""
        now = time.monotonic()
        is_held = self._reset.holds(self._unanswered is None)
        if self._lockstep:
            if is_held:
                return
            self._repeat_at = now + REPEAT
            if self._unanswered is not None:
                self._repeats += 1
                self._outputs.announce_tick(self._unanswered)
            else:
                self._advance_if_allowed()
            return
        behind = (now - self._anchor) * self._speed - self._elapsed_ms / 1000.0
        if is_held or (self._paused and not self._step_ms):
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
        for _ in range(milliseconds):
            self._robot.step(self._radio.output(self._gate.output(self._stamp), self._stamp))
            self._elapsed_ms += 1
            if self._faults.show():
                self._diagnostics.publish()
            for sample in self._sensors.sample(self._elapsed_ms, self._stamp):
                self._outputs.publish(sample)
            if not self._lockstep and self._elapsed_ms % 10 == 0:
                self._outputs.publish_clock(self._stamp)
            if self._pictures is not None:
                self._pictures.take(self._stamp)

    def _advance_if_allowed(self) -> None:
        """Lock-step: walk one control period unless paused, or unless somebody needed is not there yet."""
        if self._unanswered is not None or self._reset.holds(True) or (self._paused and not self._step_ms):
            return
        if not self._outputs.are_heard():
            return
        self._step_ms = max(0, self._step_ms - self._period_ms)
        self._advance(self._period_ms)
        self._unanswered = self._stamp
        self._repeat_at = time.monotonic() + REPEAT
        self._outputs.publish_clock(self._stamp)
        self._outputs.announce_tick(self._stamp)

    # Commands and services -------------------------------------------------------------------------------------------

    def _on_command(self, message: JointState) -> None:
        if not self._active:
            return
        stamp = to_nanoseconds(message.header.stamp)
        if self._lockstep and stamp != self._unanswered:
            return
        try:
            if self._gate.offer(commanded_rates(message), stamp, self._stamp):
                self._radio.send(self._stamp)
        except UserError as error:
            self._gate.counters.refused += 1
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
        self._gate_services.show()
        if self._lockstep:
            self._unanswered = None
            self._advance_if_allowed()

    def _on_no_state(self, message: JointState) -> None:
        """Go on without a command, as time does: the robot's own watchdog ends what the last one said."""
        if self._active and to_nanoseconds(message.header.stamp) == self._unanswered:
            self._unanswered = None
            self._advance_if_allowed()

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
        self._gate_services.show()
        self._move(self._put_back)
        response.success, response.message = True, "the robot is back at its start, disarmed; time goes on"
        return response

    def _move(self, move: Callable[[], None]) -> None:
        self._reset.request(move)
        self._reset.holds(self._unanswered is None)

    def _put_back(self) -> None:
        self._robot.reset()
        self._sensors.reset()
        self._radio.reset()

    def _health(self) -> list[Health]:
        if not self._active:
            return [Health("motor gate", WARN, "not active")]
        world: dict[str, object] = {"simulated time (s)": self._robot.time, "skipped time (s)": self._skipped,
                                    "repeated ticks": self._repeats, "battery (V)": self._robot.battery_voltage}
        return [self._gate_services.health(),
                Health("world", WARN if self._skipped else OK, "paused" if self._paused else "running", world),
                self._faults.health()]


def main() -> None:
    """Run the node."""
    run_node(MujocoSimNode, "mujoco_sim")


if __name__ == "__main__":
    main()
