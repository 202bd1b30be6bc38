from numpy.typing import NDArray

def dense_forward(out: NDArray, x: NDArray, weight: NDArray, bias: NDArray | None) -> None: ...
def dense_backward(
    grad_x: NDArray, grad_weight: NDArray, grad_bias: NDArray, grad_output: NDArray, x: NDArray,
    weight: NDArray,
) -> None: ...
