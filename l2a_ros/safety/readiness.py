# SPDX-License-Identifier: Apache-2.0
"""Whether everything that a robot needs to walk is live."""

from __future__ import annotations

from collections.abc import Mapping

from l2a_ros.safety.times import SECOND, figure, positive_duration


class Readiness:
    """Knows when each of some inputs was heard last; times are ns of one clock.

    Args:
        maximum_ages: s by name; an input that is exactly so old is live.

    Raises:
        UserError: for an age that is not finite and above zero.
    """

    def __init__(self, maximum_ages: Mapping[str, float]) -> None:
        self._maximum_ages = {name: positive_duration(f"the maximum age of {name}", age)
                              for name, age in maximum_ages.items()}
        self._heard: dict[str, int] = {}

    def heard(self, name: str, now: int) -> None:
        """Take note of an input; one that nobody waits for changes nothing."""
        self._heard[name] = now

    def missing(self, now: int) -> list[str]:
        """Say what is not live, one line for each, in the order of ``maximum_ages``."""
        reasons = []
        for name, maximum in self._maximum_ages.items():
            if name not in self._heard:
                reasons.append(f"no {name} yet")
                continue
            age = now - self._heard[name]
            if age > maximum:
                reasons.append(f"{name} is {figure(age / SECOND, 1)} s old")
            elif -age > maximum:
                reasons.append(f"{name} is {figure(-age / SECOND, 1)} s ahead: the clock was set back")
        return reasons
