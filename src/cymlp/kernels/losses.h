/* The table of pointwise losses, each fused with its output activation. Adding one is one row here
 * (with its reference and its specification in Python).
 *
 * A row of LOSSES: name; the output activation that it contains; the name of the metric reported
 * beside it; the parameters, PARAMETERS(name, default, ...) or NONE; the targets that it takes,
 * TARGETS(least, greatest, whether they are whole numbers); the loss as a function of the logit z
 * and the target t; its derivative by z. A row of PAIR_LOSSES has two outputs for each target,
 * z of the first half of the columns and v of the second, and two derivatives, by z and by v.
 *
 * Formulas are of one type: write literals as integers. P and Q are the parameters, which may
 * differ from column to column. A NaN must come through, in the derivative too.
 */
#ifndef CYMLP_LOSSES_H
#define CYMLP_LOSSES_H

#include <stddef.h>
#include "lanes.h"
#include "vmath.h"
#include "vmath_losses.h"

#define NONE {{"", 0}, {"", 0}}
#define PARAMETER(name, standard) {{name, standard}, {"", 0}}
#define PARAMETERS(first, first_standard, second, second_standard) \
    {{first, first_standard}, {second, second_standard}}
#define TARGETS(low, high, whole) low, high, whole
#define ANY TARGETS(-__builtin_inf(), __builtin_inf(), 0)
#define P parameters[c]
#define Q parameters[n + c]

#define LOSSES(ROW) \
    ROW(mean_squared_error, "identity", "mean_absolute_error", NONE, ANY, \
        (z - t) * (z - t), 2 * (z - t)) \
    ROW(binary_cross_entropy, "sigmoid", "accuracy", NONE, TARGETS(0, 1, 0), \
        FMA(-z, t, z < 0 ? 0 : z) + LOG1P_UNIT(EXP_BOUNDED(-ABS(z))), SIGMOID(z) - t) \
    ROW(weighted_binary_cross_entropy, "sigmoid", "accuracy", PARAMETER("pos_weight", 1), \
        TARGETS(0, 1, 0), FMA(P * t, LOG1P_EXP(-z), (1 - t) * LOG1P_EXP(z)), \
        FMA(1 - t, SIGMOID(z), -(P * t) * SIGMOID(-z))) \
    ROW(mean_absolute_error, "identity", "mean_absolute_error", NONE, ANY, \
        ABS(z - t), SIGN(z - t)) \
    ROW(huber_loss, "identity", "mean_absolute_error", PARAMETER("delta", 1), ANY, \
        HUBER(z - t, P), CLAMP(z - t, P)) \
    ROW(smooth_l1_loss, "identity", "mean_absolute_error", PARAMETER("beta", 1), ANY, \
        HUBER(z - t, P) / P, CLAMP(z - t, P) / P) \
    ROW(log_cosh_loss, "identity", "mean_absolute_error", NONE, ANY, \
        LOG_COSH(z - t), TANH(z - t)) \
    ROW(poisson_loss, "exp", "mean_absolute_error", NONE, TARGETS(0, __builtin_inf(), 0), \
        FMA(-t, z, EXP(z)), EXP(z) - t) \
    ROW(quantile_loss, "identity", "mean_absolute_error", PARAMETER("quantile", 0.5), ANY, \
        t > z ? P * (t - z) : (1 - P) * (z - t), z < t ? -P : z > t ? 1 - P : z - t) \
    ROW(hinge_loss, "identity", "accuracy", NONE, TARGETS(-1, 1, 1), \
        POSITIVE(1 - AT_SIDE(z, t)), SIGN(POSITIVE(1 - AT_SIDE(z, t))) * (t > 0 ? -1 : 1)) \
    ROW(squared_hinge_loss, "identity", "accuracy", NONE, TARGETS(-1, 1, 1), \
        POSITIVE(1 - AT_SIDE(z, t)) * POSITIVE(1 - AT_SIDE(z, t)), \
        POSITIVE(1 - AT_SIDE(z, t)) * (t > 0 ? -2 : 2)) \
    ROW(focal_loss, "sigmoid", "accuracy", PARAMETERS("gamma", 2, "alpha", 0.25), \
        TARGETS(0, 1, 1), (t > 0 ? Q : 1 - Q) * FOCAL(AT_SIDE(z, t), P), \
        (t > 0 ? Q : Q - 1) * FOCAL_SLOPE(AT_SIDE(z, t), P))

#define PAIR_LOSSES(ROW) \
    ROW(gaussian_loss, "mean_and_variance", "mean_absolute_error", NONE, ANY, \
        FMA((z - t) * (z - t), EXP(-v), v) / 2, (z - t) * EXP(-v), \
        (1 - (z - t) * (z - t) * EXP(-v)) / 2)

#define DEFINE_LOSS(name, output_activation, metric, names, targets, loss, derivative) \
    DEFINE_LOSS_OF(name##_row_f32, float, , loss, derivative, ) \
    DEFINE_LOSS_OF(name##_row_f64, double, , loss, derivative, )

#define DEFINE_PAIR_LOSS(name, output_activation, metric, names, targets, loss, first, second) \
    DEFINE_LOSS_OF(name##_row_f32, float, const real v = logits[n + c];, loss, first, \
                   other[c - begin] = factor * (second);) \
    DEFINE_LOSS_OF(name##_row_f64, double, const real v = logits[n + c];, loss, first, \
                   other[c - begin] = factor * (second);)

/* What becomes of the values: kept one by one, or added to a row's lanes. Once, not once for every
 * loss, to keep the code small. */
#define DEFINE_TAKE_VALUES(function, real) \
    static __attribute__((noinline)) void function(double *each, double *sum, \
                                                   const real *value, ptrdiff_t size) { \
        const ptrdiff_t whole = size - size % LANES; \
        if (each) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < size; c++) each[c] = value[c]; \
            return; \
        } \
        for (ptrdiff_t c = 0; c < whole; c += LANES) EACH_LANE(i) sum[i] += value[c + i]; \
        for (ptrdiff_t c = whole; c < size; c++) sum[c - whole] += value[c]; \
    }

DEFINE_TAKE_VALUES(take_values_f32, float)
DEFINE_TAKE_VALUES(take_values_f64, double)

/* The sum of the losses of n targets, or where `each` is not NULL the losses themselves, there; the
 * gradient is factor times the derivative, where it is not NULL. One loop for both keeps the code
 * small. */
#define DEFINE_LOSS_OF(function, real_type, more, loss, derivative, more_slopes) \
    static double function(real_type *gradient, const real_type *logits, \
                           const real_type *target, ptrdiff_t n, real_type factor, \
                           const real_type *parameters, double *each) { \
        typedef real_type real; \
        double sum[LANES] = {0}; \
        real value[16 * LANES], unused[16 * LANES]; \
        (void)parameters; \
        for (ptrdiff_t begin = 0; begin < n; begin += 16 * LANES) { \
            const ptrdiff_t end = n - begin < 16 * LANES ? n : begin + 16 * LANES; \
            real *slope = gradient ? gradient + begin : unused; \
            real *other = gradient ? gradient + n + begin : unused; \
            (void)other; \
            INDEPENDENT for (ptrdiff_t c = begin; c < end; c++) { \
                const real z = logits[c], t = target[c]; \
                more \
                const real one = loss, first_slope = factor * (derivative); \
                more_slopes \
                value[c - begin] = one; \
                slope[c - begin] = first_slope; \
            } \
            _Generic(value[0], float: take_values_f32, double: take_values_f64)( \
                each ? each + begin : NULL, sum, value, end - begin); \
        } \
        return sum_lanes_f64(from_array_f64(sum)); \
    }

LOSSES(DEFINE_LOSS)
PAIR_LOSSES(DEFINE_PAIR_LOSS)

struct loss_parameter {
    const char *name; /* "": none */
    double standard;
};

struct loss {
    const char *name, *output_activation, *metric;
    struct loss_parameter parameter[2];
    double low, high; /* of the targets */
    int whole, outputs; /* outputs: columns of logits for each target */
    double (*row_f32)(float *, const float *, const float *, ptrdiff_t, float, const float *,
                      double *);
    double (*row_f64)(double *, const double *, const double *, ptrdiff_t, double, const double *,
                      double *);
};

#define LOSS_ENTRY(name, output_activation, metric, names, targets, loss, derivative) \
    {#name, output_activation, metric, names, targets, 1, name##_row_f32, name##_row_f64},
#define PAIR_ENTRY(name, output_activation, metric, names, targets, loss, first, second) \
    {#name, output_activation, metric, names, targets, 2, name##_row_f32, name##_row_f64},

static const struct loss loss_table[] = {LOSSES(LOSS_ENTRY) PAIR_LOSSES(PAIR_ENTRY)};

#define LOSS_COUNT ((int)(sizeof loss_table / sizeof *loss_table))

#undef P
#undef Q
#endif
