# Nothing for Python: arrays of the arena, for the runtime.
