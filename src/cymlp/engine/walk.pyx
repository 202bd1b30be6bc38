"""The jobs that a team of threads does: every thread walks the same list of steps.

The threads wait for each other only where a step needs what another thread has made.
"""
from libc.string cimport memcpy
from libc.time cimport time_t

from cymlp.engine.binding cimport common_kernels, typed_kernels
from cymlp.engine.call cimport (
    BY_BANDS, BY_CALLER, BY_COLUMNS, BY_ONE, BY_PIECES, BY_UNITS, DENSE_BACKWARD_INPUT,
    DENSE_FORWARD, MAX_HYPER, ROW_BLOCK, batch_t, call_t, locate, step_t)
from cymlp.engine.layer_steps cimport by_columns
from cymlp.engine.outside cimport enter_python, leave_python, python_step
from cymlp.engine.steps cimport by_bands, by_panels, by_rows, by_units, reduce
from cymlp.engine.threads cimport team_barrier
from cymlp.engine.update_steps cimport by_pieces, updates_done
from cymlp.engine.updates cimport add_gradients

cdef extern from "<time.h>" nogil:
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *now) noexcept

cdef extern from *:
    """
    #define FETCH_ADD(place, more) __atomic_fetch_add(place, more, __ATOMIC_RELAXED)
    """
    int fetch_add "FETCH_ADD"(int *place, int more) noexcept nogil
    # Leaves the exception set, to be raised by the caller when the walk has ended.
    int check_signals "PyErr_CheckSignals"() noexcept
    bint python_runs "Py_IsInitialized"() noexcept nogil

cdef enum:
    # With fewer rows for a thread, threads share a product by panels: each then reads a part of
    # the weights only. Of weights that are near anyway all are read, and no one waits.
    ROWS_PER_THREAD = 24
    NEAR_ROWS_PER_THREAD = 8
    NEAR_BYTES = 256 << 10
    # A prediction's rows are shared out one time after another where a thread would have so many
    # shares of the least size: rows enough to be worth reading the weights for.
    LEAST_SHARE = 48
    LEAST_SHARES = 4

cdef double CHECK_SECONDS = 0.05


cdef double seconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <double>now.tv_sec + 1e-9 * <double>now.tv_nsec


cdef void look_for_signals(call_t *c) noexcept nogil:
    """On thread 0, which is the caller: has Ctrl-C been pressed? At most every 50 ms."""
    cdef double now = seconds()
    cdef unsigned long outer
    if now - c.checked < CHECK_SECONDS:
        return
    c.checked = now
    if not python_runs():
        c.stop = 1          # the process exits under a daemon thread: there is no GIL to ask for
        return
    with gil:
        outer = enter_python(c)
        if check_signals() != 0:
            c.stop = 1
        leave_python(c, outer)


cdef inline bint are_few(const call_t *c, long long rows, int threads) noexcept nogil:
    """Whether there are too few rows for each thread to take its share of them."""
    cdef bint near = c.multiply_adds * c.item <= NEAR_BYTES
    return threads > 1 and rows < (NEAR_ROWS_PER_THREAD if near else ROWS_PER_THREAD) * threads


cdef void run_piece(call_t *c, batch_t *b, int thread, int threads) noexcept nogil:
    """All steps on one piece of a batch."""
    cdef bint few = are_few(c, b.piece_rows, threads)
    cdef Py_ssize_t row = b.piece_rows * thread // threads
    cdef Py_ssize_t rows = b.piece_rows * (thread + 1) // threads - row
    cdef const step_t *s = c.steps
    cdef bint panels, before = False
    locate(c, b)
    while s < c.steps + c.step_count:
        # With few rows, what goes into a product and what comes out is of several threads; all
        # else a thread does to its own rows, as where there are many.
        panels = few and (s.op == DENSE_FORWARD or s.op == DENSE_BACKWARD_INPUT)
        if s.wait or panels or before:
            team_barrier(threads)
        before = panels or s.split == BY_BANDS
        if s.split == BY_UNITS:
            by_units(s, c, b, thread, threads)
        elif s.split == BY_BANDS:
            by_bands(s, s + 1, c, b, thread, threads)
            s += 1
        elif s.split == BY_ONE:
            if thread == 0 and not b.apart:
                reduce(s, c, b)
        elif s.split == BY_PIECES:
            by_pieces(s, c, b, thread, threads)
        elif s.split == BY_COLUMNS:
            by_columns(s, c, b, thread, threads)
        elif s.split == BY_CALLER:
            team_barrier(threads)
            if thread == 0:
                python_step(s, c, b, threads)
            team_barrier(threads)
            if c.failed:
                return
        elif panels:
            by_panels(s, c, b, thread, threads)
        elif rows > 0:
            by_rows(s, c, b, row, rows)
        s += 1


cdef double weight_sum(call_t *c, batch_t *b) noexcept nogil:
    """The weights of the batch's rows in order; the number of rows where there are none."""
    cdef double total = 0, weight = 1
    cdef long long row
    cdef int label
    if not c.weighted and c.label_weight == NULL:
        return <double>b.rows
    for row in range(b.first, b.first + b.rows):
        if c.weighted:
            typed_kernels(1).gather_rows(&weight, 1, &c.sample_weight, c.order, row, 1)
        if c.label_weight == NULL:
            total += weight
        elif weight != 0:
            common_kernels().gather_labels(&label, &c.target, c.order, row, 1, c.classes)
            total += weight * c.label_weight[label]
    return total


cdef void prepare_update(const call_t *c, batch_t *b) noexcept nogil:
    """The few numbers that every update needs, for each group of parameters."""
    cdef double hyper[MAX_HYPER]
    cdef long long step = updates_done(c, b)
    cdef double factor = c.rate_factor, decay = 1.0
    cdef int group
    if c.schedule != NULL:
        factor *= common_kernels().schedule_factor(
            c.schedule, step - 1, c.first_epoch + c.epochs_done, c.rows)
    if c.decay_schedule != NULL:
        decay = common_kernels().schedule_factor(
            c.decay_schedule, step - 1, c.first_epoch + c.epochs_done, c.rows)
    for group in range(c.groups):
        memcpy(hyper, c.hyper + group * MAX_HYPER, sizeof(hyper))
        hyper[0] *= factor
        if c.decay_schedule != NULL:
            hyper[c.decay] *= decay
        common_kernels().optimizer_prepare(
            c.optimizer, b.prepared + group * MAX_HYPER, hyper, step)


cdef void reduce_piece(call_t *c, batch_t *b) noexcept nogil:
    cdef int i
    locate(c, b)
    for i in range(c.step_count):
        if c.steps[i].split == BY_ONE:
            reduce(&c.steps[i], c, b)


cdef inline int blocks_apart(const call_t *c, const batch_t *b, int threads) noexcept nogil:
    """How many threads can take a row block each now, the last of them at least half a one."""
    cdef long long left = b.rows - b.piece_first
    if not c.by_blocks:
        return 1
    return <int>min(<long long>threads, (left + ROW_BLOCK // 2) // ROW_BLOCK)


cdef void run_wave(call_t *c, batch_t *b, int thread, int threads, int blocks) noexcept nogil:
    """A row block for each of some threads, through all steps; then their gradients together.

    What a thread reads is in a workspace of its own and made by itself. The first one's gradients
    go on from those of the blocks before, and those of the others are added in the blocks' order,
    by all threads: the sums are the same as if one block came after the other.
    """
    cdef batch_t own = b[0]
    cdef int i
    own.accumulate = thread == 0 and b.accumulate
    own.apart = True
    own.last_piece = False
    team_barrier(threads)       # until then others may read what is made next
    if thread < blocks:
        own.workspace += thread * c.workspace_bytes
        own.piece_first += thread * ROW_BLOCK
        own.piece_rows = min(<long long>ROW_BLOCK, b.rows - own.piece_first)
        run_piece(c, &own, 0, 1)
    team_barrier(threads)
    b.piece_rows = min(<long long>blocks * ROW_BLOCK, b.rows - b.piece_first)
    b.last_piece = b.piece_first + b.piece_rows == b.rows
    add_gradients(c, b, thread, threads, blocks)
    if thread == 0:
        for i in range(blocks):
            own.piece_rows = min(<Py_ssize_t>ROW_BLOCK, b.piece_rows - i * ROW_BLOCK)
            reduce_piece(c, &own)
            own.workspace += c.workspace_bytes
        b.loss, b.metric, b.counted = own.loss, own.metric, own.counted


cdef void run_batch(call_t *c, batch_t *b, int thread, int threads) noexcept nogil:
    """All pieces of a batch: the walk of one thread."""
    cdef int blocks
    b.loss = b.metric = b.counted = 0
    b.weight_sum = weight_sum(c, b)
    if c.updates:
        prepare_update(c, b)
    b.piece_first = 0
    while b.piece_first < b.rows:
        b.accumulate = b.piece_first > 0
        blocks = blocks_apart(c, b, threads)
        if blocks > 1:
            run_wave(c, b, thread, threads, blocks)
        else:
            b.piece_rows = min(c.chunk, b.rows - b.piece_first)
            b.last_piece = b.piece_first + b.piece_rows == b.rows
            run_piece(c, b, thread, threads)
        if c.failed:
            return
        b.piece_first += b.piece_rows
        if not c.updates and not b.last_piece:  # a training step is never left in the middle
            if thread == 0:
                look_for_signals(c)
            team_barrier(threads)
            if c.stop:
                return


cdef void open_batch(call_t *c, batch_t *b, int thread) noexcept nogil:
    b.first = 0
    b.rows = c.rows
    b.step = c.step
    b.apart = False
    b.workspace = c.workspace
    b.scratch = c.scratch + thread * c.scratch_bytes


cdef void batch_job(void *context, int thread, int threads) noexcept nogil:
    """One batch: a training step, gradients, or an evaluation of any number of rows."""
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    open_batch(c, &b, thread)
    b.step += 1
    run_batch(c, &b, thread, threads)
    if thread == 0 and not c.failed:
        c.step = b.step
        c.loss_sum = b.loss
        c.weights = b.weight_sum
        c.metric_sum = b.metric
        c.counted = b.counted


cdef void begin_epoch(call_t *c, int thread, int threads) noexcept nogil:
    if thread == 0:
        c.loss_sum = c.metric_sum = c.counted = c.weights = 0
        c.begun = seconds()
        if c.shuffle:
            common_kernels().permutation(c.order, c.rows, c.key, c.first_epoch + c.epochs_done)
    if c.shuffle:
        team_barrier(threads)


cdef void account(call_t *c, batch_t *b, bint epoch_ends) noexcept nogil:
    """On thread 0 after a batch: what it brought, and whether to go on."""
    cdef double total = b.weight_sum * c.value_count
    c.step = b.step
    c.batches_left -= 1
    c.batch_loss = b.loss / total if total else 0.0
    c.batch_metric = b.metric / b.counted if b.counted else 0.0
    c.loss_sum += b.loss
    c.metric_sum += b.metric
    c.counted += b.counted
    c.weights += b.weight_sum
    c.rows_done += b.rows
    c.position = b.first + b.rows
    if epoch_ends:
        total = c.weights * c.value_count
        c.epoch_loss[c.epochs_done] = c.loss_sum / total if total else 0.0
        c.epoch_metric[c.epochs_done] = c.metric_sum / c.counted if c.counted else 0.0
        c.epoch_seconds[c.epochs_done] = seconds() - c.begun
        c.epochs_done += 1
        c.position = 0
    look_for_signals(c)
    c.pause = seconds() > c.job_end or c.batches_left == 0


cdef void train_job(void *context, int thread, int threads) noexcept nogil:
    """Batches of all epochs, from where the last job stopped until the time for this one is over.

    It ends between two steps, so that the number of threads can be changed there, and Ctrl-C
    leaves the parameters as a step left them.
    """
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    cdef long long epoch = c.epochs_done
    cdef bint epoch_ends
    open_batch(c, &b, thread)
    b.first = c.position
    while epoch < c.epochs:
        if b.first == 0:
            begin_epoch(c, thread, threads)
        b.rows = min(c.batch_size, c.rows - b.first)
        b.step += 1
        run_batch(c, &b, thread, threads)
        if c.failed:
            return
        epoch_ends = c.rows - b.first - b.rows < (c.batch_size if c.drop_last else 1)
        if thread == 0:
            account(c, &b, epoch_ends)
        team_barrier(threads)
        if c.stop or c.pause:
            return
        b.first += b.rows
        if epoch_ends:
            b.first = 0
            epoch += 1


cdef bint take_share(call_t *c, batch_t *b, int threads) noexcept nogil:
    """The next rows that no thread has taken; false where there are none.

    One for each thread where there are few rows. Of many, every share is a part of what is left: a
    thread whose processor is slow just now, for others use it too, takes fewer of them.
    """
    cdef int number
    cdef Py_ssize_t left
    if threads == 1:        # nobody to count with: that alone would take longer than a small layer
        b.first, b.rows = 0, c.rows
        c.shares += 1
        return c.shares == 1
    number = fetch_add(&c.shares, 1)
    if c.rows < LEAST_SHARES * LEAST_SHARE * threads:
        b.first = c.rows * min(number, threads) // threads
        b.rows = c.rows * min(number + 1, threads) // threads - b.first
        return number < threads
    b.first = b.rows = 0
    while number >= 0 and b.first + b.rows < c.rows:
        b.first += b.rows
        left = c.rows - b.first
        b.rows = min(max(left // (2 * threads), <Py_ssize_t>LEAST_SHARE), left)
        number -= 1
    return number < 0


cdef void predict_job(void *context, int thread, int threads) noexcept nogil:
    """Rows through all layers: each thread its own, or all together where there are few."""
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    open_batch(c, &b, thread)
    if are_few(c, c.rows, threads) and c.rows <= c.chunk and not c.turned:
        run_batch(c, &b, thread, threads)
        return
    b.workspace += thread * c.workspace_bytes
    while not c.stop and take_share(c, &b, threads):
        b.piece_first = 0
        while b.piece_first < b.rows and not c.stop:
            b.piece_rows = min(c.chunk, b.rows - b.piece_first)
            run_piece(c, &b, 0, 1)
            b.piece_first += b.piece_rows
            if thread == 0 and b.first + b.piece_first < c.rows:
                look_for_signals(c)
