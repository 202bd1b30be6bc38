"""JAX: every call is one compiled function, and training gives its old state's memory away."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ..cases import LEARNING_RATES, MOMENTUM, STATES
from . import EpochPeer, choose

ACTIVATIONS = {
    "identity": lambda x: x, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu, "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu6": jax.nn.relu6, "elu": jax.nn.elu, "celu": jax.nn.celu, "selu": jax.nn.selu,
    "mish": jax.nn.mish, "softplus": jax.nn.softplus, "softsign": jax.nn.soft_sign,
    "hard_sigmoid": jax.nn.hard_sigmoid, "hard_tanh": jax.nn.hard_tanh,
    "hard_swish": jax.nn.hard_swish, "log_sigmoid": jax.nn.log_sigmoid,
}
KERNELS = ACTIVATIONS | {"exp": jnp.exp, "identity": jnp.copy}
OUTPUTS = {"multiclass": jax.nn.softmax, "binary": jax.nn.sigmoid, "regression": lambda z: z}


# ---- losses and optimizers ---------------------------------------------------------------------


def cross_entropy(z, labels):
    """Softmax cross-entropy with class numbers."""
    chosen = jnp.take_along_axis(z, labels[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(z, 1) - chosen).mean()


LOSSES = {
    "multiclass": cross_entropy,
    "binary": lambda z, t: (jnp.logaddexp(0, z) - t * z).mean(),
    "regression": lambda z, t: jnp.square(z - t).mean(),
}


def _sgd(p, g, states, step, rate):
    return p - rate * g, ()


def _momentum(p, g, states, step, rate):
    buffer = MOMENTUM * states[0] + g
    return p - rate * buffer, (buffer,)


def _adagrad(p, g, states, step, rate):
    total = states[0] + g * g
    return p - rate * g / (jnp.sqrt(total) + 1e-10), (total,)


def _rmsprop(p, g, states, step, rate):
    square = 0.99 * states[0] + (1 - 0.99) * g * g
    return p - rate * g / (jnp.sqrt(square) + 1e-8), (square,)


def _adam(p, g, states, step, rate):
    first = 0.9 * states[0] + (1 - 0.9) * g
    second = 0.999 * states[1] + (1 - 0.999) * g * g
    number = step.astype(p.dtype)
    root = jnp.sqrt(second / (1 - 0.999**number)) + 1e-8
    return p - rate * (first / (1 - 0.9**number)) / root, (first, second)


OPTIMIZERS = {"sgd": _sgd, "momentum": _momentum, "adagrad": _adagrad, "rmsprop": _rmsprop,
              "adam": _adam}


def start_state(name, parameters):
    """(parameters, an optimizer's states of each, the number of steps done)."""
    leaves = jax.tree.map(jnp.array, parameters)
    states = jax.tree.map(lambda p: tuple(jnp.zeros_like(p) for _ in range(STATES[name])), leaves)
    return leaves, states, jnp.zeros((), jnp.int32)


def update(name, state, gradients):
    """The state after one step."""
    parameters, states, step = state
    leaves, tree = jax.tree.flatten(parameters)
    results = [OPTIMIZERS[name](p, g, s, step + 1, LEARNING_RATES[name]) for p, g, s in zip(
        leaves, jax.tree.leaves(gradients), tree.flatten_up_to(states), strict=True)]
    parameters, states = (tree.unflatten(part) for part in zip(*results, strict=True))
    return parameters, states, step + 1


# ---- the network -------------------------------------------------------------------------------


def forward(case, parameters, x):
    """The logits."""
    activation = choose(ACTIVATIONS, case.activation)
    for weight, bias in parameters[:-1]:
        x = activation(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def train_step(case, state, rows, targets):
    """(state after the step, loss before it)"""
    def loss_of(parameters):
        return LOSSES[case.task](forward(case, parameters, rows), targets)

    loss, gradients = jax.value_and_grad(loss_of)(state[0])
    return update(case.optimizer, state, gradients), loss


def train_epoch(case, state, key, rows, targets):
    """(state after the epoch, mean loss); what does not fill a batch comes last."""
    count = len(rows)
    order = jax.random.permutation(key, count)
    full = count - count % case.batch

    def step(state, chosen):
        return train_step(case, state, rows[chosen], targets[chosen])

    state, losses = jax.lax.scan(step, state, order[:full].reshape(-1, case.batch))
    total = losses.sum() * case.batch
    if full < count:
        state, loss = step(state, order[full:])
        total += loss * (count - full)
    return state, total / count


def use_precision(dtype):
    """Let arrays be of float64 only where they have to be: integers would grow with them."""
    jax.config.update("jax_enable_x64", dtype == "float64")


class Jax(EpochPeer):
    """JAX."""

    def version(self):
        return jax.__version__

    def network(self, case, weights):
        use_precision(case.dtype)
        output = OUTPUTS[case.task]
        return (jax.jit(lambda parameters, x: output(forward(case, parameters, x))),
                jax.tree.map(jnp.array, weights))

    def predict(self, network, case, rows):
        function, parameters = network
        rows = jnp.array(rows)
        return lambda: function(parameters, rows).block_until_ready()

    def train(self, case, weights, batch):
        use_precision(case.dtype)
        step = jax.jit(functools.partial(train_step, case), donate_argnums=0)
        rows, targets = map(jnp.array, batch)
        state = start_state(case.optimizer, weights)

        def run():
            nonlocal state
            state, loss = step(state, rows, targets)
            return float(loss)

        return run, lambda: [np.asarray(leaf) for leaf in jax.tree.leaves(state[0])]

    def learner(self, case, weights, data):
        use_precision(case.dtype)
        epoch = jax.jit(functools.partial(train_epoch, case), donate_argnums=0)
        predict = jax.jit(functools.partial(forward, case))
        (rows, targets), (test_rows, test_targets) = jax.tree.map(jnp.array, data)
        key = jax.random.key(0)

        def start():
            state = start_state(case.optimizer, weights)

            def run_epoch():
                nonlocal state, key
                key, used = jax.random.split(key)
                state, loss = epoch(state, used, rows, targets)
                return float(loss)

            def accuracy():
                return (predict(state[0], test_rows).argmax(1) == test_targets).mean()

            return run_epoch, accuracy

        return start

    def kernel(self, kernel, values, other):
        use_precision(kernel.dtype)
        values, other = jnp.array(values), jnp.array(other)
        if kernel.kind == "optimizer":
            return self._update(kernel.name, values, other)
        if kernel.kind == "loss":
            function = jax.jit(jax.value_and_grad(cross_entropy))
            return self._kept(lambda: function(values, other))
        function = jax.jit(choose(KERNELS, kernel.name))
        return self._kept(lambda: function(values))

    @staticmethod
    def _kept(function):
        """A call that waits for a function's results, and one that gives them as arrays."""
        return (lambda: jax.block_until_ready(function()),
                lambda: [np.asarray(leaf) for leaf in jax.tree.leaves(function())])

    @staticmethod
    def _update(name, parameter, gradient):
        step = jax.jit(functools.partial(update, name), donate_argnums=0)
        state = start_state(name, parameter)

        def run():
            nonlocal state
            state = jax.block_until_ready(step(state, gradient))

        return run, lambda: [np.asarray(state[0])]
