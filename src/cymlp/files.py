"""Saving and loading networks: safetensors files, written and read by plain code.

The format (https://github.com/huggingface/safetensors): eight bytes with the header's length,
little-endian; the header, a JSON object that maps each array's name to its dtype, shape and
place; the arrays' bytes, without gaps. Under ``__metadata__`` the entry ``cymlp`` holds the
network's description as JSON. No code is in a file, and none is run by reading it: the reader
believes nothing that it has not checked against the file's own size.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from . import specs
from .checks import as_integer, as_text, choices, shown
from .losses import TASKS
from .plan import parameter_layout

__all__ = ["build", "describe", "load", "save"]

_VERSION = 1
_KEYS = ("version", "in_features", "layers", "task", "loss", "optimizer", "dtype")
_DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}

# Parsing JSON takes many times the header's memory, so the header has a limit that still leaves
# room for thousands of layers.
_HEADER_LIMIT = 4 << 20

# The arrays begin at a multiple of this, so that a mapped file gives aligned arrays.
_ALIGNMENT = 64


class _Place(NamedTuple):
    """Where an array lies: its bytes ``begin`` to ``end``, counted from the header's end."""

    begin: int
    end: int
    dtype: np.dtype
    shape: tuple[int, ...]


def describe(network: Any, functions: bool = False) -> dict[str, Any]:
    """All of a network but its parameters' values, as plain values.

    What holds a function of the user is refused or, where `functions` is true, stays as it is.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> describe(net)["in_features"]
    3
    """
    return {
        "version": _VERSION,
        "in_features": int(network.in_features),
        "layers": [specs.to_dict(layer, functions) for layer in network.layers],
        "task": network.task,
        "loss": specs.to_dict(network.loss, functions),
        "optimizer": specs.to_dict(network.optimizer),
        "dtype": np.dtype(network.dtype).name,
    }


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
    from .network import Network

    parts = _parts(description)
    _check_shapes(parts, {name: np.shape(array) for name, array in arrays.items()})
    network = Network(**parts, rng=0)
    for name, array in arrays.items():
        network.parameters[name] = array
    return network


def restore(description: dict[str, Any], *progress: Any) -> Any:
    """The network of a pickle: its description, and how far it had come."""
    from .network import Network

    network = Network.__new__(Network)
    network._describe(**_parts(description))
    network._resume(*progress)
    return network


def _parts(description: Any) -> dict[str, Any]:
    """A description's values as the arguments of Network, each checked."""
    if not isinstance(description, Mapping):
        raise ValueError(f"description: expected an object, got {shown(description)}")
    version = description.get("version")
    if version != _VERSION or isinstance(version, bool):
        raise ValueError(
            f"version: expected {_VERSION}, the one that this cymlp reads, got {shown(version)}"
        )
    for key in _KEYS:
        if key not in description:
            raise ValueError(f"description: no value for {key!r}")
    for key in description:
        if key not in _KEYS:
            raise ValueError(f"description: expected {choices(_KEYS)}, got {shown(key)}")
    if not isinstance(description["layers"], (list, tuple)):
        raise ValueError(f"layers: expected a list, got {shown(description['layers'])}")
    loss = specs.from_dict(description["loss"], "loss")
    task = description["task"]
    try:
        if task is not None:
            as_text("task", task, TASKS)
        parts = {
            "in_features": as_integer("in_features", description["in_features"], least=1),
            "dtype": as_text("dtype", description["dtype"], ["float32", "float64"]),
        }
    except TypeError as error:
        raise ValueError(str(error)) from None
    if task is not None and type(TASKS[task][1]) is not type(loss):
        raise ValueError(f"loss: expected {TASKS[task][1]!r} for task {task!r}, got {loss!r}")
    return {
        **parts,
        "layers": [specs.from_dict(layer, "layer") for layer in description["layers"]],
        "optimizer": specs.from_dict(description["optimizer"], "optimizer"),
        "loss": loss,
        "task": task,
    }


def _check_shapes(parts: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """That the arrays are those of the layers, before anything of their size is made."""
    layout, _ = parameter_layout(parts["layers"], parts["in_features"], parts["dtype"])
    expected = {parameter.name: parameter.shape for parameter in layout}
    if not expected:
        raise ValueError("layers: expected at least one Dense layer")
    for name in expected:
        if name not in shapes:
            raise ValueError(f"array {name!r} of the network is missing")
    for name, shape in shapes.items():
        if name not in expected:
            raise ValueError(f"array {shown(name)} is no parameter of the network")
        if tuple(shape) != expected[name]:
            raise ValueError(f"array {name!r}: expected shape {expected[name]}, got {shape}")


def save(network: Any, path: str | os.PathLike[str]) -> None:
    """Writes a network to a file, whole or not at all.

    The file gets its name only when all of it is on the disk: a reader never sees a part, and
    an earlier file of that name stays as it was if anything fails.

    Parameters
    ----------
    network : cymlp.Network
    path : str or path

    Examples
    --------
    >>> import cymlp, os, tempfile
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, os.path.join(folder, "net.safetensors"))
    ...     load(os.path.join(folder, "net.safetensors")).in_features
    3
    """
    dtype = np.dtype(network.dtype).newbyteorder("<")
    code = next(code for code, known in _DTYPES.items() if known == dtype)
    header: dict[str, Any] = {"__metadata__": {"cymlp": json.dumps(describe(network))}}
    end = 0
    for name, array in network.parameters.items():
        begin, end = end, end + array.size * dtype.itemsize
        header[name] = {
            "dtype": code, "shape": list(array.shape), "data_offsets": [begin, end]
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > _HEADER_LIMIT:
        raise ValueError(f"network: {len(network.layers)} layers are too many for a file")

    def write(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in network.parameters.values():
            file.write(np.ascontiguousarray(array, dtype=dtype).data)

    _write_whole(_checked_path(path), write)


def _checked_path(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path: expected a file name, got {shown(path)}") from None


def _write_whole(path: str, write: Any) -> None:
    """Writes beside the target, then renames: as ``open`` would, through a symbolic link and
    with the mode of the file that is replaced or else the usual one."""
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a file, but {path} is a folder or a device")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):  # else the error would name the temporary file
        raise FileNotFoundError(errno.ENOENT, "No such folder", folder)
    temporary = os.path.join(folder, f".cymlp-{secrets.token_hex(8)}.tmp")
    # Opened here and not by tempfile, whose files are for their owner alone.
    file = open(temporary, "xb")
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Brings the new name to the disk too, where the system can do that for a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: str | os.PathLike[str]) -> Any:
    """Reads a network that :func:`save` wrote.

    Safe for files from anywhere: no code is run, and every size is checked before memory is
    taken for it. The optimizer starts anew.

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
    path = _checked_path(path)
    # Asked first, as opening a pipe could wait for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path}: expected a file, got a folder or a device")
    try:
        with open(path, "rb") as file:
            description, arrays = _read(file)
        return build(description, arrays)
    except RecursionError:
        raise ValueError(f"{path}: header: JSON too deeply nested") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = os.fstat(file.fileno()).st_size
    header, start = _read_header(file, size)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("cymlp"), str):
        raise ValueError("metadata: no entry 'cymlp', so another program wrote this file")
    description = _parse(metadata["cymlp"], "metadata")
    places = _places(header, size - start)

    parts = _parts(description)
    _check_shapes(parts, {name: place.shape for name, place in places.items()})
    for name, place in places.items():
        if place.dtype != np.dtype(parts["dtype"]).newbyteorder("<"):
            raise ValueError(f"array {name!r}: expected {parts['dtype']}, got {place.dtype.name}")

    arrays = {}
    for name, place in places.items():
        array = np.empty(place.shape, dtype=place.dtype)
        file.seek(start + place.begin)
        if file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:
            raise ValueError(f"array {name!r}: the file ends before it does")
        arrays[name] = array.astype(parts["dtype"], copy=False)
    return description, arrays


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header as a dict, and where the arrays begin."""
    if size < 8:
        raise ValueError(f"expected at least 8 bytes, got {size}")
    length = int.from_bytes(file.read(8), "little")
    if length > _HEADER_LIMIT:
        raise ValueError(f"header: expected at most {_HEADER_LIMIT} bytes, got {length}")
    if length > size - 8:
        raise ValueError(f"header: expected {length} bytes, but the file has {size - 8} left")
    raw = file.read(length)
    if len(raw) != length:
        raise ValueError("header: the file ends before it does")
    return _parse(raw, "header"), 8 + length


def _parse(raw: str | bytes, name: str) -> dict[str, Any]:
    """The JSON object in a text; no name twice, no NaN or Infinity."""
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))
            raise ValueError(f"the name {shown(twice)} stands twice")
        return result

    def constant(text: str) -> Any:
        raise ValueError(f"{text} is no JSON")

    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        result = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not isinstance(result, dict) or not text.startswith("{"):
        raise ValueError(f"{name}: expected a JSON object, got {shown(text, 40)}")
    return result


def _places(header: dict[str, Any], size: int) -> dict[str, _Place]:
    """Where every array lies; together they fill the ``size`` bytes after the header."""
    places = {name: _place(name, entry, size) for name, entry in header.items()}
    end = 0
    for name, place in sorted(places.items(), key=lambda item: item[1][:2]):
        if place.begin != end:
            what = "overlaps another array" if place.begin < end else "leaves a gap before it"
            raise ValueError(
                f"array {shown(name)}: {what}: expected offset {end}, got {place.begin}"
            )
        end = place.end
    if end != size:
        raise ValueError(f"expected {end} bytes of arrays, got {size}")
    return places


def _place(name: str, entry: Any, size: int) -> _Place:
    who = f"array {shown(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{who}: expected dtype, shape and data_offsets, got {shown(entry)}")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise ValueError(f"{who}: expected dtype {choices(_DTYPES)}, got {shown(code)}")
    if not _are_sizes(shape) or len(shape) not in (1, 2):
        raise ValueError(f"{who}: expected a shape of one or two sizes, got {shown(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{who}: expected two offsets, got {shown(offsets)}")
    if offsets[1] > size:
        raise ValueError(f"{who}: expected offsets up to {size}, got {shown(offsets)}")
    dtype = _DTYPES[code]
    needed = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != needed:
        raise ValueError(
            f"{who}: expected {shown(needed)} bytes for {code} of shape {shown(shape)}, "
            f"got offsets {shown(offsets)}"
        )
    return _Place(offsets[0], offsets[1], dtype, tuple(shape))


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
