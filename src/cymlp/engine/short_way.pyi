from typing import Any

from numpy.typing import ArrayLike, NDArray

from cymlp.engine.runtime import Engine

class ShortWay:
    _engine: Engine
    def predict(self, X: ArrayLike, out: NDArray | None = None) -> NDArray: ...
    def forward(self, X: ArrayLike, out: NDArray | None = None) -> NDArray: ...
    def train_step(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *,
        class_weight: Any = None,
    ) -> float: ...
