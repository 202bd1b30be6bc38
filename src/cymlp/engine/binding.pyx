"""Takes the kernels' addresses from the modules of the level in use.

Cython publishes every function of a module's .pxd in its ``__pyx_capi__``, in a capsule whose name
is the function's signature; the two dtypes of a fused function as ``__pyx_fuse_0NAME`` and
``__pyx_fuse_1NAME``.
"""
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

from cymlp import kernels as levels

cdef kernels_t kernels[2]
cdef common_t common


cdef const kernels_t *typed_kernels(int dtype) noexcept nogil:
    return &kernels[dtype]


cdef const common_t *common_kernels() noexcept nogil:
    return &common


cdef void *address(str module, str name) except NULL:
    capsule = levels.module(module).__pyx_capi__[name]
    return PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


cdef void *typed(str module, str name, int dtype) except NULL:
    return address(module, f"__pyx_fuse_{dtype}{name}")


cdef int bind() except -1:
    cdef int dtype
    cdef kernels_t *k
    for dtype in range(2):
        k = &kernels[dtype]
        (<void **>&k.dense_forward)[0] = typed("dense", "dense_forward", dtype)
        (<void **>&k.turn_rows)[0] = typed("dense", "turn_rows", dtype)
        (<void **>&k.dense_turned)[0] = typed("dense", "dense_turned", dtype)
        (<void **>&k.dense_backward_input)[0] = typed("dense", "dense_backward_input", dtype)
        (<void **>&k.dense_backward_weight)[0] = typed("dense", "dense_backward_weight", dtype)
        (<void **>&k.dense_backward_bias)[0] = typed("dense", "dense_backward_bias", dtype)
        (<void **>&k.all_finite)[0] = typed("dense", "all_finite", dtype)
        (<void **>&k.pack_panels)[0] = typed("dense", "pack_panels", dtype)
        (<void **>&k.unpack_panels)[0] = typed("dense", "unpack_panels", dtype)
        (<void **>&k.activation_forward)[0] = typed("activations", "activation_forward", dtype)
        (<void **>&k.activation_backward)[0] = typed("activations", "activation_backward", dtype)
        (<void **>&k.exponential)[0] = typed("activations", "exponential", dtype)
        (<void **>&k.softmax_forward)[0] = typed("activations", "softmax_forward", dtype)
        (<void **>&k.softmax_backward)[0] = typed("activations", "softmax_backward", dtype)
        (<void **>&k.log_softmax_forward)[0] = typed("activations", "log_softmax_forward", dtype)
        (<void **>&k.log_softmax_backward)[0] = typed(
            "activations", "log_softmax_backward", dtype)
        (<void **>&k.pointwise_loss)[0] = typed("losses", "pointwise_loss", dtype)
        (<void **>&k.softmax_cross_entropy_labels)[0] = typed(
            "losses", "softmax_cross_entropy_labels", dtype)
        (<void **>&k.softmax_cross_entropy_dense)[0] = typed(
            "losses", "softmax_cross_entropy_dense", dtype)
        (<void **>&k.softmax_cross_entropy_weighted)[0] = typed(
            "losses", "softmax_cross_entropy_weighted", dtype)
        (<void **>&k.kullback_leibler)[0] = typed("losses", "kullback_leibler", dtype)
        (<void **>&k.correct_labels)[0] = typed("losses", "correct_labels", dtype)
        (<void **>&k.correct_dense)[0] = typed("losses", "correct_dense", dtype)
        (<void **>&k.correct_binary)[0] = typed("losses", "correct_binary", dtype)
        (<void **>&k.absolute_error)[0] = typed("losses", "absolute_error", dtype)
        (<void **>&k.optimizer_update)[0] = typed("optimizers", "optimizer_update", dtype)
        (<void **>&k.dropout)[0] = typed("rng", "dropout", dtype)
        (<void **>&k.gather_rows)[0] = typed("data", "gather_rows", dtype)
        (<void **>&k.scatter_rows)[0] = typed("data", "scatter_rows", dtype)
        (<void **>&k.glu_forward)[0] = typed("activations", "glu_forward", dtype)
        (<void **>&k.glu_backward)[0] = typed("activations", "glu_backward", dtype)
        (<void **>&k.column_forward)[0] = typed("columns", "column_forward", dtype)
        (<void **>&k.column_backward)[0] = typed("columns", "column_backward", dtype)
        (<void **>&k.column_sums)[0] = typed("columns", "column_sums", dtype)
        (<void **>&k.shared_sum)[0] = typed("columns", "shared_sum", dtype)
        (<void **>&k.add)[0] = typed("columns", "add", dtype)
        (<void **>&k.affine)[0] = typed("columns", "affine", dtype)
        (<void **>&k.copy_columns)[0] = typed("columns", "copy_columns", dtype)
        (<void **>&k.normalize_rows)[0] = typed("normalization", "normalize_rows", dtype)
        (<void **>&k.normalize_rows_backward)[0] = typed(
            "normalization", "normalize_rows_backward", dtype)
        (<void **>&k.batch_statistics)[0] = typed("normalization", "batch_statistics", dtype)
        (<void **>&k.batch_load)[0] = typed("normalization", "batch_load", dtype)
        (<void **>&k.batch_normalize)[0] = typed("normalization", "batch_normalize", dtype)
        (<void **>&k.batch_sums)[0] = typed("normalization", "batch_sums", dtype)
        (<void **>&k.batch_normalize_backward)[0] = typed(
            "normalization", "batch_normalize_backward", dtype)
        (<void **>&k.batch_running)[0] = typed("normalization", "batch_running", dtype)
        (<void **>&k.embedding_forward)[0] = typed("embedding", "embedding_forward", dtype)
        (<void **>&k.embedding_sums)[0] = typed("embedding", "embedding_sums", dtype)
        (<void **>&k.gradient_penalty)[0] = typed("gradients", "gradient_penalty", dtype)
        (<void **>&k.gradient_clip)[0] = typed("gradients", "gradient_clip", dtype)
        (<void **>&k.gradient_scale)[0] = typed("gradients", "gradient_scale", dtype)
        (<void **>&k.gradient_accumulate)[0] = typed("gradients", "gradient_accumulate", dtype)
        (<void **>&k.gradient_dot)[0] = typed("gradients", "gradient_dot", dtype)
        (<void **>&k.parameter_average)[0] = typed("gradients", "parameter_average", dtype)
        (<void **>&k.parameter_max_norm)[0] = typed("gradients", "parameter_max_norm", dtype)
    (<void **>&common.optimizer_prepare)[0] = address("optimizers", "optimizer_prepare")
    (<void **>&common.schedule_factor)[0] = address("schedules", "schedule_factor")
    (<void **>&common.permutation)[0] = address("rng", "permutation")
    (<void **>&common.gather_labels)[0] = address("data", "gather_labels")
    (<void **>&common.find_bad_label)[0] = address("data", "find_bad_label")
    (<void **>&common.find_outside)[0] = address("data", "find_outside")
    (<void **>&common.find_fraction)[0] = address("data", "find_fraction")
    (<void **>&common.minus_log)[0] = address("losses", "minus_log")
    return 0


bind()
