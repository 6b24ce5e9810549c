# SPDX-License-Identifier: Apache-2.0
"""The figures of ``l2a bench soak``: how fast legs stand after a loss, how fast the link is back, what was wrong."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.leg_stops import time_to_rest, time_to_stop
from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.driver.measurement import Converter
from l2a_ros.driver.telemetry import unpack_record
from l2a_ros.errors import UserError
from l2a_ros.robot.calibration import Calibration

_SECOND = 1_000_000_000
#: Columns of the files that the operator writes. Times are ns of the wall clock.
COLUMNS = {
    "truth": "stamp,left_rate,right_rate,motors_on,plugged",
    "samples": "arrival,stamp",
    "events": "moment,name,text",
    "wrong": "stamp,catchable,what",
}
#: Longest time that a radio is unplugged, and shortest, s.
UNPLUGGED = (0.5, 2.5)
#: The records that a sample may be one of are those of so long before it, ns.
MEMORY = 3 * _SECOND
#: A sample is judged when it is so old: the record it is of may come later, by another way, ns.
PATIENCE = _SECOND // 2

STOP_TARGET, RECOVERY_TARGET = 0.3, 2.0


def unplug_times(seconds: float, cycles: int, seed: int) -> list[tuple[float, float]]:
    """Return random moments (s) and for how long (s) the radio is unplugged at each, in order."""
    rng = np.random.default_rng([seed, 1])
    # Not at the very end: what follows a cycle is a part of it.
    moments = np.sort(rng.uniform(0.02, 0.9, cycles)) * seconds
    return [(float(moment), float(rng.uniform(*UNPLUGGED))) for moment in moments]


@dataclass
class _Pending:
    arrival: int
    parts: dict[str, tuple[float, ...]] = field(default_factory=dict)


class SampleCheck:
    """Compares published samples with the records that were sent.

    The gyroscope's bias is the driver's own; it must be the same for all samples until it is measured again.
    """

    def __init__(self) -> None:
        self._converter = Converter(Calibration(gyro_bias=(0.0, 0.0, 0.0)))
        self._sent: deque[tuple[int, dict[str, np.ndarray]]] = deque()
        self._pending: dict[int, _Pending] = {}
        self._last_angles: tuple[int, np.ndarray] | None = None
        #: Samples that are of a record that was sent.
        self.matched = 0

    def sent(self, data: bytes, now: int) -> None:
        """Take a record that was sent (46 bytes) at a moment, ns."""
        record = unpack_record(data)
        if record is None:
            raise UserError("emulator/records holds something that is no record")
        self._converter.forget()
        measured = self._converter.convert(record, now)
        self._sent.append((now, {
            "legs": measured.angles, "imu": np.concatenate([measured.angular_velocity, measured.specific_force]),
            "motors": np.concatenate([measured.back_emf, measured.duty])}))
        while self._sent[0][0] < now - MEMORY:
            self._sent.popleft()

    def received(self, kind: str, stamp: int, values: list[float], now: int) -> None:
        """Take a part of a published sample: ``legs``, ``imu`` or ``motors``."""
        self._pending.setdefault(stamp, _Pending(now)).parts[kind] = tuple(values)

    def judge(self, now: int) -> list[tuple[int, int, str]]:
        """Judge the samples that are old enough; return those of no record: stamp, whether catchable, why."""
        due = sorted(stamp for stamp, sample in self._pending.items() if sample.arrival < now - PATIENCE)
        wrong = []
        for stamp in due:
            parts = {kind: np.array(values) for kind, values in self._pending.pop(stamp).parts.items()}
            leap = self._leap(stamp, parts)
            if any(all(_same(kind, values, record[kind]) for kind, values in parts.items())
                   for _, record in self._sent):
                self.matched += 1
            else:
                problem = leap or _out_of_range(parts)
                wrong.append((stamp, int(bool(problem)), problem or "; ".join(
                    f"{kind} {' '.join(f'{value:.6g}' for value in values)}" for kind, values in parts.items())))
        return wrong

    def _leap(self, stamp: int, parts: dict[str, np.ndarray]) -> str:
        """Say whether a leg went further since the last sample than any leg can."""
        if "legs" not in parts:
            return ""
        last, self._last_angles = self._last_angles, (stamp, parts["legs"])
        if last is None:
            return ""
        if stamp <= last[0]:
            return "the stamp does not increase"
        rate = np.abs(parts["legs"] - last[1]).max() / max((stamp - last[0]) / _SECOND, 1e-3)
        return f"a leg turned at {rate:.0f} rad/s" if rate > 2.0 * np.pi * 100.0 else ""


def _same(kind: str, values: np.ndarray, record: np.ndarray) -> bool:
    if kind == "imu":
        # The specific force has no bias that is measured; with its three axes a record is known well enough, and the
        # gyroscope is off by the bias at most.
        return bool(np.allclose(values[3:], record[3:], atol=1e-9)
                    and np.abs(values[:3] - record[:3]).max() < np.radians(60.0))
    return bool(np.allclose(values, record, atol=1e-9))


def _out_of_range(parts: dict[str, np.ndarray]) -> str:
    """Say what in a sample no honest robot can say."""
    if any(not np.all(np.isfinite(values)) for values in parts.values()):
        return "not finite"
    if "motors" in parts:
        if np.abs(parts["motors"][2:]).max() > 1.0:
            return "duty beyond full"
        if np.abs(parts["motors"][:2]).max() > 10.4:
            return "back-EMF beyond the converter's range"
    return ""


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    try:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{folder / name}.csv cannot be read: {error.strerror}; was the run cut short?") from None


@dataclass(frozen=True)
class Loss:
    """One unplugging.

    Args:
        moment: ns.
        stop: from the loss until the legs were stopped, s; infinite if they never were.
        rest: until they stood still for good, s.
        recovery: from the replug until the driver published again, s; infinite if it never did.
    """

    moment: int
    stop: float
    rest: float
    recovery: float


def find_losses(truth: np.ndarray, arrivals: np.ndarray) -> list[Loss]:
    """Find every unplugging in the emulated robot's truth.

    Args:
        truth: columns stamp (ns), left and right rate (rad/s), motors on, plugged: shape ``(n, 5)``.
        arrivals: of the samples that the driver published, ns, increasing.
    """
    stamps, plugged = truth[:, 0], truth[:, 4] > 0.5
    losses = []
    for begin in np.flatnonzero(plugged[:-1] & ~plugged[1:]) + 1:
        again = np.flatnonzero(plugged[begin:])
        end = begin + again[0] if len(again) else len(plugged)
        unplugged = truth[begin:end]
        recovery = float("inf")
        if end < len(stamps):
            later = arrivals[arrivals > stamps[end]]
            recovery = (later[0] - stamps[end]) / _SECOND if len(later) else float("inf")
        losses.append(Loss(int(stamps[begin]), time_to_stop(unplugged), time_to_rest(unplugged), float(recovery)))
    return losses


def soak_rows(folder: Path, cycles: int) -> list[Row]:
    """Judge what the operator wrote down.

    Args:
        folder: of its files.
        cycles: how often the radio was to be unplugged.

    Raises:
        UserError: if a file is missing.
    """
    truth = np.array([[float(cell) for cell in row.values()] for row in _read(folder, "truth")]).reshape(-1, 5)
    samples = np.array([int(row["arrival"]) for row in _read(folder, "samples")], dtype=np.int64)
    events, wrong = _read(folder, "events"), _read(folder, "wrong")
    losses = find_losses(truth, np.sort(samples))
    latched = [row for row in events if row["name"] == "stopped"]
    matched = next((int(row["text"].split()[0]) for row in events if row["name"] == "end"), 0)
    span = (truth[-1, 0] - truth[0, 0]) / _SECOND if len(truth) else 0.0
    # Legs that give way with their motors off are no motion that was commanded.
    went_on = [row for row in events if row["name"] == "stop" and " still " in row["text"]
               and "motors are off" not in row["text"]]
    return [
        Row("time", span, "s"),
        at_most("cycles of unplugging that are missing", float(cycles - len(losses)), "1", 0.0),
        at_most("legs stopped after a loss, longest", max((loss.stop for loss in losses), default=0.0), "s",
                STOP_TARGET),
        Row("legs at rest after a loss, median", float(np.median([loss.rest for loss in losses] or [0.0])), "s"),
        at_most("telemetry again after a replug, longest", max((loss.recovery for loss in losses), default=0.0), "s",
                RECOVERY_TARGET),
        Row("stops that latched", float(len(latched)), "1"),
        at_most("stops after which the motors went on", float(len(went_on)), "1", 0.0),
        Row("samples as sent", float(matched), "1"),
        Row("samples not as sent, with a valid checksum", float(len(wrong)), "1"),
        at_most("of these, out of any range", float(sum(row["catchable"] == "1" for row in wrong)), "1", 0.0),
    ]
