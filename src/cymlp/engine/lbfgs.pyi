# Nothing for Python: L-BFGS over a network's parameters.
