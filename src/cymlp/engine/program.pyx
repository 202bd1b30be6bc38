"""A plan made ready to run: offsets and kinds in place of names."""
from libc.stdlib cimport calloc, free

cimport numpy as cnp

from cymlp.engine.call cimport *
from cymlp.engine.memory cimport Memory

import numpy as np

from cymlp import kernels as levels

cnp.import_array()

_OPS = {
    "gather_input": GATHER_INPUT, "gather_target": GATHER_TARGET,
    "gather_labels": GATHER_LABELS, "gather_weight": GATHER_WEIGHT,
    "dense_forward": DENSE_FORWARD, "turn": TURN, "dense_turned": DENSE_TURNED,
    "turn_back": TURN_BACK, "activation_forward": ACTIVATION_FORWARD,
    "log_softmax_forward": LOG_SOFTMAX_FORWARD, "log_softmax_backward": LOG_SOFTMAX_BACKWARD,
    "softmax_forward": SOFTMAX_FORWARD, "dropout": DROPOUT,
    "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "row_metric": ROW_METRIC, "reduce": REDUCE,
    "softmax_backward": SOFTMAX_BACKWARD, "activation_backward": ACTIVATION_BACKWARD,
    "dense_backward_input": DENSE_BACKWARD_INPUT, "dense_update": DENSE_UPDATE,
    "scatter_output": SCATTER_OUTPUT, "kullback_leibler": KULLBACK_LEIBLER,
    "exponential": EXPONENTIAL, "compiled_loss": COMPILED_LOSS, "python_loss": PYTHON_LOSS,
    "python_forward": PYTHON_FORWARD, "python_backward": PYTHON_BACKWARD,
    "add": ADD, "affine": AFFINE, "copy_columns": COPY_COLUMNS,
    "column_forward": COLUMN_FORWARD, "column_backward": COLUMN_BACKWARD,
    "column_update": COLUMN_UPDATE, "glu_forward": GLU_FORWARD, "glu_backward": GLU_BACKWARD,
    "normalize_rows": NORMALIZE_ROWS, "normalize_rows_backward": NORMALIZE_ROWS_BACKWARD,
    "batch_statistics": BATCH_STATISTICS, "batch_load": BATCH_LOAD,
    "batch_normalize": BATCH_NORMALIZE, "batch_sums": BATCH_SUMS,
    "batch_normalize_backward": BATCH_NORMALIZE_BACKWARD, "batch_running": BATCH_RUNNING,
    "embedding_forward": EMBEDDING_FORWARD, "embedding_update": EMBEDDING_UPDATE,
    "prepare_gradients": PREPARE_GRADIENTS, "apply_update": APPLY_UPDATE, "max_norm": MAX_NORM,
    "average": AVERAGE,
}

_SPLITS = {"rows": BY_ROWS, "columns": BY_COLUMNS, "units": BY_UNITS, "bands": BY_BANDS,
           "pieces": BY_PIECES, "once": BY_ONE, "caller": BY_CALLER}

_METRICS = {"accuracy": ACCURACY, "binary_accuracy": ACCURACY_BINARY,
            "absolute_error": ABSOLUTE_ERROR}


cdef place_t place(dict places, dict operands, str role):
    cdef place_t found
    found.space = NOWHERE
    found.offset = found.row_bytes = found.leading = 0
    name = operands.get(role)
    if name is not None:
        found.space, found.offset, found.row_bytes, found.leading = places[name]
    return found


cdef int kind_of(step, activations, losses) except -2:
    """The row of the kernels' table that a step uses."""
    attributes = step.attributes
    if "layer_kind" in attributes:
        return levels.column_table()[attributes["layer_kind"]]["kind"]
    if "activation" in attributes:
        return activations[attributes["activation"]]["kind"]
    if step.op in losses:
        return losses[step.op]["kind"]
    if step.op == "row_metric":
        return _METRICS[attributes["metric"]]
    return 0


cdef double parameter_of(dict attributes) except? -1:
    """The one number that a step's kernel takes."""
    for name in ("rate", "slope", "epsilon", "factor", "momentum", "label_smoothing"):
        if name in attributes:
            return attributes[name]
    return 0.0


cdef bint reads_directly(plan):
    """Whether only products read the input: they need no padding, and leave it as it is.

    A plan that is asked for gradients shows its buffers afterwards, the input among them.
    """
    first, *others = plan.steps
    return (plan.kind != "gradients" and first.op == "gather_input"
            and first.operands.get("sample_weight") is None
            and all((step.op, role) in {("dense_forward", "x"), ("dense_update", "x"),
                                        ("turn", "x")}
                    for step in others
                    for role, name in step.operands.items() if name == "input"))


cdef Py_ssize_t scratch_of(const step_t *s, Py_ssize_t item, Py_ssize_t rows) noexcept:
    """The scratch memory in bytes that a thread needs for a step."""
    cdef Py_ssize_t most = UNIT_PANELS * PANEL_BYTES, inputs, features
    if s.op == DENSE_FORWARD:           # lists of turns, and some rows copied together
        features = min(s.inputs, <Py_ssize_t>FEATURE_BLOCK) * item
        if s.outputs * item >= PACK_PANELS * PANEL_BYTES:
            most = padded_to(min(rows * features, NEAR_MOST + features), GRANULE_BYTES)
            return SPARSE_BYTES + most
        return SPARSE_BYTES if rows >= SPARSE_ROWS and s.inputs >= SPARSE_TURNS else 0
    if s.op == DENSE_BACKWARD_INPUT:    # lists, and some panels of the transposed weight
        features = min(padded_to(s.outputs, PANEL_BYTES // item), <Py_ssize_t>FEATURE_BLOCK)
        most = min(padded_to(s.inputs * item, PANEL_BYTES), <Py_ssize_t>GROUP_PANELS * PANEL_BYTES)
        return SPARSE_BYTES + (features + SKEW_ROWS) * most
    # Lists, the gradient, and the rows of the inputs; a bias's gradient needs less.
    if s.op == DENSE_UPDATE:
        inputs = min(s.inputs, <Py_ssize_t>UNITS_HIGH * UNIT_INPUTS)
        inputs = padded_to(inputs, PANEL_BYTES // item)     # they may be turned, in whole blocks
        most = min(padded_to(s.outputs * item, PANEL_BYTES), UNITS_WIDE * most)
        features = padded_to(min(rows, <Py_ssize_t>ROW_BLOCK) * item, GRANULE_BYTES)
        return SPARSE_BYTES + inputs * (most + features)
    return most                         # the gradient of some columns


cdef class Program:
    """The engine's form of a :class:`cymlp.plan.Plan`.

    Parameters
    ----------
    plan : Plan
        What to run.
    """

    def __init__(self, plan):
        self.plan = plan
        self.spare = []
        self.kept = []
        self.value_count = 1
        self.chunk = plan.chunk
        self.workspace_bytes = plan.workspace_bytes
        self.multiply_adds = plan.multiply_adds
        self.updates = plan.kind == "train"
        self.predicts = plan.kind == "predict"
        self.whole = plan.whole_batch
        self.by_blocks = plan.by_blocks
        self.turned = any(step.op == "turn" for step in plan.steps)
        self.keeps_gradients = plan.keeps_gradients
        self.steps = <step_t *>calloc(max(len(plan.steps), 1), sizeof(step_t))
        if self.steps == NULL:
            raise MemoryError("no memory for the steps of a plan")
        cdef Py_ssize_t item = 4 if plan.dtype == "float32" else 8
        sizes = {"float32": 4, "float64": 8, "int32": 4, "uint8": 1}
        places = {p.name: (ARENA, p.offset, *self._row(p, item)) for p in plan.parameters}
        for b in plan.buffers:
            places[b.name] = (WORKSPACE, b.offset, b.leading * sizes[b.dtype], b.leading)
        self.step_count = 0
        self.units = 0
        self._set_rules(plan)
        for step in plan.steps:
            self._add(step, places, item)
        if reads_directly(plan):
            self._add_direct_steps(plan, item)

    cdef int _add(self, step, dict places, Py_ssize_t item) except -1:
        cdef step_t *s = &self.steps[self.step_count]
        losses = levels.loss_table()
        attributes = step.attributes
        operands = step.operands
        s.op = POINTWISE_LOSS if step.op in losses else _OPS[step.op]
        s.kind = kind_of(step, levels.activation_table(), losses)
        s.relu = attributes.get("activation") == "relu"
        s.split = _SPLITS[step.split]
        s.wait = step.wait
        s.out = place(places, operands, "out")
        s.x = place(places, operands, "x")
        s.saved = place(places, operands, "saved")
        s.target = place(places, operands, "target")
        s.sample_weight = place(places, operands, "sample_weight")
        s.row_values = place(places, operands, "row_values")
        s.statistics = place(places, operands, "statistics")
        s.means = place(places, operands, "means")
        s.gate = place(places, operands, "gate")
        s.weight = place(places, operands, "weight")
        s.bias = place(places, operands, "bias")
        s.inputs = attributes.get("inputs", 0)
        s.outputs = attributes.get("outputs", 0)
        s.columns = attributes.get("columns", 0)
        s.labels = attributes.get("labels", False)
        s.parameter = parameter_of(attributes)
        s.offset = attributes.get("offset", 0.0)
        s.centered = attributes.get("centered", False)
        s.shared = attributes.get("shared", False)
        s.begin = attributes.get("begin", 0)
        s.to = attributes.get("to", 0)
        s.targets = attributes.get("targets", s.columns)
        s.repeat = attributes.get("repeat", 1)
        self.value_count = attributes.get("values", self.value_count)
        self._add_parameters(s, step, losses)
        self._add_function(s, attributes)
        s.layer = attributes.get("layer", 0)
        if "schedule" in attributes:
            numbers = np.array(attributes["schedule"].numbers())
            self.kept.append(numbers)
            s.schedule = <const double *>cnp.PyArray_DATA(numbers)
        self.scratch_bytes = max(self.scratch_bytes, scratch_of(s, item, self.chunk))
        if s.split == BY_UNITS:
            self._cut(s, item)
        elif s.op == MAX_NORM:
            s.units = panels_of(s.outputs, item)
        elif s.split == BY_PIECES:
            s.units = self.piece_count
        if (s.op == SCATTER_OUTPUT and self.step_count > 0
                and self.steps[self.step_count - 1].op == SOFTMAX_FORWARD):
            s.to_caller = self.steps[self.step_count - 1].to_caller = True
        self.step_count += 1
        return 0

    cdef int _add_direct_steps(self, plan, Py_ssize_t item) except -1:
        """The same steps without the first, which gathers the rows; products read X itself."""
        cdef step_t *s
        self.direct_steps = <step_t *>calloc(self.step_count, sizeof(step_t))
        if self.direct_steps == NULL:
            raise MemoryError("no memory for the steps of a plan")
        for number, step in enumerate(plan.steps[1:]):
            s = &self.direct_steps[<Py_ssize_t>number]
            s[0] = self.steps[<Py_ssize_t>number + 1]
            if step.operands.get("x") == "input":
                s.x.space = CALLER
                s.x.offset = 0
                s.x.leading = s.inputs
                s.x.row_bytes = s.inputs * item
        self.direct_steps[0].wait |= self.steps[0].wait
        return 0

    cdef int _set_rules(self, plan) except -1:
        """What goes around the optimizer's step, and the pieces that it goes over."""
        cdef piece_t *p
        rules, states = plan.update, plan.states
        limits = [-1.0 if limit is None else limit
                  for limit in (rules.clip_value, rules.clip_norm, rules.max_norm)]
        self.rules.accumulate, self.rules.l1, self.rules.l2 = rules.accumulate, rules.l1, rules.l2
        self.rules.clip_value, self.rules.clip_norm, self.rules.max_norm = limits
        self.rules.decay = rules.average if isinstance(rules.average, float) else 2.0
        self.rules.average_from = rules.average_from
        self.rules.average_every = rules.average_every
        distance = {name: number * plan.parameter_bytes for number, name in enumerate(states, 1)}
        self.rules.accumulated = distance.get("accumulated_gradient", 0)
        self.rules.average = distance.get("average", 0)
        self.piece_count = len(plan.pieces)
        self.pieces = <piece_t *>calloc(max(self.piece_count, 1), sizeof(piece_t))
        if self.pieces == NULL:
            raise MemoryError("no memory for the pieces of a plan")
        for number, piece in enumerate(plan.pieces):
            p = &self.pieces[<Py_ssize_t>number]
            p.offset, p.rows, p.width, p.columns = (
                piece.offset, piece.rows, piece.width, piece.columns)
            p.group, p.penalized, p.sparse = piece.group, piece.penalized, piece.sparse
        return 0

    cdef int _add_parameters(self, step_t *s, step, dict losses) except -1:
        """What a loss has been set to: an array with a number for every target, or every class."""
        attributes = step.attributes
        cdef cnp.ndarray array
        cdef cnp.ndarray weights
        if step.op in losses:
            names = losses[step.op]["parameters"]
        else:
            names = ["class_weight"] if "class_weight" in attributes else []
        if not names:
            return 0
        array = np.ascontiguousarray([np.broadcast_to(attributes[name], s.targets)
                                      for name in names], self.plan.dtype)
        self.kept.append(array)
        s.parameters = cnp.PyArray_DATA(array)
        if s.labels:
            weights = array.astype(np.float64)
            self.kept.append(weights)
            self.label_weight = <const double *>cnp.PyArray_DATA(weights)
            self.classes = s.columns
        return 0

    cdef int _add_function(self, step_t *s, dict attributes) except -1:
        """A function of the user: a Python object, which the plan keeps, or an address."""
        function = attributes.get("function")
        if s.op == COMPILED_LOSS:
            s.function = <void *><size_t>function
        elif function is not None:
            s.function = <void *>function
            self.calls_python = True
        return 0

    cdef int _cut(self, step_t *s, Py_ssize_t item) except -1:
        """Into how many pieces a step on parameters is cut."""
        s.first_unit = self.units
        if s.op == DENSE_UPDATE:
            s.row_units = units_of(s.outputs, item)
            s.column_units = (s.inputs + UNIT_INPUTS - 1) // UNIT_INPUTS
            s.units = s.row_units * s.column_units
        elif s.op == EMBEDDING_UPDATE:
            s.units = min(s.inputs, <Py_ssize_t>EMBEDDING_UNITS)
        elif s.shared:
            s.units = 1
        else:
            s.units = units_of(s.columns, item)
        self.units += s.units
        return 0

    @staticmethod
    def _row(parameter, item):
        """Bytes and elements from row to row of a parameter, where it has padded rows."""
        if parameter.layout != "rows":
            return 0, 0
        granule = GRANULE_BYTES // item
        leading = (parameter.shape[1] + granule - 1) // granule * granule
        return leading * item, leading

    @property
    def thread_costs(self):
        """Seconds per row on one thread and on several, as last learnt; 0 where not tried."""
        return self.tuner.cost[0], self.tuner.cost[1]

    def __dealloc__(self):
        free(self.steps)
        free(self.direct_steps)
        free(self.pieces)
