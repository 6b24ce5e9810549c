# SPDX-License-Identifier: Apache-2.0
"""Lock-step trials are the same byte for byte, on every sort of ground and with every fault; another seed changes them.

That each terrain and each fault repeats in the simulated world alone is in ``test/simulation``; ``l2a bench repeat``
has whole trials of all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import sim

from l2a_ros.benchmarks.repeat import Case, differing_lines, every_case, repeat_rows, sample_fault
from l2a_ros.simulation.faults import body_fault_names, parse_fault
from l2a_ros.simulation.terrain import terrain_names

#: Long enough for every fault to have begun and to be seen in the states.
DURATION = 1.5


def trial(out: Path, case: Case, seed: int = 3) -> bytes:
    """Return the table of a trial."""
    report = sim(out, "--clock", "lockstep", "--path", "zigzag", "--duration", DURATION, "--seed", seed, *case.words())
    assert report["terrain"] == case.terrain
    assert report["faults"] == list(case.faults)
    assert report["steps"] > 0.5 * 10 * DURATION
    return (out / "trial.csv").read_bytes()


#: Bumps everywhere, zones, and steps.
SORTS = ("gravel", "carpet_to_turf", "stairs_down")
CASES = [Case(terrain, tuple(sample_fault(name) for name in body_fault_names()[i::len(SORTS)]))
         for i, terrain in enumerate(SORTS)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.terrain)
def test_trials_repeat_byte_for_byte(tmp_path: Path, case: Case) -> None:
    first = trial(tmp_path / "first", case)
    assert differing_lines(first, trial(tmp_path / "again", case)) == 0
    if case.terrain == SORTS[0]:
        assert differing_lines(first, trial(tmp_path / "other", case, seed=4)) > 5


def test_cases_hold_every_terrain_and_every_fault() -> None:
    assert {case.terrain for case in every_case()} == set(terrain_names()) > set(SORTS)
    for cases in (CASES, every_case()):
        struck = {parse_fault(text).name for case in cases for text in case.faults}
        missing = set(body_fault_names()) - struck
        assert not missing, f"these faults are not tried: {missing}"
    assert all(parse_fault(sample_fault(name)).onset < DURATION for name in body_fault_names())


def test_rows() -> None:
    case = Case("turf", ("dead_motor:left@1",))
    good = repeat_rows(case, b"a\n1\n", b"a\n1\n", b"a\n2\n")
    assert [(row.case, row.ours, row.met) for row in good] == [
        ("turf + dead_motor:left@1: same seed", 0, True), ("turf + dead_motor:left@1: another seed", 1, True)]
    assert [row.met for row in repeat_rows(case, b"a\n1\n", b"a\n1\n2\n", b"a\n1\n")] == [False, False]
