"""Sums that metrics are made of: outputs and targets of any real type, gone through in row order.

All is done in double and by one thread, each sum over the rows in their order, so that no number
of threads and no instruction set can change a bit. A row of weight 0 is passed over, whatever it
holds.
"""
cimport numpy as cnp
from libc.math cimport NAN
from libc.stdlib cimport qsort

from cymlp.engine.binding cimport common_kernels, typed_kernels
from cymlp.engine.memory cimport Memory
from cymlp.engine.sources cimport describe
from cymlp.kernels.data cimport source_t

cnp.import_array()

cdef enum:
    BLOCK = 256                 # rows that are converted at a time
    NO_CLASS = -1

ctypedef struct scored_t:
    double score
    double weight               # below 0 for a row that is not of the class
    Py_ssize_t row


cdef int compare(const void *a, const void *b) noexcept nogil:
    """By score, then by row: one order, whatever the sorting does with equals."""
    cdef const scored_t *first = <const scored_t *>a
    cdef const scored_t *second = <const scored_t *>b
    if first.score != second.score:
        return 1 if first.score > second.score else -1
    return (first.row > second.row) - (first.row < second.row)


cdef Py_ssize_t first_largest(const double *values, Py_ssize_t n) noexcept nogil:
    """Place of the first largest value; NO_CLASS where one is NaN."""
    cdef Py_ssize_t best = 0, i
    for i in range(n):
        if values[i] != values[i]:
            return NO_CLASS
        if values[i] > values[best]:
            best = i
    return best


cdef class Rows:
    """Outputs with their targets and weights.

    Parameters
    ----------
    output : numpy.ndarray of shape (n, columns)
    target : numpy.ndarray of shape (n, columns), or (n,)
        Of one dimension and more than one column: class numbers, which have been checked.
    weight : numpy.ndarray of shape (n,), or None
    many : bool
        Whether a row belongs to one class among many; else each column is a matter of its own.
    threshold : float
        Above which an output of a column says yes.
    """

    cdef source_t output_source, target_source, weight_source
    cdef bint many, labels, weighted
    cdef double threshold
    cdef Py_ssize_t rows, columns
    cdef tuple arrays
    cdef Memory memory
    cdef double *output
    cdef double *target
    cdef double *weight
    cdef int *label

    def __cinit__(self, cnp.ndarray output not None, cnp.ndarray target not None, weight,
                  bint many, double threshold):
        describe(&self.output_source, output, "output")
        describe(&self.target_source, target, "target")
        self.rows, self.columns = output.shape[0], output.shape[1]
        self.many, self.threshold = many, threshold
        self.labels = cnp.PyArray_NDIM(target) == 1 and self.columns > 1
        self.weighted = weight is not None
        if self.weighted:
            describe(&self.weight_source, weight, "sample_weight")
        self.arrays = output, target, weight    # the descriptions only point to them
        self.memory = Memory(BLOCK * (2 * self.columns + 2) * sizeof(double))
        self.output = <double *>self.memory.data
        self.target = self.output + BLOCK * self.columns
        self.weight = self.target + BLOCK * self.columns
        self.label = <int *>(self.weight + BLOCK)

    cdef Py_ssize_t load(self, Py_ssize_t first) noexcept nogil:
        """Convert a block of rows; returns how many they are."""
        cdef Py_ssize_t rows = min(self.rows - first, <Py_ssize_t>BLOCK), row, column
        cdef Py_ssize_t n = self.columns
        typed_kernels(1).gather_rows(self.output, n, &self.output_source, NULL, first, rows)
        if self.weighted:
            typed_kernels(1).gather_rows(self.weight, 1, &self.weight_source, NULL, first, rows)
        else:
            for row in range(rows):
                self.weight[row] = 1.0
        if self.labels:
            common_kernels().gather_labels(
                self.label, &self.target_source, NULL, first, rows, n)
            for row in range(rows):
                for column in range(n):
                    self.target[row * n + column] = column == self.label[row]
        else:
            typed_kernels(1).gather_rows(self.target, n, &self.target_source, NULL, first, rows)
            for row in range(rows):
                self.label[row] = <int>first_largest(self.target + row * n, n)
        return rows

    def decisions(self, double[:, ::1] table, Py_ssize_t k):
        """(weight of the rows that are right, weight of all); into the table of (columns, 3), by
        class, the weight of the rows that are rightly said to be of it, are said to be, are.

        Among many classes, right is a row whose own class is among the `k` of greatest output,
        of equal ones the first; by columns, one of which every column is decided rightly.
        """
        cdef double right = 0, total = 0
        cdef Py_ssize_t first = 0, rows, row
        with nogil:
            while first < self.rows:
                rows = self.load(first)
                for row in range(rows):
                    if self.weight[row] == 0:
                        continue
                    total += self.weight[row]
                    if self.one_decision(table, row, k):
                        right += self.weight[row]
                first += rows
        return right, total

    cdef bint one_decision(self, double[:, ::1] table, Py_ssize_t row,
                           Py_ssize_t k) noexcept nogil:
        cdef Py_ssize_t n = self.columns, column, before = 0, said
        cdef const double *output = self.output + row * n
        cdef const double *target = self.target + row * n
        cdef double weight = self.weight[row], own
        cdef bint right = True, yes, true
        if not self.many:
            for column in range(n):
                yes, true = output[column] > self.threshold, target[column] > 0.5
                right = right and yes == true and output[column] == output[column]
                table[column, 0] += weight if yes and true else 0.0
                table[column, 1] += weight if yes else 0.0
                table[column, 2] += weight if true else 0.0
            return right
        said = first_largest(output, n)
        if self.label[row] != NO_CLASS:
            table[self.label[row], 2] += weight
        if said == NO_CLASS or self.label[row] == NO_CLASS:
            return False
        table[said, 1] += weight
        if said == self.label[row]:
            table[said, 0] += weight
        own = output[self.label[row]]
        for column in range(n):
            before += output[column] > own or (output[column] == own
                                               and column < self.label[row])
        return before < k

    def log_loss(self, double least):
        """(sum of the rows' losses, weight of all rows, the first row with an output that is no
        probability or -1); probabilities are kept `least` away from 0 and 1.
        """
        cdef double total = 0, loss = 0, p, one, t
        cdef double pair[2]
        cdef double logs[2]
        cdef Py_ssize_t first = 0, rows, row, column, n = self.columns, bad = -1
        with nogil:
            while first < self.rows and bad < 0:
                rows = self.load(first)
                for row in range(rows):
                    if self.weight[row] == 0:
                        continue
                    total += self.weight[row]
                    one = 0
                    for column in range(n):
                        p, t = self.output[row * n + column], self.target[row * n + column]
                        if p < 0 or p > 1:
                            bad = first + row
                            break
                        pair[0] = least if p < least else 1 - least if p > 1 - least else p
                        pair[1] = 1 - pair[0]
                        common_kernels().minus_log(logs, pair, 2)
                        one += t * logs[0]
                        if not self.many:
                            one += (1 - t) * logs[1]
                    loss += self.weight[row] * (one if self.many else one / n)
                    if bad >= 0:
                        break
                first += rows
        return loss, total, bad

    def differences(self, double[:, ::1] table):
        """(rows, their weight); into the table of (columns, 4) the weighted sums by column of
        absolute and squared differences, of targets, and of squared distances of the targets
        from their mean.
        """
        cdef double total = 0, weight, d
        cdef Py_ssize_t first = 0, rows, row, column, n = self.columns, counted = 0, turn
        with nogil:
            for turn in range(2):
                first = 0
                while first < self.rows:
                    rows = self.load(first)
                    for row in range(rows):
                        weight = self.weight[row]
                        if weight == 0:
                            continue
                        if turn == 0:
                            total += weight
                            counted += 1
                        for column in range(n):
                            if turn == 0:
                                d = self.output[row * n + column] - self.target[row * n + column]
                                table[column, 0] += weight * (-d if d < 0 else d)
                                table[column, 1] += weight * d * d
                                table[column, 2] += weight * self.target[row * n + column]
                            else:
                                d = self.target[row * n + column] - table[column, 2] / total
                                table[column, 3] += weight * d * d
                    first += rows
        return counted, total

    def areas(self, double[::1] areas):
        """By column, the area under the curve of true over false positives: the share of pairs of
        a row that is of the class and one that is not in which the first has the greater output,
        equal ones counting half. NaN where an output is, or where there is no such pair.
        """
        cdef Memory memory = Memory(self.rows * sizeof(scored_t))
        cdef scored_t *scored = <scored_t *>memory.data
        cdef Py_ssize_t column
        with nogil:
            for column in range(self.columns):
                areas[column] = self.one_area(scored, column)

    cdef double one_area(self, scored_t *scored, Py_ssize_t column) noexcept nogil:
        cdef Py_ssize_t first = 0, rows, row, n = self.columns, count = 0, end
        cdef double yes = 0, no = 0, yes_here, no_here, area = 0
        cdef bint true
        while first < self.rows:
            rows = self.load(first)
            for row in range(rows):
                if self.weight[row] == 0:
                    continue
                scored[count].score = self.output[row * n + column]
                if scored[count].score != scored[count].score:
                    return NAN
                if self.many:
                    true = self.label[row] == column
                else:
                    true = self.target[row * n + column] > 0.5
                scored[count].weight = self.weight[row] if true else -self.weight[row]
                scored[count].row = first + row
                count += 1
            first += rows
        qsort(scored, count, sizeof(scored_t), compare)
        first = 0
        while first < count:
            yes_here, no_here, end = 0, 0, first
            while end < count and scored[end].score == scored[first].score:
                if scored[end].weight > 0:
                    yes_here += scored[end].weight
                else:
                    no_here -= scored[end].weight
                end += 1
            area += yes_here * (no + 0.5 * no_here)
            yes += yes_here
            no += no_here
            first = end
        return area / (yes * no) if yes > 0 and no > 0 else NAN
