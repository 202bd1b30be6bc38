"""Arrays from outside as the kernels of data.pyx read them: any real type, order and stride."""
cimport numpy as cnp

from cymlp.kernels.data cimport source_t

cnp.import_array()


cdef int describe_type(source_t *source, cnp.ndarray array, str name) except -1:
    """Where an array begins, and of what type it is."""
    cdef cnp.dtype dtype = array.descr
    cdef char kind = dtype.kind
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    if kind == c"b":
        source.type = 0
    elif kind == c"i" or kind == c"u":
        source.type = {1: 1, 2: 3, 4: 5, 8: 7}[item] + (kind == c"u")
    elif kind == c"f":
        source.type = {2: 9, 4: 10, 8: 11}.get(item, 12)
    else:
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    source.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    source.data = cnp.PyArray_BYTES(array)
    return 0


cdef int describe(source_t *source, cnp.ndarray array, str name) except -1:
    """An array of two dimensions, or of one, which counts as a single column."""
    describe_type(source, array, name)
    source.rows = cnp.PyArray_DIM(array, 0)
    source.row_stride = cnp.PyArray_STRIDE(array, 0)
    if cnp.PyArray_NDIM(array) == 2:
        source.columns = cnp.PyArray_DIM(array, 1)
        source.column_stride = cnp.PyArray_STRIDE(array, 1)
    else:
        source.columns = 1
        source.column_stride = cnp.PyArray_ITEMSIZE(array)
    return 0
