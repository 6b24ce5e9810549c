# SPDX-License-Identifier: Apache-2.0
"""Recordings as windows to train on: split by recording, flat in memory, never across a cut."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.robot.layout import Frame


@dataclass(frozen=True)
class Windows:
    """All transitions of one side of the split, flat and normalised, and where windows may start.

    Args:
        inputs: ``(n, in)``.
        targets: ``(n, out)``.
        starts: indices at which a whole window begins.
    """

    inputs: Tensor
    targets: Tensor
    starts: Tensor

    def gather(self, chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Return windows of a length by their numbers ``(b,)``: ``(b, length, in)`` and ``(b, length, out)``."""
        rows = self.starts[chosen].unsqueeze(1) + torch.arange(length)
        return self.inputs[rows], self.targets[rows]


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained and judged on, and the normalisation of the former."""

    training: Windows
    validation: Windows
    inputs: Normalization
    outputs: Normalization

    @property
    def fingerprint(self) -> str:
        """Short name of exactly these numbers."""
        digest = hashlib.sha256()
        for side in (self.training, self.validation):
            for tensor in (side.inputs, side.targets, side.starts):
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()[:12]


def make_data(training: Sequence[Transitions], validation: Sequence[Transitions], length: int,
              frame: Frame = Frame.HEADING) -> TrainingData:
    """Lay out both sides of a split, normalised by the statistics of all of the training side.

    Args:
        training: segments of transitions in a row.
        validation: the same, held out.
        length: of a window, M + K.
        frame: where the network sees the state.

    Raises:
        UserError: if a side holds no whole window.
    """
    flat = {"training": _flatten(training, length, frame), "validation": _flatten(validation, length, frame)}
    for name, (_, _, starts) in flat.items():
        if len(starts) == 0:
            raise UserError(f"the {name} recordings hold no {length} transitions in a row (M + K); "
                            "record longer runs or lower --past and --future")
    inputs, outputs = Normalization.fit(flat["training"][0]), Normalization.fit(flat["training"][1])
    kept, judged = (Windows(inputs.normalise(x), outputs.normalise(y), starts) for x, y, starts in flat.values())
    return TrainingData(kept, judged, inputs, outputs)


def _flatten(segments: Sequence[Transitions], length: int, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
    inputs = torch.cat([model_input(s.states, s.actions, frame) for s in segments])
    targets = torch.cat([state_change(s.states, s.next_states, frame) for s in segments])
    starts, offset = [], 0
    for segment in segments:
        starts.append(torch.arange(offset, offset + max(len(segment) - length + 1, 0)))
        offset += len(segment)
    return inputs, targets, torch.cat(starts)


def split_batches(batches: Sequence[Sequence[Sequence[Transitions]]], held_out: float, seed: int,
                  shortest: int) -> tuple[list[Transitions], list[Transitions]]:
    """Split batches of recordings, each by itself: what was held out stays held out when a batch is added."""
    training: list[Transitions] = []
    validation: list[Transitions] = []
    for number, batch in enumerate(batches):
        # A later batch that is too small to be split is trained on.
        if number and len(batch) < 2:
            training += [segment for recording in batch for segment in recording]
            continue
        kept, judged = split_recordings(batch, held_out, seed, shortest)
        training, validation = training + kept, validation + judged
    return training, validation


def split_recordings(recordings: Sequence[Sequence[Transitions]], held_out: float, seed: int,
                     shortest: int) -> tuple[list[Transitions], list[Transitions]]:
    """Split by recording, never by row; of a single recording the end is held out.

    Args:
        recordings: per recording its segments.
        held_out: share for validation.
        seed: of the choice of recordings.
        shortest: transitions in a row that each side needs (M + K).

    Returns:
        The segments for training and for validation.

    Raises:
        UserError: if there is nothing, or a single recording is too short for both sides.
    """
    if not recordings:
        raise UserError("there are no recordings to train on; name bags with robot_state and motor_commands")
    if len(recordings) == 1:
        return _split_tail(recordings[0], held_out, shortest)
    order = torch.randperm(len(recordings), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(max(1, round(held_out * len(recordings))), len(recordings) - 1)
    validation = [segment for i in order[:count] for segment in recordings[i]]
    return [segment for i in order[count:] for segment in recordings[i]], validation


def _split_tail(segments: Sequence[Transitions], held_out: float,
                shortest: int) -> tuple[list[Transitions], list[Transitions]]:
    """Hold out the end of the longest segment; no window can reach across the split."""
    longest = max(range(len(segments)), key=lambda i: len(segments[i]))
    segment = segments[longest]
    if len(segment) < 2 * shortest:
        raise UserError(f"a single recording must hold {2 * shortest} transitions in a row to train on one part and "
                        f"judge on the rest, this one has {len(segment)}; name more bags or drive for longer")
    tail = min(max(shortest, round(held_out * sum(map(len, segments)))), len(segment) - shortest)
    kept = Transitions(segment.states[:-tail], segment.actions[:-tail], segment.next_states[:-tail])
    return [*segments[:longest], kept, *segments[longest + 1:]], [segment.last(tail)]
