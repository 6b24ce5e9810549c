# SPDX-License-Identifier: Apache-2.0
"""The message from adaptation to planner: whole round trip, and nothing but a UserError for anything else."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.methods import method_names
from l2a_ros.learning.network import Change, Factors, Layer, LayerChange

sizes = st.lists(st.integers(1, 6), min_size=2, max_size=5)
CARD: dict[str, Any] = {"stamp": 5, "version": 1, "checkpoint_id": "0123456789ab", "method": "grbal",
                        "status": "adapted"}
TENSORS = {"layer0.forward": torch.zeros(2, 3), "layer0.backward": torch.ones(2, 4),
           "layer1.forward": torch.zeros(2, 4), "layer1.backward": torch.ones(2, 1)}
#: The same sizes, as differences.
DENSE = {"layer0.weight": torch.zeros(4, 3), "layer0.bias": torch.ones(4),
         "layer1.weight": torch.zeros(1, 4), "layer1.bias": torch.ones(1)}


def some_change(layer_sizes: list[int], rank: int, seed: int = 0, dense: Iterable[bool] = ()) -> list[LayerChange]:
    """Draw a change, of the layers marked as ``dense`` (in turn) the whole difference."""
    generator = torch.Generator().manual_seed(seed)
    marks = itertools.cycle([*dense] or [False])

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return [Layer(draw(fan_out, fan_in), draw(fan_out)) if next(marks)
            else Factors(draw(rank, fan_in), draw(rank, fan_out))
            for fan_in, fan_out in itertools.pairwise(layer_sizes)]


def assert_same(ours: Change, theirs: Change) -> None:
    assert [type(part) for part in ours] == [type(part) for part in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def message(tensors: dict[str, Tensor] | None = None, **card: Any) -> bytes:
    return save(TENSORS if tensors is None else tensors, metadata={"adapted_model": json.dumps(CARD | card)})


def refusal(data: bytes) -> str:
    with pytest.raises(UserError) as caught:
        AdaptedModel.from_bytes(data)
    text = str(caught.value)
    assert text.startswith("not an adapted model: ")
    assert "\n" not in text
    return text


@settings(max_examples=80)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40), st.text(max_size=20), st.sampled_from(method_names()),
       st.sampled_from(AdaptationStatus), sizes, st.integers(0, 9), st.booleans(), st.lists(st.booleans(), max_size=4))
def test_round_trip(stamp: int, version: int, checkpoint_id: str, method: str, status: AdaptationStatus,
                    layer_sizes: list[int], rank: int, changed: bool, dense: list[bool]) -> None:
    change = some_change(layer_sizes, rank, dense=dense) if changed else []
    sent = AdaptedModel(stamp, version, checkpoint_id, method, status, change)
    got = AdaptedModel.from_bytes(sent.to_bytes())
    assert (got.stamp, got.version, got.checkpoint_id, got.method) == (stamp, version, checkpoint_id, method)
    assert got.status is status
    assert_same(got.change, change)


def test_the_same_model_is_the_same_bytes() -> None:
    sent = AdaptedModel(1, 2, "a", "grbal", AdaptationStatus.ADAPTED, some_change([3, 4, 2], 5, dense=[True, False]))
    assert sent.to_bytes() == AdaptedModel.from_bytes(sent.to_bytes()).to_bytes()


def test_views_and_slices_are_sent_as_what_they_show() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    change = [Factors(whole.T[:2], whole[1:3]), Layer(whole[1:], whole[1:, 0]), Layer(whole.T[:, 1:], whole[0])]
    sent = AdaptedModel(1, 1, "a", "mb_de", AdaptationStatus.ADAPTED, change)
    assert_same(AdaptedModel.from_bytes(sent.to_bytes()).change, sent.change)


def test_size_on_the_wire_is_small() -> None:
    def size(rank: int, **kind: Any) -> int:
        change = some_change([21, 500, 500, 500, 24], rank, **kind)
        return len(AdaptedModel(1, 1, "a", "grbal", AdaptationStatus.ADAPTED, change).to_bytes())

    assert size(16) < 250_000, "the point of sending factors: 2.1 MB of weights would be slow"
    assert 2_000_000 < size(16, dense=[True]) < 2_200_000


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_garbage(data: bytes, framed: bool) -> None:
    refusal(struct.pack("<Q", len(data)) + data if framed else data)


@settings(max_examples=60)
@given(st.floats(0.0, 1.0, exclude_max=True))
@pytest.mark.parametrize("tensors", [TENSORS, DENSE], ids=["factors", "differences"])
def test_truncated(tensors: dict[str, Tensor], part: float) -> None:
    data = message(tensors)
    refusal(data[:int(part * len(data))])


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.parametrize("tensors", [TENSORS, DENSE], ids=["factors", "differences"])
def test_changed_bytes_are_refused_or_read(tensors: dict[str, Tensor], changes: list[tuple[float, int]]) -> None:
    data = bytearray(message(tensors))
    for position, value in changes:
        data[int(position * len(data))] = value
    try:
        got = AdaptedModel.from_bytes(bytes(data))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(len(part.weight) == len(part.bias) if isinstance(part, Layer)
                   else len(part.forward) == len(part.backward) for part in got.change)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
                           max_leaves=5)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(CARD)), json_values, min_size=1, max_size=5))
def test_any_card(entries: dict[str, Any]) -> None:
    try:
        got = AdaptedModel.from_bytes(message(**entries))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(got.stamp, int)
        assert isinstance(got.version, int)
        assert isinstance(got.checkpoint_id, str)


@pytest.mark.parametrize("data", [
    b"", b"\0" * 8, b"\xff" * 64, b'{"a": 1}', struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]",
    struct.pack("<Q", 4) + b"null", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 200_000) + b"[" * 200_000,
    struct.pack("<Q", 40) + b'{"__metadata__": {"adapted_model": "1"}}', save({"a": torch.zeros(1)}),
])
def test_known_garbage(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize("card", [
    {"stamp": float("inf")}, {"stamp": float("nan")}, {"stamp": None}, {"stamp": "soon"}, {"version": [1]},
    {"status": "great"}, {"status": None}], ids=str)
def test_bad_card(card: dict[str, Any]) -> None:
    refusal(message(**card))


def test_deeply_nested_card() -> None:
    refusal(save(TENSORS, metadata={"adapted_model": "[" * 100_000}))


@pytest.mark.parametrize("change", [
    {"layer1.forward": None}, {"layer0.backward": None, "layer0.forward": None}, {"layer2.forward": torch.zeros(2, 2)},
    {"other": torch.zeros(1)}, {"layer0.forward": torch.zeros(3, 3)}, {"layer0.backward": torch.zeros(2)},
    {"layer0.forward": torch.zeros(1, 2, 3)}, {"layer1.backward": torch.zeros(2, 1, dtype=torch.float64)},
    {"layer1.backward": torch.zeros(2, 1, dtype=torch.int32)}, {"layer0.forward": torch.tensor(1.0)},
], ids=lambda change: ",".join(change))
def test_tensors_that_are_no_factors(change: dict[str, Tensor | None]) -> None:
    tensors = {name: tensor for name, tensor in {**TENSORS, **change}.items() if tensor is not None}
    refusal(message(tensors))


@pytest.mark.parametrize("change", [
    {"layer1.weight": None}, {"layer0.bias": None}, {"layer0.weight": None, "layer0.bias": None},
    {"layer1.weight": None, "layer1.bias": None, "layer2.weight": torch.zeros(1, 4), "layer2.bias": torch.zeros(1)},
    {"layer0.weight": torch.zeros(5, 3)}, {"layer0.bias": torch.zeros(5)}, {"layer1.bias": torch.zeros(1, 1)},
    {"layer0.weight": torch.zeros(5, 3), "layer0.bias": torch.zeros(5)}, {"layer1.weight": torch.zeros(4)},
    {"layer1.weight": torch.zeros(1, 4, dtype=torch.float64)}, {"layer0.bias": torch.zeros(4, dtype=torch.float16)},
    {"layer0.forward": torch.zeros(2, 3)}, {"layer0.forward": torch.zeros(2, 3), "layer0.backward": torch.zeros(2, 4)},
    {"layer0.bias": None, "layer0.backward": torch.zeros(2, 4)},
    {"layer0.weight": None, "layer0.forward": torch.zeros(2, 3)}, {"layer2.weight": torch.zeros(1, 1)},
    {"layer1.weight": None, "layer1.bias": None, "layer1.forward": torch.zeros(2, 5),
     "layer1.backward": torch.zeros(2, 1)},
], ids=lambda change: ",".join(f"{name}{'' if tensor is None else list(tensor.shape)}" for name, tensor in
                               change.items()))
def test_tensors_that_are_no_differences(change: dict[str, Tensor | None]) -> None:
    tensors = {name: tensor for name, tensor in {**DENSE, **change}.items() if tensor is not None}
    refusal(message(tensors))


def test_layers_may_change_each_in_its_own_way() -> None:
    for first, second in itertools.product((TENSORS, DENSE), repeat=2):
        tensors = {name: tensor for name, tensor in first.items() if "layer0" in name}
        tensors |= {name: tensor for name, tensor in second.items() if "layer1" in name}
        kinds = [type(part) for part in AdaptedModel.from_bytes(message(tensors)).change]
        assert kinds == [Layer if each is DENSE else Factors for each in (first, second)]
