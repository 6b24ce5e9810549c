# SPDX-License-Identifier: Apache-2.0
"""Reading recordings: rosbag2 bags in MCAP or SQLite, whole or damaged, without a ROS installation.

Bags of ROS 1 are read too; damaged ones are ``rosbag reindex``'s matter.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import ReaderError

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_recovery import is_storage, plain_message, scan, storage_files
from l2a_ros.experience.bag_writer import typestore
from l2a_ros.experience.damage import DAMAGE, one_line

METADATA = "metadata.yaml"
#: File of a ROS 1 recording.
ROS1 = ".bag"
SECOND = 1_000_000_000


class DamagedRecordingError(UserError):
    """Nothing of a recording can be read."""


@dataclass(frozen=True, slots=True)
class RecordedTopic:
    """A topic of a recording.

    Args:
        name: fully qualified.
        type: such as ``sensor_msgs/msg/Imu``, also in recordings of ROS 1.
        count: of its messages; of a damaged recording, those that can be read.
    """

    name: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message.

    Args:
        topic: fully qualified name.
        type: such as ``sensor_msgs/msg/JointState``.
        log_time: when it was recorded, ns.
        stamp: of the header, ns; None for a type without one.
        message: the decoded message; its fields have the names of the definition, numeric arrays are numpy arrays.
        bag: which recording it is from: experience never crosses from one to another.
    """

    topic: str
    type: str
    log_time: int
    stamp: int | None
    message: Any
    bag: Path


class BagReader:
    """Iterates over the messages of recordings, one recording after the other, each in the order of its log times.

    What cannot be read (the tail of a recording that was cut off, a message that does not decode) is left out and noted
    in :attr:`warnings`; messages recovered from a damaged file come in the order they were written.

    Args:
        bags: the recordings' folders or files, as :func:`find_bags` returns them.
        topics: read only these; empty means all. A name without a leading slash stands for the topics of that name in
            all namespaces.
    """

    def __init__(self, bags: Sequence[Path], topics: Collection[str] = ()) -> None:
        self.bags = list(bags)
        self.topics = frozenset(topics)
        self.warnings: list[str] = []
        self._undecoded: Counter[str] = Counter()
        self._why_undecoded: dict[str, str] = {}

    def __iter__(self) -> Iterator[BagMessage]:
        for bag in self.bags:
            yield from self._read(bag)
            for topic, count in self._undecoded.items():
                self.warnings.append(f"{bag}: {count} messages on {topic} do not decode: {self._why_undecoded[topic]}")
            self._undecoded.clear()

    def _is_wanted(self, topic: str) -> bool:
        return not self.topics or topic in self.topics or topic.rsplit("/", 1)[-1] in self.topics

    def _read(self, bag: Path) -> Iterator[BagMessage]:
        if bag.is_dir() and not (bag / METADATA).is_file():
            # The recorder was killed before it could write the metadata.
            self.warnings.append(f"{bag}: no {METADATA}, reading the files themselves")
            lost: DamagedRecordingError | None = None
            found = False
            for file in storage_files(bag):
                try:
                    for message in self._read_whole(file, bag):
                        found = True
                        yield message
                except DamagedRecordingError as error:
                    lost = error
                    self.warnings.append(str(error))
            if lost is not None and not found:
                raise lost
        else:
            yield from self._read_whole(bag, bag)

    def _read_whole(self, source: Path, bag: Path) -> Iterator[BagMessage]:
        # Numbers in a row: a set of them would take ten times the memory, and only damage asks for one.
        seen = array("q")
        try:
            with AnyReader([source], default_typestore=typestore()) as reader:
                wanted = [each for each in reader.connections if self._is_wanted(each.topic)]
                missing = sum(each.msgcount for each in wanted)
                decode = reader.typestore.deserialize_cdr if reader.is2 else reader.typestore.deserialize_ros1
                for connection, log_time, raw in reader.messages(wanted) if wanted else ():
                    # Without its metadata the library does not know that a bag is compressed message by message.
                    data = plain_message(raw) if reader.is2 else raw
                    seen.append(_fingerprint(connection.topic, log_time, data))
                    missing -= 1
                    message = self._decode(decode, connection.topic, connection.msgtype, data)
                    if message is not None:
                        yield BagMessage(connection.topic, connection.msgtype, log_time, header_stamp(message), message,
                                         bag)
                if missing > 0:
                    # A damaged index leads past messages without an error.
                    raise ReaderError(f"{missing} messages fewer than its summary says")
        except PermissionError as error:
            raise UserError(f"the recording {source} cannot be read: {error.strerror}") from None
        except DAMAGE as error:
            yield from self._recover(source, bag, one_line(error), set(seen))

    def _recover(self, source: Path, bag: Path, cause: str, seen: set[int]) -> Iterator[BagMessage]:
        """Read what is there and was not read yet, without index and metadata."""
        found = 0
        for file in storage_files(source) if source.is_dir() else [source]:
            for topic, type_name, log_time, data, types in scan(file, self._is_wanted, self.warnings.append):
                fingerprint = _fingerprint(topic, log_time, data)
                if fingerprint in seen:
                    continue
                seen.add(fingerprint)
                found += 1
                message = self._decode(types.deserialize_cdr, topic, type_name, data)
                if message is not None:
                    yield BagMessage(topic, type_name, log_time, header_stamp(message), message, bag)
        if not seen:
            raise _unreadable(bag, cause)
        self.warnings.append(f"{bag}: damaged, {found} of {len(seen)} messages recovered without its index: {cause}")

    def _decode(self, decode: Callable[[bytes, str], object], topic: str, type_name: str, data: bytes) -> Any:
        try:
            return decode(data, type_name)
        except DAMAGE as error:
            self._undecoded[topic] += 1
            self._why_undecoded[topic] = one_line(error)
            return None


def _unreadable(bag: Path, cause: str) -> DamagedRecordingError:
    repair = "; rosbag reindex may repair it" if bag.suffix == ROS1 else ""
    return DamagedRecordingError(f"{bag} is not a readable recording: {cause}{repair}")


def _fingerprint(topic: str, log_time: int, data: bytes) -> int:
    # Only compared within one reading, so a seeded hash will do; the bytes themselves would fill the memory.
    return hash((topic, log_time, data))


def read_bag(paths: Path | str | Sequence[Path | str], topics: Collection[str] = ()) -> BagReader:
    """Return an iterable over all messages of recordings.

    Args:
        paths: bags, storage files (``.mcap``, ``.db3``, also compressed by rosbag2; ``.bag`` of ROS 1), or folders that
            hold bags at any depth.
        topics: read only these; empty means all. A name without a leading slash stands for the topics of that name in
            all namespaces.

    Raises:
        UserError: at once for a path that does not exist or holds no recording; while iterating for a recording of
            which nothing can be read.
    """
    return BagReader(find_bags(paths), topics)


def recorded_topics(bag: Path) -> list[RecordedTopic]:
    """Return the topics of a recording, by name.

    Args:
        bag: the recording's folder or file, as :func:`find_bags` returns it.

    Raises:
        UserError: if it may not be read, or nothing of it can be.
    """
    counts: Counter[tuple[str, str]] = Counter()
    cause = ""
    for source in storage_files(bag) if bag.is_dir() and not (bag / METADATA).is_file() else [bag]:
        try:
            with AnyReader([source], default_typestore=typestore()) as reader:
                for each in reader.connections:
                    counts[each.topic, each.msgtype] += each.msgcount
        except PermissionError as error:
            raise UserError(f"the recording {source} cannot be read: {error.strerror}") from None
        except DAMAGE as error:
            cause = one_line(error)
            for file in storage_files(source) if source.is_dir() else [source]:
                for topic, type_name, *_ in scan(file, lambda _: True, lambda _: None):
                    counts[topic, type_name] += 1
    if cause and not counts:
        raise _unreadable(bag, cause)
    return [RecordedTopic(name, kind, count) for (name, kind), count in sorted(counts.items())]


def find_bags(paths: Path | str | Sequence[Path | str]) -> list[Path]:
    """Return the recordings under the given paths, each once, sorted within each path.

    Raises:
        UserError: for a path that does not exist or holds no recording.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise UserError("name at least one recording")
    found: dict[Path, Path] = {}
    for each in map(Path, given):
        if not each.exists():
            raise UserError(f"the recording {each} does not exist")
        if each.is_file():
            bags = [each] if is_storage(each) or each.suffix == ROS1 else []
        else:
            # A hidden folder is a recording that is being made, or one that was left unfinished.
            inside = (p for p in each.rglob("*")
                      if not any(part.startswith(".") for part in p.relative_to(each).parts))
            bags = sorted(path for path in (each, *inside)
                          if (path.suffix == ROS1 and path.is_file())
                          or (path.is_dir() and ((path / METADATA).is_file() or storage_files(path))))
        if not bags:
            raise UserError(f"{each} holds no recording (a folder with {METADATA}, or a .mcap, .db3 or {ROS1} file)")
        for bag in bags:
            found.setdefault(bag.resolve(), bag)
    return list(found.values())


def header_stamp(message: Any) -> int | None:
    """Return the stamp of a message's header in ns, or None if its type has no header."""
    header = getattr(message, "header", None)
    stamp = getattr(header, "stamp", None)
    return None if stamp is None else int(stamp.sec) * SECOND + int(stamp.nanosec)
