"""Zeros that products leave out: that no bit shows it, and that nothing is hidden by it.

Products of fewer than 16 rows, and of no more columns than fit a register, are computed whole, so
the same rows in pieces of 15, or the same columns in pieces of 2, say what is expected. Networks
leave zeros of so few rows out, too, but not in the first call after the parameters have changed.
"""

import numpy as np
import pytest

import cymlp
from cymlp import ops

PIECE_ROWS = 15
PIECE_COLUMNS = 2
SHAPES = [(16, 32, 128), (97, 130, 131), (129, 513, 64), (300, 64, 200), (257, 193, 20)]
PATTERNS = ["none", "few", "a fifth", "half", "most", "all", "columns", "rows", "one hot", "edges"]


def sparse(rows, columns, pattern, dtype, seed=0):
    """Rows in which the pattern says what is not zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(dtype)
    share = {"none": 0.0, "few": 0.02, "a fifth": 0.2, "half": 0.5, "most": 0.9}.get(pattern, 1.0)
    x[rng.random(x.shape) >= share] = 0
    if pattern == "columns":
        x[:, rng.random(columns) < 0.6] = 0
    elif pattern == "rows":
        x[rng.random(rows) < 0.6] = 0
    elif pattern == "one hot":
        x[:] = 0
        x[np.arange(rows), rng.integers(0, columns, rows)] = 1
    elif pattern == "edges":
        x[:, 1:-1] = 0
    x[x == 0] *= rng.choice([-1, 1])        # -0 is one too
    return x


def same(whole, pieces):
    __tracebackhide__ = True
    assert whole.dtype == pieces.dtype and whole.tobytes() == pieces.tobytes()


def by_rows(call, *arrays):
    """What `call` gives for some rows of the arrays at a time."""
    return np.concatenate([call(*(a[first:first + PIECE_ROWS] for a in arrays))
                           for first in range(0, len(arrays[0]), PIECE_ROWS)])


def forward_both_ways(x, weight, bias):
    same(ops.dense_forward(x, weight, bias),
         by_rows(lambda part: ops.dense_forward(part, weight, bias), x))


def backward_both_ways(grad_output, x, weight):
    grad_x, grad_weight, _ = ops.dense_backward(grad_output, x, weight)
    same(grad_x, by_rows(lambda g, part: ops.dense_backward(g, part, weight)[0], grad_output, x))
    pieces = [ops.dense_backward(grad_output[:, first:first + PIECE_COLUMNS], x,
                                 weight[:, first:first + PIECE_COLUMNS])[1]
              for first in range(0, weight.shape[1], PIECE_COLUMNS)]
    same(grad_weight, np.concatenate(pieces, axis=1))


# ---- the same bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products(shape, pattern, dtype):
    rows, inputs, outputs = shape
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(inputs, outputs)).astype(dtype)
    bias = rng.normal(size=outputs).astype(dtype)
    x = sparse(rows, inputs, pattern, dtype)
    forward_both_ways(x, weight, bias)
    backward_both_ways(sparse(rows, outputs, pattern, dtype, seed=2), x, weight)
    expected = x.astype("float64") @ weight + bias
    np.testing.assert_allclose(ops.dense_forward(x, weight, bias), expected, rtol=1e-5,
                               atol=inputs * 1e-6)


@pytest.mark.parametrize("order", ["reversed", "within others", "columns first"])
def test_rows_that_lie_in_any_way(order):
    x = sparse(100, 150, "a fifth", "float32")
    other = {"reversed": x[::-1].copy()[::-1], "columns first": np.asfortranarray(x),
             "within others": np.concatenate([x, np.ones_like(x)], axis=1)[:, :150]}[order]
    weight = np.random.default_rng(0).normal(size=(150, 70)).astype("float32")
    same(ops.dense_forward(other, weight), ops.dense_forward(x, weight))
    for one, same_one in zip(ops.dense_backward(x[:, :70], other, weight),
                             ops.dense_backward(x[:, :70], x, weight), strict=True):
        same(one, same_one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(784, 256, 128, 10), (600, 530, 150, 20), (40, 1100, 70, 5)])
@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_networks(widths, share, dtype):
    rng = np.random.default_rng(0)
    net = cymlp.mlp(widths[0], widths[1:-1], widths[-1], task="multiclass", dtype=dtype, rng=0)
    X = rng.normal(size=(391, widths[0])) * (rng.random((391, widths[0])) < share)
    same(net.predict(X), by_rows(net.predict, X))
    same(net.predict(X), np.concatenate([net.predict(X[i:i + 1]) for i in range(len(X))]))


def test_training_on_several_threads(forced):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 300)) * (rng.random((600, 300)) < 0.2)
    y = rng.integers(0, 5, 600)
    ends = []
    for threads in (1, 2, 3):
        forced(threads)
        net = cymlp.mlp(300, [200, 150], 5, task="multiclass", optimizer="adam", rng=0)
        net.fit(X, y, epochs=2, batch_size=150)
        ends.append(b"".join(value.tobytes() for value in net.parameters.values()))
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize("bias", [None, 0.0, -0.0])
def test_a_sum_too_small_for_a_number(bias):
    """A negative product becomes -0; zeros behind it would make it 0."""
    if bias is not None:
        bias = np.full(128, bias, "float32")
    for sign in (1, -1):
        x = np.zeros((64, 64), "float32")
        x[:, 3] = 1e-30
        weight = np.full((64, 128), sign, "float32")
        weight[3] = -1e-30
        forward_both_ways(x, weight, bias)
        backward_both_ways(weight[:, :64].copy(), x, np.ones((64, 64), "float32"))
        backward_both_ways(x, weight[:, :64].copy(), np.ones((64, 64), "float32"))


# ---- nothing is hidden -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_times_what_is_not_finite(value, dtype):
    """Zeros of all rows, wherever in the weight it stands."""
    x = sparse(70, 200, "a fifth", dtype)
    x[:, [0, 77, 199]] = 0
    clean = np.random.default_rng(0).normal(size=(200, 150)).astype(dtype)
    for place in [(0, 0), (77, 149), (199, 64)]:
        weight = clean.copy()
        weight[place] = value
        result = ops.dense_forward(x, weight)
        assert np.isnan(result[:, place[1]]).all() and np.isnan(result).sum() == 70
        forward_both_ways(x, weight, None)
    grad_output = sparse(70, 150, "a fifth", dtype)
    grad_output[50, 149] = value
    grad_weight = ops.dense_backward(grad_output, x, clean)[1]
    assert not np.isfinite(grad_weight[:, 149]).any()
    assert np.isfinite(grad_weight[:, :149]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_no_zeros(value):
    x = sparse(70, 200, "few", "float32")
    x[33, 100] = value
    result = ops.dense_forward(x, np.ones((200, 64), "float32"))
    assert not np.isfinite(result[33]).any() and np.isfinite(np.delete(result, 33, 0)).all()


# ---- a single row, and few of them -------------------------------------------------------------


def single_rows(net, row, calls=4):
    """The same row again and again: whole, looked at, and without zeros."""
    return [net.forward(row).tobytes() for _ in range(calls)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("rows", [2, 3, 7, 15, 16, 70])
def test_few_rows_again_and_again(rows, pattern, dtype):
    net = cymlp.mlp(700, [521, 150], 3, task="multiclass", dtype=dtype, rng=0)
    X = sparse(rows, 700, pattern, dtype)
    assert len(set(single_rows(net, X))) == 1
    assert len(set(single_rows(net, np.concatenate([X, X], axis=1)[:, :700]))) == 1


def test_few_rows_on_several_threads(forced):
    X = sparse(9, 700, "a fifth", "float32")
    results = set()
    for threads in (1, 2, 3):
        forced(threads)
        net = cymlp.mlp(700, [521, 150], 3, task="multiclass", rng=0)
        results.update(single_rows(net, X))
    assert len(results) == 1


def test_few_rows_and_a_weight_that_is_not_finite():
    net = cymlp.mlp(700, [521], 3, task="multiclass", rng=0)
    X = sparse(5, 700, "edges", "float32")
    single_rows(net, X)
    weight = net.parameters["0.weight"].copy()
    weight[50, 7] = np.inf                  # all rows are zero there
    net.parameters["0.weight"] = weight
    assert all(np.isnan(net.forward(X)).all() for _ in range(4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("inputs", [1, 31, 32, 64, 193, 512, 513, 1100])
def test_a_row_again_and_again(inputs, pattern, dtype):
    net = cymlp.mlp(inputs, [70, 150], 3, task="multiclass", dtype=dtype, rng=0)
    rows = sparse(2, inputs, pattern, dtype)
    assert len(set(single_rows(net, rows[:1]))) == 1
    assert len(set(single_rows(net, rows[1:]))) == 1


def test_a_weight_that_changes_between_rows():
    """What is known of the parameters is forgotten by whatever changes them."""
    net = cymlp.mlp(100, [64], 3, task="multiclass", optimizer=cymlp.SGD(0.1), rng=0)
    row = sparse(1, 100, "edges", "float32")
    single_rows(net, row)
    weight = net.parameters["0.weight"].copy()
    weight[50] = np.inf                     # the row is zero there
    net.parameters["0.weight"] = weight
    assert all(np.isnan(net.forward(row)).all() for _ in range(4))
    weight[50] = 0
    net.parameters["0.weight"] = weight
    assert all(np.isfinite(net.forward(row)).all() for _ in range(4))
    net.train_step(np.full((1, 100), np.inf), [0])
    assert all(np.isnan(net.forward(row)).all() for _ in range(4))


def test_a_row_after_loading_and_copying(tmp_path):
    net = cymlp.mlp(100, [64], 3, task="multiclass", rng=0)
    row = sparse(1, 100, "edges", "float32")
    whole, *_ = single_rows(net, row)
    net.save(tmp_path / "net.safetensors")
    assert set(single_rows(cymlp.load(tmp_path / "net.safetensors"), row)) == {whole}
    assert set(single_rows(net.copy(), row)) == {whole}


@pytest.mark.parametrize("bias", [False, True])
def test_a_row_whose_sum_is_too_small_for_a_number(bias):
    net = cymlp.Network([cymlp.Dense(20, bias=bias)], in_features=64, task="regression", rng=0)
    weight = np.ones((64, 20), "float32")
    weight[3] = -1e-30
    net.parameters["0.weight"] = weight
    if bias:
        net.parameters["0.bias"] = np.full(20, -0.0)
    row = np.zeros((1, 64), "float32")
    row[0, 3] = 1e-30
    assert set(single_rows(net, row)) == {np.zeros((1, 20), "float32").tobytes()}
