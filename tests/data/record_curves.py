"""Random networks, and how PyTorch trains them.

`test_training.py` trains the same networks and compares: with PyTorch itself where it is
installed, and always with `curves.npz`, which this script writes:

    python tests/data/record_curves.py

Networks, starts and data come from seeds, by a generator whose numbers never change, so that the
file holds nothing but PyTorch's losses and final parameters.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

STEPS = 20
ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "silu", "gelu",
               "gelu_tanh", "softmax", "relu6", "elu", "celu", "selu", "mish", "softplus",
               "softsign", "hard_sigmoid", "hard_tanh", "hard_swish", "log_sigmoid", "log_softmax")
# (task, form of the targets)
GOALS = (("regression", "rows"), ("regression", "column"), ("binary", "column"),
         ("multilabel", "rows"), ("multiclass", "labels"), ("multiclass", "one-hot"),
         ("multiclass", "soft"))
OPTIMIZERS = (
    ("SGD", {"learning_rate": 0.005}),
    ("SGD", {"learning_rate": 0.005, "weight_decay": 0.01}),
    ("SGD", {"learning_rate": 0.002, "momentum": 0.8}),
    ("SGD", {"learning_rate": 0.002, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"learning_rate": 0.002, "momentum": 0.8, "nesterov": True}),
    ("Adagrad", {"learning_rate": 0.005}),
    ("Adagrad", {"learning_rate": 0.02, "learning_rate_decay": 0.1, "weight_decay": 0.01,
                 "initial_accumulator_value": 0.1}),
    ("RMSprop", {"learning_rate": 0.001}),
    ("RMSprop", {"learning_rate": 0.001, "momentum": 0.7, "weight_decay": 0.01}),
    ("RMSprop", {"learning_rate": 0.001, "centered": True, "alpha": 0.9}),
    ("RMSprop", {"learning_rate": 0.0005, "centered": True, "momentum": 0.7, "epsilon": 1e-6}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "weight_decay": 0.01, "epsilon": 1e-6}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"learning_rate": 0.002, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.002, "amsgrad": True, "weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.01}),
    ("NAdam", {"learning_rate": 0.001, "weight_decay": 0.1, "momentum_decay": 0.1,
               "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.01}),
    ("RAdam", {"betas": (0.8, 0.99), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.8, 0.9), "epsilon": 1e-3, "weight_decay": 0.01}),
    ("Adadelta", {"learning_rate": 0.5}),
    ("Lion", {}),
    ("Lion", {"betas": (0.8, 0.9), "weight_decay": 0.1}),
)
# The networks in the file; they are small, so that whole parameters fit in.
RECORDED, RECORDED_WIDTH, RECORDED_ROWS = range(30), 16, 40


@dataclass(frozen=True)
class Case:
    """A network to train: layers are (units, activation, slope, bias, whether the activation is
    a layer of its own)."""

    seed: int
    in_features: int
    layers: tuple
    task: str
    target: str
    rows: int
    weighted: bool
    optimizer: tuple

    def __str__(self):
        layers = "-".join(f"{units}{activation}{'' if bias else '(no bias)'}"
                          for units, activation, _, bias, _ in self.layers)
        weighted = ", weighted" if self.weighted else ""
        return (f"{self.seed}: {self.in_features}-{layers}, {self.task} ({self.target}), "
                f"{self.rows} rows{weighted}, {self.optimizer[0]} {self.optimizer[1]}")


def make_case(seed, widest, most_rows):
    """The network of a seed; seeds in a row go through all optimizers, goals and activations."""
    random = np.random.RandomState(seed)
    task, target = GOALS[seed % len(GOALS)]
    widths = [int(round(widest ** random.uniform(0, 1))) for _ in range(random.randint(1, 6))]
    if task == "binary" or (task, target) == ("regression", "column"):
        widths[-1] = 1
    if task == "multiclass":
        widths[-1] = max(widths[-1], 2)
    layers = []
    for i, units in enumerate(widths):
        last = i == len(widths) - 1
        activation = "identity" if last else ACTIVATIONS[(seed + i) % len(ACTIVATIONS)]
        slope = float(random.uniform(0.05, 0.5)) if activation == "leaky_relu" else None
        layers.append((units, activation, slope, bool(random.rand() < 0.8),
                       not last and bool(random.rand() < 0.3)))
    rows = int(round(most_rows ** random.uniform(0, 1)))
    if task == "regression":
        rows = max(rows, 2)     # see `data`
    return Case(seed, random.randint(1, widest + 1), tuple(layers), task, target, rows,
                bool(random.rand() < 0.4), OPTIMIZERS[seed % len(OPTIMIZERS)])


def start(case):
    """Parameters to start from by their names in cymlp; of values that float32 can hold."""
    random = np.random.RandomState(1000 + case.seed)
    parameters, width, index = {}, case.in_features, 0
    for units, _, _, bias, apart in case.layers:
        limit = np.sqrt(4.0 / width)
        parameters[f"{index}.weight"] = random.uniform(-limit, limit, (width, units))
        if bias:
            parameters[f"{index}.bias"] = random.uniform(-0.5, 0.5, units)
        width, index = units, index + 1 + apart
    return {name: array.astype(np.float32).astype(np.float64)
            for name, array in parameters.items()}


def data(case):
    """(X, y, sample_weight or None) for one batch.

    The second half of the rows repeats the first with other targets: what cannot be fitted leaves
    a loss, and a loss near zero would be nothing but rounding.
    """
    random = np.random.RandomState(2000 + case.seed)
    n, outputs = case.rows, case.layers[-1][0]
    X = random.uniform(-1.5, 2, (n, case.in_features))
    # Long rows would make plain gradient descent diverge.
    X *= min(1.0, 6.0 / np.sqrt(case.in_features))
    X[n - n // 2:] = X[:n // 2]
    X = X.astype(np.float32).astype(np.float64)
    weight = random.uniform(0.1, 2, n).astype(np.float32).astype(np.float64)
    if case.task == "regression":
        y = random.uniform(-1, 1, (n, outputs))
    elif case.task == "multiclass":
        y = random.randint(0, outputs, n)
        if case.target == "one-hot":
            y = np.eye(outputs)[y]
        elif case.target == "soft":
            y = random.uniform(0.1, 1, (n, outputs))
            y /= y.sum(axis=1, keepdims=True)
    else:
        y = random.randint(0, 2, (n, outputs)).astype(np.float64)
    if y.dtype == np.float64:
        y = y.astype(np.float32).astype(np.float64)
    return X, y[:, 0] if case.target == "column" else y, weight if case.weighted else None


# ---- PyTorch -----------------------------------------------------------------------


def torch_forward(torch, case, parameters, x):
    """The logits."""
    functions = {
        "identity": lambda z, _: z, "sigmoid": lambda z, _: torch.sigmoid(z),
        "tanh": lambda z, _: torch.tanh(z), "relu": lambda z, _: torch.relu(z),
        "leaky_relu": torch.nn.functional.leaky_relu,
        "silu": lambda z, _: torch.nn.functional.silu(z),
        "gelu": lambda z, _: torch.nn.functional.gelu(z),
        "gelu_tanh": lambda z, _: torch.nn.functional.gelu(z, approximate="tanh"),
        "softmax": lambda z, _: torch.softmax(z, dim=1),
        "log_softmax": lambda z, _: torch.log_softmax(z, dim=1),
        "log_sigmoid": lambda z, _: torch.nn.functional.logsigmoid(z),
        "hard_tanh": lambda z, _: torch.nn.functional.hardtanh(z),
        # PyTorch's own take 1/6 in float32.
        "hard_sigmoid": lambda z, _: torch.clamp((z + 3) / 6, 0, 1),
        "hard_swish": lambda z, _: z * torch.clamp(z + 3, 0, 6) / 6,
        **{name: lambda z, _, name=name: getattr(torch.nn.functional, name)(z)
           for name in ("relu6", "elu", "celu", "selu", "mish", "softplus", "softsign")}}
    index = 0
    for _, activation, slope, bias, apart in case.layers:
        x = x @ parameters[f"{index}.weight"]
        if bias:
            x = x + parameters[f"{index}.bias"]
        x = functions[activation](x, slope)
        index += 1 + apart
    return x


def torch_loss(torch, case, logits, y, weight):
    """PyTorch's own mean where there are no weights."""
    functional = torch.nn.functional
    function = {"regression": functional.mse_loss, "multiclass": functional.cross_entropy}.get(
        case.task, functional.binary_cross_entropy_with_logits)
    if weight is None:
        return function(logits, y)
    losses = function(logits, y, reduction="none")
    if losses.ndim == 2:
        losses = losses.mean(dim=1)
    return (weight * losses).sum() / weight.sum()


def lion(torch):
    """Lion, which PyTorch does not have, as an optimizer of PyTorch's kind."""
    class Lion(torch.optim.Optimizer):
        def __init__(self, parameters, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
            super().__init__(parameters, {"lr": lr, "betas": betas, "decay": weight_decay})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    direction = (beta1 * mean + (1 - beta1) * p.grad).sign()
                    p -= group["lr"] * (direction + group["decay"] * p)
                    mean.mul_(beta2).add_(p.grad, alpha=1 - beta2)

    return Lion


def torch_optimizer(torch, kind, parameters, settings):
    """PyTorch's optimizer of a name, with settings by the names that they have in cymlp."""
    names = {"learning_rate": "lr", "learning_rate_decay": "lr_decay", "epsilon": "eps"}
    make = lion(torch) if kind == "Lion" else getattr(torch.optim, kind)
    return make(parameters, **{names.get(name, name): value for name, value in settings.items()})


def torch_curve(case, dtype):
    """Losses of all steps and the final parameters, as NumPy arrays."""
    import torch

    torch.set_num_threads(1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)      # NAdam keeps its product of momenta in this one
    try:
        return _torch_curve(torch, case, dtype)
    finally:
        torch.set_default_dtype(before)


def _torch_curve(torch, case, dtype):
    real = getattr(torch, dtype)
    parameters = {name: torch.tensor(array, dtype=real, requires_grad=True)
                  for name, array in start(case).items()}
    optimizer = torch_optimizer(torch, case.optimizer[0], parameters.values(), case.optimizer[1])
    X, y, weight = data(case)
    X = torch.tensor(X, dtype=real)
    y = torch.tensor(y) if case.target == "labels" else torch.tensor(y, dtype=real)
    if case.target == "column":
        y = y[:, None]
    weight = None if weight is None else torch.tensor(weight, dtype=real)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch_loss(torch, case, torch_forward(torch, case, parameters, X), y, weight)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), {name: p.detach().numpy() for name, p in parameters.items()}


def record(path):
    """Write the file."""
    arrays = {}
    for seed in RECORDED:
        case = make_case(seed, RECORDED_WIDTH, RECORDED_ROWS)
        losses, parameters = torch_curve(case, "float64")
        arrays[f"{seed}/losses"] = losses
        arrays |= {f"{seed}/{name}": array for name, array in parameters.items()}
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    record(Path(__file__).with_name("curves.npz"))
