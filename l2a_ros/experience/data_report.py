# SPDX-License-Identifier: Apache-2.0
"""What became of recordings: how much data they gave, what was cut out and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from l2a_ros.experience.transitions import Cut

#: So many warnings are printed; a hundred damaged recordings would hide everything else.
_PRINTED = 20

#: What a cut is for people.
REASONS = {
    Cut.GAP: "gap between states",
    Cut.JUMP: "jump of the pose",
    Cut.STOP: "stop (zero command)",
    Cut.NO_COMMAND: "command missing",
    Cut.NOT_FINITE: "number not finite",
    Cut.RESET: "time began again",
}


@dataclass
class DataReport:
    """What became of the recordings.

    Args:
        recordings: bags read.
        states: states read.
        transitions: transitions made.
        segments: stretches without a cut that gave them.
        cuts: stretches that were cut out, by reason.
        lost: transitions they would have given, by reason.
        repeated: messages with a stamp seen before, left out.
        conflicting: those of them that say something else than the first.
        late: messages that were logged after a newer one, put in order.
        resampled: recordings whose states came faster than the control period.
        warnings: what could not be read, or is not as it should be.
    """

    recordings: int = 0
    states: int = 0
    transitions: int = 0
    segments: int = 0
    cuts: dict[Cut, int] = field(default_factory=lambda: dict.fromkeys(Cut, 0))
    lost: dict[Cut, int] = field(default_factory=lambda: dict.fromkeys(Cut, 0))
    repeated: int = 0
    conflicting: int = 0
    late: int = 0
    resampled: int = 0
    warnings: list[str] = field(default_factory=list)

    def add_cut(self, reason: Cut, stretches: int, transitions: int) -> None:
        """Count stretches that were cut out and the transitions lost with them."""
        self.cuts[reason] += stretches
        self.lost[reason] += transitions

    def lines(self) -> list[str]:
        """Return the report for people: totals, a table with a row per reason, warnings."""
        lines = [f"{self.recordings} recordings, {self.states} states, {self.transitions} transitions in "
                 f"{self.segments} segments"]
        if self.resampled:
            lines.append(f"resampled to the control period: {self.resampled} recordings")
        rows = [(REASONS[reason], count, f"{self.lost[reason]}") for reason, count in self.cuts.items() if count]
        rows += [(text, count, "0") for text, count in (
            ("repeated message, left out", self.repeated), ("late message, put in order", self.late)) if count]
        if rows:
            lines += [f"{'cut out':<28}{'times':>8}{'transitions lost':>18}",
                      *(f"{text:<28}{count:>8}{lost:>18}" for text, count, lost in rows)]
        else:
            lines.append("nothing cut out")
        if self.conflicting:
            lines.append(f"warning: {self.conflicting} repeated messages differ from the first with their stamp: two "
                         "publishers, or time began again; record one bag per run")
        lines += [f"warning: {text}" for text in self.warnings[:_PRINTED]]
        if len(self.warnings) > _PRINTED:
            lines.append(f"warning: and {len(self.warnings) - _PRINTED} more")
        return lines
