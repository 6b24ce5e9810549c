# SPDX-License-Identifier: Apache-2.0
"""Every fault does what it says, from its onset on, and is gone without a trace when it heals.

Sensor faults do not touch the motion, so what they do is compared sample by sample with a healthy robot of the same
seed. What the walking faults of the drives and legs do is told in ``test_millirobot.py``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import mujoco
import numpy as np
import pytest
from driving import drives
from scipy.spatial.transform import Rotation

from l2a_ros.robot.layout import LEGS
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.faults import body_fault_names, parse_fault, parse_faults
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.mocap_faults import JUMPS, WRONG_HEIGHTS
from l2a_ros.simulation.payload import STRING
from l2a_ros.simulation.radio import CommandRadio
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.world import build_spec

CARPET = load_terrain("carpet")
MILLISECOND = 1_000_000
STAND, WALK = (0.0, 0.0), (5.0, 6.0)
#: One strong fault of every kind.
STRONG = {
    "missing_leg": "missing_leg:hind_left", "payload": "payload:0.03", "shell_weight": "shell_weight:30,0.03,0.02",
    "motor_gain": "motor_gain:right,0.2", "dead_motor": "dead_motor:left", "battery": "battery:3.0",
    "encoder_slip": "encoder_slip:left,0.3", "pose_shift": "pose_shift:0.05,-0.03,0.5",
    "mocap_dropout": "mocap_dropout:0.2", "mocap_latency": "mocap_latency:0.033", "mocap_outlier": "mocap_outlier:100",
    "imu_bias": "imu_bias:0.2,-0.3,1.0", "packet_loss": "packet_loss:0.5",
    "stuck_encoder": "stuck_encoder:left", "worn_leg": "worn_leg:front_right,0.5",
    "foot_grip": "foot_grip:middle_right,0.1",
}
OF_SENSORS = ("pose_shift", "mocap_dropout", "mocap_latency", "mocap_outlier", "imu_bias")


def _run(robot: InProcessRobot, ticks: int, rates: Sequence[float] = WALK) -> list[Sample]:
    samples = []
    for _ in range(ticks):
        robot.tick(np.array(rates) * REVOLUTION)
        samples += robot.samples
    return samples


@cache
def _sampled(faults: tuple[str, ...] = (), seed: int = 0, ticks: int = 10,
             rates: tuple[float, float] = WALK) -> list[Sample]:
    """Return everything the sensors of a robot said."""
    return _run(InProcessRobot(CARPET, seed, parse_faults(faults)), ticks, rates)


def _of(kind: type, samples: list[Sample]) -> list[Any]:
    return [sample for sample in samples if isinstance(sample, kind)]


def _bytes(samples: list[Sample]) -> list[tuple[str, int, bytes]]:
    return [(type(sample).__name__, sample.stamp,
             b"".join(np.asarray(value).tobytes() for name, value in vars(sample).items() if name != "stamp"))
            for sample in samples]


def _state(robot: Millirobot) -> np.ndarray:
    return np.concatenate([robot.data.qpos[:13], robot.data.qvel[:12], [robot.battery_voltage, robot.time]])


def _model_differences(one: mujoco.MjModel, other: mujoco.MjModel) -> list[str]:
    """Return the arrays of two models that differ."""
    arrays = [name for name in dir(one) if isinstance(getattr(one, name, None), np.ndarray)]
    assert "body_mass" in arrays
    return [name for name in arrays if not np.array_equal(getattr(one, name), getattr(other, name))]


# Every fault ---------------------------------------------------------------------------------------------------------


def test_there_is_a_strong_one_of_every_kind() -> None:
    assert sorted(STRONG) == body_fault_names()


@pytest.mark.parametrize("name", body_fault_names())
def test_it_strikes_at_its_onset_and_not_before(name: str) -> None:
    onset = 487 * MILLISECOND
    healthy, broken = (_bytes(_sampled(faults)) for faults in ((), (f"{STRONG[name]}@0.487",)))
    before, struck = ([each for each in run if each[1] < onset] for run in (healthy, broken))
    assert struck == before
    assert broken != healthy
    if name in OF_SENSORS:
        first = next(each for each in healthy if each not in broken)
        assert first[1] == 490 * MILLISECOND, "the next sample is the first that is wrong"


@pytest.mark.parametrize("name", body_fault_names())
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    faults = (f"{STRONG[name]}@0.487",)
    assert _bytes(_run(InProcessRobot(CARPET, 0, parse_faults(faults)), 10)) == _bytes(_sampled(faults))


def test_another_seed_draws_others() -> None:
    lost, wrong = [], []
    for seed in (0, 1):
        samples = _sampled(("mocap_outlier:5", "packet_loss:0.5"), seed, 20, STAND)
        lost.append([sample.stamp for sample in _of(ImuSample, samples)])
        wrong.append([sample.stamp for sample in _of(PoseSample, samples) if np.linalg.norm(sample.position) > 0.3])
    assert lost[0] != lost[1]
    assert wrong[0] != wrong[1]


@pytest.mark.parametrize("text", ["motor_gain:left,1", "shell_weight:0,0.05", "encoder_slip:right,0", "imu_bias:0,0,0",
                                  "mocap_latency:0", "mocap_outlier:0", "packet_loss:0", "worn_leg:front_left,0",
                                  "foot_grip:hind_left,1"])
def test_one_of_no_size_is_none(text: str) -> None:
    assert _bytes(_sampled((text,))) == _bytes(_sampled())


@pytest.mark.parametrize("name", body_fault_names())
def test_it_heals_without_a_trace(name: str) -> None:
    robot, healthy = InProcessRobot(CARPET, faults=[parse_fault(STRONG[name])]), InProcessRobot(CARPET)
    for each in (robot, healthy):
        _run(each, 3)
    robot.robot.replace_faults([])
    assert not robot.robot.faults.active
    assert _model_differences(robot.robot.model, healthy.robot.model) == []
    assert [motor.gain for motor in robot.robot.motors] == [1.0, 1.0]
    np.testing.assert_array_equal(robot.robot.encoder_angles, robot.robot.crank_angles)
    if name in OF_SENSORS:
        assert _bytes(_run(robot, 5)) == _bytes(_run(healthy, 5))
    for each in (robot, healthy):
        each.robot.reset()
        for _ in range(200):
            each.robot.step([30.0, 40.0])
    np.testing.assert_array_equal(_state(robot.robot), _state(healthy.robot))


@pytest.mark.parametrize("name", body_fault_names())
def test_reset_is_a_new_robot_with_the_same_fault_ahead(name: str) -> None:
    robot = Millirobot(CARPET, 4, [parse_fault(f"{STRONG[name]}@0.1")])
    states = []
    for _ in range(2):
        states.append([])
        for _ in range(300):
            robot.step([30.0, 40.0])
            states[-1].append(_state(robot))
        robot.reset()
    np.testing.assert_array_equal(states[0], states[1])


def test_all_of_them_at_once() -> None:
    texts = tuple(f"{text}@{0.1 + 0.05 * i:.2f}" for i, text in enumerate(STRONG.values()))
    robot = InProcessRobot(CARPET, 3, parse_faults(texts))
    samples = _run(robot, 12)
    assert {fault.text for fault in robot.robot.faults.active} == set(texts) - {"mocap_dropout:0.2@0.50"}
    assert np.all(np.isfinite(robot.robot.data.qpos))
    assert all(np.all(np.isfinite(value)) for sample in samples for value in vars(sample).values())
    assert _bytes(_run(InProcessRobot(CARPET, 3, parse_faults(texts)), 12)) == _bytes(samples)


def test_injected_while_it_walks_is_as_if_planned() -> None:
    planned = InProcessRobot(CARPET, faults=parse_faults(["motor_gain:right,0.3@0.4", "payload:0.02@0.5"]))
    injected = InProcessRobot(CARPET)
    for robot in (planned, injected):
        _run(robot, 3)
    injected.robot.replace_faults(parse_faults(["motor_gain:right,0.3@0.1", "payload:0.02@0.2"]))
    for robot in (planned, injected):
        _run(robot, 5)
    np.testing.assert_array_equal(_state(planned.robot), _state(injected.robot))


# The body ------------------------------------------------------------------------------------------------------------


def test_payload_is_pulled_on_a_string() -> None:
    robot = InProcessRobot(CARPET, faults=[parse_fault("payload:0.02@0.5")])
    _run(robot, 5)
    walking = _state(robot.robot)[:7]
    assert robot.robot.model.nq == 20
    lengths, heights, begin = [], [], robot.robot.data.body("sled").xpos.copy()
    for _ in range(20):
        _run(robot, 1)
        lengths.append(float(robot.robot.data.ten_length[0]))
        heights.append(float(robot.robot.data.body("sled").xpos[2]))
    assert np.linalg.norm(begin[:2] - walking[:2]) > STRING, "it starts behind the robot"
    assert max(lengths) < 1.2 * STRING
    assert 0.005 < np.median(heights) < 0.02, "it slides on the ground"
    assert np.linalg.norm(robot.robot.data.body("sled").xpos - begin) > 0.03, "it follows"


@pytest.mark.parametrize("terrain", ["gravel", "slope", "stairs_down"])
def test_payload_lies_on_any_ground(terrain: str) -> None:
    robot = Millirobot(load_terrain(terrain), faults=[parse_fault("payload:0.02@0.1")])
    for _ in range(800):
        robot.step([0.0, 0.0])
    gaps = [contact.dist for contact in robot.data.contact if "sled" in robot.model.geom(contact.geom[1]).name
            or "sled" in robot.model.geom(contact.geom[0]).name]
    assert gaps and min(gaps) > -0.003


def test_payload_slows_the_robot() -> None:
    ways = [np.mean([each.moved[0] for each in drives(5.0, 5.0, faults)]) for faults in ((), ("payload:0.04",))]
    assert ways[1] < 0.85 * ways[0]


def test_shell_weight_is_mass_at_a_place() -> None:
    plain, heavy = Millirobot(CARPET), Millirobot(CARPET, faults=[parse_fault("shell_weight:20,0.04,-0.02,0.01")])
    base, place = plain.model.body("base_link").id, np.array([0.04, -0.02, 0.01])
    mass, added = float(plain.model.body_mass[base]), 0.02
    assert heavy.model.body_mass.sum() == pytest.approx(plain.model.body_mass.sum() + added)
    assert heavy.model.body_subtreemass[base] == pytest.approx(plain.model.body_subtreemass[base] + added)
    centre = (mass * plain.model.body_ipos[base] + added * place) / (mass + added)
    np.testing.assert_allclose(heavy.model.body_ipos[base], centre)

    def inertia(model: mujoco.MjModel, origin: np.ndarray) -> np.ndarray:
        w, x, y, z = model.body_iquat[base]
        axes = Rotation.from_quat([x, y, z, w]).as_matrix()
        apart = model.body_ipos[base] - origin
        return (axes @ np.diag(model.body_inertia[base]) @ axes.T
                + model.body_mass[base] * (apart @ apart * np.eye(3) - np.outer(apart, apart)))

    np.testing.assert_allclose(inertia(heavy.model, place), inertia(plain.model, place), atol=1e-12,
                               err_msg="about its own place a point mass adds nothing")


def test_shell_weight_changes_the_walk_and_sinks_its_side() -> None:
    plain, heavy = (_of(PoseSample, _sampled(faults, ticks=20)) for faults in ((), (STRONG["shell_weight"],)))
    assert np.linalg.norm(plain[-1].position - heavy[-1].position) > 0.01
    load = {}
    for side in (1.0, -1.0):
        robot = Millirobot(CARPET, faults=[parse_fault(f"shell_weight:50,0,{side * 0.03}")])
        load[side] = np.zeros(2)
        for _ in range(1000):
            robot.step([20.0, 20.0])
            for i, contact in enumerate(robot.data.contact):
                force = np.zeros(6)
                mujoco.mj_contactForce(robot.model, robot.data, i, force)
                load[side][int(contact.pos[1] < robot.position[1])] += force[0]
    assert load[1.0][0] / load[1.0].sum() > load[-1.0][0] / load[-1.0].sum() + 0.1


@pytest.mark.parametrize("leg", LEGS)
def test_missing_leg_touches_nothing(leg: str) -> None:
    robot = Millirobot(CARPET, faults=[parse_fault(f"missing_leg:{leg}")])
    body, touched = robot.model.body(f"{leg}_leg").id, set()
    for _ in range(400):
        robot.step([30.0, 30.0])
        touched |= {int(robot.model.geom_bodyid[geom]) for contact in robot.data.contact for geom in contact.geom}
    assert body not in touched and len(touched) > 2


@pytest.mark.parametrize("terrain", ["carpet", "stairs_up"])
def test_worn_leg_is_as_if_it_were_built_shorter(terrain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_shorter(*arguments: Any) -> mujoco.MjSpec:
        spec = build_spec(*arguments)
        for geom in spec.body("hind_left_leg").geoms:
            geom.pos = 0.7 * np.array(geom.pos)
        return spec

    worn = Millirobot(load_terrain(terrain), 2, parse_faults(["worn_leg:hind_left,0.3"]))
    twice = Millirobot(load_terrain(terrain), 2, parse_faults(["worn_leg:hind_left,0.125", "worn_leg:hind_left,0.2"]))
    np.testing.assert_allclose(twice.model.geom_pos, worn.model.geom_pos, rtol=1e-12)
    monkeypatch.setattr("l2a_ros.simulation.millirobot.build_spec", build_shorter)
    shorter = Millirobot(load_terrain(terrain), 2)
    for _ in range(1500):
        for robot in (worn, shorter):
            robot.step([30.0, 35.0])
    np.testing.assert_array_equal(_state(worn), _state(shorter))
    hip, foot = worn.data.joint("hind_left_leg_joint").xanchor, worn.data.geom("hind_left_foot").xpos
    assert np.linalg.norm(foot - hip) == pytest.approx(0.7 * 0.0235)
    toe, shank = worn.data.geom("hind_left_toe").xpos, worn.data.geom("hind_left_shank")
    np.testing.assert_allclose(toe, foot)
    np.testing.assert_allclose(shank.xpos, (hip + foot) / 2.0, atol=1e-12, err_msg="and so it is drawn")
    assert worn.model.geom("hind_left_shank").size[1] == pytest.approx(0.7 * 0.0235 / 2.0)


def _frictions(robot: Millirobot, milliseconds: int) -> list[tuple[str, str, tuple[float, ...]]]:
    """Walk; return of every contact whose foot and whose ground it is, and its numbers."""
    seen = []
    for _ in range(milliseconds):
        robot.step([40.0, 40.0])
        for contact in robot.data.contact:
            names = sorted(robot.model.geom(geom).name for geom in contact.geom)
            if names[1].endswith("_foot"):
                seen.append((names[1].removesuffix("_foot"), names[0], (*contact.friction.tolist(), *contact.solref,
                                                                        *contact.solimp, float(contact.dim))))
    return seen


@pytest.mark.parametrize(("terrain", "grounds"), [("carpet", 1), ("carpet:10,90", 1), ("carpet_to_turf:3", 3)])
def test_foot_grip_is_the_friction_of_one_foot_whatever_it_stands_on(terrain: str, grounds: int) -> None:
    world = load_terrain(terrain)
    near = [dataclasses.replace(zone, begin=0.08 + 0.12 * i) for i, zone in enumerate(world.zones)]
    world = dataclasses.replace(world, zones=tuple(near))
    healthy, taped = (_frictions(Millirobot(world, 1, parse_faults(faults)), 2500)
                      for faults in ([], ["foot_grip:hind_left,0.5", "foot_grip:hind_left,0.8"]))
    usual = {ground: numbers for _, ground, numbers in healthy}
    assert len(usual) == grounds
    others = {(leg, ground): numbers for leg, ground, numbers in taped if leg != "hind_left"}
    assert {leg for leg, _ in others} == {leg for leg in LEGS if leg != "hind_left"}
    assert all(numbers == usual[ground] for (_, ground), numbers in others.items()), "the others are as they were"
    struck = [(ground, numbers) for leg, ground, numbers in taped if leg == "hind_left"]
    assert {ground for ground, _ in struck} == set(usual)
    # At a border a foot may touch the one ground while it is above the other.
    right = [numbers[0] == pytest.approx(0.4 * usual[ground][0]) and numbers[1] == numbers[0]
             and numbers[2:] == usual[ground][2:] for ground, numbers in struck]
    assert np.mean(right) > 0.97
    assert grounds > 1 or all(right)


def test_a_foot_that_slips_turns_the_robot_to_its_side() -> None:
    turned = [np.mean([each.turned for each in drives(5.0, 5.0, [f"foot_grip:{place}_{side},0.1"
                                                                  for place in ("front", "middle", "hind")])])
              for side in ("left", "right")]
    assert turned[0] > turned[1] + 0.5


def test_battery_is_the_cell_from_now_on() -> None:
    healthy, empty = (_of(BatterySample, _sampled(faults)) for faults in ((), ("battery:3.0@0.5",)))
    before, after = ([sample.voltage for sample in run if (sample.stamp >= 500 * MILLISECOND) is late]
                     for run, late in ((empty, False), (empty, True)))
    assert before == [sample.voltage for sample in healthy][:4]
    assert 2.3 < min(after) <= max(after) < 3.01


def test_slipping_encoder_reads_too_little_and_its_leg_turns_too_fast() -> None:
    robots = [InProcessRobot(CARPET, faults=parse_faults(texts)) for texts in ([], ["encoder_slip:left,0.25@0.5"])]
    for robot in robots:
        _run(robot, 5, (4.0, 4.0))
    read, turned = [], []
    for robot in robots:
        starts = robot.robot.encoder_angles, robot.robot.crank_angles.copy()
        np.testing.assert_array_equal(*starts)
        last = _of(CrankSample, _run(robot, 20, (4.0, 4.0)))[-1]
        read.append(last.angles - starts[0])
        turned.append(robot.robot.crank_angles - starts[1])
    healthy, slipping = turned
    assert slipping[0] / healthy[0] == pytest.approx(1.0 / 0.75, rel=0.1)
    assert read[1][0] == pytest.approx(read[0][0], rel=0.1), "it reads what was commanded"
    assert read[1][0] / slipping[0] == pytest.approx(0.75, rel=1e-3)
    assert slipping[1] == pytest.approx(read[1][1], abs=1e-3), "the other side is as before"


# Motion capture ------------------------------------------------------------------------------------------------------


def _poses(*faults: str, ticks: int = 10) -> tuple[list[PoseSample], list[PoseSample]]:
    """Return the poses of a healthy robot and of one with faults; every other sample must be the same."""
    healthy, broken = (_sampled(each, ticks=ticks) for each in ((), faults))
    others = [_bytes([sample for sample in run if not isinstance(sample, PoseSample)]) for run in (healthy, broken)]
    assert others[0] == others[1]
    return _of(PoseSample, healthy), _of(PoseSample, broken)


def test_pose_shift_is_another_frame_on_the_body() -> None:
    for true, shifted in zip(*_poses("pose_shift:0.05,-0.03,0.5"), strict=True):
        attitude = Rotation.from_quat(true.quaternion)
        np.testing.assert_allclose(shifted.position - true.position, attitude.apply([0.05, -0.03, 0.0]), atol=1e-12)
        turn = (attitude.inv() * Rotation.from_quat(shifted.quaternion)).as_rotvec()
        np.testing.assert_allclose(turn, [0.0, 0.0, 0.5], atol=1e-9)


def test_dropout_is_a_gap_of_its_length() -> None:
    healthy, broken = _poses("mocap_dropout:0.25@0.4")
    kept = [sample for sample in healthy if not 400 <= sample.stamp / MILLISECOND < 650]
    assert _bytes(broken) == _bytes(kept)
    assert len(healthy) - len(broken) == 25


def test_latency_publishes_the_same_poses_later() -> None:
    healthy, broken = _poses("mocap_latency:0.033@0.4")
    early = [sample for sample in broken if sample.stamp < 400 * MILLISECOND]
    assert _bytes(early) == _bytes(healthy)[:len(early)]
    late = broken[len(early):]
    assert late[0].stamp == 433 * MILLISECOND, "nothing arrives while the first one is under way"
    for sample, measured in zip(late, healthy[len(early):], strict=False):
        assert sample.stamp - measured.stamp == 33 * MILLISECOND
        np.testing.assert_array_equal(sample.position, measured.position)
        np.testing.assert_array_equal(sample.quaternion, measured.quaternion)


def test_outliers_are_those_of_the_recordings() -> None:
    healthy, broken = _poses("mocap_outlier:5", ticks=150)
    seen = dict.fromkeys(("jump", "other body", "frozen", "zero"), 0)
    last = np.zeros(3)
    for true, sample in zip(healthy, broken, strict=True):
        assert sample.stamp == true.stamp
        if np.array_equal(sample.position, true.position):
            last = true.position
            continue
        distance = float(np.linalg.norm(sample.position[:2] - true.position[:2]))
        if np.array_equal(sample.position, last):
            seen["frozen"] += 1
        elif not sample.quaternion.any():
            seen["zero"] += 1
            assert not sample.position.any()
        elif sample.position[2] > 0.5:
            seen["other body"] += 1
            assert sample.position[2] in WRONG_HEIGHTS
        else:
            seen["jump"] += 1
            assert JUMPS[0] - 1e-9 <= distance <= JUMPS[1] + 1e-9
            assert sample.position[2] == true.position[2]
    assert min(seen.values()) >= 3, seen
    wrong = sum(seen.values())
    assert 0.1 < wrong / len(healthy) < 0.7


def test_rate_of_outliers() -> None:
    shares = []
    for rate in (0.5, 20.0):
        healthy, broken = _poses(f"mocap_outlier:{rate}", ticks=150)
        shares.append(np.mean([not np.array_equal(one.position, two.position)
                               for one, two in zip(healthy, broken, strict=True)]))
    assert shares[0] < 0.3
    assert shares[1] > 0.5


# Radio and inertial unit ---------------------------------------------------------------------------------------------


def test_imu_bias_is_added_to_the_gyro_alone() -> None:
    runs = [_sampled(faults) for faults in ((), ("imu_bias:0.2,-0.3,1.0",))]
    for one, two in zip(*(_of(ImuSample, run) for run in runs), strict=True):
        np.testing.assert_allclose(two.angular_velocity - one.angular_velocity, [0.2, -0.3, 1.0], atol=1.1e-3)
        np.testing.assert_array_equal(two.specific_force, one.specific_force)
    others = [_bytes([sample for sample in run if not isinstance(sample, ImuSample)]) for run in runs]
    assert others[0] == others[1]


def test_lost_packets_lose_all_that_is_in_them() -> None:
    healthy, lossy = (_sampled(faults, ticks=100, rates=STAND) for faults in ((), ("packet_loss:0.3",)))
    assert _bytes(_of(PoseSample, lossy)) == _bytes(_of(PoseSample, healthy)), "motion capture is not on the radio"
    by_radio = (ImuSample, CrankSample, TelemetrySample, BatterySample)
    sent, arrived = ([sample for sample in run if isinstance(sample, by_radio)] for run in (healthy, lossy))
    stamps = {sample.stamp for sample in arrived}
    assert _bytes(arrived) == _bytes([sample for sample in sent if sample.stamp in stamps]), "whole, as they would be"
    assert 0.2 < 1.0 - len(stamps) / len({sample.stamp for sample in sent}) < 0.4


def test_lost_command_leaves_the_robot_doing_what_it_did() -> None:
    """At most for the command time-out; a command to stand is not lost."""
    robot = InProcessRobot(CARPET, faults=[parse_fault("packet_loss:1@0.5")])
    _run(robot, 5, (4.0, 4.0))
    rates = []
    for _ in range(8):
        start = robot.robot.crank_angles.copy()
        _run(robot, 1, (8.0, 8.0))
        rates.append(float(np.mean(robot.robot.crank_angles - start)) / REVOLUTION * 10.0)
    assert rates[0] == pytest.approx(4.0, rel=0.25)
    assert rates[1] == pytest.approx(4.0, rel=0.25)
    assert max(rates[5:]) < 0.5, "it gives up"
    robot.robot.replace_faults([])
    _run(robot, 3, (8.0, 8.0))
    robot.robot.replace_faults([parse_fault("packet_loss:1")])
    _run(robot, 3, STAND)
    assert np.abs(robot.robot.crank_rates).max() < 2.0


def test_share_of_commands_lost() -> None:
    faults = FaultSchedule(parse_faults(["packet_loss:0.5", "packet_loss:0.2"]))
    faults.advance(0)
    radio, arrived = CommandRadio(faults, 0, hold=0.3), []
    sent = [np.array([10.0 + i, 20.0]) for i in range(1000)]
    for i, rates in enumerate(sent):
        radio.send(i * 100 * MILLISECOND)
        arrived.append(radio.output(rates, i * 100 * MILLISECOND))
    share = np.mean([one is two for one, two in zip(sent, arrived, strict=True)])
    assert share == pytest.approx(0.5 * 0.8, abs=0.06)
    for i, rates in enumerate(arrived[3:], 3):
        assert not np.any(rates) or i - (rates[0] - 10.0) <= 3, "nothing older than the time-out"
    assert not np.any(radio.output(np.zeros(2), 1000 * 100 * MILLISECOND))


def test_sled_and_mass_of_two_faults_add() -> None:
    robot = Millirobot(CARPET, faults=parse_faults(["payload:0.02", "shell_weight:5", "shell_weight:7,0.02"]))
    robot.replace_faults([*robot.faults.active, parse_fault("payload:0.03")])
    assert float(robot.model.body("sled").mass[0]) == pytest.approx(0.05)
    assert robot.model.body("base_link").mass[0] - Millirobot(CARPET).model.body("base_link").mass[0] == pytest.approx(
        0.012)
    assert math.isclose(robot.time, 0.0)
