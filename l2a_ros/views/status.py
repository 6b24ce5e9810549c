# SPDX-License-Identifier: Apache-2.0
"""How a run goes, in a few short lines for a text in the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from l2a_ros.safety.motor_gate import NOT_READY, GateState
from l2a_ros.safety.times import SECOND

#: How statuses on /diagnostics end, after the name of the node that says them.
GATE, FAULTS, MODEL, PLANNER, ESTIMATE = ": motor gate", ": faults", ": model", ": planner", ": state"
#: What these say when nothing is worth a line.
_NORMAL = {FAULTS: "none", PLANNER: "following", ESTIMATE: "ok"}
#: Flags of ``adaptation/metrics``: the values of ``AdaptationStatus``, whose module takes long to import.
STATUSES = ("adapted", "not_adaptive", "disabled", "short_window", "not_finite", "loss_increase")
_MS_PER_S, _CM_PER_M = 1000.0, 100.0


@dataclass(frozen=True)
class Whereabouts:
    """Where the robot is along its path.

    Args:
        lateral_error: m, left positive; NaN off any path.
        progress: along the path, m.
        length: of the path, m.
    """

    lateral_error: float = math.nan
    progress: float = math.nan
    length: float = math.nan


@dataclass(frozen=True)
class Diagnosis:
    """One status heard on /diagnostics.

    Args:
        message: its line.
        values: its figures by name, as text.
        is_error: whether its level is an error.
    """

    message: str
    values: Mapping[str, str]
    is_error: bool = False


class StatusBoard:
    """Keeps the newest of every kind of news and says what is still true; moments are s of one monotonic clock.

    Args:
        maximum_age: what is older is not said any more, s.
    """

    def __init__(self, maximum_age: float = 3.0) -> None:
        self._maximum_age = maximum_age
        self._figures: dict[str, tuple[float, Mapping[str, float]]] = {}
        self._diagnoses: dict[str, tuple[float, Diagnosis]] = {}
        self._stamp: int | None = None
        self._period = math.nan
        self._state_at = -math.inf

    def state_heard(self, stamp: int, moment: float) -> None:
        """Take note of a state with this stamp, ns."""
        if self._stamp is not None and stamp > self._stamp:
            self._period = (stamp - self._stamp) / SECOND
        self._stamp, self._state_at = stamp, moment

    def figures_heard(self, source: str, values: Mapping[str, float], moment: float) -> None:
        """Take the figures that a node publishes every tick; ``source`` is its name."""
        self._figures[source] = moment, values

    def diagnosis_heard(self, name: str, diagnosis: Diagnosis, moment: float) -> None:
        """Take a status of this name, ``NODE: WHAT``; one that nobody shows is forgotten."""
        for kind in (GATE, FAULTS, MODEL, PLANNER, ESTIMATE):
            if name.endswith(kind):
                self._diagnoses[kind] = moment, diagnosis

    def is_alarming(self, moment: float) -> bool:
        """Tell whether the robot cannot go on: stopped, without a state, or a node says that something is wrong."""
        gate = self._said(GATE, moment)
        return (gate is not None and gate.values.get("state") == GateState.STOPPED
                or math.isfinite(self._silence(moment))
                or any(said.is_error for kind in _NORMAL if (said := self._said(kind, moment)) is not None))

    def lines(self, where: Whereabouts, moment: float) -> list[str]:
        """Return what there is to say, ASCII alone: RViz has few other letters."""
        lines = [self._adaptation(moment), _along(where), self._costs(moment), self._times(moment), self._gate(moment),
                 *self._troubles(moment)]
        return [line for line in lines if line] or ["nothing heard yet"]

    def _said(self, kind: str, moment: float) -> Diagnosis | None:
        heard, diagnosis = self._diagnoses.get(kind, (-math.inf, None))
        return diagnosis if moment - heard <= self._maximum_age else None

    def _figure(self, source: str, name: str, moment: float) -> float:
        heard, values = self._figures.get(source, (-math.inf, {}))
        return values.get(name, math.nan) if moment - heard <= self._maximum_age else math.nan

    def _silence(self, moment: float) -> float:
        """Return for how long there was no state, s; NaN while there is one, and before the first."""
        silence = moment - self._state_at
        return silence if self._maximum_age < silence < math.inf else math.nan

    def _adaptation(self, moment: float) -> str:
        model = self._said(MODEL, moment)
        method = model.values.get("method", "") if model is not None else ""
        status = next((name for name in STATUSES if self._figure("adaptation", name, moment) == 1.0), "")
        before, after = (self._figure("adaptation", f"loss_{when}", moment) for when in ("before", "after"))
        loss = f", loss {before:.3g} to {after:.3g}" if status and math.isfinite(before + after) else ""
        return " ".join(each for each in (method, status.replace("_", " ")) if each) + loss

    def _costs(self, moment: float) -> str:
        return _joined((("cost {:.2f} per step", self._figure("trial", "cost", moment)),
                        ("plan cost {:.1f}", self._figure("mpc", "cost", moment))))

    def _times(self, moment: float) -> str:
        period = self._period if moment - self._state_at <= self._maximum_age else math.nan
        latency = self._figure("mpc", "state_to_command_s", moment)
        return _joined((("period {:.0f} ms", _MS_PER_S * period), ("state to command {:.0f} ms", _MS_PER_S * latency)))

    def _gate(self, moment: float) -> str:
        gate = self._said(GATE, moment)
        if gate is None:
            return ""
        state = gate.values.get("state", "")
        reason = gate.values.get(NOT_READY) or (gate.message if gate.message != state else "")
        return f"motors {state}{': ' if state and reason else ''}{reason}"

    def _troubles(self, moment: float) -> list[str]:
        labels = {FAULTS: "fault ", PLANNER: "planner: ", ESTIMATE: "state: "}
        lines = [f"{label}{said.message}" for kind, label in labels.items()
                 if (said := self._said(kind, moment)) is not None and said.message != _NORMAL[kind]]
        silence = self._silence(moment)
        return [*lines, f"no robot_state for {silence:.0f} s"] if math.isfinite(silence) else lines


def _along(where: Whereabouts) -> str:
    if not math.isfinite(where.lateral_error):
        return ""
    return (f"lateral error {_CM_PER_M * where.lateral_error:+.1f} cm, progress {where.progress:.2f} of "
            f"{where.length:.2f} m")


def _joined(parts: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(form.format(value) for form, value in parts if math.isfinite(value))
