"""PyTorch, eager."""

from __future__ import annotations

import functools

import torch
from torch.nn import functional

from ..cases import LEARNING_RATES, MOMENTUM
from . import EpochPeer, choose

ACTIVATIONS = {
    "identity": torch.nn.Identity, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh,
    "relu": functools.partial(torch.nn.ReLU, inplace=True),
    "leaky_relu": functools.partial(torch.nn.LeakyReLU, inplace=True),
    "silu": torch.nn.SiLU, "gelu": torch.nn.GELU,
    "gelu_tanh": functools.partial(torch.nn.GELU, approximate="tanh"),
    **{name: functools.partial(module, inplace=True) for name, module in {
        "relu6": torch.nn.ReLU6, "elu": torch.nn.ELU, "celu": torch.nn.CELU,
        "selu": torch.nn.SELU, "mish": torch.nn.Mish, "hard_sigmoid": torch.nn.Hardsigmoid,
        "hard_tanh": torch.nn.Hardtanh, "hard_swish": torch.nn.Hardswish}.items()},
    "softplus": torch.nn.Softplus, "softsign": torch.nn.Softsign,
    "log_sigmoid": torch.nn.LogSigmoid,
}
# On arrays, with memory for the result.
KERNELS = {
    "identity": lambda x, out: out.copy_(x),
    "exp": torch.exp, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "leaky_relu": torch.ops.aten.leaky_relu.out, "silu": torch.ops.aten.silu.out,
    "gelu": torch.ops.aten.gelu.out,
    "gelu_tanh": functools.partial(torch.ops.aten.gelu.out, approximate="tanh"),
    "relu6": lambda x, out: torch.clamp(x, 0, 6, out=out), "elu": torch.ops.aten.elu.out,
    "celu": lambda x, out: out.copy_(functional.celu(x)),   # this and the next have no `out`
    "selu": lambda x, out: out.copy_(functional.selu(x)),
    "mish": torch.ops.aten.mish.out, "softplus": torch.ops.aten.softplus.out,
    "softsign": lambda x, out: torch.div(x, torch.abs(x) + 1, out=out),
    "hard_sigmoid": torch.ops.aten.hardsigmoid.out, "hard_tanh": torch.ops.aten.hardtanh.out,
    "hard_swish": torch.ops.aten.hardswish.out, "log_sigmoid": torch.ops.aten.log_sigmoid.out,
}
OUTPUTS = {"multiclass": lambda z: z.softmax(1), "binary": torch.sigmoid,
           "regression": lambda z: z}
LOSSES = {"multiclass": functional.cross_entropy, "regression": functional.mse_loss,
          "binary": functional.binary_cross_entropy_with_logits}
OPTIMIZERS = {
    "sgd": functools.partial(torch.optim.SGD, fused=True),
    "momentum": functools.partial(torch.optim.SGD, momentum=MOMENTUM, fused=True),
    "adagrad": functools.partial(torch.optim.Adagrad, fused=True),
    "rmsprop": torch.optim.RMSprop,     # has no fused form
    "adam": functools.partial(torch.optim.Adam, fused=True),
}


def make_optimizer(name, parameters):
    """The optimizer of a name, in its fastest form."""
    return OPTIMIZERS[name](parameters, lr=LEARNING_RATES[name])


def make_step(case, network, loss_function):
    """A call (rows, targets) that does a training step and returns the loss, a tensor."""
    optimizer = make_optimizer(case.optimizer, network.parameters())

    def step(rows, targets):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(network, rows, targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class Eager(EpochPeer):
    """PyTorch as it is written: one call after the other."""

    def __init__(self, threads):
        torch.set_flush_denormal(True)      # before it has threads, which take it over
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def version(self):
        return torch.__version__

    def prepared(self, function, **options):
        """How a function of tensors is made ready."""
        return function

    def network(self, case, weights):
        activation = choose(ACTIVATIONS, case.activation)
        modules = []
        for weight, bias in weights:
            linear = torch.nn.utils.skip_init(torch.nn.Linear, *weight.shape,
                                              dtype=getattr(torch, case.dtype))
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight).T)
                linear.bias.copy_(torch.from_numpy(bias))
            modules += [linear, activation()]
        return torch.nn.Sequential(*modules[:-1])

    def predict(self, network, case, rows):
        rows, output = torch.from_numpy(rows), OUTPUTS[case.task]
        forward = self.prepared(lambda rows: output(network(rows)), inference=True)

        def run():
            with torch.inference_mode():
                return forward(rows)

        return run

    def loss_function(self, case):
        """A call (network, rows, targets) that returns the loss."""
        loss = LOSSES[case.task]
        return self.prepared(lambda network, rows, targets: loss(network(rows), targets))

    def train(self, case, weights, batch):
        network = self.network(case, weights)
        step = make_step(case, network, self.loss_function(case))
        rows, targets = (torch.from_numpy(array) for array in batch)

        def parameters():
            return [p.detach().numpy().T for p in network.parameters()]

        return lambda: step(rows, targets).item(), parameters

    def learner(self, case, weights, data):
        loss_function = self.loss_function(case)
        (rows, targets), (test_rows, test_targets) = (
            [torch.from_numpy(array) for array in batch] for batch in data)

        def start():
            network = self.network(case, weights)
            step = make_step(case, network, loss_function)

            def train_epoch():
                total = torch.zeros(())
                for chosen in torch.randperm(len(rows)).split(case.batch):
                    total += step(rows[chosen], targets[chosen]) * len(chosen)
                return total.item() / len(rows)

            def accuracy():
                with torch.inference_mode():
                    return (network(test_rows).argmax(1) == test_targets).double().mean().item()

            return train_epoch, accuracy

        return start

    def kernel(self, kernel, values, other):
        values, other = torch.from_numpy(values), torch.from_numpy(other)
        if kernel.kind == "optimizer":
            return self._update(kernel.name, values.clone(), other)
        if kernel.kind == "loss":
            return self._loss(values, other)
        function, out = choose(KERNELS, kernel.name), torch.empty_like(values)

        @torch.inference_mode()
        def run():
            function(values, out=out)

        return run, lambda: [out.numpy()]

    @staticmethod
    def _loss(logits, labels):
        logits.requires_grad_()

        def run():
            loss = functional.cross_entropy(logits, labels)
            return loss.detach(), torch.autograd.grad(loss, logits)[0]

        return run, lambda: [tensor.numpy() for tensor in run()]

    @staticmethod
    def _update(name, parameter, gradient):
        parameter.requires_grad_()
        parameter.grad = gradient
        optimizer = make_optimizer(name, [parameter])
        return optimizer.step, lambda: [parameter.detach().numpy()]
