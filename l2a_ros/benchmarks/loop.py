# SPDX-License-Identifier: Apache-2.0
"""The control loop in numbers, from the recording of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag

#: A period this much longer than it should be counts as an overrun.
OVERRUN = 1.5
#: Ticks after the first command that are left out: caches and buffers are still cold.
WARM_UP = 5


def _column(rows: Sequence[dict[str, float]], name: str) -> np.ndarray:
    values = np.array([row[name] for row in rows if name in row], dtype=np.float64)
    return values[np.isfinite(values)]


def _percentiles(case: str, seconds: np.ndarray) -> list[Row]:
    p50, p99 = np.percentile(seconds, [50, 99])
    return [Row(f"{case} p50", float(p50), "s"), Row(f"{case} p99", float(p99), "s"),
            Row(f"{case} max", float(seconds.max()), "s")]


def _share(name: str, rows: Sequence[dict[str, float]], period: float) -> Row:
    median = float(np.median(_column(rows, f"{name}_s")))
    return Row(f"share of {name} in the period", 100.0 * median / period, "%")


def loop_rows(bag: Path, control_period: float, most_overruns: float = 1.0,
              longest_latency: float | None = None) -> list[Row]:
    """Measure the loop of a recorded trial in real time.

    The period is the time between the arrivals of ``robot_state`` at the recorder while the robot was driven; the other
    durations are what the nodes measured themselves.

    Args:
        bag: folder of the recording.
        control_period: s.
        most_overruns: share of the ticks that may be overruns, %.
        longest_latency: 99th percentile that the time from a state to its command may have, s; None for no target.

    Raises:
        UserError: if the recording holds no driven ticks.
    """
    arrivals: dict[int, int] = {}
    mpc: dict[int, dict[str, float]] = {}
    adaptation: dict[int, dict[str, float]] = {}
    for message in read_bag(bag):
        topic = message.topic
        if message.stamp is None:
            continue
        if topic.endswith("/robot_state"):
            arrivals.setdefault(message.stamp, message.log_time)
        elif topic.endswith("/mpc/metrics"):
            mpc[message.stamp] = dict(zip(message.message.name, message.message.position, strict=True))
        elif topic.endswith("/adaptation/metrics"):
            adaptation[message.stamp] = dict(zip(message.message.name, message.message.position, strict=True))
    driven = sorted(mpc)[WARM_UP:]
    times = np.array([arrivals[stamp] for stamp in driven if stamp in arrivals], dtype=np.float64) / 1e9
    if len(times) < 3:
        raise UserError(f"{bag} holds too few driven ticks to measure the loop; drive for longer")
    periods = np.diff(times)
    planned = [mpc[stamp] for stamp in driven]
    adapted = [adaptation[stamp] for stamp in driven if stamp in adaptation]
    latency = _column(planned, "state_to_command_s")
    ticks = round((driven[-1] - driven[0]) / 1e9 / control_period)
    overruns = int((periods > OVERRUN * control_period).sum()) + int((latency > control_period).sum())
    rows = _percentiles("period", periods)
    rows[1] = at_most("period p99", rows[1].ours, "s", 1.2 * control_period)
    rows.append(at_most("overruns", 100.0 * overruns / max(1, ticks), "%", most_overruns))
    answered = _percentiles("state to command", latency)
    if longest_latency is not None:
        answered[1] = at_most("state to command p99", answered[1].ours, "s", longest_latency)
    rows += answered
    rows += _percentiles("plan", _column(planned, "plan_s"))
    rows += _percentiles("wait for the adapted model", _column(planned, "model_wait_s"))
    rows += _percentiles("adapt", _column(adapted, "adapt_s"))
    in_time = _column(planned, "model_is_of_this_tick")
    rows += [
        _share("adapt", adapted, control_period), _share("plan", planned, control_period),
        Row("ticks planned with their own model", 100.0 * float(in_time.mean()), "%"),
        Row("ticks measured", float(len(driven)), "1")]
    return rows
