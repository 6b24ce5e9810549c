# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 of the paper: train, drive with the model, add what was driven, train on from there.

Nothing is ever discarded, and all data are normalised by the statistics of all data so far. What is done is on the
disk, one folder per iteration, so that a run that was killed goes on where it was: its result is that of one that was
not.

    OUT.rollouts/run.json                        what the run is
    OUT.rollouts/iteration_00/model.safetensors  trained on the given recordings, and history.json
    OUT.rollouts/iteration_01/carpet_0000 ...    driven with the model of iteration_00
    OUT.rollouts/iteration_01/model.safetensors  trained on from there with all recordings
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from l2a_ros.training.fit import EpochReport

MODEL, HISTORY, RUN, PROGRESS = "model.safetensors", "history.json", "run.json", "training.progress"

#: Recordings, each a list of segments.
Batch = Sequence[Sequence[Transitions]]


@dataclass(frozen=True)
class Trained:
    """What one iteration gave: its best model, and every epoch on the way."""

    checkpoint: Checkpoint
    history: Sequence[EpochReport]


#: Trains with the recordings added so far, from a model (None in iteration 0), and keeps its progress in a file.
Train = Callable[[int, Sequence[Batch], Checkpoint | None, Path], Trained]
#: Drives with a model (the content of its file) and returns the recordings of the iteration, kept in a folder.
Gather = Callable[[int, bytes, Path], Batch]


def aggregate(folder: Path, iterations: int, identity: Mapping[str, object], train: Train,
              gather: Gather) -> list[Trained]:
    """Run the loop, or go on with it.

    Args:
        folder: of the iterations.
        iterations: how often to drive and train on; a finished run may be given more of them.
        identity: what must be the same for the run to go on: settings and data, as JSON.
        train: trains; takes up its own progress.
        gather: drives; keeps what it has finished.

    Returns:
        What each iteration gave, from 0 to ``iterations``.

    Raises:
        UserError: if the folder holds another run.
    """
    if iterations < 0:
        raise UserError(f"the number of iterations must be at least 0, not {iterations}")
    _claim(folder, identity)
    results: list[Trained] = []
    later: list[Batch] = []
    for iteration in range(iterations + 1):
        place = iteration_folder(folder, iteration)
        if iteration:
            later.append(gather(iteration, (iteration_folder(folder, iteration - 1) / MODEL).read_bytes(), place))
        if not (place / MODEL).exists():
            place.mkdir(parents=True, exist_ok=True)
            progress = place / PROGRESS
            trained = train(iteration, later, results[-1].checkpoint if results else None, progress)
            # The model last: what has a model is finished.
            _write(place / HISTORY, [asdict(report) for report in trained.history])
            save_checkpoint(_with_figures(trained, results, iteration), place / MODEL)
        (place / PROGRESS).unlink(missing_ok=True)
        results.append(_read(place))
    return results


def iteration_folder(folder: Path, iteration: int) -> Path:
    """Return where an iteration is kept."""
    return folder / f"iteration_{iteration:02d}"


def fingerprint(recordings: Batch) -> str:
    """Return a short name of exactly these recordings."""
    digest = hashlib.sha256()
    for recording in recordings:
        for segment in recording:
            for tensor in (segment.states, segment.actions, segment.next_states):
                digest.update(tensor.numpy().tobytes())
        digest.update(b"|")
    return digest.hexdigest()[:12]


def _with_figures(trained: Trained, before: Sequence[Trained], iteration: int) -> Checkpoint:
    """Return the checkpoint with the figures of the iterations before it on its card; its id stays."""
    card = trained.checkpoint.card
    figures: dict[str, float] = dict(before[-1].checkpoint.card.training) if before else {}
    figures = {name: value for name, value in figures.items() if name.startswith("iteration_")}
    for name in ("transitions", "held_out_loss_before", "held_out_loss_after", "epochs_run"):
        if name in card.training:
            figures[f"iteration_{iteration:02d}_{name}"] = card.training[name]
    training = card.training | {"iterations": iteration} | figures
    return dataclasses.replace(trained.checkpoint, card=dataclasses.replace(card, training=training))


def _claim(folder: Path, identity: Mapping[str, object]) -> None:
    wanted = json.loads(json.dumps(identity))
    file = folder / RUN
    advice = f"delete {folder} to start anew, or name another --out"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(file, wanted)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{file} is damaged; {advice}") from None
    if found != wanted:
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        raise UserError(f"{folder} belongs to a run with other {', '.join(names)}; {advice}")


def _read(place: Path) -> Trained:
    try:
        history = [EpochReport(**report) for report in json.loads((place / HISTORY).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        raise UserError(f"{place / HISTORY} is damaged; delete {place / MODEL} to train this iteration anew") from None
    return Trained(load_checkpoint(place / MODEL), history)


def _write(file: Path, content: object) -> None:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(file)
