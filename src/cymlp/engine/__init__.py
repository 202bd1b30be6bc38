"""The engine: native calls that run a plan, the threads that they run on, and their kernels."""

from cymlp.bundle import add_shared_object

# What is compiled into the shared object: every .pyx of this folder.
MODULES = ("binding", "calls", "checking", "dense_calls", "gate", "layer_steps", "layouts",
           "lbfgs", "memory", "operands", "outside", "program", "running", "runtime", "scores",
           "short_way", "sources", "steps", "threads", "update_steps", "updates", "walk")

add_shared_object(__path__, "engine", MODULES)
