"""ONNX Runtime: prediction, by a plain `run` and with buffers bound beforehand."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented

from . import Peer, Unsupported, choose

ACTIVATIONS = {"identity": ["Identity"], "sigmoid": ["Sigmoid"], "tanh": ["Tanh"],
               "relu": ["Relu"], "leaky_relu": ["LeakyRelu"], "gelu": ["Gelu"], "elu": ["Elu"],
               "celu": ["Celu"], "selu": ["Selu"], "mish": ["Mish"], "softplus": ["Softplus"],
               "softsign": ["Softsign"], "hard_swish": ["HardSwish"],
               "relu6": ["Clip", "zero", "six"], "hard_tanh": ["Clip", "minus_one", "one"]}
NUMBERS = {"zero": 0, "six": 6, "minus_one": -1, "one": 1}
OUTPUTS = {"multiclass": "Softmax", "binary": "Sigmoid", "regression": "Identity"}
OPSET, FORMAT = 20, 10


def activation_nodes(name, source, target):
    """The nodes of an activation."""
    if name == "silu":
        return [helper.make_node("Sigmoid", [source], [f"{target}.gate"]),
                helper.make_node("Mul", [source, f"{target}.gate"], [target])]
    if name == "log_sigmoid":
        inner = [f"{target}.negative", f"{target}.softplus"]
        return [helper.make_node(kind, [given], [found]) for kind, given, found in zip(
            ["Neg", "Softplus", "Neg"], [source, *inner], [*inner, target], strict=True)]
    if name == "hard_sigmoid":
        return [helper.make_node("HardSigmoid", [source], [target], alpha=1 / 6, beta=0.5)]
    kind, *bounds = choose(ACTIVATIONS, name)
    return [helper.make_node(kind, [source, *bounds], [target])]


def make_model(case, weights) -> bytes:
    """The network with its output activation, in ONNX's format."""
    nodes, current = [], "x"
    constants = [numpy_helper.from_array(np.array(number, case.dtype), name)
                 for name, number in NUMBERS.items()]
    for layer, (weight, bias) in enumerate(weights):
        names = [f"weight{layer}", f"bias{layer}"]
        constants += map(numpy_helper.from_array, (weight, bias), names)
        nodes.append(helper.make_node("Gemm", [current, *names], [f"sums{layer}"]))
        current = f"sums{layer}"
        if layer < len(weights) - 1:
            nodes += activation_nodes(case.activation, current, f"units{layer}")
            current = f"units{layer}"
    nodes.append(helper.make_node(OUTPUTS[case.task], [current], ["y"]))
    number = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[case.dtype]
    graph = helper.make_graph(
        nodes, "mlp", [helper.make_tensor_value_info("x", number, [None, case.widths[0]])],
        [helper.make_tensor_value_info("y", number, [None, case.widths[-1]])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                              ir_version=FORMAT)
    return model.SerializeToString()


class Plain(Peer):
    """ONNX Runtime, a new result at every call."""

    def __init__(self, threads):
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def version(self):
        return onnxruntime.__version__

    def network(self, case, weights):
        try:
            return onnxruntime.InferenceSession(make_model(case, weights), self.options,
                                                providers=["CPUExecutionProvider"])
        except NotImplemented as error:
            raise Unsupported(str(error)) from None

    def predict(self, network, case, rows):
        given = {"x": rows}
        return lambda: network.run(None, given)[0]


class Bound(Plain):
    """ONNX Runtime, input and result in places that it is told once."""

    def predict(self, network, case, rows):
        result = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            [rows.shape[0], case.widths[-1]], rows.dtype.type)
        binding = network.io_binding()
        binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(rows))
        binding.bind_ortvalue_output("y", result)

        def run():
            network.run_with_iobinding(binding)
            return result

        return run
