"""Arrays from outside as the kernels of data.pyx read them."""
cimport numpy as cnp

from cymlp.kernels.data cimport source_t

cdef int describe_type(source_t *source, cnp.ndarray array, str name) except -1
cdef int describe(source_t *source, cnp.ndarray array, str name) except -1
cdef bint is_plain(object array, int dimensions) noexcept
cdef bint are_apart(cnp.ndarray a, cnp.ndarray b) noexcept

cdef enum:
    FLOAT32 = 10                # codes of convert.h
    FLOAT64 = 11


cdef inline bint is_native(const source_t *source, Py_ssize_t item) noexcept nogil:
    """Whether its elements are aligned floats of so many bytes, as a kernel takes them."""
    return (source.type == (FLOAT64 if item == 8 else FLOAT32) and not source.swapped
            and <size_t>source.data % <size_t>item == 0)
