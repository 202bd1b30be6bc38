/* The table of layers that hold one learnable number p for each column. Adding one is one row here
 * (and its reference in Python).
 *
 * A row: name; y = forward(x, p); dx = backward(g, s, p) with g = dy and s what forward was given;
 * what a row of the batch adds to p's gradient, term(g, s). Formulas are of one type: write
 * literals as integers.
 */
#ifndef CYMLP_COLUMNS_H
#define CYMLP_COLUMNS_H

#include <stddef.h>
#include "lanes.h"

/* prelu: a NaN passes, as neither side of a comparison is true for it. */
#define COLUMN_LAYERS(ROW) \
    ROW(scale, x * p, g * p, g * s) \
    ROW(shift, x + p, g, g) \
    ROW(prelu, x > 0 ? x : x * p, s > 0 ? g : g * p, s > 0 ? 0 : g * s)

enum { COLUMN_BLOCK = 64, COLUMN_ROWS = 128 };  /* ROWS: as in the weight gradient, dense.pyx */

#define DEFINE_COLUMN_LAYER(name, forward, backward, term) \
    DEFINE_COLUMN_LAYER_OF(name, f32, float, forward, backward, term) \
    DEFINE_COLUMN_LAYER_OF(name, f64, double, forward, backward, term)

#define DEFINE_COLUMN_LAYER_OF(name, suffix, real, forward, backward, term) \
    static void name##_forward_##suffix(real *y, const real *in, const real *parameter, \
                                        ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) { \
            const real x = in[c], p = parameter[c]; \
            y[c] = forward; \
        } \
    } \
    static void name##_backward_##suffix(real *dx, const real *dy, const real *saved, \
                                         const real *parameter, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) { \
            const real g = dy[c], s = saved[c], p = parameter[c]; \
            (void)s; \
            (void)p; \
            dx[c] = backward; \
        } \
    } \
    /* out[c] (+)= the sum of the terms over the rows, of at most COLUMN_BLOCK columns: chains of \
     * COLUMN_ROWS rows, added in order. */ \
    static void name##_sums_##suffix(real *out, const real *dy, ptrdiff_t ldg, \
                                     const real *saved, ptrdiff_t lds, ptrdiff_t rows, \
                                     ptrdiff_t n, int accumulate) { \
        for (ptrdiff_t begin = 0; begin < rows || begin == 0; begin += COLUMN_ROWS) { \
            const ptrdiff_t end = rows - begin < COLUMN_ROWS ? rows : begin + COLUMN_ROWS; \
            real sum[COLUMN_BLOCK] = {0}; \
            for (ptrdiff_t r = begin; r < end; r++) { \
                INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) { \
                    const real g = dy[r * ldg + c], s = saved[r * lds + c]; \
                    (void)s; \
                    sum[c] += term; \
                } \
            } \
            if (accumulate || begin > 0) \
                for (ptrdiff_t c = 0; c < n; c++) out[c] += sum[c]; \
            else \
                for (ptrdiff_t c = 0; c < n; c++) out[c] = sum[c]; \
        } \
    }

COLUMN_LAYERS(DEFINE_COLUMN_LAYER)

struct column_layer {
    const char *name;
    void (*forward_f32)(float *, const float *, const float *, ptrdiff_t);
    void (*forward_f64)(double *, const double *, const double *, ptrdiff_t);
    void (*backward_f32)(float *, const float *, const float *, const float *, ptrdiff_t);
    void (*backward_f64)(double *, const double *, const double *, const double *, ptrdiff_t);
    void (*sums_f32)(float *, const float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t,
                     ptrdiff_t, int);
    void (*sums_f64)(double *, const double *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                     ptrdiff_t, int);
};

#define COLUMN_ENTRY(name, forward, backward, term) \
    {#name, name##_forward_f32, name##_forward_f64, name##_backward_f32, name##_backward_f64, \
     name##_sums_f32, name##_sums_f64},

static const struct column_layer column_table[] = {COLUMN_LAYERS(COLUMN_ENTRY)};

#define COLUMN_LAYER_COUNT ((int)(sizeof column_table / sizeof *column_table))

#define DEFINE_PLAIN_ROWS(suffix, real) \
    LANES_INLINE void row_add_##suffix(real *out, const real *a, const real *b, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) out[c] = a[c] + b[c]; \
    } \
    LANES_INLINE void row_affine_##suffix(real *out, const real *x, ptrdiff_t n, real factor, \
                                          real offset) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) out[c] = FMA(x[c], factor, offset); \
    }

DEFINE_PLAIN_ROWS(f32, float)
DEFINE_PLAIN_ROWS(f64, double)

#endif
