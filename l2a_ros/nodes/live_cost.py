# SPDX-License-Identifier: Apache-2.0
"""Cost parameters of a node that runs: refused with a reason, or followed from the next tick on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult

from l2a_ros.errors import UserError
from l2a_ros.nodes.cost_settings import COST_SCHEMA, cost_terms
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.planning.costs import Term

_NAMES = {parameter.name for parameter in COST_SCHEMA}


class LiveCost:
    """Watches the cost parameters.

    Args:
        node: whose they are; its ``settings`` are kept up to date.
    """

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._take: Callable[[tuple[Term, ...]], None] | None = None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._follow)

    def attach(self, take: Callable[[tuple[Term, ...]], None]) -> None:
        """Call this with the new terms from now on."""
        self._take = take

    def _proposed(self, parameters: list[Any]) -> dict[str, Any]:
        return self._node.settings | {each.name: each.value for each in parameters if each.name in _NAMES}

    def _check(self, parameters: list[Any]) -> SetParametersResult:
        try:
            cost_terms(self._proposed(parameters))
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _follow(self, parameters: list[Any]) -> None:
        self._node.settings = self._proposed(parameters)
        if self._take is not None:
            self._take(cost_terms(self._node.settings))
