# SPDX-License-Identifier: Apache-2.0
"""The settings of training as command-line flags."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2a_ros.training.settings import TrainingSettings


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting; :func:`training_settings` reads them."""
    add = parser.add_argument
    add("--method", default="grbal", help="grbal, rebal or mb (default: grbal); mb_de adapts a model trained as mb")
    add("--seed", type=int, default=0, help="of weights, split and windows (default: 0)")
    add("--past", type=int, default=16, help="M, transitions adapted on (default: 16)")
    add("--future", type=int, default=16, help="K, transitions judged on (default: 16)")
    add("--inner-rate", type=float, default=0.05,
        help="step size of adaptation, where it starts if it is learned (default: 0.05)")
    add("--fixed-rate", action="store_true", help="keep the inner rate instead of learning it")
    add("--rate-per", default="unit", help="learn one inner rate per layer or per unit (default: unit)")
    add("--inner-steps", type=int, default=1, help="gradient steps per adaptation (default: 1)")
    add("--first-order", action="store_true", help="leave out the second derivative of the inner steps")
    add("--drift", type=float, default=0.0,
        help="add a constant to the targets of each window, of up to this standard deviation, normalised (default: 0)")
    add("--partial-windows", type=float, default=0.0,
        help="share of the batches adapted on none to M - 1 transitions, as when a trial begins (default: 0)")
    add("--rollout-steps", type=int, default=0,
        help="judge half of the windows by rollouts of so many steps, predictions fed back (default: 0, none)")
    add("--recurrent-size", type=int, default=64, help="units of rebal's memory (default: 64)")
    add("--frame", default="heading", help="where the model sees the state: heading, or map as published")
    add("--hidden", type=int, nargs="+", default=[500, 500, 500], help="units per hidden layer (default: 500 500 500)")
    add("--meta-batch", type=int, default=32, help="windows per outer step (default: 32)")
    add("--learning-rate", type=float, default=1e-3, help="of Adam at the start (default: 0.001)")
    add("--weight-decay", type=float, default=0.0, help="decoupled, per unit of learning rate (default: 0)")
    add("--epochs", type=int, default=50, help="passes over the data at most (default: 50)")
    add("--patience", type=int, default=10, help="epochs without progress before it stops (default: 10)")
    add("--precision", default="float32", help="of the large matrix products: float32 or bfloat16 (default: float32)")


def training_settings(args: argparse.Namespace) -> TrainingSettings:
    """Return the settings that the flags say.

    Raises:
        UserError: for one that will not do.
    """
    from l2a_ros.training.settings import TrainingSettings

    return TrainingSettings(
        method=args.method, hidden_sizes=tuple(args.hidden), past=args.past, future=args.future,
        inner_rate=args.inner_rate, learn_rates=not args.fixed_rate, rate_per=args.rate_per,
        inner_steps=args.inner_steps, first_order=args.first_order, drift=args.drift,
        partial_windows=args.partial_windows, rollout_steps=args.rollout_steps,
        recurrent_size=args.recurrent_size, frame=args.frame, meta_batch=args.meta_batch,
        learning_rate=args.learning_rate, weight_decay=args.weight_decay, epochs=args.epochs, patience=args.patience,
        precision=args.precision, seed=args.seed)
