# SPDX-License-Identifier: Apache-2.0
"""Training of the dynamics model: the meta-objectives of GrBAL and ReBAL, and plain regression for MB.

GrBAL (paper section 4, algorithm 1): contiguous windows of M past and K future transitions of one episode; adapt on the
past, judge on the future, and differentiate through the adaptation (second order). Adam outside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint, make_checkpoint
from l2a_ros.learning.checkpoint_file import ModelCard
from l2a_ros.learning.methods import find_method
from l2a_ros.learning.network import Layer, Weights
from l2a_ros.robot.layout import Frame
from l2a_ros.training.drift import draw_drifts
from l2a_ros.training.objective import Objective
from l2a_ros.training.rollout_error import RolloutError
from l2a_ros.training.settings import TrainingSettings
from l2a_ros.training.windows import Windows, make_data, split_batches

#: What is left of the learning rates at the end.
LEAST = 0.05
#: Held-out windows judged after every epoch, at most twice as many.
VALIDATION_WINDOWS = 1500
#: A step on the robot is no longer than this share of the steps on held-out recordings, of which so many are looked at.
LIMIT_QUANTILE = 0.99
LIMIT_WINDOWS = 500


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


def _judged(report: EpochReport) -> float:
    """Return what epochs are compared by; an epoch whose loss is not a number is the worst."""
    return report.after if math.isfinite(report.after) else math.inf


def progress_file(checkpoint: Path) -> Path:
    """Return the file that lies beside a model until its training is finished."""
    return checkpoint.with_name(checkpoint.name + ".progress")


class Workers(Protocol):
    """Processes that train one model together: each draws the same windows and takes its share of them."""

    rank: int
    count: int

    def wrap(self, objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the objective, whose gradients are averaged over the workers from now on."""

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all workers, the same for each of them."""


class Trainer:
    """Trains one model; every epoch can be saved and taken up again with the same result.

    Args:
        recordings: per recording its segments of contiguous transitions.
        settings: how to train.
        control_period: time between states of the recordings, s.
        sources: what the data came from, for the card.
        command: the command line, for the card.
        later: batches of recordings that were added (on-policy aggregation); nothing is ever discarded.
        start: go on from this model instead of from drawn weights.
        workers: who trains this model together with others; None for one alone.

    Raises:
        UserError: if there is too little data, or the model to start from does not fit.
    """

    def __init__(self, recordings: Sequence[Sequence[Transitions]], settings: TrainingSettings, control_period: float,
                 sources: Sequence[str] = (), command: str = "",
                 later: Sequence[Sequence[Sequence[Transitions]]] = (), start: Checkpoint | None = None,
                 workers: Workers | None = None) -> None:
        self.settings = settings
        self._control_period, self._sources, self._command = control_period, tuple(sources), command
        split = split_batches([recordings, *later], settings.held_out, settings.seed, settings.window)
        self._data = make_data(*split, settings.window, Frame(settings.frame))
        self.inputs, self.outputs = self._data.inputs, self._data.outputs
        self.objective = self._make_objective()
        if start is not None:
            self.objective.start_from(start, self.inputs, self.outputs)
        self._workers = workers
        self._loss = self.objective if workers is None else workers.wrap(self.objective)
        self._origin = self._data.fingerprint + (f"+{start.id}" if start is not None else "")
        self._parameters = list(self.objective.parameters())
        # One fused update instead of a dozen small ones per tensor.
        self._optimizer = torch.optim.AdamW(self.objective.parameter_groups(), fused=True)
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self.steps_per_epoch = max(1, math.ceil(self.transitions / (settings.meta_batch * settings.future)))
        self.history: list[EpochReport] = []
        self.skipped = 0
        self._best = math.inf
        self._best_weights: list[Tensor] = [tensor.detach().clone() for tensor in self._parameters]

    @property
    def transitions(self) -> int:
        """Number of transitions trained on."""
        return len(self._data.training.inputs)

    @property
    def weights(self) -> Weights:
        """The network as it is now."""
        return self.objective.weights

    def _batch(self, windows: Windows, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return windows.gather(chosen, self.settings.window)

    def _share(self, windows: Tensor) -> Tensor:
        """Return this worker's share of windows, or of what belongs to them, row by row."""
        return windows if self._workers is None else windows[self._workers.rank::self._workers.count]

    def _total(self, value: Tensor) -> float:
        return float(value if self._workers is None else self._workers.total(value))

    def validate(self) -> tuple[float, float]:
        """Return the held-out loss on K future transitions before and after adaptation.

        Of many windows, most of which overlap, only some are judged, evenly spread.
        """
        windows = self._data.validation
        some = torch.arange(0, len(windows.starts), max(1, len(windows.starts) // VALIDATION_WINDOWS))
        judged = [self.objective.judge(*self._batch(windows, chosen))
                  for chosen in self._share(some).split(256)]
        before, after = (torch.cat(side).double().sum() for side in zip(*judged, strict=True))
        return self._total(before) / len(some), self._total(after) / len(some)

    def train_epoch(self, on_step: Callable[[], None] = lambda: None) -> EpochReport:
        """Train one epoch; its windows depend on the seed and the epoch only."""
        settings, epoch = self.settings, len(self.history) + 1
        generator = torch.Generator().manual_seed(settings.seed * 100003 + epoch)
        total, windows = 0.0, self._data.training
        for step in range(self.steps_per_epoch):
            done = min((epoch - 1 + step / self.steps_per_epoch) / settings.epochs, 1.0)
            fall = LEAST + (1.0 - LEAST) * 0.5 * (1.0 + math.cos(math.pi * done))
            for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * fall
            chosen = torch.randint(len(windows.starts), (settings.meta_batch,), generator=generator)
            share = self._share(chosen)
            # Gradients are averaged over workers, whose shares may differ by one window.
            weight = 1.0 if self._workers is None else len(share) * self._workers.count / len(chosen)
            inputs, targets = self._batch(windows, share)
            if settings.drift > 0.0:
                drifts = self._share(self._drifts(len(chosen), generator))
                drifts[len(drifts) - self.objective.rolled(len(drifts)):] = 0.0
                targets = targets + drifts
            skipped = settings.past - self._past(generator)
            loss = weight * self._loss(inputs[:, skipped:], targets[:, skipped:])
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self._parameters, settings.gradient_clip, foreach=True)
            # A window unlike all others can make the inner step, and with it the gradient, of any size.
            if torch.isfinite(norm):
                self._optimizer.step()
            else:
                self.skipped += 1
            total += float(loss.detach())
            on_step()
        before, after = self.validate()
        count = 1 if self._workers is None else self._workers.count
        loss_sum = self._total(torch.tensor(total, dtype=torch.float64)) / count
        report = EpochReport(epoch, loss_sum / self.steps_per_epoch, before, after)
        self.history.append(report)
        if after < self._best:
            self._best = after
            self._best_weights = [tensor.detach().clone() for tensor in self._parameters]
        if not math.isfinite(self._best):
            raise UserError("training diverged in its first epoch: lower --inner-rate or --learning-rate")
        return report

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the validation loss has stopped falling."""
        if len(self.history) >= self.settings.epochs:
            return True
        best = min(range(len(self.history)), key=lambda i: _judged(self.history[i]), default=0)
        return len(self.history) - 1 - best >= self.settings.patience

    def checkpoint(self) -> Checkpoint:
        """Return the model of the best epoch."""
        settings = self.settings
        best = min(self.history, key=_judged)
        objective = self._best_objective()
        card = ModelCard(
            method=settings.method, hidden_sizes=settings.hidden_sizes, past=settings.past, future=settings.future,
            inner_rates=objective.rate_values(), inner_steps=settings.inner_steps,
            control_period=self._control_period, frame=settings.frame, step_limit=self._step_limit(objective),
            recurrent_size=settings.recurrent_size if settings.method == "rebal" else 0,
            sources=self._sources, command=self._command,
            training={"epoch": best.epoch, "epochs_run": len(self.history), "transitions": self.transitions,
                      "held_out_loss_before": best.before, "held_out_loss_after": best.after,
                      "seed": settings.seed})
        weights = [Layer(layer.weight.detach(), layer.bias.detach()) for layer in objective.weights]
        return make_checkpoint(card, weights, self.inputs, self.outputs, objective.encoder, objective.sensitivity())

    def _step_limit(self, objective: Objective) -> float:
        """Return how long all but the longest steps on the held-out recordings are."""
        if self.settings.method != "grbal":
            return 0.0
        windows = self._data.validation
        chosen = torch.arange(0, len(windows.starts), max(1, len(windows.starts) // LIMIT_WINDOWS))
        inputs, targets = self._batch(windows, chosen)
        if self.settings.drift > 0.0:
            targets = targets + self._drifts(len(chosen), torch.Generator().manual_seed(self.settings.seed))
        return float(objective.step_norms(inputs, targets).quantile(LIMIT_QUANTILE))

    def _past(self, generator: torch.Generator) -> int:
        """Draw how many transitions a batch is adapted on."""
        settings = self.settings
        if settings.partial_windows == 0.0 or float(torch.rand((), generator=generator)) >= settings.partial_windows:
            return settings.past
        drawn = int(torch.randint(settings.past, (), generator=generator))
        # The robot does not adapt on fewer, however short its window.
        return drawn if drawn >= min(find_method(settings.method).shortest, settings.past) else 0

    def _drifts(self, windows: int, generator: torch.Generator) -> Tensor:
        return draw_drifts(windows, self._data.training.targets.shape[1], self.settings.drift, generator)

    def _make_objective(self) -> Objective:
        settings = self.settings
        if settings.rollout_steps == 0:
            return Objective(settings)
        frame = Frame(settings.frame)
        return Objective(settings, RolloutError(settings.rollout_steps, self.inputs, self.outputs, frame))

    def _best_objective(self) -> Objective:
        objective = self._make_objective()
        with torch.no_grad():
            for parameter, tensor in zip(objective.parameters(), self._best_weights, strict=True):
                parameter.copy_(tensor)
        return objective

    def save_progress(self, path: Path) -> None:
        """Write everything needed to go on from here; the file appears whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for i, parameter in enumerate(self._parameters):
            state = self._optimizer.state[parameter]
            tensors[f"{i}.value"], tensors[f"{i}.best"] = parameter.detach(), self._best_weights[i]
            for key in ("exp_avg", "exp_avg_sq", "step"):
                tensors[f"{i}.{key}"] = state[key]
        metadata = {"settings": json.dumps(asdict(self.settings)), "data": self._origin,
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
        if settings != json.loads(json.dumps(asdict(self.settings))) or data != self._origin:
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
