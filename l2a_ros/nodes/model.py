# SPDX-License-Identifier: Apache-2.0
"""How the nodes that use the dynamics model get it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.methods import method_names
from l2a_ros.nodes.parameters import Parameter

if TYPE_CHECKING:
    from l2a_ros.learning.checkpoint import Checkpoint

MODEL_SCHEMA = (
    Parameter("control_period", 0.1, "time between robot_state messages, s", 0.005, 1.0),
    Parameter("method", "grbal", "how the model was trained and adapts", choices=method_names()),
    Parameter("checkpoint", "", "trained model (.safetensors); empty for the shipped one of the method"),
    Parameter("threads", 1, "processor threads of the numerical library", 1, 64),
)


def load_model(settings: Mapping[str, Any]) -> Checkpoint:
    """Set up the numerical library and load the checkpoint that the parameters of ``MODEL_SCHEMA`` name.

    Raises:
        UserError: if it cannot be used, or was trained for another control period.
    """
    import torch

    from l2a_ros.learning.checkpoint import load_checkpoint

    torch.set_num_threads(settings["threads"])
    path = settings["checkpoint"] or shipped_checkpoint(settings["method"])
    checkpoint = load_checkpoint(path, settings["method"])
    trained, wanted = checkpoint.card.control_period, settings["control_period"]
    if abs(trained - wanted) > 1e-6:
        raise UserError(f"checkpoint {path} was trained for a control period of {trained:g} s, not {wanted:g} s; "
                        "use its period or train another")
    return checkpoint
