"""Who may work on a network's memory."""

cdef class Gate:
    cdef int readers
    cdef unsigned long writer
    cdef unsigned long handling     # the thread that runs signal handlers from within a call
    cdef long generation
    cdef bint changed               # a call that writes has been inside; for whoever cares to reset
    cdef list queue
    cdef object condition
    cdef int enter(self, bint writing) except -1
    cdef int leave(self, bint writing) except -1
    cdef int _wait(self, bint writing, unsigned long me) except -1
    cdef bint _open_to(self, object turn, bint writing) noexcept
