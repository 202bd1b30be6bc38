"""Callbacks: what happens between the epochs, or between the steps, of a training run."""

from .base import Callback
from .checkpoint import ModelCheckpoint
from .csvlogger import CSVLogger
from .progress import Progress
from .stopping import EarlyStopping

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint", "Progress"]
