"""The engine of one network: its arena, and the native calls that work on it.

A call checks what it was given, lets go of the GIL and runs a program on the team of threads.
Calls that change the parameters have the network to themselves; others may run side by side.
"""
from cpython.exc cimport PyErr_Fetch
from cpython.ref cimport PyObject
from libc.string cimport memcpy, memset
cimport numpy as cnp

from cymlp.engine.binding cimport typed_kernels
from cymlp.engine.call cimport (
    MAX_HYPER, MAX_STATES, arithmetic_of_networks, arithmetic_set, call_t)
from cymlp.engine.checking cimport (check_codes, check_target, check_weight, take_target,
                                    take_weight)
from cymlp.engine.gate cimport Gate
from cymlp.engine.layouts cimport copy_buffers, copy_in, copy_out
from cymlp.engine.memory cimport Memory
from cymlp.engine.lbfgs cimport lbfgs_run, search_t
from cymlp.engine.place cimport check_place, enter_place, leave_place
from cymlp.engine.program cimport Program
from cymlp.engine.running cimport raise_again, run_call
from cymlp.engine.sources cimport describe
from cymlp.engine.threads cimport team_job, thread_count
from cymlp.engine.walk cimport batch_job, predict_job, train_job
from cymlp.kernels.data cimport source_t

import numpy as np

cnp.import_array()

cdef enum:
    # Floating-point operations from which one more thread is tried, in a single call and in a
    # step of an epoch; the tuner then finds out by the clock whether it pays.
    CALL_GRAIN = 200_000
    STEP_GRAIN = 1_000_000
    # Multiply-adds of a call, about a microsecond, for which letting go of the GIL does not pay.
    SHORT = 100_000
    # Parameters and states of more bytes are far away when their step comes. Fewer are in a cache
    # often enough for it to cost more than it gains to bring them near (9 MiB: 1.02).
    FAR_ARENA = 16 << 20
    # What is known of the parameters (`Engine.finite`).
    UNKNOWN = 0
    NOT_LOOKED_AT = 1
    NOT_FINITE = 2
    FINITE = 3
    CALL_BYTES = (sizeof(call_t) + 63) // 64 * 64


cdef class Engine:
    """Parameters and optimizer states of a network, and what can be done with them.

    Parameters
    ----------
    parameter_bytes : int
        Size of all parameters in their layout (`cymlp.plan.parameter_layout`).
    states : sequence of float
        The value that each optimizer state in use starts from.
    slots : sequence of int
        Which of the kernel's states each of them is.
    dtype : numpy.dtype
        float32 or float64.
    optimizer : int
        Row of the kernels' table of optimizers.
    hyper : sequence of sequences of float
        Its hyperparameters in the table's order, for each group of parameters.
    in_features, out_features, target_features : int
        Width of a row of the input, of the output and of dense targets.
    limits : tuple of two floats and a bool
        Least and greatest value that a dense target may have, and whether it must be whole.
    takes_labels : bool
        Whether targets of one dimension are class numbers.
    key : int
        64 bits that the random numbers of dropout and shuffling come from.
    """

    def __init__(self, parameter_bytes, states, slots, dtype, optimizer, hyper, in_features,
                 out_features, target_features, limits, takes_labels, key):
        cdef int i
        self.arena = Memory(parameter_bytes * (1 + len(states)), used=True)
        self.parameter_bytes = parameter_bytes
        self.dtype = np.dtype(dtype)
        self.code = self.dtype == np.float64
        self.type = cnp.NPY_DOUBLE if self.code else cnp.NPY_FLOAT
        self.item = 8 if self.code else 4
        self.kernels = typed_kernels(self.code)
        self.optimizer = optimizer
        self.rate_factor = 1.0
        self.groups = len(hyper)
        for group, numbers in enumerate(hyper):
            for i, value in enumerate(numbers):
                self.hyper[<Py_ssize_t>group * MAX_HYPER + <Py_ssize_t>i] = value
        for i in range(MAX_STATES):
            self.state_offset[i] = -1
        for i, slot in enumerate(slots):    # the first states are the optimizer's
            self.state_offset[slot] = (1 + i) * self.parameter_bytes
        for i, value in enumerate(states):
            self._fill((1 + i) * self.parameter_bytes, value)
        self.in_features = in_features
        self.out_features = out_features
        self.target_features = target_features
        self.low, self.high, self.whole = limits
        self.takes_labels = takes_labels
        self.key = key
        self.gate = Gate()
        self.codes = []
        self.known = [None] * (KINDS * SIZES)

    cdef void _fill(self, Py_ssize_t offset, double value) noexcept:
        cdef Py_ssize_t i
        if value == 0:          # as the arena is from the start; pages not yet used stay unused
            return
        for i in range(self.parameter_bytes // self.item):
            if self.code:
                (<double *>(self.arena.data + offset))[i] = value
            else:
                (<float *>(self.arena.data + offset))[i] = <float>value

    # -- parameters ----------------------------------------------------------------------------

    def read(self, parameter, Py_ssize_t state=-1):
        """A copy of a parameter, or of one of its optimizer states."""
        self.gate.enter(False)
        try:
            return copy_out(self.kernels, self._place(parameter, state), parameter, self.dtype)
        finally:
            self.gate.leave(False)

    def write(self, parameter, values, Py_ssize_t state=-1):
        """Set a parameter, or one of its optimizer states."""
        array = np.ascontiguousarray(values, self.dtype)
        self.gate.enter(True)
        try:
            copy_in(self.kernels, self._place(parameter, state), parameter, array)
        finally:
            self.gate.leave(True)

    cdef char *_place(self, parameter, Py_ssize_t state) except NULL:
        """Where an array of the arena begins; its states lie behind the parameters, in order."""
        cdef Py_ssize_t offset = parameter.offset
        if state < -1 or (2 + state) * self.parameter_bytes > self.arena.size:
            raise IndexError(f"state: expected the number of one, got {state}")
        return self.arena.data + offset + (1 + state) * self.parameter_bytes

    def progress(self):
        """What a twin needs: (key, step, epoch, the arena with parameters and states)."""
        self.gate.enter(False)
        try:
            return (self.key, self.step, self.epoch,
                    (<char *>self.arena.data)[:self.arena.size])
        finally:
            self.gate.leave(False)

    def snapshot(self, list places):
        """(key, step, epoch, arrays) of one moment; a place is what `read` takes."""
        self.gate.enter(False)
        try:
            return (self.key, self.step, self.epoch, [
                copy_out(self.kernels, self._place(parameter, state), parameter, self.dtype)
                for parameter, state in places])
        finally:
            self.gate.leave(False)

    def restore_arena(self, bytes content):
        """Set the whole arena from what `progress` gave."""
        if len(content) != self.arena.size:
            raise ValueError(f"arena: expected {self.arena.size} bytes, got {len(content)}")
        self.gate.enter(True)
        try:
            memcpy(self.arena.data, <const char *>content, self.arena.size)
        finally:
            self.gate.leave(True)

    # -- checking what comes in ----------------------------------------------------------------

    cdef Py_ssize_t _rows(self, cnp.ndarray x) except -1:
        """How many rows the input has, its shape checked."""
        if cnp.PyArray_NDIM(x) != 2 or cnp.PyArray_DIM(x, 1) != self.in_features:
            raise ValueError(f"X: expected an array of shape (n, {self.in_features}), "
                             f"got shape {tuple((<object>x).shape)}")
        return cnp.PyArray_DIM(x, 0)

    cdef int _check(self, call_t *call, cnp.ndarray target, weight, bint labels) except -1:
        check_target(call, target, labels, self.out_features, self.low, self.high, self.whole)
        return check_weight(call, weight, self.code)

    def check(self, cnp.ndarray x not None, cnp.ndarray target not None, weight, bint labels):
        """Look at all targets and weights before the first of several calls on them."""
        cdef call_t call
        memset(&call, 0, sizeof(call_t))
        self._rows(x)
        describe(&call.x, x, "X")
        check_codes(&call, x, self.codes)
        self._check(&call, target, weight, labels)

    # -- calls ---------------------------------------------------------------------------------

    cdef int _threads(self, Program program, long long rows, long long grain) noexcept:
        """How many threads the work is worth."""
        cdef double work = 2.0 * program.multiply_adds * rows
        if work < 2.0 * grain:
            return 1
        return <int>min(<double>thread_count(), work / grain)

    cdef Memory _open(self, Program program, cnp.ndarray x, int threads, int copies):
        """Memory for a call: first the call itself, filled in as every call needs it.

        What the team's threads share is not on the caller's stack: Python ends a daemon thread
        that asks for the GIL while the process exits, and the others go on a while.
        """
        cdef call_t *call
        cdef Py_ssize_t size = (CALL_BYTES + program.workspace_bytes * copies
                                + program.scratch_bytes * threads)
        cdef Memory memory = program.borrow(size)
        call = <call_t *>memory.data
        memset(call, 0, sizeof(call_t))
        describe(&call.x, x, "X")
        if self.codes:
            check_codes(call, x, self.codes)
        program.fill(call)
        call.item = self.item
        call.kernels = self.kernels
        call.arena = self.arena.data
        call.parameter_bytes = self.parameter_bytes
        call.far = self.arena.size > FAR_ARENA
        call.optimizer = self.optimizer
        call.keeps_gradients = program.keeps_gradients
        call.updates = program.updates
        call.hyper, call.rate_factor = self.hyper, self.rate_factor
        if self.schedule is not None:
            call.schedule = <const double *>cnp.PyArray_DATA(self.schedule)
        if self.decay_schedule is not None:
            call.decay_schedule = <const double *>cnp.PyArray_DATA(self.decay_schedule)
            call.decay = self.decay
        call.groups = self.groups
        call.state_offset = self.state_offset
        call.key = self.key
        call.rows = call.x.rows
        call.workspace = memory.data + CALL_BYTES
        call.scratch = call.workspace + call.workspace_bytes * copies
        call.handling = &self.gate.handling
        return memory

    cdef bint _is_finite(self) noexcept:
        """Whether all parameters are known to be finite: then zeros of few rows are left out, too.

        To look costs as much as a single row, so the first call after a change does not: nor does a
        search for a minimum, which writes itself.
        """
        cdef bint finite
        if self.gate.changed:
            self.gate.changed = False
            self.finite = UNKNOWN
        if self.finite == UNKNOWN:
            self.finite = NOT_LOOKED_AT
        elif self.finite == NOT_LOOKED_AT:
            with nogil:
                finite = self.kernels.all_finite(self.arena.data, self.parameter_bytes // self.item)
            self.finite = FINITE if finite else NOT_FINITE
        return self.finite == FINITE

    cdef int _run(self, call_t *call, Program program, team_job job, int threads,
                  search_t *search=NULL) except -1:
        cdef bint alone = call.updates or search != NULL
        if call.updates and self.optimizer < 0:
            raise ValueError("optimizer: expected one that makes steps on batches, got L-BFGS")
        cdef PyObject *kind = NULL
        cdef PyObject *value = NULL
        cdef PyObject *trace = NULL
        self.gate.enter(alone)
        call.arithmetic = arithmetic_of_networks()
        try:
            program.read_directly(call)
            call.finite = not call.updates and self._is_finite()
            call.step, call.first_epoch = self.step, self.epoch
            if search != NULL:
                with nogil:
                    lbfgs_run(search)
                self.last_threads = search.threads
            elif job != train_job and program.multiply_adds * call.rows < SHORT:
                self.last_threads = 1
                job(call, 0, 1)
            else:
                with nogil:
                    self.last_threads = run_call(call, job, threads, &program.tuner)
            if call.stop:
                # No Python code may run with the exception of a signal's handler pending.
                PyErr_Fetch(&kind, &value, &trace)
            if search != NULL:
                self.step += search.done
                self.epoch += search.done
            elif call.updates:
                self.step = call.step
                self.epoch += call.epochs_done
        finally:
            arithmetic_set(call.arithmetic)
            self.gate.leave(alone)
        if call.stop:
            raise_again(kind, value, trace)
        return 0

    def predict(self, Program program not None, cnp.ndarray x not None, cnp.ndarray out not None):
        """Run a plan of the kind "predict" or "forward" on the rows of `x` into `out`."""
        cdef int kind = PREDICT if program.predicts else FORWARD
        self.known[size_of(self._rows(x)) * KINDS + kind] = program
        self._predict(program, x, out)

    cdef int _predict(self, Program program, cnp.ndarray x, cnp.ndarray out) except -1:
        cdef Py_ssize_t rows = self._rows(x)
        # The threads of a prediction go their own ways, and only the caller's knows Python.
        cdef int threads = 1 if program.calls_python else self._threads(program, rows, CALL_GRAIN)
        cdef Memory memory = self._open(program, x, threads, threads)
        cdef call_t *call = <call_t *>memory.data
        call.out = cnp.PyArray_BYTES(out)
        call.out_row_stride = cnp.PyArray_STRIDE(out, 0)
        call.out_column_stride = cnp.PyArray_STRIDE(out, 1)
        self._run(call, program, predict_job, threads)
        return program.give_back(memory)

    cdef Memory _run_batch(self, Program program, cnp.ndarray x, cnp.ndarray target, weight,
                           bint labels):
        """Check one batch and run a plan on it; returns the memory, for the caller to keep."""
        cdef int threads = self._threads(program, self._rows(x), CALL_GRAIN)
        cdef Memory memory = self._open(program, x, threads, threads if program.by_blocks else 1)
        cdef call_t *call = <call_t *>memory.data
        self._check(call, target, weight, labels)
        self._run(call, program, batch_job, threads)
        return memory

    cdef double _mean_loss(self, call_t *call) noexcept:
        """The loss of a call's only batch from the sum over its rows."""
        cdef double total = call.weights * call.value_count
        return call.loss_sum / total if total else 0.0

    def train_step(self, Program program not None, cnp.ndarray x not None,
                   cnp.ndarray target not None, weight, bint labels):
        """One step of the optimizer; returns the loss before it."""
        cdef int kind = STEP_LABELS if labels else STEP_DENSE
        if weight is None and not program.whole:
            self.known[size_of(self._rows(x)) * KINDS + kind] = program
        return self._train_step(program, x, target, weight, labels)

    cdef double _train_step(self, Program program, cnp.ndarray x, cnp.ndarray target, weight,
                            bint labels) except? -1:
        cdef Memory memory = self._run_batch(program, x, target, weight, labels)
        program.give_back(memory)
        return self._mean_loss(<call_t *>memory.data)

    def evaluate(self, Program program not None, cnp.ndarray x not None,
                 cnp.ndarray target not None, weight, bint labels):
        """Sums over the rows: of the loss, its weights, the metric, and the rows in it."""
        cdef Memory memory = self._run_batch(program, x, target, weight, labels)
        cdef call_t *call = <call_t *>memory.data
        program.give_back(memory)
        return call.loss_sum, call.weights * call.value_count, call.metric_sum, call.counted

    def gradients(self, Program program not None, cnp.ndarray x not None,
                  cnp.ndarray target not None, weight, bint labels):
        """Loss, gradients, and every array of the workspace where the batch is one chunk."""
        cdef Memory memory = self._run_batch(program, x, target, weight, labels)
        cdef call_t *call = <call_t *>memory.data
        gradients = {
            p.name: copy_out(self.kernels, call.workspace + <Py_ssize_t>p.offset, p, self.dtype)
            for p in program.plan.parameters if p.trained}
        buffers = {}
        if call.rows <= call.chunk:
            buffers = copy_buffers(call.workspace, program.plan.buffers, call.rows)
        program.give_back(memory)
        return self._mean_loss(call), gradients, buffers

    def fit(self, Program program not None, cnp.ndarray x not None,
            cnp.ndarray target not None, weight, bint labels, cnp.ndarray order,
            cnp.ndarray results, cnp.ndarray place, long long batch_size, bint shuffle,
            bint drop_last, long long batches):
        """Whole epochs in one call, or no more than some batches of them (below 0: all).

        `order` is memory for the order of the rows, and within an epoch it holds the epoch's.
        `results` of shape (3, epochs) gets loss, metric and seconds of each epoch that comes to
        its end; `epoch` says how many did, also where a signal's handler raises between two
        steps. The call begins at `place` and says there where it ended (`cymlp.runs.PLACE`).
        """
        cdef int threads = self._threads(program, min(batch_size, self._rows(x)), STEP_GRAIN)
        cdef Memory memory = self._open(program, x, threads, threads if program.by_blocks else 1)
        cdef call_t *call = <call_t *>memory.data
        cdef double *values = <double *>cnp.PyArray_DATA(place)
        cdef double *result = <double *>cnp.PyArray_DATA(results)
        check_place(call.x.rows, order, results, place, shuffle)
        if values[0] == 0:
            self._check(call, target, weight, labels)
        else:       # the values have been looked at when the epoch began
            take_target(call, target)
            take_weight(call, weight)
        call.order = <long long *>cnp.PyArray_DATA(order) if shuffle else NULL
        call.shuffle = shuffle
        call.drop_last = drop_last
        call.batch_size = batch_size
        call.batches_left = batches
        call.epochs = results.shape[1]
        call.epoch_loss, call.epoch_metric = result, result + call.epochs
        call.epoch_seconds = result + 2 * call.epochs
        enter_place(call, values)
        try:
            self._run(call, program, train_job, threads)
        finally:
            self.last_sums = leave_place(call, values)
        program.give_back(memory)

    def minimize(self, Program program not None, cnp.ndarray x not None,
                 cnp.ndarray target not None, weight, bint labels, tuple settings,
                 cnp.ndarray results):
        """Iterations of L-BFGS on all rows, by a plan that gives gradients.

        `results` is as for `fit`: loss and metric before each iteration. Returns (evaluations,
        whether no more is to be gained).
        """
        cdef int threads = self._threads(program, self._rows(x), CALL_GRAIN)
        cdef Memory memory = self._open(program, x, threads, 1)
        cdef Memory vectors = Memory(3 * self.parameter_bytes)
        cdef call_t *call = <call_t *>memory.data
        cdef search_t search
        self._check(call, target, weight, labels)
        memset(&search, 0, sizeof(search_t))
        search.call, search.tuner, search.wanted = call, &program.tuner, threads
        search.bytes, search.step, search.iterations = (
            self.parameter_bytes, self.step, results.shape[1])
        (search.history, search.most, search.gradient_tolerance,
         search.change_tolerance) = settings
        search.start = vectors.data
        search.direction = vectors.data + self.parameter_bytes
        search.before = vectors.data + 2 * self.parameter_bytes
        search.results = <double *>cnp.PyArray_DATA(results)
        self._run(call, program, batch_job, threads, &search)
        program.give_back(memory)
        return search.evaluations, bool(search.converged)
