"""Blocks of aligned memory for arenas and workspaces."""
from libc.stdlib cimport free
from libc.string cimport memset

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size) noexcept

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifdef MADV_HUGEPAGE
    #define advise_huge(data, size) madvise(data, size, MADV_HUGEPAGE)
    #else
    #define advise_huge(data, size) 0
    #endif
    """
    int advise_huge(void *data, size_t size) noexcept nogil

cdef enum:
    SMALL_PAGE = 4096
    HUGE_PAGE = 2 << 20


cdef class Memory:
    """A block of zeroed memory, aligned for vectors; on huge pages where it is large.

    Parameters
    ----------
    size : int
        Bytes.

    Raises
    ------
    MemoryError
        Where there are not so many.
    """

    def __cinit__(self, size):
        cdef Py_ssize_t wanted = max(size, 64) if size < 1 << 62 else 1 << 62
        cdef size_t alignment = HUGE_PAGE if wanted >= 2 * HUGE_PAGE else SMALL_PAGE
        cdef void *data = NULL
        if posix_memalign(&data, alignment, wanted) != 0:
            raise MemoryError(f"no memory for a block of {size} bytes")
        self.data = <char *>data
        self.size = wanted
        with nogil:
            if alignment == HUGE_PAGE:
                advise_huge(data, wanted)
            memset(data, 0, wanted)

    def __dealloc__(self):
        free(self.data)
