"""Networks as a user meets them: making, parameters, calls, weights of rows, printing."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

import cymlp
from cymlp import Dense, Dropout, reference

TASKS = ["binary", "multiclass", "multilabel", "regression"]
REAL_DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g"]


def make(task="multiclass", dtype="float32", **settings):
    units = {"binary": 1, "regression": 2}.get(task, 3)
    settings = {"rng": 0, "optimizer": cymlp.Adam(0.01), "dropout": 0.25} | settings
    return cymlp.mlp(5, [7, 6], units, task=task, dtype=dtype, **settings)


def data(task="multiclass", rows=50, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5))
    y = {"binary": rng.integers(0, 2, rows), "multiclass": rng.integers(0, 3, rows),
         "multilabel": rng.integers(0, 2, (rows, 3)), "regression": rng.normal(size=(rows, 2))}
    return X, y[task]


def state(net):
    return net._progress()


# ---- making ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float64, np.dtype("f4")])
@pytest.mark.parametrize("task", TASKS)
def test_what_a_network_says_of_itself(task, dtype):
    net = make(task, dtype)
    assert net.dtype == np.dtype(dtype)
    assert (net.in_features, net.task) == (5, task)
    assert net.out_features == net.layers[-1].units
    assert net.loss == cymlp.losses.TASKS[task][1]
    assert net.optimizer == cymlp.Adam(0.01)
    assert net.predict(data(task)[0]).dtype == net.dtype


def test_mlp_is_short_for_a_network():
    short = cymlp.mlp(5, [7, 6], 3, activation="tanh", dropout=0.25, task="multiclass", rng=3)
    layers = [Dense(7, "tanh"), Dropout(0.25), Dense(6, "tanh"), Dropout(0.25), Dense(3)]
    long = cymlp.Network(layers, in_features=5, loss="categorical_cross_entropy", rng=3)
    assert short.layers == long.layers == tuple(layers)
    assert state(short) == state(long)
    assert cymlp.mlp(5, iter([4]), 1, task="binary").layers == (Dense(4, "relu"), Dense(1))


def test_the_seed_decides_everything():
    X, y = data()
    first, second, other = make(rng=7), make(rng=np.random.default_rng(7)), make(rng=8)
    for net in (first, second, other):
        net.fit(X, y, epochs=3)
    assert state(first) == state(second) != state(other)
    assert state(make(rng=None)) != state(make(rng=None))


def test_networks_from_one_generator_differ():
    rng = np.random.default_rng(0)
    assert state(make(rng=rng)) != state(make(rng=rng))


def test_initial_parameters():
    given = np.arange(15).reshape(5, 3)
    net = cymlp.Network(
        [Dense(3, weight_initializer=given, bias_initializer=cymlp.initializers.Constant(0.5)),
         Dense(4, "relu", bias=False), Dense(2, weight_initializer="zeros")],
        in_features=5, task="regression", rng=0)
    assert list(net.parameters) == ["0.weight", "0.bias", "1.weight", "2.weight", "2.bias"]
    assert np.array_equal(net.parameters["0.weight"], given)
    assert (net.parameters["0.bias"] == 0.5).all()
    limit = np.sqrt(6 / 3)
    assert 0 < abs(net.parameters["1.weight"]).max() <= limit
    assert not net.parameters["2.weight"].any() and not net.parameters["2.bias"].any()


@pytest.mark.parametrize("name", ["in_features", "out_features", "layers", "task", "loss",
                                  "optimizer", "dtype", "parameters"])
def test_what_the_engine_was_set_up_with_cannot_be_replaced(name):
    net = make()
    with pytest.raises(AttributeError, match=f"^{name}: .* cannot be replaced"):
        setattr(net, name, getattr(net, name))
    net.note = "one's own"


# ---- parameters --------------------------------------------------------------------------------


def test_parameters_are_a_mapping_of_copies():
    net = make()
    read = net.parameters["0.weight"]
    assert read.shape == (5, 7) and not read.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        read[0, 0] = 1
    before = state(net)
    kept = read.copy()
    net.parameters["0.weight"] = read * 2
    assert np.array_equal(read, kept), "what was read has changed"
    assert np.array_equal(net.parameters["0.weight"], kept * 2)
    net.parameters["0.weight"] = kept
    assert state(net) == before
    assert len(net.parameters) == len(dict(net.parameters)) == 6
    assert "0.weight" in net.parameters and "1.weight" not in net.parameters    # 1 is dropout


def test_every_parameter_can_be_set_and_is_used():
    net, X = cymlp.mlp(70, [130], 65, activation="identity", task="regression"), np.eye(70)[:9]
    rng = np.random.default_rng(2)
    arrays = {name: rng.integers(-3, 4, old.shape) for name, old in net.parameters.items()}
    for name, array in arrays.items():
        net.parameters[name] = np.asfortranarray(array, np.int16)
    for name, array in arrays.items():
        assert np.array_equal(net.parameters[name], array)
    hidden = X @ arrays["0.weight"] + arrays["0.bias"]
    assert np.array_equal(net.predict(X), hidden @ arrays["1.weight"] + arrays["1.bias"])


@pytest.mark.parametrize("name", ["", "weight", "0", "9.weight", "0.Weight", 0, None, ("0",), []])
def test_a_wrong_name_of_a_parameter(name):
    net = make()
    before = state(net)
    with pytest.raises(KeyError, match="expected one of 0.weight, 0.bias"):
        net.parameters[name]
    with pytest.raises(KeyError, match="expected one of 0.weight, 0.bias"):
        net.parameters[name] = np.zeros(7)
    assert state(net) == before


# ---- calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_predict_is_forward_with_the_output_activation(task):
    net, (X, _) = make(task, "float64"), data(task)
    activation = getattr(reference, net.loss.output_activation)
    assert np.allclose(net.predict(X), activation(net.forward(X)), rtol=1e-14, atol=0)


@pytest.mark.parametrize("method", ["predict", "forward"])
def test_out_takes_the_result(method):
    net, (X, _) = make(), data()
    call = getattr(net, method)
    expected = call(X)
    for out in (np.full((50, 3), np.nan, np.float32), np.empty((3, 50), np.float32).T,
                np.empty((100, 9), np.float32)[::-2, 1:7:2]):
        assert call(X, out=out) is out
        assert np.array_equal(out, expected)
    wide = np.full((50, 9), 7, np.float32)
    call(X, wide[:, 3:6])
    assert (wide[:, :3] == 7).all() and (wide[:, 6:] == 7).all(), "written beside the result"


def test_no_rows():
    net = make()
    assert net.predict(np.empty((0, 5))).shape == (0, 3)
    assert net.forward(np.empty((0, 5), int), np.empty((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("code", REAL_DTYPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_input_of_any_real_dtype_and_byte_order(dtype, code, swap):
    net = make(dtype=dtype)
    X = np.random.default_rng(0).integers(0, 2 if code == "?" else 100, (20, 5))
    y, weight = np.arange(20) % 3, np.arange(20) % 2 + 1
    expected = net.predict(X.astype(dtype))
    twin = net.copy()
    loss = twin.train_step(X.astype(dtype), y, weight)
    kind = np.dtype(code).newbyteorder("S" if swap else "=")
    if code == "?":
        y, weight, loss = np.zeros(20, "?"), np.ones(20, "?"), None
    given = [array.astype(kind) for array in (X, y, weight)]
    assert net.predict(given[0]).tobytes() == expected.tobytes()
    assert net.train_step(*given) == (loss if loss is not None else pytest.approx(1, abs=3))
    if loss is not None:
        assert state(net) == state(twin)
    twin = net.copy()       # and in another order
    for network, (rows, labels, weights) in (
            (net, given), (twin, (X.astype(dtype), y.astype(int), weight.astype(float)))):
        network.fit(rows, labels, sample_weight=weights, epochs=1, batch_size=9)
    assert state(net) == state(twin)


def test_halves_and_long_doubles_keep_their_values():
    X = np.array([[2.0**-24, 65504.0, -0.0, np.inf, 2.0**-14 - 2.0**-24]], np.float16)
    net = cymlp.Network([Dense(5, bias=False, weight_initializer=np.eye(5))], in_features=5,
                        task="regression", dtype="float64")
    X[0, 3] = 1
    assert np.array_equal(net.predict(X), X.astype(float))
    long = np.array([[np.longdouble(1) / 3, 2, 3, 4, 1e300]], np.longdouble)
    assert np.array_equal(net.predict(long), long.astype(float))


def layouts(X, folder):
    """The same rows in every way in which memory can hold them."""
    rows, columns = X.shape
    wide = np.zeros((2 * rows, 3 * columns + 1))
    wide[::2, 1::3] = X
    odd = np.zeros(X.nbytes + 3, np.uint8)[3:].view(X.dtype).reshape(X.shape)
    odd[...] = X
    fixed = X.copy()
    fixed.flags.writeable = False
    mapped = np.memmap(folder / "rows", X.dtype, "w+", shape=X.shape)
    mapped[...] = X
    mapped.flush()
    return {
        "list": X.tolist(), "tuple": tuple(map(tuple, X)), "rows": list(X),
        "fortran": np.asfortranarray(X), "strided": wide[::2, 1::3],
        "negative": X[::-1, ::-1].copy()[::-1, ::-1], "unaligned": odd, "read-only": fixed,
        "memmap": mapped, "mapped read-only": np.memmap(folder / "rows", X.dtype, "r",
                                                        shape=X.shape),
        "field": np.rec.fromarrays([X.reshape(-1), X.reshape(-1)])["f1"].reshape(X.shape),
        "masked": np.ma.array(X), "memoryview": memoryview(X)}


def test_input_of_any_layout(tmp_path):
    X, y = data()
    net = make(dropout=0)
    expected, step = net.predict(X), make(dropout=0)
    step.fit(X, y, epochs=2, batch_size=9)
    for name, given in layouts(X, tmp_path).items():
        assert np.array_equal(net.predict(given), expected), name
        twin = net.copy()
        twin.fit(given, list(y), epochs=2, batch_size=9)
        assert state(twin) == state(step), name
    targets = np.column_stack([y, y])[:, ::-1][:, 1]
    twin = net.copy()
    twin.fit(X, targets, epochs=2, batch_size=9)
    assert state(twin) == state(step)


@pytest.mark.parametrize("code", ["f4", "f8", ">f4", "i2"])
def test_columns_that_lie_behind_each_other(code):
    X = np.random.default_rng(0).integers(-9, 9, (150, 37)).astype(code)
    y = np.arange(150) % 3
    plain, turned = (cymlp.mlp(37, [8], 3, task="multiclass", rng=1) for _ in range(2))
    for net, given in ((plain, X), (turned, np.asfortranarray(X))):
        net.fit(given, y, epochs=1, batch_size=130)
    assert state(plain) == state(turned)
    for rows in (slice(None), slice(None, None, -1), slice(3, 100, 7)):
        expected = plain.predict(X[rows])
        assert plain.predict(np.asfortranarray(X)[rows]).tobytes() == expected.tobytes()


def test_broadcast_rows_have_a_stride_of_zero():
    net = make()
    row = np.random.default_rng(0).normal(size=5)
    found = net.predict(np.broadcast_to(row, (30, 5)))
    assert (found == net.predict(row[None])).all()
    same = net.predict(np.broadcast_to(row[:, None], (5, 5)))
    assert np.array_equal(same, net.predict(np.repeat(row[:, None], 5, axis=1)))
    net.fit(np.broadcast_to(row, (30, 5)), np.broadcast_to(1, 30), epochs=1)


def test_nan_and_inf_pass_through_and_stay_in_their_row():
    net, (X, _) = make(), data()
    expected = net.predict(X)
    for bad in (np.nan, np.inf, 1e300):
        given = X.copy()
        given[7, 2] = bad
        found = net.predict(given)
        assert np.isnan(found[7]).any()
        assert np.array_equal(np.delete(found, 7, 0), np.delete(expected, 7, 0))


@pytest.mark.parametrize("task", TASKS)
def test_forms_of_the_targets(task):
    """Shapes and types that mean the same give the same."""
    X, y = data(task)
    forms = [y, y.astype(float), y.astype(np.float16).astype(float) if task != "regression" else y,
             y.tolist(), np.asarray(y, order="F")]
    if y.ndim == 1:
        forms.append(y.reshape(-1, 1))
    if task == "binary":
        forms.append(y.astype(bool))
    net = make(task)
    results = [(twin.train_step(X, form), state(twin), twin.evaluate(X, form))
               for form in forms for twin in [net.copy()]]
    assert all(result == results[0] for result in results)


def test_one_hot_rows_are_labels_up_to_rounding():
    X, y = data()
    net = make(dtype="float64")
    labels, dense = net.gradients(X, y), net.gradients(X, np.eye(3)[y])
    assert labels[0] == pytest.approx(dense[0], rel=1e-14)
    for name in labels[1]:
        assert np.allclose(labels[1][name], dense[1][name], rtol=1e-12, atol=1e-15)
    assert net.evaluate(X, y)["accuracy"] == net.evaluate(X, np.eye(3)[y])["accuracy"]


@pytest.mark.parametrize("task", TASKS)
def test_evaluate_agrees_with_predict(task):
    X, y = data(task)
    net = make(task, "float64")
    found, p = net.evaluate(X, y), net.predict(X)
    loss = getattr(reference, net.loss.kernel)(net.forward(X), y.reshape(50, -1)
                                               if task != "multiclass" else y)[0]
    assert found["loss"] == pytest.approx(loss, rel=1e-13)
    if task == "regression":
        assert found["mean_absolute_error"] == pytest.approx(abs(p - y).mean(), rel=1e-13)
    elif task == "multiclass":
        assert found["accuracy"] == (p.argmax(1) == y).mean()
    else:
        assert found["accuracy"] == ((p > 0.5) == (y.reshape(p.shape) > 0.5)).all(1).mean()
    assert set(found) == {"loss", net.loss.metric}


def test_gradients_change_nothing_and_are_those_of_the_next_step():
    X, y = data()
    net = make(optimizer=cymlp.SGD(1.0), dtype="float64")
    before = state(net)
    loss, gradients = net.gradients(X, y)
    assert state(net) == before
    old = dict(net.parameters)
    assert net.train_step(X, y) == loss     # the same dropout
    for name, gradient in gradients.items():
        assert np.allclose(old[name] - net.parameters[name], gradient, rtol=1e-9, atol=1e-15)


# ---- sample weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_rows_of_weight_zero_leave_no_trace(task):
    X, y = data(task)
    weight = np.arange(50) % 3
    dirty = X.copy()
    dirty[weight == 0] = np.nan
    dirty[3] = [np.inf, -np.inf, 1e308, 0, 1]
    clean, other = make(task), make(task)
    for net, rows in ((clean, X), (other, dirty)):
        net.train_step(rows, y, weight)
        net.fit(rows, y, epochs=2, batch_size=7, sample_weight=weight)
    assert state(clean) == state(other)
    assert all(np.isfinite(array).all() for array in clean.parameters.values())
    found = clean.evaluate(dirty, y, weight)
    assert found == clean.evaluate(X, y, weight) and np.isfinite(list(found.values())).all()
    few = clean.evaluate(X[weight > 0], y[weight > 0], weight[weight > 0])
    assert found == pytest.approx(few, rel=1e-12)
    gradients = clean.gradients(dirty, y, weight)[1]
    assert all(np.isfinite(array).all() for array in gradients.values())


def test_weights_are_repetitions():
    X, y = data()
    weight = np.arange(50) % 4
    net = make(dtype="float64", dropout=0)
    many = net.evaluate(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert net.evaluate(X, y, weight)["loss"] == pytest.approx(many["loss"], rel=1e-13)
    _, few = net.gradients(X, y, weight)
    _, all_of_them = net.gradients(np.repeat(X, weight, 0), np.repeat(y, weight))
    for name in few:
        assert np.allclose(few[name], all_of_them[name], rtol=1e-11, atol=1e-15)
    ones = net.copy()
    assert ones.train_step(X, y, np.ones(50)) == net.train_step(X, y)
    assert state(ones) == state(net)


def test_a_batch_without_any_weight():
    X, y = data()
    net = make(optimizer=cymlp.SGD(0.1))
    before = state(net)
    assert net.train_step(X, y, np.zeros(50)) == 0
    assert net.evaluate(X, y, np.zeros(50)) == {"loss": 0, "accuracy": 0}
    assert state(net)[3] == before[3] and state(net)[1] == before[1] + 1


# ---- printing ----------------------------------------------------------------------------------


def test_summary(capsys):
    make().summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["0", "Dense(7,", "relu)", "7", "42"]
    assert lines[3].split() == ["1", "Dropout(0.25)", "7", "0"]
    count = sum(array.size for array in make().parameters.values())
    assert lines[-1] == f"{count} parameters in float32"
    assert "softmax, categorical_cross_entropy" in lines[-2]


def test_repr_says_how_to_make_it():
    net = make()
    names = {name: getattr(cymlp, name) for name in ("Network", "Dense", "Dropout", "Activation",
                                                     "Adam")}
    twin = eval(repr(net), names)
    assert repr(twin) == repr(net) and twin.layers == net.layers


@pytest.mark.parametrize("kind", ["train", "gradients", "evaluate", "predict", "forward"])
def test_a_plan_prints_its_memory_and_steps(kind):
    net = make()
    plan = net.plan_for(kind, 100)
    text = str(plan)
    assert text.startswith(f"plan {kind}, float32, batch 128 in chunks of 128 rows")
    for step in plan.steps:
        assert str(step) in text
    for part in [*plan.parameters, *plan.buffers]:
        assert part.name in text
    assert plan is net.plan_for(kind, 65), "plans are kept"
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_the_plan_of_a_network_is_that_of_a_training_step():
    assert make().plan == make().plan_for("train", 128)
    assert "first_moment" in str(make().plan)


def test_arrays_of_a_plan_lie_apart_and_aligned():
    plan = make().plan_for("gradients", 300)
    places = sorted((b.offset, b.offset + plan.chunk * b.leading * np.dtype(b.dtype).itemsize)
                    for b in plan.buffers)
    assert all(begin % 64 == 0 for begin, _ in places)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(places))
    assert plan.parameter_bytes <= places[0][0] and places[-1][1] <= plan.workspace_bytes
