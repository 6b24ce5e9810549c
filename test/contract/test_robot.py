# SPDX-License-Identifier: Apache-2.0
"""What every robot offers, real or simulated: driver and simulator are interchangeable because both pass this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, Peer, until
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from robots import STAND, WALK, BackEnd, Robot, on_every_robot, running
from scipy.spatial.transform import Rotation
from std_msgs.msg import Bool

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_values, to_nanoseconds
from l2a_ros.robot.layout import MOTOR_JOINTS, MOTOR_TELEMETRY
from l2a_ros.robot.limits import REVOLUTION

#: Slowest admissible rate of each sensor topic, Hz.
RATES = ((names.MOCAP_POSE, 100.0), (names.IMU, 10.0), (names.JOINT_STATES, 10.0), (names.MOTOR_TELEMETRY, 10.0),
         (names.BATTERY_STATE, 1.0))


@on_every_robot
def test_interfaces_and_samples(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer, node = robot.peer, robot.peer.node
        until(lambda: back_end.node in node.get_node_names())
        wanted = {names.ARM, names.DISARM, names.RESET_STOP}
        until(lambda: {f"/{name}" for name in wanted} <= {
            name for name, types in node.get_service_names_and_types_by_node(back_end.node, "/")
            if types == ["std_srvs/srv/Trigger"]}, "arm, disarm and reset_stop are services of type Trigger")
        # An emergency stop is heard from latched publishers, whenever they began, and from all others.
        for topic, durabilities in ((names.MOTOR_COMMANDS, {DurabilityPolicy.VOLATILE}),
                                    (names.ESTOP, {DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL})):
            listeners = [each.qos_profile for each in node.get_subscriptions_info_by_topic(topic.name)
                         if each.node_name == back_end.node]
            assert {profile.reliability for profile in listeners} == {ReliabilityPolicy.RELIABLE}
            assert {profile.durability for profile in listeners} == durabilities

        offered_types = dict(node.get_publisher_names_and_types_by_node(back_end.node, "/"))
        for topic in back_end.sensors:
            package, kind = topic.type.__module__.split(".")[0], topic.type.__name__
            assert offered_types[f"/{topic.name}"] == [f"{package}/msg/{kind}"]
            (publisher,) = peer.node.get_publishers_info_by_topic(topic.name)
            assert publisher.node_name == back_end.node
            offered, wanted = publisher.qos_profile, topic.profile(back_end.lockstep)
            assert offered.reliability == wanted.reliability
            assert offered.durability == DurabilityPolicy.VOLATILE
        robot.live(1.5)
        for topic, rate in ((topic, rate) for topic, rate in RATES if topic in back_end.sensors):
            stamps = np.array(peer.stamps(topic))
            assert np.all(np.diff(stamps) > 0), f"{topic.name}: stamps must increase"
            # A sample may be lost on its way, so the usual distance counts and not the number.
            assert np.median(np.diff(stamps)) <= 1.01 * SECOND / rate, f"{topic.name} comes too seldom"
            assert abs(int(stamps[-1]) - robot.now) < SECOND, f"{topic.name} has stamps of another clock"

        if robot.sees:
            check_poses(robot)
        imu = peer.of(names.IMU)[-20:]
        assert {message.header.frame_id for message in imu} == {"imu_link"}
        assert all(message.orientation_covariance[0] == -1.0 for message in imu), "REP-145: no orientation"
        force = np.mean([[getattr(message.linear_acceleration, axis) for axis in "xyz"] for message in imu], axis=0)
        assert np.linalg.norm(force) == pytest.approx(9.81, abs=0.5)
        assert force[2] == pytest.approx(9.8, abs=0.6), "gravity is +g on z at rest"
        rate = np.mean([[getattr(message.angular_velocity, axis) for axis in "xyz"] for message in imu], axis=0)
        assert np.abs(rate).max() < 0.3

        for message in peer.of(names.JOINT_STATES):
            assert list(message.name) == list(MOTOR_JOINTS)
            assert len(message.position) == len(message.velocity) == 2
        for message in peer.of(names.MOTOR_TELEMETRY):
            values = named_values(message)
            assert tuple(values) == MOTOR_TELEMETRY.names
            assert all(abs(values[f"{side}_duty"]) <= 1.0 for side in ("left", "right"))
            assert all(abs(values[f"{side}_back_emf"]) < 5.0 for side in ("left", "right"))
        assert all(3.0 <= message.voltage <= 4.3 and message.present for message in peer.of(names.BATTERY_STATE))


def check_poses(robot: Robot) -> None:
    """Check motion capture of a robot that stands."""
    heard = robot.peer.of(names.MOCAP_POSE)
    assert {message.header.frame_id for message in heard} == {"map"}
    norms = [np.linalg.norm([q.x, q.y, q.z, q.w]) for q in (message.pose.orientation for message in heard)]
    np.testing.assert_allclose(norms, 1.0, atol=1e-3)
    assert all(0.0 < message.pose.position.z < 0.15 for message in heard)
    assert np.ptp([message.pose.position.x for message in heard[-20:]]) < 0.005, "it stands still"


@on_every_robot
def test_moves_only_while_armed_and_commanded(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.live(0.3)
        robot.command = WALK
        robot.assert_does_not_move()
        until(lambda: robot.count("ignored") > 0, "commands before arming are counted")
        robot.command = STAND if back_end.lockstep else None
        robot.arm()
        robot.assert_does_not_move()

        begin, place = robot.legs, robot.place if robot.sees else STAND
        robot.command = WALK
        robot.live(1.5)
        turned = robot.legs - begin
        assert np.all(turned > 2 * REVOLUTION), "angles are counted on beyond a revolution"
        angles = np.array([message.position for message in robot.peer.of(names.JOINT_STATES)])
        assert np.abs(np.diff(angles, axis=0)).max() < REVOLUTION, "angles do not wrap"
        if robot.sees:
            x, y, _ = robot.place - place
            assert x > 0.05, "it walks forward, which is +x at the start"
            assert abs(y) < x
        velocities = np.array([message.velocity for message in robot.peer.of(names.JOINT_STATES)])[-15:]
        np.testing.assert_allclose(velocities.mean(axis=0), WALK, rtol=0.3)
        telemetry = [named_values(message) for message in robot.peer.of(names.MOTOR_TELEMETRY)[-15:]]
        for side in ("left", "right"):
            assert np.mean([values[f"{side}_back_emf"] for values in telemetry]) > 0.1, "positive forward"

        robot.command = STAND
        until(lambda: robot.stands, "a command to stand is obeyed")
        robot.command = WALK
        until(lambda: robot.walks)
        assert robot.peer.trigger(names.DISARM).success
        until(lambda: robot.stands, "disarming stops it")
        robot.assert_does_not_move()


def _yaws(robot: Robot, begin: int) -> np.ndarray:
    """Return the headings since a sample of motion capture, rad, unwrapped."""
    turned = [message.pose.orientation for message in robot.peer.of(names.MOCAP_POSE)[begin:]]
    return np.unwrap([Rotation.from_quat([q.x, q.y, q.z, q.w]).as_euler("ZYX")[0] for q in turned])


@on_every_robot
def test_signs_and_units_of_turning(back_end: BackEnd) -> None:
    """Right legs faster: to the left, which is positive; every sensor says the same, in the same units."""
    with running(back_end) as robot:
        robot.arm()
        for faster, sign in ((1, 1.0), (0, -1.0)):
            rates = np.array([3.0, 3.0]) * REVOLUTION
            rates[faster] = 8.0 * REVOLUTION
            robot.command = rates
            robot.live(0.3)
            first = {topic.name: len(robot.peer.of(topic)) for topic in back_end.sensors}
            robot.live(1.8)

            def since(topic: names.Topic, first: dict[str, int] = first) -> list[Any]:
                return robot.peer.of(topic)[first[topic.name]:]

            stamps = np.array([to_nanoseconds(message.header.stamp) for message in since(names.IMU)]) / SECOND
            spins = np.array([message.angular_velocity.z for message in since(names.IMU)])
            turned = float(np.sum(0.5 * (spins[1:] + spins[:-1]) * np.diff(stamps)))
            assert sign * turned > 0.3, "the gyroscope turns to the side of the slower legs, left is positive"
            if robot.sees:
                yaws = _yaws(robot, first[names.MOCAP_POSE.name])
                assert yaws[-1] - yaws[0] == pytest.approx(turned, abs=0.3 + 0.2 * abs(turned)), "both in rad"

            legs = since(names.JOINT_STATES)
            span = (to_nanoseconds(legs[-1].header.stamp) - to_nanoseconds(legs[0].header.stamp)) / SECOND
            angles = np.array([message.position for message in legs])
            rate = (angles[-1] - angles[0]) / span
            assert rate[faster] > 1.5 * rate[1 - faster] > 0.0
            np.testing.assert_allclose(np.mean([message.velocity for message in legs], axis=0), rate, rtol=0.15)
            emf = np.mean([named_values(message)["right_back_emf"] - named_values(message)["left_back_emf"]
                           for message in since(names.MOTOR_TELEMETRY)])
            duty = np.mean([named_values(message)["right_duty"] - named_values(message)["left_duty"]
                            for message in since(names.MOTOR_TELEMETRY)])
            assert sign * emf > 0.05, "volts"
            assert sign * duty > 0.0, "more is given to the faster side"


@on_every_robot
def test_deactivated_it_stands_and_wakes_disarmed(back_end: BackEnd) -> None:
    if not back_end.is_managed:
        pytest.skip("no lifecycle node")
    with running(back_end) as robot:
        peer = robot.peer
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        assert peer.transition(back_end.node, Transition.TRANSITION_DEACTIVATE)
        peer.says(robot.gate, "not active")
        last = peer.stamps(names.JOINT_STATES)[-1]
        assert peer.transition(back_end.node, Transition.TRANSITION_ACTIVATE)
        until(lambda: peer.stamps(names.JOINT_STATES)[-1] > last + SECOND // 2, "time goes on after the pause")
        assert np.all(np.diff(peer.stamps(names.JOINT_STATES)) > 0), "and never back"
        peer.says(robot.gate, "disarmed")
        robot.assert_does_not_move()
        robot.arm()
        until(lambda: robot.walks, "commands of now are obeyed")


@on_every_robot
def test_stands_when_commands_stop(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        robot.command = None
        if back_end.lockstep:
            until(lambda: robot.count("timeouts") == 0)
            begin = robot.tick
            until(lambda: robot.peer.figure(f"{back_end.node}: world", "repeated ticks") >= 2)
            assert robot.tick - begin <= PERIOD, "the world waits for the command"
            return
        until(lambda: robot.stands, "the watchdog stops it")
        robot.assert_does_not_move()
        until(lambda: robot.count("timeouts") == 1)
        robot.command = WALK
        until(lambda: robot.walks, "commands that are back move it again")


def _with(**fields: Any) -> Callable[[int], Any]:
    def make(stamp: int) -> Any:
        message = motor_commands(WALK, stamp)
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return make


BAD_COMMANDS = {
    "not a number": _with(velocity=[float("nan"), WALK[1]]),
    "infinite": _with(velocity=[float("inf"), WALK[1]]),
    "too fast": _with(velocity=[WALK[0], 12 * REVOLUTION]),
    "too slow": _with(velocity=[WALK[0], 1 * REVOLUTION]),
    "backwards": _with(velocity=[-WALK[0], -WALK[1]]),
    "one leg alone": _with(velocity=[WALK[0], 0.0]),
    "other joints": _with(name=["left", "right"]),
    "joints swapped": _with(name=list(reversed(MOTOR_JOINTS))),
    "joint missing": _with(name=[MOTOR_JOINTS[0]], velocity=[WALK[0]]),
    "too few rates": _with(velocity=[WALK[0]]),
    "no rates": _with(velocity=[]),
    "too many rates": _with(velocity=[*WALK, *WALK]),
}


@on_every_robot
def test_bad_commands_and_those_of_another_time_are_refused(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.arm()
        begin, seen = robot.legs, robot.count("refused")
        for what, command in BAD_COMMANDS.items():
            robot.command = command
            robot.live(0.3)
            assert np.abs(robot.legs - begin).max() < 0.5, f"the robot moves on a command that is bad: {what}"
        until(lambda: robot.count("refused") >= seen + len(BAD_COMMANDS), "refused commands are counted")
        robot.command = WALK
        until(lambda: robot.walks, "good commands move it after bad ones")
        robot.command = BAD_COMMANDS["too fast"]
        until(lambda: robot.stands, "a bad command stops it at once: its sender cannot be trusted")
        # In lock-step the world waits for the command of its tick alone.
        if not back_end.lockstep:
            check_commands_of_another_time(robot)


def check_commands_of_another_time(robot: Robot) -> None:
    """Command an armed robot that stands with stamps that are too old, too new, and always the same."""
    late = robot.count("late")
    for offset in (-2.0, 3600.0):
        robot.command = lambda stamp, offset=offset: motor_commands(WALK, stamp + round(offset * SECOND))
        robot.assert_does_not_move()
        until(lambda late=late: robot.count("late") > late, "they are counted")
        late = robot.count("late")
    robot.command = WALK
    until(lambda: robot.walks, "later commands are obeyed")
    frozen = robot.now
    robot.command = lambda _: motor_commands(WALK, frozen)
    until(lambda: robot.stands, "the same command again and again is no command")


@on_every_robot
def test_estop_latches(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer = robot.peer
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        peer.publish(names.ESTOP, Bool(data=True))
        until(lambda: robot.stands, "the emergency stop stops it")
        until(lambda: robot.count("safety_stops") == 1)
        peer.says(robot.gate, "estop")
        response = peer.trigger(names.ARM)
        assert not response.success
        assert "reset_stop" in response.message, "the answer says what to do"
        peer.publish(names.ESTOP, Bool(data=False))
        robot.assert_does_not_move()
        assert not peer.trigger(names.ARM).success, "releasing the button is not enough"
        assert peer.trigger(names.RESET_STOP).success
        robot.assert_does_not_move()
        robot.command = STAND if back_end.lockstep else None
        robot.live(0.2)
        robot.arm()
        robot.assert_does_not_move()
        robot.command = WALK
        until(lambda: robot.walks, "new commands move it")
        assert robot.count("safety_stops") == 1
        # As ``ros2 topic pub`` offers it: reliable, and not latched.
        plain = peer.node.create_publisher(Bool, names.ESTOP.name, 10)
        until(lambda: plain.get_subscription_count() > 0, "the robot listens")
        plain.publish(Bool(data=True))
        until(lambda: robot.stands, "it stops all the same")
        assert not peer.trigger(names.ARM).success


@on_every_robot
def test_estop_given_before_the_start_holds(back_end: BackEnd) -> None:
    if back_end.lockstep:
        pytest.skip("nothing here depends on the clock")
    with Peer(back_end.lockstep) as early:
        early.offer(names.ESTOP)
        early.publish(names.ESTOP, Bool(data=True), to_nobody=True)
        with running(back_end) as robot:
            until(lambda: robot.count("safety_stops") == 1, "the latched message reaches who comes later")
            assert not robot.peer.trigger(names.ARM).success
