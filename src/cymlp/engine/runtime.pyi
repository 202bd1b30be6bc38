from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cymlp.engine.program import Program
from cymlp.plan import Parameter

class Engine:
    parameter_bytes: int
    dtype: np.dtype
    key: int
    step: int
    epoch: int
    schedule: NDArray[np.float64] | None
    decay_schedule: NDArray[np.float64] | None
    decay: int
    rate_factor: float
    last_threads: int
    last_sums: tuple[float, float, float, float] | None
    codes: list[tuple[int, int]]
    def __init__(
        self, parameter_bytes: int, states: Sequence[float], slots: Sequence[int],
        dtype: np.dtype, optimizer: int, hyper: Sequence[Sequence[float]], in_features: int,
        out_features: int, target_features: int, limits: tuple[float, float, bool],
        takes_labels: bool, key: int,
    ) -> None: ...
    def read(self, parameter: Parameter, state: int = -1) -> NDArray: ...
    def write(self, parameter: Parameter, values: ArrayLike, state: int = -1) -> None: ...
    def progress(self) -> tuple[int, int, int, bytes]: ...
    def snapshot(self, places: list) -> tuple[int, int, int, list[NDArray]]: ...
    def restore_arena(self, content: bytes) -> None: ...
    def check(
        self, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
    ) -> None: ...
    def predict(self, program: Program, x: NDArray, out: NDArray) -> None: ...
    def train_step(
        self, program: Program, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
    ) -> float: ...
    def evaluate(
        self, program: Program, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
    ) -> tuple[float, float, float, float]: ...
    def gradients(
        self, program: Program, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
    ) -> tuple[float, dict[str, NDArray], dict[str, NDArray]]: ...
    def fit(
        self, program: Program, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
        order: NDArray[np.int64], results: NDArray[np.float64], place: NDArray[np.float64],
        batch_size: int, shuffle: bool, drop_last: bool, batches: int,
    ) -> None: ...
    def minimize(
        self, program: Program, x: NDArray, target: NDArray, weight: NDArray | None, labels: bool,
        settings: tuple[int, int, float, float], results: NDArray,
    ) -> tuple[int, bool]: ...
