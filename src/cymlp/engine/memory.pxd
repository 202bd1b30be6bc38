cdef class Memory:
    """A block of zeroed memory, aligned for vectors."""

    cdef char *data
    cdef readonly Py_ssize_t size
