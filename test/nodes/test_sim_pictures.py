# SPDX-License-Identifier: Apache-2.0
"""What the simulator notes for a film, and that it listens to nothing when there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nodes.support import SECOND, NodeProcess, NodeThread, Peer, until

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import path_message, to_nanoseconds
from l2a_ros.nodes.mujoco_sim import MujocoSimNode
from l2a_ros.simulation.frames import load_frames

LINE = np.array([[0.0, 0.0], [1.0, 0.0]])
AHEAD = np.array([[0.1, 0.0], [0.2, 0.0]])


def test_reference_plan_and_reset_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "run" / "frames.npz"
    with NodeProcess("mujoco_sim", clock="2.0", use_sim_time=True, frames=str(file)), Peer() as peer:
        peer.listen(names.CLOCK)

        def now() -> int:
            return to_nanoseconds(peer.of(names.CLOCK)[-1].clock) if peer.of(names.CLOCK) else 0

        def wait(seconds: float) -> None:
            end = now() + round(seconds * SECOND)
            until(lambda: now() >= end)

        until(now)
        peer.publish(names.REFERENCE_PATH, path_message(LINE, now()))
        wait(0.3)
        stamp = now()
        # Not latched: the first ones may be lost, since it may be heard by a publisher before it hears the publisher.
        for _ in range(5):
            peer.publish(names.PLAN, path_message(AHEAD, stamp))
            wait(0.1)
        assert peer.trigger(names.SIM_RESET).success
        wait(0.3)
        peer.publish(names.REFERENCE_PATH, path_message(np.zeros((0, 2)), now()))
        wait(0.5)
        foreign = path_message(AHEAD, now())
        foreign.header.frame_id = "odom"
        for topic in (names.PLAN, names.REFERENCE_PATH):
            peer.publish(topic, foreign)
        wait(0.3)
    frames = load_frames(file)
    # The world may stand still while the machine does something else, but pictures come 25 times a second of its time.
    steps = np.diff(frames.elapsed)
    assert np.all((np.isclose(steps, 0.04)) | (np.diff(frames.parts) > 0))
    assert list(dict.fromkeys(frames.parts.tolist())) == [0, 1], "a reset begins anew"
    np.testing.assert_allclose(frames.references[0], LINE)
    np.testing.assert_allclose(frames.references[1], LINE)
    with_plan = frames.plans >= 0
    assert with_plan.any() and not with_plan.all()
    assert not with_plan[0] and not with_plan[frames.parts == 1].any()
    np.testing.assert_allclose(frames.plan_points[0], AHEAD)


def test_without_pictures_nobody_listens_to_the_plan() -> None:
    with NodeThread(MujocoSimNode, clock="real") as thread:
        topics = {subscription.topic_name for subscription in thread.node.subscriptions}
        assert not {"/plan", "/reference_path"} & topics
        assert "/motor_commands" in topics
