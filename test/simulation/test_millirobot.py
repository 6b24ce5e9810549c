# SPDX-License-Identifier: Apache-2.0
"""How the simulated robot behaves: it stands, walks, turns and breaks as a robot of this kind does.

One walk is chaotic (feet slip and bounce), so claims about walking are about the mean of several starts.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from driving import drive, drives

from l2a_ros.robot.description import coupled_joints
from l2a_ros.robot.layout import LEGS, MOTOR_JOINTS, STATE
from l2a_ros.robot.limits import REVOLUTION, STAND
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.world import PHYSICS_PERIOD, build_model
from l2a_ros.training.random_driving import RandomDriver

CARPET = load_terrain("carpet")
#: Level all the way; the others are in test_world.py.
FLAT = ["carpet", "styrofoam", "turf"]


def walk(robot: Millirobot, left: float, right: float, milliseconds: int) -> None:
    for _ in range(milliseconds):
        robot.step([left * REVOLUTION, right * REVOLUTION])


def everything(robot: Millirobot) -> np.ndarray:
    return np.concatenate([robot.data.qpos, robot.data.qvel, [robot.battery_voltage, robot.time]])


# The model -----------------------------------------------------------------------------------------------------------


def test_model_is_that_of_the_description() -> None:
    model = build_model(CARPET)
    assert model.opt.timestep == PHYSICS_PERIOD == 0.001
    assert [model.actuator(i).name for i in range(model.nu)] == list(MOTOR_JOINTS)
    coupled = {(model.joint(model.eq_obj1id[i]).name, model.joint(model.eq_obj2id[i]).name)
               for i in range(model.neq)}
    assert coupled == set(coupled_joints().items())
    assert {model.body(i).name for i in range(model.nbody)} >= {"base_link", *(f"{leg}_leg" for leg in LEGS)}
    assert float(model.body_mass.sum()) == pytest.approx(0.037 + 6 * 0.0008)
    assert (model.nq, model.nv) == (7 + 6, 6 + 6)


def test_own_parts_never_collide() -> None:
    """Neither by their masks nor in a minute of wild driving."""
    robot = Millirobot(CARPET, seed=1)
    model = robot.model
    ground = {int(i) for i in np.flatnonzero(model.geom_bodyid == 0)}
    own = [i for i in range(model.ngeom) if i not in ground]
    for i in own:
        for j in own:
            assert not model.geom_contype[i] & model.geom_conaffinity[j]
    driver, seen = RandomDriver(1), 0
    for _ in range(15):
        rates = driver()
        for _ in range(100):
            robot.step(rates)
            for contact in robot.data.contact[:robot.data.ncon]:
                assert ground & set(contact.geom.tolist())
                seen += 1
    assert seen > 500


@pytest.mark.parametrize("faults", [(), ("dead_motor:left",)])
def test_legs_of_a_side_stay_coupled(faults: tuple[str, ...]) -> None:
    robot = Millirobot(CARPET, faults=[parse_fault(text) for text in faults])
    worst = 0.0
    for _ in range(10):
        walk(robot, 7.0, 7.0, 100)
        for follower, leader in coupled_joints().items():
            worst = max(worst, abs(float(robot.data.joint(follower).qpos[0] - robot.data.joint(leader).qpos[0])))
    assert worst < 0.15


# Standing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terrain", FLAT)
def test_stands_still_when_commanded_zero(terrain: str) -> None:
    robot = Millirobot(load_terrain(terrain), seed=2)
    walk(robot, 0.0, 0.0, 500)
    place, angles = robot.position, robot.crank_angles.copy()
    walk(robot, 0.0, 0.0, 3000)
    assert np.linalg.norm(robot.position - place) < 1e-3
    assert np.abs(robot.crank_angles - angles).max() < 0.05, "but for what the integral term still takes up"
    assert np.abs(robot.crank_rates).max() < 0.05
    assert 0.010 < robot.position[2] < 0.032, "on its feet, not on its belly or in the air"
    assert robot.specific_force[2] == pytest.approx(9.81, abs=0.3)
    assert np.abs(robot.angular_velocity).max() < 0.1


def test_stops_when_commanded_zero() -> None:
    robot = Millirobot(CARPET)
    walk(robot, 8.0, 8.0, 1000)
    walk(robot, 0.0, 0.0, 500)
    place = robot.position
    walk(robot, 0.0, 0.0, 1000)
    assert np.linalg.norm(robot.position - place) < 2e-3


def test_steep_slope_lets_it_slide_and_flat_ground_does_not() -> None:
    for slope, slides in ((0.0, False), (0.7, True)):
        robot = Millirobot(dataclasses.replace(CARPET, slope=slope, friction=0.2))
        walk(robot, 0.0, 0.0, 1500)
        assert bool(robot.position[0] > 0.1) is slides, "positive slope is downhill along +x"


# Walking -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terrain", FLAT)
def test_equal_rates_walk_forward_about_straight(terrain: str) -> None:
    walks = drives(5.0, 5.0, terrain=terrain)
    ahead = np.array([each.moved[0] for each in walks])
    lengths = np.array([each.length for each in walks])
    assert ahead.mean() > 0.2
    assert 0.3 < lengths.min() < lengths.max() < 1.0, "two seconds at 5 rev/s, 3 to 10 cm per revolution"
    assert abs(np.mean([each.turned for each in walks])) < 1.5, "it sways, but does not circle"
    assert all(np.abs(each.revolutions / 10.0 - 1.0).max() < 0.05 for each in walks), "legs do what they are told"


@pytest.mark.parametrize("terrain", FLAT)
def test_turns_away_from_the_faster_side(terrain: str) -> None:
    left = [each.turned for each in drives(2.5, 8.0, terrain=terrain, ticks=30)]
    right = [each.turned for each in drives(8.0, 2.5, terrain=terrain, ticks=30)]
    assert np.mean(left) > 1.0, "the right side is faster: left"
    assert np.mean(right) < -0.5


def test_faster_legs_walk_faster() -> None:
    lengths = [np.mean([each.length for each in drives(rate, rate, seeds=3)]) for rate in (2.0, 5.0, 8.0)]
    assert lengths[0] * 1.05 < lengths[1]
    assert lengths[1] * 1.2 < lengths[2]


def test_start_heading_turns_the_whole_walk() -> None:
    ahead, aside = drive(5.0, 5.0, heading=0.0, seed=3), drive(5.0, 5.0, heading=math.pi / 2, seed=3)
    assert aside.heading[0] - ahead.heading[0] == pytest.approx(math.pi / 2, abs=0.05)
    first, second = ahead.moved, aside.moved
    assert first[0] > 0.25
    assert second[0] > 0.25
    # The same in the first steps, before rounding grows into other steps.
    turned = aside.path[:4] - aside.path[0]
    np.testing.assert_allclose(np.stack([turned[:, 1], -turned[:, 0]], axis=1), ahead.path[:4] - ahead.path[0],
                               atol=0.005)


@pytest.mark.parametrize("terrain", FLAT)
def test_a_minute_of_random_driving_without_a_stall(terrain: str) -> None:
    robot, driver = InProcessRobot(load_terrain(terrain), seed=5), RandomDriver(5)
    robot.settle()
    start, commands, tilt = robot.robot.crank_angles.copy(), [], []
    for _ in range(600):
        commands.append(driver())
        estimate = robot.tick(commands[-1])
        assert estimate.state is not None, estimate.status
        named = STATE.named(estimate.state)
        tilt.append((named["roll_cos"], named["pitch_cos"], named["position_z"]))
    share = (robot.robot.crank_angles - start) / 60.0 / np.mean(commands, axis=0)
    assert np.all(np.abs(share - 1.0) < 0.08), "both legs turn at the rate commanded"
    roll, pitch, height = np.array(tilt).T
    assert min(roll.min(), pitch.min()) > 0.5, "never on its side or on its nose"
    assert 0.005 < height.min() < height.max() < 0.06
    assert robot.robot.battery_voltage > 3.3


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leg", "sign"), [("front_right", -1.0), ("hind_left", 1.0), ("middle_left", 1.0)])
def test_missing_leg_turns_towards_its_side(leg: str, sign: float) -> None:
    broken, healthy = drives(5.0, 5.0, [f"missing_leg:{leg}"], seeds=8), drives(5.0, 5.0, seeds=8)
    assert sign * (np.mean([each.turned for each in broken]) - np.mean([each.turned for each in healthy])) > 0.4


def test_missing_middle_leg_lets_its_side_sink() -> None:
    roll = {}
    for leg in ("middle_left", "middle_right"):
        rolls = []
        for seed in range(3):
            robot = Millirobot(CARPET, seed, [parse_fault(f"missing_leg:{leg}")])
            for _ in range(1200):
                walk(robot, 5.0, 5.0, 1)
                x, y, z, w = robot.quaternion
                rolls.append(math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)))
        roll[leg] = np.mean(rolls)
    assert roll["middle_left"] < roll["middle_right"] - 0.02


@pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
def test_weak_motor_turns_towards_its_side_and_its_legs_lag(side: str, sign: float) -> None:
    walks = drives(5.0, 5.0, [f"motor_gain:{side},0.3"])
    assert np.mean([sign * each.turned for each in walks]) > 0.6
    weak, strong = (0, 1) if side == "left" else (1, 0)
    assert all(each.revolutions[weak] < 0.95 * each.revolutions[strong] for each in walks)


def test_gain_of_one_is_no_fault() -> None:
    np.testing.assert_array_equal(drive(5.0, 5.0, ("motor_gain:left,1.0",)).path, drive(5.0, 5.0).path)


@pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
def test_dead_motor_does_not_turn(side: str, sign: float) -> None:
    walks = drives(5.0, 5.0, [f"dead_motor:{side}"])
    dead, alive = (0, 1) if side == "left" else (1, 0)
    assert all(abs(each.revolutions[dead]) < 1.0 for each in walks)
    assert all(each.revolutions[alive] > 9.0 for each in walks)
    assert np.mean([sign * each.turned for each in walks]) > 0.6, "it turns around the dead side"


@pytest.mark.parametrize("fault", ["missing_leg:hind_left", "motor_gain:right,0.2", "dead_motor:left"])
def test_fault_strikes_at_its_onset_and_not_before(fault: str) -> None:
    healthy, broken = Millirobot(CARPET), Millirobot(CARPET, faults=[parse_fault(f"{fault}@0.75")])
    for robot in (healthy, broken):
        walk(robot, 5.0, 5.0, 750)
    np.testing.assert_array_equal(everything(healthy), everything(broken))
    for robot in (healthy, broken):
        walk(robot, 5.0, 5.0, 300)
    assert np.abs(everything(healthy) - everything(broken)).max() > 1e-3


def test_several_faults_strike_each_at_its_time() -> None:
    faults = [parse_fault(text) for text in ("dead_motor:left@0.4", "missing_leg:front_right@0.2")]
    robot = Millirobot(CARPET, faults=faults)
    foot = np.flatnonzero(robot.model.geom_bodyid == robot.model.body("front_right_leg").id)
    colliding, gains = [], []
    for _ in range(3):
        walk(robot, 5.0, 5.0, 201)
        colliding.append(bool(robot.model.geom_contype[foot].any()))
        gains.append(robot.motors[0].gain)
    assert colliding == [False, False, False]
    assert gains == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("onset", ["", "@0.3"])
@pytest.mark.parametrize("fault", ["missing_leg:hind_left", "motor_gain:right,0.2", "dead_motor:left"])
def test_reset_is_a_new_robot_with_the_same_faults_ahead(fault: str, onset: str) -> None:
    robot = Millirobot(CARPET, seed=4, faults=[parse_fault(fault + onset)])
    fresh = everything(robot)
    walk(robot, 6.0, 4.0, 500)
    first = everything(robot)
    robot.reset()
    np.testing.assert_array_equal(everything(robot), fresh)
    walk(robot, 6.0, 4.0, 500)
    np.testing.assert_array_equal(everything(robot), first)


def test_reset_heals_until_the_onset() -> None:
    broken, healthy = Millirobot(CARPET, faults=[parse_fault("missing_leg:hind_left@0.1")]), Millirobot(CARPET)
    walk(broken, 5.0, 5.0, 300)
    broken.reset()
    for robot in (broken, healthy):
        walk(robot, 5.0, 5.0, 99)
    np.testing.assert_array_equal(everything(broken), everything(healthy))
    for name in ("geom_contype", "geom_conaffinity", "geom_rgba"):
        np.testing.assert_array_equal(getattr(broken.model, name), getattr(healthy.model, name))


# Sameness ------------------------------------------------------------------------------------------------------------


def test_same_seed_is_the_same_walk_and_another_is_not() -> None:
    robots = [Millirobot(CARPET, seed=seed) for seed in (7, 7, 8)]
    for robot in robots:
        walk(robot, 6.0, 5.0, 700)
    np.testing.assert_array_equal(everything(robots[0]), everything(robots[1]))
    assert np.abs(everything(robots[0]) - everything(robots[2])).max() > 1e-3


def test_in_process_robot_is_the_same_for_the_same_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        robot = InProcessRobot(CARPET, seed)
        robot.settle()
        for _ in range(5):
            estimate = robot.tick(np.array([30.0, 40.0]))
        states.append(estimate.state)
    np.testing.assert_array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


def test_terrains_differ() -> None:
    paths = [drive(5.0, 5.0, terrain=name).path for name in FLAT]
    assert np.abs(paths[0] - paths[1]).max() > 0.02
    assert np.abs(paths[1] - paths[2]).max() > 0.02


# Battery and readings ------------------------------------------------------------------------------------------------


def test_battery_falls_with_time_and_with_load() -> None:
    robot = Millirobot(CARPET, battery=Battery(full_voltage=4.0, internal_resistance=0.2, fade=0.01))
    assert robot.battery_voltage == 4.0
    walk(robot, 0.0, 0.0, 1000)
    assert 3.98 < robot.battery_voltage <= 3.99, "a little is drawn to stand on bent legs"
    lowest = 4.0
    for _ in range(1000):
        walk(robot, 9.0, 9.0, 1)
        lowest = min(lowest, robot.battery_voltage)
    assert lowest < 3.95, "it sags when current is drawn"
    walk(robot, 0.0, 0.0, 500)
    assert lowest + 0.1 < robot.battery_voltage <= 4.0 - 0.025
    robot.reset()
    assert robot.battery_voltage == 4.0


def test_attitude_is_a_unit_quaternion_of_the_heading() -> None:
    for heading in (-3.0, 0.0, 1.2):
        x, y, z, w = Millirobot(CARPET, heading=heading).quaternion
        assert 2.0 * math.atan2(z, w) == pytest.approx(heading)
        assert (x, y) == (0.0, 0.0)


def test_gyro_and_rates_have_the_right_sign() -> None:
    robot = Millirobot(CARPET)
    walk(robot, 0.0, 0.0, 300)
    turns = []
    for _ in range(1000):
        walk(robot, 2.0, 8.0, 1)
        turns.append(robot.angular_velocity[2])
    assert np.mean(turns) > 0.3, "turning left is positive about z"
    assert np.all(robot.crank_rates > 0.0)


def test_stand_is_accepted_as_it_is() -> None:
    robot = Millirobot(CARPET)
    robot.step(STAND)
    assert robot.time == pytest.approx(PHYSICS_PERIOD)


def test_in_process_delay_holds_the_previous_command() -> None:
    """The first 40 ms of a period still run on the command before."""
    late, plain = (InProcessRobot(CARPET, seed=3) for _ in range(2))
    for robot in (late, plain):
        robot.settle()
    before, after = np.array([20.0, 50.0]), np.array([50.0, 20.0])
    estimate = late.tick(after, before, 0.04)
    for i in range(100):
        plain.robot.step(before if i < 40 else after)
    np.testing.assert_array_equal(late.robot.data.qpos, plain.robot.data.qpos)
    assert estimate.stamp == late.stamp == 600_000_000
