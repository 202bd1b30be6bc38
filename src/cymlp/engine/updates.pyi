# Nothing for Python: the optimizer's step on a piece of the arena.
