"""``python -m cymlp``: the demonstration and the configuration."""

import os
import signal
import subprocess
import sys
import time

import pytest

import cymlp
from cymlp.__main__ import main


@pytest.fixture(autouse=True)
def keep_threads():
    before = cymlp.get_num_threads()
    yield
    cymlp.set_num_threads(before)


def test_info_prints_the_configuration(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert cymlp.__version__ in out and "OpenMP" in out


@pytest.mark.parametrize("arguments", [["-h"], ["demo", "-h"], ["info", "-h"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "usage: python -m cymlp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["train"], "train"),
        (["demo", "--epochs", "0"], "argument --epochs: expected an integer of at least 1"),
        (["demo", "--epochs", "many"], "'many'"),
        (["demo", "--seed", "-1"], "argument --seed"),
        (["demo", "--threads", "0"], "argument --threads"),
        (["demo", "--threads", "1000000"], "argument --threads"),
        (["demo", "--dtype", "float16"], "float16"),
    ],
)
def test_wrong_arguments(arguments, part, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 2])
def test_demo_learns_to_read(threads, tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    output = tmp_path / "new" / "pictures"
    assert main(["demo", "--threads", str(threads), "--output", str(output)]) == 0
    out = capsys.readouterr().out
    accuracy = float(out.split("test accuracy ")[1].split("%")[0])
    assert accuracy >= 97
    assert "confusion" in out and "steps per second" in out
    for name in ("loss.png", "digits.png"):
        picture = (output / name).read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_demo_without_matplotlib(tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    output = tmp_path / "pictures"
    arguments = ["demo", "--epochs", "1", "--dtype", "float64", "--output", str(output)]
    assert main(arguments) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert not output.exists()


def test_demo_without_scikit_learn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["demo"]) == 2
    assert "python -m pip install scikit-learn" in capsys.readouterr().err


def test_demo_with_an_output_that_is_a_file(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    output = tmp_path / "taken"
    output.write_text("")
    assert main(["demo", "--epochs", "1", "--output", str(output)]) == 1
    assert "taken" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_interrupt_ends_the_demo_cleanly(tmp_path):
    pytest.importorskip("sklearn")
    with subprocess.Popen(
        [sys.executable, "-m", "cymlp", "demo", "--epochs", "1000000"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:
        try:
            assert "digits to learn from" in process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.rstrip().endswith("interrupted") and "Traceback" not in err
