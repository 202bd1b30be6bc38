"""The kernels' addresses, as the rest of the engine calls them.

One table per dtype. Pointers to elements are `void *` here: the engine counts in bytes and does
not care which dtype it runs.
"""
from cymlp.kernels.data cimport source_t

ctypedef struct kernels_t:
    void (*dense_forward)(
        void *out, Py_ssize_t ldo, const void *x, Py_ssize_t ldx, const void *weight,
        const void *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
        Py_ssize_t panel_begin, Py_ssize_t panel_end, bint finite, void *scratch) noexcept nogil
    void (*turn_rows)(
        void *out, Py_ssize_t ldo, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t columns) noexcept nogil
    void (*dense_turned)(
        void *out, Py_ssize_t ldo, const void *x, Py_ssize_t ldx, const void *weight,
        const void *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs,
        Py_ssize_t rows) noexcept nogil
    void (*dense_backward_input)(
        void *dx, Py_ssize_t lddx, const void *dz, Py_ssize_t ldz, const void *weight,
        const void *gate, Py_ssize_t ldg, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
        Py_ssize_t panel_begin, Py_ssize_t panel_end, void *scratch) noexcept nogil
    void (*dense_backward_weight)(
        void *dweight, Py_ssize_t dweight_panel, const void *x, Py_ssize_t ldx, const void *dz,
        Py_ssize_t ldz, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
        void *scratch, const void *later, Py_ssize_t later_panel, Py_ssize_t second,
        Py_ssize_t third) noexcept nogil
    void (*dense_backward_bias)(
        void *dbias, const void *dz, Py_ssize_t ldz, Py_ssize_t outputs, Py_ssize_t rows,
        bint accumulate) noexcept nogil
    bint (*all_finite)(const void *values, Py_ssize_t count) noexcept nogil
    void (*pack_panels)(
        void *panels, const void *weight, Py_ssize_t row_stride, Py_ssize_t column_stride,
        Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil
    void (*unpack_panels)(
        void *weight, Py_ssize_t row_stride, Py_ssize_t column_stride, const void *panels,
        Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil
    void (*activation_forward)(
        int kind, void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t cols, double parameter) noexcept nogil
    void (*activation_backward)(
        int kind, void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy,
        const void *saved, Py_ssize_t lds, Py_ssize_t rows, Py_ssize_t cols,
        double parameter) noexcept nogil
    void (*exponential)(
        void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*softmax_forward)(
        void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*softmax_backward)(
        void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *y,
        Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*log_softmax_forward)(
        void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*log_softmax_backward)(
        void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *y,
        Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*pointwise_loss)(
        int kind, void *grad, Py_ssize_t ldg, double *row_loss, const void *logits,
        Py_ssize_t ldz, const void *target, Py_ssize_t ldt, const void *sample_weight,
        double scale, const void *parameters, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*softmax_cross_entropy_labels)(
        void *grad, Py_ssize_t ldg, double *row_loss, const void *logits, Py_ssize_t ldz,
        const int *label, const void *sample_weight, double scale, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*softmax_cross_entropy_dense)(
        void *grad, Py_ssize_t ldg, double *row_loss, const void *logits, Py_ssize_t ldz,
        const void *target, Py_ssize_t ldt, const void *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*softmax_cross_entropy_weighted)(
        void *grad, Py_ssize_t ldg, double *row_loss, const void *logits, Py_ssize_t ldz,
        const int *label, const void *target, Py_ssize_t ldt, const void *class_weight,
        double smoothing, const void *sample_weight, double scale, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*kullback_leibler)(
        void *grad, Py_ssize_t ldg, double *row_loss, const void *logits, Py_ssize_t ldz,
        const void *target, Py_ssize_t ldt, const void *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*correct_labels)(
        double *row_metric, const void *logits, Py_ssize_t ldz, const int *label,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*correct_dense)(
        double *row_metric, const void *logits, Py_ssize_t ldz, const void *target,
        Py_ssize_t ldt, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*correct_binary)(
        double *row_metric, const void *logits, Py_ssize_t ldz, const void *target,
        Py_ssize_t ldt, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*absolute_error)(
        double *row_metric, const void *logits, Py_ssize_t ldz, const void *target,
        Py_ssize_t ldt, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*optimizer_update)(
        int kind, void *parameter, const void *gradient, void *state0, void *state1,
        void *state2, Py_ssize_t n, const double *prepared) noexcept nogil
    void (*dropout)(
        void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, Py_ssize_t row_begin,
        Py_ssize_t row_end, Py_ssize_t cols, double rate, unsigned long long key,
        long long step, int layer) noexcept nogil
    void (*gather_rows)(
        void *out, Py_ssize_t ldo, const source_t *source, const long long *order,
        long long first, Py_ssize_t rows) noexcept nogil
    void (*scatter_rows)(
        char *out, Py_ssize_t row_stride, Py_ssize_t column_stride, const void *values,
        Py_ssize_t ldv, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
    void (*glu_forward)(
        int kind, void *y, Py_ssize_t ldy, void *gate, Py_ssize_t ldg, const void *x,
        Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil
    void (*glu_backward)(
        int kind, void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *gate,
        Py_ssize_t ldg, const void *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
        double parameter) noexcept nogil
    void (*column_forward)(
        int kind, void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, const void *parameter,
        bint shared, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*column_backward)(
        int kind, void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *saved,
        Py_ssize_t lds, const void *parameter, bint shared, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*column_sums)(
        int kind, void *out, const void *dy, Py_ssize_t lddy, const void *saved, Py_ssize_t lds,
        Py_ssize_t rows, Py_ssize_t cols, bint accumulate) noexcept nogil
    void (*shared_sum)(
        int kind, void *out, const void *dy, Py_ssize_t lddy, const void *saved, Py_ssize_t lds,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*add)(
        void *out, Py_ssize_t ldo, const void *a, Py_ssize_t lda, const void *b, Py_ssize_t ldb,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*affine)(
        void *out, Py_ssize_t ldo, const void *x, Py_ssize_t ldx, double factor, double offset,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*copy_columns)(
        void *out, Py_ssize_t ldo, const void *x, Py_ssize_t ldx, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*normalize_rows)(
        void *y, Py_ssize_t ldy, void *normalized, Py_ssize_t ldn, double *factors,
        const void *x, Py_ssize_t ldx, const void *weight, const void *bias, bint centered,
        double epsilon, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*normalize_rows_backward)(
        void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *normalized,
        Py_ssize_t ldn, const double *factors, const void *weight, bint centered,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*batch_statistics)(
        void *statistics, Py_ssize_t lds, const void *x, Py_ssize_t ldx,
        const void *sample_weight, double epsilon, Py_ssize_t rows, Py_ssize_t begin,
        Py_ssize_t end) noexcept nogil
    void (*batch_load)(
        void *statistics, Py_ssize_t lds, const void *mean, const void *variance, double epsilon,
        Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    void (*batch_normalize)(
        void *y, Py_ssize_t ldy, void *normalized, Py_ssize_t ldn, const void *x, Py_ssize_t ldx,
        const void *statistics, Py_ssize_t lds, const void *weight, const void *bias,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
    void (*batch_sums)(
        void *sums, Py_ssize_t lds, const void *dy, Py_ssize_t lddy, const void *normalized,
        Py_ssize_t ldn, const void *sample_weight, Py_ssize_t rows, Py_ssize_t begin,
        Py_ssize_t end) noexcept nogil
    void (*batch_normalize_backward)(
        void *dx, Py_ssize_t lddx, const void *dy, Py_ssize_t lddy, const void *normalized,
        Py_ssize_t ldn, const void *statistics, Py_ssize_t lds, const void *sums, Py_ssize_t ldm,
        const void *weight, const void *sample_weight, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*batch_running)(
        void *mean, void *variance, const void *statistics, Py_ssize_t lds, double momentum,
        Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    void (*embedding_forward)(
        void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx, const void *table,
        Py_ssize_t ldt, Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil
    void (*embedding_sums)(
        void *gradient, Py_ssize_t ldg, char *used, const void *dy, Py_ssize_t lddy,
        const void *x, Py_ssize_t ldx, Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows,
        Py_ssize_t cols, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    void (*gradient_penalty)(
        void *gradient, const void *parameter, Py_ssize_t n, double l1, double l2) noexcept nogil
    void (*gradient_clip)(
        void *gradient, Py_ssize_t n, double limit) noexcept nogil
    void (*gradient_scale)(
        void *gradient, Py_ssize_t n, double factor) noexcept nogil
    void (*gradient_accumulate)(
        void *total, const void *gradient, Py_ssize_t n, double share, bint first) noexcept nogil
    void (*gradient_dot)(
        double *total, const void *a, const void *b, Py_ssize_t rows, Py_ssize_t width,
        Py_ssize_t columns) noexcept nogil
    void (*parameter_average)(
        void *average, const void *parameter, Py_ssize_t n, double share) noexcept nogil
    void (*parameter_max_norm)(
        void *panel, Py_ssize_t rows, Py_ssize_t width, double limit) noexcept nogil

ctypedef struct common_t:
    # Kernels that know no dtype.
    void (*optimizer_prepare)(
        int kind, double *prepared, const double *hyper, long long step) noexcept nogil
    double (*schedule_factor)(
        const double *numbers, long long step, long long epoch, long long rows) noexcept nogil
    void (*permutation)(
        long long *order, long long n, unsigned long long key, long long epoch) noexcept nogil
    void (*gather_labels)(
        int *out, const source_t *source, const long long *order, long long first,
        Py_ssize_t rows, long long classes) noexcept nogil
    long long (*find_bad_label)(const source_t *source, long long classes) noexcept nogil
    long long (*find_outside)(const source_t *source, double low, double high) noexcept nogil
    long long (*find_fraction)(const source_t *source) noexcept nogil
    void (*minus_log)(double *out, const double *p, Py_ssize_t n) noexcept nogil

cdef const kernels_t *typed_kernels(int dtype) noexcept nogil      # 0: float32, 1: float64
cdef const common_t *common_kernels() noexcept nogil
