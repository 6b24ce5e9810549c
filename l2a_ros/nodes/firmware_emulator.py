# SPDX-License-Identifier: Apache-2.0
"""Node: an emulated robot behind a real serial port, a pseudo-terminal, for the driver to be tried on.

The world runs in real time as that of ``mujoco_sim`` does. Bytes take as long as on a line of the given speed.
"""

from __future__ import annotations

import time

from rclpy.node import Node

from l2a_ros.driver.emulator.firmware import Firmware, sent_record
from l2a_ros.driver.emulator.line import CAPACITY
from l2a_ros.driver.emulator.pseudo_terminal import PseudoTerminal
from l2a_ros.driver.emulator.wire import Wire
from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.errors import UserError
from l2a_ros.nodes.diagnostics import OK, WARN, Diagnostics, Health
from l2a_ros.nodes.emulator_outputs import EmulatorOutputs
from l2a_ros.nodes.emulator_reader import PortReader
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sim_faults import LiveFaults
from l2a_ros.nodes.sim_pictures import SimPictures
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain, terrain_names

SCHEMA = (
    Parameter("link", "", "symbolic link to make to the port, there while it is plugged in; empty for none"),
    Parameter("baud", 57600, "speed of the serial line, bit/s", 1200, 4_000_000),
    Parameter("profile", "velociroach_gbac", "firmware to be", choices=profile_names()),
    Parameter("terrain", "carpet", f"ground: {', '.join(terrain_names())}, or a YAML file; :ANGLE[,DIRECTION] in deg"),
    Parameter("faults", [""], "what breaks, robot and wire: NAME[:ARGUMENTS][@ONSET_S]", is_dynamic=True),
    Parameter("seed", 0, "of the start, the sensor noise and the faults", 0, 2**31 - 1),
    Parameter("headless", True, "false opens MuJoCo's viewer"),
    Parameter("frames", "", "file for the poses of a film, which l2a render makes of them; empty for none"),
    Parameter("control_period", 0.1, "time between commands, s; the same for every node of a graph", 0.005, 1.0),
    Parameter("lockstep", False, "must be false: firmware runs in real time"),
)
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
#: World between two looks at the clock, ms: with a host that talks, and without.
BUSY_SLICE, IDLE_SLICE = 2, 5
#: A host that has been silent for so long talks no more, ns.
IDLE_AFTER = _SECOND
#: Most that is caught up at once, ns; a longer standstill of the machine is skipped and counted.
LONGEST_CATCH_UP = 50 * _MILLISECOND
#: Period of ``emulator/truth``, ms.
TRUTH_PERIOD = 10
#: A leg below this stands, rad/s.
AT_REST = 1.25


class FirmwareEmulatorNode(Node):
    """Shell of :class:`Firmware`, :class:`Wire` and :class:`PseudoTerminal`."""

    # A node that is refused is destroyed too.
    _pictures: SimPictures | None = None
    _reader: PortReader | None = None
    _port: PseudoTerminal | None = None

    def __init__(self) -> None:
        super().__init__("firmware_emulator")
        settings = declare(self, SCHEMA)
        if settings["lockstep"]:
            raise UserError("the emulated firmware runs in real time; set lockstep to false")
        profile, seed = find_profile(settings["profile"]), settings["seed"]
        self._robot = Millirobot(load_terrain(settings["terrain"]), seed, parse_faults(settings["faults"]))
        self._sensors = Sensors(self._robot, seed)
        self._firmware = Firmware(profile, self._robot, self._sensors, seed)
        self._wire = Wire(profile, settings["baud"], self._robot.faults, seed)
        self._diagnostics = Diagnostics(self, self._health)
        self._faults = LiveFaults(self, has_wire=True)
        self._faults.attach(self._robot)
        self._pictures = SimPictures(self, self._robot, settings["headless"], settings["frames"], False,
                                     settings["terrain"])
        self._outputs = EmulatorOutputs(self)
        self._elapsed_ms, self._skipped, self._moved_at = 0, 0.0, 0
        self._heard_at = -IDLE_AFTER
        self._replies = 0
        self._port = PseudoTerminal(settings["link"])
        self._reader = PortReader(self._port, CAPACITY)
        self._reader.start()
        self._epoch = self.get_clock().now().nanoseconds
        self._anchor = time.monotonic_ns()
        self.get_logger().info(f"{profile.name} at {self._port.path} ({self._port.device})")

    # Time ------------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when the next slice of the world, or the end of what is on the wire, is due."""
        now_ms = self._elapsed_ms
        is_busy = self._anchor + now_ms * _MILLISECOND - self._heard_at < IDLE_AFTER
        due = self._anchor + (now_ms + (BUSY_SLICE if is_busy else IDLE_SLICE)) * _MILLISECOND
        command, output = self._wire.next_command(), self._wire.next_output()
        if command is not None:
            # The firmware looks once a millisecond.
            whole = max(-((self._anchor - command) // _MILLISECOND), now_ms + 1)
            due = min(due, self._anchor + whole * _MILLISECOND)
        return min(due, output or due) / _SECOND

    def on_deadline(self) -> None:
        """Let the world catch up with the clock, and the bytes with the line."""
        assert self._reader is not None and self._port is not None
        for moment, data in self._reader.take():
            self._wire.receive(data, moment)
            self._heard_at = moment
        now = time.monotonic_ns()
        behind = now - self._anchor - self._elapsed_ms * _MILLISECOND
        if behind > LONGEST_CATCH_UP:
            # The stamps go on, the world does not.
            skipped = behind - BUSY_SLICE * _MILLISECOND
            self._skipped += skipped / _SECOND
            self._anchor += skipped
            self._epoch += skipped
            behind -= skipped
        for _ in range(behind // _MILLISECOND):
            self._advance()
        self._port.write(self._wire.output(now))

    def _advance(self) -> None:
        """Live a millisecond."""
        self._elapsed_ms += 1
        moment = self._anchor + self._elapsed_ms * _MILLISECOND
        stamp = self._epoch + self._elapsed_ms * _MILLISECOND
        for answer in self._firmware.step(self._wire.commands(moment)):
            self._wire.answer(answer, moment)
            self._replies += 1
            record = sent_record(self._firmware.profile, answer)
            if record is not None:
                self._outputs.publish_record(record)
        if self._faults.show():
            self._diagnostics.publish()
        self._plug()
        rates = self._robot.crank_rates
        if max(abs(float(rates[0])), abs(float(rates[1]))) > AT_REST:
            self._moved_at = self._elapsed_ms
        self._outputs.publish_poses(self._sensors.sample_pose(self._elapsed_ms, stamp))
        if self._elapsed_ms % TRUTH_PERIOD == 0:
            self._publish_truth(stamp)
        assert self._pictures is not None
        self._pictures.take(stamp)

    def _plug(self) -> None:
        """Pull the plug, or put it back, as the faults want it."""
        assert self._port is not None and self._reader is not None
        is_wanted = not self._robot.faults.values("unplug")
        if is_wanted is self._port.is_plugged:
            return
        if is_wanted:
            self._port.replug()
            self._reader.start()
        else:
            self._reader.stop()
            self._port.unplug()
            self._wire.disconnect()

    # Outputs ---------------------------------------------------------------------------------------------------------

    def _publish_truth(self, stamp: int) -> None:
        assert self._port is not None
        motion = self._firmware.motion
        self._outputs.publish_truth(
            [*self._robot.crank_rates, motion.is_on, self._port.is_plugged, *motion.rates,
             self._wire.counters["frames_in"], self._wire.frames_bad, self._replies], stamp)

    def _health(self) -> list[Health]:
        if self._port is None:
            return [Health("firmware", WARN, "not there yet")]
        firmware, wire, motion = self._firmware, self._wire, self._firmware.motion
        left, right = self._robot.crank_rates
        phase = "booting" if firmware.is_booting else "busy with the flash" if firmware.is_deaf else "ready"
        return [
            Health("firmware", OK, f"{phase}, motors {'on' if motion.is_on else 'off'}", {
                "phase": phase, "motors": "on" if motion.is_on else "off", "boots": firmware.boots,
                "motors timed out": motion.timed_out, "port": self._port.path, "device": self._port.device,
                "plugged": self._port.is_plugged, "bytes lost to the host": self._port.lost,
                **{f"packets {name.replace('_', ' ')}": count for name, count in firmware.counters.items()}}),
            Health("truth", OK, "", {
                "left leg rate (rad/s)": float(left), "right leg rate (rad/s)": float(right),
                "time since the legs moved (s)": (self._elapsed_ms - self._moved_at) / 1000.0,
                "frames received": wire.counters["frames_in"], "frames bad": wire.frames_bad,
                "replies sent": self._replies, "battery (V)": self._robot.battery_voltage,
                **{f"wire: {name.replace('_', ' ')}": count for name, count in wire.faults.items()}}),
            Health("world", WARN if self._skipped else OK, "running", {
                "simulated time (s)": self._robot.time, "skipped time (s)": self._skipped}),
            self._faults.health()]

    def destroy_node(self) -> None:
        """Take the port away, and write down what the film is made from, whatever ended the node."""
        if self._reader is not None:
            self._reader.stop()
        if self._port is not None:
            self._port.unplug()
        if self._pictures is not None:
            self._pictures.close()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(FirmwareEmulatorNode, "firmware_emulator")


if __name__ == "__main__":
    main()
