# SPDX-License-Identifier: Apache-2.0
"""What a check has found: good, worth a look, or in the way of a run, in one line with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is. Only a failure keeps a run from working."""

    OK = "ok"
    SKIPPED = "-"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Args:
        check: its name.
        level: how bad it is.
        text: what was found, one line.
        advice: what to do about it; empty where nothing has to be done.
    """

    check: str
    level: Level
    text: str
    advice: str = ""

    def line(self, width: int = 0) -> str:
        """Return it for people, the name padded to a width."""
        return f"{self.level:<5} {self.check:<{width}}  {self.text}" + (f": {self.advice}" if self.advice else "")


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.OK, text)


def skipped(check: str, why: str) -> Finding:
    """Return that it was not looked at."""
    return Finding(check, Level.SKIPPED, why)


def warn(check: str, text: str, advice: str = "") -> Finding:
    """Return something that may spoil a run."""
    return Finding(check, Level.WARN, text, advice)


def fail(check: str, text: str, advice: str = "") -> Finding:
    """Return something that keeps a run from working."""
    return Finding(check, Level.FAIL, text, advice)


def has_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether any of them keeps a run from working."""
    return any(finding.level is Level.FAIL for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return them for programs."""
    rows = [{**asdict(finding), "level": {Level.SKIPPED: "skipped"}.get(finding.level, finding.level.lower())}
            for finding in findings]
    return {"ok": not has_failed(findings), "checks": rows}
