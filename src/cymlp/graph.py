"""The computational graph of a network as text: DOT for Graphviz, Mermaid for Markdown."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from .immutable import immutable
from .layers import Concat, Residual

__all__ = ["Edge", "Graph", "Node", "graph_of"]


@immutable
class Node:
    """A value: the input, a parameter, the output of a layer, or the loss.

    >>> Node("x", "input", "input", "(n, 4)").text
    'input\\n(n, 4)'
    """

    name: str
    kind: str
    label: str
    shape: str

    @property
    def text(self) -> str:
        """Label and shape, one below the other."""
        return f"{self.label}\n{self.shape}"


@immutable
class Edge:
    """From a value to one that is computed from it; `back` is the shape of what flows back.

    That is the gradient of the loss by the first; "" where none is computed.
    """

    begin: str
    end: str
    back: str


@immutable
class Graph:
    """Nodes and edges of a network's computation, from the input and parameters to the loss.

    Attributes
    ----------
    nodes : tuple of Node
        Each with its shape; n is the number of rows.
    edges : tuple of Edge
        Each with the shape of the gradient that flows back along it.

    Examples
    --------
    >>> import cymlp
    >>> graph = cymlp.mlp(4, [], 1, task="regression").graph()
    >>> [node.name for node in graph.nodes]
    ['input', '0.weight', '0.bias', '0', 'loss']
    >>> print(graph.mermaid)
    flowchart LR
        n0["input<br>(n, 4)"]
        n1[["0.weight<br>(4, 1)"]]
        n2[["0.bias<br>(1,)"]]
        n3["0 Dense(1)<br>(n, 1)"]
        n4(["identity, mean_squared_error<br>()"])
        n0 --> n3
        n1 -- "gradient (4, 1)" --> n3
        n2 -- "gradient (1,)" --> n3
        n3 -- "gradient (n, 1)" --> n4
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def _numbers(self) -> dict[str, str]:
        return {node.name: f"n{number}" for number, node in enumerate(self.nodes)}

    @property
    def mermaid(self) -> str:
        """The graph for Mermaid, which Markdown viewers draw."""
        numbers, lines = self._numbers(), ["flowchart LR"]
        forms = {"parameter": '[["{}"]]', "loss": '(["{}"])'}
        for node in self.nodes:
            text = node.text.replace('"', "'").replace("\n", "<br>")
            lines.append(numbers[node.name] + forms.get(node.kind, '["{}"]').format(text))
        for edge in self.edges:
            label = f' -- "gradient {edge.back}"' if edge.back else ""
            lines.append(f"{numbers[edge.begin]}{label} --> {numbers[edge.end]}")
        return "\n    ".join(lines)

    @property
    def dot(self) -> str:
        """The graph for Graphviz."""
        numbers = self._numbers()
        lines = ["digraph network {", "rankdir=LR;", "node [shape=box];"]
        forms = {"parameter": "box3d", "loss": "ellipse"}
        for node in self.nodes:
            text = node.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            shape = f", shape={forms[node.kind]}" if node.kind in forms else ""
            lines.append(f'{numbers[node.name]} [label="{text}"{shape}];')
        for edge in self.edges:
            label = f' [label="gradient {edge.back}"]' if edge.back else ""
            lines.append(f"{numbers[edge.begin]} -> {numbers[edge.end]}{label};")
        return "\n    ".join(lines) + "\n}"

    def svg(self) -> str:
        """The graph drawn by Graphviz.

        Returns
        -------
        str
            An SVG document.

        Raises
        ------
        RuntimeError
            Where Graphviz's program ``dot`` is not installed, or fails.
        """
        program = shutil.which("dot")
        if program is None:
            raise RuntimeError("graph: expected Graphviz's program 'dot' on the PATH to draw an "
                               "SVG, found none; .dot and .mermaid need no program")
        done = subprocess.run([program, "-Tsvg"], input=self.dot, capture_output=True,
                              text=True, encoding="utf-8", timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"graph: Graphviz's 'dot' failed: {done.stderr.strip()}")
        return done.stdout

    def _repr_svg_(self) -> str | None:
        """For notebooks: the drawing, where it can be made."""
        return self.svg() if shutil.which("dot") else None

    def __str__(self) -> str:
        return self.mermaid


def graph_of(network: Any) -> Graph:
    """What :meth:`cymlp.Network.graph` returns.

    >>> import cymlp
    >>> len(graph_of(cymlp.mlp(4, [3], 1, task="binary")).edges)
    7
    """
    builder = _Builder()
    builder.node("input", "input", "input", f"(n, {network.in_features})")
    last = builder.layers(network.layers, "", ("input", network.in_features, False))
    name = f"{network.loss.output_activation}, {network.loss.name}"
    builder.node("loss", "loss", name, "()")
    builder.edge(last, "loss")
    return Graph(tuple(builder.nodes), tuple(builder.edges))


class _Builder:
    """Walks the layers; a flow is (name of the node, width, whether a gradient flows back)."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def node(self, name: str, kind: str, label: str, shape: str) -> None:
        self.nodes.append(Node(name, kind, label, shape))

    def edge(self, flow: tuple, end: str) -> None:
        begin, width, learns = flow
        self.edges.append(Edge(begin, end, f"(n, {width})" if learns else ""))

    def layers(self, layers: Any, path: str, flow: tuple) -> tuple:
        for index, layer in enumerate(layers):
            flow = self.layer(layer, f"{path}{index}", flow)
        return flow

    def layer(self, layer: Any, path: str, flow: tuple) -> tuple:
        width = layer.out_features(flow[1])
        if isinstance(layer, Residual):
            inner = self.layers(layer.layers, f"{path}.", flow)
            return self.join(path, "add", [flow, inner], width)
        if isinstance(layer, Concat):
            ends = [self.layers(branch, f"{path}.{number}.", flow)
                    for number, branch in enumerate(layer.branches)]
            return self.join(path, "concat", ends, width)
        incoming, learns = [], flow[2]
        for declared in layer.parameters(flow[1]):
            name = f"{path}.{declared.part}"
            self.node(name, "parameter", name, str(declared.shape))
            incoming.append(Edge(name, path, str(declared.shape) if declared.trained else ""))
            learns = learns or declared.trained
        self.node(path, "layer", f"{path} {layer.short_text()}", f"(n, {width})")
        self.edge(flow, path)
        self.edges += incoming
        return path, width, learns

    def join(self, path: str, what: str, flows: list, width: int) -> tuple:
        self.node(path, "layer", f"{path} {what}", f"(n, {width})")
        for flow in flows:
            self.edge(flow, path)
        return path, width, any(flow[2] for flow in flows)
