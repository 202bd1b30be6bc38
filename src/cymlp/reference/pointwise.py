"""Activations whose definition is one line: a table, from which the functions come.

For each: y = f(x), the derivative of y from what the forward pass saved (its input x or its output
y, as the kernels' table says), the name of its parameter p, and where it is defined.
"""

import numpy as np

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x):
    return np.exp(-_softplus(-x))


def _mish_slope(x):
    gate = np.tanh(_softplus(x))
    return gate + x * (1.0 - gate**2) * _sigmoid(x)


def _elu(x, p):
    return np.where(x > 0, x, p * np.expm1(np.minimum(x, 0.0)))


# name: (f(x, p), derivative from what is saved, what that is, parameter, default, definition)
_TABLE = {
    "relu6": (lambda x, p: np.clip(x, 0.0, 6.0), lambda y, p: 1.0 * ~((y <= 0) | (y >= 6)),
              "output", "", 0.0, "min(max(x, 0), 6)"),
    "elu": (_elu, lambda y, p: np.where(y > 0, 1.0, y + p), "output", "alpha", 1.0,
            "x above 0, else alpha (exp(x) - 1); Clevert, Unterthiner and Hochreiter (2016)"),
    "celu": (lambda x, p: np.where(x > 0, x, p * np.expm1(np.minimum(x, 0.0) / p)),
             lambda y, p: np.where(y > 0, 1.0, y / p + 1.0), "output", "alpha", 1.0,
             "x above 0, else alpha (exp(x / alpha) - 1); Barron (2017)"),
    "selu": (lambda x, p: _SELU_SCALE * _elu(x, _SELU_ALPHA),
             lambda y, p: np.where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA),
             "output", "", 0.0,
             "elu with fixed alpha and scale; Klambauer, Unterthiner, Mayr and Hochreiter (2017)"),
    "mish": (lambda x, p: x * np.tanh(_softplus(x)), lambda x, p: _mish_slope(x), "input", "", 0.0,
             "x tanh(softplus(x)); Misra (2020)"),
    "softplus": (lambda x, p: _softplus(x), lambda x, p: _sigmoid(x), "input", "", 0.0,
                 "log(1 + exp(x))"),
    "softsign": (lambda x, p: x / (1.0 + np.abs(x)), lambda x, p: 1.0 / (1.0 + np.abs(x)) ** 2,
                 "input", "", 0.0, "x / (1 + |x|)"),
    "hard_sigmoid": (lambda x, p: np.clip((x + 3.0) / 6.0, 0.0, 1.0),
                     lambda x, p: ~((x <= -3) | (x >= 3)) / 6.0, "input", "", 0.0,
                     "(x + 3) / 6, between 0 and 1; PyTorch's"),
    "hard_tanh": (lambda x, p: np.clip(x, -1.0, 1.0), lambda y, p: 1.0 * ~((y <= -1) | (y >= 1)),
                  "output", "", 0.0, "x, between -1 and 1"),
    "hard_swish": (lambda x, p: np.where(x < -3, 0.0, np.where(x > 3, x, x * (x + 3.0) / 6.0)),
                   lambda x, p: np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, (2 * x + 3) / 6.0)),
                   "input", "", 0.0, "x (x + 3) / 6, 0 below -3 and x above 3; Howard (2019)"),
    "log_sigmoid": (lambda x, p: -_softplus(-x), lambda x, p: _sigmoid(-x), "input", "", 0.0,
                    "log(1 / (1 + exp(-x)))"),
}

_FORWARD = """Activation {name}: {definition}.

Parameters
----------
x : array_like
    Any shape.{parameter}

Returns
-------
ndarray
    Same shape.

Examples
--------
>>> {name}([0.5]).shape
(1,)
"""

_BACKWARD = """Gradient of `{name}`.

Parameters
----------
grad_output : array_like
    Gradient by the output.
saved : array_like
    The {saves} of the forward pass, of the same shape.{parameter}

Returns
-------
ndarray
    Gradient by the input.

Examples
--------
>>> {name}_backward([1.0], saved=[0.5]).shape
(1,)
"""

__all__ = []


def _array(value):
    return np.asarray(value, dtype=np.float64)


def _functions(forward, slope, label, default):
    """The pair of functions; one without a parameter takes none."""
    if label == "alpha":
        return (lambda x, alpha=default: forward(_array(x), alpha),
                lambda grad_output, saved, alpha=default:
                _array(grad_output) * slope(_array(saved), alpha))
    return (lambda x: forward(_array(x), default),
            lambda grad_output, saved: _array(grad_output) * slope(_array(saved), default))


for _name, (_forward, _slope, _saves, _label, _default, _definition) in _TABLE.items():
    _parameter = f"\n{_label} : float\n    Above 0." if _label else ""
    _words = {"name": _name, "definition": _definition, "saves": _saves, "parameter": _parameter}
    for _function, _text, _ending in zip(_functions(_forward, _slope, _label, _default),
                                         (_FORWARD, _BACKWARD), ("", "_backward"), strict=True):
        _function.__name__ = _function.__qualname__ = _name + _ending
        _function.__doc__ = _text.format(**_words)
        globals()[_name + _ending] = _function
        __all__.append(_name + _ending)
