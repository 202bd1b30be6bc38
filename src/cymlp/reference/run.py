"""A plan run by the reference, step by step in float64, and held against the engine's run."""

from __future__ import annotations

import numpy as np

from cymlp.immutable import immutable
from cymlp.plan import Step, separate_results
from cymlp.reference import dense, rng
from cymlp.reference.layer_steps import LAYER_STEPS
from cymlp.reference.loss_steps import LOSS_STEPS, count, loss_step
from cymlp.reference.operands import activation_of, operand, slope_of
from cymlp.reference.updating import step_with_rules, step_without_rules

__all__ = ["Run", "StepDifference", "compare", "run_plan"]


@immutable
class Run:
    """What a run of a plan has left behind.

    Attributes
    ----------
    buffers : dict of str to ndarray
        Every array of the workspace by its name in the plan, with one row for each row of the
        input; of a plan of the kind "predict" or "forward" also ``"output"``.
    gradients : dict of str to ndarray
        The gradient of the loss by each parameter.
    loss, metric : float or None
        Means over the rows, where the plan has them.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> net.parameters["0.weight"] = [[2.0]]
    >>> run = cymlp.reference.run_plan(net.plan_for("forward", 1), net.parameters, [[3.0]])
    >>> run.buffers["output"], run.loss
    (array([[6.]]), None)
    """

    buffers: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    loss: float | None = None
    metric: float | None = None


@immutable
class StepDifference:
    """How far one result of one step of the engine is from the reference's.

    Attributes
    ----------
    step : int
        Number of the step in the plan.
    text : str
        The step as the plan prints it.
    result : str
        The buffer, or the parameter whose gradient it is.
    error : float
        Largest difference; see :func:`compare` for its unit.
    agrees : bool
        Whether the error is within the tolerance.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> print(cymlp.reference.compare(net, [[3.0]], [1.0])[0])
    step 0: input = gather_input(): input differs by 0
    """

    step: int
    text: str
    result: str
    error: float
    agrees: bool

    def __str__(self) -> str:
        mark = "" if self.agrees else ", too much"
        return f"step {self.step}: {self.text}: {self.result} differs by {self.error:.3g}{mark}"


@immutable
class _Call:
    """What the steps are given from outside the workspace."""

    X: np.ndarray
    y: np.ndarray | None
    sample_weight: np.ndarray | None
    key: int
    step: int
    epoch: int = 0


def run_plan(plan, parameters, X, y=None, sample_weight=None, *, key=0, step=1, optimizer=None,
             states=None):
    """Run a plan with the reference's functions, all rows as one chunk.

    Parameters
    ----------
    plan : Plan
        Of any kind; see :meth:`cymlp.Network.plan_for`.
    parameters : mapping of str to array_like
        The parameters that the plan names.
    X : array_like, shape (n, in_features)
        Input; more rows than `plan.batch` are welcome.
    y : array_like, optional
        Targets, integer labels (n,) or dense (n, out) as the plan wants them.
    sample_weight : array_like, shape (n,), optional
        Weights of the rows, where the plan has them.
    key, step : int
        Of the random numbers of dropout; `step` is also the optimizer's, from 1.
    optimizer : optimizer, optional
        Where given, the gradients are followed by its update: `parameters` then holds float64
        arrays, and they are changed in place.
    states : dict, optional
        The optimizer's states by parameter and name, changed in place; what is missing is put
        there with its initial value.

    Returns
    -------
    Run
        Buffers, gradients, loss and metric.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> net = cymlp.mlp(2, [3], 1, task="regression", activation="tanh", rng=0)
    >>> X, y = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([1.0, 0.0])
    >>> run = cymlp.reference.run_plan(net.plan_for("gradients", 2), net.parameters, X, y)
    >>> sorted(run.gradients), run.buffers["0.output"].shape
    (['0.bias', '0.weight', '1.bias', '1.weight'], (2, 3))
    >>> bool(abs(run.loss - net.gradients(X, y)[0]) < 1e-6)
    True
    """
    call = _as_call(X, y, sample_weight, key, step)
    values = {name: np.asarray(array, np.float64) for name, array in parameters.items()}
    run, found = Run({}, {}), {}
    for item in plan.steps:
        for name, array in _results(item, values, call).items():
            if item.op in _UPDATES:
                run.gradients[name] = array
                if optimizer is not None and not plan.pieces:
                    rows = _rows_in_use(item, values)
                    _update(optimizer, parameters[name], array, name, step, states, rows)
            elif item.op == "batch_running" and optimizer is not None:
                parameters[name][...] = array
            elif item.op == "reduce":
                found[name] = array / count(plan, name, values, call)
            else:
                values[name] = run.buffers[name] = array
    if plan.pieces and optimizer is not None:
        step_with_rules(optimizer, plan.update, parameters, run.gradients,
                        {} if states is None else states, step)
    return Run(run.buffers, run.gradients, **found)


def compare(network, X, y, sample_weight=None, *, tolerance=None):
    """Hold every step of the engine's forward and backward pass against the reference.

    Each step of the reference works on what the engine's steps before have given, so that an
    error is the step's own. It is the largest difference between the two results, divided by the
    largest entry of the expected result or, if that is more, by how much the result moves for a
    relative change of the inputs: rounding can do about as much as the dtype's precision in this
    unit, also where a result is a small difference of large terms.

    Parameters
    ----------
    network : cymlp.Network
        It is not changed.
    X, y, sample_weight
        A batch of any number of rows, as for :meth:`cymlp.Network.gradients`.
    tolerance : float, optional
        The largest error that counts as agreement; left out: 64 times the precision of the
        network's dtype.

    Returns
    -------
    list of StepDifference
        In the plan's order, one for each result of each step.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(2, [3], 1, task="regression", rng=0)
    >>> steps = cymlp.reference.compare(net, [[0.5, -1.0], [2.0, 0.25]], [1.0, 0.0])
    >>> [step.result for step in steps][:4]
    ['input', '0.output', '1.output', 'target']
    >>> next((step for step in steps if not step.agrees), "no step differs")
    'no step differs'
    """
    if tolerance is None:
        tolerance = 64 * float(np.finfo(network.dtype).eps)
    X, y, sample_weight, _ = network._learning_arrays(X, y, sample_weight)
    plan, engine_loss, values, gradients = _engine_run(network, X, y, sample_weight)
    call = _as_call(X, y, sample_weight, network._engine.key, network._engine.step + 1,
                    network._engine.epoch)
    differences = []
    for number, step in enumerate(plan.steps):
        moved = _results(step, _shaken(step, values), call)
        for name, expected in _results(step, values, call).items():
            got, divisor = values.get(name), 1.0
            if step.op in _UPDATES:
                got = gradients[name]
            elif step.op == "reduce":
                got, divisor = engine_loss, count(plan, name, values, call)
            error = _error(got, expected / divisor, moved[name] / divisor)
            differences.append(
                StepDifference(number, str(step), name, error, error <= tolerance))
    return differences


# ---- around the steps -------------------------------------------------------------

_SHAKE = 2.0**-26


def _engine_run(network, X, y, sample_weight):
    """The plan that the engine ran with each result kept; the loss, all values, the gradients."""
    plan = separate_results(network._gradient_plan(X, y, sample_weight), len(X))
    loss, gradients, buffers = network._gradients(X, y, sample_weight, plan)
    vectors = {buffer.name for buffer in plan.buffers if buffer.leading == 1}
    values = {name: np.asarray(array, np.float64) for name, array in network.parameters.items()}
    for name, array in buffers.items():
        array = array[:, 0] if name in vectors else array
        values[name] = array if array.dtype.kind == "i" else array.astype(np.float64)
    return plan, loss, values, gradients


def _shaken(step, values):
    """The step's operands with every number moved by a small share of itself, up or down."""
    generator = np.random.default_rng(0)
    moved = {}
    for name in step.operands.values():
        array = values.get(name)
        if array is not None and array.dtype.kind == "f":
            array = array * (1.0 + _SHAKE * generator.choice([-1.0, 1.0], array.shape))
        moved[name] = array
    return moved


def _error(got, expected, moved):
    """Largest difference in units of the result's size; infinite where only one is NaN."""
    got, expected, moved = (np.asarray(a, np.float64) for a in (got, expected, moved))
    if got.shape != expected.shape:
        return np.inf
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(got - expected)[~same].max()
        finite = np.isfinite(expected) & np.isfinite(moved)
        size = np.maximum(np.abs(expected), np.abs(moved - expected) / _SHAKE)[finite]
    if not np.isfinite(difference) or not size.any():
        return np.inf
    return float(difference / size.max())


def _as_call(X, y, sample_weight, key, step, epoch=0):
    X = np.asarray(X, np.float64)
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight, np.float64)
    return _Call(X, None if y is None else np.asarray(y), sample_weight, key, step, epoch)


def _rows_in_use(step, values):
    """Of an embedding's table only the rows that the batch names are updated."""
    if step.op != "embedding_update":
        return slice(None)
    return np.unique(np.rint(operand(step, values, "x")).astype(np.int64))


def _update(optimizer, parameter, gradient, name, step, states, rows):
    """The optimizer's step on some rows of one parameter, in place."""
    if states is None and optimizer.states():
        raise ValueError(f"states: expected a dict to keep {optimizer.states()}, got None")
    kept = {} if states is None else states.setdefault(name, {})
    for state in optimizer.states():
        kept.setdefault(state, np.full(gradient.shape, optimizer.initial_state(state)))
    part = parameter[rows].copy()
    parts = {state: array[rows].copy() for state, array in kept.items()}
    step_without_rules(optimizer, part, gradient[rows], parts, step)
    parameter[rows] = part
    for state, array in parts.items():
        kept[state][rows] = array


# ---- the steps: each takes its operands from `values` and gives its results by name ------


def _results(step: Step, values, call) -> dict[str, np.ndarray]:
    return _OPS.get(step.op, loss_step)(step, values, call)


def _gather_input(step, values, call):
    weight = operand(step, values, "sample_weight")
    X = call.X if weight is None else np.where(weight[:, None] != 0, call.X, 0.0)
    return {step.operands["out"]: X}


def _gather_labels(step, values, call):
    return {step.operands["out"]: call.y.reshape(-1).astype(np.int64)}


def _gather_weight(step, values, call):
    return {step.operands["out"]: call.sample_weight}


def _dense_forward(step, values, call):
    sums = dense.dense_forward(operand(step, values, "x"), operand(step, values, "weight"),
                               operand(step, values, "bias"))
    activation = activation_of(step.attributes["activation"])
    return {step.operands["out"]: activation(sums, *slope_of(step))}


def _turn(step, values, call):
    """Rows become columns, or the other way round."""
    return {step.operands.get("out", "output"): operand(step, values, "x").T}


def _dense_turned(step, values, call):
    turned = {**values, step.operands["x"]: operand(step, values, "x").T}
    return {name: array.T for name, array in _dense_forward(step, turned, call).items()}


def _activation_forward(step, values, call):
    activation = activation_of(step.attributes["activation"])
    return {step.operands["out"]: activation(operand(step, values, "x"), *slope_of(step))}


def _row_forward(step, values, call):
    activation = activation_of(step.op.removesuffix("_forward"))
    return {step.operands["out"]: activation(operand(step, values, "x"))}


def _dropout(step, values, call):
    rate = step.attributes["rate"]
    if "schedule" in step.attributes:
        factor = step.attributes["schedule"].factor(call.step - 1, call.epoch, len(call.X))
        rate = min(max(rate * factor, 0.0), 0.99)
    return {step.operands["out"]: rng.dropout(
        operand(step, values, "x"), rate, key=call.key, step=call.step,
        layer=step.attributes["layer"])}


def _reduce(step, values, call):
    totals = {"loss": operand(step, values, "x").sum()}
    if "row_values" in step.operands:
        weight = operand(step, values, "sample_weight")
        counted = True if weight is None else weight != 0
        totals["metric"] = operand(step, values, "row_values").sum(where=counted)
    return totals


def _row_backward(step, values, call):
    return {step.operands["out"]: activation_of(step.op)(
        operand(step, values, "x"), operand(step, values, "saved"))}


def _activation_backward(step, values, call):
    backward = activation_of(f"{step.attributes['activation']}_backward")
    return {step.operands["out"]: backward(
        operand(step, values, "x"), operand(step, values, "saved"), *slope_of(step))}


def _dense_backward_input(step, values, call):
    gradient = operand(step, values, "x") @ operand(step, values, "weight").T
    if step.attributes["activation"] != "identity":
        backward = activation_of(f"{step.attributes['activation']}_backward")
        gradient = backward(gradient, operand(step, values, "saved"), *slope_of(step))
    return {step.operands["out"]: gradient}


def _dense_update(step, values, call):
    _, weight, bias = dense.dense_backward(
        operand(step, values, "saved"), operand(step, values, "x"),
        operand(step, values, "weight"))
    results = {step.operands["weight"]: weight}
    if "bias" in step.operands:
        results[step.operands["bias"]] = bias
    return results


def _scatter_output(step, values, call):
    return {"output": operand(step, values, "x")}


# The steps that give a parameter's gradient.
_UPDATES = {"dense_update", "column_update", "embedding_update"}
# Every other op is the name of a loss.
_OPS = {
    "gather_input": _gather_input, "gather_labels": _gather_labels,
    "gather_weight": _gather_weight, "dense_forward": _dense_forward, "turn": _turn,
    "dense_turned": _dense_turned, "turn_back": _turn, "activation_forward": _activation_forward,
    "softmax_forward": _row_forward, "log_softmax_forward": _row_forward, "dropout": _dropout,
    "reduce": _reduce, "softmax_backward": _row_backward, "log_softmax_backward": _row_backward,
    "activation_backward": _activation_backward, "dense_backward_input": _dense_backward_input,
    "dense_update": _dense_update, "scatter_output": _scatter_output, **LAYER_STEPS, **LOSS_STEPS,
    # What goes around the update is done at the end, on whole arrays.
    **dict.fromkeys(("prepare_gradients", "apply_update", "max_norm", "average"),
                    lambda step, values, call: {}),
}
