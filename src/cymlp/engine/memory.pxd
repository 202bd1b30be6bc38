cdef class Memory:
    """A block of zeroed memory, aligned for vectors."""

    cdef void *block        # as it was allocated
    cdef Py_ssize_t mapped  # its bytes, where the system gave it and takes it back
    cdef char *data
    cdef readonly Py_ssize_t size
