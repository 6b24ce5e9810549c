# SPDX-License-Identifier: Apache-2.0
"""``l2a meta-train``: a dynamics model from recordings."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.cli._training_flags import add_training_flags, training_settings

if TYPE_CHECKING:
    from l2a_ros.training.fit import EpochReport


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("meta-train", help="train a dynamics model on recordings")
    parser.add_argument("--bags", type=Path, nargs="+", required=True, help="bags, or folders that hold bags")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--control-period", type=float, default=0.1, help="time between states, s (default: 0.1)")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from instead of from drawn weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the processor (default: all)")
    add_training_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; goes on from ``OUT.progress`` if a run was interrupted."""
    import torch
    from tqdm import tqdm

    from l2a_ros.experience.dataset import read_recordings
    from l2a_ros.learning.checkpoint import load_checkpoint, save_checkpoint
    from l2a_ros.training.fit import Trainer

    settings = training_settings(args)
    torch.set_num_threads(max(1, args.threads))
    with tqdm(unit="bag", desc="read") as progress:
        def on_recording(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.n)
        recordings, report = read_recordings(args.bags, args.control_period, on_recording)
    print("\n".join(report.lines()))
    command = "l2a " + shlex.join(sys.argv[1:])
    start = None if args.start is None else load_checkpoint(args.start, settings.method)
    trainer = Trainer(recordings, settings, args.control_period, [path.name for path in args.bags], command,
                      start=start)
    saved = args.out.with_name(args.out.name + ".progress")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if saved.exists():
        trainer.load_progress(saved)
        print(f"going on after epoch {len(trainer.history)} ({saved})")
    total = settings.epochs * trainer.steps_per_epoch
    done = len(trainer.history) * trainer.steps_per_epoch
    with tqdm(total=total, initial=done, unit="step", desc="train") as progress:
        while not trainer.finished:
            epoch = trainer.train_epoch(progress.update)
            progress.set_postfix_str(f"epoch {epoch.epoch}: held-out {epoch.before:.4f} -> {epoch.after:.4f}")
            trainer.save_progress(saved)
            save_checkpoint(trainer.checkpoint(), args.out)
    _plot(trainer.history, settings.method, args.out.with_suffix(".png"))
    saved.unlink(missing_ok=True)
    best = min(trainer.history, key=lambda epoch: epoch.after)
    print(f"{args.out}: epoch {best.epoch}, held-out loss {best.before:.4f} before, {best.after:.4f} after adaptation")
    return 0


def _plot(history: Sequence[EpochReport], method: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, [epoch.training for epoch in history], label="training", color="0.6")
    axes.plot(epochs, [epoch.after for epoch in history], label="held out", color="tab:blue")
    if method != "mb":
        axes.plot(epochs, [epoch.before for epoch in history], "--", label="held out, not adapted", color="tab:orange")
    axes.set(xlabel="epoch", ylabel="mean squared error (normalised)", title=f"Training of {method}")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
