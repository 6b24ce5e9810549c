# SPDX-License-Identifier: Apache-2.0
"""The cost's parameters: all there, described, read from the shipped file, refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.context import Context

from l2a_ros.errors import UserError
from l2a_ros.nodes.cost_settings import COST_SCHEMA, PUBLISHED_WEIGHTS_SCHEMA, cost_terms, published_weights
from l2a_ros.nodes.limits import LIMITS_SCHEMA
from l2a_ros.nodes.parameters import declare
from l2a_ros.nodes.trial_settings import SCHEMA as TRIAL_SCHEMA
from l2a_ros.nodes.trial_settings import trial_settings
from l2a_ros.planning.costs import PUBLISHED, TERMS, make_terms
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.robot.share import share_file

DEFAULTS = {parameter.name: parameter.default for parameter in (*COST_SCHEMA, *LIMITS_SCHEMA)}


def declared(*arguments: str) -> dict[str, object]:
    """Declare the parameters on a node that was started with these arguments."""
    context = Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node("mpc", context=context, cli_args=["--ros-args", *arguments])
        try:
            return declare(node, (*COST_SCHEMA, *LIMITS_SCHEMA))
        finally:
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_every_setting_of_every_term_is_a_parameter() -> None:
    names = [f"cost.{name}.{each}" for name, term in TERMS.items() for each in term.settings()]
    assert [parameter.name for parameter in COST_SCHEMA] == names
    for parameter in COST_SCHEMA:
        assert parameter.is_dynamic
        assert isinstance(parameter.default, float), "else it takes no fractions"
        assert parameter.minimum is not None
        assert parameter.maximum is not None
        assert parameter.minimum <= parameter.default <= parameter.maximum
    assert len({p.description for p in COST_SCHEMA if p.name.endswith(".weight")}) == len(TERMS)


def test_defaults_are_the_published_cost() -> None:
    assert cost_terms(DEFAULTS) == make_terms({})
    assert [term.name for term in make_terms({})] == list(PUBLISHED)


def test_shipped_file_names_settings_that_there_are() -> None:
    file = share_file("config", "millirobot.yaml")
    blocks = [block["ros__parameters"].get("cost", {}) for block in yaml.safe_load(file.read_text()).values()]
    names = {f"cost.{term}.{each}" for block in blocks for term, settings in block.items() for each in settings}
    assert names <= set(DEFAULTS)
    assert {f"cost.{term}.weight" for term in PUBLISHED} <= names
    cost_terms(declared("--params-file", str(file)))


def test_file_with_nested_settings(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("""
/**:
  ros__parameters:
    fastest_leg_rate: 10.0
    cost:
      lateral: {weight: 7.0, power: 2.0}
      heading: {weight: 0.0}
      effort:
        weight: 0.5
/**/mpc:
  ros__parameters:
    cost.forward_speed: {weight: 3.0, target: 0.4}
""")
    terms = {term.name: term for term in cost_terms(declared("--params-file", str(file)))}
    assert list(terms) == ["lateral", "progress", "effort", "forward_speed"]
    assert (terms["lateral"].weight, terms["lateral"].power) == (7.0, 2.0)
    assert terms["progress"].weight == PUBLISHED["progress"]
    assert terms["effort"] == TERMS["effort"](weight=0.5, fastest=10.0 * REVOLUTION)  # type: ignore[call-arg]
    assert terms["forward_speed"] == TERMS["forward_speed"](weight=3.0, target=0.4)  # type: ignore[call-arg]


@pytest.mark.parametrize(("name", "value", "message"), [
    ("cost.lateral.weight", "-1.0", "parameter cost.lateral.weight is out of range"),
    ("cost.lateral.power", "0.0", "parameter cost.lateral.power is out of range"),
    ("cost.heading.weight", "much", "parameter cost.heading.weight must be of type float"),
    ("cost.keep_in.x_min", "2.0", "cost.keep_in.x_min must be below cost.keep_in.x_max, not 2 and 1.75"),
])
def test_bad_value_is_one_line(name: str, value: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        cost_terms(declared("-p", f"{name}:={value}"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_trial_takes_the_weights_of_the_published_terms() -> None:
    assert published_weights(DEFAULTS) == PUBLISHED
    assert not any(parameter.is_dynamic for parameter in PUBLISHED_WEIGHTS_SCHEMA)
    values = {parameter.name: parameter.default for parameter in TRIAL_SCHEMA} | {
        "cost.lateral.weight": 1.0, "checkpoint": "/x/y/c.safetensors", "faults": ["a"], "seed": 5, "duration": 3.0}
    made = trial_settings(values)
    assert made.weights == PUBLISHED | {"lateral": 1.0}
    assert (made.checkpoint, made.faults, made.seed, made.duration) == ("c.safetensors", ("a",), 5, 3.0)
