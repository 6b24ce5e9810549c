# SPDX-License-Identifier: Apache-2.0
"""Messages of a damaged MCAP file, read record by record without its index (format: https://mcap.dev/spec)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from l2a_ros.experience.damage import DAMAGE, LONGEST_RECORD, Found, Note, one_line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _FOOTER = 3, 4, 5, 6, 2
_FRAME = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_MESSAGE_HEAD = struct.Struct("<HIQQ")

#: Kind and content of a record.
_Record = tuple[int, bytes]


@dataclass
class _Names:
    """What the numbers in messages stand for: topic and type by channel."""

    schemas: dict[int, str] = field(default_factory=dict)
    channels: dict[int, tuple[str, int]] = field(default_factory=dict)


def scan_mcap(file: Path, is_wanted: Callable[[str], bool], note: Note) -> Iterator[Found]:
    """Yield the messages that can be read, in the order they were written.

    A chunk with a wrong check sum is passed over; of one that is cut off the beginning is used.

    Args:
        file: MCAP.
        is_wanted: tells by its name whether a topic is read.
        note: called with a line about each thing that is lost.
    """
    types = get_typestore(Stores.ROS2_KILTED)
    names = _Names()
    # Names come first: the chunk that should have brought them may be lost, and the summary repeats them at the end.
    for kind, content in _records(file, lambda text: None):
        try:
            if kind == _SCHEMA:
                (number,) = struct.unpack_from("<H", content)
                name, offset = _text(content, 2)
                encoding, offset = _text(content, offset)
                if names.schemas.setdefault(number, name) == name and name not in types.fielddefs:
                    definition, _ = _text(content, offset)
                    if encoding == "ros2msg":
                        types.register(get_types_from_msg(definition, name))
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                names.channels.setdefault(number, (_text(content, 4)[0], schema))
        except DAMAGE as error:
            note(f"a name or definition is damaged: {one_line(error)}")
    for kind, content in _records(file, note):
        if kind != _MESSAGE or len(content) < _MESSAGE_HEAD.size:
            continue
        number, _, log_time, _ = _MESSAGE_HEAD.unpack_from(content)
        topic, schema = names.channels.get(number, ("", 0))
        if topic and is_wanted(topic):
            yield topic, names.schemas.get(schema, ""), log_time, content[_MESSAGE_HEAD.size:], types


def _text(content: bytes, offset: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", content, offset)
    end = offset + 4 + int(length)
    return content[offset + 4:end].decode(), end


def _records(file: Path, note: Note) -> Iterator[_Record]:
    """Yield the records of a file and of its chunks."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            note("not an MCAP file, or its beginning is damaged")
            return
        while len(head := stream.read(_FRAME.size)) == _FRAME.size:
            kind, length = _FRAME.unpack(head)
            left = size - stream.tell()
            if length > min(left, LONGEST_RECORD):
                # Memory for what reaches beyond the end is never asked for.
                note(f"cut off or damaged: a record of {length} bytes, where the file has {left}")
                if kind == _CHUNK and length <= LONGEST_RECORD:
                    yield from _chunk(stream.read(left), False, note)
                return
            content = stream.read(length)
            if kind == _CHUNK:
                yield from _chunk(content, True, note)
            else:
                yield kind, content
            if kind == _FOOTER:
                return
    note("cut off: it has no end")


def _chunk(content: bytes, is_whole: bool, note: Note) -> list[_Record]:
    """Return the records of a chunk; none if its check sum is wrong."""
    try:
        _, _, size, check = _CHUNK_HEAD.unpack_from(content)
        compression, offset = _text(content, _CHUNK_HEAD.size)
        plain = _unpacked(compression, content[offset + 8:])
        if is_whole and (len(plain) != size or (check and crc32(plain) != check)):
            raise ValueError("its check sum is wrong")
    except DAMAGE as error:
        note(f"a chunk of {len(content)} bytes is damaged, left out: {one_line(error)}")
        return []
    records = []
    offset = 0
    while offset + _FRAME.size <= len(plain):
        kind, length = _FRAME.unpack_from(plain, offset)
        offset += _FRAME.size
        if offset + length > len(plain):
            break
        records.append((kind, plain[offset:offset + length]))
        offset += length
    return records


def _unpacked(compression: str, data: bytes) -> bytes:
    """Unpack what is there, also of something cut off."""
    if compression == "zstd":
        return zstd.ZstdDecompressor().decompress(data, max_length=LONGEST_RECORD)
    if compression == "lz4":
        return bytes(LZ4FrameDecompressor().decompress(data, max_length=LONGEST_RECORD))
    if compression:
        raise ValueError(f"unknown compression {compression!r}")
    return data
