# SPDX-License-Identifier: Apache-2.0
"""The cost of planning as node parameters: ``cost.TERM.SETTING``, made from the terms themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2a_ros.nodes.limits import load_limits
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.planning.costs import PUBLISHED, TERMS, Term, make_terms


def _parameter(term: str, setting: str, is_dynamic: bool) -> Parameter:
    default, meaning = TERMS[term].settings()[setting]
    return Parameter(f"cost.{term}.{setting}", default, meaning.description, meaning.low, meaning.high,
                     is_dynamic=is_dynamic)


#: Every setting of every term, for who plans.
COST_SCHEMA = tuple(_parameter(term, setting, True) for term in TERMS for setting in TERMS[term].settings())

#: The weights of the published terms, for who judges what was walked.
PUBLISHED_WEIGHTS_SCHEMA = tuple(_parameter(term, "weight", False) for term in PUBLISHED)


def cost_terms(settings: Mapping[str, Any]) -> tuple[Term, ...]:
    """Return the terms that the parameters of ``COST_SCHEMA`` and ``LIMITS_SCHEMA`` name, without those that are off.

    Raises:
        UserError: for a number out of range, or limits or an area that are none.
    """
    # What is relative to the fastest rate follows the robot's limit; it is no setting of its own.
    fastest = {"fastest": load_limits(settings).maximum}
    return make_terms({
        name: {each: settings[f"cost.{name}.{each}"] for each in term.settings()}
        | (fastest if hasattr(term, "fastest") else {}) for name, term in TERMS.items()})


def published_weights(settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the weights by term from the parameters of ``PUBLISHED_WEIGHTS_SCHEMA``."""
    return {term: settings[f"cost.{term}.weight"] for term in PUBLISHED}
