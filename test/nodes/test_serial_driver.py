# SPDX-License-Identifier: Apache-2.0
"""The driver as a process, on an emulated firmware behind a real pseudo-terminal: what is special about a real robot.

What it has in common with the simulated one is in ``test/contract``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from nodes.support import NodeProcess, Peer, assert_refused, until

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_values, named_vector
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import REVOLUTION

WALK = np.array([5.0, 5.0]) * REVOLUTION
GATE, LINK, STOP, ROBOT = (f"serial_driver: {name}" for name in ("motor gate", "link", "stop", "robot"))
#: A leg below this stands, rad/s.
AT_REST = 1.25


class Operator:
    """Somebody who commands the driver, and sees what the legs of the emulated robot truly do."""

    def __init__(self, peer: Peer, driver: NodeProcess) -> None:
        self.peer, self.driver = peer, driver
        self.command: np.ndarray | None = None
        self._ended = threading.Event()
        peer.listen(names.EMULATOR_TRUTH, names.JOINT_STATES)
        peer.offer(names.MOTOR_COMMANDS)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            if self.command is not None:
                self.peer.publish(names.MOTOR_COMMANDS, motor_commands(self.command, time.time_ns()), to_nobody=True)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def truth(self) -> dict[str, float]:
        """Return what the emulated robot truly does."""
        return named_values(until(lambda: self.peer.of(names.EMULATOR_TRUTH), "no emulated robot")[-1])

    @property
    def walks(self) -> bool:
        truth = self.truth()
        return min(truth["left_leg_rate"], truth["right_leg_rate"]) > 0.5 * WALK[0]

    @property
    def stands(self) -> bool:
        truth = self.truth()
        return max(abs(truth["left_leg_rate"]), abs(truth["right_leg_rate"])) < AT_REST

    def break_(self, *faults: str) -> None:
        assert self.peer.set_parameters("firmware_emulator", {"faults": list(faults) or [""]}) == ""

    def is_ready(self) -> bool:
        status = self.peer.status(GATE)
        return bool(status.values) and not self.peer.text(GATE, "not ready")

    def walk(self) -> None:
        """Arm it and let it walk."""
        until(self.is_ready, "it does not become ready")
        response = self.peer.trigger(names.ARM)
        assert response.success, response.message
        self.command = WALK
        until(lambda: self.walks, "it does not walk")

    def reset(self) -> None:
        """Reset the stop."""
        assert self.peer.trigger(names.RESET_STOP).success
        until(lambda: self.peer.text(GATE, "state") == "disarmed")

    def release(self) -> None:
        """Reset the stop and let it walk again."""
        self.reset()
        self.walk()


@contextmanager
def driving(tmp_path: Path, emulator: dict[str, Any] | None = None, **parameters: Any) -> Iterator[Operator]:
    with ExitStack() as stack:
        port = str(tmp_path / "robot")
        stack.enter_context(NodeProcess("firmware_emulator", link=port, **(emulator or {})))
        driver = stack.enter_context(NodeProcess("serial_driver", **{
            "port": port, "port_wait": 30.0, "arm_requires": [""], **parameters}))
        operator = Operator(stack.enter_context(Peer()), driver)
        stack.callback(operator.end)
        yield operator


def state_message(**values: float) -> Any:
    """Return a state estimate of a robot that stands upright at the origin, but for some values."""
    ones = {f"{angle}_cos": 1.0 for angle in ("roll", "pitch", "yaw", "left_leg", "right_leg")}
    whole = {**dict.fromkeys(STATE.names, 0.0), **ones, "battery_voltage": 4.0, **values}
    return named_vector(STATE.names, [whole[name] for name in STATE.names], time.time_ns())


@pytest.mark.parametrize(("message", "parameters"), [
    ("does not exist", {"port": "/dev/there_is_no_robot"}),
    ("unknown profile 'hexapod'", {"profile": "hexapod"}),
    ("cannot be read", {"calibration": "/nowhere.yaml", "port": "/dev/null"}),
    ("does not fit 57600 bit/s", {"poll_rate": 200.0, "port": "/dev/null"}),
    ("at least three polls", {"poll_rate": 10.0, "port": "/dev/null"}),
    ("geofence", {"geofence.x_min": 3.0, "geofence.x_max": 2.0, "port": "/dev/null"}),
    ("does not hear 'mocap/pose'", {"arm_requires": ["mocap/pose"], "port": "/dev/null"}),
    ("real robot does not wait", {"lockstep": True}),
])
def test_bad_parameters_are_one_line(message: str, parameters: dict[str, Any]) -> None:
    assert_refused("serial_driver", message, **parameters)


def test_nobody_answers(tmp_path: Path) -> None:
    """Another firmware, or one with another address, on a port that is there."""
    with NodeProcess("firmware_emulator", link=str(tmp_path / "robot"), profile="velociroach_master"):
        until(lambda: (tmp_path / "robot").exists())
        assert_refused("serial_driver", "nobody at address 0x0001 answers", port=str(tmp_path / "robot"),
                       identify_timeout=2.5)


def test_unplugged_while_it_walks(tmp_path: Path) -> None:
    """The legs stand, a stop is latched with its reason; plugged in again it walks after reset_stop and arm."""
    with driving(tmp_path) as operator:
        operator.walk()
        operator.break_("unplug:4.0")
        until(lambda: operator.truth()["plugged"] == 0.0)
        until(lambda: operator.stands, "the robot's own time-out stops it")
        operator.peer.says(GATE, "link lost")
        operator.peer.says(STOP, "not verified")
        assert any(status.name == LINK and "does not exist" in status.message for status in operator.peer.said)
        assert not operator.peer.trigger(names.ARM).success
        until(lambda: operator.truth()["plugged"] == 1.0)
        operator.peer.says(STOP, "verified: the robot stands")
        operator.peer.says(LINK, "good")
        assert operator.stands, "plugging it in moves nothing"
        operator.release()
        assert operator.driver.process.poll() is None, "the node was not started again"


def test_killed_driver_stops_the_legs(tmp_path: Path) -> None:
    with ExitStack() as stack:
        operator = stack.enter_context(driving(tmp_path))
        operator.walk()
        os.kill(operator.driver.process.pid, signal.SIGKILL)
        operator.driver.wait()
        until(lambda: operator.truth()["motors_on"] == 0.0, "the robot's own time-out switches its motors off")
        until(lambda: operator.stands)


def test_silence_is_a_lost_link_and_a_robot_that_restarts_is_prepared_again(tmp_path: Path) -> None:
    with driving(tmp_path) as operator:
        until(operator.is_ready)
        assert_refused("serial_driver", "in use by another program", port=str(tmp_path / "robot"))
        for fault, reason in (("silence:1.0", "link lost: nothing heard"), ("reboot", "link lost")):
            operator.walk()
            operator.break_(fault)
            operator.peer.says(GATE, reason)
            until(lambda: operator.stands)
            operator.break_()
            until(lambda fault=fault: operator.peer.figure(LINK, "restarts of the robot") == (fault == "reboot"))
            operator.reset()
        operator.walk()


def test_bad_wire_is_counted_and_walked_on(tmp_path: Path) -> None:
    with driving(tmp_path, link_timeout=2.0, motion_timeout=1.0) as operator:
        operator.walk()
        operator.break_("wire_corrupt:0.01", "wire_drop:0.05", "wire_duplicate:0.05")
        until(lambda: operator.peer.figure(LINK, "dropped checksum") > 20)
        until(lambda: operator.peer.figure(LINK, "records repeated") > 1)
        until(lambda: operator.peer.figure(LINK, "answers lost") > 5)
        until(lambda: operator.walks)
        assert operator.peer.status(LINK).level == b"\x01", "a poor link is a warning"
        operator.break_()
        operator.peer.says(LINK, "good")


def test_it_may_not_be_armed_before_everything_is_live(tmp_path: Path) -> None:
    with driving(tmp_path, arm_requires=["robot_state", "motor_commands"]) as operator:
        peer = operator.peer
        peer.says(ROBOT, "no robot_state yet; no motor_commands yet")
        response = peer.trigger(names.ARM)
        assert not response.success
        assert "no robot_state yet" in response.message
        operator.command = np.zeros(2)

        def ready() -> bool:
            peer.publish(names.ROBOT_STATE, state_message())
            time.sleep(0.05)
            return operator.is_ready()

        until(ready)
        assert peer.trigger(names.ARM).success
        assert peer.trigger(names.DISARM).success
        peer.says(ROBOT, "robot_state is")
        assert not peer.trigger(names.ARM).success


def test_states_that_must_stop_it(tmp_path: Path) -> None:
    with driving(tmp_path, **{"geofence.x_max": 2.0}) as operator:
        for values, reason in (({"position_x": 3.0}, "geofence: x = 3.00 m (limit 2.00 m)"),
                               ({"position_y": float("nan")}, "not finite"), ({"roll_cos": -1.0}, "leans 3.14 rad")):
            operator.walk()
            operator.peer.publish(names.ROBOT_STATE, state_message())
            for _ in range(8):
                operator.peer.publish(names.ROBOT_STATE, state_message(**values))
                time.sleep(0.1)
            operator.peer.says(GATE, reason)
            until(lambda: operator.stands)
            operator.peer.says(STOP, "verified")
            operator.peer.publish(names.ROBOT_STATE, state_message())
            operator.reset()


def test_what_the_robot_says_must_stop_it(tmp_path: Path) -> None:
    with driving(tmp_path) as operator:
        for fault, reason in (("battery:3.0", "battery is low"),
                              ("stuck_encoder:left", "left leg or its encoder is stuck")):
            operator.walk()
            operator.break_(fault)
            operator.peer.says(GATE, reason)
            until(lambda: operator.stands)
            operator.break_()
            operator.reset()


def test_firmware_without_telemetry(tmp_path: Path) -> None:
    """Only angles, and motion in slices: the robot walks, stands on command and when its driver is killed."""
    with driving(tmp_path, {"profile": "velociroach_master"}, profile="velociroach_master") as operator:
        operator.walk()
        offered = dict(operator.peer.node.get_publisher_names_and_types_by_node("serial_driver", "/"))
        assert "/joint_states" in offered
        assert "/imu/data_raw" not in offered
        until(lambda: np.mean([each.velocity for each in operator.peer.of(names.JOINT_STATES)[-20:]]) > 0.5 * WALK[0])
        assert operator.peer.trigger(names.DISARM).success
        until(lambda: operator.stands)
        operator.walk()
        os.kill(operator.driver.process.pid, signal.SIGKILL)
        operator.driver.wait()
        until(lambda: operator.stands, "the slice is over")


def test_wired_robot(tmp_path: Path) -> None:
    """The UART instead of the radio; the link is looked after in the same way."""
    profile = "velociroach_gbac_uart"
    with driving(tmp_path, {"profile": profile}, profile=profile) as operator:
        operator.walk()
        operator.break_("wire_corrupt:0.005")
        until(lambda: operator.peer.figure(LINK, "dropped checksum") > 3)
        operator.break_()
        assert operator.peer.trigger(names.DISARM).success
        until(lambda: operator.stands)


def test_every_transition(tmp_path: Path) -> None:
    with driving(tmp_path, autostart=False) as operator:
        peer, node = operator.peer, "serial_driver"
        for _ in range(2):
            assert peer.transition(node, Transition.TRANSITION_CONFIGURE)
            assert peer.transition(node, Transition.TRANSITION_ACTIVATE)
            operator.walk()
            assert peer.transition(node, Transition.TRANSITION_DEACTIVATE)
            until(lambda: operator.stands)
            assert peer.transition(node, Transition.TRANSITION_CLEANUP)
            assert peer.lifecycle_state(node) == "unconfigured"


def test_calibration_file(tmp_path: Path) -> None:
    """Swapped sides: what is commanded to the left leg turns the right one, and is told as the left one's."""
    file = tmp_path / "calibration.yaml"
    file.write_text("swap_sides: true\nleg_zeros: [1.0, 0.0]\n")
    with driving(tmp_path, calibration=str(file)) as operator:
        until(operator.is_ready)
        assert operator.peer.trigger(names.ARM).success
        operator.command = np.array([8.0, 3.0]) * REVOLUTION

        def true_rates() -> np.ndarray:
            """Return the mean rates of the last second, left and right; they vary with every step."""
            heard = [named_values(message) for message in operator.peer.of(names.EMULATOR_TRUTH)[-100:]]
            return np.mean([[truth["left_leg_rate"], truth["right_leg_rate"]] for truth in heard], axis=0)

        until(lambda: true_rates()[1] > 6.0 * REVOLUTION)
        assert true_rates()[0] < 4.5 * REVOLUTION
        until(lambda: np.mean([each.velocity[0] for each in operator.peer.of(names.JOINT_STATES)[-50:]])
              > 6.0 * REVOLUTION)
