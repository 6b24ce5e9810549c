# SPDX-License-Identifier: Apache-2.0
"""The check of a run's words before anything starts.

Values arrive as text from the command line and from launch, so that both are read by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from l2a_ros.bringup.fault_texts import config_faults, read_faults
from l2a_ros.bringup.values import (
    boolean,
    checked_checkpoint,
    existing_file,
    folder_for,
    known_name,
    number,
    seed_of,
    whole_number,
)
from l2a_ros.bringup.view_address import DEFAULT_ADDRESS, check_viewer, split_address
from l2a_ros.bringup.words import ARGUMENTS, HARDWARE, SIM, Argument, arguments_of
from l2a_ros.driver.ports import DEFAULT_PORT, check_port
from l2a_ros.driver.profiles import find_profile
from l2a_ros.errors import UserError, unknown_name
from l2a_ros.learning.methods import method_names
from l2a_ros.planning.planners import planner_names
from l2a_ros.robot.calibration import load_calibration
from l2a_ros.robot.mocap import mocap_types
from l2a_ros.robot.share import share_file
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.terrain import absolute_terrain, load_terrain
from l2a_ros.timing.clock_mode import LOCKSTEP, REAL, clock_speed
from l2a_ros.trials.paths import DRAWN, load_shape, path_names

LOWEST_BAUD, HIGHEST_BAUD = 1200, 4_000_000
#: What a film is made from, in the folder of the report.
FRAMES = "trial_frames.npz"
#: What the driver opens to reach an emulated robot, in the folder of the report.
EMULATED_PORT = "velociroach"

_TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Hardware:
    """How the robot is reached.

    Args:
        port: device or URL; of an emulated robot, what its end of the line will be linked to.
        baud: bit/s.
        profile: of the firmware.
        calibration: absolute file, or empty.
        mocap_topic: with the pose.
        mocap_type: a key of ``MOCAP_TYPES``.
        emulate: whether the robot is an emulated one, started with the run.
    """

    port: str
    baud: int
    profile: str
    calibration: str
    mocap_topic: str
    mocap_type: str
    emulate: bool


@dataclass(frozen=True)
class Settings:
    """A checked run: every name known, every file there, every number in range.

    Args:
        path: name of a shape, or the absolute path of a file.
        faults: canonical texts, one per fault.
        checkpoint: file of the trained model.
        clock: ``real``, ``lockstep`` or the factor of real time as text.
        duration: seconds.
        out: absolute folder of the report, not yet created.
        configs: ROS 2 parameter files, later ones win.
        view: host and port that the live view listens at; None without one.
        hardware: how the robot is reached; None in simulation.
    """

    path: str
    method: str
    planner: str
    terrain: str
    faults: tuple[str, ...]
    checkpoint: Path
    clock: str
    duration: float
    seed: int
    out: Path
    record: bool
    headless: bool
    configs: tuple[Path, ...]
    video: bool = False
    view: tuple[str, int] | None = None
    hardware: Hardware | None = None

    @property
    def lockstep(self) -> bool:
        """Whether the world waits for the command of each tick."""
        return self.clock == LOCKSTEP

    @property
    def simulated_time(self) -> bool:
        """Whether stamps come from ``/clock`` instead of the wall clock."""
        return self.clock != REAL

    @property
    def bag(self) -> Path:
        """Folder of the recording."""
        return self.out / "bag"

    @property
    def frames(self) -> Path:
        """File that the film is made from."""
        return self.out / FRAMES


def read_settings(values: Mapping[str, str | Sequence[str]], now: datetime, run: str = SIM) -> Settings:
    """Check the words of a run and fill in the defaults.

    Args:
        values: text by argument name; a repeatable argument may be a sequence of texts. Missing ones get their default.
        now: names the folder of the report when none is given.
        run: what they are for.

    Raises:
        UserError: for the first word that will not do.
    """
    known = {argument.name: argument for argument in arguments_of(run)}
    for name in values:
        if name not in known:
            raise _not_taken(name, run, list(known))
    text = {argument.name: argument.default for argument in ARGUMENTS}
    text |= {name: value for name, value in values.items() if isinstance(value, str)}
    out = folder_for(text["out"] or f"runs/{now:%Y%m%d_%H%M%S}_{Path(text['path']).stem}_{text['method']}")
    hardware = _hardware(text, out) if run == HARDWARE else None
    is_real = hardware is not None and not hardware.emulate
    if hardware is not None:
        _refuse_idle(values, list(known.values()), hardware.emulate)
    configs = _configs(text["config"], run)
    faults = () if is_real else read_faults(values.get("fault", ())) or config_faults(*configs)
    parse_faults(faults, has_wire=run == HARDWARE)
    settings = Settings(
        path=_path(text["path"]), method=known_name("method", text["method"], method_names()),
        planner=known_name("planner", text["planner"], planner_names()),
        terrain=text["terrain"] if is_real else _terrain(text["terrain"]),
        faults=faults,
        checkpoint=checked_checkpoint(text["checkpoint"], text["method"]),
        clock=read_clock(text["clock"]), duration=_duration(text["duration"]), seed=seed_of(text["seed"]), out=out,
        record=boolean("record", text["record"]), headless=boolean("headless", text["headless"]),
        configs=configs, video=boolean("video", text["video"]), hardware=hardware, view=_view(text))
    if settings.record and settings.bag.exists():
        raise UserError(f"{settings.bag} already holds a recording; name another folder with out")
    if settings.video:
        from l2a_ros.simulation.video import check_film

        check_film()
    return settings


def _not_taken(name: str, run: str, known: list[str]) -> UserError:
    others = [other for argument in ARGUMENTS for other in argument.runs if argument.name == name]
    if others:
        return UserError(f"a {run} run takes no {name}; known: {', '.join(known)}")
    return unknown_name("argument", name, known)


def _refuse_idle(values: Mapping[str, str | Sequence[str]], known: list[Argument], emulate: bool) -> None:
    """Refuse words that would do nothing. Launch hands over the defaults of all others, so these pass."""
    for argument in known:
        given = values.get(argument.name, argument.default)
        if argument.emulated is None or argument.emulated is emulate or given in (argument.default, (), []):
            continue
        raise UserError(f"{argument.name} means nothing to a real robot; add emulate, or leave it out"
                        if argument.emulated else f"{argument.name} means nothing with emulate; leave one of them out")


def _hardware(text: Mapping[str, str], out: Path) -> Hardware:
    emulate = boolean("emulate", text["emulate"])
    topic = text["mocap_topic"]
    if not _TOPIC.fullmatch(topic):
        raise UserError(f"mocap_topic must be the name of a topic such as /vrpn_mocap/robot/pose, not '{topic}'")
    calibration = str(existing_file("calibration", text["calibration"])) if text["calibration"] else ""
    if calibration:
        load_calibration(calibration)
    return Hardware(
        port=str(out / EMULATED_PORT) if emulate else text["port"] or DEFAULT_PORT,
        baud=whole_number("baud", text["baud"], LOWEST_BAUD, HIGHEST_BAUD), profile=find_profile(text["profile"]).name,
        calibration=calibration, mocap_topic=topic,
        mocap_type=known_name("mocap_type", text["mocap_type"], mocap_types()), emulate=emulate)


def check_connection(settings: Settings) -> None:
    """Refuse to start where there is no robot to talk to, or one that tells too little to walk by.

    Raises:
        UserError: if the port is not there, may not be opened, or is in use; or for a firmware without telemetry.
    """
    robot = settings.hardware
    if robot is None:
        return
    if find_profile(robot.profile).telemetry_type is None:
        raise UserError(f"profile {robot.profile} tells leg positions only, which the planner cannot walk by; name one "
                        "with telemetry, such as velociroach_gbac")
    if not robot.emulate:
        check_port(robot.port)


def _path(text: str) -> str:
    if text == DRAWN:
        return text
    load_shape(text)
    return text if text in path_names() else str(Path(text).absolute())


def read_clock(text: str) -> str:
    """Check a clock mode; a factor comes back as a float's text.

    Raises:
        UserError: if it is neither a mode nor a factor in range.
    """
    speed = clock_speed(text)
    return text if text in (REAL, LOCKSTEP) else repr(speed)


def _terrain(text: str) -> str:
    load_terrain(text)
    return absolute_terrain(text)


def _view(text: Mapping[str, str]) -> tuple[str, int] | None:
    """Return host and port of the live view, if there is to be one."""
    host, port = split_address(text["view_address"])
    if not boolean("view", text["view"]):
        if text["view_address"] != DEFAULT_ADDRESS:
            raise UserError("view_address means nothing without view; add view, or leave it out")
        return None
    check_viewer()
    return host, port


def _duration(text: str) -> float:
    duration = number("duration", text)
    if duration <= 0.0:
        raise UserError(f"duration must be more than 0 s, not '{text}'")
    return duration


def _configs(text: str, run: str) -> tuple[Path, ...]:
    if run == SIM:
        return (read_config(text),)
    # What the planner and the learner are told is the same in both runs, so it is written in one file.
    shipped = (share_file("config", "millirobot.yaml"), share_file("config", "hardware.yaml"))
    return (*shipped, read_config(text)) if text else shipped


def read_config(text: str) -> Path:
    """Return a parameter file after checking that it is one; empty means the shipped one.

    Raises:
        UserError: if it is missing, not YAML or not a ROS 2 parameter file.
    """
    path = existing_file("config", text) if text else share_file("config", "millirobot.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config {path} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UserError(f"config {path} cannot be read: {error.strerror}") from None
    if not _holds_parameters(content):
        raise UserError(f"config {path} is not a ROS 2 parameter file: it needs 'NODE: ros__parameters: ...'")
    return path


def _holds_parameters(content: object) -> bool:
    """Tell whether this is a node's parameters, or namespaces and nodes that all have some."""
    if not isinstance(content, dict) or not content:
        return False
    return "ros__parameters" in content or all(_holds_parameters(inner) for inner in content.values())
