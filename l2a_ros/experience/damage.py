# SPDX-License-Identifier: Apache-2.0
"""What damaged recordings do to the libraries that read them."""

from __future__ import annotations

import sqlite3
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import apsw
from rosbags.highlevel import AnyReaderError
from rosbags.rosbag1 import ReaderError as Ros1ReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import TypesysError
from ruamel.yaml.error import YAMLError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

#: What the libraries raise for damaged bytes: they check little and let the errors of the layers below through. Wrong
#: lengths ask for more memory than there is.
DAMAGE = (AnyReaderError, ReaderError, Ros1ReaderError, SerdeError, TypesysError, YAMLError, sqlite3.Error, apsw.Error,
          struct.error, ZstdError, OSError, EOFError, ArithmeticError, AssertionError, AttributeError, LookupError,
          MemoryError, RuntimeError, TypeError, ValueError)
#: No record of a recording is longer; a length beyond is a damaged one, bytes.
LONGEST_RECORD = 2**30

#: Topic, type, log time in ns, CDR bytes, and the definitions to decode them with.
Found = tuple[str, str, int, bytes, "Typestore"]
#: Takes a line about something that is lost.
Note = Callable[[str], None]


def one_line(error: BaseException) -> str:
    """Return the text of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
