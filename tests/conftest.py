"""What holds for all tests, and what many of them take."""

import signal

import pytest

from cymlp.engine import threads

# A shell's background jobs ignore Ctrl-C, and hand that down to the processes that tests start:
# those that wait for it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def forced():
    """Sets the number of threads: as many as asked for, also where there are fewer processors."""
    before = threads.get_num_threads()
    threads._allow_oversubscription(True)
    yield threads.set_num_threads
    threads._allow_oversubscription(False)
    threads.set_num_threads(before)
