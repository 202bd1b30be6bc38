# Nothing for Python: what the threads do for the steps of layers.
