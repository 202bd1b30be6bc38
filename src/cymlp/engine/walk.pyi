# Nothing for Python: what the threads run.
