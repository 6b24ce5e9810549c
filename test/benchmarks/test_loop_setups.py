# SPDX-License-Identifier: Apache-2.0
"""Set-ups of the loop's benchmark: parameter files that nodes can read, laps, and checkpoints for other periods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from l2a_ros.benchmarks.loop_setups import SETUPS, find_setup, write_checkpoint, write_config, write_laps
from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.nodes.adaptation import SCHEMA as ADAPTATION
from l2a_ros.nodes.mpc_start import SCHEMA as MPC
from l2a_ros.trials.paths import load_path

CONFIG = Path(__file__).parents[2] / "config" / "millirobot.yaml"


def flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested parameters by their dotted names."""
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


@pytest.mark.parametrize("name", SETUPS)
def test_its_file_holds_the_shipped_parameters_and_its_own(name: str, tmp_path: Path) -> None:
    setup = find_setup(name)
    write_config(setup, CONFIG, tmp_path / "config.yaml")
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    shipped = yaml.safe_load(CONFIG.read_text())
    known = {"/**/mpc": {each.name for each in MPC}, "/**/adaptation": {each.name for each in ADAPTATION}}
    for node, content in written.items():
        values = flat(content["ros__parameters"])
        own = flat(dict(setup.parameters.get(node, {})))
        before = flat(shipped.get(node, {"ros__parameters": {}})["ros__parameters"])
        assert values == before | own
        if node in known:
            assert not set(values) - known[node], "a parameter that no node has would be ignored"


def test_unknown_set_up_lists_the_known() -> None:
    with pytest.raises(UserError, match="20hz"):
        find_setup("fast")


def test_laps(tmp_path: Path) -> None:
    write_laps("figure8", 3, tmp_path / "laps.yaml")
    once, thrice = load_path("figure8"), load_path(tmp_path / "laps.yaml")
    assert len(thrice) == 3 * (len(once) - 1) + 1
    np.testing.assert_allclose(thrice[len(once) - 1:2 * len(once) - 1], once)
    write_laps("straight", 1, tmp_path / "straight.yaml")
    with pytest.raises(UserError, match="does not end where it begins"):
        write_laps("straight", 2, tmp_path / "no.yaml")


def test_checkpoint_for_another_period_predicts_a_part_of_the_change(tmp_path: Path) -> None:
    shipped = load_checkpoint(shipped_checkpoint("grbal"))
    assert write_checkpoint("grbal", 0.1, tmp_path / "same.safetensors") == shipped_checkpoint("grbal")
    half = load_checkpoint(write_checkpoint("grbal", 0.05, tmp_path / "half.safetensors"), "grbal")
    assert half.card.control_period == 0.05
    assert half.id != shipped.id
    # Away from the angle pairs, which are put back on the circle.
    state = torch.zeros(1, 24)
    state[:, [6, 8, 10, 15, 17]] = 1.0
    action = torch.full((1, 2), 30.0)
    whole, part = (model.predict(state, action) - state for model in (shipped, half))
    torch.testing.assert_close(part[:, :3], 0.5 * whole[:, :3])
