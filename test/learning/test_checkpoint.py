# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what is written is read back; anything else is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learning_samples import make_small_checkpoint, random_window
from safetensors.torch import save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint, make_checkpoint, save_checkpoint
from l2a_ros.learning.checkpoint_file import check_checkpoint, shipped_checkpoint
from l2a_ros.learning.methods import method_names, trained_methods
from l2a_ros.learning.network import Layer
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import model_input
from l2a_ros.robot.layout import ACTION, INPUT_STATE_NAMES, STATE, Frame

SMALL = make_small_checkpoint()
REBAL = make_small_checkpoint("rebal")


def tensors_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    tensors = {"input.mean": checkpoint.inputs.mean, "input.std": checkpoint.inputs.std,
               "output.mean": checkpoint.outputs.mean, "output.std": checkpoint.outputs.std}
    for i, layer in enumerate(checkpoint.weights):
        tensors |= {f"layer{i}.weight": layer.weight, f"layer{i}.bias": layer.bias}
    encoder = {} if checkpoint.encoder is None else checkpoint.encoder.state_dict()
    return tensors | {f"encoder.{name}": tensor for name, tensor in encoder.items()}


def write(path: Path, tensors: dict[str, Tensor] | None = None, base: Checkpoint = SMALL, **card: Any) -> Path:
    """Write a checkpoint by hand, with these tensors or these entries of the card instead of the right ones."""
    text = json.dumps(asdict(base.card) | card)
    path.write_bytes(save(tensors or tensors_of(base), metadata={"l2a_ros": text}))
    return path


def refusal(path: Path, method: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, method)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text, "which file it is about"
    return text


@pytest.mark.parametrize("hidden", [(16, 12), (5,), (500, 500, 500)])
@pytest.mark.parametrize("method", trained_methods())
@pytest.mark.parametrize("frame", Frame)
def test_round_trip(tmp_path: Path, hidden: tuple[int, ...], method: str, frame: Frame) -> None:
    rates = tuple(0.125 * i for i in range(len(hidden) + 1))
    checkpoint = make_small_checkpoint(method, 3, hidden, past=11, inner_rates=rates, inner_steps=2,
                                       frame=frame.value)
    path = tmp_path / "new" / "folder" / "model.safetensors"
    save_checkpoint(checkpoint, path)
    for found in (load_checkpoint(path), load_checkpoint(str(path), method)):
        assert found.card == checkpoint.card
        assert found.card.inner_rates == rates
        assert found.frame is frame
        assert found.id == checkpoint.id
        assert (found.encoder is not None) == (method == "rebal")
        assert tensors_of(found).keys() == tensors_of(checkpoint).keys()
        for name, tensor in tensors_of(checkpoint).items():
            assert torch.equal(tensors_of(found)[name], tensor)
    assert check_checkpoint(path) == checkpoint.card
    assert os.listdir(path.parent) == ["model.safetensors"], "nothing else is left"


def test_id_is_that_of_the_numbers(tmp_path: Path) -> None:
    assert make_small_checkpoint(seed=0).id == SMALL.id
    assert dataclasses.replace(SMALL, card=dataclasses.replace(SMALL.card, command="other")).id == SMALL.id
    assert len(SMALL.id) == 12
    ids = {SMALL.id}
    for name, tensor in tensors_of(SMALL).items():
        changed = {**tensors_of(SMALL), name: tensor.clone()}
        changed[name].view(-1)[-1] = torch.nextafter(changed[name].view(-1)[-1], torch.tensor(9e9))
        ids.add(load_checkpoint(write(tmp_path / "model.safetensors", changed)).id)
    assert len(ids) == 1 + len(tensors_of(SMALL)), "the smallest change of any tensor is seen"


def test_double_precision_and_gradients_are_stored_as_plain_single_precision(tmp_path: Path) -> None:
    weights = [Layer(layer.weight.double().requires_grad_(), layer.bias.double()) for layer in SMALL.weights]
    checkpoint = make_checkpoint(SMALL.card, weights, SMALL.inputs, SMALL.outputs)
    assert checkpoint.id == SMALL.id
    assert checkpoint.weights[0].weight.dtype == torch.float32
    assert not checkpoint.weights[0].weight.requires_grad
    save_checkpoint(checkpoint, tmp_path / "a.safetensors")
    assert load_checkpoint(tmp_path / "a.safetensors").id == SMALL.id


def test_saving_twice_replaces(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(SMALL, path)
    other = make_small_checkpoint(seed=9)
    save_checkpoint(other, path)
    assert load_checkpoint(path).id == other.id != SMALL.id


def test_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, or the process is killed, between the first byte and the last."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(SMALL, path)
    write_bytes = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        write_bytes(self, data[:len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(make_small_checkpoint(seed=9), path)
    assert load_checkpoint(path).id == SMALL.id


# Refusals ------------------------------------------------------------------------------------------------------------


def test_missing(tmp_path: Path) -> None:
    assert "does not exist; train one" in refusal(tmp_path / "nothing.safetensors")
    assert "does not exist" in refusal(tmp_path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0.0, 1.0, exclude_max=True))
def test_truncated_anywhere(tmp_path: Path, part: float) -> None:
    content = write(tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[:int(part * len(content))])
    assert "damaged or truncated" in refusal(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "random.safetensors"
    path.write_bytes(data)
    refusal(path)
    # The same with a length in front that promises a header of this size.
    path.write_bytes(struct.pack("<Q", len(data)) + data)
    refusal(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positions=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=4), value=st.integers(0, 255),
       header=st.booleans())
def test_changed_bytes_are_refused_or_harmless(tmp_path: Path, positions: list[float], value: int,
                                               header: bool) -> None:
    """Any byte may be anything: the result is a refusal or a model of finite numbers, never another exception."""
    content = bytearray(write(tmp_path / "whole.safetensors").read_bytes())
    end = 8 + int.from_bytes(content[:8], "little") if header else len(content)
    for position in positions:
        content[int(position * end)] = value
    path = tmp_path / "changed.safetensors"
    path.write_bytes(content)
    try:
        found = load_checkpoint(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors_of(found).values())


def test_foreign_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}, {"l2a_ros": "no json"}, {"l2a_ros": "[]"}, {"l2a_ros": "{}"},
                     {"l2a_ros": "null"}, {"l2a_ros": '{"method": "grbal"}'}, {"l2a_ros": "[" * 100_000}):
        path.write_bytes(save({"model.weight": torch.zeros(3)}, metadata=metadata))
        assert "not a checkpoint of l2a_ros" in refusal(path)


def test_newer_format(tmp_path: Path) -> None:
    assert "format 3, this version reads 2" in refusal(write(tmp_path / "a.safetensors", format=3))


@pytest.mark.parametrize(("card", "expected"), [
    ({"state_names": STATE.names[1:]}, "state layout: missing position_x"),
    ({"state_names": [*STATE.names, "tail_angle"]}, "state layout: unexpected tail_angle"),
    ({"state_names": [*STATE.names[1:], STATE.names[0]]}, "state layout: same elements in another order"),
    ({"action_names": ["left_leg"]}, "action layout: missing right_leg"),
    ({"action_names": ["right_leg", "left_leg"]}, "action layout: same elements in another order"),
])
def test_layout_of_another_robot_is_named(tmp_path: Path, card: dict[str, Any], expected: str) -> None:
    assert expected in refusal(write(tmp_path / "a.safetensors", **card))


@pytest.mark.parametrize("card", [
    {"past": "six"}, {"past": 0}, {"past": -1}, {"past": 2.5}, {"past": None}, {"past": True}, {"future": 0},
    {"inner_rates": None}, {"inner_rates": "abc"}, {"inner_rates": 0.1}, {"inner_rates": []},
    {"inner_rates": [0.1, 0.1]}, {"inner_rates": [0.1, 0.1, 0.1, 0.1]}, {"inner_rates": [0.1, -1.0, 0.1]},
    {"inner_rates": [float("nan"), 0.1, 0.1]}, {"inner_rates": [0.1, 0.1, float("inf")]},
    {"inner_rates": [0.1, None, 0.1]}, {"recurrent_size": 5}, {"recurrent_size": None}, {"recurrent_size": "five"},
    {"recurrent_size": -1}, {"frame": "body"}, {"frame": None}, {"frame": 3},
    {"inner_steps": 0}, {"inner_steps": 1.5}, {"inner_steps": []},
    {"control_period": 0.0}, {"control_period": "0.1"}, {"control_period": float("nan")},
    {"hidden_sizes": ["a", 12]}, {"hidden_sizes": [0, 12]}, {"hidden_sizes": [-16, 12]}, {"hidden_sizes": "ab"},
    {"hidden_sizes": 5}, {"method": 7}, {"method": None}, {"state_names": 3}, {"state_names": None},
    {"state_names": [1, 2]}, {"action_names": [["left_leg"]]},
    {"unknown_entry": 1},
], ids=str)
def test_card_that_makes_no_sense(tmp_path: Path, card: dict[str, Any]) -> None:
    refusal(write(tmp_path / "a.safetensors", **card))


def test_wrong_method(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    for method in ("mb", "mb_de", "rebal"):
        wanted = "mb" if method == "mb_de" else method
        assert f"was trained for method 'grbal', not '{wanted}'; use --method grbal" in refusal(path, method)
    with pytest.raises(UserError, match="unknown method 'sac'; known: grbal, mb, mb_de, rebal"):
        load_checkpoint(path, "sac")


def test_checkpoint_of_mb_is_one_of_mb_de_too(tmp_path: Path) -> None:
    path = tmp_path / "mb.safetensors"
    save_checkpoint(make_small_checkpoint("mb"), path)
    assert load_checkpoint(path, "mb_de").id == load_checkpoint(path, "mb").id


def test_method_that_this_version_does_not_know(tmp_path: Path) -> None:
    assert "sac" in refusal(write(tmp_path / "a.safetensors", method="sac"))


@pytest.mark.parametrize("name", sorted(tensors_of(SMALL)))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite(tmp_path: Path, name: str, value: float) -> None:
    tensors = {**tensors_of(SMALL), name: tensors_of(SMALL)[name].clone()}
    tensors[name].view(-1)[3] = value
    assert f"not finite in {name}" in refusal(write(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize("name", ["input.std", "output.std"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_spread_that_cannot_be_divided_by(tmp_path: Path, name: str, value: float) -> None:
    tensors = {**tensors_of(SMALL), name: tensors_of(SMALL)[name].clone()}
    tensors[name][5] = value
    assert name in refusal(write(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_other_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {**tensors_of(SMALL), "layer0.bias": tensors_of(SMALL)["layer0.bias"].to(dtype)}
    assert "holds layer0.bias as " in refusal(write(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize("name", sorted(tensors_of(SMALL)))
def test_missing_wrong_and_extra_tensors(tmp_path: Path, name: str) -> None:
    path, right = tmp_path / "a.safetensors", tensors_of(SMALL)
    without = {key: value for key, value in right.items() if key != name}
    assert f"tensor {name} is None" in refusal(write(path, without))
    longer = torch.cat([right[name], right[name][:1]])
    assert f"tensor {name} is {tuple(longer.shape)}, expected {tuple(right[name].shape)}" in refusal(
        write(path, {**right, name: longer}))
    assert "tensor layer9.weight" in refusal(write(path, {**right, "layer9.weight": torch.zeros(2, 2)}))


def test_card_that_promises_other_layers(tmp_path: Path) -> None:
    for hidden in ([16, 12, 12], [12, 16]):
        path = write(tmp_path / "a.safetensors", hidden_sizes=hidden, inner_rates=[0.1] * (len(hidden) + 1))
        assert "does not fit the robot" in refusal(path)


def test_card_that_promises_another_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", frame="map")
    assert "tensor input.mean is (21,), expected (24,)" in refusal(path)


def test_model_in_the_frame_of_the_map(tmp_path: Path) -> None:
    checkpoint, path, window = make_small_checkpoint(frame="map"), tmp_path / "a.safetensors", random_window(5)
    save_checkpoint(checkpoint, path)
    found = load_checkpoint(path)
    inputs, targets = found.normalise(window)
    assert inputs.shape == targets.shape == (5, 24)
    torch.testing.assert_close(found.inputs.restore(inputs), model_input(window.states, window.actions, Frame.MAP))
    assert torch.equal(found.predict(window.states, window.actions), checkpoint.predict(window.states, window.actions))


# ReBAL's encoder -----------------------------------------------------------------------------------------------------

ENCODER = sorted(name for name in tensors_of(REBAL) if name.startswith("encoder."))


def test_encoder_reads_the_same_from_the_file(tmp_path: Path) -> None:
    save_checkpoint(REBAL, tmp_path / "a.safetensors")
    found = load_checkpoint(tmp_path / "a.safetensors")
    assert found.encoder is not None and REBAL.encoder is not None
    assert not any(parameter.requires_grad for parameter in found.encoder.parameters())
    window = REBAL.normalise(random_window(6))
    assert torch.equal(found.encoder(*window), REBAL.encoder(*window))
    assert len(ENCODER) == 5


@pytest.mark.parametrize("name", ENCODER)
def test_missing_wrong_and_damaged_encoder_tensors(tmp_path: Path, name: str) -> None:
    path, right = tmp_path / "a.safetensors", tensors_of(REBAL)
    without = {key: value for key, value in right.items() if key != name}
    assert f"tensor {name} is None" in refusal(write(path, without, REBAL))
    longer = torch.cat([right[name], right[name][:1]])
    assert f"tensor {name} is {tuple(longer.shape)}, expected {tuple(right[name].shape)}" in refusal(
        write(path, {**right, name: longer}, REBAL))
    damaged = right[name].clone()
    damaged.view(-1)[2] = float("nan")
    assert f"not finite in {name}" in refusal(write(path, {**right, name: damaged}, REBAL))
    changed = right[name].clone()
    changed.view(-1)[2] += 1.0
    assert load_checkpoint(write(path, {**right, name: changed}, REBAL)).id != REBAL.id


@pytest.mark.parametrize("size", [4, 6, 64])
def test_card_that_promises_another_memory(tmp_path: Path, size: int) -> None:
    assert "tensor encoder." in refusal(write(tmp_path / "a.safetensors", None, REBAL, recurrent_size=size))


@pytest.mark.parametrize("size", [0, -5, 5.0, True, None, [5]])
def test_memory_that_makes_no_sense(tmp_path: Path, size: object) -> None:
    assert "its recurrent_size is" in refusal(write(tmp_path / "a.safetensors", None, REBAL, recurrent_size=size))


def test_encoder_belongs_to_rebal_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert "its recurrent_size is 5" in refusal(write(path, None, REBAL, method="grbal"))
    assert "tensor encoder." in refusal(write(path, tensors_of(REBAL)))
    assert "tensor encoder." in refusal(write(path, tensors_of(SMALL), REBAL))


# The checkpoints that come with the package --------------------------------------------------------------------------


@pytest.mark.parametrize("method", trained_methods())
def test_shipped_checkpoint(method: str) -> None:
    path = shipped_checkpoint(method)
    checkpoint = load_checkpoint(path, method)
    card = checkpoint.card
    assert card.control_period == 0.1
    assert card.past >= 4
    assert card.future >= 1
    assert all(0.0 <= rate < 10.0 for rate in card.inner_rates) and max(card.inner_rates) > 0.0
    assert card.recurrent_size >= (method == "rebal")
    assert card.inner_steps >= 1
    assert card.sources
    assert card.command.startswith("l2a meta-train ")
    assert f"--method {method}" in card.command or method == "grbal"
    training = card.training
    assert training["transitions"] > 10_000
    assert training["held_out_loss_after"] < 1.0, "predicting the mean would give 1"
    if method == "grbal":
        # That it pays where it should, on a robot that breaks, is the claim of test_adaptation_pays.py.
        assert training["held_out_loss_after"] < 1.02 * training["held_out_loss_before"]
    elif method == "rebal":
        assert training["held_out_loss_after"] < training["held_out_loss_before"]
    else:
        assert training["held_out_loss_after"] == training["held_out_loss_before"]
    assert path.stat().st_size < 8_000_000
    assert float(checkpoint.inputs.std.min()) > 0.0
    assert float(checkpoint.outputs.std.min()) > 0.0


def test_every_method_has_a_shipped_checkpoint() -> None:
    for name in method_names():
        assert shipped_checkpoint(name).is_file()
        load_checkpoint(shipped_checkpoint(name), name)
    assert shipped_checkpoint("mb_de") == shipped_checkpoint("mb")
    with pytest.raises(UserError, match="known: grbal, mb, mb_de, rebal"):
        shipped_checkpoint("rebel")


def test_shipped_normalisation_is_of_the_robot() -> None:
    """The inputs were seen: leg rates within what may be commanded, battery of one cell."""
    inputs: Normalization = load_checkpoint(shipped_checkpoint("mb")).inputs
    means = dict(zip((*INPUT_STATE_NAMES, *ACTION.names), inputs.mean.tolist(), strict=True))
    assert 3.4 < means["battery_voltage"] < 4.2
    assert 12.0 < means["left_leg"] < 57.0
    assert 12.0 < means["right_leg"] < 57.0
    assert means["velocity_x"] > 0.0
