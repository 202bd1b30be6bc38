"""Running a kernel over arrays of any shape, strides and real type.

The kernels know matrices of one element type whose rows are contiguous. Where all arrays of a call
are such, the kernel works on them as they stand, in one go. Where one is not (a transposed,
reversed or misaligned array, another type or byte order), small blocks of it are copied to scratch
memory, worked on there, and results copied back. No array is ever copied as a whole.

Large matrices that need no copy are shared out to the team: whole rows, or pieces of a single one.
No sum is ever divided, so the bits are the same.
"""
cimport numpy as cnp

from cymlp.engine.binding cimport typed_kernels
from cymlp.engine.memory cimport Memory
from cymlp.engine.sources cimport describe_type, is_native
from cymlp.engine.threads cimport team_run, thread_count, threads_forced
from cymlp.engine.tuner cimport tuner_choose, tuner_learn, tuner_t
from cymlp.engine.walk cimport seconds

cnp.import_array()

cdef enum:
    BLOCK = 1024                # elements of a piece: a few of them fit the L1 cache
    ALIGNMENT = 64
    SPARE_BLOCKS = 4
    # Elements that are worth one more thread, which may be asleep and take 40 us to come: of
    # kernels as fast as a copy, and of those of whole rows, which do more with each.
    GRAIN = 1 << 19
    ROWS_GRAIN = 1 << 18
    TUNERS = 256
    CUT = 64                    # a single row is cut at multiples of it: whole cache lines

cdef tuner_t[TUNERS] tuners
cdef int last_threads = 1       # how many the last call has used (for tests)


def _last_threads():
    return last_threads


ctypedef struct shared_t:
    # One matrix for the whole team.
    walk_t *walk
    block_job job
    void *context
    Py_ssize_t first_row

cdef list spare = []


cdef Memory borrow(object size):
    """At least `size` bytes, used before if possible. What they hold is anything."""
    cdef Memory memory = spare.pop() if spare else None
    if memory is None or memory.size < size:
        memory = Memory(size)
    return memory


cdef int give_back(Memory memory) except -1:
    """Keep memory for the next call."""
    if memory is not None and len(spare) < SPARE_BLOCKS:
        spare.append(memory)
    return 0


cdef int add(walk_t *walk, cnp.ndarray array, int mode) except -1:
    """One more operand; all have the shape of the first. A walk begins as zeros."""
    cdef operand_t *operand = &walk.operand[walk.operands]
    cdef int d
    describe_type(&operand.source, array, "array")
    operand.mode = mode
    if walk.operands == 0:
        walk.dimensions = cnp.PyArray_NDIM(array)
        for d in range(walk.dimensions):
            walk.shape[d] = cnp.PyArray_DIM(array, d)
    for d in range(walk.dimensions):
        operand.stride[d] = cnp.PyArray_STRIDE(array, d)
    walk.operands += 1
    return 0


cdef Memory plan(walk_t *walk, int dtype, bint whole_rows, object extra, char **extra_data):
    """Bring the walk into its simplest form and give it scratch memory.

    Parameters
    ----------
    dtype : int
        Element type of the kernel.
    whole_rows : bool
        Rows run along the last dimension, in the order of the others, and are not cut.
    extra : int
        Bytes of scratch that the caller wants for itself.
    extra_data : char **
        Where they begin.

    Returns
    -------
    Memory or None
        To be given back after the run.
    """
    cdef int i, d
    cdef operand_t *operand
    cdef Memory memory
    cdef char *data
    walk.dtype = dtype
    walk.item = 8 if dtype else 4
    walk.whole_rows = whole_rows
    for d in range(walk.dimensions):
        if walk.shape[d] == 0:
            walk.empty = True
    if not walk.empty:
        simplify(walk)
    columns = walk.shape[walk.dimensions - 1] if walk.dimensions and not walk.empty else 0
    size = (max(columns if whole_rows else 0, BLOCK) * walk.item + ALIGNMENT - 1) & -ALIGNMENT
    copied = 0
    for i in range(walk.operands):
        walk.operand[i].direct = is_direct(walk, &walk.operand[i])
        copied += not walk.operand[i].direct
    extra = (extra + ALIGNMENT - 1) & -ALIGNMENT
    if walk.empty or extra + copied * size == 0:
        return None
    memory = borrow(extra + copied * size)
    extra_data[0] = memory.data
    data = memory.data + <Py_ssize_t>extra
    for i in range(walk.operands):
        if not walk.operand[i].direct:
            walk.operand[i].block = data
            data += <Py_ssize_t>size
    return memory


cdef void simplify(walk_t *walk) noexcept nogil:
    """As few dimensions as possible, but two at least: rows and columns."""
    cdef int fixed = 1 if walk.whole_rows else 0        # the last ones, left alone
    cdef int outer = walk.dimensions - fixed
    cdef int kept = 0, d, i
    for d in range(outer):
        if walk.shape[d] != 1:
            move(walk, kept, d)
            kept += 1
    if not fixed:
        sort(walk, kept)
    outer = kept
    kept = 0
    for d in range(outer):
        if kept > 0 and mergeable(walk, kept - 1, d):
            for i in range(walk.operands):
                walk.operand[i].stride[kept - 1] = walk.operand[i].stride[d]
            walk.shape[kept - 1] *= walk.shape[d]
        else:
            move(walk, kept, d)
            kept += 1
    if fixed:
        move(walk, kept, walk.dimensions - 1)
        kept += 1
    while kept < 2:
        for d in range(kept, 0, -1):
            move(walk, d, d - 1)
        walk.shape[0] = 1
        for i in range(walk.operands):
            walk.operand[i].stride[0] = 0 if kept else walk.item
        kept += 1
    walk.dimensions = kept


cdef inline void move(walk_t *walk, int to, int source) noexcept nogil:
    cdef int i
    walk.shape[to] = walk.shape[source]
    for i in range(walk.operands):
        walk.operand[i].stride[to] = walk.operand[i].stride[source]


cdef inline bint mergeable(walk_t *walk, int outer, int inner) noexcept nogil:
    """Whether two neighbouring dimensions are one in every operand."""
    cdef int i
    for i in range(walk.operands):
        if walk.operand[i].stride[outer] != walk.operand[i].stride[inner] * walk.shape[inner]:
            return False
    return True


cdef inline Py_ssize_t distance(walk_t *walk, int d) noexcept nogil:
    cdef Py_ssize_t stride = walk.operand[0].stride[d]
    return -stride if stride < 0 else stride


cdef void sort(walk_t *walk, int dimensions) noexcept nogil:
    """The first operand's smallest stride last: order does not matter element by element."""
    cdef int d, e
    for d in range(1, dimensions):
        e = d
        while e > 0 and distance(walk, e - 1) < distance(walk, e):
            swap(walk, e - 1, e)
            e -= 1


cdef inline void swap(walk_t *walk, int a, int b) noexcept nogil:
    cdef int i
    walk.shape[a], walk.shape[b] = walk.shape[b], walk.shape[a]
    for i in range(walk.operands):
        walk.operand[i].stride[a], walk.operand[i].stride[b] = (
            walk.operand[i].stride[b], walk.operand[i].stride[a])


cdef bint is_direct(walk_t *walk, operand_t *operand) noexcept nogil:
    """Whether a kernel can work on the operand's own memory."""
    cdef int d, last = walk.dimensions - 1
    cdef Py_ssize_t item = walk.item
    if walk.empty:
        return True
    if not is_native(&operand.source, item):
        return False
    for d in range(last):
        if operand.stride[d] % item != 0:
            return False
    return operand.stride[last] == item or walk.shape[last] == 1


cdef void run(walk_t *walk, block_job job, void *context) noexcept nogil:
    """Every matrix of the last two dimensions, one after the other."""
    cdef Py_ssize_t index[MAX_DIMENSIONS]
    cdef int outer = walk.dimensions - 2
    cdef int i, d
    cdef Py_ssize_t row = 0
    if walk.empty:
        return
    for i in range(walk.operands):
        walk.operand[i].data = <char *>walk.operand[i].source.data
    for d in range(outer):
        index[d] = 0
    while True:
        run_matrix(walk, job, context, row)
        row += walk.shape[outer]
        d = outer - 1
        while d >= 0:
            index[d] += 1
            for i in range(walk.operands):
                walk.operand[i].data += walk.operand[i].stride[d]
            if index[d] < walk.shape[d]:
                break
            for i in range(walk.operands):
                walk.operand[i].data -= walk.operand[i].stride[d] * walk.shape[d]
            index[d] = 0
            d -= 1
        if d < 0:
            return


cdef void run_matrix(
    walk_t *walk, block_job job, void *context, Py_ssize_t first_row,
) noexcept nogil:
    """In one go if all operands allow it, else in blocks of a few rows, or of a part of a row."""
    global last_threads
    cdef shared_t shared
    cdef Py_ssize_t rows = walk.shape[walk.dimensions - 2]
    cdef Py_ssize_t columns = walk.shape[walk.dimensions - 1]
    cdef Py_ssize_t height = rows, width = columns, row, column
    cdef int threads = 1, i
    for i in range(walk.operands):
        if not walk.operand[i].direct:
            width = columns if walk.whole_rows else min(columns, BLOCK)
            height = max(BLOCK // width, 1)
            break
    else:
        threads = worth(walk, rows * columns)
    last_threads = 1
    if threads > 1:
        shared.walk, shared.job, shared.context, shared.first_row = walk, job, context, first_row
        last_threads = run_shared(&shared, threads, rows * columns)
        return
    row = 0
    while row < rows:
        column = 0
        while column < columns:
            run_block(walk, job, context, first_row, row, min(height, rows - row), column,
                      min(width, columns - column))
            column += width
        row += height


cdef int worth(walk_t *walk, Py_ssize_t elements) noexcept nogil:
    """How many threads the work on some elements is worth."""
    cdef Py_ssize_t grain = ROWS_GRAIN if walk.whole_rows else GRAIN
    if threads_forced():
        return thread_count()
    if elements < 2 * grain:
        return 1
    return <int>min(<Py_ssize_t>thread_count(), elements // grain)


cdef tuner_t *tuner_of(walk_t *walk, block_job job, Py_ssize_t elements) noexcept nogil:
    """What has been learnt about a kernel at a size; a place shared by chance costs only time."""
    cdef size_t place = <size_t>job // 16 + 67 * walk.kind + walk.dtype
    while elements > 1:
        elements >>= 1
        place += 31
    return &tuners[place % TUNERS]


cdef int run_shared(shared_t *shared, int wanted, Py_ssize_t elements) noexcept nogil:
    """Share a matrix out to as many threads as pay; returns how many took part."""
    cdef tuner_t *tuner = tuner_of(shared.walk, shared.job, elements)
    cdef double begun = seconds()
    cdef int threads
    if threads_forced():
        return team_run(share_job, shared, wanted)
    threads = team_run(share_job, shared, tuner_choose(tuner, wanted))
    tuner_learn(tuner, threads, seconds() - begun, <double>elements)
    return threads


cdef void share_job(void *context, int thread, int threads) noexcept nogil:
    """A thread's share of a matrix: some of its rows, or a piece of its only one."""
    cdef shared_t *shared = <shared_t *>context
    cdef walk_t *walk = shared.walk
    cdef Py_ssize_t rows = walk.shape[walk.dimensions - 2]
    cdef Py_ssize_t columns = walk.shape[walk.dimensions - 1]
    cdef bint cut_row = rows == 1 and not walk.whole_rows
    cdef Py_ssize_t count = (columns + CUT - 1) // CUT if cut_row else rows
    cdef Py_ssize_t begin = count * thread // threads, end = count * (thread + 1) // threads
    if begin == end:
        return
    if cut_row:
        run_block(walk, shared.job, shared.context, shared.first_row, 0, 1, begin * CUT,
                  min(end * CUT, columns) - begin * CUT)
    else:
        run_block(walk, shared.job, shared.context, shared.first_row, begin, end - begin, 0,
                  columns)


cdef void run_block(
    walk_t *walk, block_job job, void *context, Py_ssize_t first_row, Py_ssize_t row,
    Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
) noexcept nogil:
    cdef void *data[MAX_OPERANDS]
    cdef Py_ssize_t leading[MAX_OPERANDS]
    cdef int last = walk.dimensions - 1, i
    cdef operand_t *operand
    cdef char *corner
    for i in range(walk.operands):
        operand = &walk.operand[i]
        corner = operand.data + row * operand.stride[last - 1] + column * operand.stride[last]
        if operand.direct:
            data[i] = corner
            leading[i] = operand.stride[last - 1] // walk.item
            continue
        data[i] = operand.block
        leading[i] = columns
        if operand.mode & READ:
            operand.source.data = corner
            operand.source.row_stride = operand.stride[last - 1]
            operand.source.column_stride = operand.stride[last]
            operand.source.columns = columns
            typed_kernels(walk.dtype).gather_rows(
                operand.block, columns, &operand.source, NULL, 0, rows)
    job(context, data, leading, first_row + row, rows, columns)
    for i in range(walk.operands):
        operand = &walk.operand[i]
        if operand.mode & WRITE and not operand.direct:
            corner = operand.data + row * operand.stride[last - 1] + column * operand.stride[last]
            typed_kernels(walk.dtype).scatter_rows(
                corner, operand.stride[last - 1], operand.stride[last], operand.block, columns,
                rows, columns)
