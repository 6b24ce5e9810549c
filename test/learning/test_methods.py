# SPDX-License-Identifier: Apache-2.0
"""The table of methods."""

from __future__ import annotations

import pytest

from l2a_ros.errors import UserError
from l2a_ros.learning.methods import find_method, method_names, trained_methods


def test_names() -> None:
    assert method_names() == ["grbal", "mb", "mb_de", "rebal"]
    assert trained_methods() == ["grbal", "mb", "rebal"]


@pytest.mark.parametrize(("name", "trained_as", "adapts"), [
    ("grbal", "grbal", True), ("rebal", "rebal", True), ("mb", "mb", False), ("mb_de", "mb", True)])
def test_methods(name: str, trained_as: str, adapts: bool) -> None:
    method = find_method(name)
    assert (method.name, method.trained_as, method.adapts) == (name, trained_as, adapts)
    assert method.description and "\n" not in method.description


@pytest.mark.parametrize("name", ["", "GrBAL", "rebel", "grbal ", "mb-de"])
def test_unknown_method_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match=f"unknown method '{name}'; known: grbal, mb, mb_de, rebal"):
        find_method(name)
