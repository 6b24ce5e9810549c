# SPDX-License-Identifier: Apache-2.0
"""Recordings: rosbag2 bags in MCAP, written without a ROS installation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_typestore

from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

#: How rosbag2 writes "no deadline, no lifespan, no lease".
_ENDLESS = QosTime(9223372036, 854775807)


@functools.lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the message definitions that recordings are written with (ROS 2 Kilted)."""
    return get_typestore(Stores.ROS2_KILTED)


def message_type(type_name: str) -> Any:
    """Return the class of a message type such as ``sensor_msgs/msg/JointState``, for use without ROS.

    Raises:
        UserError: for an unknown type.
    """
    _check_type(type_name)
    return typestore().types[type_name]


def serialize(type_name: str, message: Any) -> bytes:
    """Return the CDR bytes of a message of :func:`message_type`.

    Raises:
        UserError: for an unknown type.
    """
    _check_type(type_name)
    return bytes(typestore().serialize_cdr(message, type_name))


@dataclass(frozen=True)
class OfferedQos:
    """The quality of service a topic was offered with, as far as it matters for playing it back."""

    reliable: bool = True
    transient_local: bool = False
    depth: int = 10

    def profile(self) -> Qos:
        """Return it in the recording library's terms."""
        return Qos(
            history=QosHistory.KEEP_LAST, depth=self.depth,
            reliability=QosReliability.RELIABLE if self.reliable else QosReliability.BEST_EFFORT,
            durability=QosDurability.TRANSIENT_LOCAL if self.transient_local else QosDurability.VOLATILE,
            deadline=_ENDLESS, lifespan=_ENDLESS, liveliness=QosLiveliness.AUTOMATIC,
            liveliness_lease_duration=_ENDLESS, avoid_ros_namespace_conventions=False)


class BagWriter:
    """Writes one bag: a folder with ``metadata.yaml`` and one MCAP file. A context manager.

    Args:
        path: folder to make; its parents are made too.

    Raises:
        UserError: if it exists already (a recording is never overwritten) or cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.count = 0
        self._connections: dict[str, Connection] = {}
        if self.path.exists():
            raise UserError(f"the recording {self.path} exists already; name another folder or remove it")
        try:
            self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise UserError(f"cannot make the recording {self.path}: {error}") from None
        self._open = True

    def add_topic(self, topic: str, type_name: str, qos: OfferedQos | None = None) -> None:
        """Add a topic before its first message.

        Args:
            topic: fully qualified, with the leading slash.
            type_name: such as ``sensor_msgs/msg/JointState``.
            qos: what it was offered with; reliable, volatile, depth 10 if not given.

        Raises:
            UserError: for an unknown type, or a topic that was added with another type.
        """
        _check_type(type_name)
        known = self._connections.get(topic)
        if known is not None:
            if known.msgtype != type_name:
                raise UserError(f"topic {topic} is recorded as {known.msgtype}, not as {type_name}")
            return
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, typestore=typestore(), offered_qos_profiles=[(qos or OfferedQos()).profile()])

    def write(self, topic: str, log_time: int, data: bytes | memoryview) -> None:
        """Write one message.

        Args:
            topic: as given to :meth:`add_topic`.
            log_time: ns, not negative.
            data: the message's CDR bytes, encapsulation header included.

        Raises:
            KeyError: if the topic was not added.
            ValueError: if the bag is closed.
        """
        if not self._open:
            raise ValueError(f"the recording {self.path} is closed")
        self._writer.write(self._connections[topic], max(0, log_time), data)
        self.count += 1

    def write_message(self, topic: str, log_time: int, message: Any) -> None:
        """Serialise and write one message of :func:`message_type`."""
        self.write(topic, log_time, serialize(self._connections[topic].msgtype, message))

    def flush(self) -> None:
        """Put what was written onto the disk, so that a kill loses no more than what comes later."""
        storage = self._writer.storage
        if self._open and isinstance(storage, McapWriter) and storage.chunk.msgs:
            storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Finish the bag: index and metadata. A second call does nothing."""
        if self._open:
            self._open = False
            if not self.count:
                # An empty bag has no first moment; the library's sentinel would not fit rosbag2's signed time.
                self._writer.min_timestamp = 0
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _check_type(type_name: str) -> None:
    if type_name not in typestore().fielddefs:
        raise UserError(f"unknown message type '{type_name}'; write it like sensor_msgs/msg/JointState")
