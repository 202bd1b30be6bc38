"""Who may work on a network's memory: one call that writes, or any number that read.

All of this happens under the GIL, so that two counters and a queue are enough. Whoever finds the
gate taken waits in line: neither a crowd of predictions nor a loop of training steps can keep the
other out for ever.
"""
from cpython.pythread cimport PyThread_get_thread_ident

from cymlp.engine.threads cimport fork_generation

cdef double LOOK_AGAIN = 0.05       # seconds; in case that an exception has swallowed a call


cdef class Gate:
    """Lets readers in together and a writer alone, in the order in which they come."""

    def __cinit__(self):
        self.queue = []
        self.generation = fork_generation()

    cdef int enter(self, bint writing) except -1:
        """Come in, if need be after a wait; an exception means that one is not in."""
        cdef unsigned long me
        if self.generation != fork_generation():
            # A child of fork: whoever was inside or in line is not here.
            self.generation = fork_generation()
            self.readers = self.writer = self.handling = 0
            self.queue = []
            self.condition = None
        if self.writer or self.queue or (writing and self.readers):
            me = PyThread_get_thread_ident()
            if self.writer == me or (writing and self.handling == me):
                raise RuntimeError("the network is at work in this very thread: a signal handler "
                                   "cannot change it, nor use it while it is trained")
            # A handler that only reads, within a call that reads, must not wait for that call.
            if self.handling != me:
                self._wait(writing, me)
        if writing:
            self.writer = PyThread_get_thread_ident()
            self.changed = True
        else:
            self.readers += 1
        return 0

    cdef int leave(self, bint writing) except -1:
        """Go out and call those in line."""
        if writing:
            self.writer = 0
        elif self.readers > 0:      # not so where a handler has forked
            self.readers -= 1
        if self.queue and self.condition is not None:
            with self.condition:
                self.condition.notify_all()
        return 0

    cdef bint _open_to(self, object turn, bint writing) noexcept:
        """Whether it is this one's turn; nothing of Python's runs in here."""
        if self.writer or (writing and self.readers):
            return False
        for other in self.queue:
            if other is turn:
                return True
            if writing or other[1]:
                return False
        return True

    cdef int _wait(self, bint writing, unsigned long me) except -1:
        from threading import Condition
        if self.condition is None:
            self.condition = Condition()
        cdef tuple turn = (me, bool(writing))
        # A handler within a call that is in line itself goes before it.
        nested = [other for other in self.queue if other[0] == me]
        self.queue.insert(0 if nested else len(self.queue), turn)
        try:
            # The last look is outside the lock: nothing may come between it and going in.
            while not self._open_to(turn, writing):
                with self.condition:
                    if not self._open_to(turn, writing):
                        self.condition.wait(LOOK_AGAIN)
        finally:
            self.queue = [other for other in self.queue if other is not turn]
        return 0
