"""Callbacks: what happens between the epochs, or between the steps, of a training run."""

from .adapting import AdaptiveRate, RateFunction, ReduceOnPlateau
from .base import Callback
from .checkpoint import ModelCheckpoint
from .csvlogger import CSVLogger
from .diagnostics import Diagnostics
from .notanumber import TerminateOnNaN
from .progress import Progress
from .rates import LearningRateFinder, LearningRates
from .stopping import EarlyStopping
from .tensorboard import TensorBoard

__all__ = ["AdaptiveRate", "CSVLogger", "Callback", "Diagnostics", "EarlyStopping",
           "LearningRateFinder", "LearningRates", "ModelCheckpoint", "Progress", "RateFunction",
           "ReduceOnPlateau", "TensorBoard", "TerminateOnNaN"]
