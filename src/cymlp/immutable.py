"""Classes of plain, immutable values: dataclasses that cost next to nothing to define.

For each frozen dataclass the standard library writes the source of six methods and compiles it,
which takes about half a millisecond; of the 90 classes that a network imports, that was more than
half of all that the first network took. Here the methods are written once, for all classes.
Whoever looks at such a class as a dataclass (:func:`dataclasses.fields`, ``replace``, ``asdict``)
finds one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import KW_ONLY
else:
    KW_ONLY = "KW_ONLY"     # as annotations, which are texts here, name it

__all__ = ["KW_ONLY", "Field", "factory", "fields", "immutable", "replace"]

_REQUIRED = object()
_Class = TypeVar("_Class", bound=type)


class _Factory(NamedTuple):
    make: Callable[[], Any]


def factory(make: Callable[[], Any]) -> Any:
    """A default that is made anew for each value: ``factory(dict)``."""
    return _Factory(make)


class Field(NamedTuple):
    """A field of a class: its name and annotation, what it is by default, how it is given."""

    name: str
    annotation: str
    default: Any
    kw_only: bool

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is _REQUIRED


@dataclass_transform(frozen_default=True, field_specifiers=(factory,))
def immutable(cls: _Class) -> _Class:
    """The class with its annotations as fields, as :func:`dataclasses.dataclass` would make it.

    With slots and frozen, that is: fields after ``_: KW_ONLY`` are given by name; two values are
    equal where their classes and fields are; ``__post_init__``, where there is one, checks the
    fields, and sets them by ``object.__setattr__``. Methods that the class has are kept. Its
    module must have ``from __future__ import annotations``.

    Examples
    --------
    >>> @immutable
    ... class Point:
    ...     x: float
    ...     y: float = 0.0
    >>> Point(1.0), Point(1.0) == Point(x=1.0, y=0.0)
    (Point(1.0), True)
    >>> Point(1.0).x = 2.0
    Traceback (most recent call last):
    ...
    dataclasses.FrozenInstanceError: cannot assign to field 'x'
    """
    found = {field.name: field for field in getattr(cls, "__fields__", ())}
    names = {name: thing for name, thing in vars(cls).items()
             if name not in ("__dict__", "__weakref__")}
    slots, kw_only = [], False
    for name, annotation in names.get("__annotations__", {}).items():
        if annotation == "KW_ONLY":
            kw_only = True
        elif not annotation.startswith("ClassVar"):
            if name not in found:
                slots.append(name)
            found[name] = Field(name, annotation, names.pop(name, _REQUIRED), kw_only)
    by_place = tuple(field.name for field in found.values() if not field.kw_only)
    inherited = {name for base in cls.__mro__[:-1] for name in vars(base)}
    for name, method in _METHODS.items():
        if name not in inherited:
            names[name] = method
    names |= _LOOKS | {"__slots__": tuple(slots), "__fields__": tuple(found.values()),
                       "__match_args__": by_place}
    return type(cls)(cls.__name__, cls.__bases__, names)


def fields(value: Any) -> tuple[Field, ...]:
    """The fields of such a class or value, in the order in which they are written."""
    return value.__fields__


def replace(value: Any, **changes: Any) -> Any:
    """The same value with other fields; they are checked as when it was made."""
    return type(value)(**{field.name: getattr(value, field.name) for field in fields(value)}
                       | changes)


# ---- what all the classes have in common --------------------------------------------------------


def _init(self: Any, *positional: Any, **named: Any) -> None:
    name, by_place = type(self).__name__, self.__match_args__
    if len(positional) > len(by_place):
        raise TypeError(f"{name}() takes at most {len(by_place)} arguments without a name, "
                        f"got {len(positional)}")
    given = dict(zip(by_place, positional, strict=False))
    for twice in given.keys() & named.keys():
        raise TypeError(f"{name}() got two values for {twice!r}")
    given |= named
    for field in fields(self):
        if field.name in given:
            value = given.pop(field.name)
        elif field.required:
            raise TypeError(f"{name}() misses the required argument {field.name!r}")
        else:
            value = field.default.make() if type(field.default) is _Factory else field.default
        object.__setattr__(self, field.name, value)
    for unknown in given:
        raise TypeError(f"{name}() got an unexpected argument {unknown!r}")
    check = getattr(self, "__post_init__", None)
    if check is not None:
        check()


def _values(self: Any) -> tuple:
    return tuple(getattr(self, field.name) for field in fields(self))


def _equal(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    """``SGD(momentum=0.9)``: required fields, then those that differ from their default."""
    parts = []
    for field in sorted(fields(self), key=lambda field: field.kw_only):
        value = getattr(self, field.name)
        if field.required and not field.kw_only:
            parts.append(repr(value))
        elif value != field.default:
            parts.append(f"{field.name}={value!r}")
    return f"{type(self).__name__}({', '.join(parts)})"


def _refuse_assignment(self: Any, name: str, value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _set_state(self: Any, values: tuple) -> None:
    for field, value in zip(fields(self), values, strict=True):
        object.__setattr__(self, field.name, value)


class _Look:
    """How a class looks to those who expect a dataclass: found out when somebody looks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, value: Any, cls: type) -> Any:
        import dataclasses
        import inspect

        described = []
        for field in fields(cls):
            settings: dict[str, Any] = {"default": field.default}
            if type(field.default) is _Factory:
                settings = {"default_factory": field.default.make}
            elif field.required:
                settings = {}
            described.append((field.name, field.annotation,
                              dataclasses.field(kw_only=field.kw_only, **settings)))
        twin = dataclasses.make_dataclass(cls.__name__, described, frozen=True)
        found = (inspect.signature(twin) if self.name == "__signature__"
                 else getattr(twin, self.name))
        setattr(cls, self.name, found)
        return found


_METHODS = {
    "__init__": _init,
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse_assignment,
    "__delattr__": _refuse_deletion,
    "__getstate__": _values,
    "__setstate__": _set_state,
    "__replace__": replace,
}
_LOOKS = {name: _Look(name)
          for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__")}
