# SPDX-License-Identifier: Apache-2.0
"""The parameters of the adaptation that are followed while the robot walks: checked together before any is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcl_interfaces.msg import SetParametersResult

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.rules import AdaptationSettings
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.parameters import Parameter

#: Longest window that can be asked for, transitions. Much older ones say little about the ground of now, and the
#: factors of a longer window are larger than the weights themselves.
LONGEST_PAST = 128

ADAPTATION_SCHEMA = (
    Parameter("adapt", True, "whether the model adapts; false keeps the trained weights", is_dynamic=True),
    Parameter("inner_rate_scale", 1.0, "factor on the checkpoint's step sizes (rebal takes no steps)", 0.0, 100.0,
              is_dynamic=True),
    Parameter("inner_steps", 0, "gradient steps per tick; 0 for as many as in training (rebal takes none)", 0, 10,
              is_dynamic=True),
    Parameter("past", 0, "M, transitions adapted on; 0 for as many as in training", 0, LONGEST_PAST, is_dynamic=True),
    Parameter("limit_step", True, "shorten steps that are longer than training took for normal (grbal)",
              is_dynamic=True),
    Parameter("adapt_budget", 0.02, "an answer that takes longer is counted and reported, s", 0.0001, 1.0,
              is_dynamic=True),
)
_NAMES = [parameter.name for parameter in ADAPTATION_SCHEMA]


def adaptation_settings(values: Mapping[str, Any], checkpoint: Checkpoint, method: str) -> AdaptationSettings:
    """Return what the parameters of ``ADAPTATION_SCHEMA`` make of the settings that a model was trained with."""
    trained = AdaptationSettings.of(checkpoint, method)
    return AdaptationSettings(
        past=values["past"] or trained.past, steps=values["inner_steps"] or trained.steps,
        rates=tuple(rate * values["inner_rate_scale"] for rate in trained.rates),
        limit=trained.limit if values["limit_step"] else 0.0, is_enabled=values["adapt"], shortest=trained.shortest)


class LiveAdaptation:
    """Carries the parameters to the adapter.

    Args:
        node: whose parameters they are; they are declared already.
    """

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._adapter: OnlineAdapter | None = None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def attach(self, adapter: OnlineAdapter) -> None:
        """Look after this adapter from now on."""
        self._adapter = adapter

    def _proposed(self, parameters: list[Any]) -> dict[str, Any]:
        return self._node.settings | {each.name: each.value for each in parameters if each.name in _NAMES}

    def _check(self, parameters: list[Any]) -> SetParametersResult:
        try:
            if self._adapter is not None:
                self._adapter.check(adaptation_settings(self._proposed(parameters), self._adapter.checkpoint,
                                                        self._adapter.method.name))
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Any]) -> None:
        # The executor has one thread: this runs between two ticks.
        self._node.settings = self._proposed(parameters)
        if self._adapter is None:
            return
        wanted = adaptation_settings(self._node.settings, self._adapter.checkpoint, self._adapter.method.name)
        # What was carried from tick to tick is lost by it, so not for another budget alone.
        if wanted != self._adapter.settings:
            self._adapter.configure(wanted)
            self._node.get_logger().info(f"adapts with {wanted}")
