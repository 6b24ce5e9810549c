# SPDX-License-Identifier: Apache-2.0
"""Whether lock-step trials repeat byte for byte, on every terrain and with every fault."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.errors import UserError
from l2a_ros.simulation.faults import FAULT_KINDS, body_fault_names, parse_fault
from l2a_ros.simulation.terrain import terrain_names

#: When the faults begin, s of simulated time: after the robot stands on its feet and before a short trial ends.
ONSET = 1.0
#: Terrain on which the faults are tried one by one.
PLAIN = "carpet"


@dataclass(frozen=True)
class Case:
    """One kind of trial.

    Args:
        terrain: by name.
        faults: as written on the command line.
    """

    terrain: str
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in the table."""
        return " + ".join((self.terrain, *self.faults))

    def words(self) -> list[str]:
        """Return the flags of ``l2a sim``."""
        return ["--terrain", self.terrain, *(word for fault in self.faults for word in ("--fault", fault))]


def sample_fault(name: str) -> str:
    """Return a fault of a kind, as written, that begins within a short trial.

    Raises:
        UserError: if the catalogue has no example of it.
    """
    example = FAULT_KINDS[name].example.partition("@")[0]
    if not example:
        raise UserError(f"fault '{name}' has no example in the catalogue of faults; add one")
    return parse_fault(f"{example}@{ONSET:g}").text


def every_case() -> list[Case]:
    """Return each terrain without a fault, and each fault alone."""
    return [Case(terrain) for terrain in terrain_names()] + [Case(PLAIN, (sample_fault(name),))
                                                              for name in body_fault_names()]


def differing_lines(first: bytes, second: bytes) -> int:
    """Return in how many lines two files differ."""
    pairs = itertools.zip_longest(first.splitlines(keepends=True), second.splitlines(keepends=True))
    return sum(one != other for one, other in pairs)


def repeat_rows(case: Case, first: bytes, again: bytes, other: bytes) -> list[Row]:
    """Judge the tables of three trials: two with one seed, one with another."""
    changed = differing_lines(first, other)
    return [at_most(f"{case.name}: same seed", differing_lines(first, again), "lines differ", 0.0),
            Row(f"{case.name}: another seed", changed, "lines differ", target=1.0, met=changed >= 1)]


def all_met(rows: Sequence[Row]) -> bool:
    """Tell whether no target was missed."""
    return all(row.met is not False for row in rows)
