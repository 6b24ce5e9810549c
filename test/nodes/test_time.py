# SPDX-License-Identifier: Apache-2.0
"""Time that jumps, worlds that are put back, and simulated time that runs faster: what each node makes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, resting_state, until
from nodes.test_adaptation import PAST, drive
from nodes.test_adaptation import STATUS as ADAPTATION
from nodes.test_adaptation import Loop as AdaptationLoop
from nodes.test_adaptation import running as adaptation
from nodes.test_mpc import LINE, is_walking
from nodes.test_mpc import STATUS as MPC
from nodes.test_mpc import running as mpc
from nodes.test_state_estimator import STATUS as ESTIMATOR
from nodes.test_state_estimator import TOPICS, samples
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock

from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_values, to_nanoseconds, to_stamp
from l2a_ros.nodes.recorder import Recorder
from l2a_ros.nodes.state_estimator import StateEstimatorNode
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import REVOLUTION, STAND

LOCKSTEP = {"clock": "lockstep", "lockstep": True, "use_sim_time": True}
WALK = np.array([5.0, 5.0]) * REVOLUTION


# Jumps of time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("back", "has_clock"), [(0.5, True), (40.0, True), (40.0, False)])
def test_estimator_ticks_on_when_time_begins_again(back: float, has_clock: bool) -> None:
    with NodeThread(StateEstimatorNode, use_sim_time=True), Peer() as peer:
        peer.listen(names.ROBOT_STATE)
        peer.offer(*names.SENSOR_TOPICS, names.CLOCK)
        until(lambda: peer.listeners(names.MOCAP_POSE))
        stamp = 100 * SECOND

        def speak() -> list[int]:
            if has_clock:
                peer.publish(names.CLOCK, Clock(clock=to_stamp(stamp)))
            for name, message in samples(stamp).items():
                peer.publish(TOPICS[name], message)
            return peer.stamps(names.ROBOT_STATE)

        def step() -> list[int]:
            nonlocal stamp
            stamp += PERIOD // 10
            return speak()

        def is_done() -> bool:
            speak()
            return all(peer.figure(ESTIMATOR, f"age of {name} (s)") == 0.0 for name in TOPICS)

        until(lambda: len(step()) >= 5)
        if has_clock:
            until(is_done, "what is still under way would come after the jump")
        count, newest = len(speak()), stamp
        stamp -= round(back * SECOND)
        until(lambda: len([each for each in step()[count:] if each < newest]) >= 3, "no states of the new time")
        states = [named_values(message) for message in peer.of(names.ROBOT_STATE)]
        speeds = [np.hypot(state["velocity_x"], state["velocity_y"]) for state in states]
        np.testing.assert_allclose(speeds, 0.3, atol=0.01, err_msg="no velocity is taken across the jump")
        if has_clock:
            until(lambda: peer.figure(ESTIMATOR, "time jumps") == 1)


def _refills(loop: AdaptationLoop) -> None:
    statuses = [loop.tick().status for _ in range(PAST + 1)]
    assert set(statuses[:-1]) == {AdaptationStatus.SHORT_WINDOW}
    assert statuses[-1] != AdaptationStatus.SHORT_WINDOW


def test_adaptation_answers_when_time_begins_again() -> None:
    with adaptation() as loop:
        while loop.tick().status == AdaptationStatus.SHORT_WINDOW:
            pass
        loop.time, loop.next = 2 * SECOND, 0
        _refills(loop)


def test_adaptation_drops_its_window_when_the_clock_jumps() -> None:
    with adaptation(use_sim_time=True) as loop:
        clock = loop.peer
        begin = loop.time
        clock.offer(names.CLOCK)
        until(lambda: clock.listeners(names.CLOCK))
        # Not latched: the first ones may be lost while the two find each other.
        for _ in range(5):
            clock.publish(names.CLOCK, Clock(clock=to_stamp(begin)))
            time.sleep(0.05)
        while loop.tick().status == AdaptationStatus.SHORT_WINDOW:
            pass
        assert clock.figure(ADAPTATION, "time jumps") == 0, "time that is first heard of is no jump"
        clock.publish(names.CLOCK, Clock(clock=to_stamp(begin - PERIOD)))
        until(lambda: clock.figure(ADAPTATION, "time jumps") == 1)
        loop.next = 0
        _refills(loop)


def test_adaptation_uses_no_window_across_a_pose_jump() -> None:
    with adaptation() as loop:
        while loop.tick().status == AdaptationStatus.SHORT_WINDOW:
            pass
        shift = np.where([name == "position_y" for name in STATE.names], 0.8, 0.0)
        statuses = []
        for _ in range(PAST + 1):
            loop.state(position=drive()[0][loop.next] + shift)
            statuses.append(loop.answer().status)
            loop.command()
            loop.advance()
        assert set(statuses[:-1]) == {AdaptationStatus.SHORT_WINDOW}
        assert statuses[-1] != AdaptationStatus.SHORT_WINDOW
        until(lambda: loop.peer.figure(ADAPTATION, "cuts: jump") == 1)


def test_mpc_answers_when_time_begins_again_and_after_a_pose_jump() -> None:
    with mpc() as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        loop.stamp = 2 * SECOND
        assert is_walking(loop.tick()), "the path is laid in space and stays"
        loop.advance()
        loop.model()
        loop.state(resting_state(loop.stamp, position_x=1.5))
        assert is_walking(loop.answer())
        until(lambda: loop.peer.figure(MPC, "pose jumps") == 1)


def test_mpc_stands_when_the_clock_jumps_back() -> None:
    with mpc(lockstep=False, use_sim_time=True) as loop:
        loop.stamp = 50 * SECOND

        def tick() -> np.ndarray:
            loop.stamp += PERIOD
            loop.peer.publish(names.CLOCK, Clock(clock=to_stamp(loop.stamp)))
            loop.model()
            loop.state()
            return loop.answer()

        loop.path(LINE, 0)
        # Its first clock messages may be lost while the two find each other, and what is first heard of is no jump.
        until(lambda: is_walking(tick()) and loop.node.get_clock().now().nanoseconds == loop.stamp)
        loop.stamp -= 10 * SECOND
        loop.peer.publish(names.CLOCK, Clock(clock=to_stamp(loop.stamp)))
        loop.peer.says(MPC, "time jumped back")
        until(lambda: not np.any(loop.peer.of(names.MOTOR_COMMANDS)[-1].velocity), "no state of this time is known")
        until(lambda: is_walking(tick()))


def test_recorder_goes_on_when_time_jumps_back(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with NodeThread(Recorder, use_sim_time=True, out=str(bag)) as recorder, Peer() as peer:
        peer.offer(names.ROBOT_STATE, names.CLOCK)
        for count, seconds in enumerate((20, 21, 3, 4), start=1):
            def is_told(seconds: int = seconds) -> bool:
                peer.publish(names.CLOCK, Clock(clock=to_stamp(seconds * SECOND)))
                return recorder.node.get_clock().now().nanoseconds == seconds * SECOND

            until(is_told)
            peer.publish(names.ROBOT_STATE, resting_state(seconds * SECOND))
            until(lambda count=count: recorder.node._bag.count >= count)
    with AnyReader([bag]) as reader:
        heard = [(log_time // SECOND, reader.deserialize(data, connection.msgtype).header.stamp.sec)
                 for connection, log_time, data in reader.messages() if connection.topic == "/robot_state"]
    assert sorted(heard) == [(3, 3), (4, 4), (20, 20), (21, 21)]


# A world that is put back --------------------------------------------------------------------------------------------


def _walk_across_a_reset() -> tuple[list[Any], list[bytes], list[dict[str, float]]]:
    """Return states, models and metrics of a walk in lock-step that is put back in the middle."""
    with (NodeProcess("mujoco_sim", **LOCKSTEP), NodeProcess("state_estimator", lockstep=True, use_sim_time=True),
          NodeProcess("adaptation", lockstep=True, use_sim_time=True, past=PAST), Peer(lockstep=True) as peer):
        models: dict[int, bytes] = {}
        # While a service is called the command is to stand: whichever arrives first, the same happens.
        rates = STAND

        def answer(message: Any) -> None:
            # As mpc does: the world repeats what was not answered, so that nothing is lost at the start.
            stamp = AdaptedModel.from_bytes(bytes(message.data)).stamp
            peer.publish(names.MOTOR_COMMANDS, motor_commands(rates, stamp))
            models.setdefault(stamp, bytes(message.data))

        peer.offer(names.MOTOR_COMMANDS)
        peer.listen(names.ROBOT_STATE, names.ADAPTATION_METRICS)
        peer.listen(names.ADAPTED_MODEL, react=answer)
        for topic, node in ((names.ROBOT_STATE, "state_estimator"), (names.ADAPTED_MODEL, "adaptation"),
                            (names.ADAPTATION_METRICS, "adaptation")):
            until(lambda topic=topic, node=node: any(
                each.node_name == node for each in peer.node.get_publishers_info_by_topic(topic.name)))
        for service in (names.ESTIMATOR_RESET, names.ADAPTATION_RESET):
            assert peer.trigger(service).success
        until(lambda: peer.node.count_subscribers(names.MOTOR_COMMANDS.name) >= 2)

        def run(ticks: int) -> None:
            for _ in range(ticks):
                before = len(models)
                assert peer.trigger(names.SIM_STEP, once=True).success
                until(lambda before=before: len(models) > before)

        run(3)
        assert peer.trigger(names.ARM).success
        rates = WALK
        run(PAST + 3)
        rates = STAND
        run(1)
        assert peer.trigger(names.SIM_RESET).success
        assert peer.trigger(names.ARM).success
        rates = WALK
        run(4)
        until(lambda: peer.figure(ADAPTATION, "cuts: reset") >= 2)
        states = dict(zip(peer.stamps(names.ROBOT_STATE), peer.of(names.ROBOT_STATE), strict=False))
        until(lambda: peer.stamps(names.ADAPTATION_METRICS)[-1] == max(models))
        return (list(states.values()), list(models.values()),
                [named_values(message) for message in peer.of(names.ADAPTATION_METRICS)])


def test_nothing_looks_back_across_a_reset_of_the_world() -> None:
    states, models, metrics = _walk_across_a_reset()
    values = [named_values(message) for message in states]
    first = len(values) - 4
    assert values[first - 1]["position_x"] > 0.15
    assert abs(values[first]["position_x"]) < 0.02
    assert np.all(np.diff([to_nanoseconds(message.header.stamp) for message in states]) == PERIOD), "time goes on"
    for state in values[first:]:
        speed = np.linalg.norm([state[f"velocity_{axis}"] for axis in "xyz"])
        assert speed < 0.8, "a velocity across the jump would be some metres per second"
    assert [row["window"] for row in metrics[-5:]] == [PAST, 0, 1, 2, 3]

    again = _walk_across_a_reset()
    assert (states, models) == again[:2], "it is the same every time"


# Simulated time that runs faster -------------------------------------------------------------------------------------


def _simulated_seconds(clock: str) -> float:
    """Return how much time passes in a world, what it leaves out included, between two of its steady diagnostics."""
    world = "mujoco_sim: world"
    with NodeProcess("mujoco_sim", clock=clock, use_sim_time=True), Peer() as peer:
        readings: list[tuple[float, float]] = []

        def heard() -> bool:
            reading = (peer.figure(world, "simulated time (s)"), peer.figure(world, "skipped time (s)"))
            if reading not in readings:
                readings.append(reading)
            return len(readings) >= 5

        until(heard)
        return sum(readings[4]) - sum(readings[1])


def test_factor_of_real_time() -> None:
    assert _simulated_seconds("5.0") / _simulated_seconds("1.0") == pytest.approx(5.0, rel=0.3)
