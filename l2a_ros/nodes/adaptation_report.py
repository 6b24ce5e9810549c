# SPDX-License-Identifier: Apache-2.0
"""What the adaptation node says about itself: figures of every tick, and its health."""

from __future__ import annotations

from collections.abc import Mapping

from sensor_msgs.msg import JointState

from l2a_ros.experience.transitions import Cut
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.online import Adaptation
from l2a_ros.nodes.diagnostics import OK, WARN, Health
from l2a_ros.nodes.messages import named_vector
from l2a_ros.timing.statistics import Statistics

#: A robot that stands has a short window, and who switched adaptation off knows; these say that something is wrong.
ALARMING = (AdaptationStatus.NOT_FINITE, AdaptationStatus.LOSS_INCREASE)
_OVER_BUDGET, _REFUSED = "answers over budget", "messages of wrong layout"


class AdaptationReport:
    """Counts and times the answers of one node."""

    def __init__(self) -> None:
        self._latency = Statistics()
        self._statuses = dict.fromkeys(AdaptationStatus, 0)
        self._troubles = {_OVER_BUDGET: 0, _REFUSED: 0}
        self._limited = 0
        self._reported: dict[str, int] = {}
        self._last: tuple[Adaptation, int] | None = None

    def forget_last(self) -> None:
        """Say nothing of the newest answer any more: it is of another time."""
        self._last = None

    def refused(self) -> None:
        """Count a message that could not be used."""
        self._troubles[_REFUSED] += 1

    def answered(self, adaptation: Adaptation, duration: float, budget: float, window: int, past: int) -> JointState:
        """Note an answer and return its figures.

        Args:
            adaptation: the answer.
            duration: time that it took, s.
            budget: time that it should take at most, s.
            window: transitions in the window.
            past: M, transitions adapted on.
        """
        self._last = adaptation, window
        self._latency.add(duration)
        self._troubles[_OVER_BUDGET] += duration > budget
        model = adaptation.model
        self._statuses[model.status] += 1
        self._limited += adaptation.is_limited
        return named_vector(
            ("loss_before", "loss_after", "step_norm", "adapt_s", "version", "window", "past", "over_budget",
             "step_limited", *AdaptationStatus),
            (adaptation.loss_before, adaptation.loss_after, adaptation.step_norm, duration, model.version, window, past,
             duration > budget, adaptation.is_limited,
             *(status is model.status for status in AdaptationStatus)), model.stamp)

    def health(self, cuts: Mapping[Cut, int], time_jumps: int) -> Health:
        """Return the health of now; what has gone wrong since the last call makes it a warning."""
        troubles = self._troubles | {f"answers: {status}": self._statuses[status] for status in ALARMING}
        is_well, self._reported = troubles == self._reported or not any(troubles.values()), troubles
        values: dict[str, object] = {**self._troubles, "time jumps": time_jumps, "steps limited": self._limited}
        values |= {f"answers: {status}": count for status, count in self._statuses.items()}
        values |= {f"duration {name} (s)": value for name, value in self._latency.summary().items()}
        values |= {f"cuts: {reason}": count for reason, count in cuts.items()}
        if self._last is None:
            return Health("model", WARN, "no state yet", values)
        last, window = self._last
        values = {"method": last.model.method, "checkpoint": last.model.checkpoint_id, "version": last.model.version,
                  "window": window, "loss before": last.loss_before, "loss after": last.loss_after,
                  "step norm": last.step_norm, **values}
        return Health("model", OK if is_well else WARN, last.model.status, values)
