# SPDX-License-Identifier: Apache-2.0
"""The file of a trained model: tensors in safetensors, everything else as JSON in the same file's metadata.

Without torch, so that a command line can be checked before anything slow is imported.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from l2a_ros.errors import UserError
from l2a_ros.learning.methods import find_method, method_names
from l2a_ros.robot.layout import ACTION, OUTPUT_SIZE, STATE, Frame, input_size
from l2a_ros.robot.share import share_file

FORMAT = 2
_KEY = "l2a_ros"


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint is and how it was made.

    Args:
        method: name of the learning method.
        state_names: the state layout it was trained on.
        action_names: the action layout.
        hidden_sizes: units per hidden layer.
        past: M, transitions adapted on.
        future: K, transitions the adapted model was judged on in training.
        inner_rates: step size of each layer on normalised data; for ``mb`` those of its dynamic evaluation.
        has_sensitivity: whether the units of a layer differ in how far they step: tensors ``layer{i}.sensitivity``.
        step_limit: longest step that training took for normal, as the norm of the change of all weights; 0 for none.
        inner_steps: gradient steps per adaptation.
        control_period: time between states, s.
        recurrent_size: units of the recurrent encoder of ``rebal``; 0 for the other methods.
        frame: where the network sees the state (:class:`~l2a_ros.robot.layout.Frame`).
        sources: what the data came from.
        training: figures of the training run.
        command: the command that made it.
        format: version of this file format.
    """

    method: str
    hidden_sizes: tuple[int, ...]
    past: int
    future: int
    inner_rates: tuple[float, ...]
    inner_steps: int
    control_period: float
    has_sensitivity: bool = False
    step_limit: float = 0.0
    recurrent_size: int = 0
    frame: str = Frame.HEADING
    sources: tuple[str, ...] = ()
    training: dict[str, float] = field(default_factory=dict)
    command: str = ""
    state_names: tuple[str, ...] = STATE.names
    action_names: tuple[str, ...] = ACTION.names
    format: int = FORMAT


def metadata_of(card: ModelCard) -> dict[str, str]:
    """Return a card as the metadata of a safetensors file."""
    return {_KEY: json.dumps(asdict(card), sort_keys=True)}


def layer_sizes(hidden_sizes: Sequence[int], frame: str = Frame.HEADING) -> list[int]:
    """Return all layer sizes of the robot's dynamics network, input to output."""
    return [input_size(Frame(frame)), *hidden_sizes, OUTPUT_SIZE]


def encoder_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the tensors of ``rebal``'s encoder by name: a gated recurrent unit and what it adds to the first layer."""
    size = card.recurrent_size
    if not size:
        return {}
    read = input_size(Frame(card.frame)) + OUTPUT_SIZE
    first = layer_sizes(card.hidden_sizes, card.frame)[1]
    return {"encoder.gru.weight_ih_l0": (3 * size, read), "encoder.gru.weight_hh_l0": (3 * size, size),
            "encoder.gru.bias_ih_l0": (3 * size,), "encoder.gru.bias_hh_l0": (3 * size,),
            "encoder.shift.weight": (first, size)}


def shipped_checkpoint(method: str) -> Path:
    """Return the path of the checkpoint that comes with the package for a method."""
    return share_file("checkpoints", f"millirobot_{find_method(method).trained_as}.safetensors")


def read_checkpoint_file(path: Path | str, method: str | None = None) -> tuple[ModelCard, dict[str, np.ndarray]]:
    """Read and check a checkpoint.

    Args:
        path: the file.
        method: refuse a checkpoint of another method, if given.

    Returns:
        Its card and its tensors by name, float32.

    Raises:
        UserError: if it is missing, damaged, not finite, or does not fit the robot or the method.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; train one with 'l2a meta-train' or name a shipped one")
    try:
        with safe_open(str(path), framework="np") as file:
            card = _card(path, file.metadata())
            _check_method(path, card, method)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            _check_shapes(path, card, {name: tuple(part.get_shape()) for name, part in slices.items()})
            for name, part in slices.items():
                if part.get_dtype() != "F32":
                    raise UserError(f"checkpoint {path} holds {name} as {part.get_dtype()}, expected F32; "
                                    "train it again")
            tensors = {name: file.get_tensor(name) for name in slices}
    except (SafetensorError, OSError) as error:
        raise UserError(f"checkpoint {path} is damaged or truncated ({str(error).splitlines()[0]}); "
                        "copy or train it again") from None
    _check_numbers(path, tensors)
    return card, tensors


def check_checkpoint(path: Path | str, method: str | None = None) -> ModelCard:
    """Check a checkpoint as :func:`read_checkpoint_file` does and return its card."""
    return read_checkpoint_file(path, method)[0]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_values(path: Path, card: ModelCard) -> None:
    """Refuse a card with values that nobody could compute with; dataclasses do not look at types."""
    good = {"method": isinstance(card.method, str) and card.method in method_names(),
            "hidden_sizes": all(_is_count(size) for size in card.hidden_sizes),
            "past": _is_count(card.past), "future": _is_count(card.future), "inner_steps": _is_count(card.inner_steps),
            "inner_rates": all(_is_number(rate) and rate >= 0.0 for rate in card.inner_rates),
            "recurrent_size": (_is_count(card.recurrent_size) if card.method == "rebal"
                               else _is_number(card.recurrent_size) and card.recurrent_size == 0),
            "frame": isinstance(card.frame, str) and card.frame in set(Frame),
            "has_sensitivity": isinstance(card.has_sensitivity, bool),
            "step_limit": _is_number(card.step_limit) and card.step_limit >= 0.0,
            "control_period": _is_number(card.control_period) and card.control_period > 0.0,
            "state_names": all(isinstance(name, str) for name in card.state_names),
            "action_names": all(isinstance(name, str) for name in card.action_names)}
    for name, is_good in good.items():
        if not is_good:
            raise UserError(f"checkpoint {path} cannot be used: its {name} is {getattr(card, name)!r}; train it again")


def _card(path: Path, metadata: dict[str, str] | None) -> ModelCard:
    try:
        data = json.loads((metadata or {})[_KEY])
        if "format" in data and data["format"] != FORMAT:
            raise UserError(f"checkpoint {path} has format {data['format']}, this version reads {FORMAT}; "
                            "train it again")
        for key in ("hidden_sizes", "inner_rates", "sources", "state_names", "action_names"):
            data[key] = tuple(data[key])
        card = ModelCard(**data)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UserError(f"{path} is a safetensors file but not a checkpoint of l2a_ros; "
                        "make one with 'l2a meta-train'") from None
    _check_values(path, card)
    STATE.check_names(card.state_names, f"checkpoint {path}")
    ACTION.check_names(card.action_names, f"checkpoint {path}")
    return card


def _check_shapes(path: Path, card: ModelCard, shapes: dict[str, tuple[int, ...]]) -> None:
    sizes = layer_sizes(card.hidden_sizes, card.frame)
    expected: dict[str, tuple[int, ...]] = {
        "input.mean": (sizes[0],), "input.std": (sizes[0],), "output.mean": (sizes[-1],), "output.std": (sizes[-1],)}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        expected[f"layer{i}.weight"], expected[f"layer{i}.bias"] = (fan_out, fan_in), (fan_out,)
        if card.has_sensitivity:
            expected[f"layer{i}.sensitivity"] = (fan_out,)
    expected |= encoder_shapes(card)
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise UserError(f"checkpoint {path} does not fit the robot: tensor {name} is {shapes.get(name)}, "
                            f"expected {expected.get(name)}")
    if len(card.inner_rates) != len(sizes) - 1:
        raise UserError(f"checkpoint {path} cannot be used: its inner_rates is {card.inner_rates!r} "
                        f"for {len(sizes) - 1} layers; train it again")


def _check_method(path: Path, card: ModelCard, method: str | None) -> None:
    if method is not None and card.method != find_method(method).trained_as:
        wanted = find_method(method).trained_as
        raise UserError(f"checkpoint {path} was trained for method '{card.method}', not '{wanted}'; use "
                        f"--method {card.method} or another checkpoint")


def _check_numbers(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    for name, tensor in tensors.items():
        if not np.all(np.isfinite(tensor)):
            raise UserError(f"checkpoint {path} holds numbers that are not finite in {name}; train it again")
        if name.endswith(".std") and not np.all(tensor > 0.0):
            raise UserError(f"checkpoint {path} holds a spread in {name} that is not above zero; train it again")
        if name.endswith(".sensitivity") and not np.all(tensor >= 0.0):
            raise UserError(f"checkpoint {path} holds a step size in {name} that is below zero; train it again")
