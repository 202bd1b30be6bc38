"""Saving and loading: nothing is lost, nothing is believed."""

import json
import os
import stat
import struct
import threading

import numpy as np
import pytest

import cymlp
from cymlp import files, specs
from cymlp.initializers import Constant, GivenArray


def make(dtype="float32", **arguments):
    layers = [
        cymlp.Dense(5, cymlp.Activation("leaky_relu", slope=0.2), weight_initializer="he_normal"),
        cymlp.Dropout(0.25),
        cymlp.Dense(4, bias=False),
        cymlp.Activation("tanh"),
        cymlp.Dense(3, bias_initializer=Constant(0.1)),
    ]
    arguments = arguments or {"task": "multiclass"}
    optimizer = cymlp.Adam(3e-4, betas=(0.8, 0.99), amsgrad=True)
    return cymlp.Network(
        layers, in_features=7, optimizer=optimizer, dtype=dtype, rng=3, **arguments
    )


def same(left, right):
    assert files.describe(left) == files.describe(right)
    assert list(left.parameters) == list(right.parameters)
    for name in left.parameters:
        a, b = left.parameters[name], right.parameters[name]
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), name


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "arguments",
    [{"task": "multiclass"}, {"task": "multilabel"}, {"loss": "mean_squared_error"}],
    ids=str,
)
def test_round_trip(path, dtype, arguments):
    net = make(dtype, **arguments)
    net.save(path)
    loaded = cymlp.load(str(path))
    same(net, loaded)
    assert loaded.task == arguments.get("task")
    assert loaded.layers == net.layers and loaded.optimizer == net.optimizer
    again = path.with_name("again")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_loaded_network_predicts_the_same_bits(path):
    net = make()
    net.save(path)
    rows = np.random.default_rng(0).normal(size=(6, 7)).astype("float32")
    assert net.predict(rows).tobytes() == cymlp.load(path).predict(rows).tobytes()


def test_nan_and_inf_survive(path):
    net = make()
    net.parameters["2.weight"] = np.full((5, 4), np.nan)
    net.parameters["4.bias"] = np.array([np.inf, -np.inf, -0.0])
    net.save(path)
    same(net, cymlp.load(path))


def test_the_safetensors_package_reads_what_is_written(path):
    safetensors = pytest.importorskip("safetensors")
    numpy_reader = pytest.importorskip("safetensors.numpy")
    for dtype in ("float32", "float64"):
        net = make(dtype)
        net.save(path)
        arrays = numpy_reader.load_file(path)
        assert {name: a.tobytes() for name, a in arrays.items()} == {
            name: a.tobytes() for name, a in net.parameters.items()
        }
        assert all(array.dtype == dtype for array in arrays.values())
        with safetensors.safe_open(path, "numpy") as file:
            description = json.loads(file.metadata()["cymlp"])
        assert description == json.loads(json.dumps(files.describe(net)))


def test_a_file_rewritten_by_the_safetensors_package_loads(path):
    numpy_writer = pytest.importorskip("safetensors.numpy")
    net = make()
    numpy_writer.save_file(
        {name: np.array(array) for name, array in net.parameters.items()},
        path,
        metadata={"cymlp": json.dumps(files.describe(net)), "other": "entry"},
    )
    same(net, cymlp.load(path))


def test_arrays_lie_aligned(path):
    make().save(path)
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    assert (8 + length) % 64 == 0


def test_given_arrays_become_parameters(path):
    weight = np.arange(6.0).reshape(3, 2)
    layer = cymlp.Dense(2, weight_initializer=weight, bias_initializer=[1.0, 2.0])
    net = cymlp.Network([layer], in_features=3, task="regression")
    net.save(path)
    loaded = cymlp.load(path)
    assert (loaded.parameters["0.weight"] == weight).all()
    assert loaded.layers == (cymlp.Dense(2),)
    assert specs.to_dict(layer)["weight_initializer"] == {"type": "GivenArray"}


def test_build_from_plain_values():
    net = make("float64")
    description = json.loads(json.dumps(files.describe(net)))
    same(net, files.build(description, dict(net.parameters)))
    arrays = dict(net.parameters)
    del arrays["2.weight"]
    with pytest.raises(ValueError, match="'2.weight' of the network is missing"):
        files.build(description, arrays)


# How a file appears


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_mode_is_that_of_open(path):
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    make().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    make().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_symbolic_link_stays_one(path):
    target = path.with_name("target")
    path.symlink_to(target)
    make().save(path)
    assert path.is_symlink() and not target.is_symlink()
    same(make(), cymlp.load(path))


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_save_leaves_the_old_file(path, monkeypatch, failing):
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        make().save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_bad_paths(path, tmp_path):
    net = make()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        net.save(tmp_path / "nowhere" / "net")
    with pytest.raises(ValueError, match="folder"):
        net.save(tmp_path)
    with pytest.raises(ValueError, match="folder"):
        cymlp.load(tmp_path)
    for call in (net.save, cymlp.load):
        with pytest.raises(TypeError, match="path: expected a file name, got 3"):
            call(3)
    with pytest.raises(FileNotFoundError):
        cymlp.load(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    failures = []

    def attempt():
        try:
            cymlp.load(path)
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert failures


# What a reader refuses


def parts_of(path):
    """The header as a dict, and the arrays' bytes."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def refused(path, *parts):
    with pytest.raises(ValueError) as caught:
        cymlp.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert all(part in message for part in parts), message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_cut_files(path, keep):
    make().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "expected")


def test_a_flipped_bit_of_the_header_is_refused_or_harmless(path):
    make().save(path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    (length,) = struct.unpack("<Q", raw[:8])
    for place in rng.permutation(8 + length)[:300]:
        changed = bytearray(raw)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            cymlp.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path))


def test_longer_file(path):
    make().save(path)
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "bytes of arrays")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, (4 << 20) + 1])
def test_header_length_is_checked_before_memory_is_taken(path, length):
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    refused(path, "header", str(length))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"", "Expecting value"),
        (b"[]", "JSON object"),
        (b"  {}", "JSON object"),
        (b"{} {}", "Extra data"),
        (b"\xff{}", "utf-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": ' + b"9" * 5000 + b"}", "limit"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"[" * 100000, "nested"),
        (b'{"a":' * 100000, "nested"),
        (b"{}", "no entry 'cymlp'"),
        (b'{"__metadata__": []}', "expected an object"),
        (b'{"__metadata__": {"cymlp": {}}}', "no entry 'cymlp'"),
        (b'{"__metadata__": {"cymlp": "[]"}}', "JSON object"),
        (b'{"__metadata__": {"cymlp": "{}"}}', "version"),
    ],
)
def test_faulty_headers(path, text, part):
    put(path, text, b"")
    refused(path, part)


def set_entry(key, value):
    return lambda header: header["0.bias"].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (set_entry("dtype", "F16"), ["'0.bias'", "'F32'", "'F16'"]),
        (set_entry("dtype", ["F32"]), ["'0.bias'", "dtype"]),
        (set_entry("dtype", "F64"), ["'0.bias'", "40 bytes"]),
        (set_entry("shape", [6]), ["'0.bias'", "24 bytes", "[6]"]),
        (set_entry("shape", [1, 5]), ["'0.bias'", "(5,)", "(1, 5)"]),
        (set_entry("shape", []), ["'0.bias'", "one or two sizes"]),
        (set_entry("shape", [-5]), ["'0.bias'", "sizes", "-5"]),
        (set_entry("shape", [5.0]), ["'0.bias'", "sizes", "5.0"]),
        (set_entry("shape", [True]), ["'0.bias'", "sizes", "True"]),
        (set_entry("shape", [2**62, 2**62]), ["'0.bias'", "bytes"]),
        (set_entry("shape", [10**4000, 10**4000]), ["'0.bias'", "bytes"]),
        (set_entry("shape", {}), ["'0.bias'", "sizes"]),
        (set_entry("data_offsets", [140, 159]), ["'0.bias'", "20 bytes"]),
        (set_entry("data_offsets", [160, 140]), ["'0.bias'", "20 bytes"]),
        (set_entry("data_offsets", [136, 156]), ["overlaps"]),
        (set_entry("data_offsets", [144, 164]), ["gap"]),
        (set_entry("data_offsets", [10**4000, 10**4000 + 20]), ["'0.bias'", "up to"]),
        (set_entry("data_offsets", [140]), ["'0.bias'", "two offsets"]),
        (set_entry("extra", 1), ["'0.bias'", "dtype, shape and data_offsets"]),
        (lambda header: header.update({"0.bias": 3}), ["'0.bias'", "3"]),
        (lambda header: header.pop("0.bias"), ["gap"]),
        (lambda header: header.update(x=header.pop("0.bias")), ["'0.bias'", "missing"]),
    ],
)
def test_faulty_entries(path, change, parts):
    make().save(path)
    header, data = parts_of(path)
    change(header)
    put(path, header, data)
    refused(path, *parts)


def set_layer(key, value):
    return lambda description: description["layers"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda d: d.update(version=2), ["version", "expected 1", "2"]),
        (lambda d: d.update(version=True), ["version"]),
        (lambda d: d.update(more=1), ["description", "more"]),
        (lambda d: d.pop("task"), ["description", "'task'"]),
        (lambda d: d.update(dtype="float16"), ["dtype", "'float32'", "'float16'"]),
        (lambda d: d.update(dtype="float64"), ["float64", "float32"]),
        (lambda d: d.update(layers=[], in_features=10**15), ["layers", "Dense"]),
        (lambda d: d.update(in_features=0), ["in_features", "at least 1", "0"]),
        (lambda d: d.update(in_features=7.5), ["in_features", "7.5"]),
        (lambda d: d.update(in_features=10**9), ["'0.weight'", "(7, 5)"]),
        (lambda d: d.update(in_features=10**15), ["layers", "at most"]),
        (lambda d: d.update(task="poetry"), ["task", "'binary'", "'poetry'"]),
        (lambda d: d.update(task=[]), ["task", "[]"]),
        (lambda d: d.update(task="regression"), ["loss", "MeanSquaredError()"]),
        (lambda d: d.update(loss="mse"), ["loss", "'mse'"]),
        (lambda d: d.update(layers=3), ["layers", "list", "3"]),
        (lambda d: d["layers"].append({"type": "eval"}), ["layer", "'Dense'", "'eval'"]),
        (lambda d: d["layers"].append({"type": "Adam"}), ["layer", "'Dense'", "'Adam'"]),
        (lambda d: d["layers"].append({"type": "Dense"}), ["Dense", "units"]),
        (lambda d: d["layers"].append({"type": ["Dense"]}), ["layer", "['Dense']"]),
        (lambda d: d["layers"].append(None), ["layer", "None"]),
        (lambda d: d["layers"].append({"type": "Dense", "units": 2}), ["'5.weight'", "missing"]),
        (lambda d: d["layers"].pop(), ["'4.weight'", "no parameter"]),
        (set_layer("units", 10**9), ["'0.weight'", "(7, 5)"]),
        (set_layer("units", 10**15), ["layers", "at most"]),
        (set_layer("units", "5"), ["units", "'5'"]),
        (set_layer("units", {"type": "Zeros"}), ["units", "plain value"]),
        (set_layer("__class__", "x"), ["Dense", "__class__"]),
        (set_layer("activation", {"type": "Dense"}), ["activation", "'Dense'"]),
        (set_layer("weight_initializer", {"type": "Constant"}), ["Constant", "value"]),
        (lambda d: d["optimizer"].update(betas=[0.9]), ["betas", "[0.9]"]),
        (lambda d: d["optimizer"].update(learning_rate=-1), ["learning_rate", "-1"]),
    ],
)
def test_faulty_descriptions(path, change, parts):
    make().save(path)
    header, data = parts_of(path)
    description = json.loads(header["__metadata__"]["cymlp"])
    change(description)
    header["__metadata__"]["cymlp"] = json.dumps(description)
    put(path, header, data)
    refused(path, *parts)


@pytest.mark.parametrize(
    ("spec", "group"),
    [
        (cymlp.Dense(3, "softmax", weight_initializer=Constant(1)), "layer"),
        (cymlp.Activation("leaky_relu", slope=0.3), "layer"),
        (cymlp.SGD(0.1, momentum=0.9, nesterov=True), "optimizer"),
        (cymlp.Adagrad(0.5), "optimizer"),
        (cymlp.RMSprop(centered=True), "optimizer"),
        (cymlp.Adam(betas=(0.1, 0.2)), "optimizer"),
        (cymlp.BinaryCrossEntropy(), "loss"),
    ],
    ids=repr,
)
def test_specifications_as_plain_values(spec, group):
    plain = json.loads(json.dumps(specs.to_dict(spec)))
    assert specs.from_dict(plain, group) == spec


def test_only_specifications_have_a_plain_form():
    with pytest.raises(TypeError, match="expected a specification"):
        specs.to_dict("adam")
    assert specs.to_dict(GivenArray([1.0])) == {"type": "GivenArray"}


def test_a_network_without_the_state_of_its_training_has_the_first_key_of_seed_0(tmp_path):
    """So that dropout and the order of batches after loading are those of every version."""
    file = tmp_path / "net.safetensors"
    cymlp.mlp(3, [4], 1, task="regression", rng=7).save(file)
    key = cymlp.load(file)._engine.progress()[0]
    assert key == np.random.default_rng(0).integers(2**64, dtype=np.uint64)
