# SPDX-License-Identifier: Apache-2.0
"""The line that shows how a running trial is doing."""

from __future__ import annotations

import math
from typing import TextIO

from l2a_ros.trials.log import Row
from l2a_ros.trials.report import progress_line

#: Between two lines, seconds: on a terminal one line is rewritten, elsewhere lines add up.
TERMINAL_INTERVAL, FILE_INTERVAL = 0.2, 2.0
CLEAR = "\r\x1b[K"


class Progress:
    """Shows progress without flooding: one line rewritten on a terminal, else a line every two seconds.

    Args:
        stream: where to.
        path_length: metres.
    """

    def __init__(self, stream: TextIO, path_length: float) -> None:
        self._stream = stream
        self._path_length = path_length
        self._terminal = stream.isatty()
        self._due = -math.inf
        self._open = False

    def show(self, row: Row, period: float, moment: float) -> None:
        """Show a row if a line is due; ``period`` and ``moment`` (of any clock) in seconds."""
        if moment < self._due:
            return
        self._due = moment + (TERMINAL_INTERVAL if self._terminal else FILE_INTERVAL)
        line = progress_line(row, self._path_length, period)
        self._stream.write(CLEAR + line if self._terminal else line + "\n")
        self._stream.flush()
        self._open = self._terminal

    def end(self) -> None:
        """Leave the rewritten line behind, so that what follows starts on a fresh one."""
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False
