# SPDX-License-Identifier: Apache-2.0
"""What the managed nodes share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import psutil
import pytest
import rclpy
from nodes.support import NodeThread

from l2a_ros.nodes.managed import ManagedNode


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sockets() -> int:
    """Return how many sockets of DDS this process has."""
    return len(psutil.Process().net_connections("udp"))


@pytest.mark.usefixtures("uncollected")
def test_an_ended_node_holds_no_participant() -> None:
    before = sockets()
    with NodeThread(lambda: ManagedNode("managed", [])):
        assert sockets() > before
    assert sockets() == before
    assert not rclpy.ok()
