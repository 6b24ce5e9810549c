# SPDX-License-Identifier: Apache-2.0
"""What the status says: what was heard, as long as it is true, in letters that RViz has."""

from __future__ import annotations

import math

import pytest

from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.views.status import STATUSES, Diagnosis, StatusBoard, Whereabouts

SECOND = 1_000_000_000
WHERE = Whereabouts(0.0123, 0.84, 2.0)


def board() -> StatusBoard:
    """Return one that has heard everything, until 10.1 s."""
    status = StatusBoard(maximum_age=3.0)
    status.state_heard(10 * SECOND, 10.0)
    status.state_heard(10 * SECOND + SECOND // 10, 10.1)
    status.figures_heard("adaptation", {**dict.fromkeys(STATUSES, 0.0), "adapted": 1.0, "loss_before": 0.42,
                                        "loss_after": 0.3111}, 10.1)
    status.figures_heard("trial", {"cost": 3.214, "lateral_error_m": 0.5}, 10.1)
    status.figures_heard("mpc", {"cost": 41.53, "state_to_command_s": 0.0237}, 10.1)
    status.diagnosis_heard("adaptation: model", Diagnosis("adapted", {"method": "grbal"}), 10.1)
    status.diagnosis_heard("mujoco_sim: motor gate", Diagnosis("armed", {"state": "armed", "not ready": ""}), 10.1)
    status.diagnosis_heard("mujoco_sim: faults", Diagnosis("none", {}), 10.1)
    status.diagnosis_heard("mpc: planner", Diagnosis("following", {}), 10.1)
    status.diagnosis_heard("state_estimator: state", Diagnosis("ok", {}), 10.1)
    status.diagnosis_heard("recorder: something", Diagnosis("else", {}, is_error=True), 10.1)
    return status


def test_a_run_that_goes_well() -> None:
    assert board().lines(WHERE, 10.2) == [
        "grbal adapted, loss 0.42 to 0.311", "lateral error +1.2 cm, progress 0.84 of 2.00 m",
        "cost 3.21 per step, plan cost 41.5", "period 100 ms, state to command 24 ms", "motors armed"]
    assert not board().is_alarming(10.2)


def test_the_statuses_are_those_of_the_adaptation() -> None:
    assert STATUSES == tuple(AdaptationStatus)


def test_nothing_heard() -> None:
    assert StatusBoard().lines(Whereabouts(), 0.0) == ["nothing heard yet"]
    assert not StatusBoard().is_alarming(0.0)


def test_what_is_old_is_not_said_and_silence_is() -> None:
    status = board()
    assert status.lines(Whereabouts(), 13.05) == board().lines(Whereabouts(), 10.2)
    assert status.lines(Whereabouts(), 20.1) == ["no robot_state for 10 s"]
    assert status.is_alarming(20.1)


@pytest.mark.parametrize(("gate", "line"), [
    (Diagnosis("estop topic", {"state": "stopped", "not ready": ""}, is_error=True), "motors stopped: estop topic"),
    (Diagnosis("not armed yet", {"state": "disarmed", "not ready": ""}), "motors disarmed: not armed yet"),
    (Diagnosis("not armed yet", {"state": "disarmed", "not ready": "no robot_state yet"}),
     "motors disarmed: no robot_state yet"),
    (Diagnosis("not active", {}), "motors not active")])
def test_motors_that_do_not_turn(gate: Diagnosis, line: str) -> None:
    status = board()
    status.diagnosis_heard("serial_driver: motor gate", gate, 10.1)
    assert line in status.lines(WHERE, 10.2)
    assert status.is_alarming(10.2) == ("stopped" in line)


def test_what_is_wrong_is_added() -> None:
    status = board()
    status.diagnosis_heard("mujoco_sim: faults", Diagnosis("missing_leg:front_right@5.0", {}), 10.1)
    status.diagnosis_heard("mpc: planner", Diagnosis("the model is old", {}, is_error=True), 10.1)
    status.diagnosis_heard("state_estimator: state", Diagnosis("no mocap/pose for 0.4 s", {}), 10.1)
    assert status.lines(WHERE, 10.2)[5:] == [
        "fault missing_leg:front_right@5.0", "planner: the model is old", "state: no mocap/pose for 0.4 s"]
    assert status.is_alarming(10.2)


def test_figures_that_are_none_are_left_out() -> None:
    status = board()
    status.figures_heard("adaptation", {**dict.fromkeys(STATUSES, 0.0), "short_window": 1.0, "loss_before": math.nan,
                                        "loss_after": math.nan}, 10.2)
    status.figures_heard("trial", {"cost": math.nan}, 10.2)
    status.figures_heard("mpc", {"cost": math.nan}, 10.2)
    assert status.lines(Whereabouts(), 10.2) == ["grbal short window", "period 100 ms", "motors armed"]


def test_letters_are_ascii() -> None:
    assert all(line.isascii() for line in board().lines(WHERE, 10.2))
