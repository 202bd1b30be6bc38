"""Arrays from outside as the kernels of data.pyx read them."""
cimport numpy as cnp

from cymlp.kernels.data cimport source_t

cdef int describe_type(source_t *source, cnp.ndarray array, str name) except -1
cdef int describe(source_t *source, cnp.ndarray array, str name) except -1
cdef bint is_plain(object array, int dimensions) noexcept
cdef bint are_apart(cnp.ndarray a, cnp.ndarray b) noexcept
