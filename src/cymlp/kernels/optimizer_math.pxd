"""What the optimizers' updates are made of: element types, roots and powers."""
from cymlp.kernels.real cimport real

cdef extern from *:
    # The builtins become the instruction; <math.h> is a library call in places.
    float square_root_float "__builtin_sqrtf"(float) noexcept nogil
    double square_root_double "__builtin_sqrt"(double) noexcept nogil
    float absolute_float "__builtin_fabsf"(float) noexcept nogil
    double absolute_double "__builtin_fabs"(double) noexcept nogil


cdef extern from *:
    # A promise that nothing else points into the array. Without it every pair of
    # arrays is compared before a loop, and clang gives up where there are five.
    ctypedef float *float_array "float *__restrict"
    ctypedef double *double_array "double *__restrict"

# `array` goes along with `real`: Cython writes out only the pairs that are called.
ctypedef fused array:
    float_array
    double_array


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return square_root_float(x)
    else:
        return square_root_double(x)


cdef inline real absolute(real x) noexcept nogil:
    if real is float:
        return absolute_float(x)
    else:
        return absolute_double(x)


cdef inline real larger(real kept, real x) noexcept nogil:
    """The larger of the two; a NaN in either is kept.

    Two choices, because an `or` is a branch to the compiler and a loop with it would not become
    vector instructions.
    """
    cdef real chosen = kept if kept > x else x
    return kept if kept != kept else chosen


cdef inline double integer_power(double base, long long exponent) noexcept nogil:
    """base**exponent by squaring: pow of a C library differs from system to system."""
    cdef double power = 1.0
    while exponent > 0:
        if exponent & 1:
            power *= base
        base *= base
        exponent >>= 1
    return power
