"""The engine: native calls that run a plan, the threads that they run on, and their kernels."""
