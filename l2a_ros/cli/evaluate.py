# SPDX-License-Identifier: Apache-2.0
"""``l2a evaluate``: how well trained models predict recordings, before and after adaptation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from l2a_ros.learning.online import OnlineAdapter


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("evaluate", help="prediction error of models on recordings, by condition")
    add = parser.add_argument
    add("--checkpoint", type=Path, nargs="+", required=True,
        help="trained models; several of one method (seeds) are averaged; a model of mb is judged as mb and as mb_de")
    add("--bags", type=Path, nargs="+", required=True,
        help="recordings; a bag's folder name without its number is its condition")
    add("--method", action="append", help="judge only this method; repeatable")
    add("--inner-rate", type=float, help="one step size for all layers instead of the trained ones")
    add("--past", type=int, help="M, transitions adapted on, instead of as many as in training")
    add("--inner-steps", type=int, help="gradient steps per adaptation, instead of as many as in training")
    add("--first", type=int, help="transitions before the first judged window (default: M)")
    add("--future", type=int, default=16, help="K, transitions predicted after each window (default: 16)")
    add("--horizon", type=int, default=10, help="steps of the open-loop drift (default: 10)")
    add("--stride", type=int, default=4, help="transitions from one judged window to the next (default: 4)")
    add("--out", type=Path, default=Path("runs/evaluation"), help="folder of table.md and evaluation.png")
    add("--json", type=Path, help="also write the figures to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    import json

    import torch
    from tqdm import tqdm

    from l2a_ros.benchmarks.table import machine
    from l2a_ros.experience.dataset import read_drivings
    from l2a_ros.training.evaluate import EvaluationSettings, WindowError, evaluate, summarise
    from l2a_ros.training.evaluation_report import as_rows, draw, table

    for name in ("future", "horizon", "stride", "past", "first", "inner_steps"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    torch.set_num_threads(1)
    adapters = _adapters(args)
    period = adapters[0].checkpoint.card.control_period
    drivings, report = read_drivings(args.bags, period)
    print("\n".join(report.lines()))
    conditions = list(dict.fromkeys(driving.condition for driving in drivings))
    past = max(adapter.window_length for adapter in adapters)
    settings = EvaluationSettings(args.future, args.horizon, args.first or max(past, 1), args.stride)
    # Every model is judged in the units of the first one.
    units = adapters[0].checkpoint.outputs.std
    methods = list(dict.fromkeys(adapter.method.name for adapter in adapters))
    results, errors = [], {}
    with tqdm(total=len(conditions) * len(adapters), unit="model", desc="evaluate") as progress:
        for condition in conditions:
            recordings = [driving.segments for driving in drivings if driving.condition == condition]
            for method in methods:
                found: list[list[WindowError]] = []
                for adapter in adapters:
                    if adapter.method.name == method:
                        found.append(list(evaluate(adapter, recordings, settings, units)))
                        progress.update()
                if not found[0]:
                    raise UserError(f"the recordings of {condition} hold no {past + max(args.future, args.horizon)} "
                                    "transitions in a row; record longer runs or lower --future and --horizon")
                results.append(summarise(condition, method, found))
                errors[condition, method] = [error for of_model in found for error in of_model]
    lines = table(results)
    print("\n".join(lines))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (args.out / "evaluation.png").write_bytes(draw(errors))
    print(f"table and picture: {args.out}")
    if args.json is not None:
        content = {"evaluate": [str(path) for path in args.bags], "machine": machine(), "future": args.future,
                   "horizon": args.horizon, "first": settings.first, "stride": args.stride,
                   "checkpoints": list(dict.fromkeys(adapter.checkpoint.id for adapter in adapters)),
                   "rows": as_rows(results)}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def _adapters(args: argparse.Namespace) -> list[OnlineAdapter]:
    """Return one adapter per checkpoint and method that it can be judged as."""
    from dataclasses import replace

    from l2a_ros.learning.checkpoint import load_checkpoint
    from l2a_ros.learning.methods import find_method, method_names
    from l2a_ros.learning.online import OnlineAdapter
    from l2a_ros.learning.rules import AdaptationSettings
    from l2a_ros.training.evaluation_report import BASELINE

    wanted = [find_method(name).name for name in args.method or method_names()]
    adapters = []
    for path in args.checkpoint:
        checkpoint = load_checkpoint(path)
        names = [name for name in wanted if find_method(name).trained_as == checkpoint.card.method]
        if not names:
            raise UserError(f"checkpoint {path} was trained for '{checkpoint.card.method}', which is not asked for; "
                            "leave it out or name its method")
        for name in names:
            settings = AdaptationSettings.of(checkpoint, name)
            if args.inner_rate is not None:
                settings = replace(settings, rates=(args.inner_rate,) * len(settings.rates))
            adapters.append(OnlineAdapter(checkpoint, name, replace(
                settings, past=args.past or settings.past, steps=args.inner_steps or settings.steps)))
    periods = {adapter.checkpoint.card.control_period for adapter in adapters}
    if len(periods) > 1:
        raise UserError("the models were trained for different control periods; judge them one by one")
    # The baseline first: the others are compared with it.
    return sorted(adapters, key=lambda adapter: (adapter.method.name != BASELINE, adapter.method.name))
