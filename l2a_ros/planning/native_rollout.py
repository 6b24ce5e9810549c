# SPDX-License-Identifier: Apache-2.0
"""The compiled rollout (``native/rollout.c``), where this installation has it.

Checks everything that goes in: the compiled code trusts its sizes.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import itertools
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np

from l2a_ros.learning.network import Weights
from l2a_ros.robot.frames import FrameTables

_LIBRARY = "_rollout"
#: Of the compiled code; in step with ``l2a_interface`` in ``native/rollout.c``.
_INTERFACE = 2
#: Candidates of a block: as many that the weights are read seldom, as few that every thread gets some.
LARGEST_BLOCK, SMALLEST_BLOCK = 84, 14
_BLOCKS_PER_THREAD = 3


class Kernel(IntEnum):
    """What the compiled code is made for; in step with ``native/rollout.c``."""

    PORTABLE = 0
    AVX2 = 1
    AVX512 = 2
    AVX512_BF16 = 3


_WIDE = {Kernel.AVX512, Kernel.AVX512_BF16}


class _Layer(ctypes.Structure):
    _fields_ = [("inputs", ctypes.c_int32), ("outputs", ctypes.c_int32), ("weights", ctypes.c_void_p),
                ("bias", ctypes.c_void_p)]


class _Frame(ctypes.Structure):
    _fields_ = [("states", ctypes.c_int32), ("actions", ctypes.c_int32), ("seen_count", ctypes.c_int32),
                ("turned_count", ctypes.c_int32), ("circle_count", ctypes.c_int32), ("yaw_cosine", ctypes.c_int32),
                ("yaw_sine", ctypes.c_int32), ("seen", ctypes.c_void_p), ("turned", ctypes.c_void_p),
                ("circles", ctypes.c_void_p)]


@cache
def _library() -> ctypes.CDLL | None:
    folder = Path(__file__).parent
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        file = folder / f"{_LIBRARY}{suffix}"
        if file.exists():
            try:
                library = ctypes.CDLL(str(file))
                if library.l2a_interface() != _INTERFACE:
                    raise AttributeError
            except (OSError, AttributeError):
                # Built on another machine with libraries that this one lacks, or from other sources than these.
                return None
            library.l2a_packed_bytes.restype = ctypes.c_int64
            return library
    return None


def native_kernels() -> list[Kernel]:
    """Return what this installation and this processor can run; empty where nothing was compiled."""
    library = _library()
    return [] if library is None else [kernel for kernel in Kernel if library.l2a_supports(int(kernel))]


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class NativeRollout:
    """Rolls candidates out by one kernel.

    Args:
        kernel: one of :func:`native_kernels`.
        sizes: of the layers: inputs, hidden…, outputs.
        tables: how states become inputs.
        states: elements of a state.
        threads: how many share the work.
    """

    def __init__(self, kernel: Kernel, sizes: Sequence[int], tables: FrameTables, states: int, threads: int) -> None:
        library = _library()
        if library is None or kernel not in native_kernels():
            raise ValueError(f"this machine cannot run the kernel {kernel.name}")
        if len(sizes) < 2 or min(sizes) < 1 or threads < 1:
            raise ValueError(f"layers of sizes {list(sizes)} on {threads} threads make no rollout")
        actions = sizes[0] - len(tables.seen)
        indices = [*tables.seen, *(i for pair in (*tables.turned, *tables.circles) for i in pair), *(tables.yaw or ())]
        if sizes[-1] != states or actions < 0 or not all(0 <= i < states for i in indices):
            raise ValueError(f"layers of sizes {list(sizes)} do not fit states of {states} elements")
        self._call = library
        self._kernel, self._sizes, self._states, self._actions = kernel, tuple(sizes), states, actions
        self._threads = threads
        self._tables = [np.array(table, dtype=np.int32).reshape(-1)
                        for table in (tables.seen, tables.turned, tables.circles)]
        yaw = tables.yaw or (-1, -1)
        self._frame = _Frame(states, actions, len(tables.seen), len(tables.turned), len(tables.circles), *yaw,
                             *(_pointer(table) for table in self._tables))
        panel = 32 if kernel in _WIDE else 16
        count = len(sizes) - 1
        self._zeros = np.zeros(max(sizes), dtype=np.float32)
        self._packed = [np.zeros(library.l2a_packed_bytes(int(kernel), i, sizes[i], sizes[i + 1]), dtype=np.uint8)
                        for i in range(count)]
        self._biases = [np.zeros(-(-sizes[i + 1] // panel) * panel, dtype=np.float32) for i in range(count)]
        self._layers = (_Layer * count)(*(
            _Layer(sizes[i], sizes[i + 1], _pointer(self._packed[i]), _pointer(self._biases[i]))
            for i in range(count)))

    def set_weights(self, weights: Weights) -> None:
        """Use these weights, normalisation folded in."""
        expected = [((outputs, inputs), (outputs,)) for inputs, outputs in itertools.pairwise(self._sizes)]
        shapes = [(tuple(layer.weight.shape), tuple(layer.bias.shape)) for layer in weights]
        if shapes != expected:
            raise ValueError(f"layers have weights and biases of shapes {shapes}, not {expected}")
        for i, layer in enumerate(weights):
            weight = np.ascontiguousarray(layer.weight.numpy(), dtype=np.float32)
            outputs, inputs = weight.shape
            self._call.l2a_pack(int(self._kernel), i, inputs, outputs, _pointer(weight), _pointer(self._zeros),
                                _pointer(self._packed[i]))
            self._biases[i][:outputs] = layer.bias.numpy()

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        """Predict trajectories from one state; other Python threads run meanwhile.

        Args:
            state: ``(states,)`` float32.
            actions: ``(n, h, actions)`` float32.
            out: states after each step, ``(n, h, states)`` float32.
        """
        count, horizon = actions.shape[:2]
        for array, shape in ((state, (self._states,)), (actions, (count, horizon, self._actions)),
                             (out, (count, horizon, self._states))):
            if array.dtype != np.float32 or array.shape != shape or not array.flags.c_contiguous:
                raise ValueError(f"expected a contiguous float32 array of shape {shape}, not {array.dtype} of "
                                 f"{array.shape}")
        if not out.flags.writeable:
            raise ValueError("the array for the trajectories is read-only")
        tile = 14 if self._kernel in _WIDE else 6
        share = -(-count // (self._threads * _BLOCKS_PER_THREAD * tile)) * tile
        block = min(max(share, SMALLEST_BLOCK // tile * tile), LARGEST_BLOCK)
        failed = self._call.l2a_rollout(int(self._kernel), len(self._layers), self._layers, ctypes.byref(self._frame),
                                        count, horizon, block, min(self._threads, -(-count // block)),
                                        _pointer(state), _pointer(actions), _pointer(out))
        if failed:
            raise MemoryError("no memory for the rollout")
