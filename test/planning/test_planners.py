# SPDX-License-Identifier: Apache-2.0
"""Planners by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from known_dynamics import PLANNERS, box

from l2a_ros.errors import UserError
from l2a_ros.planning.cem import Cem
from l2a_ros.planning.mppi import Mppi
from l2a_ros.planning.planners import make_planner, planner_names
from l2a_ros.planning.random_shooting import RandomShooting
from l2a_ros.planning.sampling import SamplingPlanner


def test_names() -> None:
    assert planner_names() == sorted(PLANNERS)


@pytest.mark.parametrize(("name", "kind"), [("random_shooting", RandomShooting), ("cem", Cem), ("mppi", Mppi)])
def test_one_set_of_settings_serves_all(name: str, kind: type[SamplingPlanner]) -> None:
    planner = make_planner(name, {
        "bounds": box(2.0), "candidates": 70, "horizon": 4, "period": 0.2, "seed": 5, "longest_hold": 3,
        "iterations": 2, "elites": 0.2, "temperature": 0.3, "nobody's": None})
    assert type(planner) is kind
    settings = planner.settings
    assert (settings.candidates, settings.horizon, settings.period, settings.seed) == (70, 4, 0.2, 5)
    own = {"random_shooting": {"longest_hold": 3}, "cem": {"iterations": 2, "elites": 0.2},
           "mppi": {"iterations": 2, "temperature": 0.3}}[name]
    assert {key: getattr(settings, key) for key in own} == own


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="^unknown planner 'cma'; known: cem, mppi, random_shooting$"):
        make_planner("cma", {"bounds": box(1.0)})


def test_nothing_slow_is_imported_for_the_names() -> None:
    code = ("import sys, l2a_ros.planning.planners as planners; planners.planner_names(); "
            "assert not {'torch', 'scipy', 'numpy'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
