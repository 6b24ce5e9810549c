# SPDX-License-Identifier: Apache-2.0
"""The words of a replay, and the processes that they start: no robot, and nobody but the player who commands one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from experience.driving_samples import drive, write_samples
from experience.replay_bags import walking_bag

from l2a_ros.bringup.graph import NodeSpec, replay_graph
from l2a_ros.bringup.planner_texts import read_planner_settings
from l2a_ros.bringup.replay_settings import ReplaySettings, read_replay_settings, split_words
from l2a_ros.bringup.words import REPLAY, arguments_of
from l2a_ros.errors import UserError
from l2a_ros.experience.replay_sources import Section
from l2a_ros.nodes.interfaces import MOTOR_COMMANDS, REPLAYED_COMMANDS
from l2a_ros.robot.share import share_file

NOW = datetime(2026, 11, 24, 12, 0, 0)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short walk."""
    return str(walking_bag(tmp_path_factory.mktemp("walk") / "bag", ticks=2))


def read(bag: str, **words: Any) -> ReplaySettings:
    return read_replay_settings({"bag": bag, **words}, NOW)


def graph(bag: str, **words: Any) -> dict[str, NodeSpec]:
    return {spec.name: spec for spec in replay_graph(read(bag, **words))}


def test_defaults(bag: str) -> None:
    settings = read(bag)
    assert settings.nodes == ("estimator", "adaptation", "mpc")
    assert (settings.source, settings.clock, settings.section, settings.loop) == ("sensors", "real", Section(), False)
    assert settings.out == Path("runs/20261124_120000_replay_grbal").absolute()
    assert settings.control_period == 0.1


def test_nobody_but_the_player_commands_a_robot(bag: str) -> None:
    assert (MOTOR_COMMANDS.name, REPLAYED_COMMANDS.name) == ("motor_commands", "replay/motor_commands")
    for words in ({}, {"record": "true"}, {"from": "robot_state"}, {"nodes": "estimator"}):
        specs = graph(bag, **words)
        assert not set(specs) & {"serial_driver", "mujoco_sim", "firmware_emulator", "trial"}
        if "mpc" in specs:
            assert specs["mpc"].remappings == {MOTOR_COMMANDS.name: REPLAYED_COMMANDS.name}
        assert [spec.name for spec in specs.values() if spec.ends_run] == ["bag_player"]
        assert all(spec.parameters["lockstep"] and spec.parameters["use_sim_time"]
                   for name, spec in specs.items() if name != "bag_player")


def test_the_nodes_that_answer(bag: str) -> None:
    assert list(graph(bag)) == ["state_estimator", "adaptation", "mpc", "bag_player"]
    assert list(graph(bag, nodes="estimator,adaptation")) == ["state_estimator", "adaptation", "bag_player"]
    assert list(graph(bag, **{"from": "robot_state"}, record="true")) == ["adaptation", "mpc", "recorder", "bag_player"]
    player = graph(bag, nodes="estimator adaptation", record="true", clock="2.0", start="0.1")["bag_player"]
    assert player.parameters["expected_nodes"] == ("state_estimator", "adaptation", "recorder")
    assert (player.parameters["rate"], player.parameters["start"]) == (2.0, 0.1)
    assert graph(bag, clock="lockstep")["bag_player"].parameters["rate"] == 0.0


@pytest.mark.parametrize(("words", "message"), [
    ({"nodes": "adaptation,mpc"}, "without the estimator there are no states"),
    ({"nodes": "estimator,mpc"}, "mpc plans with the model of adaptation; add adaptation"),
    ({"nodes": "estimator", "from": "robot_state"}, "nobody is left to answer"),
    ({"nodes": "planner"}, "unknown node of a replay 'planner'"), ({"from": "thoughts"}, "unknown source of a replay"),
    ({"start": "-1"}, "cannot be less than 0 s"), ({"duration": "soon"}, "duration must be a number"),
    ({"clock": "fast"}, "clock must be real, lockstep or a factor"), ({"without": "gps"}, "no such topic is played"),
    ({"bag": "/none"}, "the recording /none does not exist"), ({"bag": ""}, "name the recording to replay"),
    ({"path": "straight"}, "unknown argument 'path'"), ({"checkpoint": "/none"}, "checkpoint /none does not exist"),
    ({"calibration": "/none"}, "calibration /none does not exist"), ({"robot": "red"}, "has no robot red; known: /")])
def test_what_will_not_do_is_one_line(bag: str, words: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**{"bag": bag, **words})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recording_without_sensors(tmp_path: Path) -> None:
    driving = str(write_samples(tmp_path / "bag", drive(5)))
    with pytest.raises(UserError, match="replay the recorded states with --from robot_state"):
        read(driving)
    assert read(driving, **{"from": "robot_state"}).nodes == ("adaptation", "mpc")


def test_words_may_be_separated_in_any_way() -> None:
    assert split_words("a;b c,d") == split_words(["a", "b", "c d"]) == ("a", "b", "c", "d")
    assert split_words("") == ()


def test_every_word_has_a_description() -> None:
    assert all(argument.description.endswith(".") for argument in arguments_of(REPLAY))


def test_plans_are_shaped_by_the_parameter_file(tmp_path: Path) -> None:
    shipped = read_planner_settings(share_file("config", "millirobot.yaml"), "mppi")
    assert (shipped.planner, shipped.candidates, shipped.horizon) == ("mppi", 500, 15)
    config = tmp_path / "mine.yaml"
    config.write_text("/**:\n  ros__parameters: {candidates: 7, cost: {lateral: {weight: 3.0}}}\n"
                      "/**/mpc:\n  ros__parameters: {horizon: 4, cem: {iterations: 2}, model_wait: 0.5}\n")
    mine = read_planner_settings(config, "cem")
    assert (mine.candidates, mine.horizon, mine.own) == (7, 4, {"iterations": 2})
    assert mine.cost["lateral"] == {"weight": 3.0}
