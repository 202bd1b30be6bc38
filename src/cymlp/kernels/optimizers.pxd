from cymlp.kernels.real cimport real

cdef void optimizer_prepare(
    int kind, double *prepared, const double *hyper, long long step) noexcept nogil

cdef void optimizer_update(
    int kind, real *parameter, const real *gradient,
    real *state0, real *state1, real *state2,
    Py_ssize_t n, const double *prepared) noexcept nogil
