# SPDX-License-Identifier: Apache-2.0
"""Programs that stand in for nodes where only the life of a process matters.

``python programs.py NAME`` runs one; each says "ready" first.
"""

import signal
import subprocess
import sys
import time


def wait() -> None:
    """Run until SIGINT, then end well."""
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


def end() -> None:
    """End well after a while."""
    time.sleep(0.5)


def fail() -> None:
    """End badly after a while, with a trace on stderr."""
    time.sleep(0.3)
    print("something to say first", flush=True)
    raise RuntimeError("the arm fell off")


def refuse() -> None:
    """Refuse the input as nodes do."""
    print("refuse: error: unknown terrain 'lava'; known: carpet", file=sys.stderr)
    sys.exit(2)


def vanish() -> None:
    """End well, but too early for a node."""
    time.sleep(0.3)


def stubborn() -> None:
    """Ignore SIGINT and SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(60)


def parent() -> None:
    """Start another process that ignores signals, and end at SIGINT without ending it."""
    subprocess.Popen([sys.executable, __file__, "stubborn"])
    wait()


def three() -> None:
    """End the run with a code of its own."""
    time.sleep(0.3)
    sys.exit(3)


def crash() -> None:
    """Die by a signal."""
    time.sleep(0.3)
    signal.raise_signal(signal.SIGSEGV)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("ready", flush=True)
    globals()[sys.argv[1]]()
