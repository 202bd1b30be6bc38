"""Every kernel against the reference, on shapes, strides, types and values of all kinds.

What can be taken from the kernels' tables is: a new row is tested without a line here. The whole
file runs once more on every other instruction-set level.
"""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cymlp
from cymlp import kernels, ops, reference
from cymlp.ops import scores

DTYPES = [np.float32, np.float64]
# None, one, primes, and either side of vector widths, of a panel and of a block of scratch memory.
SIZES = [0, 1, 2, 7, 15, 16, 17, 63, 64, 65, 127, 1023, 1025]
POINTWISE = [*kernels.activation_table()]
FORWARD = [*POINTWISE, "exp", "softmax"]
BACKWARD = [*POINTWISE, "softmax"]
LOSSES = [*kernels.loss_table()]
OPTIMIZERS = [*kernels.optimizer_table()]
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-39, -1e-39, 5e-324, -5e-324,
         1.2e-38, -1.2e-38, 3e38, -3e38, 1e308, -1e308, 1.0, -1.0, 0.5493, -0.5493, 87.0, -87.0,
         88.72, 88.73, 89.0, -103.0, -104.0, -105.0, 709.7, 709.8, -744.0, -745.2, -746.0]


def twin(name, table="kernels"):
    """The reference of a kernel; a helpful failure where there is none."""
    function = getattr(reference, name, None)
    if function is None:
        pytest.fail(f"the table of {table} has a row that needs {name!r}, and cymlp.reference has "
                    f"no such function: write its definition there, in plain NumPy")
    return function


def values(shape, dtype, seed=0, spread=3.0):
    return np.array(np.random.default_rng(seed).standard_normal(shape) * spread, dtype)


def assert_close(got, expected, dtype, scale=0.0, ulps=8):
    """Within some roundings of the expected value, or of what it was summed up from."""
    assert got.dtype == dtype and got.shape == np.shape(expected)
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    allowed = ulps * np.finfo(dtype).eps * (np.abs(expected) + scale)
    wrong = ~(np.abs(got - expected) <= allowed + 200 * np.finfo(dtype).smallest_subnormal)
    assert not wrong.any(), f"got {got[wrong][:5]}, expected {expected[wrong][:5]}"


# ---- tables and names -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FORWARD, *(f"{name}_backward" for name in BACKWARD)])
def test_activation_has_a_reference_with_the_same_arguments(name):
    assert_same_arguments(twin(name, "activations"), getattr(ops, name))


@pytest.mark.parametrize("name", LOSSES)
def test_loss_has_a_reference_with_the_same_arguments(name):
    assert_same_arguments(twin(name, "losses"), operation(name, "losses"))


@pytest.mark.parametrize("name", [f"{name}_update" for name in OPTIMIZERS])
def test_optimizer_has_a_reference_with_the_same_arguments(name):
    assert_same_arguments(twin(name, "optimizers"), operation(name, "optimizers"))


@pytest.mark.parametrize("name", scores.__all__)
def test_metric_has_a_reference_with_the_same_arguments(name):
    assert_same_arguments(twin(name, "metrics"), getattr(ops, name))


def operation(name, table):
    function = getattr(ops, name, None)
    if function is None:
        pytest.fail(f"the table of {table} has a row that needs {name!r}, and cymlp.ops has no "
                    f"such function")
    return function


def assert_same_arguments(expected, function):
    arguments = {name: (p.kind, p.default)
                 for name, p in inspect.signature(function).parameters.items() if name != "out"}
    assert arguments == {name: (p.kind, p.default)
                         for name, p in inspect.signature(expected).parameters.items()}


def test_every_function_of_the_reference_has_its_kernel():
    tools = {"compare", "philox", "run_plan"}
    missing = set(reference.__all__) - set(ops.__all__) - tools
    missing = {name for name in missing if inspect.isfunction(getattr(reference, name))}
    assert not missing
    assert set(ops.__all__) <= set(reference.__all__)


@pytest.mark.parametrize("name", ops.__all__)
def test_every_function_is_named_and_described(name):
    function = getattr(ops, name)
    assert function.__name__ == function.__qualname__ == name
    assert function.__module__.startswith("cymlp.ops.")
    text = inspect.getdoc(function)
    assert ">>> " in text
    for parameter in inspect.signature(function).parameters:
        assert parameter in text.partition("Parameters")[2], f"{parameter} is not described"
    if not name.endswith("_update") and name not in scores.__all__:
        assert inspect.signature(function).parameters["out"].default is None


# ---- activations ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_activation_forward(name, dtype):
    for size in SIZES:
        for shape in [(size,), (3, size), (size, 3), (2, 1, size)]:
            x = values(shape, dtype, size)
            # The rounding of an exponent (x - max) is a relative error of the exponential.
            spread = np.ptp(x) if name == "softmax" and x.size else 0
            if name == "gelu_tanh":
                spread = 3 * np.abs(x + 0.044715 * x**3)
            assert_close(getattr(ops, name)(x), twin(name)(x), dtype, ulps=8 + spread)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BACKWARD)
def test_activation_backward(name, dtype):
    for size in SIZES:
        for shape in [(size,), (3, size), (size, 3), (2, 1, size)]:
            x, grad_output = values(shape, dtype, size), values(shape, dtype, size + 1)
            row = kernels.activation_table().get(name, {"saves": "output"})
            saved = x if row["saves"] == "input" else twin(name)(x).astype(dtype)
            expected = twin(f"{name}_backward")(grad_output, saved)
            assert_close(getattr(ops, f"{name}_backward")(grad_output, saved), expected, dtype,
                         scale=np.abs(grad_output).max(initial=0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", [name for name, row in kernels.activation_table().items() if row["parameter"]])
def test_activation_parameter(name, dtype):
    x = values(100, dtype)
    label = kernels.activation_table()[name]["parameter"]
    for parameter in [0.0, 0.25, 0.3, 2.0][label == "alpha":]:
        assert_close(getattr(ops, name)(x, parameter), twin(name)(x, parameter), dtype)
        assert_close(getattr(ops, f"{name}_backward")(x, x, **{label: parameter}),
                     twin(f"{name}_backward")(x, x, parameter), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*POINTWISE, "exp"])
def test_activation_at_the_edges(name, dtype):
    with np.errstate(all="ignore"):
        x = np.array(EDGES).astype(dtype)
        x = np.concatenate([x, x, x])       # in full vectors and in what is left over
        expected = twin(name)(x).astype(dtype)
        got = getattr(ops, name)(x)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert np.array_equal(got[np.isinf(expected)], expected[np.isinf(expected)])
    finite = np.isfinite(expected)
    assert_close(got[finite], expected[finite], dtype)
    if name in ("identity", "tanh", "leaky_relu"):
        assert np.array_equal(np.signbit(got[finite]), np.signbit(x[finite]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POINTWISE)
def test_activation_gradient_passes_nan_and_infinity(name, dtype):
    saved = np.full(40, 0.5, dtype)
    grad_output = np.resize(np.array([np.nan, np.inf, -np.inf, 1.0], dtype), 40)
    got = getattr(ops, f"{name}_backward")(grad_output, saved)
    expected = twin(f"{name}_backward")(grad_output, saved)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert np.array_equal(np.isinf(got), np.isinf(expected))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_at_the_edges(dtype):
    largest = float(np.finfo(dtype).max)
    rows = np.zeros((7, 33), dtype)
    rows[0] = largest
    rows[1] = -largest
    rows[2, 5] = np.nan
    rows[3, 5] = np.inf
    rows[4, 5] = -np.inf
    rows[5] = -np.inf
    rows[6, 0] = largest
    with np.errstate(all="ignore"):
        expected = reference.softmax(rows)
        got = ops.softmax(rows)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert_close(got[[0, 1, 4, 6]], expected[[0, 1, 4, 6]], dtype)


# ---- any strides, types and byte orders: the same bits ----------------------------------------


def strided(a):
    big = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
    view = big[(*(slice(1, None, 2) for _ in a.shape), ...)]
    view[...] = a
    return view


def reversed_axes(a):
    turn = tuple(slice(None, None, -1) for _ in a.shape)
    return a[turn].copy()[turn]


def misaligned(a):
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def padded(a):
    if a.ndim == 0:
        return a.copy()
    big = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype)
    big[..., :a.shape[-1]] = a
    return big[..., :a.shape[-1]]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


OUTPUT_LAYOUTS = {
    "contiguous": lambda a: a.copy(order="C"), "fortran": np.asfortranarray, "strided": strided,
    "reversed": reversed_axes, "padded": padded,
    "axes swapped": lambda a: a.swapaxes(0, -1).copy().swapaxes(0, -1) if a.ndim else a.copy(),
}
INPUT_LAYOUTS = {
    **OUTPUT_LAYOUTS, "misaligned": misaligned, "read-only": read_only,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
}
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 16, 17, 40]), min_size=1, max_size=4).filter(
    lambda shape: np.prod(shape) < 20_000)
OUTPUTS, INPUTS = st.sampled_from(sorted(OUTPUT_LAYOUTS)), st.sampled_from(sorted(INPUT_LAYOUTS))
EXAMPLES = settings(max_examples=50, deadline=None, derandomize=True)


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", FORWARD)
@given(shape=SHAPES, dtype=st.sampled_from(DTYPES), x_layout=INPUTS, out_layout=OUTPUTS)
@EXAMPLES
def test_forward_gives_the_same_bits_for_any_layout(name, shape, dtype, x_layout, out_layout):
    x = values(shape, dtype)
    function = getattr(ops, name)
    expected = function(x)
    out = OUTPUT_LAYOUTS[out_layout](np.full_like(x, 99))
    assert function(INPUT_LAYOUTS[x_layout](x), out=out) is out
    assert_same_bits(out, expected)
    out = OUTPUT_LAYOUTS[out_layout](x)
    assert function(out, out=out) is out
    assert_same_bits(out, expected)


@pytest.mark.parametrize("name", BACKWARD)
@given(shape=SHAPES, dtype=st.sampled_from(DTYPES), layouts=st.tuples(INPUTS, INPUTS),
       out_layout=OUTPUTS)
@EXAMPLES
def test_backward_gives_the_same_bits_for_any_layout(name, shape, dtype, layouts, out_layout):
    grad_output, saved = values(shape, dtype), values(shape, dtype, 1)
    function = getattr(ops, f"{name}_backward")
    expected = function(grad_output, saved)
    out = OUTPUT_LAYOUTS[out_layout](np.full_like(saved, 99))
    function(INPUT_LAYOUTS[layouts[0]](grad_output), INPUT_LAYOUTS[layouts[1]](saved), out=out)
    assert_same_bits(out, expected)
    out = OUTPUT_LAYOUTS[out_layout](grad_output)
    function(out, INPUT_LAYOUTS[layouts[1]](saved), out=out)
    assert_same_bits(out, expected)


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "g"])
def test_other_types_are_computed_in_float64(kind):
    x = np.arange(300).reshape(100, 3).astype(kind)
    for layout in ["contiguous", "misaligned", "other byte order", "strided"]:
        assert_same_bits(ops.tanh(INPUT_LAYOUTS[layout](x)), ops.tanh(x.astype(np.float64)))
    mixed = ops.sigmoid_backward(x, values(x.shape, np.float32))
    assert mixed.dtype == np.float64


def test_scalars_and_lists():
    assert ops.relu(-2) == 0.0 and ops.relu(-2).shape == ()
    assert_same_bits(ops.relu([[-1, 2]]), np.array([[0.0, 2.0]]))


# ---- dense ------------------------------------------------------------------------------------

SIDES = [0, 1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 129]


def product_scale(a, b):
    """What the rounding of a product is relative to."""
    return np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense(dtype):
    rng = np.random.default_rng(3)
    shapes = [tuple(rng.choice(SIDES, 3)) for _ in range(60)]
    shapes += [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (513, 5, 3), (5, 1025, 66),
               (2, 70, 1030), (520, 1100, 70)]   # the last: rows of x are far apart
    # Every way to fill registers with columns, or with half a register's, and every height.
    shapes += [(13, size, 5) for size in range(70)] + [(13, 5, size) for size in range(70)]
    shapes += [(rows, 40, outputs) for rows in range(26) for outputs in (3, 12)]
    for rows, inputs, outputs in shapes:
        x, weight = values((rows, inputs), dtype, 1), values((inputs, outputs), dtype, 2)
        bias, grad = values(outputs, dtype, 3), values((rows, outputs), dtype, 4)
        scale = product_scale(x, weight) + np.abs(bias)
        ulps = max(rows, inputs, outputs) + 2
        for b in (None, bias):
            assert_close(ops.dense_forward(x, weight, b), reference.dense_forward(x, weight, b),
                         dtype, scale, ulps)
        got = ops.dense_backward(grad, x, weight)
        scales = [product_scale(grad, weight.T), product_scale(x.T, grad),
                  np.abs(grad).sum(axis=0)]
        for g, e, s in zip(got, reference.dense_backward(grad, x, weight), scales, strict=True):
            assert_close(g, e, dtype, s, ulps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inputs", [1, 3, 4, 7, 8, 15, 16, 17, 39, 512, 513, 1030])
def test_few_columns_are_those_beside_others(inputs, dtype):
    """Whether rows are turned for them or not, and whatever is left over of blocks."""
    for rows in (1, 3, 4, 7, 8, 15, 16, 17, 33, 96):
        x, weight, bias = (values(shape, dtype, seed) for seed, shape in enumerate(
            [(rows, inputs), (inputs, 40), (40,)]))
        x[rows // 2, inputs // 2], x[-1, 0] = np.inf, np.nan
        forward = ops.dense_forward(x, weight, bias)
        backward, _, _ = ops.dense_backward(x, np.ones((rows, 40), dtype), weight.T.copy())
        for few in range(1, 13):
            part = weight[:, :few].copy()
            assert_same_bits(ops.dense_forward(x, part, bias[:few]), forward[:, :few].copy())
            got, _, _ = ops.dense_backward(x, np.ones((rows, few), dtype), part.T.copy())
            assert_same_bits(got, backward[:, :few].copy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inputs", [15, 16, 64, 100, 530])
def test_gradients_of_few_outputs_are_those_beside_others(inputs, dtype):
    """However few outputs a weight has, and so whichever way round its gradient is computed."""
    x, weight, grad = (values(shape, dtype, seed) for seed, shape in enumerate(
        [(700, inputs), (inputs, 40), (700, 40)]))
    for rows in (1, 20, 128, 130, 700):     # 700: more than are worked on at a time
        _, expected, _ = ops.dense_backward(grad[:rows], x[:rows], weight)
        for outputs in (1, 2, 3, 4, 5, 8, 9, 12, 15, 16):
            _, got, _ = ops.dense_backward(grad[:rows, :outputs], x[:rows], weight[:, :outputs])
            assert_same_bits(got, np.ascontiguousarray(expected[:, :outputs]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_results_too_large_for_a_cache_are_those_of_their_parts(name, dtype, forced):
    """They go past the caches (stream.h), but for what stands before and behind whole blocks."""
    forced(1)       # or each thread's share would be small enough
    function = getattr(ops, name)
    count, begin = (32 << 20) // np.dtype(dtype).itemsize + 77, 3
    x, out = values(count + 5, dtype, 1), np.full(count + 5, 99, dtype)
    x[begin], x[begin + count // 2], x[begin + count - 1] = np.nan, np.inf, -np.inf
    row, result = x[begin:begin + count], out[begin:begin + count]
    parts = [function(part) for part in np.array_split(row, 3)]
    assert function(row, out=result) is result
    assert_same_bits(result, np.concatenate(parts))
    assert (out[:begin] == 99).all() and (out[begin + count:] == 99).all()
    assert_same_bits(function(row, out=row), result)


@given(shape=st.tuples(*[st.sampled_from([0, 1, 3, 16, 17, 65, 300])] * 3),
       dtype=st.sampled_from(DTYPES), layouts=st.tuples(*[INPUTS] * 4),
       out_layouts=st.tuples(*[OUTPUTS] * 4))
@EXAMPLES
def test_dense_gives_the_same_bits_for_any_layout(shape, dtype, layouts, out_layouts):
    rows, inputs, outputs = shape
    x, weight = values((rows, inputs), dtype, 1), values((inputs, outputs), dtype, 2)
    bias, grad = values(outputs, dtype, 3), values((rows, outputs), dtype, 4)
    laid = [INPUT_LAYOUTS[layout](a)
            for layout, a in zip(layouts, (x, weight, bias, grad), strict=True)]
    results = [ops.dense_forward(x, weight, bias), *ops.dense_backward(grad, x, weight)]
    outs = [OUTPUT_LAYOUTS[layout](np.full_like(a, 99))
            for layout, a in zip(out_layouts, results, strict=True)]
    assert ops.dense_forward(*laid[:3], out=outs[0]) is outs[0]
    ops.dense_backward(laid[3], laid[0], laid[1], out=tuple(outs[1:]))
    for got, expected in zip(outs, results, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_gives_the_bits_of_its_kernels(dtype):
    net = cymlp.Network([cymlp.Dense(70, activation="tanh"), cymlp.Dense(5)], in_features=600,
                        task="multiclass", dtype=dtype, rng=1)
    x, y = values((300, 600), dtype, spread=0.3), np.arange(300) % 5
    w0, b0, w1, b1 = (net.parameters[n] for n in ("0.weight", "0.bias", "1.weight", "1.bias"))
    hidden = ops.tanh(ops.dense_forward(x, w0, b0))
    logits = ops.dense_forward(hidden, w1, b1)
    assert_same_bits(net.forward(x), logits)
    assert_same_bits(net.predict(x), ops.softmax(logits))
    loss, grad = ops.softmax_cross_entropy(logits, y)
    grad_hidden, grad_w1, grad_b1 = ops.dense_backward(grad, hidden, w1)
    _, grad_w0, grad_b0 = ops.dense_backward(ops.tanh_backward(grad_hidden, hidden), x, w0)
    got_loss, gradients = net.gradients(x, y)
    assert got_loss == loss
    for name, expected in {"0.weight": grad_w0, "0.bias": grad_b0,
                           "1.weight": grad_w1, "1.bias": grad_b1}.items():
        assert_same_bits(gradients[name], expected)


# ---- the other levels -------------------------------------------------------------------------


@pytest.mark.skipif("CYMLP_ISA" in os.environ, reason="a level has been chosen already")
@pytest.mark.parametrize("level", kernels.levels[:-1])
def test_all_of_this_on_another_level(level):
    folder = os.path.dirname(__file__)
    names = ["test_ops.py", "test_ops_rows.py", "test_accuracy.py"]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--import-mode",
         "importlib", *(os.path.join(folder, name) for name in names)],
        capture_output=True, text=True, env={**os.environ, "CYMLP_ISA": level})
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-1000:]
