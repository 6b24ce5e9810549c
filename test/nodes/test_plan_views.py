# SPDX-License-Identifier: Apache-2.0
"""What is shown of a plan: only to those who look, as RViz takes it, and without a trace in what is commanded."""

from __future__ import annotations

import array
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nodes.support import PERIOD, SECOND, Peer, resting_state, until
from nodes.test_mpc import LINE, checkpoint, model_bytes, running
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import UInt8MultiArray
from visualization_msgs.msg import Marker, MarkerArray

from l2a_ros.learning.network import Factors
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes import plan_views
from l2a_ros.nodes.messages import path_points, to_nanoseconds
from l2a_ros.nodes.plan_views import PlanViews, plan_markers
from l2a_ros.planning.plan import Candidates, Plan, PlanStatus
from l2a_ros.robot.layout import STATE

CANDIDATES, PLAN, TRAINED = "candidates", "plan", "plan of the trained model"
STAMP = 1_234_567_890_123
X, Y = STATE.indices(["position_x", "position_y"])


def tracks(count: int, horizon: int = 6) -> np.ndarray:
    """Return states ``(count, horizon, 24)`` of candidates that fan out from the origin."""
    states = np.zeros((count, horizon, STATE.size), dtype=np.float32)
    angles, distances = np.linspace(-1.0, 1.0, count)[:, np.newaxis], 0.03 * np.arange(1, horizon + 1)
    states[..., X], states[..., Y] = distances * np.cos(angles), distances * np.sin(angles)
    return states


def plan_of(costs: np.ndarray, horizon: int = 6) -> Plan:
    """Return the best of candidates with these costs."""
    states = tracks(len(costs), horizon)
    best = int(np.argmin(costs))
    return Plan(PlanStatus.OK, np.full((horizon, 2), 30.0), states[best].copy(), float(costs[best]),
                float(np.mean(costs[np.isfinite(costs)])), 0, 1, Candidates(states, costs))


def shown(plan: Plan, trained: np.ndarray | None = None) -> dict[str, Marker]:
    """Return the markers of a plan by namespace, checked."""
    message = plan_markers(plan, lambda: plan.states if trained is None else trained, STAMP)
    return checked(message)


def checked(message: MarkerArray) -> dict[str, Marker]:
    """Check markers as RViz does, and return them by namespace."""
    message = deserialize_message(serialize_message(message), MarkerArray)
    assert len({(marker.ns, marker.id) for marker in message.markers}) == len(message.markers), "each is another one"
    for marker in message.markers:
        assert marker.action == Marker.ADD
        assert marker.header.frame_id == names.MAP_FRAME
        orientation = marker.pose.orientation
        assert (orientation.x, orientation.y, orientation.z, orientation.w) == (0.0, 0.0, 0.0, 1.0)
        # Of a line only the width is used, and RViz complains of the others.
        assert marker.scale.x > 0.0
        assert (marker.scale.y, marker.scale.z) == (0.0, 0.0)
        assert 0 < marker.lifetime.sec < 10, "it vanishes when no more come"
        points = positions(marker)
        assert np.all(np.isfinite(points))
        assert len(points) >= 2, "RViz shows an error for less"
        assert marker.type in (Marker.LINE_LIST, Marker.LINE_STRIP)
        if marker.type == Marker.LINE_LIST:
            assert len(points) % 2 == 0
        if marker.colors:
            assert len(marker.colors) == len(points)
        for colour in marker.colors or [marker.color]:
            assert all(0.0 <= value <= 1.0 for value in (colour.r, colour.g, colour.b))
            assert 0.0 < colour.a <= 1.0
    return {marker.ns: marker for marker in message.markers}


def positions(marker: Marker) -> np.ndarray:
    """Return the points of a marker, ``(n, 3)``."""
    return np.array([[point.x, point.y, point.z] for point in marker.points]).reshape(-1, 3)


def colours(marker: Marker) -> np.ndarray:
    """Return the colours of the points of a marker, red and green, ``(n, 2)``."""
    return np.array([[colour.r, colour.g] for colour in marker.colors])


# The markers ----------------------------------------------------------------------------------------------------------


def test_three_namespaces_in_map() -> None:
    plan = plan_of(np.linspace(3.0, 5.0, 20))
    markers = shown(plan, tracks(1)[0])
    assert list(markers) == [CANDIDATES, PLAN, TRAINED]
    assert {to_nanoseconds(marker.header.stamp) for marker in markers.values()} == {STAMP}
    np.testing.assert_allclose(positions(markers[PLAN])[:, :2], plan.states[:, [X, Y]], atol=1e-6)
    np.testing.assert_allclose(positions(markers[TRAINED])[:, :2], tracks(1)[0][:, [X, Y]], atol=1e-6)
    assert markers[PLAN].color != markers[TRAINED].color
    assert min(positions(markers[PLAN])[:, 2]) > max(positions(markers[CANDIDATES])[:, 2]), "over the candidates"


def test_best_is_green_and_worst_is_red() -> None:
    costs = np.array([4.0, 1.0, 2.0, 3.0, 5.0])
    markers = shown(plan_of(costs))
    lines = markers[CANDIDATES]
    horizon, states = 6, tracks(5)
    each = 2 * (horizon - 1)
    assert len(lines.points) == each * len(costs)
    groups = colours(lines).reshape(len(costs), each, 2)
    assert np.all(groups == groups[:, :1]), "each line has one colour"
    np.testing.assert_allclose(groups[:, 0], [[1.0, 0.0], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0], [0.0, 1.0]], atol=1e-6)
    ends = positions(lines).reshape(len(costs), each, 3)[:, -1, :2]
    # The best one last, over the others.
    np.testing.assert_allclose(ends, states[np.argsort(-costs), -1][:, [X, Y]], atol=1e-6)


def test_candidates_without_a_finite_cost_are_left_out() -> None:
    costs = np.array([np.inf, 2.0, np.nan, 1.0, np.inf, 3.0])
    plan = plan_of(np.where(np.isnan(costs), np.inf, costs))
    assert plan.candidates is not None
    plan.candidates.states[~np.isfinite(costs)] = np.nan
    lines = shown(Plan(**{**vars(plan), "candidates": Candidates(plan.candidates.states, costs)}))[CANDIDATES]
    assert len(lines.points) == 3 * 10
    assert colours(lines)[0].tolist() == [1.0, 0.0]
    assert colours(lines)[-1].tolist() == [0.0, 1.0]


def test_few_of_many_candidates_from_the_best_to_the_worst() -> None:
    costs = np.random.default_rng(0).uniform(1.0, 9.0, 2000)
    markers = shown(plan_of(costs))
    assert 30 * 10 <= len(markers[CANDIDATES].points) <= 100 * 10, "enough to see, and no more"
    assert colours(markers[CANDIDATES])[0].tolist() == [1.0, 0.0]
    ends = positions(markers[CANDIDATES])[[9, -1], :2]
    np.testing.assert_allclose(ends, tracks(2000)[[np.argmax(costs), np.argmin(costs)], -1][:, [X, Y]], atol=1e-6)


@pytest.mark.parametrize("costs", [np.full(5, 2.0), np.array([2.0])])
def test_equal_costs(costs: np.ndarray) -> None:
    assert np.all(colours(shown(plan_of(costs))[CANDIDATES]) == [0.0, 1.0])


def test_what_is_no_line_is_left_out() -> None:
    """A horizon of one step, or an iteration of which nothing is left: RViz shows an error for a line of one point."""
    assert list(shown(plan_of(np.array([1.0, 2.0]), horizon=1))) == []
    plan = plan_of(np.array([1.0, 2.0]))
    assert list(shown(Plan(**vars(plan) | {"candidates": None}))) == [PLAN, TRAINED]
    lost = Candidates(np.full((4, 6, STATE.size), np.nan), np.full(4, np.inf))
    assert list(shown(Plan(**vars(plan) | {"candidates": lost}))) == [PLAN, TRAINED]


def test_candidates_are_looked_at_before_the_model_is_used_again() -> None:
    """It writes over its last prediction of as many."""
    plan = plan_of(np.array([1.0]))
    assert plan.candidates is not None
    states, buffer = plan.candidates.states.copy(), plan.candidates.states

    def predict() -> np.ndarray:
        buffer[:] = 7.0
        return buffer[0]

    markers = checked(plan_markers(plan, predict, STAMP))
    np.testing.assert_allclose(positions(markers[CANDIDATES])[-1, :2], states[0, -1, [X, Y]], atol=1e-6)


# When they are published ----------------------------------------------------------------------------------------------


class Publisher:
    """Counts; ``listeners`` is how many listen."""

    def __init__(self) -> None:
        self.listeners = 0
        self.sent: list[Any] = []

    def get_subscription_count(self) -> int:
        """Return how many listen."""
        return self.listeners

    def publish(self, message: Any) -> None:
        """Take a message."""
        self.sent.append(message)


def made_views() -> tuple[PlanViews, Publisher, Publisher]:
    """Return views with their publishers, of ``plan`` and ``plan_markers``."""
    publishers = {names.PLAN.name: Publisher(), names.PLAN_MARKERS.name: Publisher()}
    node: Any = SimpleNamespace(create_lifecycle_publisher=lambda kind, name, qos: publishers[name])
    return PlanViews(node, lockstep=False), publishers[names.PLAN.name], publishers[names.PLAN_MARKERS.name]


def test_nothing_is_built_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plan_markers", "path_message"):
        monkeypatch.setattr(plan_views, name, lambda *_: pytest.fail("built for nobody"))
    views, _, _ = made_views()
    for tick in range(20):
        views.show(plan_of(np.array([1.0, 2.0])), STAMP, 0.1 * tick, lambda: pytest.fail("predicted for nobody"))


def test_markers_come_seldom_and_plans_every_time() -> None:
    views, plans, markers = made_views()
    plans.listeners = markers.listeners = 1
    predicted: list[int] = []
    plan = plan_of(np.array([1.0, 2.0]))

    def predict(tick: int) -> Callable[[], np.ndarray]:
        return lambda: (predicted.append(tick), plan.states)[1]

    for tick in range(50):
        views.show(plan, tick, 100.0 + 0.1 * tick, predict(tick))
    assert [to_nanoseconds(message.header.stamp) for message in plans.sent] == list(range(50))
    assert 8 <= len(markers.sent) <= 12, "twice a second"
    assert [to_nanoseconds(message.markers[0].header.stamp) for message in markers.sent] == predicted


def test_who_begins_to_look_sees_markers_at_once() -> None:
    views, _, markers = made_views()
    plan = plan_of(np.array([1.0, 2.0]))
    views.show(plan, 0, 5.0, lambda: plan.states)
    markers.listeners = 1
    views.show(plan, 1, 5.1, lambda: plan.states)
    assert len(markers.sent) == 1


# In the node ----------------------------------------------------------------------------------------------------------


def _change(scale: float) -> list[Factors]:
    rng = torch.Generator().manual_seed(0)
    return [Factors(scale * torch.randn(2, layer.weight.shape[1], generator=rng),
                    scale * torch.randn(2, layer.weight.shape[0], generator=rng)) for layer in checkpoint().weights]


def _walk(ticks: int, viewer: Callable[[], Any] | None, change: list[Factors]) -> list[list[float]]:
    """Return the commands of a walk in lock-step, with a model that is adapted, before somebody who looks."""
    with running(seed=3) as loop:
        # A lot later, so that the stamps of the runs are the same.
        loop.stamp = 100 * SECOND
        loop.path(LINE, 100 * SECOND + 20 * PERIOD)
        for _ in range(19):
            assert not np.any(loop.tick())
        commands = []
        for tick in range(ticks):
            loop.advance()
            loop.peer.publish(names.ADAPTED_MODEL, UInt8MultiArray(
                data=array.array("B", model_bytes(loop.stamp, tick + 1, change))))
            loop.state(resting_state(loop.stamp, position_x=0.03 * tick, position_y=0.1, left_leg_velocity=30.0,
                                     right_leg_velocity=30.0, velocity_x=0.3))
            commands.append(loop.answer().tolist())
            if viewer is not None:
                viewer()
        return commands


def test_looking_changes_no_command() -> None:
    change = _change(0.02)
    alone = _walk(12, None, change)
    with Peer(lockstep=True, name="viewer") as viewer:
        viewer.listen(names.PLAN, names.PLAN_MARKERS)

        def look() -> None:
            # Long enough for markers to be due, whenever they are.
            time.sleep(0.1)

        begin = time.monotonic()
        watched = _walk(12, look, change)
        seconds = time.monotonic() - begin
        assert watched == alone
        assert np.all(np.array(alone) > 0.0)
        arrays = viewer.of(names.PLAN_MARKERS)
        assert 2 <= len(arrays) <= 2.0 * seconds + 1.0, "twice a second"
        gaps = []
        plans = dict(zip(viewer.stamps(names.PLAN), viewer.of(names.PLAN), strict=True))
        for message in arrays:
            markers = checked(message)
            assert list(markers) == [CANDIDATES, PLAN, TRAINED]
            stamp = to_nanoseconds(markers[PLAN].header.stamp)
            plan, trained = positions(markers[PLAN])[:, :2], positions(markers[TRAINED])[:, :2]
            if stamp in plans:
                np.testing.assert_allclose(plan, path_points(plans[stamp]), atol=1e-6)
            assert plan.shape == trained.shape == (10, 2)
            gaps.append(np.abs(plan - trained).max())
            assert len(markers[CANDIDATES].points) >= 30 * 18
        # Which plans are drawn depends on the time; without adaptation it is below 2e-3 (next test).
        assert max(gaps) > 0.003, "the model is adapted"


def test_without_adaptation_both_models_predict_the_same() -> None:
    with Peer(lockstep=True, name="viewer") as viewer:
        viewer.listen(names.PLAN_MARKERS)
        _walk(6, lambda: time.sleep(0.1), [])
        until(lambda: viewer.of(names.PLAN_MARKERS))
        for message in viewer.of(names.PLAN_MARKERS):
            markers = checked(message)
            np.testing.assert_allclose(positions(markers[PLAN]), positions(markers[TRAINED]), atol=2e-3)
