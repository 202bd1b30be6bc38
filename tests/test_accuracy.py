"""The promised errors: units in the last place (ULP) of exp, sigmoid and tanh over the whole range
of numbers, and the bounds of the matrix products."""

import numpy as np
import pytest

from cymlp import ops, reference

BOUNDS = {"exp": 1.0, "sigmoid": 2.0, "tanh": 2.0}
# Where formulas change, clamps begin, and results become subnormal, 0, 1 or infinite.
THRESHOLDS = {
    np.float32: [0.0, 0.1831020, 0.34657359, 0.54930614, 1.0, 8.317766, 9.010913, 10.0, 16.635532,
                 17.32868, 87.33654, 88.02969, 88.722839, 89.0, 103.27893, 103.97208, 104.0,
                 1.1754944e-38],
    np.float64: [0.0, 0.24328679513998633, 0.34657359027997264, 0.5898603854199589, 1.0,
                 18.7149738751185, 19.06154746539849, 20.0, 36.7368005696771, 37.42994775023705,
                 708.3964185322641, 709.78271289338397, 710.0, 744.4400719213812,
                 745.1332191019412, 746.0, 2.2250738585072014e-308],
}


def wide(x):
    """The next wider type, whose own errors do not count."""
    if x.dtype == np.float32:
        return x.astype(np.float64)
    if np.finfo(np.longdouble).nmant < 60:
        pytest.skip("no type wider than float64 here")
    return x.astype(np.longdouble)


def exact(name, x):
    """The function's value in the wider type."""
    x = wide(x)
    if name == "tanh":
        return np.tanh(x)
    if name == "exp":
        return np.exp(x)
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def sweep(dtype, points):
    """Numbers of every exponent and both signs, evenly over the patterns of bits."""
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    step = int(np.iinfo(bits).max) // points | 1
    return (np.arange(points, dtype=bits) * bits.type(step)).view(dtype)


def neighbours(dtype, count=2000):
    """All numbers around each threshold, on both sides of zero."""
    bits = np.dtype(f"i{np.dtype(dtype).itemsize}")
    around = np.arange(-count, count + 1, dtype=bits)
    at = np.array(THRESHOLDS[dtype], dtype).view(bits)
    x = np.maximum(at[:, None] + around, 0).ravel().view(dtype)
    return np.concatenate([x, -x])


def worst_ulps(name, x):
    """The largest error in ULP of the exact value, which may be up to half off when rounded."""
    with np.errstate(all="ignore"):
        expected = exact(name, x)
        rounded = expected.astype(x.dtype)
        got = getattr(ops, name)(x)
    assert np.array_equal(np.isnan(got), np.isnan(x))
    overflow = np.isinf(rounded)
    assert np.array_equal(got[overflow], rounded[overflow])
    judged = ~np.isnan(x) & ~overflow
    got, expected, rounded = got[judged], expected[judged], rounded[judged]
    spacing = np.spacing(np.abs(rounded)).astype(expected.dtype)
    # The spacing below a power of two is half of that above it.
    spacing[np.abs(expected) < np.abs(rounded)] = np.abs(
        rounded - np.nextafter(rounded, np.zeros_like(rounded))
    )[np.abs(expected) < np.abs(rounded)]
    return float((np.abs(got - expected) / spacing).max())


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("dtype, points", [(np.float32, 2_000_000), (np.float64, 300_000)])
def test_whole_range(name, dtype, points, record_property):
    largest = 110 if dtype == np.float32 else 760
    evenly = np.linspace(-largest, largest, points // 4, dtype=dtype)
    x = np.concatenate([sweep(dtype, points), evenly])
    worst = worst_ulps(name, x)
    record_property("ulp", worst)
    assert 0.25 < worst <= BOUNDS[name]         # no error at all: nothing was compared


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_around_thresholds(name, dtype):
    assert worst_ulps(name, neighbours(dtype)) <= BOUNDS[name]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_values(dtype):
    inf, nan, largest = np.inf, np.nan, np.finfo(dtype).max
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, inf, -inf, nan, largest, -largest, tiny, -tiny], dtype)
    assert np.array_equal(ops.exp(x), np.array([1, 1, inf, 0, nan, inf, 0, 1, 1], dtype), True)
    half = [0.5, 0.5, 1, 0, nan, 1, 0, 0.5, 0.5]
    assert np.array_equal(ops.sigmoid(x), np.array(half, dtype), True)
    straight = np.array([0.0, -0.0, 1, -1, nan, 1, -1, tiny, -tiny], dtype)
    got = ops.tanh(x)
    assert np.array_equal(got, straight, True)
    assert np.array_equal(np.signbit(got[:4]), np.signbit(straight[:4]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturation(dtype):
    """Beyond these points the rounded result is the limit itself, exactly."""
    large = np.linspace(20, 2000, 100_000, dtype=dtype)
    assert (ops.tanh(large) == 1).all() and (ops.tanh(-large) == -1).all()
    assert (ops.sigmoid(large[large > 40]) == 1).all()
    assert (ops.sigmoid(-large[large > 746]) == 0).all()
    assert (ops.exp(-large[large > 746]) == 0).all()
    assert np.isposinf(ops.exp(large[large > 710])).all()
    x = np.linspace(-30, 30, 100_001, dtype=dtype)
    for function in (ops.tanh, ops.sigmoid):
        y = function(x)
        assert np.abs(y).max() <= 1
    assert np.array_equal(ops.tanh(-x), -ops.tanh(x))


def normal_distribution(x):
    """Phi(x) and its derivative in the wider type.

    Near zero by Phi's series x + x**3/3 + x**5/15 + ..., which is to be multiplied by the
    derivative, farther out by the continued fraction of (1 - Phi) / Phi'.
    """
    x = wide(x)
    a = np.minimum(np.abs(x), 60)
    density = np.exp(-a * a / 2) / np.sqrt(8 * np.arctan(np.ones((), x.dtype)))
    near = np.minimum(a, 2.5)
    term, series = near, near
    for odd in range(3, 120, 2):
        term = term * near * near / odd
        series = series + term
    far = np.maximum(a, 2.5)
    fraction = far
    for count in range(300, 0, -1):
        fraction = far + count / fraction
    tail = np.where(a < 2.5, x.dtype.type(0.5) - density * series, density / fraction)
    return np.where(x < 0, tail, 1 - tail), density


def gelu_range(dtype):
    """Both signs, every exponent, and evenly to where the result is 0, less what is subnormal."""
    x = np.concatenate([sweep(dtype, 200_000), np.linspace(-39, 20, 400_000, dtype=dtype)])
    end = 12.9 if dtype == np.float32 else 37.5
    return x[(x > -end) & (np.abs(x) > 1e-30) & (x < 1e30)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu(dtype):
    x = gelu_range(dtype)
    share, _ = normal_distribution(x)
    error = np.abs(ops.gelu(x) / (wide(x) * share) - 1) / np.finfo(dtype).eps
    assert 0.25 < error[x > 0].max() <= 4 and 0.25 < error[x < 0].max() <= 8
    large = np.linspace(40, 1e4, 1000, dtype=dtype)
    assert np.array_equal(ops.gelu(large), large)
    for limit in (ops.gelu(-large), ops.gelu_tanh(-large), ops.gelu(np.array(-np.inf, dtype))):
        assert (limit == 0).all() and np.signbit(limit).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_backward(dtype):
    x = gelu_range(dtype)
    share, density = normal_distribution(x)
    exact = share + np.clip(wide(x), -60, 60) * density
    error = np.abs(ops.gelu_backward(np.ones_like(x), x) - exact) / np.finfo(dtype).eps
    assert 0.1 < error.max() <= 2
    tail = x < -2                               # beyond the slope's zero at -0.75
    relative = np.abs(ops.gelu_backward(np.ones_like(x), x) / exact - 1)[tail]
    assert relative.max() <= 16 * np.finfo(dtype).eps


# ---- activations around e^x - 1 and log(1 + e^x) ------------------------------------------------

SELU_SCALE = np.longdouble("1.0507009873554804934193349852946")
SELU_ALPHA = np.longdouble("1.6732632423543772848170429916717")


def below(x, outside):
    """x above 0, else `outside` of what is below."""
    return np.where(x > 0, x, outside(np.minimum(x, 0)))


def exact_mish(x):
    """tanh(softplus(x)) by e = e^-|x|, in which nothing cancels."""
    e = np.exp(-np.abs(x))
    above, under = 1 + 2 * e, e * (e + 2)
    return x * np.where(x > 0, above / (above + 2 * e * e), under / (under + 2))


# Bound in ULP, and the definition.
ACTIVATIONS = {
    "elu": (2, lambda x: below(x, np.expm1)),
    "celu": (2, lambda x: below(x, np.expm1)),
    "selu": (4, lambda x: SELU_SCALE * below(x, lambda low: SELU_ALPHA * np.expm1(low))),
    "mish": (4, exact_mish),
    "softplus": (2, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    "log_sigmoid": (2, lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))),
    "softsign": (2, lambda x: x / (1 + np.abs(x))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation(name, dtype):
    bound, exact_of = ACTIVATIONS[name]
    largest = 80 if dtype == np.float32 else 700
    x = np.concatenate([sweep(dtype, 100_000), neighbours(dtype),
                        np.linspace(-largest, largest, 50_000, dtype=dtype),
                        np.linspace(-4, 4, 50_000, dtype=dtype)])
    x = x[np.abs(x) <= largest]
    expected = exact_of(wide(x).astype(np.longdouble))
    spacing = np.spacing(np.abs(expected).astype(dtype))
    worst = float((np.abs(getattr(ops, name)(x) - expected) / spacing).max())
    assert 0.25 < worst <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_long_rows(dtype):
    x = np.random.default_rng(0).standard_normal((3, 5000)).astype(dtype)
    expected = reference.softmax(x)
    eps = np.finfo(dtype).eps
    error = np.abs(ops.softmax(x) - expected) / expected
    assert error.max() <= 16 * eps
    assert np.abs(ops.softmax(x).astype(np.float64).sum(axis=1) - 1).max() <= 16 * eps


# ---- products ---------------------------------------------------------------------------------


def assert_bounded(got, a, b, extra=None):
    """|got - a b| <= gamma_k |a| |b|: the bound of a chain of k multiply-adds (k + 1 with a bias).

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1.
    """
    k = a.shape[1] + (extra is not None)
    a, b = wide(a), wide(b)
    expected, size = a @ b, np.abs(a) @ np.abs(b)
    if extra is not None:
        expected, size = expected + wide(extra), size + np.abs(wide(extra))
    unit = float(np.finfo(got.dtype).eps) / 2
    gamma = k * unit / (1 - k * unit)
    # The wider type's own error is smaller by 2**11 at least.
    assert (np.abs(got - expected) <= gamma * size * (1 + 2.0**-10)).all()


@pytest.mark.parametrize("draw", ["standard_normal", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 2, 3), (7, 511, 9), (3, 513, 70), (2, 4096, 5),
                                   (300, 17, 65), (1100, 3, 2), (2, 3, 1500)])
def test_products(shape, dtype, draw):
    rows, inputs, outputs = shape
    draw = getattr(np.random.default_rng(1), draw)
    x, weight, bias, grad = (draw(s).astype(dtype) for s in (
        (rows, inputs), (inputs, outputs), outputs, (rows, outputs)))
    assert_bounded(ops.dense_forward(x, weight), x, weight)
    assert_bounded(ops.dense_forward(x, weight, bias), x, weight, bias)
    grad_x, grad_weight, grad_bias = ops.dense_backward(grad, x, weight)
    assert_bounded(grad_x, grad, weight.T)
    assert_bounded(grad_weight, x.T, grad)
    assert_bounded(grad_bias[None], np.ones((1, rows), dtype), grad)
