# SPDX-License-Identifier: Apache-2.0
"""A trial of an experiment, in one process, is the trial that the nodes run over DDS in lock-step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenario import rows, sim

from l2a_ros.experiments.definition import Condition, Variant
from l2a_ros.experiments.planning import PlanningSettings
from l2a_ros.experiments.trial_run import TrialJob, run_trial
from l2a_ros.learning.checkpoint_file import shipped_checkpoint


@pytest.mark.parametrize("method", ["grbal", "mb_de"])
def test_the_same_trial_as_over_ros(tmp_path: Path, method: str) -> None:
    """Every state, command and cost of every tick is the same, to the last digit, also with a leg that breaks."""
    fault = "missing_leg:middle_right@1.5"
    report = sim(tmp_path / "ros", "--clock", "lockstep", "--method", method, "--planner", "cem", "--seed", 3,
                 "--fault", fault, "--duration", 4)
    variant = Variant(method, method, shipped_checkpoint(method), PlanningSettings(planner="cem"))
    condition = Condition("broken", "straight", faults=(fault,), duration=4.0)
    folder = run_trial(TrialJob(tmp_path / "alone", variant, condition, 3, pictures=False))
    assert report["steps"] == 40
    alone, over_ros = rows(folder), rows(tmp_path / "ros")
    assert len(alone) == len(over_ros) == 41
    for one, other in zip(alone, over_ros, strict=True):
        # BatteryState has single precision, and so has the model's input: nothing else can differ.
        assert one.pop("battery_voltage") == pytest.approx(other.pop("battery_voltage"), rel=1e-7)
        np.testing.assert_equal(one, other)
