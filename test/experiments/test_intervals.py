# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from l2a_ros.experiments.intervals import Interval, mean_interval, paired_interval, proportion_interval, t_quantile

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@pytest.mark.parametrize(("freedom", "printed"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045)])
def test_quantiles_are_those_of_the_printed_table(freedom: int, printed: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(printed, abs=5e-4)


@given(VALUES, st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_of_a_mean_holds_the_mean_and_is_that_of_scipy(values: list[float], level: float) -> None:
    interval = mean_interval(values, level)
    assert interval.low <= interval.mean <= interval.high
    assert min(values) <= interval.mean <= max(values)
    assert (interval.count, interval.omitted) == (len(values), 0)
    spread = np.std(values, ddof=1)
    if spread > 1e-6:
        low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
        assert (interval.low, interval.high) == (pytest.approx(low, rel=1e-9, abs=1e-6),
                                                 pytest.approx(high, rel=1e-9, abs=1e-6))


@given(VALUES, st.integers(2, 5))
def test_more_of_the_same_is_known_better(values: list[float], times: int) -> None:
    once, often = mean_interval(values), mean_interval(values * times)
    assert often.high - often.low <= (once.high - once.low) * (1 + 1e-9) + 1e-9
    assert mean_interval(values, 0.99).low <= once.low


@given(VALUES, st.randoms())
def test_order_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = mean_interval(values), mean_interval(shuffled)
    scale = max(map(abs, values))
    assert (one.low, one.high) == (pytest.approx(other.low, abs=1e-9 * scale + 1e-9),
                                   pytest.approx(other.high, abs=1e-9 * scale + 1e-9))


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    interval = mean_interval([1.0, None, 3.0, math.inf, math.nan])
    assert (interval.mean, interval.count, interval.omitted) == (2.0, 2, 3)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([None], math.nan), ([4.0], 4.0)])
def test_too_few_values_bound_nothing(values: list[float | None], mean: float) -> None:
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(mean, nan_ok=True)
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert not interval.is_bounded
    assert not interval.is_below(Interval(100.0, 99.0, 101.0, 10))
    assert not Interval(-100.0, -101.0, -99.0, 10).is_below(interval)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_is_that_of_scipy_and_stays_a_share(pair: tuple[int, int]) -> None:
    successes, n = pair
    interval = proportion_interval(successes, n)
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == (pytest.approx(expected.low, abs=1e-12),
                                             pytest.approx(expected.high, abs=1e-12))
    assert 0.0 <= interval.low <= interval.mean <= interval.high <= 1.0
    assert interval.is_bounded


def test_share_of_nothing_may_be_anything_and_nonsense_is_refused() -> None:
    nothing = proportion_interval(0, 0)
    assert math.isnan(nothing.mean)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no share"):
        proportion_interval(3, 2)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=30))
def test_paired_difference_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    ours = paired_interval({i: a for i, (a, _) in enumerate(pairs)}, {i: b for i, (_, b) in enumerate(pairs)})
    first, second = np.array(pairs).T
    if np.std(first - second, ddof=1) > 1e-6:
        expected = stats.ttest_rel(first, second).confidence_interval()
        assert (ours.low, ours.high) == (pytest.approx(expected.low, rel=1e-9, abs=1e-9),
                                         pytest.approx(expected.high, rel=1e-9, abs=1e-9))
    assert ours.low <= ours.mean <= ours.high


def test_pairs_are_by_seed_and_what_has_no_partner_is_counted() -> None:
    interval = paired_interval({3: 5.0, 1: 2.0, 7: 1.0, 8: None}, {1: 1.0, 3: 2.0, 9: 4.0, 8: 1.0})
    assert (interval.mean, interval.count, interval.omitted) == (2.0, 2, 3)
    level = paired_interval({0: 10.0, 1: 20.0, 2: 30.0}, {0: 9.0, 1: 19.0, 2: 29.0})
    assert level.low == level.high == 1.0, "what the seeds do to both goes out"
