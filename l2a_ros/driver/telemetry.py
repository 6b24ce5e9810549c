# SPDX-License-Identifier: Apache-2.0
"""The telemetry record of the VelociRoACH firmware: 46 bytes, raw counts, left before right."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_STRUCT = struct.Struct("<2I4i11h")
#: Bytes of a record.
RECORD_SIZE = _STRUCT.size


@dataclass(frozen=True)
class TelemetryRecord:
    """One sample of the robot.

    Args:
        index: counts the samples.
        time_us: of the firmware's clock, microseconds; wraps (``TIME_WRAP``).
        position: of the legs, counts.
        commanded_position: of the legs, counts.
        duty: of the motors, counts.
        gyro: x, y, z, counts.
        acceleration: x, y, z, counts.
        back_emf: of the motors, counts.
        battery: counts.
    """

    index: int
    time_us: int
    position: tuple[int, int]
    commanded_position: tuple[int, int]
    duty: tuple[int, int]
    gyro: tuple[int, int, int]
    acceleration: tuple[int, int, int]
    back_emf: tuple[int, int]
    battery: int

    def pack(self) -> bytes:
        """Return the record as the firmware sends it.

        Raises:
            struct.error: if a count does not fit its field.
        """
        return _STRUCT.pack(self.index, self.time_us, *self.position, *self.commanded_position, *self.duty, *self.gyro,
                            *self.acceleration, *self.back_emf, self.battery)


#: The firmware's clock counts 2^32 ticks of 0.2 us, so its microseconds begin again after about 859 s.
TIME_WRAP = 2**32 // 5


def unpack_record(data: bytes) -> TelemetryRecord | None:
    """Return the record in the data of a packet, or None if it has another size."""
    if len(data) != RECORD_SIZE:
        return None
    v = _STRUCT.unpack(data)
    return TelemetryRecord(v[0], v[1], v[2:4], v[4:6], v[6:8], v[8:11], v[11:14], v[14:16], v[16])
