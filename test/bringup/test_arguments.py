# SPDX-License-Identifier: Apache-2.0
"""The words of a run: defaults, and one clear line for each that will not do."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from l2a_ros.bringup import arguments
from l2a_ros.bringup.arguments import Settings, check_connection, read_faults, read_settings
from l2a_ros.bringup.words import ARGUMENTS, HARDWARE, SIM, arguments_of
from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.errors import UserError
from l2a_ros.planning import planners
from l2a_ros.robot.share import share_file

NOW = datetime(2026, 11, 22, 13, 5, 9)


def read(**values: str | list[str]) -> Settings:
    return read_settings(values, NOW)


def read_hardware(**values: str | list[str]) -> Settings:
    return read_settings(values, NOW, HARDWARE)


@pytest.fixture
def port() -> Iterator[str]:
    master, slave = os.openpty()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def test_nothing_given_is_the_standard_trial() -> None:
    settings = read()
    assert (settings.path, settings.method, settings.planner, settings.terrain) == (
        "straight", "grbal", "cem", "carpet")
    assert (settings.faults, settings.clock, settings.duration, settings.seed) == ((), "real", 20.0, 0)
    assert (settings.record, settings.video, settings.headless) == (False, False, True)
    assert settings.checkpoint == share_file("checkpoints", "millirobot_grbal.safetensors")
    assert settings.configs == (share_file("config", "millirobot.yaml"),)
    assert settings.hardware is None
    assert settings.out == Path.cwd() / "runs" / "20261122_130509_straight_grbal"
    assert not settings.out.exists(), "reading starts nothing"


@pytest.mark.parametrize("method", ["grbal", "mb", "mb_de", "rebal"])
@pytest.mark.parametrize("path", ["straight", "left", "right", "zigzag", "figure8"])
def test_the_standard_paths_and_methods_are_known(path: str, method: str) -> None:
    settings = read(path=path, method=method)
    assert settings.checkpoint.name == f"millirobot_{'mb' if method == 'mb_de' else method}.safetensors"
    assert settings.out.name == f"20261122_130509_{path}_{method}"


def test_the_planners_are_those_that_exist() -> None:
    assert arguments.planner_names() == planners.planner_names()


@pytest.mark.parametrize(("text", "clock", "lockstep", "simulated"), [
    ("real", "real", False, False), ("lockstep", "lockstep", True, True), ("2", "2.0", False, True),
    ("0.5", "0.5", False, True)])
def test_clocks(text: str, clock: str, lockstep: bool, simulated: bool) -> None:
    settings = read(clock=text)
    assert (settings.clock, settings.lockstep, settings.simulated_time) == (clock, lockstep, simulated)


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on"])
def test_switches_on(text: str) -> None:
    assert read(record=text).record


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_switches_off(text: str) -> None:
    assert not read(headless=text).headless


@pytest.mark.parametrize("given", [
    ["missing_leg:front_right@5.0", "motor_gain:right,0.6"], "missing_leg:front_right@5.0;motor_gain:right,0.6",
    "missing_leg:front_right@5.0  motor_gain:right,0.6", ["missing_leg:front_right@5.0; motor_gain:right,0.6", ""]])
def test_several_faults(given: str | list[str]) -> None:
    assert read_faults(given) == ("missing_leg:front_right@5.0", "motor_gain:right,0.6")


def test_faults_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "two of them.yaml"
    file.write_text("faults:\n  - missing_leg:front_right@5.0\n  - ' motor_gain: right, 0.6 '\n")
    both = ("missing_leg:front_right@5.0", "motor_gain: right, 0.6")
    assert read_faults(str(file)) == read_faults([f" {file}"]) == both
    short = file.rename(tmp_path / "two.yaml")
    assert read_faults([f"payload:0.1 {short};battery:3.4", "dead_motor:left"]) == (
        "payload:0.1", *both, "battery:3.4", "dead_motor:left")


@pytest.mark.parametrize(("content", "expected"), [
    (None, "cannot be read"), (b"", "must hold a list of faults under the key 'faults'"),
    (b"- payload:0.1", "must hold"),
    (b"faults: payload:0.1", "faults must be a list"), (b"faults: [3]", "faults must be a list"),
    (b"faults: [payload]", "write payload:KILOGRAMS"), (b"faults: [", "is not YAML"), (b"\xff\xfe", "is not YAML")])
def test_a_fault_file_that_is_none(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "faults.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=expected) as error:
        read_faults(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["/**", "/**/mujoco_sim", "mujoco_sim", "/robot1/mujoco_sim"])
def test_faults_from_the_config(tmp_path: Path, where: str) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text(f"{where}:\n  ros__parameters: {{faults: ['payload:0.1@2', 'dead_motor:left']}}\n"
                      "/**/mpc:\n  ros__parameters: {faults: ['none of this node']}\n")
    assert read(config=str(config)).faults == ("payload:0.1@2", "dead_motor:left")
    assert read(config=str(config), fault=["battery:3.4"]).faults == ("battery:3.4",), "a flag wins"


def test_faults_from_the_config_in_a_namespace(tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("/**:\n  ros__parameters: {faults: ['payload:0.1']}\n"
                      "robot1:\n  mujoco_sim:\n    ros__parameters: {faults: ['dead_motor:left']}\n")
    assert read(config=str(config)).faults == ("dead_motor:left",), "the last one counts"


@pytest.mark.parametrize("faults", ["[flat_tyre]", "flat_tyre", "[3]"])
def test_bad_faults_in_the_config(tmp_path: Path, faults: str) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text(f"/**/mujoco_sim:\n  ros__parameters: {{faults: {faults}}}\n")
    with pytest.raises(UserError, match=r"robot\.yaml") as error:
        read(config=str(config))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("values", "expected"), [
    ({"path": "cirlce"}, r"unknown path 'cirlce'; known: .*figure8.*straight"),
    ({"path": "none/such.yaml"}, r"path file none/such.yaml does not exist"),
    ({"method": "maml"}, r"unknown method 'maml'; known: grbal, mb, mb_de, rebal"),
    ({"planner": "cem2"}, r"unknown planner 'cem2'; known: cem, mppi, random_shooting"),
    ({"terrain": "lava"}, r"unknown terrain 'lava'; known: carpet"),
    ({"fault": ["missing_legg"]}, r"missing_legg.*known: .*missing_leg"),
    ({"fault": "missing_leg:sixth"}, r"sixth.*front_right"),
    ({"fault": ["motor_gain:right"]}, r"motor_gain:SIDE,FACTOR"),
    ({"fault": ["motor_gain:right,fast"]}, r"'fast' must be a number"),
    ({"clock": "fast"}, r"clock must be real, lockstep or a factor"),
    ({"clock": "0"}, r"clock as a factor of real time must be from"),
    ({"clock": "-1"}, r"clock as a factor"),
    ({"clock": "nan"}, r"clock as a factor"),
    ({"clock": "inf"}, r"clock as a factor"),
    ({"duration": "0"}, r"duration must be more than 0 s"),
    ({"duration": "-3"}, r"duration must be more than 0 s"),
    ({"duration": "long"}, r"duration must be a number, not 'long'"),
    ({"duration": "nan"}, r"duration must be a finite number"),
    ({"seed": "-1"}, r"seed must be a whole number from 0"),
    ({"seed": "1.5"}, r"seed must be a whole number"),
    ({"seed": "99999999999"}, r"seed must be a whole number"),
    ({"view_address": "somewhere", "view": "true"}, r"view_address must be HOST:PORT such as .*, not 'somewhere'"),
    ({"view_address": "127.0.0.1:8080"}, r"view_address means nothing without view"),
    ({"record": "maybe"}, r"record must be true or false, not 'maybe'"),
    ({"checkpoint": "none.safetensors"}, r"checkpoint .*none.safetensors does not exist"),
    ({"checkpoint": "."}, r"checkpoint .* is not a file"),
    ({"config": "none.yaml"}, r"config .*none.yaml does not exist"),
    ({"speed": "3"}, r"unknown argument 'speed'; known: .*clock"),
])
def test_what_will_not_do_is_said_in_one_line(values: dict[str, str | list[str]], expected: str) -> None:
    with pytest.raises(UserError) as error:
        read_settings(values, NOW)
    assert re.search(expected, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"a: [1, 2", b"mpc:\n  horizon: 3\n", b"\xff\xfe\x00"])
def test_a_config_that_is_no_parameter_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "robot.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match="config .*robot.yaml is not") as error:
        read(config=str(file))
    assert "\n" not in str(error.value)


def test_a_config_may_have_namespaces(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("robot1:\n  mpc:\n    ros__parameters: {horizon: 5}\n"
                    "/**:\n  ros__parameters: {control_period: 0.1}\n")
    assert read(config=str(file)).configs == (file,)


@pytest.mark.parametrize("content", [b"", b"no tensors here, but long enough for a header of eight bytes"])
def test_a_checkpoint_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read(checkpoint=str(file))


def test_a_truncated_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(share_file("checkpoints", "millirobot_grbal.safetensors").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read(checkpoint=str(file))


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be a folder"):
        read(out=str(tmp_path / "file" / "run"))


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    assert read(out=str(tmp_path)).out == tmp_path
    with pytest.raises(UserError, match="already holds a recording"):
        read(out=str(tmp_path), record="true")


def test_a_film_is_refused_where_none_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert read(video="true", out=str(tmp_path)).frames == tmp_path / "trial_frames.npz"
    monkeypatch.setenv("MUJOCO_GL", "off")
    assert not read(video="false").video
    with pytest.raises(UserError, match="pictures need OpenGL"):
        read(video="true")


def test_every_word_is_described() -> None:
    assert all(argument.description.endswith(".") for argument in ARGUMENTS)
    shared = {"path", "method", "planner", "terrain", "fault", "checkpoint", "duration", "seed", "out", "record",
              "video", "headless", "view", "view_address", "config"}
    for run, own in ((SIM, {"clock"}), (HARDWARE, {
            "port", "baud", "profile", "calibration", "mocap_topic", "mocap_type", "emulate"})):
        names = [argument.name for argument in arguments_of(run)]
        assert set(names) == shared | own
        assert len(names) == len(set(names))


def test_words_that_are_in_both_runs_have_the_same_default() -> None:
    """Except where the run says itself what an empty one means."""
    for argument in ARGUMENTS:
        assert {other.default for other in ARGUMENTS if other.name == argument.name} == {argument.default}


# The robot -----------------------------------------------------------------------------------------------------------

def test_nothing_given_is_a_trial_on_the_robot() -> None:
    settings = read_hardware()
    robot = settings.hardware
    assert robot is not None
    assert (robot.port, robot.baud, robot.profile) == ("/dev/velociroach", 57600, "velociroach_gbac")
    assert (robot.calibration, robot.mocap_topic, robot.mocap_type, robot.emulate) == ("", "mocap/pose", "pose", False)
    assert settings.configs == (share_file("config", "millirobot.yaml"), share_file("config", "hardware.yaml"))
    assert (settings.clock, settings.simulated_time, settings.faults, settings.terrain) == ("real", False, (), "carpet")
    assert settings.out == Path.cwd() / "runs" / "20261122_130509_straight_grbal"


def test_a_config_of_the_robot_is_read_last(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("/**/serial_driver:\n  ros__parameters: {poll_rate: 20.0, faults: ['payload:0.1']}\n"
                      "/**/firmware_emulator:\n  ros__parameters: {faults: ['payload:0.1']}\n")
    settings = read_hardware(config=str(config))
    assert [each.name for each in settings.configs] == ["millirobot.yaml", "hardware.yaml", "mine.yaml"]
    assert settings.faults == (), "nothing breaks a real robot"
    assert read_hardware(config=str(config), emulate="true").faults == ("payload:0.1",)


def test_what_is_not_given_of_an_emulated_robot(tmp_path: Path) -> None:
    settings = read_hardware(emulate="true", out=str(tmp_path), fault="motor_gain:left,0.9", headless="false",
                             terrain="turf", mocap_topic="/other/pose", baud="115200")
    robot = settings.hardware
    assert robot is not None
    assert robot.emulate
    assert robot.port == str(tmp_path / "velociroach")
    assert (robot.baud, robot.mocap_topic) == (115200, "/other/pose")
    assert (settings.faults, settings.headless, settings.terrain) == (("motor_gain:left,0.9",), False, "turf")


def test_the_ground_under_a_real_robot_is_any_word() -> None:
    assert read_hardware(terrain="the corridor").terrain == "the corridor"
    with pytest.raises(UserError, match="unknown terrain"):
        read_hardware(terrain="the corridor", emulate="true")


def test_a_calibration_is_read_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "robot1.yaml"
    file.write_text("swap_sides: true\n")
    robot = read_hardware(calibration=str(file)).hardware
    assert robot is not None
    assert robot.calibration == str(file)
    file.write_text("legs: 7\n")
    with pytest.raises(UserError, match="unknown legs"):
        read_hardware(calibration=str(file))


def test_launch_hands_over_every_default() -> None:
    for emulate in ("true", "false"):
        values = {argument.name: argument.default for argument in arguments_of(HARDWARE)} | {"emulate": emulate}
        read_settings(values, NOW, HARDWARE)


@pytest.mark.parametrize(("values", "expected"), [
    ({"clock": "2.0"}, "a hardware run takes no clock; known: path"),
    ({"speed": "2.0"}, "unknown argument 'speed'; known: .*port"),
    ({"fault": "payload:0.1"}, "fault means nothing to a real robot; add emulate"),
    ({"fault": ["payload:0.1"]}, "fault means nothing"),
    ({"headless": "false"}, "headless means nothing to a real robot"),
    ({"video": "true"}, "video means nothing to a real robot"),
    ({"port": "/dev/ttyUSB0", "emulate": "true"}, "port means nothing with emulate; leave one of them out"),
    ({"port": "/dev/velociroach", "emulate": "true"}, "port means nothing with emulate"),
    ({"mocap_type": "odometry", "emulate": "true"}, "mocap_type means nothing with emulate"),
    ({"baud": "fast"}, "baud must be a whole number from 1200 to 4000000, not 'fast'"),
    ({"baud": "300"}, "baud must be a whole number"),
    ({"profile": "octoroach"}, "unknown profile 'octoroach'; known: velociroach_gbac"),
    ({"mocap_type": "poses"}, "unknown mocap_type 'poses'; known: odometry, pose, pose_with_covariance, transform"),
    ({"mocap_topic": "vrpn mocap/pose"}, "mocap_topic must be the name of a topic such as .*, not 'vrpn mocap/pose'"),
    ({"mocap_topic": ""}, "mocap_topic must be the name"),
    ({"mocap_topic": "/pose/"}, "mocap_topic must be the name"),
    ({"calibration": "none.yaml"}, "calibration .*none.yaml does not exist"),
    ({"emulate": "maybe"}, "emulate must be true or false"),
])
def test_what_will_not_do_with_a_robot_is_said_in_one_line(values: dict[str, str | list[str]], expected: str) -> None:
    with pytest.raises(UserError) as error:
        read_settings(values, NOW, HARDWARE)
    assert re.search(expected, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_words_of_the_robot_are_not_the_simulators() -> None:
    with pytest.raises(UserError, match="a sim run takes no port; known: path"):
        read(port="/dev/ttyUSB0")


def test_a_port_that_is_not_there_is_refused_before_the_start(port: str) -> None:
    check_connection(read_hardware(port=port))
    check_connection(read_hardware(emulate="true"))
    check_connection(read())
    with pytest.raises(UserError, match="port /dev/none does not exist"):
        check_connection(read_hardware(port="/dev/none"))


def test_a_firmware_that_tells_too_little_is_refused_before_the_start(port: str) -> None:
    for profile in profile_names():
        settings = read_hardware(port=port, profile=profile)
        if find_profile(profile).telemetry_type is None:
            with pytest.raises(UserError, match="tells leg positions only"):
                check_connection(settings)
        else:
            check_connection(settings)
