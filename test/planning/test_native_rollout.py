# SPDX-License-Identifier: Apache-2.0
"""The compiled rollout, kernel by kernel: the trajectories of PyTorch, on any number of threads, within its arrays."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_samples import state_at

from l2a_ros.learning.network import Layer, Weights
from l2a_ros.planning.native_rollout import Kernel, NativeRollout, native_kernels
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.frames import FrameTables, apply_change, frame_tables, model_input
from l2a_ros.robot.layout import ACTION, OUTPUT_SIZE, STATE, Frame, input_size

KERNELS = native_kernels()
SINGLE = [kernel for kernel in KERNELS if kernel is not Kernel.AVX512_BF16]
#: Relative error of one step in single precision, of the sum of the sizes of all products in it.
STEP = 1e-5
#: Largest relative error of a number rounded to bfloat16 (8 bits).
HALF = 2.0 ** -9

pytestmark = pytest.mark.skipif(not KERNELS, reason="this installation has no compiled rollout")

sizes = st.lists(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 40, 47, 64, 65, 70]), max_size=3)
counts = st.sampled_from([1, 2, 5, 6, 7, 13, 14, 15, 28, 85])
frames = st.sampled_from(list(Frame))
seeds = st.integers(0, 2**31)


def network(seed: int, hidden: Sequence[int], frame: Frame) -> Weights:
    """Random layers as an engine sets them: the first takes rad/s and volts, the last gives small changes."""
    generator = torch.Generator().manual_seed(seed)
    widths = [input_size(frame), *hidden, OUTPUT_SIZE]
    layers = [Layer(torch.randn(outputs, inputs, generator=generator) / inputs**0.5,
                    torch.randn(outputs, generator=generator) * 0.3)
              for inputs, outputs in itertools.pairwise(widths)]
    layers[0].weight[:, -ACTION.size:] /= 30.0
    layers[-1] = Layer(layers[-1].weight * 0.1, layers[-1].bias * 0.1)
    return layers


def problem(seed: int, count: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    state = state_at(*rng.uniform(-3.0, 3.0, 3)) + rng.normal(0.0, 0.1, STATE.size)
    return state.astype(np.float32), rng.uniform(12.0, 56.0, (count, horizon, ACTION.size)).astype(np.float32)


def native(kernel: Kernel, weights: Weights, frame: Frame, threads: int = 1) -> NativeRollout:
    widths = [weights[0].weight.shape[1], *(len(layer.bias) for layer in weights)]
    made = NativeRollout(kernel, widths, frame_tables(frame), STATE.size, threads)
    made.set_weights(weights)
    return made


def run(backend: NativeRollout | TorchRollout, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    out = np.full((*actions.shape[:2], STATE.size), 1e30, dtype=np.float32)
    backend.rollout(state, actions, out)
    return out


def by_torch(weights: Weights, frame: Frame, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    backend = TorchRollout(frame)
    backend.set_weights(weights)
    return run(backend, state, actions)


# The same trajectories as PyTorch's ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", SINGLE)
@settings(max_examples=40)
@given(seeds, sizes, counts, st.integers(1, 20), st.integers(1, 4), frames)
def test_single_precision_is_pytorch(kernel: Kernel, seed: int, hidden: list[int], count: int, horizon: int,
                                     threads: int, frame: Frame) -> None:
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, count, horizon)
    found = run(native(kernel, weights, frame, threads), state, actions)
    expected = by_torch(weights, frame, state, actions)
    for step in range(horizon):
        # Errors of a step are passed on; a step of these networks makes them at most some percent larger.
        bound = STEP * (step + 1) * 1.1**step
        np.testing.assert_allclose(found[:, step], expected[:, step], rtol=bound, atol=bound, err_msg=f"step {step}")


def step_and_bound(weights: Weights, frame: Frame, states: np.ndarray, actions: np.ndarray,
                   half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the next states ``(n, 24)`` in double precision, and how far off a kernel may be: the worst case of its
    roundings, carried through the layers.

    In bfloat16 the weights of all layers but the first and what enters these layers have been rounded.
    """
    given_, taken = torch.from_numpy(states).double(), torch.from_numpy(actions).double()
    hidden = model_input(given_, taken, frame)
    error = 1e-6 * hidden.abs()
    for i, layer in enumerate(weights):
        weight, bias = layer.weight.double(), layer.bias.double()
        rounded = HALF if half and i > 0 else 0.0
        size = hidden.abs() @ weight.abs().T
        # Where a sum is rounded: by its terms, of which there are as many as inputs.
        error = error @ weight.abs().T * (1.0 + rounded) + (rounded + 1e-7 * len(weight.T)) * (size + bias.abs())
        hidden = hidden @ weight.T + bias
        if i < len(weights) - 1:
            hidden = hidden.relu()
            if half:
                error = error + HALF * (hidden + error)
    expected = apply_change(given_, hidden, frame)
    # Turning mixes two elements; putting pairs back on the circle at most doubles an error of pairs not below 0.5.
    bound = 4.0 * error.amax(dim=-1, keepdim=True) if frame is Frame.HEADING else 4.0 * error
    return expected.numpy(), (bound + 1e-5 * (1.0 + expected.abs())).numpy()


def assert_steps_are_right(kernel: Kernel, weights: Weights, frame: Frame, state: np.ndarray, actions: np.ndarray,
                           found: np.ndarray) -> float:
    """Judge every step from where the kernel itself got to, so that errors do not add up; return the largest error."""
    before = np.concatenate([np.tile(state, (len(actions), 1, 1)), found[:, :-1]], axis=1)
    worst = 0.0
    for step in range(actions.shape[1]):
        expected, bound = step_and_bound(weights, frame, before[:, step], actions[:, step],
                                         kernel is Kernel.AVX512_BF16)
        error = np.abs(found[:, step] - expected)
        assert (error <= bound).all(), f"step {step}: {error.max()} beyond {bound[error > bound]}"
        worst = max(worst, float(error.max()))
    return worst


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40)
@given(seeds, sizes, counts, st.integers(1, 20), st.integers(1, 4), frames)
def test_each_step_is_within_what_rounding_explains(kernel: Kernel, seed: int, hidden: list[int], count: int,
                                                    horizon: int, threads: int, frame: Frame) -> None:
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, count, horizon)
    found = run(native(kernel, weights, frame, threads), state, actions)
    assert_steps_are_right(kernel, weights, frame, state, actions, found)


@pytest.mark.skipif(Kernel.AVX512_BF16 not in KERNELS, reason="this processor has no bfloat16")
def test_bfloat16_is_bfloat16() -> None:
    """Off by more than single precision would be, and by far less than the numbers themselves."""
    weights, (state, actions) = network(1, [64, 65], Frame.HEADING), problem(1, 85, 10)
    found = run(native(Kernel.AVX512_BF16, weights, Frame.HEADING), state, actions)
    worst = assert_steps_are_right(Kernel.AVX512_BF16, weights, Frame.HEADING, state, actions, found)
    change = np.abs(np.diff(found, axis=1)).max()
    assert 1e-4 * change < worst < 0.02 * change


@pytest.mark.skipif(not {Kernel.AVX2, Kernel.AVX512} <= set(KERNELS), reason="this processor has no AVX-512")
@settings(max_examples=40)
@given(seeds, sizes, counts, st.integers(1, 20), frames)
def test_wide_vectors_give_the_same_bits(seed: int, hidden: list[int], count: int, horizon: int, frame: Frame) -> None:
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, count, horizon)
    np.testing.assert_array_equal(run(native(Kernel.AVX2, weights, frame), state, actions),
                                  run(native(Kernel.AVX512, weights, frame), state, actions))


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=25)
@given(seeds, sizes, counts, st.integers(1, 6), frames)
def test_neither_threads_nor_company_change_a_bit(kernel: Kernel, seed: int, hidden: list[int], count: int,
                                                  horizon: int, frame: Frame) -> None:
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, count, horizon)
    found = run(native(kernel, weights, frame), state, actions)
    for threads in (2, 3, 4, 64):
        np.testing.assert_array_equal(run(native(kernel, weights, frame, threads), state, actions), found)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(count)[:rng.integers(1, count + 1)]
    np.testing.assert_array_equal(run(native(kernel, weights, frame, 2), state, actions[chosen]), found[chosen])
    np.testing.assert_array_equal(run(native(kernel, weights, frame), state, actions[:1]), found[:1])


@pytest.mark.parametrize("kernel", KERNELS)
def test_pair_of_zero_length_stays_finite(kernel: Kernel) -> None:
    weights = [Layer(torch.zeros(OUTPUT_SIZE, input_size(Frame.HEADING)), torch.zeros(OUTPUT_SIZE))]
    weights[0].bias[STATE.index("roll_cos")] = -1.0
    state, actions = state_at().astype(np.float32), problem(0, 3, 2)[1]
    found = run(native(kernel, weights, Frame.HEADING), state, actions)
    np.testing.assert_array_equal(found, by_torch(weights, Frame.HEADING, state, actions))
    assert (found[:, 0, STATE.indices(["roll_cos", "roll_sin"])] == 0.0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_to_do(kernel: Kernel) -> None:
    backend, (state, actions) = native(kernel, network(0, [8], Frame.MAP), Frame.MAP, 4), problem(0, 3, 4)
    assert run(backend, state, actions[:0]).shape == (0, 4, STATE.size)
    assert run(backend, state, actions[:, :0]).shape == (3, 0, STATE.size)


@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_replace_those_before_entirely(kernel: Kernel) -> None:
    state, actions = problem(0, 9, 3)
    backend = native(kernel, network(1, [33, 40], Frame.HEADING), Frame.HEADING)
    run(backend, state, actions)
    backend.set_weights(network(2, [33, 40], Frame.HEADING))
    fresh = run(native(kernel, network(2, [33, 40], Frame.HEADING), Frame.HEADING), state, actions)
    np.testing.assert_array_equal(run(backend, state, actions), fresh)
    # However they lie in memory, and whatever they are changed into afterwards.
    other = [Layer(layer.weight.T.contiguous().T, layer.bias.double()) for layer in network(2, [33, 40], Frame.HEADING)]
    backend.set_weights(other)
    for layer in other:
        layer.weight.zero_(), layer.bias.zero_()
    np.testing.assert_array_equal(run(backend, state, actions), fresh)


# Numbers that are none -----------------------------------------------------------------------------------------------


def finite(trajectories: np.ndarray) -> np.ndarray:
    return np.isfinite(trajectories).all(axis=2)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=20)
@given(seeds, sizes, st.sampled_from([2, 7, 15, 30]), frames)
def test_action_that_is_no_number_spoils_its_candidate_from_there_on(kernel: Kernel, seed: int, hidden: list[int],
                                                                     count: int, frame: Frame) -> None:
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, count, 4)
    backend = native(kernel, weights, frame, 2)
    plain = run(backend, state, actions)
    assert np.isfinite(plain).all()
    victim, step = seed % count, seed % 4
    actions[victim, step, seed % 2] = np.nan
    spoiled = run(backend, state, actions)
    others = np.arange(count) != victim
    np.testing.assert_array_equal(spoiled[others], plain[others])
    np.testing.assert_array_equal(spoiled[victim, :step], plain[victim, :step])
    assert not np.isfinite(spoiled[victim, step:]).any(), "no rectifier makes a number of it"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@settings(max_examples=15)
@given(seeds, sizes, frames)
def test_infinite_action_never_looks_better_than_with_pytorch(kernel: Kernel, value: float, seed: int,
                                                              hidden: list[int], frame: Frame) -> None:
    """Minus infinity may be rectified to zero by every unit: then the result is a number everywhere."""
    weights, (state, actions) = network(seed, hidden, frame), problem(seed, 15, 3)
    actions[3, 1, 0] = value
    expected = by_torch(weights, frame, state, actions)
    found = run(native(kernel, weights, frame), state, actions)
    assert not np.isfinite(found[~np.isfinite(expected)]).any()
    assert finite(found)[np.arange(15) != 3].all()
    if kernel in SINGLE:
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("frame", list(Frame))
def test_state_that_is_not_finite_stays_so(kernel: Kernel, value: float, frame: Frame) -> None:
    weights, (state, actions) = network(4, [17, 33], frame), problem(4, 7, 3)
    backend = native(kernel, weights, frame)
    for element in range(STATE.size):
        broken = state.copy()
        broken[element] = value
        found, expected = run(backend, broken, actions), by_torch(weights, frame, broken, actions)
        assert not finite(found).any(), STATE.names[element]
        assert not np.isfinite(found[~np.isfinite(expected)]).any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("hidden", [(), (1,), (33,), (31, 16, 7)])
def test_weight_that_is_no_number_is_not_hidden(kernel: Kernel, hidden: tuple[int, ...]) -> None:
    frame, (state, actions) = Frame.HEADING, problem(2, 15, 2)
    # What turns is spread over both elements of its pair; the others have a column of the last layer each.
    for place in range(len(hidden) + 1):
        for name in ("weight", "bias"):
            weights = network(2, hidden, frame)
            tensor = getattr(weights[place], name)
            tensor[(-1,) * tensor.ndim] = torch.nan
            found = run(native(kernel, weights, frame, 2), state, actions)
            assert not np.isfinite(found[:, :, -1]).any(), f"layer {place}, {name}"
            if place < len(hidden):
                assert not np.isfinite(found).any(), "the layers after it pass it on to every element"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [1e30, np.inf])
def test_weights_that_blow_up(kernel: Kernel, value: float) -> None:
    state, actions = problem(2, 15, 3)
    for place in range(3):
        weights = network(2, [20, 21], Frame.HEADING)
        weights[place].weight[1] = value
        expected = by_torch(weights, Frame.HEADING, state, actions)
        found = run(native(kernel, weights, Frame.HEADING), state, actions)
        assert not np.isfinite(found[~np.isfinite(expected)]).any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_is_left_of_a_spoiled_rollout(kernel: Kernel) -> None:
    """Rows and columns that are only there to fill a tile hold what was there before: it must reach nobody."""
    weights, (state, actions) = network(3, [17, 31], Frame.HEADING), problem(3, 85, 2)
    backend = native(kernel, weights, Frame.HEADING)
    plain = run(backend, state, actions[:16])
    bad = actions.copy()
    bad[14:] = np.nan
    spoiled = run(backend, state, bad)
    np.testing.assert_array_equal(spoiled[:14], plain[:14])
    np.testing.assert_array_equal(run(backend, state, actions[:16]), plain)


# What does not fit ---------------------------------------------------------------------------------------------------


@cache
def small() -> NativeRollout:
    return native(Kernel.PORTABLE, network(0, [8], Frame.HEADING), Frame.HEADING)


def arrays(**change: np.ndarray) -> dict[str, np.ndarray]:
    state, actions = problem(0, 4, 3)
    return {"state": state, "actions": actions, "out": np.zeros((4, 3, STATE.size), dtype=np.float32)} | change


@pytest.mark.parametrize("change", [
    {"state": np.zeros(23, np.float32)}, {"state": np.zeros(25, np.float32)}, {"state": np.zeros((1, 24), np.float32)},
    {"state": np.zeros(24)}, {"state": np.zeros(48, np.float32)[::2]}, {"state": np.zeros(24, ">f4")},
    {"actions": np.zeros((4, 3, 3), np.float32)}, {"actions": np.zeros((4, 3, 1), np.float32)},
    {"actions": np.zeros((4, 3, 2))}, {"actions": np.zeros((4, 3), np.float32)}, {"actions": np.zeros(4, np.float32)},
    {"actions": np.zeros((4, 3, 2, 1), np.float32)}, {"actions": np.zeros((4, 3, 4), np.float32)[..., ::2]},
    {"actions": np.zeros((3, 4, 2), np.float32).transpose(1, 0, 2)}, {"actions": np.zeros((5, 3, 2), np.float32)},
    {"actions": np.broadcast_to(np.zeros((1, 1, 2), np.float32), (4, 3, 2))},
    {"out": np.zeros((4, 3, 23), np.float32)}, {"out": np.zeros((3, 3, 24), np.float32)},
    {"out": np.zeros((4, 2, 24), np.float32)}, {"out": np.zeros((4, 3, 24))},
    {"out": np.zeros((4, 3, 24), np.int32)}, {"out": np.zeros((8, 3, 24), np.float32)[::2]},
    {"out": np.frombuffer(bytes(4 * 3 * 24 * 4), np.float32).reshape(4, 3, 24)},
], ids=lambda change: "-".join(f"{name}-{array.dtype.str}-{array.shape}-{array.strides}"
                               for name, array in change.items()))
def test_arrays_that_do_not_fit_are_refused(change: dict[str, np.ndarray]) -> None:
    given_ = arrays(**change)
    before = given_["out"].copy()
    with pytest.raises(ValueError):
        small().rollout(given_["state"], given_["actions"], given_["out"])
    np.testing.assert_array_equal(given_["out"], before)
    fine = arrays()
    small().rollout(**fine)
    assert fine["out"].any(), "what fits is taken"


def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    good, (state, actions) = network(0, [8], Frame.HEADING), problem(0, 4, 3)
    backend = native(Kernel.PORTABLE, good, Frame.HEADING)
    before = run(backend, state, actions)
    other = network(1, [8], Frame.HEADING)
    for bad in ([], other[:1], [*other, other[-1]], other[::-1], network(1, [9], Frame.HEADING),
                network(1, [], Frame.HEADING), network(1, [8], Frame.MAP),
                [other[0], Layer(other[1].weight.T, other[1].bias)],
                [other[0], Layer(other[1].weight, other[1].bias[:-1])],
                [other[0], Layer(other[1].weight, other[1].bias.unsqueeze(1))]):
        with pytest.raises(ValueError):
            backend.set_weights(bad)
        np.testing.assert_array_equal(run(backend, state, actions), before)


def test_networks_that_do_not_fit_are_refused() -> None:
    tables = frame_tables(Frame.HEADING)

    def make(sizes: Sequence[int], tables: FrameTables = tables, threads: int = 1) -> NativeRollout:
        return NativeRollout(Kernel.PORTABLE, sizes, tables, STATE.size, threads)

    make([21, 8, 24])
    for sizes in ([21, 8, 23], [18, 8, 24], [24], [], [21, 0, 24], [21, -1, 24]):
        with pytest.raises(ValueError):
            make(sizes)
    for wrong in (replace(tables, seen=(*tables.seen[:-1], 24)), replace(tables, turned=((0, -1),)),
                  replace(tables, circles=((24, 0),)), replace(tables, yaw=(10, 24)), replace(tables, yaw=(-1, 11))):
        with pytest.raises(ValueError):
            make([21, 8, 24], wrong)
    for threads in (0, -1):
        with pytest.raises(ValueError):
            make([21, 8, 24], threads=threads)


def test_kernel_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2a_ros.planning.native_rollout.native_kernels", lambda: [Kernel.PORTABLE])
    with pytest.raises(ValueError, match="cannot run the kernel AVX2"):
        NativeRollout(Kernel.AVX2, [21, 24], frame_tables(Frame.HEADING), STATE.size, 1)


# Beside other threads ------------------------------------------------------------------------------------------------


def test_other_python_threads_run_meanwhile() -> None:
    """The other thread gets to run only when this one lets it, which without a rollout is not before minutes."""
    backend = native(Kernel.PORTABLE, network(0, [70, 70], Frame.HEADING), Frame.HEADING)
    state, actions = problem(0, 400, 20)
    out = np.zeros((400, 20, STATE.size), dtype=np.float32)
    turns, ends = [0], threading.Event()

    def count() -> None:
        while not ends.is_set():
            turns[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(300.0)
    other = threading.Thread(target=count)
    other.start()
    try:
        for _ in range(200):
            before = turns[0]
            backend.rollout(state, actions, out)
            progress = turns[0] - before
            if progress:
                break
    finally:
        ends.set()
        sys.setswitchinterval(interval)
        other.join()
    assert progress


# Within its arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_no_access_out_of_bounds_and_no_race(sanitizers: str, tmp_path: Path) -> None:
    """Compiled once more, by a compiler that checks every access to memory."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    options = ["-g", "-O1", "-std=c11", "-pthread", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    trivial = tmp_path / "trivial.c"
    trivial.write_text("int main(void) { return 0; }\n")
    probe = str(tmp_path / "trivial")
    for command in ([compiler, *options, str(trivial), "-o", probe], [probe]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"this compiler makes no programs with {sanitizers}")
    here = Path(__file__).parent
    sources = here.parents[1] / "l2a_ros" / "planning" / "native"
    program = tmp_path / "bounds"
    subprocess.run([compiler, *options, f"-I{sources}", str(here / "rollout_bounds.c"), "-lm", "-o", str(program)],
                   check=True)
    done = subprocess.run([str(program)], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == 96 * len(KERNELS)
