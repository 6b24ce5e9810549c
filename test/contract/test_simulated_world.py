# SPDX-License-Identifier: Apache-2.0
"""What every simulated robot offers beyond the real one: its world can be paused, stepped and put back."""

from __future__ import annotations

import numpy as np
import pytest
from nodes.support import PERIOD, SECOND, until
from robots import WALK, BackEnd, Robot, on_every_simulated_robot, running
from std_msgs.msg import Bool

from l2a_ros.nodes import interfaces as names


def world_time(robot: Robot) -> float:
    """Return the time that has passed in the world, s; comes once a second."""
    return robot.peer.figure(f"{robot.back_end.node}: world", "simulated time (s)")


def paused_time(robot: Robot) -> float:
    """Pause, and return the time of the world."""
    assert robot.peer.pause(True).success
    heard = robot.peer.status(f"{robot.back_end.node}: world")
    until(lambda: robot.peer.status(f"{robot.back_end.node}: world") is not heard)
    robot.peer.says(f"{robot.back_end.node}: world", "paused")
    return world_time(robot)


@on_every_simulated_robot
def test_pause_and_step(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer = robot.peer
        refused = peer.trigger(names.SIM_STEP, once=True)
        assert not refused.success
        assert "sim/pause" in refused.message, "the answer says what to do"
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        before = paused_time(robot)
        place = robot.legs
        for count in (1, 2):
            assert peer.trigger(names.SIM_STEP, once=True).success
            until(lambda count=count: world_time(robot) == pytest.approx(before + 0.1 * count, abs=1e-6),
                  "a step is one control period, and no more")
        assert np.all(robot.legs - place < 2.5 * 0.2 * WALK), "the legs turn as long as time passes"

        # The gate does not wait for the world.
        peer.publish(names.ESTOP, Bool(data=True))
        peer.says(robot.gate, "estop")
        assert not peer.trigger(names.ARM).success
        assert peer.pause(False).success
        until(lambda: world_time(robot) > before + 0.5, "it goes on")
        until(lambda: robot.stands, "stopped while it was paused")
        assert np.all(np.diff(peer.stamps(names.JOINT_STATES)) > 0)


@on_every_simulated_robot
def test_reset_puts_the_robot_back_and_disarms_it(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer = robot.peer
        start = robot.place
        robot.arm()
        robot.command = WALK
        until(lambda: np.hypot(*(robot.place - start)[:2]) > 0.1)
        before = peer.stamps(names.MOCAP_POSE)[-1]
        assert peer.trigger(names.SIM_RESET).success
        peer.says(robot.gate, "disarmed")
        until(lambda: np.hypot(*(robot.place - start)[:2]) < 0.02, "it is back")
        robot.live(0.3)
        assert peer.stamps(names.MOCAP_POSE)[-1] - before < 60 * SECOND, "time goes on"
        robot.assert_does_not_move()
        robot.arm()
        until(lambda: robot.walks, "commands of now are obeyed")

        peer.publish(names.ESTOP, Bool(data=True))
        peer.says(robot.gate, "estop")
        assert peer.trigger(names.SIM_RESET).success
        robot.live(0.3)
        robot.assert_does_not_move()
        assert not peer.trigger(names.ARM).success, "a stop outlives the reset of the world"
        stamps = np.array(peer.stamps(names.MOCAP_POSE))
        assert np.all(np.diff(stamps) > 0)
        assert np.median(np.diff(stamps)) < PERIOD
