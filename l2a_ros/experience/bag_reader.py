# SPDX-License-Identifier: Apache-2.0
"""Reading recordings: rosbag2 bags in MCAP or SQLite, whole or damaged, without a ROS installation."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import apsw
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import typestore

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

METADATA = "metadata.yaml"
STORAGE = (".mcap", ".db3")
SECOND = 1_000_000_000
#: What the libraries raise for damaged bytes: they check little and let the errors of the layers below through.
DAMAGE = (AnyReaderError, ReaderError, SerdeError, TypesysError, sqlite3.Error, apsw.Error, struct.error,
          OSError, EOFError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
          ValueError)


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
    in :attr:`warnings`; messages recovered from a cut-off file come in the order they were written.

    Args:
        bags: the recordings' folders or files, as :func:`find_bags` returns them.
        topics: read only these; empty means all.
    """

    def __init__(self, bags: Sequence[Path], topics: Collection[str] = ()) -> None:
        self.bags = list(bags)
        self.topics = frozenset(topics)
        self.warnings: list[str] = []

    def __iter__(self) -> Iterator[BagMessage]:
        for bag in self.bags:
            yield from self._read(bag)

    def _read(self, bag: Path) -> Iterator[BagMessage]:
        if bag.is_dir() and not (bag / METADATA).is_file():
            # The recorder was killed before it could write the metadata.
            self.warnings.append(f"{bag}: no {METADATA}, reading the files themselves")
            for file in _storage_files(bag):
                yield from self._read_whole(file, bag)
        else:
            yield from self._read_whole(bag, bag)

    def _read_whole(self, source: Path, bag: Path) -> Iterator[BagMessage]:
        count = 0
        try:
            with AnyReader([source], default_typestore=typestore()) as reader:
                wanted = [each for each in reader.connections if not self.topics or each.topic in self.topics]
                for connection, log_time, data in reader.messages(wanted) if wanted else ():
                    count += 1
                    message = self._decode(reader.typestore, connection.topic, connection.msgtype, data, bag)
                    if message is not None:
                        yield BagMessage(connection.topic, connection.msgtype, log_time, header_stamp(message), message,
                                         bag)
        except PermissionError as error:
            raise UserError(f"the recording {source} cannot be read: {error.strerror}") from None
        except DAMAGE as error:
            cause = _one_line(error)
            if count:
                self.warnings.append(f"{bag}: damaged after {count} messages: {cause}")
            else:
                yield from self._recover(source, bag, cause)

    def _recover(self, source: Path, bag: Path, cause: str) -> Iterator[BagMessage]:
        """Read what is there, without index and metadata."""
        found = 0
        for file in _storage_files(source) if source.is_dir() else [source]:
            scan = _scan_mcap(file, self) if file.suffix == ".mcap" else _scan_sqlite(file, self)
            for topic, type_name, log_time, data, types in scan:
                found += 1
                if self.topics and topic not in self.topics:
                    continue
                message = self._decode(types, topic, type_name, data, bag)
                if message is not None:
                    yield BagMessage(topic, type_name, log_time, header_stamp(message), message, bag)
        if not found:
            raise UserError(f"{bag} is not a readable recording: {cause}")
        self.warnings.append(f"{bag}: damaged, {found} messages recovered: {cause}")

    def _decode(self, types: Typestore, topic: str, type_name: str, data: bytes, bag: Path) -> Any:
        try:
            return types.deserialize_cdr(data, type_name)
        except DAMAGE as error:
            self.warnings.append(f"{bag}: a message on {topic} does not decode: {error}")
            return None


def read_bag(paths: Path | str | Sequence[Path | str], topics: Collection[str] = ()) -> BagReader:
    """Return an iterable over all messages of recordings.

    Args:
        paths: bags, storage files (``.mcap``, ``.db3``), or folders that hold bags at any depth.
        topics: read only these; empty means all.

    Raises:
        UserError: at once for a path that does not exist or holds no recording; while iterating for a recording of
            which nothing can be read.
    """
    return BagReader(find_bags(paths), topics)


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
            bags = [each] if each.suffix in STORAGE else []
        else:
            bags = sorted(folder for folder in (each, *(p for p in each.rglob("*") if p.is_dir()))
                          if (folder / METADATA).is_file() or _storage_files(folder))
        if not bags:
            raise UserError(f"{each} holds no recording (a folder with {METADATA}, or a .mcap or .db3 file)")
        for bag in bags:
            found.setdefault(bag.resolve(), bag)
    return list(found.values())


def header_stamp(message: Any) -> int | None:
    """Return the stamp of a message's header in ns, or None if its type has no header."""
    header = getattr(message, "header", None)
    stamp = getattr(header, "stamp", None)
    return None if stamp is None else int(stamp.sec) * SECOND + int(stamp.nanosec)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _storage_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in STORAGE and file.is_file())


def _scan_mcap(file: Path, reader: BagReader) -> Iterator[tuple[str, str, int, bytes, Typestore]]:
    # Only a damaged recording needs this library.
    try:
        from mcap.exceptions import McapError
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import StreamReader
    except ImportError:
        reader.warnings.append(f"{file}: cut off or damaged; the package mcap (pip install mcap) could recover a part")
        return
    types = get_typestore(Stores.ROS2_KILTED)
    schemas: dict[int, str] = {}
    channels: dict[int, Channel] = {}
    stream: IO[bytes]
    with file.open("rb") as stream:
        try:
            for record in StreamReader(stream, record_size_limit=2**30).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record.name
                    if record.encoding == "ros2msg" and record.name not in types.fielddefs:
                        types.register(get_types_from_msg(record.data.decode(), record.name))
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Message) and record.channel_id in channels:
                    channel = channels[record.channel_id]
                    yield (channel.topic, schemas.get(channel.schema_id, ""), record.log_time, bytes(record.data),
                           types)
        except (*DAMAGE, McapError) as error:
            reader.warnings.append(f"{file}: cut off or damaged: {_one_line(error)}")


def _scan_sqlite(file: Path, reader: BagReader) -> Iterator[tuple[str, str, int, bytes, Typestore]]:
    types = typestore()
    try:
        database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        reader.warnings.append(f"{file}: {error}")
        return
    try:
        # Without this SQLite refuses any file that is shorter than its header says.
        database.execute("PRAGMA writable_schema=ON")
        topics = {row[0]: (row[1], row[2]) for row in database.execute("SELECT id, name, type FROM topics")}
        for topic_id, log_time, data in database.execute(
                "SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id"):
            if topic_id in topics:
                yield (*topics[topic_id], log_time, data, types)
    except sqlite3.Error as error:
        reader.warnings.append(f"{file}: cut off or damaged: {error}")
    finally:
        database.close()
