# SPDX-License-Identifier: Apache-2.0
"""OpenGL without a window, from whatever this machine has."""

from __future__ import annotations

import ctypes.util
import os
import sys
from typing import Any

from l2a_ros.errors import UserError

_INSTALL = "install EGL (Debian, Ubuntu: apt install libegl1 libgl1-mesa-dri), which needs no display and no GPU"


def choose_backend() -> str:
    """Return how OpenGL is reached: ``egl``, ``osmesa`` or ``glfw`` (a hidden window), unless MUJOCO_GL says it.

    EGL comes first: drivers of GPUs have it, and Mesa's renders in software where there is no GPU.

    Raises:
        UserError: if there is nothing.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted in ("egl", "osmesa", "glfw", "glx", "cgl"):
        return {"glx": "glfw"}.get(wanted, wanted)
    if wanted in ("disable", "disabled", "off", "false", "0"):
        raise UserError(f"pictures need OpenGL, which MUJOCO_GL={wanted} switches off; unset it")
    if sys.platform == "darwin":
        return "cgl"
    if ctypes.util.find_library("EGL"):
        return "egl"
    if ctypes.util.find_library("OSMesa"):
        return "osmesa"
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return "glfw"
    raise UserError(f"pictures need OpenGL, and there is none; {_INSTALL}")


def open_context(width: int, height: int) -> Any:
    """Return a current OpenGL context of this size; ``free()`` it.

    Raises:
        UserError: if that fails, saying what to install.
    """
    import importlib

    backend = choose_backend()
    try:
        context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        context.make_current()
    except Exception as error:  # noqa: BLE001 - drivers fail in many ways, and the user can do the same about each
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"pictures need OpenGL, and {backend} does not work here ({reason}); {_INSTALL}") from None
    return context
