# SPDX-License-Identifier: Apache-2.0
"""What the estimator says of itself on /diagnostics: the state, the motion filter, and every source."""

from __future__ import annotations

from l2a_ros.estimation.state_estimator import OK as STATE_OK
from l2a_ros.estimation.state_estimator import SOURCES, StateEstimator
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Health
from l2a_ros.timing.statistics import Statistics


class EstimatorReport:
    """Keeps count between reports; times are s of the monotonic clock.

    Args:
        estimator: that is reported on.
    """

    def __init__(self, estimator: StateEstimator) -> None:
        self._estimator = estimator
        self._status, self._has_state, self._had_state = "no tick yet", False, False
        self._tick_time: float | None = None
        self._periods = Statistics()
        self._heard = dict.fromkeys(SOURCES.values(), 0)
        self._heard_before, self._time_before = dict(self._heard), 0.0
        #: Messages that hold no sample.
        self.refused = 0

    def heard(self, source: str) -> None:
        """Take note of a message of a source."""
        self._heard[source] += 1

    def tick(self, status: str, has_state: bool, now: float) -> bool:
        """Take note of a tick; return whether its status differs from the last by more than figures."""
        if self._tick_time is not None:
            self._periods.add(now - self._tick_time)
        self._tick_time = now
        changed = has_state != self._has_state or _kind(status) != _kind(self._status)
        self._status, self._has_state, self._had_state = status, has_state, self._had_state or has_state
        return changed

    def health(self, stamp: int, now: float, others: dict[str, object]) -> list[Health]:
        """Return what to say now (ns, and s of the monotonic clock), with other figures of the node."""
        level = OK if self._status == STATE_OK else WARN if self._has_state or not self._had_state else ERROR
        values: dict[str, object] = {f"period {name} (s)": value for name, value in self._periods.summary().items()}
        values |= others | {"messages refused": self.refused}
        since = now - self._time_before
        for name, age in self._estimator.ages(stamp).items():
            values[f"age of {name} (s)"] = age
            values[f"rejected {name}"] = self._estimator.rejected[name]
            if since > 0.5:
                values[f"rate of {name} (Hz)"] = (self._heard[name] - self._heard_before[name]) / since
        if since > 0.5:
            self._heard_before, self._time_before = dict(self._heard), now
        return [Health("state", level, self._status, values),
                Health("motion", level, self._status, dict(self._estimator.report()))]


def _kind(status: str) -> str:
    """Return a status without its figures."""
    return "".join(each for each in status if not each.isdigit())
