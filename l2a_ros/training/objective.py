# SPDX-License-Identifier: Apache-2.0
"""What training minimises, one objective for every method: a module that holds the parameters and returns the loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.checkpoint_file import layer_sizes
from l2a_ros.learning.meta_loss import MetaWindows, meta_loss
from l2a_ros.learning.network import (
    Factors,
    Layer,
    Weights,
    factors_norm,
    forward,
    initial_weights,
    inner_steps,
    layer_rates,
)
from l2a_ros.learning.normalization import Normalization
from l2a_ros.learning.recurrent import Encoder
from l2a_ros.training.rollout_error import RolloutError
from l2a_ros.training.settings import TrainingSettings

#: Share of the windows of a batch that ``rebal`` judges with an empty memory: the robot starts without a window.
WITHOUT_MEMORY = 0.125


class Objective(torch.nn.Module):
    """Parameters and loss of one method.

    Args:
        settings: how to train.
        rollout_error: what judges rollouts, if the settings ask for some.
    """

    def __init__(self, settings: TrainingSettings, rollout_error: RolloutError | None = None) -> None:
        super().__init__()
        self.settings = settings
        self._rollout_error = rollout_error
        sizes = layer_sizes(settings.hidden_sizes, settings.frame)
        generator = torch.Generator().manual_seed(settings.seed)
        layers = initial_weights(sizes, generator)
        self._flat = torch.nn.ParameterList([tensor for layer in layers for tensor in (layer.weight, layer.bias)])
        self._log_rates: torch.nn.Parameter | None = None
        if settings.learns_rates:
            count = sum(sizes[1:]) if settings.rate_per == "unit" else len(layers)
            self._log_rates = torch.nn.Parameter(torch.full((count,), math.log(settings.inner_rate)))
        self.encoder: Encoder | None = None
        if settings.method == "rebal":
            if not settings.hidden_sizes:
                raise UserError("rebal needs at least one hidden layer")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                self.encoder = Encoder(sizes[0] + sizes[-1], settings.recurrent_size, sizes[1])
        self._dtype = torch.bfloat16 if settings.precision == "bfloat16" else None

    @property
    def weights(self) -> Weights:
        """The network."""
        return [Layer(self._flat[i], self._flat[i + 1]) for i in range(0, len(self._flat), 2)]

    @property
    def rates(self) -> Tensor | float:
        """Step sizes of the inner step; if they are learned one per layer or unit."""
        return self.settings.inner_rate if self._log_rates is None else self._log_rates.exp()

    def rate_values(self) -> tuple[float, ...]:
        """Return one step size per layer as numbers: the mean of its units."""
        return tuple(rate.mean().item() if isinstance(rate, Tensor) else rate for rate in self._of_layer())

    def sensitivity(self) -> list[Tensor]:
        """Return each unit's step size in units of its layer's ``(out,)``, per layer; empty if they are all alike."""
        if self._log_rates is None or self.settings.rate_per == "layer":
            return []
        return [(rate / rate.mean()).detach() for rate in self._of_layer() if isinstance(rate, Tensor)]

    def _of_layer(self) -> list[float | Tensor]:
        return layer_rates(self.rates, [len(layer.bias) for layer in self.weights])

    def parameter_groups(self) -> list[dict[str, object]]:
        """Return the groups of Adam: the step sizes have a learning rate of their own and do not decay."""
        settings = self.settings
        trained = [*self._flat, *(self.encoder.parameters() if self.encoder is not None else ())]
        groups: list[dict[str, object]] = [
            {"params": trained, "lr": settings.learning_rate, "weight_decay": settings.weight_decay}]
        if self._log_rates is not None:
            groups.append({"params": [self._log_rates], "lr": settings.rate_learning_rate, "weight_decay": 0.0})
        return groups

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch of windows: inputs ``(b, m + K, in)``, targets ``(b, m + K, out)``.

        Of ``grbal`` m may be less than M; if it is none, the trained weights are judged as they are. The last
        :meth:`rolled` windows are judged by rollouts.
        """
        rolled = self.rolled(len(inputs))
        single = len(inputs) - rolled
        loss = self._single(inputs[:single], targets[:single])
        if rolled == 0:
            return loss
        return (single * loss + rolled * self._rollouts(inputs[single:], targets[single:])) / len(inputs)

    def rolled(self, windows: int) -> int:
        """Return how many of the windows of a batch are judged by rollouts: the smaller half, or none."""
        return 0 if self._rollout_error is None else windows // 2

    def _rollouts(self, inputs: Tensor, targets: Tensor) -> Tensor:
        assert self._rollout_error is not None
        past = 0 if self.settings.method == "mb" else inputs.shape[1] - self.settings.future
        change = self._change(inputs[:, :past], targets[:, :past]) if past > 0 else None
        return self._rollout_error(self.weights, inputs[:, past:], targets[:, past:], change)

    def _single(self, inputs: Tensor, targets: Tensor) -> Tensor:
        settings = self.settings
        past = inputs.shape[1] - settings.future
        if settings.method == "grbal" and past > 0:
            windows = MetaWindows(inputs[:, :past], targets[:, :past], inputs[:, past:], targets[:, past:])
            return meta_loss(self.weights, self.rates, windows, settings.inner_steps, settings.first_order, self._dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._dtype is not None):
            if settings.method != "rebal":
                # To mb every transition is like any other; of grbal only the future ones are left.
                loss = (forward(self.weights, inputs).float() - targets).square().mean()
                # Where gradients are averaged over workers, each parameter must have one.
                return loss if self._log_rates is None else loss + 0.0 * self._log_rates.sum()
            change = self._change(inputs[:, :past], targets[:, :past])
            # Windows are drawn at random: the first ones are as good as any.
            remembered = torch.ones(len(inputs), 1, 1)
            remembered[:math.ceil(WITHOUT_MEMORY * len(inputs)) if len(inputs) > 1 else 0] = 0.0
            kept = [Factors(part.forward, part.backward * remembered) for part in change]
            predicted = forward(self.weights, inputs[:, past:], kept)
            return (predicted.float() - targets[:, past:]).square().mean()

    def _change(self, inputs: Tensor, targets: Tensor) -> list[Factors]:
        if self.encoder is not None:
            return self.encoder.change(self.weights, inputs, targets)
        settings = self.settings
        return inner_steps(self.weights, inputs, targets, self.rates, settings.inner_steps, settings.first_order)[0]

    @torch.no_grad()
    def judge(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared error on the K future transitions of each window, unadapted and adapted ``(b,)``."""
        past = self.settings.past
        later, wanted = inputs[:, past:], targets[:, past:]
        before = (forward(self.weights, later) - wanted).square().mean(dim=(1, 2))
        if self.settings.method == "mb":
            return before, before
        change = self._change(inputs[:, :past], targets[:, :past])
        return before, (forward(self.weights, later, change) - wanted).square().mean(dim=(1, 2))

    @torch.no_grad()
    def step_norms(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the Euclidean norm of the change that each window makes of the weights and biases ``(b,)``."""
        past = self.settings.past
        return factors_norm(self._change(inputs[:, :past], targets[:, :past]))

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint, inputs: Normalization, outputs: Normalization) -> None:
        """Go on from a trained model on data with another normalisation: its predictions stay the same.

        Raises:
            UserError: if it is of another method or size.
        """
        check_start(checkpoint, self.settings)
        weights = [Layer(layer.weight.clone(), layer.bias.clone()) for layer in checkpoint.weights]
        weights[0] = _other_input(weights[0], checkpoint.inputs, inputs)
        weights[-1] = _other_output(weights[-1], checkpoint.outputs, outputs)
        for parameter, tensor in zip(self._flat, [t for layer in weights for t in (layer.weight, layer.bias)],
                                     strict=True):
            parameter.copy_(tensor)
        if self._log_rates is not None:
            rates = torch.tensor(checkpoint.card.inner_rates)
            if self.settings.rate_per == "unit":
                alike = [torch.ones_like(layer.bias) for layer in checkpoint.weights]
                rates = torch.cat([rate * units for rate, units in zip(rates, checkpoint.sensitivity or alike,
                                                                      strict=True)])
            self._log_rates.copy_(rates.clamp_min(1e-8).log())
        if self.encoder is not None and checkpoint.encoder is not None:
            tensors = dict(checkpoint.encoder.state_dict())
            read = _other_input(Layer(tensors["gru.weight_ih_l0"], tensors["gru.bias_ih_l0"]),
                                _both(checkpoint.inputs, checkpoint.outputs), _both(inputs, outputs))
            tensors |= {"gru.weight_ih_l0": read.weight, "gru.bias_ih_l0": read.bias}
            self.encoder.load_state_dict(tensors)


def check_start(checkpoint: Checkpoint, settings: TrainingSettings) -> None:
    """Refuse to go on from a model of another method or size.

    Raises:
        UserError: saying what differs.
    """
    card = checkpoint.card
    pairs: list[tuple[str, object, object]] = [
        ("method", card.method, settings.method), ("hidden", card.hidden_sizes, settings.hidden_sizes),
        ("frame", card.frame, settings.frame)]
    if settings.method == "rebal":
        pairs.append(("recurrent-size", card.recurrent_size, settings.recurrent_size))
    for name, theirs, ours in pairs:
        if theirs != ours:
            raise UserError(f"the model to start from has {name} {theirs}, not {ours}; train with its {name}")


def _both(one: Normalization, other: Normalization) -> Normalization:
    return Normalization(torch.cat([one.mean, other.mean]), torch.cat([one.std, other.std]))


def _other_input(layer: Layer, old: Normalization, new: Normalization) -> Layer:
    """Return the layer that answers newly normalised inputs as the given one answers the old ones."""
    weight = layer.weight * (new.std / old.std)
    return Layer(weight, layer.bias + layer.weight @ ((new.mean - old.mean) / old.std))


def _other_output(layer: Layer, old: Normalization, new: Normalization) -> Layer:
    """Return the layer whose newly normalised outputs are what the given one's are in the old units."""
    scale = old.std / new.std
    return Layer(layer.weight * scale.unsqueeze(1), layer.bias * scale + (old.mean - new.mean) / new.std)
