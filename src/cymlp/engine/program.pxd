"""A plan made ready to run: offsets and kinds in place of names."""
from cymlp.engine.call cimport call_t, piece_t, rules_t, step_t
from cymlp.engine.memory cimport Memory
from cymlp.engine.sources cimport is_native
from cymlp.engine.tuner cimport tuner_t
from cymlp.kernels.data cimport source_t

cdef enum:
    SPARE_WORKSPACES = 3            # beside the one that is ready


cdef class Program:
    cdef readonly object plan
    cdef step_t *steps
    cdef int step_count
    cdef step_t *direct_steps   # those that read X where it lies; NULL: there are none
    cdef Py_ssize_t units
    cdef readonly Py_ssize_t multiply_adds
    cdef readonly Py_ssize_t chunk
    cdef readonly Py_ssize_t workspace_bytes
    cdef Py_ssize_t scratch_bytes       # of a thread
    cdef bint updates
    cdef bint predicts
    cdef bint whole             # a batch must be one chunk
    cdef bint by_blocks         # threads may take a row block each
    cdef bint turned            # rows lie beside each other
    cdef bint keeps_gradients
    cdef piece_t *pieces
    cdef Py_ssize_t piece_count
    cdef rules_t rules
    cdef bint calls_python
    cdef double value_count             # that a row's loss is the mean of
    cdef const double *label_weight
    cdef Py_ssize_t classes
    cdef list kept                      # arrays that steps point to
    cdef Memory ready                   # of the last call, for the next
    cdef list spare                     # more of it
    cdef tuner_t tuner
    cdef int _add(self, step, dict places, Py_ssize_t item) except -1
    cdef int _add_parameters(self, step_t *s, step, dict losses) except -1
    cdef int _add_function(self, step_t *s, dict attributes) except -1
    cdef int _set_rules(self, plan) except -1
    cdef int _cut(self, step_t *s, Py_ssize_t item) except -1
    cdef int _add_direct_steps(self, plan, Py_ssize_t item) except -1

    # What every call asks for stands here, so that it is compiled into its caller.

    cdef inline void fill(self, call_t *call) noexcept:
        call.steps = self.steps
        call.step_count = self.step_count
        call.pieces = self.pieces
        call.piece_count = self.piece_count
        call.rules = &self.rules
        call.fused = self.updates and self.piece_count == 0
        call.units = self.units
        call.chunk = self.chunk
        call.multiply_adds = self.multiply_adds
        call.workspace_bytes = self.workspace_bytes
        call.by_blocks = self.by_blocks
        call.turned = self.turned
        call.scratch_bytes = self.scratch_bytes
        call.value_count = self.value_count
        call.label_weight = self.label_weight
        call.classes = self.classes

    cdef inline void read_directly(self, call_t *call) noexcept:
        """Leave out the gathering where X lies as a product can read it."""
        cdef source_t *x = &call.x
        if (self.direct_steps != NULL and call.order == NULL and is_native(x, call.item)
                and x.column_stride == call.item and x.row_stride == x.columns * call.item):
            call.steps = self.direct_steps
            call.step_count = self.step_count - 1

    cdef inline Memory borrow(self, Py_ssize_t size):
        """Memory for a call, used before if possible. What it holds is anything."""
        cdef Memory memory = self.ready
        self.ready = None
        if memory is None and self.spare:
            memory = self.spare.pop()
        if memory is None or memory.size != size:
            memory = Memory(size)
        return memory

    cdef inline int give_back(self, Memory memory) except -1:
        """Keep a call's memory for the next one; for several where calls run side by side."""
        if self.ready is None:
            self.ready = memory
        elif len(self.spare) < SPARE_WORKSPACES:
            self.spare.append(memory)
        return 0
