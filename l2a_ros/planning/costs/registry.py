# SPDX-License-Identifier: Apache-2.0
"""The terms of the cost by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields

from l2a_ros.errors import UserError
from l2a_ros.planning.costs.action_rate import ActionRate
from l2a_ros.planning.costs.effort import Effort
from l2a_ros.planning.costs.forward_speed import ForwardSpeed
from l2a_ros.planning.costs.heading import Heading
from l2a_ros.planning.costs.keep_in import KeepIn
from l2a_ros.planning.costs.lateral import Lateral
from l2a_ros.planning.costs.progress import Progress
from l2a_ros.planning.costs.term import Term

TERMS: dict[str, type[Term]] = {term.name: term for term in (
    Lateral, Progress, Heading, ActionRate, Effort, ForwardSpeed, KeepIn)}

#: The terms of the published cost with its weights: what is on by default.
PUBLISHED = {term.name: term.weight for term in (Lateral, Progress, Heading)}


def make_terms(settings: Mapping[str, Term | Mapping[str, float]]) -> tuple[Term, ...]:
    """Return the terms that are on, those of a weight above 0.

    Args:
        settings: by name of the term: the term, or values by name of its settings. What is not named has its default:
            the published cost.

    Raises:
        UserError: for a name that is not known or a number out of range.
    """
    _check_known("cost term", "cost terms", settings, TERMS)
    terms = [_made(term, settings.get(name, {})) for name, term in TERMS.items()]
    return tuple(term for term in terms if term.weight > 0.0)


def plain_terms(weights: Mapping[str, float]) -> tuple[Term, ...]:
    """Return the terms with these weights by name, of power 1, and no others.

    Raises:
        UserError: as :func:`make_terms`.
    """
    every = dict.fromkeys(TERMS, 0.0) | dict(weights)
    return make_terms({name: {"weight": weight} for name, weight in every.items()})


def _made(term: type[Term], given: Term | Mapping[str, float]) -> Term:
    if isinstance(given, Term):
        if not isinstance(given, term):
            raise UserError(f"the cost term '{term.name}' is given the settings of '{given.name}'")
        return given
    if not isinstance(given, Mapping):
        raise UserError(f"the settings of cost.{term.name} must be numbers by name, not {given!r}")
    _check_known(f"setting of cost.{term.name}:", "settings", given, [each.name for each in fields(term)])
    return term(**given)


def _check_known(what: str, plural: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"unknown {what} '{name}'; known {plural}: {', '.join(known)}")
