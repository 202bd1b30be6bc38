"""Running a kernel over arrays of any strides: see operands.pyx."""
cimport numpy as cnp

from cymlp.engine.memory cimport Memory
from cymlp.kernels.data cimport source_t

cdef enum:
    MAX_OPERANDS = 5
    MAX_DIMENSIONS = 64

cdef enum:
    READ = 1
    WRITE = 2

# A kernel's work on `rows` rows by `columns` columns of every operand, each given by a pointer and
# a distance of rows in elements. `row` counts the rows that went before.
ctypedef void (*block_job)(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns) noexcept nogil

ctypedef struct operand_t:
    source_t source
    int mode
    bint direct                 # the kernel can work on the array itself
    Py_ssize_t stride[MAX_DIMENSIONS]
    char *data                  # of the matrix that is being worked on
    char *block                 # a copy of a piece of it, where not direct

ctypedef struct walk_t:
    int dtype                   # 0: float32, 1: float64
    Py_ssize_t item
    int kind                    # row of the kernel's table, to tell times apart
    bint whole_rows             # the kernel needs a whole row at once
    bint empty
    int dimensions
    Py_ssize_t shape[MAX_DIMENSIONS]
    int operands
    operand_t operand[MAX_OPERANDS]

cdef int add(walk_t *walk, cnp.ndarray array, int mode) except -1
cdef Memory plan(walk_t *walk, int dtype, bint whole_rows, object extra, char **extra_data)
cdef void run(walk_t *walk, block_job job, void *context) noexcept nogil

cdef Memory borrow(object size)
cdef int give_back(Memory memory) except -1
