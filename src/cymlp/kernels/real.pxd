"""The element types that every kernel is built for."""

ctypedef fused real:
    float
    double
