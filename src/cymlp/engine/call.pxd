"""What a call is made of: the steps of its program, the batch at hand, the memory behind them."""
from libc.stdint cimport uint64_t

from cymlp.engine.binding cimport kernels_t
from cymlp.kernels.data cimport source_t

cdef enum:
    GATHER_INPUT
    GATHER_TARGET
    GATHER_LABELS
    GATHER_WEIGHT
    DENSE_FORWARD
    ACTIVATION_FORWARD
    SOFTMAX_FORWARD
    LOG_SOFTMAX_FORWARD
    DROPOUT
    POINTWISE_LOSS
    SOFTMAX_CROSS_ENTROPY
    ROW_METRIC
    REDUCE
    SOFTMAX_BACKWARD
    LOG_SOFTMAX_BACKWARD
    ACTIVATION_BACKWARD
    DENSE_BACKWARD_INPUT
    DENSE_UPDATE
    SCATTER_OUTPUT
    KULLBACK_LEIBLER
    EXPONENTIAL
    COMPILED_LOSS
    PYTHON_LOSS
    PYTHON_FORWARD
    PYTHON_BACKWARD
    TURN                        # rows become columns: plan/turning.py
    DENSE_TURNED
    TURN_BACK
    FIRST_LAYER_OP              # from here on they are in layer_steps.pyx
    ADD = FIRST_LAYER_OP
    AFFINE
    COPY_COLUMNS
    COLUMN_FORWARD
    COLUMN_BACKWARD
    COLUMN_UPDATE
    GLU_FORWARD
    GLU_BACKWARD
    NORMALIZE_ROWS
    NORMALIZE_ROWS_BACKWARD
    BATCH_STATISTICS
    BATCH_LOAD
    BATCH_NORMALIZE
    BATCH_SUMS
    BATCH_NORMALIZE_BACKWARD
    BATCH_RUNNING
    EMBEDDING_FORWARD
    EMBEDDING_UPDATE
    PREPARE_GRADIENTS
    APPLY_UPDATE
    MAX_NORM
    AVERAGE

cdef enum:
    # How threads share a step.
    BY_ROWS
    BY_COLUMNS
    BY_UNITS
    BY_BANDS                    # this step and the next, of one weight
    BY_PIECES
    BY_ONE
    BY_CALLER                   # on the caller's thread, while all others wait

cdef enum:
    ACCURACY
    ACCURACY_BINARY
    ABSOLUTE_ERROR

cdef enum:
    PANEL_BYTES = 64            # columns of a panel of weights (kernels/dense.pyx)
    GRANULE_BYTES = 64          # rows are padded to a multiple
    # Some rows of some panels are one piece of work: small, so that threads get equal shares. Of
    # its share a thread takes a rectangle of so many units at a time, as each needs again what its
    # neighbours have brought near; a wide one, for its rows of the input are copied together first,
    # but with few rows of a batch one that stays near until its update.
    UNIT_INPUTS = 48
    UNIT_PANELS = 4
    UNITS_HIGH = 4
    UNITS_WIDE = 16
    UNITS_NARROW = 4
    EMBEDDING_UNITS = 8         # pieces of a table, each of which looks at every code

cdef enum:
    MAX_HYPER = 16
    MAX_STATES = 3
    MAX_GROUPS = 8              # of parameters with hyperparameters of their own (update.py)
    # What the dense kernels' scratch memory is made of (in kernels/: dense.pyx, transpose.pxd,
    # sparse.pxd, cache.h).
    FEATURE_BLOCK = 512
    ROW_BLOCK = 128
    NEAR_MOST = 512 << 10
    SPARSE_BYTES = 100 << 10
    SPARSE_ROWS = 16
    SPARSE_TURNS = 32
    PACK_PANELS = 60
    GROUP_PANELS = 16
    SKEW_ROWS = 5

cdef extern from "arithmetic.h" nogil:
    # How the calling thread computes; what a network's calls set returns what was set before.
    void arithmetic_set(uint64_t mode) noexcept
    uint64_t arithmetic_of_networks() noexcept

# A user's compiled loss of one row: gradient (zero at first) and loss out, output and target in.
ctypedef void (*row_loss_t)(
    void *gradient, double *loss, const void *output, const void *target, long long columns,
    long long targets) noexcept nogil

cdef enum:
    # Where an array lies.
    NOWHERE                     # the step has no such array: its offset and row_bytes are 0
    ARENA
    WORKSPACE
    CALLER                      # the rows of X themselves
    SPACES

ctypedef struct place_t:
    # Where an array begins, and how far apart its rows are.
    int space
    Py_ssize_t offset           # bytes
    Py_ssize_t row_bytes
    Py_ssize_t leading          # elements

ctypedef struct piece_t:
    # Rows of a parameter that one thread updates at a time; see the plan's Piece.
    Py_ssize_t offset           # bytes
    Py_ssize_t rows
    Py_ssize_t width            # elements
    Py_ssize_t columns
    int group
    bint penalized
    bint sparse

ctypedef struct rules_t:
    # What goes around the optimizer's step (update.py); numbers below 0 where there is none.
    long long accumulate
    double l1
    double l2
    double clip_value
    double clip_norm
    double max_norm
    double decay                # of the average; above 1 for a plain mean
    long long average_from
    long long average_every
    Py_ssize_t accumulated      # bytes from a parameter to its accumulated gradient
    Py_ssize_t average          # and to its average

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
    place_t statistics
    place_t means
    place_t gate
    place_t weight
    place_t bias
    Py_ssize_t inputs
    Py_ssize_t outputs
    Py_ssize_t columns
    Py_ssize_t targets          # columns of the target
    Py_ssize_t repeat           # outputs in a row for each column of the target
    const void *parameters      # of a loss: one for every target, or the weights of the classes
    void *function              # of the user: an address, or a Python object
    int kind                    # row of the kernels' table, or the metric
    bint relu                   # the activation of a dense step that its tiles do themselves
    bint labels                 # targets are integers
    double parameter            # of the activation or loss; a rate, epsilon, a factor, a share
    double offset
    bint centered
    bint shared                 # one number for all columns
    bint to_caller              # the result goes straight to the caller's array if it can
    Py_ssize_t begin            # the first column that is read
    Py_ssize_t to               # the first column that is written
    int layer
    const double *schedule      # of the dropout rate; NULL: none
    Py_ssize_t first_unit
    Py_ssize_t units
    Py_ssize_t row_units        # units beside each other
    Py_ssize_t column_units     # and below each other

ctypedef struct batch_t:
    # What a thread knows about the batch that it works on; every thread has its own copy.
    long long first             # place of the batch's first row in the order
    long long rows
    long long step              # the optimizer's count, from 1
    long long piece_first       # the piece's first row in the batch
    Py_ssize_t piece_rows
    bint accumulate             # the piece's gradients are added to what is there
    bint last_piece             # then come the updates
    bint apart                  # the piece is this thread's own; others have theirs
    double weight_sum
    double loss                 # sums over the batch's rows, on thread 0
    double metric
    double counted              # rows in the metric: those whose weight is not 0
    double prepared[MAX_GROUPS * MAX_HYPER]
    char *workspace
    char *bases[SPACES]         # where each space begins, for this piece (`locate`)
    char *scratch

ctypedef struct call_t:
    # What all threads of a call share.
    const step_t *steps
    int step_count
    Py_ssize_t units
    Py_ssize_t chunk
    Py_ssize_t multiply_adds    # of one row
    Py_ssize_t item
    const kernels_t *kernels
    char *arena
    char *workspace
    Py_ssize_t workspace_bytes  # of one thread where each has its own
    Py_ssize_t parameter_bytes
    bint by_blocks              # threads may take a row block each
    bint turned                 # rows lie beside each other: a piece is one thread's
    char *scratch               # each thread's own, one after the other
    Py_ssize_t scratch_bytes
    Py_ssize_t state_offset[MAX_STATES]     # -1: this variant has no such state
    bint keeps_gradients
    bint updates
    int optimizer
    bint fused                  # a layer's gradient is followed by its update at once
    bint finite                 # all parameters are known to be
    bint far                    # no near cache holds the parameters and their states
    const piece_t *pieces
    Py_ssize_t piece_count
    const rules_t *rules
    int groups
    const double *hyper         # MAX_HYPER numbers for each group
    const double *schedule      # of the learning rate; NULL: none
    const double *decay_schedule    # of the weight decay
    int decay                   # its number among the hyperparameters
    double rate_factor          # what callbacks multiply the learning rate with
    unsigned long long key
    long long step
    source_t x
    source_t target
    source_t sample_weight
    bint weighted
    const double *label_weight  # of the classes, where labels weigh by them in the mean
    Py_ssize_t classes
    double value_count          # columns that a row's loss is a mean of
    char *out
    Py_ssize_t out_row_stride
    Py_ssize_t out_column_stride
    int shares                  # of a prediction's rows, taken so far
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
    double counted
    double weights
    double begun
    long long batches_left      # until the call is to return; below 0: no limit
    double batch_loss           # means over the last batch
    double batch_metric
    double job_end              # when the job is to return at the next batch, in seconds
    bint pause
    # how it ends
    int stop
    bint failed                 # a function of the user has raised; all threads leave together
    unsigned long *handling     # whose handlers of signals run just now, within a call
    uint64_t arithmetic         # of the caller, for Python code within the call
    double checked              # when signals were last looked for, in seconds


cdef inline void locate(const call_t *c, batch_t *b) noexcept nogil:
    """Note where the arrays of a piece lie: after every change of the piece or the workspace."""
    b.bases[NOWHERE] = NULL
    b.bases[ARENA] = c.arena
    b.bases[WORKSPACE] = b.workspace
    b.bases[CALLER] = <char *>c.x.data + (b.first + b.piece_first) * c.x.row_stride


cdef inline char *at(const batch_t *b, const place_t *place, Py_ssize_t row) noexcept nogil:
    """The address of a row of an array; NULL where the step has no such array."""
    return b.bases[place.space] + place.offset + row * place.row_bytes


cdef inline Py_ssize_t padded_to(Py_ssize_t number, Py_ssize_t multiple) noexcept nogil:
    return (number + multiple - 1) // multiple * multiple


cdef inline Py_ssize_t padded(call_t *c, Py_ssize_t columns) noexcept nogil:
    """Columns with their padding, so that vectors need no remainder."""
    return padded_to(columns, GRANULE_BYTES // c.item)


cdef inline Py_ssize_t panels_of(Py_ssize_t columns, Py_ssize_t item) noexcept nogil:
    """How many panels so many columns are in."""
    return (columns * item + PANEL_BYTES - 1) // PANEL_BYTES


cdef inline Py_ssize_t units_of(Py_ssize_t columns, Py_ssize_t item) noexcept nogil:
    """How many units of work lie beside each other in so many columns."""
    return (panels_of(columns, item) + UNIT_PANELS - 1) // UNIT_PANELS
