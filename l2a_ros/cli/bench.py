# SPDX-License-Identifier: Apache-2.0
"""``l2a bench``: measurements, each with a table and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("bench", help="measure the stack")
    benches = parser.add_subparsers(title="benchmarks", metavar="NAME", required=True)
    loop = benches.add_parser("loop", help="the control loop of a real-time trial: period, latency, shares")
    loop.add_argument("--duration", type=float, default=30.0, help="driving, s (default: 30)")
    loop.add_argument("--setup", default="shipped", help="shipped, published (10 Hz, 2000 candidates of 5 steps), or "
                                                         "20hz (500 of 10) (default: shipped)")
    loop.add_argument("--path", default="figure8", help="closed path to go round and round (default: figure8)")
    loop.add_argument("--method", default="grbal", help="how the model adapts (default: grbal)")
    loop.add_argument("--planner", default="", help="how is planned (default: random_shooting in the published set-up, "
                                                    "else that of l2a sim)")
    loop.add_argument("--json", type=Path, help="also write the figures to this file")
    loop.set_defaults(run=run_loop)
    _add_endurance(benches)
    _add_repeat(benches)
    _add_fidelity(benches)
    _add_learning(benches)
    _add_planning(benches)
    _add_planners(benches)
    _add_soak(benches)
    _add_kills(benches)
    _add_robots(benches)
    _add_estimation(benches)


def run_loop(args: argparse.Namespace) -> int:
    """Drive a recorded trial in real time and print the loop's figures."""
    from l2a_ros.cli._loop import run

    return run(args)


def _add_endurance(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    endurance = benches.add_parser("endurance", help="memory, handles and clock of every node over minutes of walking")
    endurance.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    endurance.add_argument("--path", default="figure8", help="path of each trial (default: figure8)")
    endurance.add_argument("--terrain", default="carpet", help="floor (default: carpet)")
    endurance.add_argument("--method", default="grbal", help="how the model adapts (default: grbal)")
    endurance.add_argument("--out", type=Path, help="keep the samples in this folder")
    endurance.add_argument("--json", type=Path, help="also write the figures to this file")
    endurance.set_defaults(run=run_endurance)


def _add_repeat(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    repeat = benches.add_parser("repeat", help="whether lock-step trials repeat on every terrain and with every fault")
    repeat.add_argument("--duration", type=float, default=3.0, help="of each trial, s (default: 3)")
    repeat.add_argument("--json", type=Path, help="also write the figures to this file")
    repeat.set_defaults(run=run_repeat)


def run_repeat(args: argparse.Namespace) -> int:
    """Run every terrain and every fault in lock-step, twice with one seed and once with another, and compare."""
    from l2a_ros.cli._repeat import run

    return run(args)


def run_endurance(args: argparse.Namespace) -> int:
    """Walk trial after trial in real time, sample every node each second, and judge what grows."""
    from l2a_ros.cli._endurance import run

    return run(args)


def _add_fidelity(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fidelity = benches.add_parser("fidelity", help="the simulated robot beside the measured one, and its speed")
    fidelity.add_argument("--minutes", type=float, default=10.0, help="driving on each terrain (default: 10)")
    fidelity.add_argument("--terrain", action="append", help="only this terrain; may be repeated")
    fidelity.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    fidelity.add_argument("--workers", type=int, default=2, help="drives made at once (default: 2)")
    fidelity.add_argument("--skip-speed", action="store_true", help="do not measure the speed of the simulation")
    fidelity.add_argument("--out", type=Path, default=Path("runs/fidelity"),
                          help="folder of drives.csv and fidelity.png (default: runs/fidelity)")
    fidelity.add_argument("--markdown", type=Path, help="put the table into this file, between its marks")
    fidelity.add_argument("--json", type=Path, help="also write the figures to this file")
    fidelity.set_defaults(run=run_fidelity)


def run_fidelity(args: argparse.Namespace) -> int:
    """Drive the simulated robot as the real one was driven, and compare."""
    from l2a_ros.cli._fidelity import run

    return run(args)


def _add_learning(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    learning = benches.add_parser("learning", help="meta-training and the online step, beside other libraries")
    learning.add_argument("--seconds", type=float, default=30.0, help="measuring in all, s (default: 30)")
    learning.add_argument("--json", type=Path, help="also write the figures to this file")
    learning.set_defaults(run=run_learning)


def run_learning(args: argparse.Namespace) -> int:
    """Measure outer steps of meta-training and the online step, ours and those of other libraries by turns."""
    from l2a_ros.cli._learning import run

    return run(args)


def _add_planning(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    planning = benches.add_parser("planning", help="adapting and planning, beside other libraries")
    planning.add_argument("--seconds", type=float, default=60.0, help="measuring in all, s (default: 60)")
    planning.add_argument("--json", type=Path, help="also write the figures to this file")
    planning.set_defaults(run=run_planning)


def run_planning(args: argparse.Namespace) -> int:
    """Measure ticks that adapt and plan, ours and those of other libraries by turns."""
    from l2a_ros.cli._planning import run

    return run(args)


def _add_planners(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    planners = benches.add_parser("planners", help="lock-step trials with each planner at the same compute")
    planners.add_argument("--path", action="append", help="to follow; may be repeated (default: figure8 and zigzag)")
    planners.add_argument("--seeds", type=int, default=5, help="trials of each planner on each path (default: 5)")
    planners.add_argument("--duration", type=float, default=60.0, help="longest time of a trial, s (default: 60)")
    planners.add_argument("--candidates", type=int, help="sequences per plan (default: those of the config)")
    planners.add_argument("--horizon", type=int, help="periods per sequence (default: that of the config)")
    planners.add_argument("--method", default="grbal", help="how the model adapts (default: grbal)")
    planners.add_argument("--terrain", default="carpet", help="floor (default: carpet)")
    planners.add_argument("--out", type=Path, default=Path("runs/planners"),
                          help="folder of the trials; those that are there are not run again (default: runs/planners)")
    planners.add_argument("--json", type=Path, help="also write the figures to this file")
    planners.set_defaults(run=run_planners)


def run_planners(args: argparse.Namespace) -> int:
    """Run trials with each planner and compare their costs."""
    from l2a_ros.cli._planners import run

    return run(args)


def _add_soak(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    soak = benches.add_parser("soak", help="driver and emulated firmware on a bad wire, unplugged at random")
    soak.add_argument("--minutes", type=float, default=30.0, help="how long (default: 30)")
    soak.add_argument("--cycles", type=int, default=10, help="how often the radio is unplugged (default: 10)")
    soak.add_argument("--corrupt", type=float, default=0.01, help="share of bytes that are corrupted (default: 0.01)")
    soak.add_argument("--drop", type=float, default=0.05, help="share of packets that are lost (default: 0.05)")
    soak.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    soak.add_argument("--out", type=Path, help="keep files and logs in this folder (default: a new one in runs/)")
    soak.add_argument("--json", type=Path, help="also write the figures to this file")
    soak.set_defaults(run=run_soak)


def run_soak(args: argparse.Namespace) -> int:
    """Let an emulated robot walk on a bad wire, unplug it at random, and judge how it stands and comes back."""
    from l2a_ros.cli._soak import run

    return run(args)


def _add_kills(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    kills = benches.add_parser("kills", help="whether the legs stand when a process is killed while the robot walks")
    kills.add_argument("--count", type=int, default=50, help="how often, each time the next process (default: 50)")
    kills.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    kills.add_argument("--out", type=Path, help="keep files and logs in this folder (default: a new one in runs/)")
    kills.add_argument("--json", type=Path, help="also write the figures to this file")
    kills.set_defaults(run=run_kills)


def run_kills(args: argparse.Namespace) -> int:
    """Kill a process of a walking robot at a random moment, again and again, and watch the legs of the other end."""
    from l2a_ros.cli._kills import run

    return run(args)


def _add_robots(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    robots = benches.add_parser("robots", help="the same trials on the simulator and through driver and firmware")
    robots.add_argument("--path", action="append",
                        help="to follow; may be repeated (default: straight, zigzag, figure8)")
    robots.add_argument("--seeds", type=int, default=5, help="trials of each on each path (default: 5)")
    robots.add_argument("--duration", type=float, default=60.0, help="longest time of a trial, s (default: 60)")
    robots.add_argument("--method", default="grbal", help="how the model adapts (default: grbal)")
    robots.add_argument("--terrain", default="carpet", help="floor (default: carpet)")
    robots.add_argument("--out", type=Path, default=Path("runs/robots"),
                        help="folder of the trials; those that are there are not run again (default: runs/robots)")
    robots.add_argument("--json", type=Path, help="also write the figures to this file")
    robots.set_defaults(run=run_robots)


def run_robots(args: argparse.Namespace) -> int:
    """Run trials on the simulator and through driver and emulated firmware by turns, and compare their errors."""
    from l2a_ros.cli._robots import run

    return run(args)


def _add_estimation(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    estimation = benches.add_parser("estimation", help="the state estimate against the truth and by its own account")
    estimation.add_argument("--seeds", type=int, default=50, help="walks (default: 50)")
    estimation.add_argument("--seconds", type=float, default=20.0, help="simulated time of each, s (default: 20)")
    estimation.add_argument("--rate-seeds", type=int, default=10,
                            help="walks with every rate of the inertial unit (default: 10)")
    estimation.add_argument("--terrain", default="carpet", help="floor (default: carpet)")
    estimation.add_argument("--only", action="append", metavar="CASE",
                            help="only this case: accuracy, differences, consistency, rates or cost; may be repeated")
    estimation.add_argument("--quick", action="store_true", help="two walks of 4.5 s: whether it works at all")
    estimation.add_argument("--workers", type=int, default=2, help="walks studied at once (default: 2)")
    estimation.add_argument("--out", type=Path, help="write moments.csv and estimation.png into this folder")
    estimation.add_argument("--json", type=Path, help="also write the figures to this file")
    estimation.set_defaults(run=run_estimation)


def run_estimation(args: argparse.Namespace) -> int:
    """Follow simulated walks with the motion filter and compare it with the truth."""
    from l2a_ros.cli._estimation import run

    return run(args)
