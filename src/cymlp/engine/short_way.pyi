from typing import Any

from numpy.typing import ArrayLike, NDArray

def predict(self: Any, X: ArrayLike, out: NDArray | None = None) -> NDArray: ...
def forward(self: Any, X: ArrayLike, out: NDArray | None = None) -> NDArray: ...
def train_step(
    self: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *,
    class_weight: Any = None,
) -> float: ...
