"""What holds for all tests."""

import signal

# A shell's background jobs ignore Ctrl-C, and hand that down to the processes that tests start:
# those that wait for it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
