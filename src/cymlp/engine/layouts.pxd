"""Arrays of the arena in their layout, to and from NumPy."""
cimport numpy as cnp

from cymlp.engine.binding cimport kernels_t

cdef object copy_out(const kernels_t *kernels, const char *data, parameter, dtype)
cdef int copy_in(const kernels_t *kernels, char *data, parameter, cnp.ndarray array) except -1
cdef dict copy_buffers(const char *workspace, buffers, Py_ssize_t rows)
