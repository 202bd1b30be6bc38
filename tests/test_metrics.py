"""Metrics: against scikit-learn and the reference, in evaluate and in fit."""

import math

import numpy as np
import pytest

import cymlp
from cymlp import metrics, ops, reference
from cymlp.callbacks import EarlyStopping

NAMES = [cls.function for cls in metrics.METRICS]
DTYPES = [np.float32, np.float64]
AVERAGES = ["macro", "micro", "weighted"]


def cases(dtype, n=700):
    """(kind, output, target), with ties among the outputs."""
    rng = np.random.default_rng(0)
    one = np.round(rng.random(n), 2).astype(dtype)
    yield "binary", one, (rng.random(n) < 0.3 + 0.4 * one).astype(np.int64)
    scores = rng.random((n, 4)).astype(dtype) ** 3
    scores /= scores.sum(axis=1, keepdims=True)
    label = np.where(rng.random(n) < 0.5, scores.argmax(axis=1), rng.integers(0, 4, n))
    yield "multiclass", scores, label
    yield "multiclass", scores, np.eye(4)[label]
    many = np.round(rng.random((n, 3)), 2).astype(dtype)
    yield "multilabel", many, (rng.random((n, 3)) < many).astype(dtype)
    yield "regression", rng.standard_normal((n, 2)).astype(dtype), rng.standard_normal((n, 2))


def weights(n):
    return [None, np.random.default_rng(1).random(n) * (np.arange(n) % 3 > 0)]


def settings_of(name, kind):
    """Every set of arguments with which a metric can be asked for such outputs."""
    flag = {"multilabel": True} if kind == "multilabel" else {}
    if name in ("mae", "rmse", "r2"):
        return [{}]
    if kind == "regression" or (name == "top_k_accuracy" and kind != "multiclass"):
        return []
    if name == "top_k_accuracy":
        return [{"k": k} for k in (1, 2, 4, 9)]
    if name in ("precision", "recall", "f1"):
        return [{"average": average, **flag} for average in AVERAGES]
    return [flag]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_against_the_reference(name, dtype):
    seen = 0
    for kind, output, target in cases(dtype):
        for weight in weights(len(output)):
            for settings in settings_of(name, kind):
                found = getattr(ops, name)(output, target, weight, **settings)
                expected = getattr(reference, name)(output, target, weight, **settings)
                assert type(found) is float
                assert found == pytest.approx(expected, rel=1e-12), (kind, settings)
                seen += 1
    assert seen >= 4


def sklearn_value(sk, name, kind, output, target, weight, settings):
    """The same number by scikit-learn; None where it has none."""
    classes = np.arange(4)
    if kind == "multiclass" and target.ndim == 2:
        target = target.argmax(axis=1)
    if name == "mae":
        return sk.mean_absolute_error(target, output, sample_weight=weight)
    if name == "rmse":
        return sk.root_mean_squared_error(target, output, sample_weight=weight)
    if name == "r2":
        return sk.r2_score(target, output, sample_weight=weight)
    if name == "top_k_accuracy":
        if settings["k"] >= 4:
            return 1.0
        return sk.top_k_accuracy_score(target, output, k=settings["k"], sample_weight=weight)
    if name == "auroc":
        more = {"multi_class": "ovr"} if kind == "multiclass" else {}
        return sk.roc_auc_score(target, output, sample_weight=weight, **more)
    if name == "log_loss":
        if kind == "multilabel":
            return None
        return sk.log_loss(target, output, sample_weight=weight)
    said = output.argmax(axis=1) if kind == "multiclass" else output > 0.5
    if name == "accuracy":
        return sk.accuracy_score(target, said, sample_weight=weight)
    more = {"labels": classes} if kind == "multiclass" else {}
    average = "binary" if kind == "binary" else settings["average"]
    function = getattr(sk, f"{name}_score")
    return function(target, said, average=average, sample_weight=weight, zero_division=0, **more)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_against_sklearn(name, dtype):
    sk = pytest.importorskip("sklearn.metrics")
    seen = 0
    for kind, output, target in cases(dtype):
        if name in ("mae", "rmse", "r2") and kind == "multiclass":
            continue
        for weight in weights(len(output)):
            for settings in settings_of(name, kind):
                expected = sklearn_value(sk, name, kind, output, target, weight, settings)
                if expected is not None:
                    found = getattr(ops, name)(output, target, weight, **settings)
                    tolerance = 1e-10 if dtype == np.float64 else 1e-5
                    assert found == pytest.approx(expected, rel=tolerance), (kind, settings)
                    seen += 1
    assert seen >= 2


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_each_class(name):
    for kind, output, target in cases(np.float64):
        if kind == "regression":
            continue
        more = {"multilabel": kind == "multilabel", "average": None}
        for weight in weights(len(output)):
            found = getattr(ops, name)(output, target, weight, **more)
            assert found.shape == (np.size(output[0]),) and found.dtype == np.float64
            assert found == pytest.approx(
                getattr(reference, name)(output, target, weight, **more), rel=1e-12)
            assert found.mean() == pytest.approx(
                getattr(ops, name)(output, target, weight, **{**more, "average": "macro"}))


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_each_class_against_sklearn(name):
    sk = pytest.importorskip("sklearn.metrics")
    _, output, target = list(cases(np.float64))[1]
    expected = getattr(sk, f"{name}_score")(target, output.argmax(axis=1), average=None)
    assert getattr(ops, name)(output, target, average=None) == pytest.approx(expected, rel=1e-12)


# ---- edges -------------------------------------------------------------------------------------


def both(name, *arguments, **settings):
    """The value, the same from the native code and the reference."""
    with np.errstate(all="ignore"):
        expected = getattr(reference, name)(*arguments, **settings)
    found = getattr(ops, name)(*arguments, **settings)
    assert found == pytest.approx(expected, nan_ok=True)
    return found


def test_one_class_only():
    assert math.isnan(both("auroc", [0.1, 0.7], [1, 1]))
    assert math.isnan(both("auroc", np.eye(3), [0, 1, 1]))
    assert both("f1", [0.1, 0.2], [0, 0]) == 0.0
    assert both("precision", np.eye(3)[[0, 1]], [0, 1]) == pytest.approx(2 / 3)


def test_ties():
    assert both("auroc", [0.5, 0.5, 0.5], [0, 1, 1]) == 0.5
    assert both("accuracy", [[0.5, 0.5], [0.5, 0.5]], [0, 1]) == 0.5
    assert both("top_k_accuracy", [[1.0, 1, 1]] * 3, [0, 1, 2], k=2) == pytest.approx(2 / 3)


def test_not_a_number():
    bad = [[np.nan, 1.0], [1.0, 0.0]]
    assert both("accuracy", bad, [1, 0]) == 0.5
    assert both("top_k_accuracy", bad, [1, 0], k=2) == 0.5
    assert both("recall", bad, [1, 0], average="micro") == 0.5
    for name in ("auroc", "log_loss"):
        assert math.isnan(both(name, [np.nan, 0.5], [1, 0]))
    for name in ("mae", "rmse", "r2"):
        assert math.isnan(both(name, [np.nan, 0.5], [1, 0]))


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_weight_0_leave_no_trace(name):
    for kind, output, target in cases(np.float64, 300):
        weight = np.where(np.arange(300) % 2, 0.0, 1.5)
        worse = output.copy()
        worse[1::2] = np.nan
        kept = output[::2], target[::2], weight[::2]
        for settings in settings_of(name, kind):
            assert getattr(ops, name)(worse, target, weight, **settings) == getattr(ops, name)(
                *kept, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_counts(name):
    values = [[[0.5, 0.5]], [0], [0.0]], [np.zeros((0, 2)), np.zeros(0, int), None]
    for output, target, weight in values:
        expected = 0.0 if name in ("precision", "recall", "f1") else math.nan
        assert getattr(ops, name)(output, target, weight) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_type_change_nothing(name):
    for kind, output, target in cases(np.float64, 300):
        for settings in settings_of(name, kind):
            plain = getattr(ops, name)(output, target, None, **settings)
            odd = np.asfortranarray(output[::-1]).astype(">f8")
            odd = np.repeat(odd, 2, axis=0)[::-2]
            assert getattr(ops, name)(odd, target.astype(">f4"), None, **settings) == (
                pytest.approx(plain, rel=1e-6 if kind == "regression" else 0))


def test_r2_of_constant_targets():
    assert both("r2", [1.0, 1.0], [1.0, 1.0]) == 1.0
    assert both("r2", [1.0, 2.0], [1.0, 1.0]) == 0.0
    assert math.isnan(both("r2", [1.0], [1.0]))


def test_log_loss_is_accurate_everywhere():
    p = np.concatenate([10.0 ** -np.arange(1, 15), 1 - 10.0 ** -np.arange(1, 15),
                        np.linspace(0.01, 0.99, 99)])
    for value in p:
        assert ops.log_loss([value], [1]) == pytest.approx(-math.log(value), rel=1e-15)
    assert ops.log_loss([0.0], [1]) == pytest.approx(-math.log(np.finfo(float).eps))
    assert ops.log_loss(np.float32([0.0]), [1]) == pytest.approx(
        -math.log(np.finfo(np.float32).eps))


@pytest.mark.parametrize("call, message", [
    (lambda: ops.log_loss([1.5], [1]), "output: expected probabilities from 0 to 1, got"),
    (lambda: ops.accuracy(np.eye(3), [0, 1, 3]), "target: expected class numbers from 0 to 2"),
    (lambda: ops.mae([1.0, 2.0], [1.0]), "target: expected shape"),
    (lambda: ops.mae([1.0], [np.nan]), "target: expected numbers that are not NaN"),
    (lambda: ops.f1([1.0], [1], average="mean"), "average: expected 'macro'"),
    (lambda: ops.f1([1.0], [1], [-1.0]), "sample_weight: expected finite numbers"),
    (lambda: ops.top_k_accuracy([1.0], [1]), "output: expected more than one column"),
    (lambda: metrics.TopKAccuracy(0), "k: expected an integer of at least 1"),
    (lambda: metrics.F1("mean"), "average: expected 'macro'"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- networks ----------------------------------------------------------------------------------


def network(task, out, dtype="float64"):
    return cymlp.mlp(4, [8], out, task=task, dtype=dtype, rng=0)


def data(task, out, n=90):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 4))
    y = {"binary": rng.integers(0, 2, n), "multiclass": rng.integers(0, out, n),
         "multilabel": rng.integers(0, 2, (n, out)), "regression": rng.random((n, out))}[task]
    return X, y


FITTING = {"binary": (1, ["precision", "recall", "f1", "auroc", "log_loss", "mae", "rmse", "r2"]),
           "multiclass": (3, [metrics.TopKAccuracy(2), "precision", metrics.Recall("micro"),
                              "f1", "auroc", "log_loss", "rmse"]),
           "multilabel": (3, ["precision", "recall", "f1", "auroc", "log_loss", "mae"]),
           "regression": (2, ["mae", "rmse", "r2"])}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", FITTING)
def test_evaluate(task, dtype):
    out, wanted = FITTING[task]
    net, (X, y) = network(task, out, dtype), data(task, out)
    weight = np.arange(90) % 4 * 2.5
    for w in (None, weight):
        found = net.evaluate(X, y, w, metrics=wanted)
        plain = net.evaluate(X, y, w)
        assert {name: found[name] for name in plain} == plain
        output, counted = net.predict(X), None if w is None else (w != 0).astype(float)
        for metric in metrics.as_metrics(wanted, net.loss):
            columns = task == "multilabel" and metric.needs != "numbers"
            more = {"multilabel": True} if columns else {}
            expected = getattr(reference, metric.function)(
                output, y, counted, **metric.settings(), **more)
            assert found[metric.label] == pytest.approx(expected, rel=1e-12)
        assert set(found) == {"loss", net.loss.metric} | {
            metric.label for metric in metrics.as_metrics(wanted, net.loss)}


def test_several_of_a_kind():
    net, (X, y) = network("multiclass", 3), data("multiclass", 3)
    wanted = ["f1", metrics.F1("micro"), metrics.F1("weighted"), metrics.TopKAccuracy(2)]
    found = net.evaluate(X, y, metrics=wanted)
    assert list(found) == ["loss", "accuracy", "f1", "f1_micro", "f1_weighted",
                           "top_k_accuracy_2"]
    assert found["f1_micro"] == ops.f1(net.predict(X), y, average="micro") != found["f1"]


def test_the_loss_own_metric_stays_what_it_is():
    net, (X, y) = network("binary", 1), data("binary", 1)
    assert net.evaluate(X, y, metrics=["accuracy"]) == net.evaluate(X, y)
    found = net.evaluate(X, y, metrics=["f1"])
    assert found["accuracy"] == ops.accuracy(net.predict(X), y)


def test_labels_to_be_ignored_leave_no_trace():
    net = cymlp.mlp(4, [8], 3, loss=cymlp.CategoricalCrossEntropy(ignore_index=-1), rng=0)
    X, y = data("multiclass", 3)
    y[::3] = -1
    kept = y >= 0
    wanted = ["f1", "auroc"]
    assert net.evaluate(X, y, metrics=wanted) == pytest.approx(
        net.evaluate(X[kept], y[kept], metrics=wanted), rel=1e-6)


def test_hinge_decides_at_zero():
    net = cymlp.mlp(4, [8], 1, loss="hinge", rng=0)
    X, y = data("binary", 1)
    found = net.evaluate(X, y * 2 - 1, metrics=["precision", "auroc"])
    assert found["precision"] == reference.precision(net.predict(X), y, threshold=0.0)


def test_a_mean_with_its_variance_is_measured_by_the_mean():
    net = cymlp.mlp(4, [8], 4, loss="gaussian", rng=0)
    X, y = data("regression", 2)
    found = net.evaluate(X, y, metrics=["mae", "r2"])
    assert found["mae"] == pytest.approx(reference.mae(net.predict(X)[:, :2], y))


def test_a_function():
    net, (X, y) = network("regression", 2), data("regression", 2)
    weight = (np.arange(90) % 2).astype(float)

    def worst(output, target):
        return np.abs(output - target).max()

    found = net.evaluate(X, y, weight, metrics=[worst])
    assert found["worst"] == np.abs(net.predict(X) - y)[1::2].max()
    with pytest.raises(TypeError, match="expected a function that gives a number"):
        net.evaluate(X, y, metrics=[metrics.CustomMetric(lambda o, t: "no", "bad")])


@pytest.mark.parametrize("wanted, error, message", [
    ("f1", TypeError, "metrics: expected a list of metrics"),
    (["f2"], ValueError, r"metrics\[0\]: expected 'accuracy'"),
    ([3], TypeError, r"metrics\[0\]: expected a name"),
    (["mae", "f1"], ValueError, r"metrics\[1\]: expected a metric that fits loss"),
    (["mae", "mae"], ValueError, r"metrics\[1\]: expected a name of its own"),
])
def test_metrics_that_cannot_be(wanted, error, message):
    net, (X, y) = network("regression", 2), data("regression", 2)
    before = net.parameters["0.weight"].copy()
    for call in (net.evaluate, net.fit):
        with pytest.raises(error, match=message):
            call(X, y, metrics=wanted)
    assert (net.parameters["0.weight"] == before).all()


def test_fit():
    net, (X, y) = network("multiclass", 3), data("multiclass", 3)
    history = net.fit(X, y, epochs=2, metrics=["f1"], validation_split=0.3)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "val_f1", "time"]
    assert history["val_f1"][-1] == net.evaluate(X[63:], y[63:], metrics=["f1"])["f1"]
    history = net.fit(X, y, epochs=2, metrics=["f1", "accuracy"])
    assert list(history) == ["loss", "accuracy", "f1", "time"]
    assert history["f1"][-1] == net.evaluate(X, y, metrics=["f1"])["f1"]


def test_metrics_do_not_change_training():
    nets = [network("binary", 1) for _ in range(2)]
    X, y = data("binary", 1)
    nets[0].fit(X, y, epochs=3)
    nets[1].fit(X, y, epochs=3, metrics=["auroc"])
    for name, array in nets[0].parameters.items():
        assert (array == nets[1].parameters[name]).all()


@pytest.mark.parametrize("metric", [cls() for cls in metrics.METRICS], ids=lambda m: m.name)
def test_early_stopping_knows_which_is_better(metric):
    stopping = EarlyStopping(monitor=f"val_{metric.name}", patience=1, restore_best=False)
    values = [0.5, 0.6] if metric.larger else [0.6, 0.5]
    told = [stopping.on_epoch_end(None, i, {f"val_{metric.name}": v})
            for i, v in enumerate([*values, values[0]])]
    assert told == [False, False, True]


def test_threads_change_nothing():
    X, y = data("multiclass", 3, 5000)
    net = network("multiclass", 3, "float32")
    threads = cymlp.get_num_threads()
    try:
        found = []
        for count in (1, 2, 3):
            cymlp.set_num_threads(count)
            found.append(net.evaluate(X, y, metrics=["auroc", "log_loss", "f1", "rmse"]))
    finally:
        cymlp.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
