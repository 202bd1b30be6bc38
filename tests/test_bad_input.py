"""Bad input anywhere: an error that says what was expected and what came, and nothing changed."""

import decimal
import fractions
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import cymlp
from cymlp import Activation, Dense, Dropout

HUGE = 2**40


def make(task="multiclass", dtype="float32"):
    units = {"binary": 1, "regression": 2}.get(task, 3)
    net = cymlp.mlp(5, [7], units, dropout=0.2, task=task, dtype=dtype, rng=0)
    X, y = good(task)
    net.train_step(X, y)
    return net


def good(task="multiclass", rows=12):
    rng = np.random.default_rng(1)
    y = {"binary": rng.integers(0, 2, rows), "multiclass": rng.integers(0, 3, rows),
         "multilabel": rng.integers(0, 2, (rows, 3)), "regression": rng.normal(size=(rows, 2))}
    return rng.normal(size=(rows, 5)), y[task]


def changed(array, index, value, dtype=None):
    array = np.array(array, dtype)
    array[index] = value
    return array


class Hostile:
    """Raises whatever it is asked."""

    def __getattr__(self, name):
        if name.startswith("__"):       # pytest itself asks for these
            raise AttributeError(name)
        raise RuntimeError("asked for " + name)

    def __array__(self, *args, **settings):
        raise ValueError("no array")

    def __repr__(self):
        raise RuntimeError("asked for a text")


class Liar(np.ndarray):
    """An array that claims to be of another shape."""

    claimed = (12, 5)
    shape = property(lambda self: self.claimed)
    ndim = property(lambda self: len(self.claimed))


def liar(array, claimed):
    kind = type("Liar", (Liar,), {"claimed": claimed})
    return np.asarray(array).view(kind)


X, Y = good()
ROWS = 12

NO_ARRAY = {
    "none": None, "text": "abc", "list of text": ["a"] * 12, "bytes": b"abcdefghijkl",
    "complex": np.ones((12, 5), complex), "object": np.full((12, 5), None),
    "objects that are numbers": np.full((12, 5), 1.0, object), "dates": np.zeros((12, 5), "M8[s]"),
    "durations": np.zeros((12, 5), "m8[s]"), "records": np.zeros(12, "f4,f4"),
    "characters": np.full((12, 5), "1"), "raw": np.zeros((12, 5), "V4"),
    "hostile": Hostile(), "function": len, "set": {1.0}, "dict": {0: 1.0},
    "ragged": [[1.0] * 5, [2.0]], "too large": [[10**400] * 5] * 12, "generator": (i for i in "a"),
    "fractions": [[fractions.Fraction(1, 2)] * 5] * 12,
    "decimals": [[decimal.Decimal(1)] * 5] * 12,
}
BAD_SHAPES = {
    "scalar": 1.0, "one row": X[0], "empty": [], "narrow": X[:, :4], "wide": np.ones((12, 6)),
    "transposed": X.T, "three dimensions": X[None], "many": np.ones((1,) * 32),
    "lies": liar(np.ones((3, 2)), (12, 5)), "no columns": np.ones((12, 0)),
}
BAD_X = {**NO_ARRAY, **BAD_SHAPES}

BAD_Y = {
    "multiclass": {
        "above": changed(Y, 5, 3), "far above": changed(Y, 5, 2**63 - 1),
        "above int32": changed(Y, 5, 2**32), "unsigned": changed(Y, 5, 2**64 - 1, np.uint64),
        "negative": changed(Y, 0, -1), "least": changed(Y, 0, -(2**63)),
        "fraction": changed(Y, 11, 0.5, float), "near": changed(Y, 1, 1 - 2**-53, float),
        "nan": changed(Y, 3, np.nan, float), "inf": changed(Y, 3, np.inf, float),
        "-inf": changed(Y, 3, -np.inf, np.float16), "long": changed(Y, 3, 1e4000, np.longdouble),
        "column above": changed(Y, 5, 3)[:, None],
        "dense nan": changed(np.eye(3)[Y], (2, 1), np.nan),
        "dense above": changed(np.eye(3)[Y], (2, 1), 1.5), "dense below": -np.eye(3)[Y],
        "dense inf": changed(np.eye(3)[Y], (11, 2), np.inf)},
    "binary": {"above": changed(Y, 0, 2), "negative": -np.ones(12), "nan": np.full(12, np.nan),
               "column nan": changed(np.zeros((12, 1)), (11, 0), np.nan)},
    "multilabel": {"labels": Y, "above": np.full((12, 3), 1.01),
                   "nan": changed(np.zeros((12, 3)), (11, 2), np.nan)},
    "regression": {"labels": Y, "nan": changed(np.zeros((12, 2)), (11, 1), np.nan),
                   "column": np.zeros((12, 1))},
}
BAD_Y_SHAPES = {
    "short": Y[:11], "long": np.zeros(13, int), "empty": np.zeros(0, int), "scalar": 1,
    "row": Y[None], "three": np.zeros((12, 3, 1)), "wide": np.zeros((12, 4)),
    "lies": liar(Y[:3], (12,)), "deep": np.zeros((12,) + (1,) * 20, int)}
BAD_WEIGHTS = {
    "short": np.ones(11), "long": np.ones(13), "column": np.ones((12, 1)), "scalar": 1.0,
    "negative": changed(np.ones(12), 11, -1e-300), "nan": changed(np.ones(12), 4, np.nan),
    "inf": changed(np.ones(12), 4, np.inf), "too large": np.full(12, 1e38),
    "lies": liar(np.ones(2), (12,)), "text": "balanced",
    **{name: value for name, value in NO_ARRAY.items() if name != "none"}}
CALLS = {
    "train_step": lambda net, X, y, w=None: net.train_step(X, y, w),
    "gradients": lambda net, X, y, w=None: net.gradients(X, y, w),
    "evaluate": lambda net, X, y, w=None: net.evaluate(X, y, w),
    "fit": lambda net, X, y, w=None: net.fit(X, y, sample_weight=w),
    "validation": lambda net, X, y, w=None: net.fit(*good(net.task), validation_data=(X, y, w)),
}


def refuses(net, call, name, error=(ValueError, TypeError)):
    """The call fails with a message about the argument, and the network stays as it is."""
    before, programs = net._progress(), len(net._programs)
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert text.startswith((name, "validation_data: " + name)), text
    assert "expected" in text and len(text) < 500, text
    assert net._progress() == before
    assert len(net._programs) <= programs + 1
    inputs, targets = good(net.task)
    assert np.isfinite(net.train_step(inputs, targets)), "the network is not usable"


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize("call", CALLS)
def test_input_of_learning(call, name):
    net = make()
    refuses(net, lambda: CALLS[call](net, BAD_X[name], Y), "X: expected")


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize("method", ["predict", "forward"])
def test_input_of_prediction(method, name):
    net = make()
    refuses(net, lambda: getattr(net, method)(BAD_X[name]), "X: expected")


@pytest.mark.parametrize("call", CALLS)
def test_no_rows_to_learn_from(call):
    net = make()
    refuses(net, lambda: CALLS[call](net, np.empty((0, 5)), np.empty(0)), "X: expected at least 1")


@pytest.mark.parametrize("task, name", [
    (task, name) for task, names in BAD_Y.items() for name in names])
@pytest.mark.parametrize("call", CALLS)
def test_values_of_targets(call, task, name):
    net = make(task)
    rows, _ = good(task)
    refuses(net, lambda: CALLS[call](net, rows, BAD_Y[task][name]), "y: expected", ValueError)


@pytest.mark.parametrize("task", BAD_Y)
@pytest.mark.parametrize("name", [*BAD_Y_SHAPES, *NO_ARRAY])
@pytest.mark.parametrize("call", CALLS)
def test_shapes_and_kinds_of_targets(call, name, task):
    net = make(task)
    refuses(net, lambda: CALLS[call](net, X, {**BAD_Y_SHAPES, **NO_ARRAY}[name]), "y: expected")


@pytest.mark.parametrize("name", BAD_WEIGHTS)
@pytest.mark.parametrize("call", CALLS)
def test_sample_weights(call, name):
    net = make()
    refuses(net, lambda: CALLS[call](net, X, Y, BAD_WEIGHTS[name]), "sample_weight: expected")


def test_the_message_tells_the_row_and_the_value():
    net = make()
    with pytest.raises(ValueError, match=r"from 0 to 2, got 7 in row 5$"):
        net.train_step(X, changed(Y, 5, 7))
    with pytest.raises(ValueError, match=r"shape \(n, 5\), got shape \(12, 4\)$"):
        net.train_step(X[:, :4], Y)
    with pytest.raises(ValueError, match=r"got nan in row 4$"):
        net.train_step(X, Y, BAD_WEIGHTS["nan"])


# ---- out ---------------------------------------------------------------------------------------


def read_only(array):
    array.flags.writeable = False
    return array


BAD_OUT = {
    "list": [[0.0] * 3] * 12, "text": "out", "short": np.empty((11, 3), "f4"),
    "long": np.empty((13, 3), "f4"), "wide": np.empty((12, 4), "f4"), "flat": np.empty(36, "f4"),
    "transposed": np.empty((3, 12), "f4"), "deep": np.empty((12, 3, 1), "f4"),
    "float64": np.empty((12, 3)), "float16": np.empty((12, 3), "f2"),
    "integers": np.empty((12, 3), "i4"), "objects": np.empty((12, 3), object),
    "swapped": np.empty((12, 3), np.dtype("f4").newbyteorder("S")),
    "unaligned": np.zeros(145, "u1")[1:].view("f4").reshape(12, 3),
    "read-only": read_only(np.empty((12, 3), "f4")),
    "broadcast": np.broadcast_to(np.float32(0), (12, 3)),
    "bytes": np.frombuffer(bytes(144), "f4").reshape(12, 3),
    "lies": liar(np.empty((1, 3), "f4"), (12, 3)),
    "lies flat": liar(np.empty(3, "f4"), (12, 3)), "hostile": Hostile(),
}


@pytest.mark.parametrize("name", BAD_OUT)
@pytest.mark.parametrize("method", ["predict", "forward"])
def test_out(method, name):
    net = make()
    out = BAD_OUT[name]
    before = np.array(out).tobytes() if isinstance(out, np.ndarray) and out.dtype != object else 0
    refuses(net, lambda: getattr(net, method)(X, out=out), "out: expected")
    assert before in (0, np.array(out).tobytes() if isinstance(out, np.ndarray) else 0)


def test_out_that_overlaps():
    net = make()
    block = np.ones((12, 8), np.float32)
    for rows, out in [(block[:, :5], block[:, 4:7]), (block[:, :5], block[:, 2:5]),
                      (block[::-1, :5], block[:, 0:3]), (block[:, 3:8].T.T, block[:, 3:6])]:
        refuses(net, lambda rows=rows, out=out: net.predict(rows, out), "out: expected memory")
    assert (block == 1).all()
    assert net.predict(block[:, :5], block[:, 5:]) is not None     # beside each other


# ---- making a network --------------------------------------------------------------------------

ABSURD = [None, True, -1, 0, 0.5, 1.0, np.nan, np.inf, "abc", b"5", [], {}, (5,), 5j, Hostile(),
          np.ones(3), np.float64(2), object(), 10**30, -(10**30), fractions.Fraction(5),
          decimal.Decimal(5), HUGE**2]
DENSE = [Dense(3)]


def settings(**change):
    return {"layers": DENSE, "in_features": 5, "task": "multiclass", "rng": 0} | change


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["in_features", "layers", "task", "loss", "optimizer", "dtype"])
def test_absurd_arguments_of_a_network(name, value):
    if (name == "loss" and value is None) or (name == "dtype" and isinstance(value, np.float64)):
        return      # "no loss" is right, and NumPy takes a number for its dtype
    with pytest.raises((ValueError, TypeError)) as caught:
        cymlp.Network(**settings(**{name: value}))
    assert str(caught.value).startswith("layers" if "bytes in all" in str(caught.value) else name)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("rng", [True, -1, 0.5, "abc", [], np.random.RandomState(0), 5j, object()])
def test_absurd_sources_of_random_numbers(rng):
    with pytest.raises((ValueError, TypeError), match="^rng: expected"):
        cymlp.Network(**settings(rng=rng))


@pytest.mark.parametrize("make_spec, name", [
    *[(lambda value=value: Dense(value), "units") for value in ABSURD
      if type(value) is not int or value < 1],      # too many units are the network's matter
    *[(lambda value=value: Dense(3, value), "activation") for value in ABSURD],
    *[(lambda value=value: Dense(3, bias=value), "bias") for value in ABSURD if value is not True],
    *[(lambda value=value: Dense(3, weight_initializer=value), "weight_initializer")
      for value in ABSURD[1:9]],
    *[(lambda value=value: Dropout(value), "rate") for value in (None, True, -1, 1.0, 2, np.nan,
                                                                  "0.5", [], 1j, 10**400)],
    *[(lambda value=value: Activation("leaky_relu", slope=value), "slope")
      for value in (-1, np.nan, np.inf, "1", True, [])],
    *[(lambda value=value: cymlp.SGD(value), "learning_rate")
      for value in (None, True, -1, np.nan, np.inf, "1", [], 10**400)],
    *[(lambda value=value: cymlp.Adam(betas=value), "betas")
      for value in (None, 0.9, (0.9,), (0.9, 1.0), (-0.1, 0.9), (np.nan, 0.9), "ab", (1, 2, 3))],
    *[(lambda value=value: cymlp.EarlyStopping(patience=value), "patience")
      for value in (0, -1, 1.5, None, "1", True)],
])
def test_absurd_arguments_of_specifications(make_spec, name):
    with pytest.raises((ValueError, TypeError)) as caught:
        make_spec()
    assert str(caught.value).startswith(name) and "expected" in str(caught.value)


@pytest.mark.parametrize("change, text", [
    ({"layers": []}, "layers: expected at least one Dense"),
    ({"layers": [Dropout(0.5)]}, "layers: expected at least one Dense"),
    ({"layers": [Dense(3), 3]}, r"layers\[1\]: expected"),
    ({"layers": [Dense(3), Dense]}, r"layers\[1\]: expected"),
    ({"layers": [Dense(3), "relu"]}, r"layers\[1\]: expected"),
    ({"layers": [Dense(3, "softmax")]}, "layers: expected logits"),
    ({"layers": [Dense(3), Activation("softmax")]}, "layers: expected logits"),
    ({"layers": [Dense(3)], "task": "binary"}, "layers: expected a last Dense layer of 1 unit"),
    ({"layers": [Dense(1, "sigmoid")], "task": "binary"}, "layers: expected logits"),
    ({"task": None}, "task: expected"),
    ({"loss": "mean_squared_error"}, "loss: expected CategoricalCrossEntropy"),
    ({"loss": "hinge"}, "loss: expected"), ({"dtype": "float16"}, "dtype: expected"),
    ({"dtype": ">f4"}, "dtype: expected"), ({"dtype": "f4,f4"}, "dtype: expected"),
    ({"optimizer": "newton"}, "optimizer: expected"),
    ({"layers": [Dense(3, weight_initializer=np.ones((3, 5)))]},
     r"layers\[0\], weight: .*expected"),
    ({"layers": [Dense(3, bias_initializer=np.ones(4))]}, r"layers\[0\], bias: .*expected"),
    ({"layers": [Dense(HUGE), Dense(HUGE)]}, "layers: expected parameters of at most"),
    ({"layers": [Dense(3), Dense(2**62), Dense(4)]}, "layers: expected parameters of at most"),
    ({"layers": [Dense(2**63), Dense(2**63)]}, "layers: expected parameters of at most"),
    ({"in_features": 2**64 + 1}, "layers: expected parameters of at most"),
])
def test_networks_that_cannot_be(change, text):
    """Nor does the attempt take anything from the source of random numbers."""
    rng = np.random.default_rng(0)
    place = rng.bit_generator.state
    with pytest.raises((ValueError, TypeError), match="^" + text):
        cymlp.Network(**settings(rng=rng, **change))
    assert rng.bit_generator.state == place


@pytest.mark.parametrize("units", [2**37, 2**40])
def test_a_network_larger_than_memory(units):
    """Nor does giving up a block that there never was take anything from others."""
    rng = np.random.default_rng(0)
    place = rng.bit_generator.state
    other = cymlp.Network([Dense(300), Dense(3)], in_features=1000, task="multiclass", rng=0)
    X = np.ones((5, 1000), np.float32)
    before = other.predict(X)
    with pytest.raises(MemoryError):
        cymlp.Network([Dense(units)], in_features=8, task="multiclass", rng=rng)
    assert rng.bit_generator.state == place
    assert other.predict(X).tobytes() == before.tobytes()


@pytest.mark.parametrize("hidden", [5, None, "12", b"12", [0], [-1], [1.5], ["3"], [None], [[3]]])
def test_hidden_layers_of_mlp(hidden):
    with pytest.raises((ValueError, TypeError), match="^(hidden|units): expected"):
        cymlp.mlp(5, hidden, 3, task="multiclass")


# ---- fit and the rest --------------------------------------------------------------------------


class Stray(cymlp.Callback):
    pass


@pytest.mark.parametrize("name, value", [
    *[("epochs", value) for value in (0, -1, 1.5, None, "3", True, [], np.nan, np.ones(2))],
    *[("batch_size", value) for value in (0, -1, 1.5, "3", True, [], np.nan, np.inf)],
    *[("shuffle", value) for value in (None, 1, "yes", [], np.ones(2, bool), np.add)],
    *[("drop_last", value) for value in (None, 0, "no")],
    *[("progress", value) for value in (None, 2, "bar")],
    *[("validation_split", value) for value in (-0.1, 1.0, 2, np.nan, None, "0.5", True, 0.01)],
    *[("validation_data", value)
      for value in (X, (X,), (X, Y, None, None), "ab", 5, {}, Hostile())],
    *[("callbacks", value) for value in (5, None, [5], [Stray], ["a"], Stray, [Stray(), None])],
])
def test_absurd_settings_of_fit(name, value):
    net = make()
    refuses(net, lambda: net.fit(X, Y, **{name: value}), name)


def test_validation_given_twice():
    net = make()
    refuses(net, lambda: net.fit(X, Y, validation_data=(X, Y), validation_split=0.5),
            "validation_split: expected 0")


@pytest.mark.parametrize("kind, size", [
    ("fit", 1), (None, 1), (5, 1), ("", 1), ("train", 0), ("train", -1), ("train", 1.5),
    ("train", None), ("train", "1")])
def test_absurd_plans(kind, size):
    net = make()
    refuses(net, lambda: net.plan_for(kind, size),
            "kind" if kind != "train" else "batch_size")


@pytest.mark.parametrize("value", [
    *NO_ARRAY.values(), np.ones((7, 5)), np.ones(5), np.ones((5, 7, 1)), 1.0,
    liar(np.ones((1, 1)), (5, 7))], ids=lambda value: type(value).__name__)
def test_what_cannot_be_a_parameter(value):
    net = make()
    refuses(net, lambda: net.parameters.__setitem__("0.weight", value),
            "parameters['0.weight']: expected")


@pytest.mark.parametrize("n", [0, -1, 1.5, None, "2", True, 10**30, [], np.nan, Hostile()])
def test_absurd_numbers_of_threads(n):
    before = cymlp.get_num_threads()
    with pytest.raises((ValueError, TypeError), match="^n must be"):
        cymlp.set_num_threads(n)
    assert cymlp.get_num_threads() == before


@pytest.mark.parametrize("path", [5.5, None, [], Hostile()], ids=lambda path: type(path).__name__)
def test_absurd_paths(path):
    net = make()
    before = net._progress()
    for call in (net.save, cymlp.load):
        with pytest.raises((TypeError, RuntimeError)):
            call(path)
    assert net._progress() == before


def test_bad_rows_that_only_validation_would_meet():
    """They are found before the first epoch, and before any callback hears of a run."""
    heard = []

    class Listener(cymlp.Callback):
        def on_train_begin(self, network):
            heard.append(network)

    net = make()
    for split in (0.0, 0.5):
        refuses(net, lambda split=split: net.fit(
            X, changed(Y, 11, 9), validation_split=split, callbacks=[Listener()]), "y: expected")
    refuses(net, lambda: net.fit(X, Y, validation_data=(X, changed(Y, 11, 9)),
                                 callbacks=[Listener()]), "y: expected")
    assert not heard


def test_a_pickle_of_another_network():
    """Parts of two pickles put together: an error, not a network with half an arena."""
    build, (description, *progress) = make().__reduce__()
    _, (other, *_) = make("regression").__reduce__()
    other["layers"] = other["layers"][:-1]
    for changed_description in (other, {**description, "layers": []}, None, {}):
        with pytest.raises(ValueError):
            build(changed_description, *progress)
    with pytest.raises(ValueError, match="^arena: expected"):
        build(description, *progress[:-1], progress[-1][:-1])
    assert build(description, *progress)._progress() == make()._progress()
    assert pickle.loads(pickle.dumps(make()))._progress() == make()._progress()


# ---- the interpreter stays alive ---------------------------------------------------------------

NASTIEST = """
import threading
import numpy as np, cymlp
from numpy.lib.stride_tricks import as_strided
net = cymlp.mlp(5, [7], 3, task="multiclass", rng=0)
X, y = np.ones((12, 5)), np.arange(12) % 3
def attempt(call):
    try:
        call()
    except (ValueError, TypeError, MemoryError, AttributeError) as error:
        return type(error).__name__
    return "done"
class Liar(np.ndarray):
    shape = property(lambda self: (10**6, 5))
    ndim = property(lambda self: 2)
    dtype = property(lambda self: np.dtype(float))
    strides = property(lambda self: (40, 8))
    flags = property(lambda self: np.ones(3).flags)
    def __getitem__(self, key): raise ValueError("no")
    def __len__(self): return 10**6
    def __array_finalize__(self, other): pass
class Asked:
    def __array__(self, *args, **settings): return np.ones((3, 3))[0].view(Liar)
class Interface:
    __array_interface__ = {"shape": (10**6, 5), "typestr": "<f8", "data": (8, False), "version": 3}
"""


@pytest.mark.parametrize("call", [
    "net.predict(np.ones(2).view(Liar))", "net.train_step(np.ones(2).view(Liar), y)",
    "net.predict(Asked())", "net.fit(X, np.ones(2).view(Liar))",
    "net.predict(X, np.ones((1, 3), 'f4').view(Liar))",
    "net.fit(X, y, sample_weight=np.ones(2).view(Liar))",
    "net.parameters.__setitem__('0.weight', np.ones(2).view(Liar))",
    "net.predict(np.broadcast_to(X[0], (2**50, 5)))",
    "net.predict(np.broadcast_to(np.float32(0), (2**61, 5)))",
    "net.gradients(np.broadcast_to(X[0], (2**50, 5)), y)",
    "net.fit(np.broadcast_to(X[0], (2**55, 5)), np.broadcast_to(1, 2**54))",
    "cymlp.Network([cymlp.Dense(2**31)] * 3, in_features=2**31, task='multiclass')",
    "cymlp.Network([cymlp.Dense(2**21 - 1), cymlp.Dense(2**22)], in_features=1, "
    "task='regression')",
    "cymlp.Network.__new__(cymlp.Network).predict(X)",
    "cymlp.Network.__new__(cymlp.Network).fit(X, y)",
    "net._engine.predict(None, X, X)", "net._engine.predict(net._program('predict', 1), None, X)",
    "net.parameters['0.weight'].setflags(write=True)",
    "net._engine.restore_arena(b'')",
    "cymlp.Network([cymlp.Dense(1)] * 3000, in_features=1, task='regression').predict([[1.0]])"])
def test_no_crash(call):
    done = subprocess.run(
        [sys.executable, "-c", NASTIEST + textwrap.dedent(f"""
            print(attempt(lambda: {call}))
            assert np.isfinite(net.train_step(X, y))
        """)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stderr)
    outcome = done.stdout.strip()
    assert outcome != "done" or "setflags" in call or "3000" in call, outcome
