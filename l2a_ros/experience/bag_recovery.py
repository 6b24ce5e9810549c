# SPDX-License-Identifier: Apache-2.0
"""What is left of damaged recordings: storage files read without index and metadata, around what is broken."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
from rosbags.highlevel import AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from ruamel.yaml.error import YAMLError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

STORAGE = (".mcap", ".db3")
#: What rosbag2 adds to the name of a storage file that it compressed as a whole.
PACKED = ".zstd"
#: What the libraries raise for damaged bytes: they check little and let the errors of the layers below through. Wrong
#: lengths ask for more memory than there is.
DAMAGE = (AnyReaderError, ReaderError, SerdeError, TypesysError, YAMLError, sqlite3.Error, apsw.Error, struct.error,
          ZstdError, OSError, EOFError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError,
          RuntimeError, TypeError, ValueError)
#: No record of a recording is longer; a length beyond is a damaged one, bytes.
LONGEST_RECORD = 2**30
_FRAME = b"\x28\xb5\x2f\xfd"

#: Topic, type, log time in ns, CDR bytes, and the definitions to decode them with.
Found = tuple[str, str, int, bytes, "Typestore"]
Note = Callable[[str], None]


def one_line(error: BaseException) -> str:
    """Return the text of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def is_storage(file: Path) -> bool:
    """Tell whether a file is named like one that holds messages, compressed or not."""
    return (file.with_suffix("") if file.suffix == PACKED else file).suffix in STORAGE


def storage_files(folder: Path) -> list[Path]:
    """Return the files with messages in a folder, in the order in which rosbag2 numbers them."""
    return sorted((file for file in folder.iterdir() if is_storage(file) and file.is_file()),
                  key=lambda file: (len(file.name), file.name))


def scan(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    """Yield the messages of a storage file that can be read, in the order they were written.

    Args:
        file: ``.mcap`` or ``.db3``, or one of them compressed by rosbag2.
        is_wanted: tells by its name whether a topic is read.
        note: called with a line about each thing that is lost.
    """
    with _unpacked(file, note) as plain:
        messages = _scan_mcap if plain.suffix == ".mcap" else _scan_sqlite
        for topic, kind, log_time, data, types in messages(plain, is_wanted, lambda text: note(f"{file}: {text}")):
            yield topic, kind, log_time, plain_message(data), types


@contextmanager
def _whole_pages(file: Path) -> Iterator[Path]:
    """Give a database without the part of a page that a cut-off file ends with: SQLite would read zeros after it."""
    with file.open("rb") as content:
        header = content.read(18)
        page = int.from_bytes(header[16:18], "big") if len(header) == 18 else 0
        # One stands for 65536, which does not fit.
        page = 65536 if page == 1 else max(page, 512)
        size = file.stat().st_size
        if size % page == 0:
            yield file
            return
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, file.name)
            shutil.copyfile(file, whole)
            os.truncate(whole, size // page * page)
            yield whole


@contextmanager
def _unpacked(file: Path, note: Note) -> Iterator[Path]:
    if file.suffix != PACKED:
        yield file
        return
    import zstandard

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, file.stem)
        with file.open("rb") as packed, plain.open("wb") as out:
            try:
                zstandard.ZstdDecompressor().copy_stream(packed, out)
            except (*DAMAGE, zstandard.ZstdError) as error:
                note(f"{file}: cut off or damaged: {one_line(error)}")
        yield plain


def plain_message(data: bytes) -> bytes:
    """Return the CDR bytes of a message that rosbag2 may have compressed by itself; CDR never begins like that."""
    if not data.startswith(_FRAME):
        return data
    import zstandard

    try:
        if zstandard.frame_content_size(data) > LONGEST_RECORD:
            return b""
        return zstandard.ZstdDecompressor().decompress(data, LONGEST_RECORD)
    except (*DAMAGE, zstandard.ZstdError):
        return b""


def _scan_mcap(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    # Only a damaged recording needs this library.
    try:
        from mcap.records import Channel, Message, Schema
    except ImportError:
        note("cut off or damaged; the package mcap (pip install mcap) could recover a part")
        return
    types = get_typestore(Stores.ROS2_KILTED)
    schemas: dict[int, str] = {}
    channels: dict[int, Any] = {}
    # Names come first: the chunk that should have brought them may be lost, and the summary repeats them at the end.
    for record in _mcap_records(file, lambda text: None):
        if isinstance(record, Schema) and record.id not in schemas:
            schemas[record.id] = record.name
            if record.encoding == "ros2msg" and record.name not in types.fielddefs:
                try:
                    types.register(get_types_from_msg(record.data.decode(), record.name))
                except DAMAGE as error:
                    note(f"the definition of {record.name} is damaged: {one_line(error)}")
        elif isinstance(record, Channel):
            channels.setdefault(record.id, record)
    for record in _mcap_records(file, note):
        channel = channels.get(record.channel_id) if isinstance(record, Message) else None
        if channel is not None and is_wanted(channel.topic):
            yield channel.topic, schemas.get(channel.schema_id, ""), record.log_time, bytes(record.data), types


def _mcap_records(file: Path, note: Note) -> Iterator[Any]:
    """Yield the records of a file and of its chunks; a chunk whose check sum is wrong is passed over."""
    from mcap.exceptions import McapError
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader, breakup_chunk
    from zstandard import ZstdError as OtherZstdError

    with file.open("rb") as stream:
        # Memory for a length that reaches beyond the end is never asked for.
        limit = min(LONGEST_RECORD, file.stat().st_size)
        try:
            for record in StreamReader(stream, emit_chunks=True, record_size_limit=limit).records:
                if not isinstance(record, Chunk):
                    yield record
                    continue
                if record.uncompressed_size > LONGEST_RECORD:
                    note(f"a chunk of {record.uncompressed_size} bytes cannot be right, left out")
                    continue
                try:
                    parts = breakup_chunk(record, validate_crc=True)
                except (*DAMAGE, McapError, OtherZstdError) as error:
                    note(f"a chunk of {len(record.data)} bytes is damaged, left out: {one_line(error)}")
                    continue
                yield from parts
        except (*DAMAGE, McapError) as error:
            note(f"cut off or damaged: {one_line(error)}")


def _scan_sqlite(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    with _whole_pages(file) as whole:
        yield from _scan_pages(whole, is_wanted, note)


def _scan_pages(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    from l2a_ros.experience.bag_writer import typestore

    types = typestore()
    try:
        database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        note(one_line(error))
        return
    # Damaged text is no reason to stop.
    database.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        # Without this SQLite refuses any file that is shorter than its header says.
        database.execute("PRAGMA writable_schema=ON")
        topics = {row[0]: (row[1], row[2]) for row in database.execute("SELECT id, name, type FROM topics")
                  if is_wanted(row[1])}
        last = -1
        try:
            for identity, *row in database.execute(_rows("")):
                if (found := _message(topics, row, types)) is not None:
                    yield found
                last = identity
            return
        except sqlite3.Error as error:
            note(f"cut off or damaged: {error}")
        # What comes after a damaged page can be reached from the end.
        tail = []
        try:
            for identity, *row in database.execute(_rows("DESC")):
                if identity <= last:
                    break
                if (found := _message(topics, row, types)) is not None:
                    tail.append(found)
        except sqlite3.Error:
            pass
        yield from reversed(tail)
    except DAMAGE as error:
        note(f"cut off or damaged: {one_line(error)}")
    finally:
        database.close()


def _rows(direction: str) -> str:
    return f"SELECT id, topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id {direction}"


def _message(topics: dict[int, tuple[str, str]], row: list[Any], types: Typestore) -> Found | None:
    topic_id, log_time, data = row
    if topic_id not in topics or not isinstance(log_time, int) or not isinstance(data, bytes):
        return None
    return (*topics[topic_id], log_time, data, types)
