# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts recordings, before and after adaptation: the K-step error of the paper (figure 2).

Every window goes through the same code as on the robot (:class:`OnlineAdapter`), fall-backs included: after M
transitions the model adapts, and both it and the trained weights predict each of the next K. A method that carries its
steps on sees every tick of the recording, as it would on the robot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.network import Change, forward
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.frames import planar_track


@dataclass(frozen=True)
class EvaluationSettings:
    """Which windows are judged, and how far ahead.

    Args:
        future: K, transitions predicted after each window.
        horizon: steps of the open-loop prediction, the planner's usual horizon.
        first: transitions of a segment before the first judged one; the same for every model, so that all of them are
            judged on the same transitions.
        stride: transitions from one judged window to the next.
    """

    future: int = 16
    horizon: int = 10
    first: int = 32
    stride: int = 4


@dataclass(frozen=True)
class WindowError:
    """Errors after one window.

    Args:
        recording: number of the recording.
        before: mean squared error of the trained weights on the next K transitions, normalised units.
        after: the same of the adapted model.
        drift_before: distance between the predicted and the true position after ``horizon`` steps of open-loop
            prediction with the trained weights, m.
        drift_after: the same with the adapted model.
        status: of the adaptation.
    """

    recording: int
    before: float
    after: float
    drift_before: float
    drift_after: float
    status: AdaptationStatus


def evaluate(adapter: OnlineAdapter, recordings: Sequence[Sequence[Transitions]], settings: EvaluationSettings,
             units: Tensor | None = None) -> Iterator[WindowError]:
    """Judge a model on recordings, each a list of segments without a cut.

    Args:
        adapter: the model.
        recordings: what it is judged on.
        settings: which windows.
        units: size of one unit of error per element of the predicted change ``(24,)``, so that models with different
            normalisations are judged alike; None for the model's own.

    Yields:
        One entry per window, in order.
    """
    engine = RolloutEngine(adapter.checkpoint)
    own = adapter.checkpoint.outputs.std
    scale = torch.ones_like(own) if units is None else own / units
    for number, recording in enumerate(recordings):
        for segment in recording:
            yield from _evaluate_segment(adapter, engine, number, segment, settings, scale)


def _evaluate_segment(adapter: OnlineAdapter, engine: RolloutEngine, number: int, segment: Transitions,
                      settings: EvaluationSettings, scale: Tensor) -> Iterator[WindowError]:
    adapter.reset()
    inputs, targets = adapter.checkpoint.normalise(segment)
    weights = adapter.checkpoint.weights

    def error(later: slice, change: Change) -> float:
        predicted = forward(weights, inputs[later], change or None)
        return float(((predicted - targets[later]) * scale).square().mean())

    ahead = max(settings.future, settings.horizon)
    every_tick = adapter.method.carries_on
    first = settings.first
    for now in range(min(adapter.window_length, first) if every_tick else first, len(segment) - ahead + 1):
        is_judged = now >= first and (now - first) % settings.stride == 0
        if not (is_judged or every_tick):
            continue
        window = _part(segment, max(0, now - adapter.window_length), now)
        model = adapter.adapt(window, now).model
        if not is_judged:
            continue
        later = slice(now, now + settings.future)
        with torch.inference_mode():
            before = error(later, ())
            after = error(later, model.change) if model.change else before
        truth = _part(segment, now, now + settings.horizon)
        drift = _drift(engine, (), truth)
        yield WindowError(number, before, after, drift, _drift(engine, model.change, truth) if model.change else drift,
                          model.status)


def _part(segment: Transitions, begin: int, end: int) -> Transitions:
    return Transitions(segment.states[begin:end], segment.actions[begin:end], segment.next_states[begin:end])


def _drift(engine: RolloutEngine, change: Change, truth: Transitions) -> float:
    engine.set_change(change)
    predicted = engine.rollout(truth.states[0].numpy(), truth.actions.unsqueeze(0).numpy())[0, -1]
    return float(np.linalg.norm(planar_track(predicted) - planar_track(truth.next_states[-1].numpy())))


@dataclass(frozen=True)
class ConditionResult:
    """A method under one condition, over several trained models (seeds).

    Args:
        condition: what the recordings were driven under.
        method: name.
        seeds: models.
        recordings: recordings of the condition.
        windows: windows judged per model.
        before: mean error of the trained weights, one per model.
        after: mean error of the adapted model, one per model.
        drift_before: mean open-loop drift of the trained weights, m, one per model.
        drift_after: the same adapted.
        adapted: share of windows that adaptation did not fall back in.
    """

    condition: str
    method: str
    seeds: int
    recordings: int
    windows: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    drift_before: tuple[float, ...]
    drift_after: tuple[float, ...]
    adapted: float


def summarise(condition: str, method: str, of_models: Sequence[Sequence[WindowError]]) -> ConditionResult:
    """Average windows within a recording, recordings within a model; keep the models apart."""
    def means(name: str) -> tuple[float, ...]:
        return tuple(_mean_of_recordings(errors, name) for errors in of_models)

    windows = [error for errors in of_models for error in errors]
    return ConditionResult(
        condition, method, len(of_models), len({error.recording for error in windows}), len(of_models[0]),
        means("before"), means("after"), means("drift_before"), means("drift_after"),
        sum(error.status is AdaptationStatus.ADAPTED for error in windows) / max(1, len(windows)))


def _mean_of_recordings(errors: Sequence[WindowError], name: str) -> float:
    by_recording: dict[int, list[float]] = {}
    for error in errors:
        by_recording.setdefault(error.recording, []).append(getattr(error, name))
    return float(np.mean([np.mean(values) for values in by_recording.values()])) if by_recording else float("nan")


def interval(values: Sequence[float]) -> float:
    """Return half of the 95 % confidence interval of a mean over models; NaN for fewer than two."""
    from scipy.stats import t

    if len(values) < 2:
        return float("nan")
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
