# SPDX-License-Identifier: Apache-2.0
"""The words of a run as command-line flags."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from l2a_ros.bringup.arguments import Settings, read_settings
from l2a_ros.bringup.words import SIM, arguments_of
from l2a_ros.errors import UserError


def add_flags(parser: argparse.ArgumentParser, run: str = SIM, leave_out: Collection[str] = ()) -> None:
    """Add a flag for each word of a run; what a word may be is checked with the rest, by :func:`settings_from`."""
    for argument in arguments_of(run):
        if argument.name in leave_out:
            continue
        text = argument.help(run)
        if argument.default:
            text += f" Default: {argument.default}."
        options: dict[str, Any] = {"help": text.replace("%", "%%"), "metavar": argument.name.upper()}
        if argument.repeatable:
            options["action"] = "append"
        if argument.switch:
            options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
        parser.add_argument(f"--{argument.name}", **options)


def given(args: argparse.Namespace, run: str = SIM) -> Mapping[str, str | list[str]]:
    """Return the words that were given on the command line."""
    return {argument.name: value for argument in arguments_of(run)
            if (value := getattr(args, argument.name, None)) is not None}


def settings_from(args: argparse.Namespace, run: str = SIM) -> Settings:
    """Check the words that were given; a default folder is named after the wall clock.

    Raises:
        UserError: for the first one that will not do, or where ROS 2 is missing.
    """
    check_ros()
    return read_settings(given(args, run), datetime.now(), run)


def check_ros() -> None:
    """Refuse to start nodes where they cannot run.

    Raises:
        UserError: if rclpy is not installed.
    """
    if importlib.util.find_spec("rclpy") is None:
        raise UserError("rclpy is missing; source a ROS 2 installation, or install the wheels with "
                        "pip install 'l2a_ros[ros]'")
