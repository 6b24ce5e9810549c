# SPDX-License-Identifier: Apache-2.0
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdicts import CONDITIONS, VARIANTS, trial

from l2a_ros.experiments.pooled import Pooled, pool
from l2a_ros.experiments.summary import summarise
from l2a_ros.experiments.verdicts import read_claims

#: By variant, condition and seed.
Costs = dict[str, list[list[float | None]]]


def pooled(costs: Costs, **entry: Any) -> list[Pooled]:
    claims = read_claims([{"better": "grbal", "than": ["mb"], **entry}], VARIANTS, CONDITIONS)
    return pool(claims, summarise([trial(variant, condition, seed, cost) for variant, rows in costs.items()
                                   for condition, row in zip(CONDITIONS, rows, strict=True)
                                   for seed, cost in enumerate(row)]))


def test_a_constant_ratio_is_found_whatever_the_size_of_the_conditions() -> None:
    theirs: list[list[float | None]] = [[1.0, 1.3, 0.8], [20.0, 35.0, 28.0], [0.1, 0.3, 0.2]]
    ours: list[list[float | None]] = [[0.75 * (cost or 0.0) for cost in row] for row in theirs]
    [one] = pooled({"grbal": ours, "mb": theirs})
    assert (one.ratio.mean, one.ratio.low, one.ratio.high) == pytest.approx((0.75, 0.75, 0.75))
    assert one.text == "all 3 conditions together, against mb: -25 % [-25, -25] (3 seeds)"


@given(st.lists(st.lists(st.floats(0.1, 10.0), min_size=4, max_size=4), min_size=6, max_size=6))
def test_turned_round_it_is_the_reciprocal(rows: list[list[float | None]]) -> None:
    [one] = pooled({"grbal": rows[:3], "mb": rows[3:]})
    [other] = pooled({"grbal": rows[3:], "mb": rows[:3]})
    assert (1.0 / one.ratio.mean, 1.0 / one.ratio.high, 1.0 / one.ratio.low) == pytest.approx(
        (other.ratio.mean, other.ratio.low, other.ratio.high))
    flat = [math.log((ours or 1.0) / (theirs or 1.0)) for some, others in zip(rows[:3], rows[3:], strict=True)
            for ours, theirs in zip(some, others, strict=True)]
    assert one.ratio.mean == pytest.approx(math.exp(sum(flat) / len(flat)))


def test_seeds_that_lack_a_condition_are_left_out_and_told() -> None:
    rows: list[list[float | None]] = [[1.0, 2.0, 3.0, 4.0]] * 3
    [one] = pooled({"grbal": [[1.0, 2.0, None, 4.0], *rows[1:]], "mb": [*rows[:2], [1.0, math.inf, 3.0, 4.0]]})
    assert (one.ratio.count, one.ratio.omitted) == (2, 2)
    assert "(2 seeds, 2 left out)" in one.text
    assert pooled({"grbal": [[1.0, None, None, None], *rows[1:]], "mb": rows}) == [], "one seed bounds nothing"


def test_what_cannot_be_averaged_is_not() -> None:
    rows: list[list[float | None]] = [[1.0, 2.0, 3.0]] * 3
    costs: Costs = {"grbal": rows, "mb": rows}
    assert len(pooled(costs)) == 1
    assert pooled(costs, conditions=["turf left"]) == []
    assert pooled(costs, figure="completion") == []
    assert pooled(costs, figure="return") == [], "below zero"
    assert pooled({"grbal": rows}) == []
