"""NumPy as a careful user writes it: every result goes into memory that is there already."""

from __future__ import annotations

import numpy as np

from ..cases import LEARNING_RATES, MOMENTUM
from . import EpochPeer, choose

BLOCK = 1 << 15     # elements of an update that stay in the cache through all its passes


# ---- activations: forward(x, out), and derivative(x, y, out), which may overwrite x and y -------


def _sigmoid(x, out):
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.reciprocal(out, out=out)


def _sigmoid_derivative(x, y, out):
    np.subtract(1, y, out=out)
    np.multiply(out, y, out=out)


def _tanh_derivative(x, y, out):
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


def _silu(x, out):
    _sigmoid(x, out)
    np.multiply(out, x, out=out)


def _silu_derivative(x, y, out):
    """sigmoid(x) * (1 - y) + y"""
    _sigmoid(x, out)
    np.subtract(1, y, out=x)
    np.multiply(out, x, out=out)
    np.add(out, y, out=out)


def _leaky_relu(x, out):
    np.multiply(x, 0.01, out=out)
    np.maximum(x, out, out=out)


def _leaky_relu_derivative(x, y, out):
    np.greater(x, 0, out=out)
    np.multiply(out, 0.99, out=out)
    np.add(out, 0.01, out=out)


ACTIVATIONS = {
    "identity": (lambda x, out: np.copyto(out, x), lambda x, y, out: out.fill(1)),
    "sigmoid": (_sigmoid, _sigmoid_derivative),
    "tanh": (lambda x, out: np.tanh(x, out=out), _tanh_derivative),
    "relu": (lambda x, out: np.maximum(x, 0, out=out),
             lambda x, y, out: np.greater(y, 0, out=out)),
    "leaky_relu": (_leaky_relu, _leaky_relu_derivative),
    "silu": (_silu, _silu_derivative),
}


def softmax(z, out):
    """Softmax of every row."""
    np.subtract(z, z.max(1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(1, keepdims=True), out=out)


OUTPUTS = {"multiclass": softmax, "binary": _sigmoid,
           "regression": lambda z, out: np.copyto(out, z)}
KERNELS = {name: forward for name, (forward, _) in ACTIVATIONS.items()} | {
    "exp": lambda x, out: np.exp(x, out=out)}


# ---- losses: (logits, targets, gradient), the gradient being the output's memory ---------------


def cross_entropy(z, labels, out):
    """Softmax cross-entropy; softmax minus one-hot, divided by the rows, goes to `out`."""
    softmax(z, out)
    rows = np.arange(len(labels))
    chosen = out[rows, labels]
    out[rows, labels] -= 1
    np.divide(out, len(labels), out=out)
    return -np.log(chosen).mean()


def binary_cross_entropy(z, targets, out):
    """Binary cross-entropy from the logits."""
    _sigmoid(z, out)
    np.subtract(out, targets, out=out)
    np.divide(out, out.size, out=out)
    return (np.logaddexp(0, z) - targets * z).mean()


def mean_squared_error(z, targets, out):
    """Mean over rows and outputs."""
    np.subtract(z, targets, out=out)
    loss = np.square(out).mean()
    np.multiply(out, 2 / out.size, out=out)
    return loss


LOSSES = {"multiclass": cross_entropy, "binary": binary_cross_entropy,
          "regression": mean_squared_error}


# ---- optimizers: (parameter, gradient, states, scratch, step), scratch of the same shape --------


def _sgd(p, g, states, scratch, step, rate):
    np.multiply(g, rate, out=scratch)
    np.subtract(p, scratch, out=p)


def _momentum(p, g, states, scratch, step, rate):
    np.multiply(states[0], MOMENTUM, out=states[0])
    np.add(states[0], g, out=states[0])
    _sgd(p, states[0], (), scratch, step, rate)


def _divide_by_root(p, g, square, scratch, epsilon, rate):
    np.sqrt(square, out=scratch)
    np.add(scratch, epsilon, out=scratch)
    np.divide(g, scratch, out=scratch)
    _sgd(p, scratch, (), scratch, 0, rate)


def _add_share(state, value, share):
    """state = share * state + value * (1 - share), where value may be overwritten."""
    np.multiply(state, share, out=state)
    np.multiply(value, 1 - share, out=value)
    np.add(state, value, out=state)


def _adagrad(p, g, states, scratch, step, rate):
    np.square(g, out=scratch)
    np.add(states[0], scratch, out=states[0])
    _divide_by_root(p, g, states[0], scratch, 1e-10, rate)


def _rmsprop(p, g, states, scratch, step, rate):
    np.square(g, out=scratch)
    _add_share(states[0], scratch, 0.99)
    _divide_by_root(p, g, states[0], scratch, 1e-8, rate)


def _adam(p, g, states, scratch, step, rate):
    first, second = states
    np.copyto(scratch, g)
    _add_share(first, scratch, 0.9)
    np.square(g, out=scratch)
    _add_share(second, scratch, 0.999)
    # Both corrections are drawn into two numbers, epsilon included.
    root = np.sqrt(1 - 0.999**step)
    _divide_by_root(p, first, second, scratch, 1e-8 * root, rate * root / (1 - 0.9**step))


OPTIMIZERS = {"sgd": (_sgd, 0), "momentum": (_momentum, 1), "adagrad": (_adagrad, 1),
              "rmsprop": (_rmsprop, 1), "adam": (_adam, 2)}


def make_update(name, parameter, gradient):
    """A call that does one step on flat arrays, block by block."""
    function, count = OPTIMIZERS[name]
    rate, step = LEARNING_RATES[name], 0
    states = [np.zeros_like(parameter) for _ in range(count)]
    scratch = np.empty(min(BLOCK, parameter.size), parameter.dtype)
    blocks = []
    for begin in range(0, parameter.size, BLOCK):
        part = slice(begin, begin + BLOCK)
        views = parameter[part], gradient[part], [state[part] for state in states]
        blocks.append((*views, scratch[:views[0].size]))

    def update():
        nonlocal step
        step += 1
        for block in blocks:
            function(*block, step, rate)

    return update


# ---- the network -------------------------------------------------------------------------------


def _views(flat, case):
    """(weight, bias) of each layer in one flat array."""
    views, begin = [], 0
    for inputs, outputs in case.layers:
        middle = begin + inputs * outputs
        views.append((flat[begin:middle].reshape(inputs, outputs), flat[middle:middle + outputs]))
        begin = middle + outputs
    return views


class _Network:
    """Parameters and gradients, each in one flat array, and buffers for so many rows."""

    def __init__(self, case, weights, rows):
        self.forward_activation, self.derivative = choose(ACTIVATIONS, case.activation)
        self.output, self.loss = OUTPUTS[case.task], LOSSES[case.task]
        self.parameters = np.concatenate([part.ravel() for pair in weights for part in pair])
        self.gradients = np.empty_like(self.parameters)
        self.layers = _views(self.parameters, case)
        self.layer_gradients = _views(self.gradients, case)
        self.sums = [np.empty((rows, width), case.dtype) for width in case.widths[1:]]
        self.units = [np.empty_like(sums) for sums in self.sums]
        self.slopes = [np.empty_like(sums) for sums in self.sums[:-1]]

    def forward(self, x):
        """The logits, for as many rows as come."""
        for layer, (weight, bias) in enumerate(self.layers):
            sums = self.sums[layer][:len(x)]
            np.matmul(x, weight, out=sums)
            np.add(sums, bias, out=sums)
            if layer < len(self.layers) - 1:
                x = self.units[layer][:len(sums)]
                self.forward_activation(sums, x)
        return sums

    def predict(self, x):
        """The output activation's values."""
        out = self.units[-1][:len(x)]
        self.output(self.forward(x), out)
        return out

    def learn(self, x, targets):
        """The loss; all gradients are computed."""
        count, gradient = len(x), self.units[-1][:len(x)]
        loss = self.loss(self.forward(x), targets, gradient)
        for layer in reversed(range(len(self.layers))):
            inputs = self.units[layer - 1][:count] if layer else x
            weight_gradient, bias_gradient = self.layer_gradients[layer]
            np.matmul(inputs.T, gradient, out=weight_gradient)
            np.sum(gradient, axis=0, out=bias_gradient)
            if layer:
                sums, slopes = self.sums[layer - 1][:count], self.slopes[layer - 1][:count]
                self.derivative(sums, inputs, slopes)
                # The inputs have done their duty: their memory takes the gradient.
                np.matmul(gradient, self.layers[layer][0].T, out=inputs)
                gradient = np.multiply(inputs, slopes, out=inputs)
        return loss


class PlainNumpy(EpochPeer):
    """NumPy."""

    def __init__(self, threads):
        np.seterr(over="ignore")        # exp of the sigmoid, whose reciprocal is then 0

    def version(self):
        return np.__version__

    def network(self, case, weights):
        return _Network(case, weights, case.batch)

    def predict(self, network, case, rows):
        return lambda: network.predict(rows)

    def train(self, case, weights, batch):
        network = self.network(case, weights)
        update = make_update(case.optimizer, network.parameters, network.gradients)

        def step():
            loss = network.learn(*batch)
            update()
            return float(loss)

        return step, lambda: [array for pair in network.layers for array in pair]

    def learner(self, case, weights, data):
        rng = np.random.default_rng(0)
        (rows, targets), test = data

        def start():
            network = self.network(case, weights)
            update = make_update(case.optimizer, network.parameters, network.gradients)

            def train_epoch():
                order, total = rng.permutation(len(rows)), 0.0
                for begin in range(0, len(rows), case.batch):
                    chosen = order[begin:begin + case.batch]
                    total += network.learn(rows[chosen], targets[chosen]) * len(chosen)
                    update()
                return total / len(rows)

            def accuracy():
                parts = range(0, len(test.rows), case.batch)
                found = [network.forward(test.rows[i:i + case.batch]).argmax(1) for i in parts]
                return (np.concatenate(found) == test.targets).mean()

            return train_epoch, accuracy

        return start

    def kernel(self, kernel, values, other):
        if kernel.kind == "optimizer":
            parameter = values.copy()
            return make_update(kernel.name, parameter, other), lambda: [parameter]
        out = np.empty_like(values)
        if kernel.kind == "loss":
            return (lambda: cross_entropy(values, other, out),
                    lambda: [np.array(cross_entropy(values, other, out)), out])
        function = choose(KERNELS, kernel.name)
        return lambda: function(values, out), lambda: [out]
