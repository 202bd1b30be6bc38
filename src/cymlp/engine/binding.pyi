# Nothing for Python: the engine's modules take the kernels' addresses from here.
