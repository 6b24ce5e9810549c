# SPDX-License-Identifier: Apache-2.0
"""One trial of an experiment in this process: the simulated robot, estimator, adaptation and planner in lock-step.

The pure objects are those that the nodes wrap, in the order in which lock-step over ROS calls them; nothing travels
over DDS, so that a trial takes seconds and many fit beside each other.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.experiments.definition import Condition, Variant, folder_name
from l2a_ros.experiments.trial_bag import write_bag
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.rules import AdaptationSettings
from l2a_ros.learning.threads import torch_threads
from l2a_ros.robot.limits import STAND, LegRateLimits
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.timing.clock_mode import SIMULATED_START
from l2a_ros.trials.controller import Controller
from l2a_ros.trials.log import TrialSettings
from l2a_ros.trials.paths import load_shape
from l2a_ros.trials.session import Session

#: Folder of the recording in that of the trial.
BAG = "bag"
#: Control periods that the robot stands before the path is laid, as in a trial over ROS.
SETTLING_TICKS = 5
#: After so many periods in a row without a state the trial is over.
MOST_LOST = 50


@dataclass(frozen=True)
class TrialJob:
    """One trial that is to be run.

    Args:
        root: folder of the experiment.
        variant: way to control.
        condition: what it is tried on.
        seed: of the robot's start, the sensors' noise and the planner.
        pictures: whether to draw one.
    """

    root: Path
    variant: Variant
    condition: Condition
    seed: int
    pictures: bool = True

    @property
    def folder(self) -> Path:
        """Folder of the trial; it appears when the trial is finished."""
        return (self.root / "trials" / folder_name(self.variant.name) / folder_name(self.condition.name)
                / str(self.seed))

    def fingerprint(self, checkpoint_id: str) -> str:
        """Return what the result depends on, as a short hash."""
        variant, condition = asdict(self.variant), asdict(self.condition)
        content = {"variant": {**variant, "checkpoint": checkpoint_id}, "condition": condition, "seed": self.seed}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def adaptation_settings(checkpoint: Checkpoint, variant: Variant) -> AdaptationSettings:
    """Return how a variant adapts: as its model was trained, but for what it says."""
    trained = AdaptationSettings.of(checkpoint, variant.method)
    given = variant.adaptation
    scale = given.get("inner_rate_scale", 1.0)
    return AdaptationSettings(
        past=int(given.get("past", trained.past)), steps=int(given.get("inner_steps", trained.steps)),
        rates=tuple(rate * scale for rate in trained.rates), limit=trained.limit, shortest=trained.shortest)


def build_controller(variant: Variant, weights: Mapping[str, float], seed: int) -> Controller:
    """Return the controller of a variant.

    Raises:
        UserError: for a checkpoint or settings that cannot be used.
    """
    checkpoint = load_checkpoint(variant.checkpoint)
    period = checkpoint.card.control_period
    terms = variant.planning.build_terms(weights)
    adapter = OnlineAdapter(checkpoint, variant.method, adaptation_settings(checkpoint, variant))
    return Controller(adapter, variant.planning.build_engine(checkpoint, terms),
                      variant.planning.build_planner(seed, period), terms, LegRateLimits(), period)


def run_trial(job: TrialJob) -> Path:
    """Run a trial; its folder appears whole or not at all.

    Raises:
        UserError: for a variant or condition that cannot be run.
    """
    # The result must not depend on how many cores this machine has.
    with torch_threads(1):
        session, identity = _drive(job)
    unfinished = job.folder.with_name(f".{job.folder.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    session.write(unfinished, session.outcome or "the state was lost", _more(job, session, identity), job.pictures)
    if session.log is not None:
        write_bag(unfinished / BAG, session.log)
    unfinished.rename(job.folder)
    return job.folder


def _more(job: TrialJob, session: Session, checkpoint_id: str) -> dict[str, Any]:
    return {"experiment": {
        "variant": job.variant.name, "condition": job.condition.name, "seed": job.seed,
        "checkpoint_id": checkpoint_id, "fingerprint": job.fingerprint(checkpoint_id),
        "planning": asdict(job.variant.planning), "adaptation": dict(job.variant.adaptation)}}


def _drive(job: TrialJob) -> tuple[Session, str]:
    variant, condition = job.variant, job.condition
    controller = build_controller(variant, condition.weights, job.seed)
    period = controller.control_period
    session = Session(load_shape(condition.path), TrialSettings(
        path=condition.path, method=variant.method, planner=variant.planning.planner, terrain=condition.terrain,
        faults=condition.faults, seed=job.seed, checkpoint=variant.checkpoint.name, control_period=period,
        duration=condition.duration, lockstep=True, weights=condition.weights))
    robot = InProcessRobot(load_terrain(condition.terrain), job.seed, parse_faults(condition.faults), period)
    estimate = robot.settle(SETTLING_TICKS)
    lost, begun = 0, False
    while lost < MOST_LOST:
        rates = STAND
        if estimate.state is None:
            lost += 1
        else:
            # The draws of the planner depend on the time.
            lost, stamp = 0, SIMULATED_START + estimate.stamp
            if not begun:
                session.state_heard(stamp, estimate.state, 0.0, 0.0)
                controller.set_path(session.lay_path().points, stamp + 1)
                session.begin(0.0)
                begun = True
            else:
                session.state_heard(stamp, estimate.state, 0.0, stamp / 1e9)
            rates = controller.decide(stamp, estimate.state).rates
            controller.driven(stamp, rates)
            session.command_heard(stamp, rates, stamp / 1e9)
            _note_adaptation(session, controller, stamp)
            if session.outcome:
                break
        estimate = robot.tick(rates)
    return session, controller.checkpoint_id


def _note_adaptation(session: Session, controller: Controller, stamp: int) -> None:
    adaptation = controller.adaptation
    if adaptation is not None and np.isfinite(adaptation.loss_before):
        session.metrics_heard("adaptation", stamp, {
            "loss_before": adaptation.loss_before, "loss_after": adaptation.loss_after,
            "step_norm": adaptation.step_norm})
