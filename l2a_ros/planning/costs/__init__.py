# SPDX-License-Identifier: Apache-2.0
"""What planning wants: terms by name, one file each, each with a weight and a power."""

from l2a_ros.planning.costs.path_cost import BoundCost, PathCost
from l2a_ros.planning.costs.registry import PUBLISHED, TERMS, make_terms, plain_terms
from l2a_ros.planning.costs.term import Term

__all__ = ["PUBLISHED", "TERMS", "BoundCost", "PathCost", "Term", "make_terms", "plain_terms"]
