# SPDX-License-Identifier: Apache-2.0
"""What the simulated robot has beyond any robot: lock-step, pause, seeds, faults, terrains, lifecycle."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, until
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_values, to_nanoseconds
from l2a_ros.nodes.mujoco_sim import MujocoSimNode
from l2a_ros.robot.limits import REVOLUTION

LOCKSTEP = {"clock": "lockstep", "lockstep": True, "use_sim_time": True}
STAND, WALK = np.zeros(2), np.array([4.0, 6.0]) * REVOLUTION


class World:
    """The lock-step world, and somebody who answers its ticks while ``answering``."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.answering, self.rates = peer, True, STAND
        self.answered = 0
        peer.listen(*names.SENSOR_TOPICS, names.CLOCK)
        peer.offer(names.MOTOR_COMMANDS, names.ESTOP)
        peer.listen(names.SIM_TICK, react=self._answer)
        # Clients become known in the order in which they were made: once the second is, a step is not lost either.
        peer.client(Trigger, names.SIM_STEP)
        assert peer.pause(True).success

    def _answer(self, message: Any) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        if self.answering:
            self.peer.publish(names.MOTOR_COMMANDS, motor_commands(self.rates, stamp))
            self.answered = stamp

    @property
    def ticks(self) -> list[int]:
        """Stamps of the ticks so far, ns."""
        return self.peer.stamps(names.SIM_TICK)

    def run(self, ticks: int) -> None:
        """Let the world run for some control periods, then pause."""
        for _ in range(ticks):
            before = len(set(self.ticks))
            assert self.peer.trigger(names.SIM_STEP, once=True).success
            until(lambda before=before: len(set(self.ticks)) > before)

    def complete(self) -> bool:
        """Tell whether as many samples came as the newest tick says."""
        counts = named_values(self.peer.of(names.SIM_TICK)[-1])
        return all(len(self.peer.of(topic)) == counts[topic.name] for topic in names.SENSOR_TOPICS)


def test_world_waits_for_the_command_and_asks_again() -> None:
    with NodeProcess("mujoco_sim", **LOCKSTEP), Peer(lockstep=True) as peer:
        world = World(peer)
        peer.says("mujoco_sim: world", "paused")
        assert not peer.of(names.SIM_TICK), "it begins paused"

        world.run(3)
        start = world.ticks[0]
        assert sorted(set(world.ticks)) == [start, start + PERIOD, start + 2 * PERIOD]
        until(world.complete, "the counts of a tick are those of the samples before it")
        counts = named_values(peer.of(names.SIM_TICK)[-1])
        assert counts == {"mocap/pose": 30, "imu/data_raw": 30, "joint_states": 15, "motor_telemetry": 15,
                          "battery_state": 3}
        assert max(peer.stamps(names.MOCAP_POSE)) == world.ticks[-1]
        until(lambda: to_nanoseconds(peer.of(names.CLOCK)[-1].clock) == world.ticks[-1])

        world.answering = False
        assert peer.pause(False).success
        until(lambda: len(world.ticks) - len(set(world.ticks)) >= 2, "an unanswered tick is announced again")
        until(lambda: peer.figure("mujoco_sim: world", "repeated ticks") >= 2)
        (last,) = set(world.ticks[3:])
        assert last == start + 3 * PERIOD
        assert max(peer.stamps(names.MOCAP_POSE)) == last, "nothing happens meanwhile"
        peer.publish(names.MOTOR_COMMANDS, motor_commands(STAND, last - PERIOD))
        until(lambda: len(world.ticks) >= 7)
        assert max(world.ticks) == last, "the command of another tick is no answer"

        world.answering = True
        until(lambda: max(world.ticks) >= last + 5 * PERIOD, "it goes on with the answer")
        refused = peer.trigger(names.SIM_STEP, once=True)
        assert not refused.success and "sim/pause" in refused.message
        assert peer.pause(True).success
        until(lambda: world.answered == max(world.ticks))
        stamps = np.array(sorted(set(world.ticks)))
        assert np.all(np.diff(stamps) == PERIOD)
        for topic in names.SENSOR_TOPICS:
            assert np.all(np.diff(peer.stamps(topic)) > 0), "repeated ticks do not repeat samples"


def test_reset_puts_the_robot_back() -> None:
    with NodeProcess("mujoco_sim", **LOCKSTEP), Peer(lockstep=True) as peer:
        world = World(peer)
        world.run(3)
        assert peer.trigger(names.ARM).success
        world.rates = WALK
        world.run(8)
        far = peer.of(names.MOCAP_POSE)[-1].pose.position
        assert np.hypot(far.x, far.y) > 0.05
        before = max(world.ticks)
        assert peer.trigger(names.SIM_RESET).success
        world.run(3)
        back = peer.of(names.MOCAP_POSE)[-1].pose.position
        assert np.hypot(back.x, back.y) < 0.02
        assert max(world.ticks) == before + 3 * PERIOD, "time goes on"
        assert max(abs(rate) for rate in peer.of(names.JOINT_STATES)[-1].velocity) < 1.0, "it is disarmed"
        until(lambda: any(value.value == "disarmed" for value in peer.status("mujoco_sim: motor gate").values))


def _put(x: float, y: float, yaw: float, frame: str = "map") -> PoseWithCovarianceStamped:
    message = PoseWithCovarianceStamped()
    message.header.frame_id = frame
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation.z, message.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return message


def test_robot_is_put_elsewhere_unless_it_is_armed() -> None:
    with NodeProcess("mujoco_sim", **LOCKSTEP) as process, Peer(lockstep=True) as peer:
        world = World(peer)
        world.run(3)
        peer.publish(names.INITIAL_POSE, _put(1.5, -0.5, 2.0))
        until(lambda: "is put to x 1.50 m, y -0.50 m, yaw 115 deg" in process.errors)
        world.run(3)
        pose = peer.of(names.MOCAP_POSE)[-1].pose
        assert (pose.position.x, pose.position.y) == pytest.approx((1.5, -0.5), abs=0.03)
        assert 2.0 * math.atan2(pose.orientation.z, pose.orientation.w) == pytest.approx(2.0, abs=0.2)
        assert max(world.ticks) == world.ticks[0] + 5 * PERIOD, "time goes on"

        peer.publish(names.INITIAL_POSE, _put(0.0, 0.0, 0.0, "odom"))
        until(lambda: "initialpose is in frame 'odom'" in process.errors)
        peer.publish(names.INITIAL_POSE, _put(1e6, 0.0, 0.0))
        until(lambda: "not put further away than 100 m" in process.errors)
        assert peer.trigger(names.ARM).success
        peer.publish(names.INITIAL_POSE, _put(0.0, 0.0, 0.0))
        until(lambda: "not put elsewhere while it is armed" in process.errors)
        world.run(2)
        assert peer.of(names.MOCAP_POSE)[-1].pose.position.x == pytest.approx(1.5, abs=0.03)


def _walk(seed: int, **parameters: Any) -> dict[str, list[Any]]:
    """Return everything that the sensors of a short walk said."""
    with NodeProcess("mujoco_sim", **LOCKSTEP, seed=seed, **parameters), Peer(lockstep=True) as peer:
        world = World(peer)
        world.run(2)
        assert peer.trigger(names.ARM).success
        world.rates = WALK
        world.run(6)
        until(world.complete)
        return {topic.name: peer.of(topic) for topic in names.SENSOR_TOPICS}


def test_equal_seeds_give_equal_samples_and_faults_differ() -> None:
    first, second = _walk(3), _walk(3)
    assert first == second
    other = _walk(4)
    for topic in ("mocap/pose", "imu/data_raw", "joint_states"):
        assert other[topic] != first[topic]
    broken = _walk(3, faults=["dead_motor:right@0.5"])
    # The world begins at 0 s of simulation with the stamp 1 s.
    before = [to_nanoseconds(message.header.stamp) <= 1.5 * SECOND for message in first["joint_states"]]
    count = before.index(False)
    assert broken["joint_states"][:count] == first["joint_states"][:count]
    assert broken["joint_states"][-1].velocity[1] < 0.5 * first["joint_states"][-1].velocity[1]


def _set_parameter(peer: Peer, **value: Any) -> Any:
    """Set one parameter of the running simulator, as ``ros2 param set`` does, and return the result."""
    ((name, text),) = value.items()
    message = RosParameter(name, value=text).to_parameter_msg()
    response = peer.call(SetParameters, "mujoco_sim/set_parameters", SetParameters.Request(parameters=[message]))
    return response.results[0]


def test_faults_change_while_it_runs_in_lockstep() -> None:
    """What is added strikes at the next tick, or so long after it; what is removed heals."""
    with NodeProcess("mujoco_sim", **LOCKSTEP, faults=["imu_bias:0,0,9"]), Peer(lockstep=True) as peer:
        world = World(peer)
        world.run(2)
        assert peer.trigger(names.ARM).success
        world.rates = WALK
        world.run(5)
        until(world.complete)
        assert peer.of(names.IMU)[-1].angular_velocity.z > 5.0
        change = world.ticks[-1]
        assert _set_parameter(peer, faults=["dead_motor:left", "mocap_dropout:0.15@0.2"]).successful
        peer.says("mujoco_sim: faults", "dead_motor:left")
        world.run(6)
        until(world.complete)
        poses = np.array(peer.stamps(names.MOCAP_POSE)) - change
        gap = poses[(poses >= PERIOD) & (poses <= 5 * PERIOD)]
        assert not np.any((gap >= 2 * PERIOD) & (gap < 3.5 * PERIOD)) and len(gap) == 41 - 15
        assert peer.of(names.IMU)[-1].angular_velocity.z < 5.0
        speeds = [message.velocity for message in peer.of(names.JOINT_STATES)]
        assert abs(speeds[-1][0]) < 0.5 * WALK[0] < 0.5 * speeds[-1][1]

        wrong = _set_parameter(peer, faults=["dead_motor:left", "lost_head"])
        assert not wrong.successful and "unknown fault 'lost_head'; known: " in wrong.reason
        wrong = _set_parameter(peer, faults=["payload:900"])
        assert not wrong.successful and "from 0.001 to 0.5" in wrong.reason
        assert not _set_parameter(peer, faults="dead_motor:right").successful, "not a list"
        assert not _set_parameter(peer, faults=[3]).successful
        world.run(1)
        peer.says("mujoco_sim: faults", "dead_motor:left")

        assert _set_parameter(peer, faults=["payload:0.01"]).successful
        peer.says("mujoco_sim: faults", "payload:0.01")
        world.run(8)
        until(world.complete)
        speeds = [message.velocity[0] for message in peer.of(names.JOINT_STATES)[-10:]]
        assert np.mean(speeds) > 0.7 * WALK[0], "the motor is healed"
        assert _set_parameter(peer, faults=[""]).successful
        peer.says("mujoco_sim: faults", "none")
        world.run(1)


def test_faults_change_while_it_runs_in_real_time() -> None:
    with NodeProcess("mujoco_sim", clock="real") as process, Peer() as peer:
        peer.listen(*names.SENSOR_TOPICS)
        until(lambda: peer.of(names.BATTERY_STATE))
        peer.says("mujoco_sim: faults", "none")
        assert _set_parameter(peer, faults=["battery:2.9@0.2", "pose_shift:0,0.5,0"]).successful
        peer.says("mujoco_sim: faults", "pose_shift:0,0.5,0")
        until(lambda: peer.of(names.MOCAP_POSE)[-1].pose.position.y > 0.4)
        peer.says("mujoco_sim: faults", "battery:2.9@0.2")
        until(lambda: peer.of(names.BATTERY_STATE)[-1].voltage < 3.0)
        assert not _set_parameter(peer, faults=["battery:29"]).successful
        assert _set_parameter(peer, faults=["battery:2.9@0.2"]).successful
        until(lambda: abs(peer.of(names.MOCAP_POSE)[-1].pose.position.y) < 0.1, "it heals")
        assert peer.of(names.BATTERY_STATE)[-1].voltage < 3.0, "what stays in the list goes on"
        until(lambda: "fault battery:2.9@0.2 strikes at" in process.errors)
        assert "fault pose_shift:0,0.5,0 is over at" in process.errors


@pytest.mark.parametrize("parameter", [{"terrain": "turf"}, {"seed": 3}, {"clock": "2.0"}])
def test_what_takes_a_restart_is_refused_while_it_runs(parameter: dict[str, Any]) -> None:
    with NodeThread(MujocoSimNode, clock="real"), Peer() as peer:
        refused = _set_parameter(peer, **parameter)
        assert not refused.successful
        assert next(iter(parameter)) in refused.reason and "Restart the node" in refused.reason


@pytest.mark.parametrize("clock", ["1.0", "4.0"])
def test_clock_with_a_factor(clock: str) -> None:
    with NodeProcess("mujoco_sim", clock=clock, use_sim_time=True), Peer() as peer:
        peer.listen(*names.SENSOR_TOPICS, names.CLOCK)
        until(lambda: peer.of(names.CLOCK) and peer.of(names.JOINT_STATES), "simulated time needs /clock")
        begin, wall = to_nanoseconds(peer.of(names.CLOCK)[-1].clock), time.monotonic()
        until(lambda: to_nanoseconds(peer.of(names.CLOCK)[-1].clock) >= begin + 2 * SECOND)
        # A busy machine may slow the world down, but nothing speeds it up.
        assert time.monotonic() - wall > 0.9 * 2.0 / float(clock)
        assert begin < 1000 * SECOND, "simulated time begins at its own zero"
        assert abs(peer.stamps(names.JOINT_STATES)[-1] - to_nanoseconds(peer.of(names.CLOCK)[-1].clock)) < SECOND


def test_pause_and_step_in_real_time() -> None:
    with NodeProcess("mujoco_sim", clock="real"), Peer() as peer:
        peer.listen(*names.SENSOR_TOPICS)
        peer.client(Trigger, names.SIM_STEP)
        until(lambda: peer.of(names.BATTERY_STATE))
        assert peer.pause(True).success
        peer.says("mujoco_sim: world", "paused")

        def simulated() -> float:
            return peer.figure("mujoco_sim: world", "simulated time (s)")

        begin, count = simulated(), len(peer.of(names.MOCAP_POSE))
        assert peer.trigger(names.SIM_STEP, once=True).success
        until(lambda: simulated() > begin)
        until(lambda: len(peer.of(names.MOCAP_POSE)) > count)
        until(lambda: simulated() == pytest.approx(begin + 0.1, abs=1e-6), "a step is one control period")
        assert peer.pause(False).success
        until(lambda: simulated() > begin + 0.3)
        # Best effort: a sample may be lost, but none may be of another time.
        stamps = peer.stamps(names.MOCAP_POSE)
        assert np.all(np.diff(stamps) > 0)
        assert abs(stamps[-1] - time.time_ns()) < 5 * SECOND, "stamps follow the wall clock after a pause"


def test_lifecycle_twice_round() -> None:
    with NodeProcess("mujoco_sim", clock="real", autostart=False), Peer() as peer:
        peer.listen(*names.SENSOR_TOPICS)
        peer.offer(names.MOTOR_COMMANDS)
        assert peer.lifecycle_state("mujoco_sim") == "unconfigured"
        for _ in range(2):
            assert peer.transition("mujoco_sim", Transition.TRANSITION_CONFIGURE)
            assert peer.lifecycle_state("mujoco_sim") == "inactive"
            seen = len(peer.of(names.IMU))
            peer.says("mujoco_sim: motor gate", "not active")
            assert len(peer.of(names.IMU)) == seen, "an inactive robot says nothing"
            assert peer.transition("mujoco_sim", Transition.TRANSITION_ACTIVATE)
            until(lambda seen=seen: len(peer.of(names.IMU)) > seen)
            peer.says("mujoco_sim: motor gate", "not armed yet")
            assert peer.trigger(names.ARM).success
            peer.says("mujoco_sim: motor gate", "armed")
            assert peer.transition("mujoco_sim", Transition.TRANSITION_DEACTIVATE)
            assert peer.transition("mujoco_sim", Transition.TRANSITION_ACTIVATE)
            peer.says("mujoco_sim: motor gate", "disarmed")
            assert peer.transition("mujoco_sim", Transition.TRANSITION_DEACTIVATE)
            assert peer.transition("mujoco_sim", Transition.TRANSITION_CLEANUP)
            assert peer.lifecycle_state("mujoco_sim") == "unconfigured"
        assert not peer.transition("mujoco_sim", Transition.TRANSITION_ACTIVATE), "not configured"
        assert peer.transition("mujoco_sim", Transition.TRANSITION_CONFIGURE)
        assert peer.transition("mujoco_sim", Transition.TRANSITION_ACTIVATE)
        stamps = peer.stamps(names.IMU)
        assert np.all(np.diff(stamps) > 0)


def test_stop_holds_while_inactive() -> None:
    with NodeProcess("mujoco_sim", clock="real"), Peer() as peer:
        peer.listen(*names.SENSOR_TOPICS)
        until(lambda: peer.of(names.IMU))
        assert peer.transition("mujoco_sim", Transition.TRANSITION_DEACTIVATE)
        peer.publish(names.ESTOP, Bool(data=True))
        assert peer.transition("mujoco_sim", Transition.TRANSITION_ACTIVATE)
        peer.says("mujoco_sim: motor gate", "estop")
        assert not peer.trigger(names.ARM).success


@pytest.mark.parametrize(("parameters", "message"), [
    ({"terrain": "lava"}, "unknown terrain 'lava'; known: carpet"),
    ({"faults": ["lost_head"]}, "unknown fault 'lost_head'; known: "),
    ({"clock": "backwards"}, "clock must be real, lockstep or a factor"),
    ({"clock": "0"}, "clock as a factor of real time must be from"),
    ({"seed": -1}, "seed is out of range"),
    ({"command_timeout": "soon"}, "command_timeout must be of type float"),
    ({"slowest_leg_rate": 9.0, "fastest_leg_rate": 3.0}, "slowest"),
])
def test_bad_parameter(parameters: dict[str, Any], message: str) -> None:
    assert message in refusal(MujocoSimNode, **parameters)


def test_bad_parameter_ends_the_process_with_one_line() -> None:
    assert_refused("mujoco_sim", "unknown terrain 'lava'", terrain="lava")
    assert_refused("mujoco_sim", "seed is out of range", seed=-1)
