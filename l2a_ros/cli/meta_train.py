# SPDX-License-Identifier: Apache-2.0
"""``l2a meta-train``: a dynamics model from recordings, and from driving with it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.cli._training_flags import add_training_flags, training_settings
from l2a_ros.cli.collect import collector_of, fault_menu, ray_session_of

if TYPE_CHECKING:
    from l2a_ros.learning.checkpoint import Checkpoint
    from l2a_ros.training.aggregate import Batch, Trained
    from l2a_ros.training.fit import EpochReport, Trainer
    from l2a_ros.training.settings import TrainingSettings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("meta-train", help="train a dynamics model on recordings")
    parser.add_argument("--bags", type=Path, nargs="+", required=True, help="bags, or folders that hold bags")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--control-period", type=float, default=0.1, help="time between states, s (default: 0.1)")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from instead of from drawn weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the processor (default: all)")
    group = parser.add_argument_group("aggregation", "drive with the model in the simulator, add that, and train on")
    group.add_argument("--aggregate", type=int, default=0, metavar="N", help="how often (default: 0)")
    group.add_argument("--rollouts", type=int, default=16, metavar="R", help="recordings each time (default: 16)")
    group.add_argument("--terrain", action="append",
                       help="floor to draw from, repeatable (default: carpet, styrofoam, turf)")
    group.add_argument("--fault", action="append", default=[], help="what may break, repeatable; drawn like none")
    group.add_argument("--run-seconds", type=float, default=20.0, help="length of a recording, s (default: 20)")
    group.add_argument("--exploration", type=float, default=0.1,
                       help="share of the time in which rates are random (default: 0.1)")
    group.add_argument("--iteration-epochs", type=int, metavar="E",
                       help="passes over the data after each driving, at most (default: as --epochs)")
    group.add_argument("--workers", type=int, default=os.cpu_count() or 1,
                       help="robots at once, and with --ray processes that train (default: cores)")
    parser.add_argument("--ray", metavar="local|ADDRESS", help="drive and train with Ray, here or on a cluster")
    add_training_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; goes on where a run of the same command was interrupted."""
    import torch

    from l2a_ros.learning.checkpoint import load_checkpoint, save_checkpoint
    from l2a_ros.training.aggregate import aggregate, fingerprint
    from l2a_ros.training.fit import progress_file

    settings = training_settings(args)
    start = None if args.start is None else load_checkpoint(args.start, settings.method)
    _check(args, settings)
    torch.set_num_threads(max(1, args.threads))
    with ray_session_of(args):
        recordings = _read(args.bags, args.control_period)
        fit = _Fit(args, settings, recordings)
        if args.aggregate == 0:
            saved = progress_file(args.out)
            results = [fit(0, [], start, saved)]
        else:
            folder = args.out.with_name(args.out.name + ".rollouts")
            identity = {"settings": asdict(settings), "bags": fingerprint(recordings), "start": start and start.id,
                        **{name: getattr(args, name) for name in (
                            "control_period", "rollouts", "terrain", "fault", "run_seconds", "exploration",
                            "iteration_epochs")}}
            results = aggregate(folder, args.aggregate, identity,
                                lambda k, later, model, saved: fit(k, later, model or start, saved),
                                lambda k, model, place: _gather(args, k, model, place))
            save_checkpoint(results[-1].checkpoint, args.out)
    _plot([result.history for result in results], settings.method, args.out.with_suffix(".png"))
    if args.aggregate == 0:
        saved.unlink(missing_ok=True)
    for iteration, result in enumerate(results):
        best = min(result.history, key=lambda epoch: epoch.after)
        name = f"{args.out}" if iteration == len(results) - 1 else f"iteration {iteration}"
        print(f"{name}: epoch {best.epoch}, held-out loss {best.before:.4f} before, {best.after:.4f} after adaptation")
    return 0


def _check(args: argparse.Namespace, settings: TrainingSettings) -> None:
    """Refuse what would fail only after hours."""
    from l2a_ros.errors import UserError
    from l2a_ros.training.on_policy import OnPolicy, plan_rollouts

    if args.aggregate < 0 or args.workers < 1:
        raise UserError("--aggregate must be at least 0, and --workers at least 1")
    if args.iteration_epochs is not None and args.iteration_epochs < 1:
        raise UserError(f"--iteration-epochs must be at least 1, not {args.iteration_epochs}")
    args.terrain, args.fault = args.terrain or ["carpet", "styrofoam", "turf"], fault_menu(args.fault)
    if args.aggregate:
        OnPolicy(b"", None, args.exploration)
        plan_rollouts(args.out, 1, args.rollouts, args.terrain, args.fault, args.run_seconds, args.control_period,
                      settings.seed)


def _read(bags: Sequence[Path], control_period: float) -> list[Any]:
    from tqdm import tqdm

    from l2a_ros.experience.dataset import read_recordings

    with tqdm(unit="bag", desc="read") as progress:
        def on_recording(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.n)
        recordings, report = read_recordings(bags, control_period, on_recording)
    print("\n".join(report.lines()))
    return recordings


def _gather(args: argparse.Namespace, iteration: int, model: bytes, place: Path) -> Batch:
    """Drive with a model and read what was driven."""
    from tqdm import tqdm

    from l2a_ros.training.on_policy import OnPolicy, plan_rollouts

    rollouts = plan_rollouts(place, iteration, args.rollouts, args.terrain, args.fault, args.run_seconds,
                             args.control_period, args.seed)
    record = OnPolicy(model, None, args.exploration)
    already = sum(rollout.folder.exists() for rollout in rollouts)
    with tqdm(total=len(rollouts), initial=already, unit="bag", desc=f"drive {iteration}") as progress:
        for _ in collector_of(args)(rollouts, record):
            progress.update()
    # By name, not by folder: an unfinished recording of a killed run is none.
    return _read([rollout.folder for rollout in rollouts], args.control_period)


class _Fit:
    """Trains one iteration, showing progress; every epoch is saved."""

    def __init__(self, args: argparse.Namespace, settings: TrainingSettings, recordings: Batch) -> None:
        self._args, self._settings, self._recordings = args, settings, recordings
        self._command: str = args.command_line

    def __call__(self, iteration: int, later: Sequence[Batch], start: Checkpoint | None, saved: Path) -> Trained:
        from dataclasses import replace

        from tqdm import tqdm

        from l2a_ros.learning.checkpoint import save_checkpoint
        from l2a_ros.training.aggregate import Trained
        from l2a_ros.training.fit import Trainer

        args, settings = self._args, self._settings
        if iteration and args.iteration_epochs is not None:
            settings = replace(settings, epochs=args.iteration_epochs)
        sources = [path.name for path in args.bags] + [f"on-policy {i + 1}" for i in range(len(later))]
        trainer = Trainer(self._recordings, settings, args.control_period, sources, self._command, later, start)
        saved.parent.mkdir(parents=True, exist_ok=True)
        if saved.exists():
            trainer.load_progress(saved)
            print(f"going on after epoch {len(trainer.history)} ({saved})")
        total, done = (n * trainer.steps_per_epoch for n in (settings.epochs, len(trainer.history)))
        with tqdm(total=total, initial=done, unit="step", desc=f"train {iteration}" if args.aggregate else "train",
                  ) as progress:
            for epoch in self._epochs(trainer, saved, progress.update, later, start):
                progress.set_postfix_str(f"epoch {epoch.epoch}: held-out {epoch.before:.4f} -> {epoch.after:.4f}")
                save_checkpoint(trainer.checkpoint(), args.out)
        # Also when a run was killed between its last progress and its checkpoint.
        save_checkpoint(trainer.checkpoint(), args.out)
        return Trained(trainer.checkpoint(), list(trainer.history))

    def _epochs(self, trainer: Trainer, saved: Path, on_steps: Callable[[int], None], later: Sequence[Batch],
                start: Checkpoint | None) -> Iterator[EpochReport]:
        """Train the epochs that are missing; when one comes out, the trainer holds its result and it is saved."""
        if self._args.ray is not None:
            from l2a_ros.training.ray_fit import Task, train_with_ray

            task = Task(self._recordings, trainer.settings, self._args.control_period, later, start)
            for epoch in train_with_ray(task, trainer, saved, self._args.workers):
                on_steps(trainer.steps_per_epoch)
                yield epoch
            return
        while not trainer.finished:
            epoch = trainer.train_epoch(lambda: on_steps(1))
            trainer.save_progress(saved)
            yield epoch


def _plot(histories: Sequence[Sequence[EpochReport]], method: str, path: Path) -> None:
    """Draw the epochs of all iterations in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    begin = 0
    for iteration, history in enumerate(histories):
        epochs = [begin + epoch.epoch for epoch in history]
        labels = ["training", "held out", "held out, not adapted"] if iteration == 0 else ["_", "_", "_"]
        axes.plot(epochs, [epoch.training for epoch in history], label=labels[0], color="0.6")
        axes.plot(epochs, [epoch.after for epoch in history], label=labels[1], color="tab:blue")
        if method != "mb":
            axes.plot(epochs, [epoch.before for epoch in history], "--", label=labels[2], color="tab:orange")
        if iteration:
            axes.axvline(begin + 0.5, color="0.8", linestyle=":", label="driven, added" if iteration == 1 else "_")
        begin += len(history)
    axes.set(xlabel="epoch", ylabel="mean squared error (normalised)", title=f"Training of {method}")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
