# SPDX-License-Identifier: Apache-2.0
"""How the early end of a node is told to the user."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

#: Longest excerpt of a dead node's output, lines.
EXCERPT = 20


def exit_status(code: int) -> int:
    """Return the exit status of a whole run for a child's code, where a signal is negative; never 0."""
    if code < 0:
        return 128 - code
    return code or 1


def describe_death(name: str, code: int, lines: Sequence[str]) -> str:
    """Say which node ended too early, how, and with what last words.

    A node that refuses its input says so in one line, ``NAME: error: ...``; then that line is the whole message.

    Args:
        name: of the node.
        code: exit code of its process; a signal is negative.
        lines: the last lines of its output.
    """
    spoken = [line.rstrip() for line in lines if line.strip()]
    if code > 0 and spoken and re.match(rf"{re.escape(name)}: error: ", spoken[-1]):
        return spoken[-1]
    if code < 0:
        try:
            how = f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"was killed by signal {-code}"
    else:
        how = f"ended too early with exit code {code}"
    if not spoken:
        return f"{name} {how} and said nothing"
    excerpt = "\n".join(f"  {line}" for line in spoken[-EXCERPT:])
    return f"{name} {how}; its last lines:\n{excerpt}"
