# SPDX-License-Identifier: Apache-2.0
"""Checks of motion capture by what was heard of it for a while: rate, gaps, age, and which way is up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from l2a_ros.bringup.findings import Finding, fail, ok, skipped, warn
from l2a_ros.estimation.motion_filter import TRACKED
from l2a_ros.estimation.settings import FilterSettings

RATE, AGE, UP = "mocap rate", "mocap age", "mocap axes"
SECOND = 1_000_000_000
#: Rates that are as published, and that no state can be made from, Hz.
GOOD_RATE, LEAST_RATE = 80.0, 20.0
#: Age on arrival that is worth a look, and with which the estimate is never better than coasting, s.
WORTH_A_LOOK, TOO_OLD = 0.03, TRACKED
#: How far stamps may be ahead of this machine's clock: small differences, and what the estimator refuses, s.
SMALL_LEAD, LARGEST_LEAD = 0.002, 0.1
#: A robot on its feet leans less, rad.
UPRIGHT = 0.6
#: Pivot of a robot on the floor, m.
LOWEST, HIGHEST = -0.1, 0.3


@dataclass(frozen=True)
class Pose:
    """One message.

    Args:
        stamp: of the header, ns.
        arrival: on this machine's wall clock, ns.
        position: m ``(3,)``.
        quaternion: x, y, z, w ``(4,)``.
    """

    stamp: int
    arrival: int
    position: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class Heard:
    """What was heard.

    Args:
        topic: where.
        type: message type that was listened for.
        seconds: how long.
        poses: in order of arrival.
        types_there: message types that the topic has, by whoever publishes there.
        others: other topics that hold poses.
    """

    topic: str
    type: str
    seconds: float
    poses: Sequence[Pose]
    types_there: Sequence[str] = ()
    others: Sequence[str] = ()


def check_mocap(heard: Heard) -> list[Finding]:
    """Return what is to be said about it."""
    if len(heard.poses) < 2:
        return [_silence(heard), *(skipped(name, "nothing was heard") for name in (AGE, UP))]
    return [_rate(heard), _age(heard.poses), _up(heard.poses)]


def _silence(heard: Heard) -> Finding:
    text = f"{len(heard.poses) or 'no'} message on {heard.topic} in {heard.seconds:g} s"
    wrong = [each for each in heard.types_there if each != heard.type]
    if wrong:
        return fail(RATE, f"{text} of type {heard.type}", f"it has {' and '.join(wrong)}; give mocap_type")
    if heard.types_there:
        return fail(RATE, f"{text}, but somebody publishes there", "is the body tracked, and its name right?")
    if heard.others:
        return fail(RATE, text, f"give mocap_topic; there are {', '.join(heard.others)}")
    return fail(RATE, text, "start the driver of motion capture; if it runs on another machine, "
                            "set ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET and the same ROS_DOMAIN_ID on both")


def _rate(heard: Heard) -> Finding:
    arrivals = np.array([pose.arrival for pose in heard.poses], dtype=np.int64)
    gaps = np.diff(arrivals) / SECOND
    rate, longest = len(gaps) / max(1e-9, float(gaps.sum())), float(gaps.max())
    text = f"{rate:.0f} Hz, longest gap {1e3 * longest:.0f} ms"
    if rate < LEAST_RATE:
        return fail(RATE, text, "set the camera rate to 100 Hz or more")
    if longest > FilterSettings().maximum_coast:
        return warn(RATE, text, "the robot stops in such gaps; is the body seen everywhere, is the network busy?")
    if rate < GOOD_RATE:
        return warn(RATE, text, "100 Hz or more are better")
    return ok(RATE, text)


def _age(poses: Sequence[Pose]) -> Finding:
    if not all(pose.stamp for pose in poses):
        return fail(AGE, "stamps are zero", "let the driver of motion capture stamp its messages")
    ages = np.array([pose.arrival - pose.stamp for pose in poses], dtype=np.int64) / SECOND
    middle, worst = float(np.median(ages)), float(np.percentile(ages, 99))
    clocks = "synchronise the clocks of the machines (docs/hardware.md), or stamp on arrival"
    text = f"{1e3 * middle:.1f} ms, 99 % below {1e3 * worst:.1f} ms"
    if middle < -LARGEST_LEAD:
        return fail(AGE, f"stamps are {-middle:.2f} s ahead of this machine's clock", clocks)
    if middle > TOO_OLD:
        return fail(AGE, text, f"it may be no older than {1e3 * TOO_OLD:.0f} ms; {clocks}")
    if middle < -SMALL_LEAD:
        return warn(AGE, f"stamps are {-1e3 * middle:.1f} ms ahead of this machine's clock", clocks)
    if middle > WORTH_A_LOOK:
        return warn(AGE, text, f"the robot has walked on meanwhile; {clocks}")
    return ok(AGE, text)


def _up(poses: Sequence[Pose]) -> Finding:
    newest = poses[-1]
    numbers = np.concatenate([newest.position, newest.quaternion])
    norm = float(np.linalg.norm(newest.quaternion))
    if not np.all(np.isfinite(numbers)) or abs(norm - 1.0) > 0.01:
        return fail(UP, "the newest pose is no pose", "is the body tracked?")
    x, y = newest.quaternion[:2] / norm
    # Third row, third column of the rotation matrix: how far the body's z points up.
    lean = math.acos(max(-1.0, min(1.0, 1.0 - 2.0 * (x * x + y * y))))
    height = float(newest.position[2])
    text = f"z {height:+.2f} m, leaning {math.degrees(lean):.0f} deg"
    if lean > UPRIGHT or not LOWEST <= height <= HIGHEST:
        return warn(UP, text, "put the robot on its feet on the floor; if it is, set Z up in the capture software and "
                              "define the body with x forward")
    return ok(UP, text)
