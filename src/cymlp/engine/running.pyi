# Nothing for Python: a call run on as many threads as pay.
