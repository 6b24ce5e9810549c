# SPDX-License-Identifier: Apache-2.0
"""Two variants over all conditions of a claim together.

One condition with a few trials seldom tells two variants apart; all of them together may. Conditions differ in size, so
ratios are averaged, and as logarithms, so that half and double weigh the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from l2a_ros.experiments.intervals import Interval, mean_interval
from l2a_ros.experiments.summary import Cell
from l2a_ros.experiments.verdicts import Claim


@dataclass(frozen=True)
class Pooled:
    """A claim's subject against one other variant.

    Args:
        other: the variant.
        conditions: how many are averaged over.
        ratio: of the subject's figure to the other's: geometric mean over conditions and seeds, and its interval from
            the spread over the seeds; seeds without the figure in some condition are left out and counted.
    """

    claim: Claim
    other: str
    conditions: int
    ratio: Interval

    @property
    def text(self) -> str:
        """The comparison in words."""
        low, mean, high = (f"{100.0 * (value - 1.0):+.0f}" for value in (self.ratio.low, self.ratio.mean,
                                                                          self.ratio.high))
        return (f"all {self.conditions} conditions together, against {self.other}: {mean} % [{low}, {high}] "
                f"({self.ratio.count} seeds{f', {self.ratio.omitted} left out' if self.ratio.omitted else ''})")


def pool(claims: Iterable[Claim], cells: Iterable[Cell]) -> list[Pooled]:
    """Return what can be compared over at least two conditions: figures above zero, of at least two complete seeds.

    A seed counts where both variants have the figure in every condition.
    """
    known = {(cell.condition, cell.variant): cell for cell in cells}
    return [Pooled(claim, other, len(claim.conditions), ratio) for claim in claims if len(claim.conditions) > 1
            for other in claim.than if (ratio := _ratio(claim, other, known)) is not None]


def _ratio(claim: Claim, other: str, known: Mapping[tuple[str, str], Cell]) -> Interval | None:
    if claim.measure.is_share:
        return None
    pairs = [(known.get((condition, claim.subject)), known.get((condition, other))) for condition in claim.conditions]
    logarithms: dict[int, list[float]] = {}
    for ours, theirs in pairs:
        if ours is None or theirs is None:
            return None
        first, second = ours.values(claim.measure.name), theirs.values(claim.measure.name)
        for seed in first.keys() | second.keys():
            some, one, two = logarithms.setdefault(seed, []), first.get(seed), second.get(seed)
            if one is not None and two is not None and 0.0 < one < math.inf and 0.0 < two < math.inf:
                some.append(math.log(one / two))
    interval = mean_interval(math.fsum(some) / len(some) if len(some) == len(pairs) else None
                             for _, some in sorted(logarithms.items()))
    if not interval.is_bounded:
        return None
    return replace(interval, mean=math.exp(interval.mean), low=math.exp(interval.low), high=math.exp(interval.high))
