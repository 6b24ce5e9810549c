# SPDX-License-Identifier: Apache-2.0
"""The processes of ``l2a bench soak``: an emulated robot, the driver of the real one, and who torments both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.robot.share import share_file


def soak_graph(out: Path, seconds: float, cycles: int, seed: int, faults: Sequence[str]) -> list[NodeSpec]:
    """Return the processes.

    Args:
        out: folder of what is written down, and of the emulated port.
        seconds: how long.
        cycles: how often the radio is unplugged.
        seed: of everything that is drawn.
        faults: of the wire, all the time.
    """
    port = out / "port"
    config = (share_file("config", "millirobot.yaml"),)
    return [
        NodeSpec("firmware_emulator", {"link": str(port), "seed": seed}, config),
        NodeSpec("serial_driver", {"port": str(port), "port_wait": 20.0, "arm_requires": ["motor_commands"]}, config,
                 lifecycle=True),
        NodeSpec("soak_operator", {"seconds": seconds, "cycles": cycles, "seed": seed, "faults": list(faults),
                                   "out": str(out)}, ends_run=True, console=True),
    ]
