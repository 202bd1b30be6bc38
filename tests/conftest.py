"""What holds for all tests."""

import signal

# A shell's background jobs ignore Ctrl-C, and hand that down; the tests of it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
