# cython: language_level=3, cdivision=True
"""Embedding: integer codes to the rows of a table.

Codes come as numbers of the network's type, as they stand in the input. They have been checked at
the door; what is no code any more by then counts as code 0, so that nothing reaches outside.
"""
from libc.string cimport memcpy, memset

from cymlp.kernels.real cimport real


cdef inline Py_ssize_t code_of(real number, Py_ssize_t categories) noexcept nogil:
    return <Py_ssize_t> number if number >= 0 and number < categories else 0


cdef void embedding_forward(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx, const real *table, Py_ssize_t ldt,
        Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = the table's row of each of the `cols` codes, side by side, each of `units` numbers."""
    cdef Py_ssize_t r, c
    for r in range(rows):
        for c in range(cols):
            memcpy(y + r * ldy + c * units,
                   table + code_of(x[r * ldx + c], categories) * ldt, units * sizeof(real))


cdef void embedding_sums(
        real *gradient, Py_ssize_t ldg, char *used, const real *dy, Py_ssize_t lddy,
        const real *x, Py_ssize_t ldx, Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows,
        Py_ssize_t cols, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Add to the gradients of the table's rows from `begin` to `end`, in the batch's order.

    `used` says which rows have a gradient already; a row's first one finds zeros put there.
    """
    cdef Py_ssize_t r, c, k, code
    cdef real *row
    cdef const real *source
    for r in range(rows):
        for c in range(cols):
            code = code_of(x[r * ldx + c], categories)
            if code < begin or code >= end:
                continue
            row = gradient + code * ldg
            if not used[code]:
                used[code] = 1
                memset(row, 0, ldg * sizeof(real))
            source = dy + r * lddy + c * units
            for k in range(units):
                row[k] += source[k]
