/* The table of pointwise losses, each fused with its output activation: functions of the logit z
 * and the target t. Adding one is one row here (and its reference in Python).
 *
 * A row: name; the output activation that it contains; the name of the metric reported beside it;
 * the loss(z, t); its derivative by z. Formulas are of one type: write literals as integers.
 */
#ifndef CYMLP_LOSSES_H
#define CYMLP_LOSSES_H

#include <stddef.h>
#include "lanes.h"
#include "vmath.h"

#define LOSSES(ROW) \
    ROW(mean_squared_error, "identity", "mean_absolute_error", (z - t) * (z - t), 2 * (z - t)) \
    ROW(binary_cross_entropy, "sigmoid", "accuracy", \
        FMA(-z, t, z < 0 ? 0 : z) + LOG1P_UNIT(EXP_BOUNDED(-ABS(z))), SIGMOID(z) - t)

#define DEFINE_LOSS(name, output_activation, metric, loss, derivative) \
    DEFINE_LOSS_OF(name##_row_f32, float, loss, derivative) \
    DEFINE_LOSS_OF(name##_row_f64, double, loss, derivative)

/* The sum of a row's losses; gradient[c] = factor times the derivative, where it is not NULL. */
#define DEFINE_LOSS_OF(function, real, loss, derivative) \
    static double function(real *gradient, const real *logits, const real *target, ptrdiff_t n, \
                           real factor) { \
        double sum[LANES] = {0}; \
        real value[16 * LANES]; \
        for (ptrdiff_t begin = 0; begin < n; begin += 16 * LANES) { \
            const ptrdiff_t end = n - begin < 16 * LANES ? n : begin + 16 * LANES; \
            if (gradient) { \
                INDEPENDENT for (ptrdiff_t c = begin; c < end; c++) { \
                    const real z = logits[c], t = target[c]; \
                    value[c - begin] = loss; \
                    gradient[c] = factor * (derivative); \
                } \
            } else { \
                INDEPENDENT for (ptrdiff_t c = begin; c < end; c++) { \
                    const real z = logits[c], t = target[c]; \
                    value[c - begin] = loss; \
                } \
            } \
            if (n == 1) return value[0]; /* one output, the common case: nothing to add */ \
            const ptrdiff_t size = end - begin, whole = size - size % LANES; \
            for (ptrdiff_t c = 0; c < whole; c += LANES) EACH_LANE(i) sum[i] += value[c + i]; \
            for (ptrdiff_t c = whole; c < size; c++) sum[c - whole] += value[c]; \
        } \
        return sum_lanes_f64(from_array_f64(sum)); \
    }

LOSSES(DEFINE_LOSS)

struct loss {
    const char *name, *output_activation, *metric;
    double (*row_f32)(float *, const float *, const float *, ptrdiff_t, float);
    double (*row_f64)(double *, const double *, const double *, ptrdiff_t, double);
};

#define LOSS_ENTRY(name, output_activation, metric, loss, derivative) \
    {#name, output_activation, metric, name##_row_f32, name##_row_f64},

static const struct loss loss_table[] = {LOSSES(LOSS_ENTRY)};

#define LOSS_COUNT ((int)(sizeof loss_table / sizeof *loss_table))

#endif
