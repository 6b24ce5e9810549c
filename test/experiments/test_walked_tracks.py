# SPDX-License-Identifier: Apache-2.0
import math
from pathlib import Path

import numpy as np
import pytest
from experiment_samples import write_sample
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.experiments.tracks import Track, mean_track, read_track
from l2a_ros.experiments.trial_files import read_trial
from l2a_ros.planning.line_path import LinePath
from l2a_ros.trials.paths import load_path


def track(x: np.ndarray, y: np.ndarray) -> Track:
    """A track beside a straight path along x."""
    time = 0.1 * np.arange(len(x))
    return Track(np.stack([x, y], axis=1), time, np.maximum(x, 0.0), np.array(y), np.ones(len(x)))


@pytest.mark.parametrize("path", ["straight", "left", "zigzag", "figure8"])
@pytest.mark.parametrize(("position", "yaw"), [((0.0, 0.0), 0.0), ((-1.2, 0.4), 2.5), ((3.0, 1.0), -3.1)])
def test_tracks_lie_in_the_frame_of_their_path_wherever_it_was(tmp_path: Path, path: str, position: tuple[float, float],
                                                               yaw: float) -> None:
    # At this speed no step ends in a corner, where rounding would decide on which segment it is.
    here = read_track(read_trial(write_sample(tmp_path, "a", "x", 0, path=path, speed=0.2437, position=position,
                                              yaw=yaw)))
    points = load_path(path)
    line = LinePath(points)
    offset = 0.03 + 0.002 * math.sin(1.0)
    home = read_track(read_trial(write_sample(tmp_path, "b", "x", 0, path=path, speed=0.2437, position=(0.0, 0.0),
                                              yaw=0.0)))
    np.testing.assert_allclose(here.positions, home.positions, atol=1e-6)
    first = line.start(here.positions[0])
    assert first.lateral_error[0] == pytest.approx(offset, abs=1e-6)
    assert first.arc_length[0] == pytest.approx(0.0, abs=1e-6)


def test_track_of_a_path_whose_file_is_gone_stays_where_it_was(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, "a", "x", 0, position=(1.0, 2.0), yaw=0.0)
    report = folder / "report.json"
    report.write_text(report.read_text().replace('"path": "straight"', '"path": "elsewhere/gone.yaml"'))
    assert read_track(read_trial(folder)).positions[0, 0] == pytest.approx(1.0)


def test_track_that_was_lost_is_drawn_as_far_as_it_was_seen(tmp_path: Path) -> None:
    seen = read_track(read_trial(write_sample(tmp_path, "a", "x", 0, broken_at=30)))
    assert np.isfinite(seen.positions[:30]).all()
    assert np.isnan(seen.positions[30:]).all()
    never = read_track(read_trial(write_sample(tmp_path, "b", "x", 0, broken_at=0)))
    mean = mean_track([seen, seen, never])
    assert mean is not None
    assert mean.progress[-1] == pytest.approx(29 * 0.025)
    assert mean_track([seen, never, never]) is None


def test_mean_track_is_that_at_equal_progress_however_fast_they_were() -> None:
    fast, slow = np.linspace(0.0, 2.0, 21), np.linspace(0.0, 2.0, 81)
    mean = mean_track([track(fast, 0.1 * fast), track(slow, 0.3 * slow)])
    assert mean is not None
    np.testing.assert_allclose(mean.positions[:, 1], 0.2 * mean.progress, atol=1e-9)
    np.testing.assert_allclose(mean.lateral_spread, 0.1 * mean.progress * math.sqrt(2.0), atol=1e-9)
    # Across a mean track that leans, the spread is a little less than along y.
    np.testing.assert_allclose(mean.spread, mean.lateral_spread * math.cos(math.atan(0.2)), rtol=1e-6)
    assert set(mean.count) == {2}


def test_mean_track_ends_where_half_of_them_ended_and_turning_back_does_not_count_twice() -> None:
    ends = (2.0, 1.5, 1.0, 0.2)
    tracks = [track(np.concatenate([np.linspace(0.0, end, 41), np.linspace(end, 0.1, 7)]), np.zeros(48))
              for end in ends]
    mean = mean_track(tracks)
    assert mean is not None
    assert mean.progress[-1] == pytest.approx(1.5)
    assert list(mean.count[[0, -1]]) == [4, 2]
    assert mean_track(tracks[:1]) is None, "one trial is no mean"
    assert mean_track([]) is None


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=8))
def test_mean_track_lies_among_the_tracks(offsets: list[float]) -> None:
    x = np.linspace(0.0, 1.0, 11)
    mean = mean_track([track(x, np.full(11, offset)) for offset in offsets])
    assert mean is not None
    assert (mean.positions[:, 1] >= min(offsets) - 1e-9).all()
    assert (mean.positions[:, 1] <= max(offsets) + 1e-9).all()
    np.testing.assert_allclose(mean.spread, np.std(offsets, ddof=1), atol=1e-9)
