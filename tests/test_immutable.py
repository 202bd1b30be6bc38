"""Immutable values beside the frozen dataclasses of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import pytest

from cymlp.immutable import factory, fields, immutable, replace


def written(decorator, list_default):
    """A class and one that goes on with it, each made by a decorator."""

    class Base:
        a: int
        b: float = 2.0
        shared: ClassVar[str] = "one for all"
        _: KW_ONLY
        c: str = "c"
        d: list = list_default

        def __post_init__(self):
            if self.b < 0:
                raise ValueError("b: expected at least 0")
            object.__setattr__(self, "b", float(self.b))

        @property
        def twice(self):
            return 2 * self.a

    base = decorator(Base)

    class Further(base):
        e: Any = None
        b: float = 3.0

    return base, decorator(Further)


OURS = written(immutable, factory(list))
THEIRS = written(dataclasses.dataclass(frozen=True, slots=True),
                 dataclasses.field(default_factory=list))


@immutable
class Pair:
    """For pickles, which look a class up by its name."""

    left: Any
    right: Any = None


CALLS = [((1,), {}), ((1, 5), {}), ((1,), {"c": "x"}), ((), {"a": 1, "b": 7}),
         ((1, 2), {"d": [3]}), ((), {}), ((1, 2, 3, 4), {}), ((1,), {"a": 2}),
         ((1,), {"unknown": 2}), ((1, -1.0), {})]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("which", [0, 1], ids=["base", "further"])
def test_a_value_is_made_as_by_dataclasses(call, which):
    ours, theirs = OURS[which], THEIRS[which]
    positional, named = call
    try:
        expected = theirs(*positional, **named)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)) as caught:
            ours(*positional, **named)
        assert isinstance(error, TypeError) or str(caught.value) == str(error)
        return
    value = ours(*positional, **named)
    assert dataclasses.asdict(value) == dataclasses.asdict(expected)
    assert value == ours(*positional, **named) and value != expected
    assert value.twice == 2 and value.shared == "one for all"
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("which", [0, 1], ids=["base", "further"])
def test_a_class_looks_like_a_dataclass(which):
    ours, theirs = OURS[which], THEIRS[which]
    assert dataclasses.is_dataclass(ours)
    assert ours.__match_args__ == theirs.__match_args__
    for mine, other in zip(dataclasses.fields(ours), dataclasses.fields(theirs), strict=True):
        assert (mine.name, mine.kw_only) == (other.name, other.kw_only)
        assert mine.default == other.default and mine.default_factory == other.default_factory \
            or mine.name == "d"
    signature, expected = inspect.signature(ours), inspect.signature(theirs)
    assert [(name, p.kind, p.annotation) for name, p in signature.parameters.items()] == \
        [(name, p.kind, p.annotation) for name, p in expected.parameters.items()]


def test_a_default_of_a_factory_is_made_anew():
    assert OURS[0](1).d is not OURS[0](1).d


def test_errors_name_the_class_and_the_argument():
    for positional, named, text in [
            ((), {}, "Pair.*'left'"), ((1, 2, 3), {}, "Pair.*at most 2.*got 3"),
            ((1,), {"left": 2}, "Pair.*'left'"), ((1,), {"middle": 2}, "Pair.*'middle'")]:
        with pytest.raises(TypeError, match=text):
            Pair(*positional, **named)


def test_nothing_can_be_assigned_or_deleted():
    value = Pair(1)
    for change in (lambda: setattr(value, "left", 2), lambda: setattr(value, "other", 2),
                   lambda: delattr(value, "left")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert value == Pair(1)


def test_copies_and_replacements():
    value = Pair((1, 2), right=[3])
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value),
                 replace(value), dataclasses.replace(value)):
        assert twin == value and twin is not value
    assert replace(value, right=None) == dataclasses.replace(value, right=None) == Pair((1, 2))
    assert hash(Pair(1, 2)) == hash(Pair(1, 2)) != hash(Pair(2, 1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)
    with pytest.raises(TypeError, match="middle"):
        replace(value, middle=1)


def test_methods_of_its_own_are_kept():
    @immutable
    class Loud:
        x: int

        def __repr__(self):
            return "LOUD"

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 7

    @immutable
    class Louder(Loud):
        y: int = 0

    for value in (Loud(1), Louder(1, 2)):
        assert repr(value) == "LOUD" and value == 3 and hash(value) == 7


def test_the_text_shows_what_differs_from_the_defaults():
    assert repr(Pair(1)) == "Pair(1)"
    assert repr(Pair(1, right="x")) == "Pair(1, right='x')"
    assert [field.name for field in fields(OURS[1])] == ["a", "b", "c", "d", "e"]


def test_a_network_is_made_without_compiling_methods():
    """What a frozen dataclass costs is what this is for: 90 of them took 50 ms."""
    code = ("import dataclasses\n"
            "made = []\n"
            "real = dataclasses._process_class\n"
            "dataclasses._process_class = lambda *a, **k: made.append(1) or real(*a, **k)\n"
            "import cymlp\n"
            "cymlp.mlp(2, [3], 1, task='regression').predict([[1.0, 2.0]])\n"
            "print(len(made))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) <= 2, "the two of cymlp.runs"
