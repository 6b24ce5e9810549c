# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way between host and robot: packets on the radio, bytes on the serial line."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from l2a_ros.simulation.fault_schedule import FaultSchedule

#: Streams of the seed.
_TO_ROBOT, _TO_HOST = 31, 32
_SECOND = 1_000_000_000


class WireFaults:
    """One direction; draws only while something is wrong.

    Args:
        faults: of the robot, those of its wire among them.
        seed: of what is drawn.
        to_host: which direction.
    """

    def __init__(self, faults: FaultSchedule, seed: int, to_host: bool) -> None:
        self._faults = faults
        self._rng = np.random.default_rng([seed, _TO_HOST if to_host else _TO_ROBOT])
        #: What was done, packets and bytes.
        self.counters: Counter[str] = Counter(dropped=0, duplicated=0, silenced=0, corrupted=0, reordered=0)

    @property
    def is_silent(self) -> bool:
        """Whether nothing gets through at all."""
        return bool(self._faults.values("silence"))

    @property
    def delay(self) -> int:
        """How much longer a packet takes, ns."""
        return round(_SECOND * sum(seconds for (seconds,) in self._faults.values("wire_delay")))

    def copies(self) -> int:
        """Return how often the next packet arrives: 0, 1 or 2 times. ``packet_loss`` loses packets here too."""
        if self.is_silent:
            self.counters["silenced"] += 1
            return 0
        if self._happens("wire_drop", "packet_loss"):
            self.counters["dropped"] += 1
            return 0
        if self._happens("wire_duplicate"):
            self.counters["duplicated"] += 1
            return 2
        return 1

    def spoil(self, data: bytes) -> bytes:
        """Return bytes as they come out of the line."""
        data = self._reordered(data)
        share = self._share("wire_corrupt")
        if not share or not data:
            return data
        spoiled = np.frombuffer(data, dtype=np.uint8).copy()
        struck = self._rng.random(len(data)) < share
        # Another value: never the same one.
        spoiled[struck] += self._rng.integers(1, 256, int(struck.sum()), dtype=np.uint8)
        self.counters["corrupted"] += int(struck.sum())
        return spoiled.tobytes()

    def _reordered(self, data: bytes) -> bytes:
        share = self._share("wire_reorder")
        if not share or len(data) < 2:
            return data
        mixed = bytearray(data)
        for i in np.flatnonzero(self._rng.random(len(data) - 1) < share):
            mixed[i], mixed[i + 1] = mixed[i + 1], mixed[i]
            self.counters["reordered"] += 1
        return bytes(mixed)

    def _share(self, *names: str) -> float:
        """Return how often something happens whose causes are independent."""
        return 1.0 - math.prod(1.0 - share for name in names for (share,) in self._faults.values(name))

    def _happens(self, *names: str) -> bool:
        share = self._share(*names)
        return share > 0.0 and bool(self._rng.random() < share)
