# SPDX-License-Identifier: Apache-2.0
"""Finds the subcommands, reads the command line, and turns bad input into one line.

A subcommand is a module of this package with ``add_parser(subparsers)``, which sets ``run`` as the parser's default,
and ``run(args) -> int``, which returns the exit status. It imports what is heavy inside ``run``: ``l2a --help`` is
quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import select
import shlex
import sys
from collections.abc import Sequence
from types import ModuleType

import l2a_ros
from l2a_ros import cli
from l2a_ros.errors import UserError


def subcommands() -> list[ModuleType]:
    """Return the modules of this package that are subcommands, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(cli.__path__) if not module.name.startswith("_"))
    modules = [importlib.import_module(f"{cli.__name__}.{name}") for name in names if name != "main"]
    return [module for module in modules if hasattr(module, "add_parser")]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="l2a", description=l2a_ros.__doc__)
    parser.add_argument("--version", action="version", version=f"l2a_ros {l2a_ros.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in subcommands():
        module.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``l2a``; return its exit status: 2 for bad input, 130 after Ctrl-C, 141 if nobody reads on (``| head``)."""
    args = make_parser().parse_args(arguments)
    # As it could be typed again, for what keeps it; an experiment gives commands of its own.
    args.command_line = "l2a " + shlex.join(sys.argv[1:] if arguments is None else arguments)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        if _is_read():
            raise
        return 141
    except UserError as error:
        print(f"l2a: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _is_read() -> bool:
    """Whether somebody still reads what is printed; if not, what waits to be printed is dropped."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return False
