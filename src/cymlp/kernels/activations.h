/* The table of pointwise activations. Adding one is one row here (and its reference in Python):
 * the loops for both element types, the kinds and the names expand from it.
 *
 * A row: name; what backward needs of forward, "output" or "input" (saved as s); the default
 * weight initializer; the name of the parameter p ("" for none) and its default;
 * y = forward(x, p); dx = backward(g, s, p), where g = dy. Formulas are of one type: write
 * literals as integers.
 */
#ifndef CYMLP_ACTIVATIONS_H
#define CYMLP_ACTIVATIONS_H

#include <stddef.h>
#include "lanes.h"
#include "vmath.h"
#include "vmath_gelu.h"
#include "vmath_pointwise.h"

/* Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks" (2017). A cast,
 * so that a formula stays of one type. */
#define SELU_SCALE ((real)1.0507009873554804934193349852946)
#define SELU_FLOOR ((real)(1.0507009873554804934193349852946 * 1.6732632423543772848170429916717))

/* The first row is the one that does nothing. A NaN passes relu and leaky_relu, and their gradient
 * where it was the input. The slope is not negative, so that the sign of leaky_relu's output is
 * that of its input. */
#define ACTIVATIONS(ROW) \
    ROW(identity, "output", "glorot_uniform", "", 0.0, x, g) \
    ROW(sigmoid, "output", "glorot_uniform", "", 0.0, SIGMOID(x), g * (s * (1 - s))) \
    ROW(tanh, "output", "glorot_uniform", "", 0.0, TANH(x), g * FMA(-s, s, 1)) \
    ROW(relu, "output", "he_uniform", "", 0.0, x < 0 ? 0 : x, s <= 0 ? 0 : g) \
    ROW(leaky_relu, "output", "he_uniform", "slope", 0.01, x > 0 ? x : x * p, s > 0 ? g : g * p) \
    ROW(silu, "input", "he_uniform", "", 0.0, x * SIGMOID(x), \
        g * (SIGMOID(s) * FMA(s, 1 - SIGMOID(s), 1))) \
    ROW(gelu, "input", "he_uniform", "", 0.0, GELU(x), g * GELU_SLOPE(s)) \
    ROW(gelu_tanh, "input", "he_uniform", "", 0.0, GELU_TANH(x), g * GELU_TANH_SLOPE(s)) \
    ROW(relu6, "output", "he_uniform", "", 0.0, x < 0 ? 0 : x > 6 ? 6 : x, \
        s <= 0 ? 0 : s >= 6 ? 0 : g) \
    ROW(elu, "output", "he_uniform", "alpha", 1.0, \
        x > 0 ? x : p * EXPM1_NEGATIVE(x > 0 ? 0 : x), s > 0 ? g : g * (s + p)) \
    ROW(celu, "output", "he_uniform", "alpha", 1.0, \
        x > 0 ? x : p * EXPM1_NEGATIVE(x > 0 ? 0 : x / p), s > 0 ? g : g * (s / p + 1)) \
    ROW(selu, "output", "lecun_normal", "", 0.0, \
        x > 0 ? SELU_SCALE * x : SELU_FLOOR * EXPM1_NEGATIVE(x > 0 ? 0 : x), \
        s > 0 ? g * SELU_SCALE : g * (s + SELU_FLOOR)) \
    ROW(mish, "input", "he_uniform", "", 0.0, MISH(x), g * MISH_SLOPE(s)) \
    ROW(softplus, "input", "he_uniform", "", 0.0, SOFTPLUS(x), g * SIGMOID(s)) \
    ROW(softsign, "input", "glorot_uniform", "", 0.0, x / (1 + ABS(x)), \
        g / ((1 + ABS(s)) * (1 + ABS(s)))) \
    ROW(hard_sigmoid, "input", "glorot_uniform", "", 0.0, \
        x < -3 ? 0 : x > 3 ? 1 : (x + 3) / 6, s <= -3 ? 0 : s >= 3 ? 0 : g / 6) \
    ROW(hard_tanh, "output", "glorot_uniform", "", 0.0, x < -1 ? -1 : x > 1 ? 1 : x, \
        s <= -1 ? 0 : s >= 1 ? 0 : g) \
    ROW(hard_swish, "input", "he_uniform", "", 0.0, \
        x < -3 ? 0 : x > 3 ? x : x * (x + 3) / 6, \
        s <= -3 ? 0 : s >= 3 ? g : g * (2 * s + 3) / 6) \
    ROW(log_sigmoid, "input", "glorot_uniform", "", 0.0, -SOFTPLUS(-x), g * SIGMOID(-s))

#define DEFINE_ROW_LOOPS(name, saves, initializer, parameter, standard, forward, backward) \
    DEFINE_ROW_LOOPS_OF(name##_forward_f32, name##_backward_f32, float, forward, backward) \
    DEFINE_ROW_LOOPS_OF(name##_forward_f64, name##_backward_f64, double, forward, backward)

#define DEFINE_ROW_LOOPS_OF(name_forward, name_backward, real_type, forward, backward) \
    static void name_forward(real_type *out, const real_type *in, ptrdiff_t n, real_type p) { \
        typedef real_type real; \
        (void)p; \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { \
            const real x = in[i]; \
            out[i] = forward; \
        } \
    } \
    static void name_backward(real_type *out, const real_type *in, const real_type *saved, \
                              ptrdiff_t n, real_type p) { \
        typedef real_type real; \
        (void)p; \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { \
            const real g = in[i], s = saved[i]; \
            (void)s; \
            out[i] = backward; \
        } \
    }

ACTIVATIONS(DEFINE_ROW_LOOPS)

struct activation {
    const char *name, *saves, *initializer, *parameter;
    double standard; /* default of the parameter */
    void (*forward_f32)(float *, const float *, ptrdiff_t, float);
    void (*forward_f64)(double *, const double *, ptrdiff_t, double);
    void (*backward_f32)(float *, const float *, const float *, ptrdiff_t, float);
    void (*backward_f64)(double *, const double *, const double *, ptrdiff_t, double);
};

#define TABLE_ENTRY(name, saves, initializer, parameter, standard, forward, backward) \
    {#name, saves, initializer, parameter, standard, \
     name##_forward_f32, name##_forward_f64, name##_backward_f32, name##_backward_f64},

static const struct activation activation_table[] = {ACTIVATIONS(TABLE_ENTRY)};

#define ACTIVATION_COUNT ((int)(sizeof activation_table / sizeof *activation_table))

#endif
