# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording are meant, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from estimation.motion_bags import (
    COVARIANCE,
    IMU,
    ODOMETRY,
    POSE,
    POSE_TYPES,
    START,
    TRANSFORM,
    poses,
    position,
    quaternion,
    readings,
    velocity,
    write_motion,
    write_ros1,
)

from l2a_ros.errors import UserError
from l2a_ros.estimation.recorded_motion import MotionTopics, Truth, choose_topics, read_motion
from l2a_ros.experience.bag_reader import BagReader, recorded_topics
from l2a_ros.robot.samples import ImuSample, PoseSample


def names_of(topics: MotionTopics) -> tuple[str | None, ...]:
    return tuple(None if each is None else each.name for each in (topics.mocap, topics.imu, topics.truth))


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """All four types of poses, two inertial units, and topics without a message."""
    logged = [*poses("/vicon/a", POSE, 0.05), *poses("/vicon/b", TRANSFORM, 0.05), *poses("/r1/c", COVARIANCE, 0.05),
              *poses("/r2/c", ODOMETRY, 0.05), *readings("/r1/imu", 0.05), *readings("/r2/imu", 0.05)]
    return write_motion(tmp_path / "bag", logged, {"/silent": POSE, "/silent_imu": IMU})


def test_topics_are_chosen_by_name(bag: Path) -> None:
    assert names_of(choose_topics(bag, "/vicon/a", "/r1/imu")) == ("/vicon/a", "/r1/imu", None)
    # Without a slash in any namespace, as long as it is clear.
    assert names_of(choose_topics(bag, "b", "r2/imu", "a")) == ("/vicon/b", "/r2/imu", "/vicon/a")
    assert names_of(choose_topics(bag, "/r2/c", "none", "/r2/c")) == ("/r2/c", None, "/r2/c")
    assert choose_topics(bag, "/r2/c", "none", "/r2/c").count == 5
    assert choose_topics(bag, "/r2/c", "/r2/imu", "/r2/c").count == 15


@pytest.mark.parametrize(("mocap", "imu", "truth", "words"), [
    ("c", "none", "", "--mocap c may be /r1/c (PoseWithCovarianceStamped), /r2/c (Odometry)"),
    ("", "none", "", "--mocap TOPIC which one? there are /r1/c"),
    ("/vicon/a", "", "", "--imu TOPIC which one? there are /r1/imu (Imu), /r2/imu (Imu), or --imu none"),
    ("/nothing", "none", "", "--mocap /nothing is not there"),
    ("/silent", "none", "", "--mocap /silent is not there, or empty"),
    ("/r1/imu", "none", "", "--mocap /r1/imu is of type sensor_msgs/msg/Imu"),
    ("/vicon/a", "/vicon/b", "", "--imu /vicon/b is of type geometry_msgs/msg/TransformStamped"),
    ("/vicon/a", "none", "/odd", "--truth /odd is not there"),
    # Part of a name is none.
    ("/vicon/a", "none", "icon/b", "--truth icon/b is not there"),
])
def test_what_is_not_clear_is_asked_with_the_topics_there_are(bag: Path, mocap: str, imu: str, truth: str,
                                                              words: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_topics(bag, mocap, imu, truth)
    assert words in str(caught.value)
    assert "/r1/" in str(caught.value)
    assert "/silent (" not in str(caught.value)


def test_the_only_topic_or_the_usual_one_is_taken(tmp_path: Path) -> None:
    only = write_motion(tmp_path / "only", [*poses("/odd/name", TRANSFORM, 0.02), *readings("/bno055", 0.02)])
    assert names_of(choose_topics(only)) == ("/odd/name", "/bno055", None)
    several = write_motion(tmp_path / "several", [
        *poses("/robot/mocap/pose", POSE, 0.02), *poses("/robot/odometry", ODOMETRY, 0.02),
        *readings("/robot/imu/data_raw", 0.02), *readings("/camera/imu", 0.02)])
    assert names_of(choose_topics(several)) == ("/robot/mocap/pose", "/robot/imu/data_raw", None)
    # What is the truth is not what is measured.
    assert names_of(choose_topics(several, truth="mocap/pose"))[0] == "/robot/odometry"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    without = write_motion(tmp_path / "without", poses("/pose", POSE, 0.02))
    with pytest.raises(UserError, match="no topic of the recording is of type sensor_msgs/msg/Imu, or --imu none"):
        choose_topics(without)
    empty = write_motion(tmp_path / "empty", [], {"/pose": POSE})
    with pytest.raises(UserError, match="--mocap TOPIC is missing: no topic .*/PoseStamped, .*/Odometry"):
        choose_topics(empty)


@pytest.mark.parametrize("kind", POSE_TYPES)
def test_every_type_says_the_same(tmp_path: Path, kind: str) -> None:
    bag = write_motion(tmp_path / "bag", [*poses("/pose", kind, 0.05, delay=3_000_000), *readings("/imu", 0.05)])
    topics = choose_topics(bag, truth="/pose", mocap="/pose")
    found = list(read_motion(BagReader([bag], topics.names), topics))
    assert [log for log, _ in found] == sorted(log for log, _ in found)
    truths = [each for _, each in found if isinstance(each, Truth)]
    assert len(truths) == 5
    assert len([each for _, each in found if isinstance(each, ImuSample)]) == 10
    for i, (log_time, pose) in enumerate((log, each) for log, each in found if isinstance(each, PoseSample)):
        stamp = START + i * 10_000_000
        assert (log_time, pose.stamp, truths[i].stamp) == (stamp + 3_000_000, stamp, stamp)
        for sample in (pose, truths[i]):
            np.testing.assert_allclose(sample.position, position(0.01 * i))
            np.testing.assert_allclose(np.abs(sample.quaternion @ quaternion(0.01 * i)), 1.0)
        if kind == ODOMETRY:
            # The twist is in the body's frame.
            np.testing.assert_allclose(truths[i].velocity, velocity(0.01 * i), atol=1e-9)
        else:
            assert truths[i].velocity is None


def test_odometry_without_attitude_has_no_velocity(tmp_path: Path) -> None:
    logged = poses("/pose", ODOMETRY, 0.02)
    logged[0][3].pose.pose.orientation = type(logged[0][3].pose.pose.orientation)(0.0, 0.0, 0.0, 0.0)
    logged[1][3].pose.pose.orientation = type(logged[0][3].pose.pose.orientation)(0.0, float("nan"), 0.0, 0.0)
    topics = choose_topics(bag := write_motion(tmp_path / "bag", logged), "/pose", "none", "/pose")
    found = [each.velocity for _, each in read_motion(BagReader([bag]), topics) if isinstance(each, Truth)]
    assert found == [None, None]


def test_recordings_of_ros_1_are_read(tmp_path: Path) -> None:
    logged = [*poses("/vicon/pose", TRANSFORM, 0.05), *readings("/imu0", 0.05), *poses("/truth", ODOMETRY, 0.05)]
    old = write_ros1(tmp_path / "old.bag", logged)
    new = write_motion(tmp_path / "new", logged)
    assert recorded_topics(old) == recorded_topics(new)
    topics = choose_topics(old, truth="/truth")
    samples = [[(log, type(each), each.stamp, *(value.tolist() for value in vars(each).values()
                                                if isinstance(value, np.ndarray)))
                for log, each in read_motion(BagReader([bag]), topics)] for bag in (old, new)]
    assert sorted(samples[0], key=str) == sorted(samples[1], key=str)
    assert len(samples[0]) == 20
    cut = tmp_path / "cut.bag"
    cut.write_bytes(old.read_bytes()[:3000])
    for read in (lambda: recorded_topics(cut), lambda: list(BagReader([cut]))):
        with pytest.raises(UserError, match="not a readable recording: .*rosbag reindex"):
            read()


def test_topics_of_a_damaged_recording_are_found(tmp_path: Path) -> None:
    bag = write_motion(tmp_path / "bag", [*poses("/pose", POSE, 0.5), *readings("/imu", 0.5)])
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-20_000])
    found = {each.name: each.count for each in recorded_topics(bag)}
    assert set(found) == {"/pose", "/imu"}
    assert 0 < found["/imu"] < 100
    (bag / "metadata.yaml").unlink()
    assert {each.name: each.count for each in recorded_topics(bag)} == found
    file.write_bytes(b"nothing of a recording")
    with pytest.raises(UserError, match="not a readable recording"):
        recorded_topics(bag)
