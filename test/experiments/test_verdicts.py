# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import pytest
from experiment_samples import write_sample
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.experiments.intervals import mean_interval
from l2a_ros.experiments.measures import MEASURES
from l2a_ros.experiments.summary import Cell, read_trials, summarise
from l2a_ros.experiments.trial_files import TrialResult
from l2a_ros.experiments.verdicts import Verdict, judge, read_claims, tally

VARIANTS, CONDITIONS = ["grbal", "mb", "mb_de"], ["turf straight", "turf left", "slope straight"]


def trial(variant: str, condition: str, seed: int, cost: float | None) -> TrialResult:
    return TrialResult(
        variant=variant, condition=condition, seed=seed, completed=cost is not None and cost < 2.0, ended="", steps=10,
        duration_s=1.0, mean_cost=cost, total_return=None if cost is None else -10 * cost, mean_lateral_error_m=0.1,
        mean_lateral_error_after_1s_m=0.1, max_lateral_error_m=0.2, progress_m=0.2, path_length_m=2.0, safety_stops=0,
        mean_leg_rate_rad_s=30.0, onset_s=None, cost_before_onset=None, cost_after_onset=None, report={},
        folder=Path("trials", variant, condition, str(seed)), bag=None)


def cells(costs: dict[str, list[float | None]], condition: str = "turf straight") -> list[Cell]:
    return summarise([trial(variant, condition, seed, cost) for variant, some in costs.items()
                      for seed, cost in enumerate(some)])


def verdicts(entry: dict[str, Any], costs: dict[str, list[float | None]]) -> list[Verdict]:
    return judge(read_claims([{**entry, "conditions": ["turf straight"]}], VARIANTS, CONDITIONS), cells(costs))


@pytest.mark.parametrize(("entry", "ours", "theirs", "holds"), [
    ({"better": "grbal"}, [1.0, 1.1, 0.9], [2.0, 2.1, 1.9], True),
    ({"better": "grbal"}, [2.0, 2.1, 1.9], [1.0, 1.1, 0.9], False),
    ({"better": "grbal"}, [1.0, 1.9, 0.9], [2.0, 2.9, 1.9], False),
    ({"better": "grbal", "by": "paired"}, [1.0, 1.9, 0.9], [2.0, 2.9, 1.9], True),
    ({"better": "grbal", "by": "means"}, [1.0, 1.9, 0.9], [2.0, 2.9, 0.95], True),
    ({"better": "grbal", "figure": "return"}, [1.0, 1.1, 0.9], [2.0, 2.1, 1.9], True),
    ({"better": "grbal", "figure": "return"}, [2.0, 2.1, 1.9], [1.0, 1.1, 0.9], False),
    ({"better": "grbal", "figure": "completion"}, [1.0] * 30, [3.0] * 30, True),
    ({"no_worse": "grbal", "within": 0.03}, [1.02, 1.04, 1.02], [1.0, 1.0, 1.0], True),
    ({"no_worse": "grbal", "within": 0.01}, [1.02, 1.04, 1.02], [1.0, 1.0, 1.0], False),
    ({"no_worse": "grbal", "within": 0.03, "by": "paired"}, [1.02, 1.04, 1.02], [1.0, 1.0, 1.0], False),
    ({"no_worse": "grbal", "within": 0.1, "by": "paired"}, [1.02, 1.04, 1.02], [1.0, 1.0, 1.0], True),
    ({"no_worse": "grbal", "within": 0.03}, [-0.98, -0.98], [-1.0, -1.0], True),
    ({"no_worse": "grbal", "within": 0.03}, [-0.96, -0.96], [-1.0, -1.0], False),
    ({"better": "grbal"}, [1.0], [2.0], None),
    ({"better": "grbal"}, [], [2.0, 2.1], None),
    ({"better": "grbal", "figure": "cost_after_onset"}, [1.0, 1.0], [2.0, 2.1], None),
])
def test_claims_are_judged_by_their_rule(entry: dict[str, Any], ours: list[float | None], theirs: list[float | None],
                                         holds: bool | None) -> None:
    [verdict] = verdicts({**entry, "than": ["mb"]}, {"grbal": ours, "mb": theirs})
    assert verdict.holds is holds
    assert verdict.numbers or verdict.note


def test_claim_over_all_conditions_has_a_verdict_for_each_and_each_other() -> None:
    claims = read_claims([{"better": "grbal", "than": ["mb", "mb_de"]}], VARIANTS, CONDITIONS)
    result = judge(claims, cells({"grbal": [1.0, 1.1], "mb": [9.0, 9.1], "mb_de": [1.0, 1.1]}))
    assert [(each.condition, each.other) for each in result] == [
        (condition, other) for condition in CONDITIONS for other in ("mb", "mb_de")]
    assert [each.holds for each in result] == [True, False, None, None, None, None]
    assert tally(result) == "holds in 1 of 6, 4 undecided"
    assert "no trials of grbal and mb" in result[2].note
    assert "1.05 [0.41, 1.69] against 9.05 [8.41, 9.69]" in result[0].numbers


def test_conditions_may_have_wildcards_and_keep_their_order() -> None:
    [claim] = read_claims([{"better": "grbal", "than": "mb", "conditions": ["slope*", "turf *"]}], VARIANTS, CONDITIONS)
    assert claim.conditions == tuple(CONDITIONS)
    [claim] = read_claims([{"better": "grbal", "than": "mb", "conditions": "turf left"}], VARIANTS, CONDITIONS)
    assert claim.conditions == ("turf left",)


def test_trials_without_a_finite_cost_never_help_who_has_them() -> None:
    low: list[float | None] = [1.0, 1.1, 0.9]
    high: list[float | None] = [5.0, 5.1, 4.9]
    [ours] = verdicts({"better": "grbal", "than": ["mb"]}, {"grbal": [*low, None], "mb": [*high, 5.0]})
    assert ours.holds is False
    assert "1 of grbal had no finite value" in ours.note
    [theirs] = verdicts({"better": "grbal", "than": ["mb"]}, {"grbal": [*low, 1.0], "mb": [*high, None]})
    assert theirs.holds is True
    assert "in its favour" in theirs.note


def test_unequal_numbers_of_trials_are_told() -> None:
    [verdict] = verdicts({"better": "grbal", "than": ["mb"]}, {"grbal": [1.0, 1.1, 0.9], "mb": [5.0, 5.1]})
    assert "3 against 2 trials" in verdict.note


@pytest.mark.parametrize(("entry", "text"), [
    ("better", "a claim must hold keys and values"),
    ({"than": ["mb"]}, "either 'better' or 'no_worse'"),
    ({"better": "grbal", "no_worse": "grbal", "than": ["mb"]}, "either 'better' or 'no_worse'"),
    ({"better": "grball", "than": ["mb"]}, "unknown variant 'grball'; known: grbal, mb, mb_de"),
    ({"better": "grbal", "than": ["mbb"]}, "unknown variant 'mbb'"),
    ({"better": "grbal"}, "'than' of a claim must name at least one"),
    ({"better": "grbal", "than": []}, "'than' of a claim must name at least one"),
    ({"better": "grbal", "than": ["mb"], "figure": "beauty"}, "unknown figure 'beauty'; known: completion"),
    ({"better": "grbal", "than": ["mb"], "figure": "leg_rate"}, "neither way is better"),
    ({"better": "grbal", "than": ["mb"], "by": "feeling"}, "unknown rule"),
    ({"better": "grbal", "than": ["mb"], "conditions": ["gravel"]}, "unknown condition 'gravel'"),
    ({"better": "grbal", "than": ["mb"], "conditions": ["ice *"]}, "unknown condition"),
    ({"better": "grbal", "than": ["mb"], "within": 0.1}, "within goes with no_worse"),
    ({"no_worse": "grbal", "than": ["mb"], "within": -0.1}, "must be a share"),
    ({"no_worse": "grbal", "than": ["mb"], "within": "3 %"}, "must be a share"),
    ({"no_worse": "grbal", "than": ["mb"], "by": "intervals_apart"}, "not shown by intervals that are apart"),
    ({"better": "grbal", "than": ["mb"], "figure": "completion", "by": "paired"}, "is a share"),
    ({"better": "grbal", "then": ["mb"]}, "unknown key of a claim 'then'"),
])
def test_bad_claims_are_refused_with_one_line(entry: object, text: str) -> None:
    with pytest.raises(UserError, match=text.replace("(", r"\(")):
        read_claims([entry], VARIANTS, CONDITIONS)


def test_claims_must_be_a_list_and_may_be_none() -> None:
    assert read_claims(None, VARIANTS, CONDITIONS) == []
    for content in ("better", {"better": "grbal"}, 3):
        with pytest.raises(UserError, match="claims must be a list"):
            read_claims(content, VARIANTS, CONDITIONS)


@given(st.lists(st.floats(0.1, 10.0), min_size=2, max_size=10), st.lists(st.floats(0.1, 10.0), min_size=2, max_size=10))
def test_two_variants_are_never_both_better(ours: list[float], theirs: list[float]) -> None:
    for rule in ("intervals_apart", "paired", "means"):
        [first] = verdicts({"better": "grbal", "than": ["mb"], "by": rule}, {"grbal": [*ours], "mb": [*theirs]})
        [second] = verdicts({"better": "mb", "than": ["grbal"], "by": rule}, {"grbal": [*ours], "mb": [*theirs]})
        assert not (first.holds and second.holds)
        if rule == "intervals_apart":
            assert first.holds == (mean_interval(ours).high < mean_interval(theirs).low)


def test_claims_are_judged_of_real_trials(tmp_path: Path) -> None:
    for seed in range(3):
        write_sample(tmp_path, "grbal", "turf straight", seed, lateral=0.01)
        write_sample(tmp_path, "mb", "turf straight", seed, lateral=0.06)
    claims = read_claims([{"better": "grbal", "than": ["mb"], "figure": name}
                          for name in ("mean_cost", "lateral_error")], VARIANTS, ["turf straight"])
    assert [each.holds for each in judge(claims, summarise(read_trials(tmp_path)))] == [True, True]
    assert MEASURES["mean_cost"].lower_is_better
