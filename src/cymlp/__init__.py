"""cymlp: multi-layer perceptrons on the CPU, trained and run in native code.

>>> import cymlp
>>> net = cymlp.mlp(784, [256, 128], 10, task="multiclass")
"""

from importlib import import_module as _import_module

from ._version import __version__

# Everything else is imported when it is asked for first: this package is imported where start-up
# time counts.
_LAZY = {
    "Network": "network", "mlp": "shortcuts",
    "Activation": "layers", "AlphaDropout": "layers", "BatchNorm": "layers", "Columns": "layers",
    "Concat": "layers", "Dense": "layers", "Dropout": "layers", "Embedding": "layers",
    "GLU": "layers", "LayerNorm": "layers", "PReLU": "layers", "RMSNorm": "layers",
    "Residual": "layers", "Scale": "layers", "SwiGLU": "layers",
    "AMSGrad": "optimizers", "Adadelta": "optimizers", "Adagrad": "optimizers",
    "Adam": "optimizers", "AdamW": "optimizers", "Adamax": "optimizers", "Lion": "optimizers",
    "NAdam": "optimizers", "RAdam": "optimizers", "RMSprop": "optimizers", "SGD": "optimizers",
    "BinaryCrossEntropy": "losses", "CategoricalCrossEntropy": "losses",
    "CSVLogger": "callbacks", "Callback": "callbacks", "Diagnostics": "callbacks",
    "AdaptiveRate": "callbacks", "EarlyStopping": "callbacks", "RateFunction": "callbacks",
    "ReduceOnPlateau": "callbacks",
    "LearningRateFinder": "callbacks", "ModelCheckpoint": "callbacks", "TensorBoard": "callbacks",
    "TerminateOnNaN": "callbacks", "History": "history",
    "LBFGS": "optimizers", "Group": "update", "Update": "update",
    "CustomActivation": "layers", "CompiledLoss": "losses", "CustomLoss": "losses",
    "FocalLoss": "losses",
    "GaussianLoss": "losses", "Hinge": "losses", "HuberLoss": "losses",
    "KullbackLeibler": "losses", "LogCosh": "losses", "MeanAbsoluteError": "losses",
    "MeanSquaredError": "losses", "PoissonLoss": "losses", "QuantileLoss": "losses",
    "SmoothL1Loss": "losses", "SquaredHinge": "losses",
    "Plan": "plan", "load": "files", "show_config": "config",
    "get_num_threads": "engine.threads", "set_num_threads": "engine.threads",
}
_MODULES = ("initializers", "layers", "losses", "metrics", "ops", "optimizers", "reference",
            "schedules")

__all__ = ["__version__", *sorted({*_LAZY, *_MODULES})]


def __getattr__(name):
    if name in _LAZY:
        value = getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
