"""Arrays from outside as the kernels of data.pyx read them: any real type, order and stride."""
cimport numpy as cnp

from cymlp.kernels.data cimport source_t

cnp.import_array()


cdef int describe_type(source_t *source, cnp.ndarray array, str name) except -1:
    """Where an array begins, and of what type it is."""
    cdef cnp.dtype dtype = array.descr
    cdef char kind = dtype.kind
    cdef int item = cnp.PyArray_ITEMSIZE(array)
    if kind == c"b":
        source.type = 0
    elif kind == c"i" or kind == c"u":      # of 1, 2, 4, 8 bytes
        source.type = 1 + 2 * ((item > 1) + (item > 2) + (item > 4)) + (kind == c"u")
    elif kind == c"f":                      # of 2, 4, 8 bytes, or more
        source.type = 9 + (item > 2) + (item > 4) + (item > 8)
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


cdef bint is_plain(object array, int dimensions) noexcept:
    """A C-contiguous numpy array of real numbers in native order, of a given dimension."""
    if not cnp.PyArray_CheckExact(array) or cnp.PyArray_NDIM(array) != dimensions:
        return False
    cdef char kind = (<cnp.ndarray>array).descr.kind
    return (cnp.PyArray_ISCARRAY_RO(array)
            and (kind == c"f" or kind == c"i" or kind == c"u" or kind == c"b"))


cdef bint are_apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether two contiguous arrays share no memory."""
    return (cnp.PyArray_BYTES(a) + cnp.PyArray_NBYTES(a) <= cnp.PyArray_BYTES(b)
            or cnp.PyArray_BYTES(b) + cnp.PyArray_NBYTES(b) <= cnp.PyArray_BYTES(a))
