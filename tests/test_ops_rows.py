"""Losses, metrics, optimizers and random numbers against the reference."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymlp import kernels, ops, reference

DTYPES = [np.float32, np.float64]
SOFTMAX_LOSSES = ["softmax_cross_entropy", "kullback_leibler"]
LOSSES = [*kernels.loss_table(), *SOFTMAX_LOSSES]
COLUMNS = [1, 2, 7, 15, 16, 17, 63, 64, 65, 255, 257, 1025]
METRICS = ["correct_labels", "correct_dense", "correct_binary", "absolute_error"]
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def values(shape, dtype, seed=0, spread=3.0):
    return np.array(np.random.default_rng(seed).standard_normal(shape) * spread, dtype)


def targets(name, rows, columns, dtype):
    """Targets that the loss may have, in each of its forms."""
    rng = np.random.default_rng(5)
    if name in SOFTMAX_LOSSES:
        if name == "softmax_cross_entropy":
            yield rng.integers(0, columns, rows)
        yield rng.random((rows, columns)).astype(dtype)
    else:
        row = kernels.loss_table()[name]
        low, high, whole = row["limits"]
        columns //= row["outputs"]
        if not whole:
            yield rng.random((rows, columns)).astype(dtype)
        yield rng.integers(max(low, -3), min(high, 3), (rows, columns), endpoint=True)
    if columns == 1:
        yield rng.integers(0, 1, rows)


def columns_for(name, columns):
    """Of a loss with pairs of outputs an even number."""
    return columns * kernels.loss_table().get(name, {"outputs": 1})["outputs"]


def strided(a):
    big = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
    view = big[(*(slice(1, None, 2) for _ in a.shape), ...)]
    view[...] = a
    return view


def swapped(a):
    return a.T.copy().T.astype(a.dtype.newbyteorder())


def assert_near(got, expected, dtype, ulps=32):
    """Within some roundings of the largest element: rows are sums."""
    assert got.shape == expected.shape and got.dtype == dtype
    got, expected = (np.where(got == expected, 0, a) for a in (got, expected))  # also infinities
    largest = np.abs(expected).max(initial=0)
    assert np.abs(got - expected).max(initial=0) <= ulps * np.finfo(dtype).eps * largest


# ---- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, dtype):
    for rows, columns in [*itertools.product([0, 1, 5], COLUMNS), (300, 3), (600, 1)]:
        columns = columns_for(name, columns)
        logits = values((rows, columns), dtype, columns)
        weight = np.random.default_rng(1).random(rows) * (np.arange(rows) % 3 > 0)
        for target in targets(name, rows, columns, dtype):
            for w in (None, weight.astype(dtype), np.zeros(rows)):
                loss, grad = getattr(ops, name)(logits, target, w)
                expected_loss, expected = getattr(reference, name)(logits, target, w)
                assert loss == pytest.approx(expected_loss, rel=32 * float(np.finfo(dtype).eps))
                assert_near(grad, expected, dtype)


@pytest.mark.parametrize("name", LOSSES)
@given(rows=st.integers(0, 70), columns=st.sampled_from(COLUMNS[:9]),
       dtype=st.sampled_from(DTYPES), layout=st.sampled_from([strided, swapped]),
       weighted=st.booleans())
@EXAMPLES
def test_loss_gives_the_same_bits_for_any_layout(name, rows, columns, dtype, layout, weighted):
    columns = columns_for(name, columns)
    logits = values((rows, columns), dtype)
    weight = np.arange(rows).astype(dtype) if weighted else None
    for target in targets(name, rows, columns, dtype):
        loss, grad = getattr(ops, name)(logits, target, weight)
        out = strided(np.full_like(grad, 99))
        laid = None if weight is None else layout(weight)
        got, returned = getattr(ops, name)(layout(logits), layout(target), laid, out=out)
        assert returned is out and got == loss
        assert out.tobytes() == grad.tobytes()
        in_place = strided(logits)
        got, _ = getattr(ops, name)(in_place, target, weight, out=in_place)
        assert got == loss and in_place.tobytes() == grad.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name, row in kernels.loss_table().items()
                                  if row["outputs"] == 1])
def test_rows_of_few_targets_give_the_bits_of_long_ones(name, dtype):
    logits = values((960,), dtype)
    target = next(targets(name, 960, 1, dtype)).ravel()
    _, expected = getattr(ops, name)(logits.reshape(2, 480), target.reshape(2, 480))
    for rows in (960, 320, 80, 60, 48):
        shape = (rows, 960 // rows)
        _, grad = getattr(ops, name)(logits.reshape(shape), target.reshape(shape))
        assert grad.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [6, 20])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_extreme_logits(name, columns, dtype):
    logits = np.zeros((4, columns), dtype)
    logits[0], logits[1], logits[2, 3], logits[3, 3] = 1000, -1000, 1000, -1000
    for target in targets(name, 4, columns, dtype):
        loss, grad = getattr(ops, name)(logits, target)
        with np.errstate(over="ignore", divide="ignore"):
            expected_loss, expected = getattr(reference, name)(logits, target)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert_near(grad, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [2, 20])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_passes_nan_except_in_rows_that_do_not_count(name, columns, dtype):
    logits = values((3, columns), dtype)
    logits[1, 1] = np.nan
    target = next(targets(name, 3, columns, dtype))
    loss, grad = getattr(ops, name)(logits, target)
    assert np.isnan(loss) and np.isnan(grad[1, 1]) and np.isfinite(grad[[0, 2]]).all()
    loss, grad = getattr(ops, name)(logits, target, [1, 0, 1])
    expected_loss, expected = getattr(reference, name)(logits[[0, 2]], target[[0, 2]])
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert_near(grad[[0, 2]], expected, dtype)
    assert (grad[1] == 0).all()


# ---- metrics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", METRICS)
def test_metric(name, dtype):
    for rows, columns in [*itertools.product([0, 1, 40], COLUMNS)]:
        logits = values((rows, columns), dtype).round(0 if columns < 20 else 6)    # some are equal
        if rows > 1:
            logits[1, -1] = np.nan
        target = np.random.default_rng(2).random((rows, columns)).astype(dtype)
        if name == "correct_labels":
            target = target.argmax(axis=1) if columns else np.zeros(0, int)
        expected = getattr(reference, name)(logits, target)
        got = getattr(ops, name)(logits, target)
        assert got.dtype == np.float64
        assert np.allclose(got, expected, rtol=1e-13 + 2 * np.finfo(dtype).eps, atol=0,
                           equal_nan=True)
        out = strided(np.full(rows, 99.0))
        assert getattr(ops, name)(strided(logits), swapped(target), out=out) is out
        assert out.tobytes() == got.tobytes()


# ---- optimizers -------------------------------------------------------------------------------

# Everything that a row of the table can switch on; the other hyperparameters are numbers.
VARIANTS = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.25},
            {"momentum": 0.9, "nesterov": True}],
    "adagrad": [{}, {"learning_rate_decay": 0.1}],
    "rmsprop": [{"momentum": m, "centered": c} for m in (0.0, 0.9) for c in (False, True)],
    "adam": [{}, {"amsgrad": True}, {"beta1": 0.0, "beta2": 0.5}],
    "adamw": [{}, {"amsgrad": True}],
    "nadam": [{}, {"decoupled_weight_decay": True, "momentum_decay": 0.5}],
    # With such a beta2 the second moment counts from the fourth step on, by default never here.
    "radam": [{}, {"beta2": 0.9}, {"beta2": 0.9, "decoupled_weight_decay": True}],
}
STEPS = [(name, variant) for name in kernels.optimizer_table()
         for variant in VARIANTS.get(name, [{}])]


def run_steps(module, name, hyper, parameter, states, gradients):
    for step, gradient in enumerate(gradients, start=1):
        getattr(module, f"{name}_update")(parameter, gradient, *states, step=step, **hyper)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, variant", STEPS)
def test_optimizer(name, variant, dtype, weight_decay):
    hyper = {"learning_rate": 0.01, "weight_decay": weight_decay, **variant}
    count = len(kernels.optimizer_table()[name]["states"])
    for shape in [(0,), (1,), (15,), (16,), (17,), (3, 65), (2, 3, 50), ()]:
        start = values(shape, dtype)
        gradients = [values(shape, dtype, seed) for seed in range(5)]
        expected = [np.zeros(shape) for _ in range(count)]
        expected.insert(0, start.astype(np.float64))
        run_steps(reference, name, hyper, expected[0], expected[1:], gradients)
        # Not aligned with one another, not contiguous, changed in place all the same.
        for layout in (np.array, strided):
            got = [layout(start), *(layout(np.zeros(shape, dtype)) for _ in range(count))]
            run_steps(ops, name, hyper, got[0], got[1:], [layout(g) for g in gradients])
            for g, e in zip(got, expected, strict=True):
                assert_near(g, e, dtype, ulps=200)


@pytest.mark.parametrize("name, variant", STEPS)
def test_optimizer_passes_nan(name, variant):
    count = len(kernels.optimizer_table()[name]["states"])
    parameter = np.ones(20)
    gradient = np.ones(20)
    gradient[3] = np.nan
    run_steps(ops, name, variant, parameter, [np.zeros(20) for _ in range(count)], [gradient])
    assert np.isnan(parameter[3]) and np.isfinite(np.delete(parameter, 3)).all()


def test_states_that_a_variant_does_not_use_are_left_alone():
    states = [np.full(3, 7.0) for _ in range(3)]
    ops.adam_update(np.ones(3), np.ones(3), *states)
    assert (states[2] == 7.0).all() and (states[0] != 7.0).all()
    ops.sgd_update(np.ones(3), np.ones(3), states[2])
    assert (states[2] == 7.0).all()


# ---- random numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.99])
def test_dropout(rate, dtype):
    for rows, columns in itertools.product([0, 1, 70], [0, 1, 2, 3, 4, 5, 17, 64, 65, 257, 1025]):
        x = values((rows, columns), dtype)
        keys = {"key": 2**63 + 12345, "step": 2**33 + 7, "layer": 3, "first_row": 1000}
        expected = reference.dropout(x, rate, **keys)
        got = ops.dropout(x, rate, **keys)
        assert np.array_equal(got == 0, expected == 0)
        assert np.allclose(got, expected, rtol=2 * np.finfo(dtype).eps, atol=0)
        out = strided(x)
        assert ops.dropout(out, rate, out=out, **keys) is out
        assert out.tobytes() == got.tobytes()
        out = np.full_like(x, 99)
        ops.dropout(swapped(x), rate, out=out, **keys)
        assert out.tobytes() == got.tobytes()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 63, 64, 65, 1000])
def test_permutation(n):
    for key, epoch in [(0, 0), (2**64 - 1, 5), (7, 2**40 + 1)]:
        expected = reference.permutation(n, key=key, epoch=epoch)
        assert np.array_equal(ops.permutation(n, key=key, epoch=epoch), expected)
        out = np.zeros(2 * n + 1, np.int64)[1::2]
        assert ops.permutation(n, key=key, epoch=epoch, out=out) is out
        assert np.array_equal(out, expected)


# ---- many short rows --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [*range(1, 18), 33])
def test_many_rows_as_one_by_one(columns, dtype):
    """Many short rows are worked on in blocks; the bits are those of a row alone."""
    rng = np.random.default_rng(columns)
    x = (rng.standard_normal((64, columns)) * rng.choice([1, 5, 10], (64, 1))).astype(dtype)
    label = rng.integers(0, columns, 64)
    for weight in (np.ones(64), np.tile([0.0, 2.0, 1.0, 1.0], 16)):     # of sum 64: exact shares
        x[weight == 0] = np.nan         # leaves no trace
        loss, grad = ops.softmax_cross_entropy(x, label, sample_weight=weight)
        alone = [ops.softmax_cross_entropy(x[[i]], label[[i]], sample_weight=weight[[i]])
                 for i in range(64)]
        rows = np.concatenate([row for _, row in alone]) * (weight[:, None] / 64).astype(dtype)
        assert grad.tobytes() == rows.tobytes()
        assert loss == pytest.approx(np.dot([loss for loss, _ in alone], weight) / 64, rel=1e-14)
    x *= 30
    x[3, -1], x[5, 0], x[6], x[20, 0] = np.nan, np.inf, -np.inf, -0.0
    alone = np.concatenate([ops.softmax(x[[i]]) for i in range(64)])
    assert np.array_equal(ops.softmax(x), alone, equal_nan=True)
