"""L-BFGS over a network's parameters."""
from cymlp.engine.call cimport call_t
from cymlp.engine.tuner cimport tuner_t

ctypedef struct search_t:
    # What is looked for, and how far it has come.
    call_t *call                # of a plan that gives gradients; its batch is the whole data
    tuner_t *tuner
    int wanted                  # threads
    int threads                 # that the last evaluation had
    Py_ssize_t bytes            # of all parameters
    Py_ssize_t history          # pairs of differences that are kept behind the parameters
    long long step              # iterations that were made before
    long long iterations        # that are wanted now
    long long done
    int most                    # evaluations in one line search
    double gradient_tolerance
    double change_tolerance
    double value                # of the loss with its penalty
    long long evaluations
    bint converged
    char *start                 # three arrays as large as the parameters
    char *direction
    char *before                # the gradient at `start`
    double metric
    double *results             # of each iteration: losses, then metrics, then seconds

cdef void lbfgs_run(search_t *s) noexcept nogil
