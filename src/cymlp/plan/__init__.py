"""Lowering: a network's description becomes a plan, a flat list of steps over blocks of memory.

A plan is plain data: which kernel runs when, on which arrays, how its work may be divided, and
where the threads wait for each other. It can be printed, compared, pickled and run by two
machines: the engine (:mod:`cymlp.engine`) and, step by step in float64, the reference
(:mod:`cymlp.reference`). All shape logic is here; the engine adds nothing but addresses.

Memory comes in two blocks. The **arena** belongs to the network: all parameters, then one copy of
the same layout for each optimizer state. The **workspace** belongs to a call: gradients (same
layout again, where they are kept), then the activations of one chunk of rows.
"""

from . import columns, joins  # noqa: F401  # they register their lowerings
from .builder import build_plan, parameter_layout
from .form import Buffer, Parameter, Plan, Step, separate_results

__all__ = ["Buffer", "Parameter", "Plan", "Step", "build_plan", "parameter_layout",
           "separate_results"]
