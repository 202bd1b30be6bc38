from cymlp.kernels.real cimport real

cdef void pointwise_loss(
    int kind, real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
    const real *target, Py_ssize_t ldt, const real *sample_weight, double scale,
    const real *parameters, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void softmax_cross_entropy_labels(
    real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
    const int *label, const real *sample_weight, double scale,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void softmax_cross_entropy_dense(
    real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
    const real *target, Py_ssize_t ldt, const real *sample_weight, double scale,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void softmax_cross_entropy_weighted(
    real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
    const int *label, const real *target, Py_ssize_t ldt, const real *class_weight,
    double smoothing, const real *sample_weight, double scale,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void kullback_leibler(
    real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
    const real *target, Py_ssize_t ldt, const real *sample_weight, double scale,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void correct_labels(
    double *row_metric, const real *logits, Py_ssize_t ldz, const int *label,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void correct_dense(
    double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void correct_binary(
    double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void absolute_error(
    double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void minus_log(double *out, const double *p, Py_ssize_t n) noexcept nogil
