# Nothing for Python: what the threads do for each step of a plan.
