# SPDX-License-Identifier: Apache-2.0
"""What varies from recording to recording."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.simulation.faults import FAULT_KINDS, parse_fault
from l2a_ros.training.collect import plan_recordings
from l2a_ros.training.variation import RANGES, SHARES, draw_variation, vary


@given(st.integers(0, 2**40))
def test_every_draw_is_faults_within_their_ranges(seed: int) -> None:
    faults = [parse_fault(text) for text in draw_variation(seed)]
    assert len({fault.name for fault in faults}) == len(faults)
    for fault in faults:
        for value, (low, high) in zip(fault.values, RANGES[fault.name], strict=False):
            assert low - 1e-3 <= value <= high + 1e-3
        assert fault.onset == 0.0


def test_draws_repeat_and_differ() -> None:
    assert draw_variation(3) == draw_variation(3)
    assert len({draw_variation(seed) for seed in range(50)}) > 30


def test_shares() -> None:
    draws = [draw_variation(seed) for seed in range(3000)]
    counts = Counter(map(len, draws))
    for number, share in enumerate(SHARES):
        assert abs(counts[number] / 3000 - share) < 0.04
    names = Counter(text.partition(":")[0] for draw in draws for text in draw)
    assert set(names) == set(RANGES)
    assert max(names.values()) < 1.2 * min(names.values())
    sides = Counter(parse_fault(text).part for draw in draws for text in draw if text.startswith("motor_gain"))
    assert set(sides) == {"left", "right"}


def test_what_the_robot_shall_never_have_met_is_not_among_it() -> None:
    assert set(RANGES) < set(FAULT_KINDS)
    assert not {"missing_leg", "payload", "dead_motor"} & set(RANGES)


def test_recordings_are_varied_each_for_itself() -> None:
    plan = plan_recordings(Path("data"), ["carpet", "turf"], 5.0, 20.0, 0.1, 0, [("missing_leg:front_right",)])
    varied = vary(plan)
    assert [one.seed for one in varied] == [one.seed for one in plan]
    assert all(one.faults[:len(plain.faults)] == plain.faults for one, plain in zip(varied, plan, strict=True))
    assert len({one.faults for one in varied}) > len(plan) // 2
    assert len({one.folder for one in varied}) == len(plan)
    assert {one.folder.name.rpartition("_")[0] for one in varied} == {
        "carpet+varied", "turf+varied", "carpet+missing_leg_front_right+varied",
        "turf+missing_leg_front_right+varied"}
