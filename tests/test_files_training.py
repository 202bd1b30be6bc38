"""Files with a training state: what another program reads there, and what ours refuses."""

import json
import struct
import tracemalloc

import numpy as np
import pytest

import cymlp
from cymlp.callbacks import Callback, EarlyStopping

X = np.random.default_rng(0).normal(size=(40, 5))
Y = np.arange(40) % 3


def trained():
    net = cymlp.Network([cymlp.Dense(4, "relu"), cymlp.BatchNorm(), cymlp.Dense(3)], rng=0,
                        in_features=5, task="multiclass", optimizer="adam")
    net.fit(X, Y, epochs=3, batch_size=16, callbacks=EarlyStopping("loss"))
    return net


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "net"
    trained().save(path, training_state=True)
    return path.read_bytes()


def parts_of(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8:8 + length]), raw[8 + length:]


def test_arrays_have_names_that_speak(tmp_path):
    reader = pytest.importorskip("safetensors.numpy")
    net = trained()
    net.save(tmp_path / "net", training_state=True)
    arrays = reader.load_file(tmp_path / "net")
    assert {name: a.tobytes() for name, a in arrays.items() if name in net.parameters} == {
        name: a.tobytes() for name, a in net.parameters.items()}
    for number, state in enumerate(net.optimizer.states()):
        for parameter in net._layout:
            name = f"{parameter.name}.{state}"
            assert (name in arrays) == parameter.trained
            if parameter.trained:
                assert np.array_equal(arrays[name], net._engine.read(parameter, number))
    assert arrays["training.history.loss"].tolist() == net._record.history["loss"]
    assert "training.callback.0.kept.0.weight" in arrays
    plain = tmp_path / "plain"
    net.save(plain)
    assert set(reader.load_file(plain)) == set(net.parameters)
    with pytest.raises(TypeError, match="training_state: expected True or False, got 'yes'"):
        net.save(plain, training_state="yes")


def test_numbers_that_json_has_not(tmp_path):
    class Remembers(Callback):
        kept = {}

        def state(self):
            return {"a": np.inf, "b": -np.inf, "c": np.nan, "d": None, "e": True, "f": "x",
                    "g": np.float32(0.1), "h": -0.0, "i": np.arange(3),
                    "j": np.full((2, 2), np.nan)}

        def restore(self, state):
            self.kept.update(state)

    net = trained()
    net.fit(X, Y, epochs=1, callbacks=Remembers())
    net.save(tmp_path / "net", training_state=True)
    cymlp.load(tmp_path / "net").fit(X, Y, epochs=2, resume=True, callbacks=Remembers())
    wanted, found = Remembers().state(), Remembers.kept
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.array_equal(found[name], value, equal_nan=name in "cj"), name
    assert np.signbit(found["h"])


@pytest.mark.parametrize(("state", "part"), [
    ({"a": [1]}, r"state\(\)\['a'\]: expected None, a bool"),
    ({"a": np.zeros((1, 1, 1))}, r"state\(\)\['a'\]: expected an array of one or two axes"),
    ({"a": np.array(["x"])}, r"state\(\)\['a'\]: expected an array"),
    ([], r"state\(\): expected a dict")])
def test_states_that_no_file_holds(tmp_path, state, part):
    callback = Callback()
    callback.state = lambda: state
    net = trained()
    net.fit(X, Y, epochs=1, callbacks=callback)
    with pytest.raises(TypeError, match=part):
        net.save(tmp_path / "net", training_state=True)
    assert not list(tmp_path.iterdir())


def run(change):
    return lambda header, training: change(training["run"])


def entry(name, **values):
    return lambda header, training: header[name].update(values)


def renamed(old, new):
    return lambda header, training: header.update({new: header.pop(old)})


FAULTS = {
    "no state": (lambda h, t: h.pop("0.weight.first_moment"), "gap"),
    "renamed state": (renamed("0.weight.first_moment", "0.weight.third_moment"), "missing"),
    "state of what is not trained": (renamed("0.bias.first_moment", "1.running_mean.first_moment"),
                                     "missing"),
    "shape of a state": (entry("0.weight.first_moment", shape=[4, 5]), "expected shape (5, 4)"),
    "dtype of a state": (entry("0.weight.first_moment", shape=[5, 2], dtype="F64"), "(5, 4)"),
    "integers for a state": (entry("0.weight.first_moment", dtype="I32"), "float32"),
    "overlap": (lambda h, t: h["0.weight.first_moment"].update(
        data_offsets=h["0.weight"]["data_offsets"]), "overlaps"),
    "counters of text": (lambda h, t: t.update(step="3"), "step"),
    "negative counter": (lambda h, t: t.update(epoch=-1), "epoch"),
    "huge counter": (lambda h, t: t.update(step=2**63), "step"),
    "key of 65 bits": (lambda h, t: t.update(key=hex(2**64)), "key"),
    "key as a number": (lambda h, t: t.update(key=3), "key"),
    "key of nothing": (lambda h, t: t.update(key="xyz"), ""),
    "version": (lambda h, t: t.update(version=2), "version"),
    "more": (lambda h, t: t.update(more=2), "more"),
    "run of text": (lambda h, t: t.update(run="x"), "run"),
    "no run": (lambda h, t: t.update(run=None), "belongs to no run"),
    "settings": (run(lambda r: r["settings"].pop("rows")), "rows"),
    "no rows": (run(lambda r: r["settings"].update(rows=0)), "rows"),
    "few rows": (run(lambda r: r["settings"].update(rows=2**70)), "rows"),
    "epochs": (run(lambda r: r.update(epoch=7)), "7 epochs"),
    "stopped": (run(lambda r: r.update(stopped=1)), "stopped"),
    "logs": (run(lambda r: r.update(logs=[1])), "logs"),
    "logs of text": (run(lambda r: r.update(logs={"loss": "x"})), "loss"),
    "a number that is none": (run(lambda r: r.update(logs={"loss": {"number": "1e5"}})), "loss"),
    "logs of a huge integer": (run(lambda r: r.update(logs={"loss": 10**400})), "loss"),
    "history of numbers": (run(lambda r: r.update(history=[1])), "history"),
    "history twice": (run(lambda r: r["history"].append("loss")), "training.history.loss"),
    "history without its array": (run(lambda r: r["history"].append("x")), "training.history.x"),
    "history of another length": (entry("training.history.loss", shape=[1, 3]), "history.loss"),
    "callbacks": (run(lambda r: r.update(callbacks={})), "callbacks"),
    "callback of a number": (run(lambda r: r["callbacks"].append(3)), "callbacks[1]"),
    "callback without a name": (run(lambda r: r["callbacks"][0].update(type=3)), "name"),
    "callback's state": (run(lambda r: r["callbacks"][0].update(state=[])), "state"),
    "callback's list": (run(lambda r: r["callbacks"][0]["state"].update(best=[1])), "best"),
    "array of nobody": (renamed("training.place", "training.elsewhere"), "place"),
    "array of no callback": (renamed("training.callback.0.kept.0.bias",
                                     "training.callback.1.kept.0.bias"), "belongs to nothing"),
    "place of another shape": (entry("training.place", shape=[4, 2]), "place"),
    "place of another dtype": (entry("training.place", shape=[8], dtype="I64"), "place"),
    "deep": (lambda h, t: h["__metadata__"].update(cymlp_training="[" * 10**5), "nested"),
    "training of numbers": (lambda h, t: h["__metadata__"].update(cymlp_training=[1]), "training"),
    "training twice": (lambda h, t: h["__metadata__"].update(
        cymlp_training='{"version": 1, "version": 1}'), "stands twice"),
    "huge layer": (lambda h, t: h["__metadata__"].update(
        cymlp=h["__metadata__"]["cymlp"].replace('"units": 4', '"units": 4000000000')), "shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(tmp_path, good, fault):
    change, part = FAULTS[fault]
    header, data = parts_of(good)
    training = json.loads(header["__metadata__"]["cymlp_training"])
    before = dict(header["__metadata__"])
    change(header, training)
    if header["__metadata__"] == before:
        header["__metadata__"]["cymlp_training"] = json.dumps(training)
    text = json.dumps(header).encode()
    path = tmp_path / "net"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            cymlp.load(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and part in message and len(message) < 600, message


@pytest.mark.parametrize("position", [-1.0, 0.5, 40.0, np.nan, np.inf])
def test_places_outside_of_the_epoch(tmp_path, good, position):
    header, _ = parts_of(good)
    (length,) = struct.unpack("<Q", good[:8])
    begin = 8 + length + header["training.place"]["data_offsets"][0]
    path = tmp_path / "net"
    path.write_bytes(good[:begin] + struct.pack("<d", position) + good[begin + 8:])
    with pytest.raises(ValueError, match="training.place.*expected a row below 40"):
        cymlp.load(path)


def test_flipped_bits_are_refused_or_harmless(tmp_path, good):
    rng = np.random.default_rng(0)
    (length,) = struct.unpack("<Q", good[:8])
    path = tmp_path / "net"
    for place in rng.permutation(8 + length)[:400]:
        changed = bytearray(good)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            net = cymlp.load(path)
            net.fit(X, Y, epochs=4, batch_size=16, resume=True, callbacks=EarlyStopping("loss"))
        except ValueError as error:
            assert "\n" not in str(error)
