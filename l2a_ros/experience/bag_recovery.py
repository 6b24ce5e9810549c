# SPDX-License-Identifier: Apache-2.0
"""What is left of damaged recordings: storage files read without index and metadata, around what is broken."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.experience.bag_writer import typestore
from l2a_ros.experience.damage import DAMAGE, LONGEST_RECORD, Found, Note, one_line
from l2a_ros.experience.mcap_recovery import scan_mcap

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

STORAGE = (".mcap", ".db3")
#: What rosbag2 adds to the name of a storage file that it compressed as a whole.
PACKED = ".zstd"
_PACKED_MESSAGE = b"\x28\xb5\x2f\xfd"
_BLOCK = 2**20


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
        messages = scan_mcap if plain.suffix == ".mcap" else _scan_sqlite
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
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, file.stem)
        with file.open("rb") as packed, plain.open("wb") as out:
            try:
                decompressor = zstd.ZstdDecompressor()
                while not decompressor.eof and (block := packed.read(_BLOCK)):
                    out.write(decompressor.decompress(block))
            except DAMAGE as error:
                note(f"{file}: cut off or damaged: {one_line(error)}")
        yield plain


def plain_message(data: bytes) -> bytes:
    """Return the CDR bytes of a message that rosbag2 may have compressed by itself; CDR never begins like that."""
    if not data.startswith(_PACKED_MESSAGE):
        return data
    try:
        return zstd.ZstdDecompressor().decompress(data, max_length=LONGEST_RECORD)
    except DAMAGE:
        return b""


def _scan_sqlite(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    with _whole_pages(file) as whole:
        yield from _scan_pages(whole, is_wanted, note)


def _scan_pages(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
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
