# SPDX-License-Identifier: Apache-2.0
"""Training of the dynamics model: the meta-objective of GrBAL, and plain regression for MB.

GrBAL (paper section 4, algorithm 1): contiguous windows of M past and K future transitions of one episode; adapt on the
past, judge on the future, and differentiate through the adaptation (second order). Adam outside.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint, make_checkpoint
from l2a_ros.learning.checkpoint_file import ModelCard, layer_sizes
from l2a_ros.learning.network import Layer, Weights, forward, initial_weights, inner_steps
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import model_input, state_change


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Args:
        method: ``grbal`` or ``mb``.
        hidden_sizes: units per hidden layer (the robot of the paper: three of 500).
        past: M, transitions adapted on.
        future: K, transitions judged on.
        inner_rate: step size on normalised data.
        inner_steps: gradient steps per adaptation.
        meta_batch: windows per outer step of ``grbal``; ``mb`` takes as many transitions as they hold.
        learning_rate: of Adam at the start; it falls to a tenth along a cosine.
        epochs: passes over the data.
        held_out: share of the recordings kept for validation.
        patience: epochs without a better validation loss before training stops.
        seed: of weights, split and windows.
    """

    method: str = "grbal"
    hidden_sizes: tuple[int, ...] = (500, 500, 500)
    past: int = 16
    future: int = 16
    inner_rate: float = 0.5
    inner_steps: int = 1
    meta_batch: int = 32
    learning_rate: float = 1e-3
    epochs: int = 50
    held_out: float = 0.1
    patience: int = 10
    seed: int = 0


@dataclass(frozen=True)
class EpochReport:
    """Figures of one epoch, in normalised squared units.

    Args:
        epoch: number, from 1.
        training: mean training loss.
        before: held-out loss of the unadapted weights on the K future transitions.
        after: the same with adapted weights (equal to ``before`` for ``mb``).
    """

    epoch: int
    training: float
    before: float
    after: float


@dataclass(frozen=True)
class _Windows:
    """All transitions of one side of the split, flat, and where windows may start."""

    inputs: Tensor
    targets: Tensor
    starts: Tensor

    def gather(self, chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
        rows = self.starts[chosen].unsqueeze(1) + torch.arange(length)
        return self.inputs[rows], self.targets[rows]


def _fingerprint(sides: Sequence[_Windows]) -> str:
    digest = hashlib.sha256()
    for tensor in (tensor for side in sides for tensor in (side.inputs, side.targets, side.starts)):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


def _flatten(segments: Sequence[Transitions], length: int) -> tuple[Tensor, Tensor, Tensor]:
    inputs = torch.cat([model_input(s.states, s.actions) for s in segments])
    targets = torch.cat([state_change(s.states, s.next_states) for s in segments])
    starts, offset = [], 0
    for segment in segments:
        starts.append(torch.arange(offset, offset + max(len(segment) - length + 1, 0)))
        offset += len(segment)
    return inputs, targets, torch.cat(starts)


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


class Trainer:
    """Trains one model; every epoch can be saved and taken up again with the same result.

    Args:
        recordings: per recording its segments of contiguous transitions.
        settings: how to train.
        control_period: time between states of the recordings, s.
        sources: what the data came from, for the card.
        command: the command line, for the card.
    """

    def __init__(self, recordings: Sequence[Sequence[Transitions]], settings: TrainingSettings, control_period: float,
                 sources: Sequence[str] = (), command: str = "") -> None:
        self.settings = settings
        self._control_period, self._sources, self._command = control_period, tuple(sources), command
        self._length = settings.past + settings.future
        training, validation = split_recordings(recordings, settings.held_out, settings.seed, self._length)
        data = {"training": _flatten(training, self._length), "validation": _flatten(validation, self._length)}
        for name, (_, _, starts) in data.items():
            if len(starts) == 0:
                raise UserError(f"the {name} recordings hold no {self._length} transitions in a row (M + K); "
                                "record longer runs or lower --past and --future")
        self.inputs = Normalization.fit(data["training"][0])
        self.outputs = Normalization.fit(data["training"][1])
        self._training, self._validation = (
            _Windows(self.inputs.normalise(data[name][0]), self.outputs.normalise(data[name][1]), data[name][2])
            for name in ("training", "validation"))
        self._data = _fingerprint((self._training, self._validation))
        generator = torch.Generator().manual_seed(settings.seed)
        self.weights: Weights = [
            Layer(layer.weight.requires_grad_(), layer.bias.requires_grad_())
            for layer in initial_weights(layer_sizes(settings.hidden_sizes), generator)]
        self._parameters = [tensor for layer in self.weights for tensor in (layer.weight, layer.bias)]
        self._optimizer = torch.optim.Adam(self._parameters, lr=settings.learning_rate)
        self.steps_per_epoch = max(1, math.ceil(len(self._training.inputs) / (settings.meta_batch * settings.future)))
        self.history: list[EpochReport] = []
        self._best = math.inf
        self._best_weights: list[Tensor] = [tensor.detach().clone() for tensor in self._parameters]

    @property
    def transitions(self) -> int:
        """Number of transitions trained on."""
        return len(self._training.inputs)

    def _loss(self, windows: _Windows, chosen: Tensor) -> Tensor:
        settings = self.settings
        inputs, targets = windows.gather(chosen, self._length)
        if settings.method == "mb":
            return (forward(self.weights, inputs) - targets).square().mean()
        past, future = slice(0, settings.past), slice(settings.past, None)
        change, _ = inner_steps(self.weights, inputs[:, past], targets[:, past], settings.inner_rate,
                                settings.inner_steps)
        return (forward(self.weights, inputs[:, future], change) - targets[:, future]).square().mean()

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Return the held-out loss on K future transitions before and after adaptation."""
        settings, before, after, count = self.settings, 0.0, 0.0, 0
        for chosen in torch.arange(len(self._validation.starts)).split(256):
            inputs, targets = self._validation.gather(chosen, self._length)
            future = slice(settings.past, None)
            plain = forward(self.weights, inputs[:, future])
            adapted = plain
            if settings.method != "mb":
                change, _ = inner_steps(self.weights, inputs[:, :settings.past], targets[:, :settings.past],
                                        settings.inner_rate, settings.inner_steps)
                adapted = forward(self.weights, inputs[:, future], change)
            before += float((plain - targets[:, future]).square().mean()) * len(chosen)
            after += float((adapted - targets[:, future]).square().mean()) * len(chosen)
            count += len(chosen)
        return before / count, after / count

    def train_epoch(self, on_step: Callable[[], None] = lambda: None) -> EpochReport:
        """Train one epoch; its windows depend on the seed and the epoch only."""
        settings, epoch = self.settings, len(self.history) + 1
        generator = torch.Generator().manual_seed(settings.seed * 100003 + epoch)
        total = 0.0
        for step in range(self.steps_per_epoch):
            done = (epoch - 1 + step / self.steps_per_epoch) / settings.epochs
            for group in self._optimizer.param_groups:
                group["lr"] = settings.learning_rate * (0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0))))
            chosen = torch.randint(len(self._training.starts), (settings.meta_batch,), generator=generator)
            loss = self._loss(self._training, chosen)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += float(loss.detach())
            on_step()
        before, after = self.validate()
        report = EpochReport(epoch, total / self.steps_per_epoch, before, after)
        self.history.append(report)
        if after < self._best:
            self._best = after
            self._best_weights = [tensor.detach().clone() for tensor in self._parameters]
        return report

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the validation loss has stopped falling."""
        if len(self.history) >= self.settings.epochs:
            return True
        best = min(range(len(self.history)), key=lambda i: self.history[i].after, default=0)
        return len(self.history) - 1 - best >= self.settings.patience

    def checkpoint(self) -> Checkpoint:
        """Return the model of the best epoch."""
        settings = self.settings
        best = min(self.history, key=lambda report: report.after)
        card = ModelCard(
            method=settings.method, hidden_sizes=settings.hidden_sizes, past=settings.past, future=settings.future,
            inner_rate=settings.inner_rate, inner_steps=settings.inner_steps, control_period=self._control_period,
            sources=self._sources, command=self._command,
            training={"epoch": best.epoch, "epochs_run": len(self.history), "transitions": self.transitions,
                      "held_out_loss_before": best.before, "held_out_loss_after": best.after,
                      "seed": settings.seed})
        tensors = iter(self._best_weights)
        weights = [Layer(next(tensors), next(tensors)) for _ in self.weights]
        return make_checkpoint(card, weights, self.inputs, self.outputs)

    def save_progress(self, path: Path) -> None:
        """Write everything needed to go on from here; the file appears whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for i, parameter in enumerate(self._parameters):
            state = self._optimizer.state[parameter]
            tensors[f"{i}.value"], tensors[f"{i}.best"] = parameter.detach(), self._best_weights[i]
            for key in ("exp_avg", "exp_avg_sq", "step"):
                tensors[f"{i}.{key}"] = state[key]
        metadata = {"settings": json.dumps(asdict(self.settings)), "data": self._data,
                    "history": json.dumps([asdict(report) for report in self.history])}
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(save(tensors, metadata=metadata))
        unfinished.replace(path)

    def load_progress(self, path: Path) -> None:
        """Go on where :meth:`save_progress` stopped.

        Raises:
            UserError: if the file is damaged or belongs to other data or settings.
        """
        advice = f"delete {path} to start anew"
        damaged = UserError(f"the saved progress {path} is damaged; {advice}")
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            settings, data = json.loads(metadata["settings"]), metadata["data"]
            history = [EpochReport(**report) for report in json.loads(metadata["history"])]
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            raise damaged from None
        if settings != json.loads(json.dumps(asdict(self.settings))) or data != self._data:
            raise UserError(f"the saved progress {path} belongs to other settings or data; {advice}")
        kinds = ("value", "best", "exp_avg", "exp_avg_sq", "step")
        try:
            tensors = [{kind: saved[f"{i}.{kind}"] for kind in kinds} for i in range(len(self._parameters))]
        except KeyError:
            raise damaged from None
        self.history = history
        self._best = min((report.after for report in history), default=math.inf)
        with torch.no_grad():
            for i, (parameter, of_parameter) in enumerate(zip(self._parameters, tensors, strict=True)):
                parameter.copy_(of_parameter.pop("value"))
                self._best_weights[i] = of_parameter.pop("best")
                self._optimizer.state[parameter] = of_parameter
