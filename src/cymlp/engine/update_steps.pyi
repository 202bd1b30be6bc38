# Nothing for Python: what goes around the optimizer's step.
