# SPDX-License-Identifier: Apache-2.0
"""Claims of an experiment, and in which conditions they hold.

In the YAML file of an experiment::

    claims:
      - {better: grbal, than: [mb, mb_de]}                       # figure: mean_cost, by: intervals_apart
      - {no_worse: grbal, than: [mb], within: 0.03, conditions: ["turf *"]}
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.experiments.intervals import Interval, paired_interval
from l2a_ros.experiments.measures import Measure, find_measure
from l2a_ros.experiments.summary import Cell

ALL = "all"
INTERVALS_APART, PAIRED, MEANS = "intervals_apart", "paired", "means"
#: How two variants are compared, and what that asks.
RULES = {
    INTERVALS_APART: "the 95 % intervals of the two means do not overlap",
    PAIRED: "the 95 % interval of the difference seed by seed is on the right side",
    MEANS: "the means alone are compared",
}
BETTER, NO_WORSE = "better", "no_worse"
_KEYS = ("than", "figure", "conditions", "by", "within")


@dataclass(frozen=True)
class Claim:
    """What is said of a variant.

    Args:
        subject: the variant.
        than: what it is compared with, each of them.
        is_better: whether it is said to be better; else only no worse.
        measure: that is compared.
        conditions: where, by name.
        rule: a key of ``RULES``.
        within: how much worse still is no worse, as a share of the other's mean.
    """

    subject: str
    than: tuple[str, ...]
    is_better: bool
    measure: Measure
    conditions: tuple[str, ...]
    rule: str
    within: float = 0.0

    @property
    def text(self) -> str:
        """The claim in words."""
        what = f"{self.subject}: {self.measure.title} {'better' if self.is_better else 'no worse'} than "
        margin = f", within {100 * self.within:g} %" if self.within else ""
        return f"{what}{' and '.join(self.than)}{margin} ({RULES[self.rule]})"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim in one condition against one variant.

    Args:
        holds: None if there is nothing to judge yet.
        numbers: that were compared, in words.
        note: what else must be known, or empty.
    """

    claim: Claim
    condition: str
    other: str
    holds: bool | None
    numbers: str
    note: str = ""

    @property
    def word(self) -> str:
        """The verdict in words."""
        return {True: "holds", False: "does not hold", None: "undecided"}[self.holds]


def read_claims(content: object, variants: Sequence[str], conditions: Sequence[str]) -> list[Claim]:
    """Read the section ``claims`` of an experiment.

    Args:
        content: as YAML has it; None for none.
        variants: known names.
        conditions: known names, in order.

    Raises:
        UserError: for the first thing in it that will not do.
    """
    if content is None:
        return []
    if isinstance(content, str) or not isinstance(content, Sequence):
        raise UserError("claims must be a list, for example [{better: grbal, than: [mb]}]")
    return [_read(entry, variants, conditions) for entry in content]


def judge(claims: Iterable[Claim], cells: Iterable[Cell]) -> list[Verdict]:
    """Return the verdicts, in the order of the claims, their conditions and what they compare with."""
    known = {(cell.condition, cell.variant): cell for cell in cells}
    return [_judge(claim, condition, other, known.get((condition, claim.subject)), known.get((condition, other)))
            for claim in claims for condition in claim.conditions for other in claim.than]


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return in how many cases a claim holds, in words."""
    held = sum(verdict.holds is True for verdict in verdicts)
    undecided = sum(verdict.holds is None for verdict in verdicts)
    return f"holds in {held} of {len(verdicts)}" + (f", {undecided} undecided" if undecided else "")


def _read(entry: object, variants: Sequence[str], conditions: Sequence[str]) -> Claim:
    if not isinstance(entry, Mapping):
        raise UserError(f"a claim must hold keys and values, for example {{better: grbal, than: [mb]}}, not {entry!r}")
    kinds = [kind for kind in (BETTER, NO_WORSE) if kind in entry]
    if len(kinds) != 1:
        raise UserError(f"a claim needs either '{BETTER}' or '{NO_WORSE}': {dict(entry)}")
    for key in entry:
        if key not in (kinds[0], *_KEYS):
            raise unknown_name("key of a claim", str(key), [*kinds, *_KEYS])
    is_better = kinds[0] == BETTER
    subject = _known("variant", entry[kinds[0]], variants)
    than = _names(entry.get("than"), "than")
    measure = find_measure(str(entry.get("figure", "mean_cost")))
    if measure.lower_is_better is None:
        raise UserError(f"neither way is better for figure '{measure.name}'; choose another one for the claim")
    rule = str(entry.get("by", INTERVALS_APART if is_better else MEANS))
    if rule not in RULES:
        raise unknown_name("rule of a claim (by)", rule, list(RULES))
    if rule == INTERVALS_APART and not is_better:
        raise UserError(f"no worse is not shown by intervals that are apart; use by: {PAIRED} or by: {MEANS}")
    if rule == PAIRED and measure.is_share:
        raise UserError(f"figure '{measure.name}' is a share: compare it by {INTERVALS_APART} or {MEANS}")
    within = entry.get("within", 0.0)
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0.0 <= within < math.inf:
        raise UserError(f"within of a claim must be a share from 0, for example 0.03, not {within!r}")
    if within and is_better:
        raise UserError(f"within goes with {NO_WORSE}")
    return Claim(subject, tuple(_known("variant", name, variants) for name in than), is_better, measure,
                 _conditions(entry.get("conditions", ALL), conditions), rule, float(within))


def _names(value: Any, what: str) -> list[Any]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise UserError(f"'{what}' of a claim must name at least one, for example [mb]")
    return names


def _known(kind: str, name: object, known: Sequence[str]) -> str:
    if str(name) not in known:
        raise unknown_name(kind, str(name), list(known))
    return str(name)


def _conditions(value: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Return the conditions that are meant: all, or those named; a name may have wildcards."""
    if value == ALL:
        return tuple(known)
    meant: set[str] = set()
    for name in map(str, _names(value, "conditions")):
        found = {name} if name in known else set(fnmatch.filter(known, name))
        if not found:
            raise unknown_name("condition", name, list(known))
        meant |= found
    return tuple(name for name in known if name in meant)


def _judge(claim: Claim, condition: str, other: str, ours: Cell | None, theirs: Cell | None) -> Verdict:
    if ours is None or theirs is None:
        absent = " and ".join(name for name, cell in ((claim.subject, ours), (other, theirs)) if cell is None)
        return Verdict(claim, condition, other, None, "", f"no trials of {absent}")
    name = claim.measure.name
    first, second = ours.intervals.get(name), theirs.intervals.get(name)
    if first is None or second is None or not first.count or not second.count:
        return Verdict(claim, condition, other, None, "", f"no {claim.measure.title} in these trials")
    numbers = f"{interval_text(claim.measure, first)} against {interval_text(claim.measure, second)}"
    sign = 1.0 if claim.measure.lower_is_better else -1.0
    margin = claim.within * abs(second.mean)
    notes = [] if ours.count == theirs.count else [f"{ours.count} against {theirs.count} trials"]
    if claim.rule == PAIRED:
        difference = paired_interval(ours.values(name), theirs.values(name))
        ends = (sign * difference.low, sign * difference.high)
        numbers += f"; difference {interval_text(claim.measure, difference)}"
        holds = max(ends) < 0.0 if claim.is_better else max(ends) <= margin
        if not difference.is_bounded:
            return Verdict(claim, condition, other, None, numbers, "too few equal seeds")
    elif claim.rule == MEANS:
        worse = sign * (first.mean - second.mean)
        holds = worse < 0.0 if claim.is_better else worse <= margin
        if second.mean and not claim.measure.is_share:
            numbers += f"; {100 * (first.mean - second.mean) / abs(second.mean):+.1f} %"
    else:
        if not (first.is_bounded and second.is_bounded):
            return Verdict(claim, condition, other, None, numbers, "too few trials for an interval")
        holds = first.is_below(second) if claim.measure.lower_is_better else second.is_below(first)
    if second.omitted:
        notes.append(f"{second.omitted} of {other} had no finite value and are left out in its favour")
    if first.omitted:
        holds = False
        notes.append(f"{first.omitted} of {claim.subject} had no finite value")
    return Verdict(claim, condition, other, holds, numbers, "; ".join(notes))


def interval_text(measure: Measure, interval: Interval) -> str:
    """Return a mean and its interval for people, without the unit; with what was left out, if anything was."""
    text = measure.text(interval.mean)
    if interval.is_bounded and interval.count:
        text += f" [{measure.text(interval.low)}, {measure.text(interval.high)}]"
    return text + (f" ({interval.omitted} left out)" if interval.omitted else "")
