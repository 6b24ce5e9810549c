# SPDX-License-Identifier: Apache-2.0
"""From messages to pictures: where things are drawn, in what colours, when, and what is not drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from views.live_messages import (
    LINE,
    SECOND,
    START,
    TICK,
    command,
    diagnostics,
    make,
    marker,
    metrics,
    odometry,
    path,
    plan_markers,
    state,
    vector,
)

from l2a_ros.robot.description import robot_urdf
from l2a_ros.trials.room import Room
from l2a_ros.views.colours import error_colours
from l2a_ros.views.live_drawings import Balls, Box, Drawing, Figures, Lines, Picture, Plot, Pose, Words
from l2a_ros.views.live_lines import PATH, PLANS, STANDING_HEIGHT, TRACK, TRACK_END, WORST
from l2a_ros.views.live_robot import RobotShape
from l2a_ros.views.live_scene import COMMANDED, COST, ERROR, GROUND, LOSS, MEASURED, ROBOT, STATUS, LiveScene


def by_place(picture: Picture | None) -> dict[str, Drawing]:
    """What is drawn, by place."""
    return {} if picture is None else {drawing.place: drawing for drawing in picture.drawings}


def walked(scene: LiveScene, ticks: int, beside: float, first: int = START) -> dict[str, Drawing]:
    """Let a scene see a walk along the line; return the newest drawing of each place."""
    drawn: dict[str, Drawing] = {}
    for i in range(ticks):
        drawn |= by_place(scene.hear("robot_state", state(0.04 * i, beside, first + i * TICK), 0.1 * i))
    return drawn


def test_the_robot_is_where_its_state_says() -> None:
    scene = LiveScene()
    pose = by_place(scene.hear("robot_state", state(1.0, -0.5, yaw_cos=0.0, yaw_sin=1.0), 0.0))[ROBOT]
    assert isinstance(pose, Pose)
    assert pose.translation == pytest.approx([1.0, -0.5, 0.0245])
    assert pose.quaternion == pytest.approx([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)])


def test_odometry_is_finer_but_not_finer_than_pictures_are_wanted() -> None:
    scene = LiveScene(frame_rate=20.0)
    seen = [by_place(scene.hear("odometry", odometry(0.01 * i, 0.0, stamp=START + i * TICK // 10), 0.01 * i))
            for i in range(11)]
    assert [ROBOT in drawn for drawn in seen] == [i % 5 == 0 for i in range(11)]
    assert ROBOT not in by_place(scene.hear("robot_state", state(stamp=START + TICK), 0.1)), "the finer one is enough"


def test_the_ground_is_where_the_feet_are() -> None:
    scene = LiveScene()
    heights = [by_place(scene.hear("odometry", odometry(0.0, 0.0, z, stamp=START + i * TICK), 0.0)).get(GROUND)
               for i, z in enumerate((STANDING_HEIGHT, STANDING_HEIGHT + 0.002, STANDING_HEIGHT + 0.1))]
    assert heights[1] is None
    for drawn, height in ((heights[0], 0.0), (heights[2], 0.1)):
        assert isinstance(drawn, Pose)
        assert drawn.translation == pytest.approx([0.0, 0.0, height])


def test_the_path_is_there_from_the_first_state_on_and_stays() -> None:
    scene = LiveScene()
    assert scene.hear("reference_path", path(), 0.0) is None, "nobody knows yet when"
    drawn = by_place(scene.hear("robot_state", state(), 0.0))[PATH]
    assert isinstance(drawn, Lines)
    assert drawn.strips[0][:, :2] == pytest.approx(np.array(LINE))
    assert scene.bounds == pytest.approx(np.array(LINE))
    assert scene.hear("reference_path", path(()), 0.1) is None, "the robot stands; where it should have gone is kept"


@pytest.mark.parametrize("beside", [0.0, 0.02, -0.08])
def test_the_track_has_the_colours_of_its_errors(beside: float) -> None:
    scene = LiveScene()
    scene.hear("reference_path", path(), 0.0)
    drawn = walked(scene, 30, beside)
    for place in (TRACK, TRACK_END):
        track = drawn[place]
        assert isinstance(track, Lines)
        assert np.asarray(track.colours)[:, :3] == pytest.approx(
            np.tile(error_colours(np.array([beside]), WORST), (len(track.strips), 1)))
    whole = [*drawn[TRACK].strips, *drawn[TRACK_END].strips]  # type: ignore[union-attr]
    assert np.concatenate(whole)[:, :2].max(axis=0) == pytest.approx([0.04 * 29, beside])
    assert len(whole) >= 28


def test_another_path_is_another_track() -> None:
    scene = LiveScene()
    scene.hear("reference_path", path(), 0.0)
    walked(scene, 30, 0.0)
    scene.hear("reference_path", path(((0.0, 0.0), (0.0, 2.0)), START + 30 * TICK), 3.0)
    drawn = walked(scene, 1, 0.0, START + 30 * TICK)
    assert [len(drawn[place].strips) for place in (TRACK, TRACK_END)] == [0, 0]  # type: ignore[union-attr]


def test_plans_are_drawn_beside_each_other_and_vanish() -> None:
    scene = LiveScene()
    scene.hear("robot_state", state(), 0.0)
    drawn = by_place(scene.hear("plan_markers", plan_markers(), 0.0))
    assert set(drawn) == set(PLANS.values())
    candidates, chosen, trained = (drawn[place] for place in PLANS.values())
    assert isinstance(candidates, Lines) and isinstance(chosen, Lines) and isinstance(trained, Lines)
    assert [strip[:, :2].tolist() for strip in candidates.strips] == [
        [[0.0, 0.0], [0.1, 0.1], [0.2, 0.2]], [[0.0, 0.0], [0.1, -0.1], [0.2, -0.2]]], "pieces are put together"
    assert np.asarray(candidates.colours) == pytest.approx(np.array([[1.0, 0.0, 0.0, 0.6], [0.0, 1.0, 0.0, 0.6]]))
    assert (chosen.colours, trained.colours) == ((0.1, 0.4, 1.0, 1.0), (1.0, 1.0, 1.0, 0.9)), "as in RViz"
    assert scene.hear("plan", path(((0.0, 0.0), (0.1, 0.0))), 0.0) is None, "it is there already"
    assert not {*PLANS.values()} & set(by_place(scene.look(1.0)))
    walked(scene, 25, 0.0)
    gone = by_place(scene.look(3.0))
    assert [len(gone[place].strips) for place in PLANS.values()] == [0, 0, 0]  # type: ignore[union-attr]


def test_a_plan_alone_is_drawn_and_other_markers_are_not() -> None:
    scene = LiveScene()
    scene.hear("robot_state", state(), 0.0)
    assert PLANS["plan"] in by_place(scene.hear("plan", path(((0.0, 0.0), (0.1, 0.0))), 0.0))
    other = make("visualization_msgs/msg/MarkerArray", markers=[marker("else", LINE)])
    assert scene.hear("plan_markers", other, 0.0) is None


def test_figures_are_in_the_units_of_their_plots() -> None:
    scene = LiveScene()
    plots = {drawing.place: drawing for drawing in scene.furniture() if isinstance(drawing, Plot)}
    turn = 2.0 * math.pi
    measured = by_place(scene.hear("robot_state", state(left_leg_velocity=turn, right_leg_velocity=2 * turn), 0.0))
    assert scene.hear("mpc/metrics", metrics(lateral_error_m=0.03), 0.0) is not None
    trial = by_place(scene.hear("trial/metrics", metrics(lateral_error_m=-0.02, cost=0.7, progress_m=1.0), 0.0))
    assert scene.hear("mpc/metrics", metrics(lateral_error_m=0.03), 0.0) is None, "the trial's own is there"
    adaptation = by_place(scene.hear("adaptation/metrics", metrics(loss_before=0.3, loss_after=math.nan), 0.0))
    told = by_place(scene.hear("motor_commands", command(3 * turn, 4 * turn), 0.0))
    expected = {MEASURED: (1.0, 2.0), ERROR: (-2.0,), COST: (0.7,), LOSS: (0.3, math.nan), COMMANDED: (3.0, 4.0)}
    for place, values in expected.items():
        figures = (measured | trial | adaptation | told)[place]
        assert isinstance(figures, Figures)
        assert figures.values == pytest.approx(values, nan_ok=True)
        assert len(plots[place].names) == len(plots[place].colours) == len(values)
    assert plots.keys() == expected.keys()


def test_pictures_have_the_time_since_the_first_state() -> None:
    scene = LiveScene()
    times = []
    for stamp in (START, START + TICK, START + 5 * SECOND):
        picture = scene.hear("robot_state", state(stamp=stamp), 0.0)
        assert picture is not None
        times.append(picture.seconds)
    late = scene.hear("motor_commands", command(1.0, 1.0, START + 5 * SECOND - TICK), 0.0)
    alien = scene.hear("motor_commands", command(1.0, 1.0, 7), 0.0)
    assert late is not None and alien is not None
    assert [*times, late.seconds, alien.seconds] == pytest.approx([0.0, 0.1, 5.0, 4.9, 5.0])


def test_time_that_begins_again_goes_on() -> None:
    scene = LiveScene()
    scene.hear("reference_path", path(), 0.0)
    walked(scene, 20, 0.0)
    again = scene.hear("robot_state", state(stamp=START - 50 * SECOND), 2.0)
    assert again is not None
    assert 1.9 < again.seconds < 2.5
    assert len(by_place(again)[TRACK].strips) == 0, "what was walked before is forgotten"  # type: ignore[union-attr]


def test_the_status_says_how_it_goes_and_what_is_wrong() -> None:
    scene = LiveScene()

    def said(moment: float) -> str:
        picture = scene.look(moment)
        assert picture is not None
        [words] = [drawing for drawing in picture.drawings if isinstance(drawing, Words)]
        assert words.place == STATUS
        return words.text

    assert scene.look(0.0) is None
    scene.hear("robot_state", state(), 0.0)
    scene.hear("adaptation/metrics", metrics(adapted=1.0, loss_before=0.3, loss_after=0.1), 0.0)
    scene.hear("trial/metrics", metrics(lateral_error_m=-0.02, cost=0.7, progress_m=1.0), 0.0)
    text = said(0.0)
    assert all(part in text for part in ("### 0.0 s", "adapted", "lateral error -2.0 cm", "cost 0.70"))
    assert scene.look(0.1) is None, "not so soon"
    scene.hear("diagnostics", diagnostics("mpc: planner", 2, "the state is old"), 1.0)
    assert "ATTENTION" in (text := said(1.0)) and "the state is old" in text
    scene.hear("estop", make("std_msgs/msg/Bool", data=True), 1.5)
    assert "EMERGENCY STOP" in said(1.6)
    assert "no robot_state for 8 s" in said(8.0)


@pytest.mark.parametrize(("topic", "message"), [
    ("robot_state", vector(["x"], [1.0])), ("robot_state", state(position_x=math.nan)),
    ("motor_commands", vector(["left_leg"], (), START, (1.0,))), ("joint_states", vector(["left_leg"], [math.nan])),
    ("odometry", odometry(math.inf, 0.0)), ("reference_path", path(((math.nan, 0.0), (1.0, 1.0)))),
    ("reference_path", path(((0.0, 0.0), (0.0, 0.0))))])
def test_what_will_not_do_draws_nothing(topic: str, message: object) -> None:
    scene = LiveScene()
    scene.hear("robot_state", state(), 0.0)
    assert scene.hear(topic, message, 0.0) is None


def test_a_room_is_drawn_if_it_has_walls() -> None:
    def walls(room: Room | None) -> list[Drawing]:
        return [each for each in LiveScene(room=room).furniture() if each.place == f"{GROUND}/room"]

    assert not walls(None) and not walls(Room(-1000.0, 1000.0, -1000.0, 1000.0))
    [drawn] = walls(Room(-2.0, 2.0, -1.0, 1.5))
    assert isinstance(drawn, Lines)
    assert (drawn.strips[0].min(axis=0)[:2].tolist(), drawn.strips[0].max(axis=0)[:2].tolist()) == (
        [-2.0, -1.0], [2.0, 1.5])


def test_the_body_is_the_one_of_the_description() -> None:
    shape = RobotShape("robot")
    [box] = [part for part in shape.body() if isinstance(part, Box)]
    assert 2.0 * box.half_sides == pytest.approx([0.100, 0.065, 0.025])
    shanks, feet = shape.legs({})
    assert isinstance(shanks, Lines) and isinstance(feet, Balls)
    assert (len(shanks.strips), len(feet.centres), robot_urdf().count("_shank\"")) == (6, 6, 6)
    assert (feet.centres[:, 2] < 0.0).sum() == 3, "at zero angles it stands on three feet"
    turned = shape.legs({"left_leg": math.pi})[1]
    assert isinstance(turned, Balls)
    up, down = feet.centres[:, 2] > 0.0, turned.centres[:, 2] > 0.0
    left = feet.centres[:, 1] > 0.0
    assert (up[left] != down[left]).all() and (up[~left] == down[~left]).all(), "the legs of a side turn together"
