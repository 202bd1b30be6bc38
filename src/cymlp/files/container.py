"""The safetensors format: named arrays and some texts in one file.

Eight bytes with the header's length, little-endian; the header, a JSON object that maps each
array's name to its dtype, shape and place, and ``__metadata__`` to an object of texts; the arrays'
bytes, without gaps (https://github.com/huggingface/safetensors). The reader believes nothing that
it has not checked against the file's own size.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..checks import choices, shown

__all__ = ["Contents", "Place", "dtype_code", "parse", "read_array", "read_contents", "write"]

_DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I32": np.dtype("<i4"),
           "I64": np.dtype("<i8"), "U8": np.dtype("u1")}

# Parsing JSON takes many times the header's memory, so the header has a limit that still leaves
# room for thousands of layers.
_HEADER_LIMIT = 4 << 20

# The arrays begin at a multiple of this, so that a mapped file gives aligned arrays.
_ALIGNMENT = 64


class Place(NamedTuple):
    """Where an array lies: its bytes ``begin`` to ``end``, counted from the file's begin."""

    begin: int
    end: int
    dtype: np.dtype
    shape: tuple[int, ...]


class Contents(NamedTuple):
    """What a header says: texts by name, and the place of every array."""

    texts: dict[str, Any]
    places: dict[str, Place]


def dtype_code(dtype: Any) -> str | None:
    """The format's name of a dtype, None where no file of ours holds it.

    >>> dtype_code("float32"), dtype_code("complex64")
    ('F32', None)
    """
    wanted = np.dtype(dtype).newbyteorder("<")
    return next((code for code, known in _DTYPES.items() if known == wanted), None)


def write(file: BinaryIO, texts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write texts and arrays of one or two axes.

    >>> import io
    >>> file = io.BytesIO()
    >>> write(file, {"a": "text"}, {"x": np.arange(3.0)})
    >>> file.getvalue()[8:40]
    b'{"__metadata__":{"a":"text"},"x"'
    """
    header: dict[str, Any] = {"__metadata__": dict(texts)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype_code(array.dtype), "shape": list(array.shape),
                        "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > _HEADER_LIMIT:
        raise ValueError(f"network: {len(arrays)} arrays and their description are too much for "
                         f"a file: expected a header of at most {_HEADER_LIMIT} bytes, got "
                         f"{len(text)}")
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in arrays.values():
        file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def read_contents(file: BinaryIO) -> Contents:
    """The header of a file, all of it checked against the file's size."""
    size = os.fstat(file.fileno()).st_size
    header, start = _read_header(file, size)
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict):
        raise ValueError(f"metadata: expected an object, got {shown(texts)}")
    places = {name: place._replace(begin=start + place.begin, end=start + place.end)
              for name, place in _places(header, size - start).items()}
    return Contents(texts, places)


def read_array(file: BinaryIO, name: str, place: Place) -> np.ndarray:
    """An array of a file, in the machine's byte order."""
    array = np.empty(place.shape, dtype=place.dtype)
    file.seek(place.begin)
    if file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:
        raise ValueError(f"array {name!r}: the file ends before it does")
    return array.astype(place.dtype.newbyteorder("="), copy=False)


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
    return parse(raw, "header"), 8 + length


def parse(raw: str | bytes, name: str) -> dict[str, Any]:
    """The JSON object in a text; no name twice, no NaN or Infinity.

    >>> parse('{"a": 1}', "metadata")
    {'a': 1}
    """
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


def _places(header: dict[str, Any], size: int) -> dict[str, Place]:
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


def _place(name: str, entry: Any, size: int) -> Place:
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
    return Place(offsets[0], offsets[1], dtype, tuple(shape))


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
