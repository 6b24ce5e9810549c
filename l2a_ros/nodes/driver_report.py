# SPDX-License-Identifier: Apache-2.0
"""The driver's word on /diagnostics: link, stop, battery and what is watched."""

from __future__ import annotations

from l2a_ros.driver.session import Session
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Health
from l2a_ros.safety.guard import RobotGuard
from l2a_ros.safety.motor_gate import GateState, MotorGate

#: A share of unanswered polls beyond this is worth a warning.
POOR = 0.2


class DriverReport:
    """Describes the driver; called with its lock.

    Args:
        session: of the link.
        gate: in front of the motors.
        guard: that watches.
    """

    def __init__(self, session: Session, gate: MotorGate, guard: RobotGuard) -> None:
        self._session, self._gate, self._guard = session, gate, guard
        self._said: tuple[object, ...] = ()
        self.battery_voltage = float("nan")

    def has_news(self, now: int, connection_problem: str) -> bool:
        """Tell whether something has changed since the last call that should be said at once."""
        # Without the figures: an age in a text would be news every time.
        said = (bool(self._guard.link_problem(now, connection_problem)), self._session.phase, self._gate.state,
                self._guard.is_stop_verified, bool(self._guard.stop_problem(now)), tuple(self._guard.problems()))
        has_changed, self._said = said != self._said, said
        return has_changed

    def healths(self, now: int, connection_problem: str) -> list[Health]:
        """Return the statuses of a moment, ns on the monotonic clock."""
        return [self._link(now, connection_problem), self._stop(now), self._watched(now, connection_problem)]

    def _link(self, now: int, connection_problem: str) -> Health:
        session, problem = self._session, self._guard.link_problem(now, connection_problem)
        values = session.figures.values(now)
        values |= {f"dropped {reason}": count for reason, count in session.dropped.items()}
        values |= {f"records {reason}": count for reason, count in session.plausibility.reasons.items()}
        values |= {"firmware": session.version, "profile": session.profile.name, "phase": str(session.phase)}
        bias = session.converter.gyro_bias
        values["gyro bias (rad/s)"] = "unknown" if bias is None else ", ".join(f"{value:.4f}" for value in bias)
        share = values["unanswered (share)"]
        is_poor = isinstance(share, float) and share > POOR
        message = problem or (f"{share:.0%} of the polls stay unanswered; move the radio" if is_poor else "good")
        return Health("link", ERROR if problem else WARN if is_poor else OK, message, values)

    def _stop(self, now: int) -> Health:
        level = ERROR if self._guard.stop_problem(now) else OK
        return Health("stop", level, self._guard.describe_stop(now))

    def _watched(self, now: int, connection_problem: str) -> Health:
        problems = self._guard.problems()
        missing = "" if self._gate.state is GateState.ARMED else self._guard.may_arm(now, connection_problem)
        message = "; ".join(problems.values()) or (f"not ready to arm: {missing}" if missing else "ready")
        return Health("robot", ERROR if problems else WARN if missing else OK, message,
                      {"battery (V)": self.battery_voltage})
