# SPDX-License-Identifier: Apache-2.0
"""The bookkeeping of a trial on hand-made tracks whose numbers are known."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.console import Progress
from l2a_ros.trials.log import LoopTimes, TrialLog, TrialSettings
from l2a_ros.trials.paths import load_path, load_shape
from l2a_ros.trials.report import build_report, check_folder, csv_text, report_table, write_file, write_trial
from l2a_ros.trials.room import Room
from l2a_ros.trials.script import Abandoned, asking, until
from l2a_ros.trials.session import Session

TENTH = 100_000_000


def state(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    return STATE.vector(dict.fromkeys(STATE.names, 0.0) | {
        "position_x": x, "position_y": y, "yaw_cos": math.cos(yaw), "yaw_sin": math.sin(yaw),
        "left_leg_velocity": 30.0, "right_leg_velocity": 31.0})


def settings(**changes: object) -> TrialSettings:
    values = {"path": "straight", "method": "grbal", "planner": "random_shooting", "terrain": "turf",
              "faults": ("missing_leg:front_right@5.0",), "seed": 4, "checkpoint": "some.safetensors"} | changes
    return TrialSettings(**values)  # type: ignore[arg-type]


def straight_log(steps: int, speed: float = 0.2, lateral: float = 0.03, yaw: float = 0.1,
                 **changes: object) -> TrialLog:
    log = TrialLog(LinePath(load_path("straight")), settings(**changes))
    for k in range(steps + 1):
        stamp = 5 * 10**9 + k * TENTH
        log.add_state(stamp, state(k * speed * 0.1, lateral, yaw))
        log.add_command(stamp, np.array([30.0, 31.0]))
    return log


def test_report_of_a_straight_track() -> None:
    log = straight_log(40)
    report = build_report(log, LoopTimes(0.1), 2, "stopped by request")
    assert report["steps"] == 40
    assert report["duration_s"] == pytest.approx(4.0)
    assert report["mean_lateral_error_m"] == report["max_lateral_error_m"] == pytest.approx(0.03)
    assert report["mean_lateral_error_after_1s_m"] == pytest.approx(0.03)
    assert report["progress_m"] == pytest.approx(0.8)
    assert report["path_length_m"] == 2.0
    per_step = 50 * 0.03 - 10 * 0.02 + 5 * 0.1
    assert report["mean_cost"] == pytest.approx(per_step)
    assert report["return"] == pytest.approx(-40 * per_step)
    assert report["safety_stops"] == 2
    assert not report["completed"]
    assert report["faults"] == ["missing_leg:front_right@5.0"]
    assert report["cost_weights"] == {"lateral": 50.0, "progress": 10.0, "heading": 5.0}
    assert {"method", "planner", "path", "terrain", "seed", "loop", "checkpoint"} <= set(report)


def test_mean_after_the_first_second_leaves_it_out() -> None:
    log = TrialLog(LinePath(load_path("straight")), settings())
    for k in range(21):
        log.add_state(k * TENTH, state(0.01 * k, 0.1 if k < 10 else 0.02))
    report = build_report(log, LoopTimes(0.1), 0, "")
    assert report["mean_lateral_error_after_1s_m"] == pytest.approx(0.02)
    assert report["mean_lateral_error_m"] == pytest.approx((9 * 0.1 + 11 * 0.02) / 20)


def test_trial_is_complete_within_a_tenth_of_a_metre_of_the_end_and_takes_nothing_after() -> None:
    log = straight_log(200)
    assert log.completed
    assert not log.timed_out
    last = log.rows()[-1]
    assert last.progress == pytest.approx(1.92), "1.90 is 0.104 m from the end: 0.03 m beside it"
    assert log.add_state(10**12, state(2.0, 0.0)) is None


def test_being_near_the_end_on_an_earlier_segment_is_not_the_end() -> None:
    log = TrialLog(LinePath(load_path("figure8")), settings(path="figure8"))
    assert log.add_state(0, state(0.0, 0.0)) is not None, "the figure eight ends where it starts"
    assert not log.finished


def test_time_is_up_at_the_duration() -> None:
    log = straight_log(500, speed=0.01, duration=20.0)
    assert log.timed_out
    assert not log.completed
    assert len(log.rows()) == 201
    assert log.rows()[-1].elapsed == pytest.approx(20.0)


def test_end_that_is_missed_is_passed_and_that_is_not_completed() -> None:
    log = straight_log(300, lateral=0.13)
    assert (log.passed, log.completed, log.timed_out) == (True, False, False)
    assert log.outcome == "passed the end"
    last = log.rows()[-1]
    assert 2.29 < last.position[0] < 2.33, "0.3 m further it may still have turned round"
    assert last.progress == 2.0
    report = build_report(log, LoopTimes(0.1), 0, log.outcome)
    assert (report["completed"], report["ended"]) == (False, "passed the end")


def test_being_beyond_a_corner_is_not_being_past_the_end() -> None:
    log = TrialLog(LinePath(np.array([[0.0, 0.0], [1.0, 0.0], [0.9, 0.1], [1.0, 1.0]])), settings())
    for k in range(40):
        log.add_state(k * TENTH, state(0.05 * k, -0.2))
    assert log.outcome == "", "it walks on past the first corner: that is only far from the path"


def test_repeated_and_older_states_are_ignored_and_the_first_answer_counts() -> None:
    log = TrialLog(LinePath(load_path("straight")), settings())
    assert log.add_state(TENTH, state(0.0, 0.0)) is not None
    assert log.add_state(TENTH, state(0.5, 0.0)) is None
    assert log.add_state(0, state(0.5, 0.0)) is None
    assert not log.answered
    log.add_command(TENTH, np.array([1.0, 2.0]))
    log.add_command(TENTH, np.array([3.0, 4.0]))
    assert log.answered
    assert log.rows()[0].command.tolist() == [1.0, 2.0]
    assert math.isnan(log.rows()[0].cost)


def test_command_that_was_not_heard_is_an_empty_cell() -> None:
    log = TrialLog(LinePath(load_path("straight")), settings())
    log.add_state(TENTH, state(0.0, 0.0))
    row = dict(zip(*(line.split(",") for line in csv_text(log.rows()).splitlines()), strict=True))
    assert row["command_left_leg"] == row["cost"] == ""


def test_csv_is_stable() -> None:
    text = csv_text(straight_log(3).rows())
    assert text == csv_text(straight_log(3).rows())
    lines = text.splitlines()
    assert lines[0].split(",") == ["stamp_ns", "elapsed_s", *STATE.names, "command_left_leg", "command_right_leg",
                                   "segment", "lateral_error_m", "progress_m", "heading_error_rad", "cost"]
    assert lines[2] == ("5100000000,0.1,0.02,0.03,0,0,0,0,0,0,0,0,0.995004165,0.0998334166,0,0,0,0,0,0,0,30,31,0,0,0,"
                        "30,31,0,0.03,0.02,0.1,1.8")
    assert all(len(line.split(",")) == len(lines[0].split(",")) for line in lines)


def test_loop_statistics() -> None:
    times = LoopTimes(0.1)
    moment = 0.0
    for k in range(101):
        moment += 0.2 if k == 50 else 0.1
        times.state_arrived(k, moment)
        times.state_arrived(k, moment + 0.05)
        times.command_arrived(k, moment + 0.04)
    times.command_arrived(1000, 5.0)
    log = straight_log(3)
    loop = build_report(log, times, 0, "")["loop"]
    assert loop["period_s"] == {"p50": pytest.approx(0.1), "p99": pytest.approx(0.101), "max": pytest.approx(0.2)}
    assert loop["state_to_command_s"]["max"] == pytest.approx(0.04)
    assert loop["overruns"] == 1
    times.planner_reported(-1, {"overruns": 7.0})
    times.planner_reported(3, {"overruns": 9.0, "state_to_command_s": 0.031})
    loop = build_report(log, times, 0, "")["loop"]
    assert loop["state_to_command_s"]["max"] == pytest.approx(0.031), "the planner's own number where it has one"
    assert loop["overruns"] == 3
    loop = build_report(straight_log(3, lockstep=True), times, 0, "")["loop"]
    nothing = {"p50": None, "p99": None, "max": None}
    assert loop == {"period_s": nothing, "state_to_command_s": nothing, "overruns": None}


def test_infinite_cost_leaves_valid_json() -> None:
    log = TrialLog(LinePath(load_path("straight")), settings())
    log.add_state(0, state(0.0, 0.0))
    log.add_state(TENTH, state(math.nan, 0.0))
    report = build_report(log, LoopTimes(0.1), 0, "")
    assert json.loads(json.dumps(report, allow_nan=False))["mean_cost"] is None


@pytest.mark.parametrize("steps", [0, 1, 60])
@pytest.mark.parametrize("path", ["straight", "figure8"])
@pytest.mark.filterwarnings("error")
def test_files_are_written_whole_for_short_and_long_trials(tmp_path: Path, steps: int, path: str) -> None:
    log = TrialLog(LinePath(load_path(path)), settings(path=path))
    for k in range(steps + 1):
        log.add_state(k * TENTH, state(0.02 * k, 0.01 * math.sin(k)))
        log.add_metrics("adaptation", k * TENTH, {"loss_before": 0.5, "loss_after": 0.001, "steps": 1.0})
    report = build_report(log, LoopTimes(0.1), 0, "time is up")
    files = write_trial(tmp_path / "deep" / "folder", log, report)
    assert [file.name for file in files] == ["report.json", "trial.csv", "trial.png"]
    assert sorted(file.name for file in files[0].parent.iterdir()) == ["report.json", "trial.csv", "trial.png"]
    assert json.loads(files[0].read_text()) == report
    assert files[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    table = report_table(report, files)
    assert str(files[2]) in table
    assert "time is up" in table


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.json"
    write_file(file, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        write_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        check_folder(tmp_path / "file" / "out")
    check_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_session_starts_with_the_next_state_and_counts_stops_from_there() -> None:
    session = Session(load_shape("straight"), settings())
    with pytest.raises(RuntimeError):
        session.lay_path()
    session.gate_heard({"safety_stops": "3", "state": "disarmed"}, "")
    session.state_heard(TENTH, state(1.0, 2.0, math.pi / 2), 0.0, 0.0)
    path = session.lay_path()
    np.testing.assert_allclose(path.points[-1], [1.0, 4.0], atol=1e-12)
    session.metrics_heard("mpc", TENTH, {"overruns": 5.0})
    log = session.begin(0.0)
    assert session.state_heard(TENTH, state(1.0, 2.0), 0.1, 0.1) is None
    row = session.state_heard(2 * TENTH, state(1.0, 2.1, math.pi / 2), 0.2, 0.2)
    assert row is not None
    assert row.progress == pytest.approx(0.1)
    session.command_heard(TENTH, np.zeros(2), 0.2)
    session.command_heard(2 * TENTH, np.ones(2), 0.25)
    assert log.rows()[0].command.tolist() == [1.0, 1.0]
    session.metrics_heard("mpc", 2 * TENTH, {"overruns": 6.0, "loss": 1.0})
    assert session.times.overruns() == 1
    assert list(log.metrics) == ["mpc/overruns", "mpc/loss"]
    assert session.safety_stops == 0
    session.gate_heard({"safety_stops": "4", "state": "stopped"}, "the state was too old")
    assert session.safety_stops == 1
    with pytest.raises(Abandoned, match="the robot was stopped: the state was too old"):
        session.check(0.3, 2.0)


def test_session_says_what_is_silent() -> None:
    session = Session(load_shape("straight"), settings())
    assert session.silent(0.0) == ["robot_state", "motor_commands"]
    session.state_heard(TENTH, state(0.0, 0.0), 1.0, 1.0)
    assert session.silent(1.1) == ["motor_commands"]
    session.command_heard(TENTH, np.zeros(2), 1.1)
    assert session.silent(1.4) == []
    assert session.silent(1.6) == ["robot_state"]
    session.lay_path()
    session.begin(2.0)
    assert session.outcome == ""
    session.check(3.9, 2.0)
    with pytest.raises(Abandoned, match="no robot_state for 2 s"):
        session.check(4.1, 2.0)


def test_session_ends_when_somebody_else_disarms_the_robot() -> None:
    session = Session(load_shape("straight"), settings())
    session.state_heard(TENTH, state(0.0, 0.0), 0.0, 0.0)
    session.lay_path()
    session.gate_heard({"safety_stops": "0", "state": "armed"}, "")
    session.begin(0.0)
    session.gate_heard({"safety_stops": "0", "state": "disarmed"}, "")
    session.check(0.1, 2.0)  # said before this trial's arming was heard
    session.gate_heard({"safety_stops": "0", "state": "armed"}, "")
    session.check(0.2, 2.0)
    session.gate_heard({"safety_stops": "0", "state": "disarmed"}, "disarmed")
    with pytest.raises(Abandoned, match="the robot was disarmed by somebody else"):
        session.check(0.3, 2.0)


def test_session_ends_when_time_begins_again_but_not_before_it_began() -> None:
    session = Session(load_shape("straight"), settings())
    for stamp in (900 * TENTH, 20 * TENTH):
        session.state_heard(stamp, state(0.0, 0.0), 0.0, 0.0)
        assert session.state_stamp == stamp, "a world that was started again before the trial is the world"
    session.lay_path()
    session.begin(0.0)
    assert session.state_heard(21 * TENTH, state(0.01, 0.0), 0.1, 0.1) is not None
    session.check(0.1, 2.0)
    assert session.state_heard(20 * TENTH, state(0.0, 0.0), 0.2, 0.2) is None
    session.check(0.2, 2.0)  # one that is late
    session.state_heard(2 * TENTH, state(0.0, 0.0), 0.3, 0.3)
    with pytest.raises(Abandoned, match="time jumped back by 1.9"):
        session.check(0.3, 2.0)


def test_session_ends_when_the_pose_is_set_by_hand_and_takes_no_row_of_the_new_place() -> None:
    session = Session(load_shape("straight"), settings())
    session.state_heard(TENTH, state(0.0, 0.0), 0.0, 0.0)
    session.pose_set()
    session.lay_path()
    session.begin(0.0)
    assert session.state_heard(2 * TENTH, state(0.01, 0.0), 0.1, 0.1) is not None
    session.check(0.1, 2.0)
    session.pose_set()
    assert session.state_heard(3 * TENTH, state(5.0, 5.0), 0.2, 0.2) is None
    with pytest.raises(Abandoned, match=r"the pose was set by hand \(initialpose\) while the robot walked"):
        session.check(0.2, 2.0)


def test_session_forgets_a_trial_and_keeps_what_it_knows_of_the_robot() -> None:
    session = Session(load_shape("straight"), settings(), Room(-1.0, 2.5, -1.0, 1.0))
    with pytest.raises(UserError, match="it is not known where the robot is"):
        session.position(0.0)
    session.gate_heard({"safety_stops": "2", "state": "disarmed"}, "")
    session.state_heard(TENTH, state(0.4, 0.1), 0.0, 0.0)
    session.lay_path()
    session.begin(0.0)
    session.gate_heard({"safety_stops": "3", "state": "stopped"}, "estop topic")
    assert session.safety_stops == 1
    session.forget()
    assert session.log is None
    assert session.outcome == ""
    assert session.position(0.1).tolist() == [0.4, 0.1]
    with pytest.raises(UserError, match="it is not known where the robot is"):
        session.position(5.0)
    session.state_heard(2 * TENTH, state(0.6, 0.1), 5.0, 5.0)
    with pytest.raises(UserError, match="way-point 2 of the path .* is 0.100 m outside the room"):
        session.lay_path()
    with pytest.raises(RuntimeError, match="lay the path"):
        session.begin(5.0)
    session.state_heard(3 * TENTH, state(0.5, 0.1), 5.1, 5.1)
    session.lay_path()
    session.begin(5.1)
    assert session.safety_stops == 0
    session.check(5.1, 2.0)


def test_script_waits_until_something_is_so() -> None:
    now = [0.0]
    waits = []
    for wait in until(lambda: now[0] > 0.35, lambda: now[0], 1.0, lambda: "nothing", 0.1):
        waits.append(wait)
        now[0] += wait
    assert waits == [0.1] * 4
    with pytest.raises(Abandoned, match="the mpc did not answer"):
        for wait in until(lambda: False, lambda: now[0], 1.0, lambda: "the mpc did not answer"):
            now[0] += wait


def test_script_asks_again_until_there_is_an_answer() -> None:
    now, asked = [0.0], []
    condition = asking(lambda: asked.append(now[0]), lambda: now[0] > 2.5, lambda: now[0], 1.0)
    for wait in until(condition, lambda: now[0], 5.0, lambda: "nothing", 0.25):
        now[0] += wait
    assert asked == [0.0, 1.25, 2.5]


@pytest.mark.parametrize(("gate", "stops"), [("armed", 0), ("stopped", 1)])
def test_gate_first_heard_in_the_middle_of_a_trial(gate: str, stops: int) -> None:
    session = Session(load_shape("straight"), settings())
    session.state_heard(TENTH, state(0.0, 0.0), 0.0, 0.0)
    session.lay_path()
    session.begin(0.0)
    session.gate_heard({"safety_stops": "5", "state": gate}, "")
    assert session.safety_stops == stops


def test_cost_has_the_given_weights() -> None:
    weights = {"lateral": 1.0, "progress": 2.0, "heading": 3.0}
    report = build_report(straight_log(10, weights=weights), LoopTimes(0.1), 0, "")
    assert report["mean_cost"] == pytest.approx(0.03 - 2 * 0.02 + 3 * 0.1)
    assert report["cost_weights"] == weights


def test_state_that_is_broken_where_no_term_looks_has_a_cost() -> None:
    log = TrialLog(LinePath(load_path("straight")), settings())
    log.add_state(0, state(0.0, 0.0))
    broken = state(0.1, 0.02)
    broken[STATE.index("battery_voltage")] = math.nan
    row = log.add_state(TENTH, broken)
    assert row is not None
    assert row.cost == pytest.approx(50 * 0.02 - 10 * 0.1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_one_line_on_a_terminal_and_adds_few_lines_elsewhere() -> None:
    row = straight_log(10).rows()[-1]
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress(stream, 2.0)
        for k in range(50):
            progress.show(row, 0.1, 0.1 * k)
        progress.end()
    assert file.getvalue().splitlines() == [
        "  1.0 s    0.20 of 2.00 m   lateral  +3.0 cm   period 100 ms"] * 3
    assert 20 <= terminal.getvalue().count("\r") <= 26
    assert terminal.getvalue().count("\n") == 1
