"""Predictions of narrow layers: rows lie beside each other in a register, not columns.

Columns are padded to whole registers, of 16 numbers in float32. Of a layer with 7 outputs more
than half of the work is then on padding, and of a binary classifier's sigmoid all but one part in
16. So where it pays the rows of a chunk are turned before the last layers, and their result back
afterwards: the multiply-adds of each output stay one chain in the same order, and so do the bits.
"""

from __future__ import annotations

from ..immutable import replace
from .form import Step

__all__ = ["LEAST_ROWS", "turn_narrow"]

LEAST_ROWS = 64         # that a plan is for: the width of a tile
LONGEST_CHAIN = 512     # inputs whose multiply-adds are one chain: FEATURE_BLOCK in gemm.pxd
# What things cost a row, in multiply-adds of a register; measured with AVX-512, tried with AVX2.
FUNCTION = 24.0         # a function such as tanh of a register
TURN = 0.4              # to turn a column
BACK = 2.5              # and to turn it back
FEW, FEW_INPUT = 10.0, 0.3      # what products of few columns (gemm_few.h) take more, not turned
# What turned products take more, by the numbers in a register: their tiles have 5 or 4 rows, read
# the rows again for each panel of outputs, and leave no zeros out.
LOSS = {16: 0.05, 8: 0.3}
FREE = ("identity", "relu")     # done in the products
# The least gain, as a share of all products: what is turned is not shared by panels among threads.
LEAST_GAIN = 1 / 64


def turn_narrow(steps: list[Step], lanes: int) -> tuple[list[Step], int]:
    """The steps of a prediction with its last products turned, if that pays.

    Parameters
    ----------
    steps : list of Step
        All of them.
    lanes : int
        Numbers in a register of 64 bytes.

    Returns
    -------
    steps : list of Step
        The same where nothing is to be gained. Buffers with turned rows are named "turned0" and
        "turned1".
    columns : int
        The most columns that one of them has to hold; 0 where there is none.
    """
    products, end = _last_products(steps)
    tail = steps[end:]
    total = sum(step.attributes["inputs"] * step.attributes["outputs"] / lanes
                for step in steps if step.op == "dense_forward")
    begin = _where_it_pays(products, tail, lanes, LEAST_GAIN * total)
    if begin is None:
        return steps, 0
    place, first = products[begin]
    x, width = first.operands["x"], first.attributes["inputs"]
    turned = [Step("turn", {"x": x, "out": "turned0"}, {"inputs": width})]
    columns = width
    for number, (_, step) in enumerate(products[begin:]):
        operands = step.operands | {"x": f"turned{number % 2}", "out": f"turned{(number + 1) % 2}"}
        turned.append(replace(step, op="dense_turned", operands=operands))
        columns = max(columns, step.attributes["outputs"])
    back = {"x": turned[-1].operands["out"]}
    if _is_written(tail, products):
        tail = tail[1:]
    else:
        back["out"] = products[-1][1].operands["out"]
    turned.append(Step("turn_back", back, {"outputs": products[-1][1].attributes["outputs"]}))
    return steps[:place] + turned + tail, columns


def _last_products(steps: list[Step]) -> tuple[list[tuple[int, Step]], int]:
    """The last dense steps that follow each other, with their places, and where others go on.

    An activation of its own that follows one becomes its end.
    """
    products, end = [], 0
    for place, step in enumerate(steps):
        last = products[-1][1] if products and end == place else None
        out = last.operands["out"] if last else None
        if step.op == "dense_forward":
            products = [*products, (place, step)] if step.operands["x"] == out else [(place, step)]
        elif (step.op == "activation_forward" and step.operands["x"] == step.operands["out"] == out
                and last.attributes["activation"] == "identity"):
            fused = {name: step.attributes[name] for name in ("activation", "slope")}
            products[-1] = products[-1][0], replace(last, attributes=last.attributes | fused)
        else:
            continue
        end = place + 1
    return products, end


def _is_written(tail: list[Step], products) -> bool:
    """Whether the products' result is all that the caller gets."""
    return (tail[0].op == "scatter_output"
            and tail[0].operands["x"] == products[-1][1].operands["out"])


def _where_it_pays(products, tail: list[Step], lanes: int, most: float) -> int | None:
    """The product from which on the most is gained, more than `most`; None where there is none."""
    read = {name for step in tail for role, name in step.operands.items() if role != "out"}
    read -= {products[-1][1].operands["out"]} if products else set()
    best = None
    gain = 0.0
    for number in reversed(range(len(products))):
        step = products[number][1]
        inputs, outputs = step.attributes["inputs"], step.attributes["outputs"]
        if number == len(products) - 1 and not _is_written(tail, products):
            gain -= BACK * outputs
        elif step.operands["out"] in read:
            break               # a skip takes it as it was
        if inputs > LONGEST_CHAIN:
            break
        if outputs <= lanes // 4:
            gain += FEW + FEW_INPUT * inputs
        else:
            gain += inputs * (-outputs % (lanes // 2)) / lanes
        gain -= LOSS[lanes] * inputs * outputs / lanes
        if step.attributes["activation"] not in FREE:
            gain += FUNCTION * (-outputs % lanes) / lanes
        if gain - TURN * inputs > most:
            best, most = number, gain - TURN * inputs
    return best
