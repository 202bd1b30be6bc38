"""Arrays of the arena in their layout, to and from NumPy."""
from libc.string cimport memcpy, memset
cimport numpy as cnp

from cymlp.engine.binding cimport kernels_t
from cymlp.engine.call cimport GRANULE_BYTES

import numpy as np

cnp.import_array()


cdef Py_ssize_t padded_bytes(Py_ssize_t size) noexcept:
    """The bytes of a row with its padding."""
    return (size + GRANULE_BYTES - 1) // GRANULE_BYTES * GRANULE_BYTES


cdef object copy_out(const kernels_t *kernels, const char *data, parameter, dtype):
    """A new array of the values that begin at `data`, laid out as the plan's parameter says."""
    cdef cnp.ndarray out = np.empty(parameter.shape, dtype)
    cdef char *values = cnp.PyArray_BYTES(out)
    cdef Py_ssize_t row, rows = 1, size = out.shape[out.ndim - 1] * out.itemsize
    if parameter.layout == "panels":
        kernels.unpack_panels(values, out.shape[1], 1, data, out.shape[0], out.shape[1])
        return out
    if parameter.layout == "rows":
        rows = out.shape[0]
    for row in range(rows):
        memcpy(values + row * size, data + row * padded_bytes(size), size)
    return out


cdef int copy_in(
    const kernels_t *kernels, char *data, parameter, cnp.ndarray array,
) except -1:
    """Write a contiguous array to where such a parameter begins."""
    cdef const char *values = cnp.PyArray_BYTES(array)
    cdef Py_ssize_t row, rows = 1, size = array.shape[array.ndim - 1] * array.itemsize
    if parameter.layout == "panels":
        kernels.pack_panels(data, values, array.shape[1], 1, array.shape[0], array.shape[1])
        return 0
    if parameter.layout == "rows":
        rows = array.shape[0]
    for row in range(rows):
        memcpy(data + row * padded_bytes(size), values + row * size, size)
        memset(data + row * padded_bytes(size) + size, 0, padded_bytes(size) - size)
    return 0


cdef dict copy_buffers(const char *workspace, buffers, Py_ssize_t rows):
    """Every array of a workspace by its name, without padding."""
    copies = {}
    for b in buffers:
        count = b.rows or rows
        size = count * b.leading * np.dtype(b.dtype).itemsize
        whole = np.frombuffer(workspace[b.offset:b.offset + size], b.dtype)
        copies[b.name] = whole.reshape(count, b.leading)[:, :b.columns].copy()
    return copies
