# SPDX-License-Identifier: Apache-2.0
"""The newest adapted model, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

from l2a_ros.errors import UserError
from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.nodes.messages import SECOND


class ModelInbox:
    """Keeps the newest model that can be used.

    Args:
        check: raises UserError for a model that cannot be used.
    """

    def __init__(self, check: Callable[[AdaptedModel], None]) -> None:
        self._check = check
        self.model: AdaptedModel | None = None
        self._refused: str | None = None

    def take(self, data: bytes) -> AdaptedModel:
        """Take the bytes of a message.

        Raises:
            UserError: if they are no model that can be used; the one before is kept.
        """
        try:
            model = AdaptedModel.from_bytes(data)
            self._check(model)
        except UserError as error:
            self._refused = str(error)
            raise
        # One sender, in order: what came last is the newest, also after a jump of time.
        self.model, self._refused = model, None
        return model

    def forget(self, but: int | None = None) -> None:
        """Forget the model, but not that of a state with this stamp (ns), which may come before its state."""
        if self.model is None or self.model.stamp != but:
            self.model = None
        self._refused = None

    def is_of(self, stamp: int) -> bool:
        """Tell whether the newest model is that of the state with this stamp (ns)."""
        return self.model is not None and self.model.stamp == stamp

    def problem_at(self, stamp: int, maximum_age: float) -> str | None:
        """Say why there is no model for the state with this stamp (ns); None if there is one.

        Args:
            stamp: of the state, ns.
            maximum_age: by which a model may be older, s.
        """
        if self.model is not None and (stamp - self.model.stamp) / SECOND <= maximum_age:
            return None
        # Without the age itself: it would be another reason every tick.
        problem = ("no adapted_model yet" if self.model is None
                   else f"adapted_model is older than {maximum_age:g} s")
        return problem if self._refused is None else f"{problem} ({self._refused})"
