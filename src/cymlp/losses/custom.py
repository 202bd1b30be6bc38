"""A user's own loss: a Python function, or the address of a compiled one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..checks import as_integer, as_text, shown
from ..immutable import immutable
from .base import Loss

__all__ = ["CompiledLoss", "CustomLoss"]

_OUTPUTS = ("identity", "sigmoid", "softmax", "exp")


def _check(loss: Any) -> None:
    as_text("output_activation", loss.output_activation, _OUTPUTS)
    if loss.targets is not None:
        object.__setattr__(loss, "targets", as_integer("targets", loss.targets, least=1))


@immutable
class CustomLoss(Loss):
    """A loss as a Python function of arrays: flexible, and slow.

    The function is called in the middle of every step, on the calling thread, while all other
    threads wait. It is given copies of some rows of the network's output (before the output
    activation) and of the targets, and what it says of a row must depend on that row alone: large
    batches come in several pieces, and rows of weight 0 are left out afterwards.

    What it raises ends the call, with parameters and optimizer as the last whole step left them;
    it must not use the network that is at work. Such a network can be pickled where its function
    can, but not saved to a file: a file holds no code.

    Parameters
    ----------
    function : callable
        ``function(output, target) -> (loss, gradient)``. `output` is of shape (n, out_features),
        `target` of shape (n, targets), both of the network's dtype. `loss` is of shape (n,), or
        one number, their mean (not where rows have weights); `gradient` of shape
        (n, out_features) is the gradient of the mean of the n losses.
    output_activation : {"identity", "sigmoid", "softmax", "exp"}
        What :meth:`cymlp.Network.predict` applies to the output.
    targets : int, optional
        Columns of the targets; as many as outputs by default.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> def squares(output, target):
    ...     difference = output - target
    ...     return (difference**2).mean(), 2 * difference / difference.size
    >>> net = cymlp.mlp(1, [], 1, loss=squares, optimizer=cymlp.SGD(0.5), rng=0)
    >>> net.parameters["0.weight"] = [[0.0]]
    >>> net.train_step([[1.0]], [1.0]), net.train_step([[1.0]], [1.0])
    (1.0, 1.0)
    """

    name: ClassVar[str] = "custom"
    kernel: ClassVar[str] = "python_loss"
    function: Callable
    output_activation: str = "identity"  # type: ignore[misc]
    targets: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function: expected a function (output, target) -> (loss, gradient), "
                            f"got {shown(self.function)}")
        _check(self)

    def target_features(self, out_features: int) -> int:
        """What was given, or as many as outputs."""
        return out_features if self.targets is None else self.targets

    def attributes(self, out_features: int) -> dict[str, Any]:
        """The function itself."""
        return {"values": 1, "targets": self.target_features(out_features),
                "function": self.function}


@immutable
class CompiledLoss(Loss):
    """A loss as a compiled function, called within the step by all threads and without the GIL.

    Its C type, with ``float`` or ``double`` for real as `dtype` says::

        void f(real *gradient, double *loss, const real *output, const real *target,
               int64_t columns, int64_t targets)

    It is called for one row at a time, by several threads at once: `output` has so many columns
    as the network has outputs (before the output activation), `target` so many as `targets` says.
    It sets the row's loss and the gradient of that loss by the row's output, which is zero when it
    is called. Both pointers are valid in every call, also where only the loss is wanted.
    Subnormal numbers are zero in it, as everywhere in a network's calls.

    A wrong address or type ends the process: nothing can check them. Such a network can be neither
    saved nor pickled.

    Parameters
    ----------
    function : int, ctypes function, PyCapsule, or object with an int ``address`` (numba's cfunc)
        The function, or its address.
    dtype : {"float32", "float64"}
        Its real type, which must be the network's.
    output_activation : {"identity", "sigmoid", "softmax", "exp"}
        What :meth:`cymlp.Network.predict` applies to the output.
    targets : int, optional
        Columns of the targets; as many as outputs by default.

    Examples
    --------
    >>> import ctypes, cymlp
    >>> real = ctypes.POINTER(ctypes.c_float)
    >>> @ctypes.CFUNCTYPE(None, real, ctypes.POINTER(ctypes.c_double), real, real,
    ...                   ctypes.c_int64, ctypes.c_int64)
    ... def squares(gradient, loss, output, target, columns, targets):
    ...     loss[0] = (output[0] - target[0]) ** 2
    ...     gradient[0] = 2 * (output[0] - target[0])
    >>> net = cymlp.mlp(1, [], 1, loss=cymlp.CompiledLoss(squares), rng=0)
    >>> net.parameters["0.weight"] = [[2.0]]
    >>> net.gradients([[1.0]], [1.0])[0]
    1.0
    """

    name: ClassVar[str] = "compiled"
    kernel: ClassVar[str] = "compiled_loss"
    function: Any
    dtype: str = "float32"
    output_activation: str = "identity"  # type: ignore[misc]
    targets: int | None = None

    def __post_init__(self) -> None:
        _address(self.function)
        as_text("dtype", self.dtype, ["float32", "float64"])
        _check(self)

    def __reduce__(self) -> Any:
        raise TypeError("CompiledLoss: expected a network without it, as a function's address "
                        "means nothing in another process and cannot be pickled")

    def __copy__(self) -> CompiledLoss:
        return self

    def __deepcopy__(self, memo: dict) -> CompiledLoss:
        return self

    def target_features(self, out_features: int) -> int:
        """What was given, or as many as outputs."""
        return out_features if self.targets is None else self.targets

    def attributes(self, out_features: int) -> dict[str, Any]:
        """The function's address; the loss keeps the object that it belongs to."""
        return {"values": 1, "targets": self.target_features(out_features),
                "function": _address(self.function)}


def _address(function: Any) -> int:
    """Where a compiled function is."""
    import ctypes

    address = getattr(function, "address", function)
    if isinstance(address, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        address = ctypes.cast(address, ctypes.c_void_p).value or 0
    elif type(address).__name__ == "PyCapsule":
        api = ctypes.pythonapi
        api.PyCapsule_GetName.restype = ctypes.c_char_p
        api.PyCapsule_GetName.argtypes = [ctypes.py_object]
        api.PyCapsule_GetPointer.restype = ctypes.c_void_p
        api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        address = api.PyCapsule_GetPointer(address, api.PyCapsule_GetName(address))
    if isinstance(address, bool) or not isinstance(address, int):
        raise TypeError("function: expected an address, a ctypes function, a PyCapsule or an "
                        f"object with an address, got {shown(function)}")
    if not 0 < address < 2**64:
        raise ValueError(f"function: expected an address that is not null, got {address}")
    return address
