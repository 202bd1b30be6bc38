"""Layers that are not dense: against the reference, against differences, against PyTorch."""

import pickle
import shutil
import warnings

import numpy as np
import pytest

import cymlp
from cymlp import Activation, AlphaDropout, Columns, Concat, Dense, Dropout, Embedding, Residual
from cymlp import layers as layers_module
from cymlp.layers import GLU, BatchNorm, LayerNorm, PReLU, RMSNorm, Scale, SwiGLU
from cymlp.layers.shapes import Layer
from cymlp.specs import from_dict, to_dict

# Every layer of the package stands in one of these, beside others; column 0 holds codes below 6.
NETWORKS = {
    "batch norm": [Dense(6), BatchNorm(), Activation("tanh"), Dense(19), BatchNorm(scale=False),
                   Dense(5), BatchNorm(0.5, shift=False, epsilon=0.1), Dense(2)],
    "batch norm first": [BatchNorm(), Dense(2)],
    "layer norm": [LayerNorm(), Dense(17, "tanh"), LayerNorm(scale=False), Dense(6),
                   LayerNorm(0.1, shift=False), Dense(2)],
    "RMS norm": [RMSNorm(), Dense(17, "tanh"), RMSNorm(scale=False), Dense(2)],
    "scale": [Scale(0.7), Dense(17, "tanh"), Scale([0.5] * 17), Dense(2)],
    "prelu": [PReLU(), Dense(17), PReLU(0.1), Dense(2), PReLU()],
    "shared prelu": [PReLU(shared=True), Dense(131), PReLU(0.1, shared=True), Dense(2),
                     PReLU(shared=True)],
    "glu": [Dense(6), GLU(), Dense(34), SwiGLU(), Dense(4), GLU("tanh"), Dense(2)],
    "alpha dropout": [AlphaDropout(0.3), Dense(17, "tanh"), AlphaDropout(0.1), Dense(2)],
    "residual": [Residual([Dense(17, "tanh"), Dense(5)]),
                 Residual([Activation("tanh"), Residual([Dense(5)]), Dropout(0.2)]),
                 Dense(2), Residual([Scale()])],
    "concat": [Concat([[Dense(3, "tanh")], [], [Dropout(0.3)], [Dense(2), Concat([[], []])]]),
               Activation("tanh"), Dense(2)],
    "concat first": [Concat([[], [Activation("tanh")]]), Dense(2)],
    "columns": [Columns([4, 0, 1]), Dense(9, "tanh"), Columns([8, 0, 1, 5]), Dense(2)],
    "embedding": [Concat([[Columns([0]), Embedding(6, 3)], [Columns([1, 2, 3, 4])],
                          [Columns([0]), Embedding(9, 20), Dense(2)]]),
                  Dense(7, "tanh"), Dense(2)],
    "embedding alone": [Columns([0]), Embedding(6, 17), Dense(2)],
}
ROWS = [1, 7, 50]


def build(name, dtype="float64", **settings):
    """A network with no parameter at zero."""
    net = cymlp.Network(NETWORKS[name], in_features=5, loss="mean_squared_error", dtype=dtype,
                        rng=3, **settings)
    random = np.random.default_rng(4)
    for key, array in net.parameters.items():
        net.parameters[key] = np.abs(array + random.uniform(-0.3, 0.3, array.shape)) \
            if "running" in key else array + random.uniform(-0.3, 0.3, array.shape)
    return net


def batch(rows, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 5))
    X[:, 0] = random.integers(0, 6, rows)
    return X, random.normal(size=(rows, 2))


def test_every_layer_has_a_network_here():
    def kinds(layers):
        for layer in layers:
            yield type(layer)
            for _, inner in layer.within():
                yield from kinds(inner)

    found = {kind for layers in NETWORKS.values() for kind in kinds(layers)}
    public = {getattr(layers_module, name) for name in layers_module.__all__}
    public = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Layer)}
    assert public - {Layer, layers_module.CustomActivation} <= found    # that is in test_custom.py


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", ROWS)
def test_every_step_agrees_with_the_reference(name, dtype, rows):
    X, y = batch(rows)
    for weight in (None, np.resize([1.0, 0.0, 2.5], rows)):
        for step in cymlp.reference.compare(build(name, dtype), X, y, weight):
            assert step.agrees, str(step)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-42, 1e-310, 1e15])
def test_edge_values_go_the_reference_s_way(name, dtype, value):
    """A NaN comes out wherever it does in the reference, and nowhere else."""
    net, (X, _) = build(name, dtype), batch(7)
    X[3, 2] = X[5, 4] = value
    with np.errstate(all="ignore"):
        expected = cymlp.reference.run_plan(net.plan_for("forward", 7), net.parameters,
                                            X.astype(dtype)).buffers["output"]
        found = net.forward(X.astype(dtype))
    assert (np.isnan(found) == np.isnan(expected)).all()
    finite = np.isfinite(expected)
    assert (found[~finite & ~np.isnan(expected)] == expected[~finite & ~np.isnan(expected)]).all()
    size = np.abs(expected[finite]).max(initial=1e-30)
    assert np.abs(found[finite] - expected[finite]).max(initial=0) <= 1e-4 * size


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_gradients(name, rows):
    weights = np.resize([1.0, 0.0, 2.0, 0.5], rows)
    net, (X, y) = build(name), batch(rows)
    if rows == 1 and "batch norm" in name:
        X *= 0      # every deviation is zero, and its derivative far from its differences
    for weight in (None, weights):
        _, gradients = net.gradients(X, y, weight)
        for key, gradient in gradients.items():
            direction = np.random.default_rng(5).normal(size=gradient.shape)
            expected = slope(net, key, direction, X, y, weight)
            size = np.abs(gradient * direction).sum()
            assert (gradient * direction).sum() == pytest.approx(
                expected, abs=1e-6 * size + 1e-9), key


def slope(net, key, direction, *rows):
    """Of the loss along a direction in a parameter, by central differences."""
    start, step, losses = net.parameters[key], 1e-6, []
    for sign in (1, -1):
        net.parameters[key] = start + sign * step * direction
        losses.append(net.gradients(*rows)[0])
    net.parameters[key] = start
    return (losses[0] - losses[1]) / (2 * step)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_weight_zero_leave_no_trace(name):
    """Also where they hold NaN and Inf; with them go running statistics and embeddings."""
    if "dropout" in repr(NETWORKS[name]).lower():
        pytest.skip("dropout draws by place")
    X, y = batch(40)
    weight = np.where(np.arange(40) % 3, 1.5, 0.0)
    kept = weight != 0
    X[~kept, 1:] = np.nan
    y[~kept] = np.nan
    whole, part = build(name), build(name)
    for _ in range(3):
        found = whole.train_step(X, np.nan_to_num(y), weight)
        assert found == pytest.approx(part.train_step(X[kept], y[kept]), rel=1e-12)
    for key, array in whole.parameters.items():
        np.testing.assert_allclose(array, part.parameters[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_kept_copied_and_read_again(name, tmp_path):
    net, (X, y) = build(name, optimizer=cymlp.Adam(0.01)), batch(30)
    net.fit(X, y, epochs=2, batch_size=7)
    net.save(tmp_path / "net")
    for twin in (net.copy(), pickle.loads(pickle.dumps(net)), cymlp.load(tmp_path / "net")):
        assert twin.predict(X).tobytes() == net.predict(X).tobytes()
        assert repr(twin) == repr(net) or "GivenArray" in repr(net)
    assert net.copy().train_step(X, y) == net.train_step(X, y)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_is_its_rows_predictions(name):
    net, (X, y) = build(name), batch(300)
    net.fit(X, y, epochs=1, batch_size=50)
    whole = net.predict(X)
    parts = np.vstack([net.predict(part) for part in np.array_split(X, 7)])
    assert whole.tobytes() == parts.tobytes()
    loss = net.evaluate(X, y)["loss"]
    assert loss == pytest.approx(np.square(whole - y).mean(), rel=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_forms(name):
    for layer in NETWORKS[name]:
        again = from_dict(to_dict(layer), "layer")
        assert again == layer or "GivenArray" in repr(layer)


# ---- against PyTorch ---------------------------------------------------------------------------


class TorchResidual:
    """Made where PyTorch is there: a module that adds its input."""

    def __new__(cls, torch, inner):
        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = inner

            def forward(self, x):
                return x + self.inner(x)

        return Module()


def torch_twin(torch, layers, width):
    """The same layers by PyTorch."""
    modules = []
    for layer in layers:
        modules.append(torch_module(torch, layer, width))
        width = layer.out_features(width)
    return torch.nn.Sequential(*modules)


def torch_module(torch, layer, width):
    """One layer by PyTorch, for an input of that width."""
    nn = torch.nn
    return {
        Dense: lambda: nn.Linear(width, layer.out_features(width)),
        BatchNorm: lambda: nn.BatchNorm1d(width, layer.epsilon, layer.momentum),
        LayerNorm: lambda: nn.LayerNorm(width, layer.epsilon),
        RMSNorm: lambda: nn.RMSNorm(width, layer.epsilon),
        PReLU: lambda: nn.PReLU(1 if layer.shared else width), GLU: nn.GLU,
        Activation: lambda: getattr(nn, layer.name.capitalize())(),
        Residual: lambda: TorchResidual(torch, torch_twin(torch, layer.layers, width)),
    }[type(layer)]()


TWINS = {
    "batch norm": [Dense(8), BatchNorm(), Activation("tanh"), Dense(6), BatchNorm(0.3), Dense(2)],
    "row norms": [Dense(8), LayerNorm(), Activation("tanh"), Dense(6), RMSNorm(), Dense(2)],
    "gates": [Dense(8), GLU(), Dense(5), PReLU(), Dense(7), PReLU(shared=True), Dense(2)],
    "residual": [Dense(8), Residual([Activation("tanh"), Dense(8), LayerNorm()]), Dense(2)],
}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 3e-4)])
@pytest.mark.parametrize("name", TWINS)
def test_twenty_steps_like_torch(name, dtype, tolerance):
    torch = pytest.importorskip("torch")
    X, y = batch(64)
    twin = torch_twin(torch, TWINS[name], 5).to(getattr(torch, dtype))
    net = cymlp.Network(TWINS[name], in_features=5, loss="mean_squared_error", dtype=dtype,
                        optimizer=cymlp.SGD(0.05, momentum=0.9), rng=0)
    theirs = dict(zip(net.parameters, (array for key, array in twin.state_dict().items()
                                       if "num_batches" not in key), strict=True))
    for key, array in theirs.items():
        net.parameters[key] = array.numpy().T
    optimizer = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    inputs, targets = (torch.tensor(array, dtype=getattr(torch, dtype)) for array in (X, y))
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(inputs), targets)
        loss.backward()
        optimizer.step()
        assert net.train_step(X, y) == pytest.approx(loss.item(), rel=tolerance)
    twin.eval()
    for ours, other in [(net.predict(X), twin(inputs).detach().numpy()),
                        *((net.parameters[key], array.numpy().T)
                          for key, array in theirs.items())]:
        assert np.abs(ours - other).mean() <= tolerance * np.abs(other).mean()


def test_embedding_like_torch_with_sparse_gradients():
    torch = pytest.importorskip("torch")
    codes = np.random.default_rng(0).integers(0, 6, (40, 2)) + [0, 2]
    y = np.random.default_rng(1).normal(size=(40, 1))
    net = cymlp.Network([Embedding(9, 5), Dense(1)], in_features=2, task="regression",
                        dtype="float64", optimizer=cymlp.Adam(0.01, epsilon=1e-30), rng=0)
    table = torch.nn.Embedding(9, 5, sparse=True).double()
    dense = torch.nn.Linear(10, 1).double()
    net.parameters["0.weight"] = start = table.weight.detach().numpy().copy()
    net.parameters["1.weight"] = dense.weight.detach().numpy().T
    net.parameters["1.bias"] = dense.bias.detach().numpy()
    # PyTorch's two differ in where epsilon is added.
    optimizers = [torch.optim.SparseAdam(table.parameters(), 0.01, eps=1e-30),
                  torch.optim.Adam(dense.parameters(), 0.01, eps=1e-30)]
    for begin in range(0, 40, 8):
        part = slice(begin, begin + 8)
        for optimizer in optimizers:
            optimizer.zero_grad()
        out = dense(table(torch.tensor(codes[part])).flatten(1))
        loss = torch.nn.functional.mse_loss(out, torch.tensor(y[part]))
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        assert net.train_step(codes[part], y[part]) == pytest.approx(loss.item(), rel=1e-10)
    np.testing.assert_allclose(net.parameters["0.weight"], table.weight.detach().numpy(),
                               rtol=1e-9, atol=1e-12)
    assert (net.parameters["0.weight"][8] == start[8]).all()


# ---- each by itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [300, 5000])
def test_batch_norm_takes_the_whole_batch(rows):
    """Also where other networks would go through it in chunks."""
    net = cymlp.Network([BatchNorm(1.0), Dense(1)], in_features=5, task="regression",
                        dtype="float64", optimizer=cymlp.SGD(0.0), rng=0)
    X, y = batch(rows)
    for cut in (rows, rows - 1, rows):
        net.train_step(X[:cut], y[:cut, :1])
        np.testing.assert_allclose(net.parameters["0.running_mean"], X[:cut].mean(axis=0),
                                   rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(net.parameters["0.running_var"], X[:cut].var(axis=0, ddof=1),
                                   rtol=1e-9)


def test_running_statistics_are_not_trained():
    net = build("batch norm", optimizer=cymlp.SGD(0.1, weight_decay=1.0))
    X, y = batch(20)
    _, gradients = net.gradients(X, y)
    assert set(net.parameters) - set(gradients) == {
        name for name in net.parameters if "running" in name}
    before = net.parameters["1.running_mean"]
    net.gradients(X, y)
    net.evaluate(X, y)
    net.predict(X)
    assert (net.parameters["1.running_mean"] == before).all()
    net.train_step(X, y, np.zeros(20))
    assert (net.parameters["1.running_mean"] == before).all(), "no row counted"


def test_alpha_dropout_keeps_mean_and_variance():
    """The definition of PyTorch's AlphaDropout, by its moments and by its two kinds of values."""
    for rate in (0.0, 0.1, 0.5):
        net = cymlp.Network([AlphaDropout(rate), Dense(1)], in_features=400, task="regression",
                            dtype="float64", rng=0)
        X = np.random.default_rng(0).normal(size=(250, 400))
        out = net._gradients(X, np.zeros(250))[2]["0.output"]
        assert abs(out.mean()) < 0.02 and abs(out.var() - 1) < 0.03
        floor = -1.0507009873554805 * 1.6732632423543772
        factor = ((1 - rate) * (1 + rate * floor**2)) ** -0.5
        offset = -factor * floor * rate
        dropped = np.isclose(out, factor * floor + offset, rtol=0, atol=1e-12)
        assert abs(dropped.mean() - rate) < 0.01
        np.testing.assert_allclose(out[~dropped], (factor * X + offset)[~dropped], atol=1e-12)
        assert net.predict(X).shape == (250, 1)


@pytest.mark.parametrize("bad", [6, -1, 2.5, np.nan, np.inf, 1e30])
def test_a_bad_code_is_refused_everywhere(bad):
    net, (X, y) = build("embedding"), batch(20)
    before = net._progress()
    net.train_step(X, y)
    net.predict(X)
    before = net._progress()
    X[13, 0] = bad
    for call in (lambda: net.predict(X), lambda: net.predict(X.astype("f4")),
                 lambda: net.forward(X), lambda: net.evaluate(X, y),
                 lambda: net.gradients(X, y), lambda: net.train_step(X, y),
                 lambda: net.fit(X, y, epochs=1)):
        with warnings.catch_warnings(), pytest.raises(
                ValueError, match=r"X: expected integer codes from 0 to 5 in column 0, got .* in "
                                  r"row 13"):
            warnings.simplefilter("ignore")
            call()
    assert net._progress() == before


@pytest.mark.parametrize("layers, message", [
    ([Residual([Dense(3)]), Dense(1)],
     r"layers\[0\]: Residual: expected an output of 5 columns, as its input has, got 3"),
    ([GLU(), Dense(1)], r"layers\[0\]: GLU: expected an even number of columns, got 5"),
    ([Columns([5]), Dense(1)], r"layers\[0\]: Columns: expected indices below 5"),
    ([Concat([[Dense(3)], [Columns([9])]]), Dense(1)], r"layers\[0.1.0\]: Columns: expected"),
    ([Dense(3), Embedding(4, 2), Dense(1)], "Embedding: expected columns of the network's input"),
    ([Scale([1.0, 2.0]), Dense(1)], r"layers\[0\], weight: initializer: expected an array of "
                                    r"shape \(5,\)"),
    ([Embedding(4, 2)], "layers: expected at least one Dense layer"),
])
def test_what_does_not_fit_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        cymlp.Network(layers, in_features=5, task="regression")


@pytest.mark.parametrize("make, kind, message", [
    (lambda: BatchNorm(1.5), ValueError, "momentum: expected a number finite, >= 0, <= 1"),
    (lambda: BatchNorm(epsilon=0), ValueError, "epsilon: expected a number finite, > 0"),
    (lambda: LayerNorm(scale=1), TypeError, "scale: expected True or False"),
    (lambda: RMSNorm("x"), TypeError, "epsilon: expected a real number"),
    (lambda: Scale("he_normal"), ValueError, "initializer: expected a number"),
    (lambda: PReLU(None), TypeError, "initializer: expected"),
    (lambda: PReLU(shared="no"), TypeError, "shared: expected"),
    (lambda: GLU("softmax"), ValueError, "activation: expected one that works element by"),
    (lambda: AlphaDropout(1.0), ValueError, "rate: expected a number finite, >= 0, < 1"),
    (lambda: Residual([]), ValueError, "layers: expected at least one layer"),
    (lambda: Residual(Dense(3)), TypeError, "layers: expected a sequence of layers"),
    (lambda: Concat([]), ValueError, "branches: expected at least one"),
    (lambda: Concat([Dense(3)]), TypeError, r"branches\[0\]: expected a sequence of layers"),
    (lambda: Concat([[3]]), TypeError, r"branches\[0\]\[0\]: expected a layer such as"),
    (lambda: Columns([1, 1]), ValueError, "indices: expected at least one number and none twice"),
    (lambda: Columns(3), TypeError, "indices: expected numbers of columns"),
    (lambda: Columns([-1]), ValueError, r"indices\[0\]: expected an integer of at least 0"),
    (lambda: Embedding(0, 3), ValueError, "categories: expected an integer of at least 1"),
    (lambda: Embedding(3, 1.5), TypeError, "units: expected an integer"),
])
def test_a_bad_value_is_refused_where_it_is_written(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_too_deep_a_nesting_is_refused():
    layer = Dense(5)
    for _ in range(200):
        layer = Residual([layer])
    with pytest.raises(ValueError, match="nesting"):
        cymlp.Network([layer, Dense(1)], in_features=5, task="regression")
    plain = to_dict(Dense(5))
    for _ in range(100):
        plain = {"type": "Residual", "layers": [plain]}
    with pytest.raises(ValueError, match="nesting"):
        from_dict(plain, "layer")


def test_summary_shows_what_is_inside(capsys):
    cymlp.Network([Dense(4, "relu"), Residual([Dense(4)]), BatchNorm(), Dense(1)], in_features=3,
                  task="binary").summary()
    text = capsys.readouterr().out
    assert "Residual" in text and "1.0" in text
    assert "57 parameters" not in text and "49 parameters in float32" in text


def test_graph():
    net = cymlp.Network([Dense(4, "relu"), Residual([Dense(4)]), Concat([[], [Dense(2)]]),
                         BatchNorm(), Dense(1)], in_features=3, task="binary")
    graph = net.graph()
    shapes = {node.name: node.shape for node in graph.nodes}
    assert shapes["2"] == "(n, 6)" and shapes["3.running_var"] == "(6,)"
    assert {name for name in shapes if "." in name} - {"1.0", "2.1.0"} == set(net.parameters)
    back = {(edge.begin, edge.end): edge.back for edge in graph.edges}
    assert back["input", "0"] == "" and back["3.running_mean", "3"] == ""
    assert back["0", "1"] == back["1.0", "1"] == back["0", "1.0"] == "(n, 4)"
    assert back["1.0.weight", "1.0"] == "(4, 4)" and back["4", "loss"] == "(n, 1)"
    assert graph.dot.count("->") == graph.mermaid.count("-->") == len(graph.edges)


def test_graph_drawn(monkeypatch):
    graph = cymlp.mlp(3, [2], 1, task="binary").graph()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="dot"):
        graph.svg()
    assert graph._repr_svg_() is None
    monkeypatch.undo()
    if shutil.which("dot") is None:
        pytest.skip("needs Graphviz")
    assert graph.svg().lstrip().startswith("<?xml") and "0.weight" in graph.svg()
