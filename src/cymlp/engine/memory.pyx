"""Blocks of aligned memory for arenas and workspaces."""
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifdef MADV_HUGEPAGE
    #define advise_huge(data, size) madvise(data, size, MADV_HUGEPAGE)
    #else
    #define advise_huge(data, size) 0
    #endif
    static inline void *map_memory(size_t size) {
        void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        return data == MAP_FAILED ? NULL : data;
    }
    """
    int advise_huge(void *data, size_t size) noexcept nogil
    void *map_memory(size_t size) noexcept nogil
    int munmap(void *data, size_t size) noexcept nogil

cdef enum:
    SMALL_PAGE = 4096
    HUGE_PAGE = 2 << 20
    MAPPED = 1 << 20        # bytes from which a block is the system's own


cdef class Memory:
    """A block of zeroed memory, aligned for vectors; on huge pages where it is large.

    Parameters
    ----------
    size : int
        Bytes.
    used : bool
        Whether all of it will be: then it lies in huge pages from one on, else from two.

    Raises
    ------
    MemoryError
        Where there are not so many.
    """

    def __cinit__(self, size, bint used=False):
        cdef Py_ssize_t wanted = max(size, 64) if size < 1 << 62 else 1 << 62
        # In huge pages weights that just fit a second cache do not push each other out of it (0.9
        # of a single row's time). A page counts as a whole, though, whatever of it is written to.
        cdef bint huge = wanted >= (HUGE_PAGE if used else 2 * HUGE_PAGE)
        cdef Py_ssize_t alignment = HUGE_PAGE if huge else SMALL_PAGE
        # Pages fresh from the system are zero and take no room until they are written to, so what
        # a call has no use for, as the copy of rows that it reads where they lie, costs nothing.
        cdef bint mapped = wanted >= MAPPED
        self.block = map_memory(wanted + alignment) if mapped else calloc(wanted + alignment, 1)
        if self.block == NULL:
            raise MemoryError(f"no memory for a block of {size} bytes")
        self.mapped = wanted + alignment if mapped else 0
        self.data = <char *>((<uintptr_t>self.block + alignment - 1) // alignment * alignment)
        self.size = wanted
        if huge:
            advise_huge(self.data, wanted)

    def __dealloc__(self):
        if self.mapped:         # never where there is no block: from 0 on it would unmap all
            munmap(self.block, self.mapped)
        else:
            free(self.block)
