# SPDX-License-Identifier: Apache-2.0
"""The plan for people: ``plan`` and ``plan_markers``, built only while somebody listens."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Point
from nav_msgs.msg import Path
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import path_message, to_stamp
from l2a_ros.planning.plan import Candidates, Plan
from l2a_ros.planning.views import compared
from l2a_ros.robot.frames import planar_track

#: Markers are for the eye: so many times a second, and so many candidates.
_MARKERS_PERIOD, _SHOWN = 0.5, 60
#: They vanish when no more come, s.
_LIFETIME = 2
#: Height of the lines above the floor, m: the plan over the candidates.
_CANDIDATES_HEIGHT, _PLAN_HEIGHT = 0.02, 0.03
_PLAN_COLOUR, _TRAINED_COLOUR = (0.1, 0.4, 1.0, 1.0), (1.0, 1.0, 1.0, 0.9)


class PlanViews:
    """Publishes views of plans.

    Args:
        node: that plans; made while it is being configured.
        lockstep: of the run.
    """

    def __init__(self, node: LifecycleNode, lockstep: bool) -> None:
        self._plan = node.create_lifecycle_publisher(Path, names.PLAN.name, names.PLAN.profile(lockstep))
        self._markers = node.create_lifecycle_publisher(MarkerArray, names.PLAN_MARKERS.name,
                                                        names.PLAN_MARKERS.profile(lockstep))
        self._next_markers = 0.0

    def show(self, plan: Plan, stamp: int, now: float, predict_trained: Callable[[], np.ndarray]) -> None:
        """Publish what somebody listens to.

        Args:
            plan: to show.
            stamp: of the state that it was made for, ns.
            now: s, on any clock that runs on.
            predict_trained: returns what the trained weights predict for the plan's actions, ``(h, 24)``.
        """
        if self._plan.get_subscription_count():
            self._plan.publish(path_message(planar_track(plan.states), stamp))
        if now >= self._next_markers and self._markers.get_subscription_count():
            self._next_markers = now + _MARKERS_PERIOD
            self._markers.publish(plan_markers(plan, predict_trained, stamp))


def plan_markers(plan: Plan, predict_trained: Callable[[], np.ndarray], stamp: int) -> MarkerArray:
    """Return candidates coloured by cost, the plan, and what the trained weights predict for it.

    What has fewer than two points is left out: RViz takes it for an error.

    Args:
        plan: with its candidates.
        predict_trained: returns the prediction, ``(h, 24)``; called last, as it may use the candidates' memory.
        stamp: ns.
    """
    markers = [] if plan.candidates is None else [_candidates(plan.candidates, stamp)]
    markers += [_line("plan", plan.states, _PLAN_COLOUR, 0.012, stamp),
                _line("plan of the trained model", predict_trained(), _TRAINED_COLOUR, 0.006, stamp)]
    return MarkerArray(markers=[marker for marker in markers if len(marker.points) >= 2])


def _line(name: str, states: np.ndarray, colour: tuple[float, float, float, float], width: float,
          stamp: int) -> Marker:
    line = _marker(name, Marker.LINE_STRIP, width, stamp)
    line.color = _colour(colour)
    line.points = _points(planar_track(states), _PLAN_HEIGHT)
    return line


def _candidates(candidates: Candidates, stamp: int) -> Marker:
    lines = _marker("candidates", Marker.LINE_LIST, 0.002, stamp)
    for track, share in compared(candidates, _SHOWN):
        points = _points(track, _CANDIDATES_HEIGHT)
        # From green, the cheapest, over yellow to red.
        colour = _colour((min(1.0, 2.0 * share), min(1.0, 2.0 - 2.0 * share), 0.0, 0.6))
        for begin, end in itertools.pairwise(points):
            lines.points += [begin, end]
            lines.colors += [colour, colour]
    return lines


def _marker(name: str, kind: int, width: float, stamp: int) -> Marker:
    marker = Marker(ns=name, type=kind, action=Marker.ADD)
    marker.header.frame_id, marker.header.stamp = names.MAP_FRAME, to_stamp(stamp)
    marker.pose.orientation.w = 1.0
    marker.scale.x = width
    marker.lifetime.sec = _LIFETIME
    return marker


def _points(track: np.ndarray, height: float) -> list[Point]:
    return [Point(x=x, y=y, z=height) for x, y in track.astype(np.float64).tolist()]


def _colour(rgba: tuple[float, float, float, float]) -> ColorRGBA:
    return ColorRGBA(r=rgba[0], g=rgba[1], b=rgba[2], a=rgba[3])
