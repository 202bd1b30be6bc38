"""A plan made ready to run: steps with numbers in place of names, and the walk over them."""
from cymlp.engine.binding cimport kernels_t
from cymlp.engine.tuner cimport tuner_t
from cymlp.kernels.data cimport source_t

cdef enum:
    MAX_HYPER = 16
    MAX_STATES = 3
    SCRATCH_BYTES = 512 * 256   # a thread's own: one block of a transposed weight (dense.pyx)

ctypedef struct place_t:
    # Where an array begins, and how far apart its rows are; `space` is -1 where there is none.
    int space
    Py_ssize_t offset           # bytes
    Py_ssize_t row_bytes
    Py_ssize_t leading          # elements

ctypedef struct step_t:
    int op
    int split
    bint wait
    place_t out
    place_t x
    place_t saved
    place_t target
    place_t sample_weight
    place_t row_values
    place_t weight
    place_t bias
    Py_ssize_t inputs
    Py_ssize_t outputs
    Py_ssize_t columns
    int kind                    # row of the kernels' table, or the metric
    bint labels                 # targets are integers
    double parameter            # of the activation, or the dropout rate
    int layer
    Py_ssize_t first_unit
    Py_ssize_t units
    Py_ssize_t groups

ctypedef struct batch_t:
    # What a thread knows about the batch that it works on; every thread has its own copy.
    long long first             # place of the batch's first row in the order
    long long rows
    long long step              # the optimizer's count, from 1
    long long piece_first       # the piece's first row in the batch
    Py_ssize_t piece_rows
    bint last_piece
    double weight_sum
    double loss                 # sums over the batch's rows, on thread 0
    double metric
    double prepared[MAX_HYPER]
    char *workspace
    char *scratch

ctypedef struct call_t:
    # What all threads of a call share.
    const step_t *steps
    int step_count
    Py_ssize_t units
    Py_ssize_t chunk
    Py_ssize_t item
    const kernels_t *kernels
    char *arena
    char *workspace
    Py_ssize_t workspace_bytes  # of one thread where each has its own
    char *scratch
    Py_ssize_t parameter_bytes
    Py_ssize_t state_offset[MAX_STATES]     # -1: this variant has no such state
    bint keeps_gradients
    bint updates
    int optimizer
    double hyper[MAX_HYPER]
    unsigned long long key
    long long step
    source_t x
    source_t target
    source_t sample_weight
    bint weighted
    double value_count          # columns that a row's loss is a mean of
    char *out
    Py_ssize_t out_row_stride
    Py_ssize_t out_column_stride
    # an epoch
    long long *order
    long long rows
    long long batch_size
    long long epochs
    long long first_epoch
    bint shuffle
    bint drop_last
    double *epoch_loss
    double *epoch_metric
    double *epoch_seconds
    # how far it has come, between two jobs
    long long epochs_done
    long long position          # the next batch's first row
    long long rows_done         # in all epochs together
    double loss_sum
    double metric_sum
    double weights
    double begun
    double job_end              # when the job is to return at the next batch, in seconds
    bint pause
    # how it ends
    int stop
    unsigned long *handling     # whose handlers of signals run just now, within a call
    double checked              # when signals were last looked for, in seconds

cdef double seconds() noexcept nogil
cdef void train_job(void *context, int thread, int threads) noexcept nogil
cdef void batch_job(void *context, int thread, int threads) noexcept nogil
cdef void predict_job(void *context, int thread, int threads) noexcept nogil

cdef class Program:
    cdef readonly object plan
    cdef step_t *steps
    cdef int step_count
    cdef Py_ssize_t units
    cdef readonly Py_ssize_t multiply_adds
    cdef readonly Py_ssize_t chunk
    cdef readonly Py_ssize_t workspace_bytes
    cdef list spare
    cdef tuner_t tuner
    cdef int _add(self, step, dict places, Py_ssize_t panel_columns) except -1
    cdef void fill(self, call_t *call) noexcept
