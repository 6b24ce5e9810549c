# SPDX-License-Identifier: Apache-2.0
"""What the managed (lifecycle) nodes share."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from l2a_ros.errors import UserError
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.realtime import LoopProcess

AUTOSTART = Parameter("autostart", True, "configure and activate at start; false waits for lifecycle requests")


class ManagedNode(LifecycleNode):
    """A lifecycle node that can bring itself up.

    Subclasses implement ``configure``, ``activate`` and ``deactivate``, and give their parameters. Errors in a
    transition are logged as one line and fail the transition; at start they end the process.
    """

    def __init__(self, name: str, schema: Sequence[Parameter]) -> None:
        super().__init__(name)
        self.loop_process = LoopProcess(self)
        self.settings: dict[str, Any] = declare(self, [AUTOSTART, *schema])
        self._failure: Exception | None = None
        self._starting = False
        self._opened: dict[Any, Callable[[Any], bool]] = {}

    def start(self) -> None:
        """Go to active if ``autostart`` is set.

        Raises:
            Exception: whatever kept a transition from succeeding.
        """
        if not self.settings["autostart"]:
            return
        self._starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            result = trigger()
            if self._failure is not None:
                raise self._failure
            if result != TransitionCallbackReturn.SUCCESS:
                raise RuntimeError(f"{self.get_name()} could not be started")
        self._starting = False

    def configure(self) -> None:
        """Build everything; may raise UserError."""

    def activate(self) -> None:
        """Begin to act."""

    def deactivate(self) -> None:
        """Stop acting; the robot stands."""

    def cleanup(self) -> None:
        """Undo what ``configure`` did, except its topics and services: those are closed for it."""

    def destroy_node(self) -> None:
        """End the node at once: rclpy forgets its state machine, which holds the participant until it is collected."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _interfaces(self) -> dict[Any, Callable[[Any], bool]]:
        return {**dict.fromkeys(self.publishers, self.destroy_publisher),
                **dict.fromkeys(self.subscriptions, self.destroy_subscription),
                **dict.fromkeys(self.services, self.destroy_service),
                **dict.fromkeys(self.clients, self.destroy_client)}

    def _close(self) -> None:
        for interface, destroy in self._opened.items():
            destroy(interface)
        self._opened = {}

    def _run(self, action: Any) -> TransitionCallbackReturn:
        self._failure = None
        try:
            action()
        except UserError as error:
            self._failure = error
            # At start the process ends with it as its last and only line.
            if not self._starting:
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - whatever it is, the transition has failed
            self._failure = error
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition."""
        before = self._interfaces()
        result = self._run(self.configure)
        self._opened = {each: destroy for each, destroy in self._interfaces().items() if each not in before}
        if result != TransitionCallbackReturn.SUCCESS:
            self._close()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition."""
        result = self._run(self.activate)
        return result if result != TransitionCallbackReturn.SUCCESS else super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition."""
        result = self._run(self.deactivate)
        return result if result != TransitionCallbackReturn.SUCCESS else super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition."""
        result = self._run(self.cleanup)
        self._close()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition."""
        return self._run(self.deactivate)
