# SPDX-License-Identifier: Apache-2.0
"""The words a run is started with, and their check before anything starts.

The same words are flags of ``l2a`` (``--path figure8``) and launch arguments (``path:=figure8``). Values arrive as text
from both, so that both are read by the same code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from l2a_ros.bringup.fault_texts import config_faults, read_faults
from l2a_ros.errors import UserError, unknown_name
from l2a_ros.learning.checkpoint_file import check_checkpoint, shipped_checkpoint
from l2a_ros.learning.methods import method_names
from l2a_ros.planning.planners import DEFAULT_PLANNER, planner_names
from l2a_ros.robot.share import share_file
from l2a_ros.simulation.terrain import absolute_terrain, load_terrain, terrain_names
from l2a_ros.timing.clock_mode import LOCKSTEP, REAL, clock_speed
from l2a_ros.trials.paths import load_path, path_names

MAX_SEED = 2**31 - 1
#: What a film is made from, in the folder of the report.
FRAMES = "trial_frames.npz"

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class Argument:
    """One word of a run.

    Args:
        name: the word.
        default: its text when it is not given.
        description: one sentence, with the unit.
        names: what it may be, listed when asked for; None means anything that parses.
        repeatable: whether it may be given several times.
        switch: whether the bare flag means true.
    """

    name: str
    default: str
    description: str
    names: Callable[[], list[str]] | None = None
    repeatable: bool = False
    switch: bool = False


ARGUMENTS: tuple[Argument, ...] = (
    Argument("path", "straight", "Line to follow: a shape by name or a YAML file with way-points.", names=path_names),
    Argument("method", "grbal", "How the dynamics model adapts.", names=method_names),
    Argument("planner", DEFAULT_PLANNER, "How the next motor command is chosen.", names=planner_names),
    Argument("terrain", "carpet", "Ground: NAME or a YAML file, with :ANGLE[,DIRECTION] for another slope, in degrees.",
             names=terrain_names),
    Argument("fault", "", "What breaks and when: NAME[:ARGUMENTS][@ONSET_S], for example missing_leg:front_right@5.0 "
                          "or motor_gain:right,0.6; separate several with ';' or a space; or a YAML file with a "
                          "list 'faults'. Default: those in the config.", repeatable=True),
    Argument("checkpoint", "", "Trained model (safetensors); empty means the one shipped for the method."),
    Argument("clock", REAL, "Simulated time: real, lockstep (the world waits for every command) or a factor of real "
                            "time such as 2.0."),
    Argument("duration", "20.0", "Longest time of the trial, seconds."),
    Argument("seed", "0", "Seed of everything random."),
    Argument("out", "", "Folder of the report; empty means runs/<time>_<path>_<method>."),
    Argument("record", "false", "Whether to record all topics to a bag in the folder of the report.", switch=True),
    Argument("video", "false", "Whether to make a film of the run in the folder of the report: trial.mp4, and "
                               "trial_end.png of its end.", switch=True),
    Argument("headless", "true", "Whether to run without a window.", switch=True),
    Argument("config", "", "ROS 2 parameter file of the robot; empty means the shipped config/millirobot.yaml."),
)

_BY_NAME = {argument.name: argument for argument in ARGUMENTS}


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
        config: ROS 2 parameter file.
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
    config: Path
    video: bool = False

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


def read_settings(values: Mapping[str, str | Sequence[str]], now: datetime) -> Settings:
    """Check the words of a run and fill in the defaults.

    Args:
        values: text by argument name; a repeatable argument may be a sequence of texts. Missing ones get their default.
        now: names the folder of the report when none is given.

    Raises:
        UserError: for the first word that will not do.
    """
    for name in values:
        if name not in _BY_NAME:
            raise unknown_name("argument", name, list(_BY_NAME))
    text = {argument.name: argument.default for argument in ARGUMENTS}
    text |= {name: value for name, value in values.items() if isinstance(value, str)}
    config = read_config(text["config"])
    settings = Settings(
        path=_path(text["path"]), method=_known("method", text["method"], method_names()),
        planner=_known("planner", text["planner"], planner_names()),
        terrain=_terrain(text["terrain"]),
        faults=read_faults(values.get("fault", ())) or config_faults(config),
        checkpoint=_checkpoint(text["checkpoint"], text["method"]),
        clock=read_clock(text["clock"]), duration=_duration(text["duration"]), seed=_seed(text["seed"]),
        out=_folder(text["out"] or f"runs/{now:%Y%m%d_%H%M%S}_{Path(text['path']).stem}_{text['method']}"),
        record=_boolean("record", text["record"]), headless=_boolean("headless", text["headless"]),
        config=config, video=_boolean("video", text["video"]))
    if settings.record and settings.bag.exists():
        raise UserError(f"{settings.bag} already holds a recording; name another folder with out")
    if settings.video:
        from l2a_ros.simulation.video import check_film

        check_film()
    return settings


def _known(kind: str, name: str, known: list[str]) -> str:
    if name not in known:
        raise unknown_name(kind, name, known)
    return name


def _path(text: str) -> str:
    load_path(text)
    return text if text in path_names() else str(Path(text).absolute())


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UserError(f"{name} must be a number, not '{text}'") from None
    if not math.isfinite(number):
        raise UserError(f"{name} must be a finite number, not '{text}'")
    return number


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


def _duration(text: str) -> float:
    duration = _number("duration", text)
    if duration <= 0.0:
        raise UserError(f"duration must be more than 0 s, not '{text}'")
    return duration


def _seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text, re.ASCII) or int(text) > MAX_SEED:
        raise UserError(f"seed must be a whole number from 0 to {MAX_SEED}, not '{text}'")
    return int(text)


def _boolean(name: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UserError(f"{name} must be true or false, not '{text}'")


def _file(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise UserError(f"{name} {path} {'is not a file' if path.exists() else 'does not exist'}")
    return path


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise UserError(f"out {path} cannot be a folder: {place} is a file; name another")
            break
    return path


def _checkpoint(text: str, method: str) -> Path:
    path = _file("checkpoint", text) if text else shipped_checkpoint(method)
    check_checkpoint(path, method)
    return path


def read_config(text: str) -> Path:
    """Return a parameter file after checking that it is one; empty means the shipped one.

    Raises:
        UserError: if it is missing, not YAML or not a ROS 2 parameter file.
    """
    path = _file("config", text) if text else share_file("config", "millirobot.yaml")
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
