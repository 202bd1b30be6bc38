"""Saving and loading networks: safetensors files, written and read by plain code.

Under ``__metadata__`` the entry ``cymlp`` holds the network's description as JSON, and, where the
training state is in the file too, ``cymlp_training`` the counters and the run. Arrays have the
names of the parameters (``0.weight``), of the optimizer's states behind these
(``0.weight.first_moment``), or begin with ``training.``. No code is in a file, and none is run by
reading it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ..checks import as_flag, shown
from ..plan import parameter_layout
from ..update import as_update
from .container import Contents, parse, read_array, read_contents, write
from .description import describe, parts_of
from .state import Training, arena_places, as_training, training_text
from .whole import checked_path, write_whole

__all__ = ["build", "describe", "load", "save"]

# The key of random numbers of a network that comes without the state of its training.
_KEY = 0xA30FEBCFD9C2825F


def build(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """The network of a description, with the given parameters.

    Parameters
    ----------
    description : dict
        What :func:`describe` gave.
    arrays : mapping of str to numpy.ndarray
        Every parameter by name.

    Returns
    -------
    cymlp.Network

    Raises
    ------
    ValueError
        Where the description is faulty or the arrays are not those of the network.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> twin = build(describe(net), dict(net.parameters))
    >>> bool((twin.parameters["0.weight"] == net.parameters["0.weight"]).all())
    True
    """
    parts = parts_of(description)
    places = _expected(parts, False)
    _check_shapes(places, {name: np.shape(array) for name, array in arrays.items()})
    return _build(parts, places, arrays)


def _expected(parts: Mapping[str, Any], with_state: bool) -> dict[str, tuple]:
    """The arrays that a network of these parts has."""
    layout, _ = parameter_layout(parts["layers"], parts["in_features"], parts["dtype"])
    if not layout:
        raise ValueError("layers: expected at least one Dense layer")
    kept = (parts["optimizer"], as_update(parts["update"])) if with_state else ()
    return arena_places(layout, *kept)


def _build(parts: Mapping[str, Any], places: Mapping[str, tuple], arrays: Mapping[str, Any],
           training: Training | None = None) -> Any:
    """A network of checked parts and arrays; no initializer runs."""
    from ..network import Network

    network = Network.__new__(Network)
    network._describe(**parts)
    if training is None:
        network._start(_KEY)
    else:
        network._start(training.key)
        network._engine.step, network._engine.epoch = training.step, training.epoch
        network._record = training.record
    for name, (parameter, state) in places.items():
        network._engine.write(parameter, arrays[name], state)
    return network


def restore(description: dict[str, Any], *progress: Any) -> Any:
    """The network of a pickle: its description, and how far it had come."""
    from ..network import Network

    network = Network.__new__(Network)
    network._describe(**parts_of(description))
    network._resume(*progress)
    return network


def _check_shapes(
    expected: Mapping[str, tuple[Any, int]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """That the arrays are those of the layers, before anything of their size is made."""
    for name in expected:
        if name not in shapes:
            raise ValueError(f"array {name!r} of the network is missing")
    for name, shape in shapes.items():
        if name not in expected:
            raise ValueError(f"array {shown(name)} is no parameter of the network")
        wanted = expected[name][0].shape
        if tuple(shape) != wanted:
            raise ValueError(f"array {name!r}: expected shape {wanted}, got {shape}")


def save(network: Any, path: str | os.PathLike[str], training_state: bool = False) -> None:
    """Writes a network to a file, whole or not at all.

    The file gets its name only when all of it is on the disk: a reader never sees a part, and
    an earlier file of that name stays as it was if anything fails.

    Parameters
    ----------
    network : cymlp.Network
    path : str or path
    training_state : bool
        Whether the optimizer's states, the counters and the run go into the file too.

    Examples
    --------
    >>> import cymlp, os, tempfile
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, os.path.join(folder, "net.safetensors"))
    ...     load(os.path.join(folder, "net.safetensors")).in_features
    3
    """
    path = checked_path(path)
    training_state = as_flag("training_state", training_state)
    kept = (network.optimizer, network.update) if training_state else ()
    places = arena_places(network._layout, *kept)
    # All at once: what another thread trains meanwhile would be of several steps.
    *counters, arrays = network._engine.snapshot(list(places.values()))
    arrays = dict(zip(places, arrays, strict=True))
    texts = {"cymlp": json.dumps(describe(network))}
    if training_state:
        texts["cymlp_training"], more = training_text(Training(*counters, network._record))
        arrays |= more
    write_whole(path, lambda file: write(file, texts, arrays))


def load(path: str | os.PathLike[str]) -> Any:
    """Reads a network that :meth:`cymlp.Network.save` wrote.

    Safe for files from anywhere: no code is run, and every size is checked before memory is
    taken for it. Without a training state in the file the optimizer starts anew; with it, the
    network is in all as it was, and ``fit(..., resume=True)`` goes on with its run.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    cymlp.Network

    Raises
    ------
    ValueError
        With the path and what is wrong, where the file is not a whole and faultless one.

    Examples
    --------
    >>> load(__file__)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: ...: header: expected at most ... bytes, got ...
    """
    path = checked_path(path)
    # Asked first, as opening a pipe could wait for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path}: expected a file, got a folder or a device")
    try:
        with open(path, "rb") as file:
            return _read(file)
    except RecursionError:
        raise ValueError(f"{path}: header: JSON too deeply nested") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(file: BinaryIO) -> Any:
    texts, places = read_contents(file)
    if not isinstance(texts.get("cymlp"), str):
        raise ValueError("metadata: no entry 'cymlp', so another program wrote this file")
    parts = parts_of(parse(texts["cymlp"], "metadata"))
    with_state = "cymlp_training" in texts
    expected = _expected(parts, with_state)
    own = {name: place for name, place in places.items()
           if not (with_state and name.startswith("training."))}
    _check_shapes(expected, {name: place.shape for name, place in own.items()})
    for name, place in own.items():
        if place.dtype != np.dtype(parts["dtype"]).newbyteorder("<"):
            raise ValueError(f"array {name!r}: expected {parts['dtype']}, got {place.dtype.name}")
    training = _read_training(file, Contents(texts, places)) if with_state else None
    arrays = {name: read_array(file, name, place) for name, place in own.items()}
    return _build(parts, expected, arrays, training)


def _read_training(file: BinaryIO, contents: Contents) -> Training:
    """The counters and the run, with the arrays that belong to it."""
    text = contents.texts["cymlp_training"]
    if not isinstance(text, str):
        raise ValueError(f"training: expected a text, got {shown(text)}")
    arrays = {name: read_array(file, name, place) for name, place in contents.places.items()
              if name.startswith("training.")}
    return as_training(parse(text, "training"), arrays)
