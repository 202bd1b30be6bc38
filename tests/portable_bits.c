/* Prints a checksum of what the headers of the kernels compute, for test_portable.py: compiled for
   several machines, and with several compilers, it must print the same. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "activations.h"
#include "arithmetic.h"
#include "gemm_few.h"
#include "gemm_sparse.h"
#include "gemm_tile.h"
#include "losses.h"
#include "narrow.h"

enum { ROWS = 6, MANY = 57, COLUMNS = 64, DEPTH = 333, POINTS = 4096, SHORT = 48 };

static uint32_t state = 1;

/* Numbers of all sizes that matter: a sign, an exponent of -30 ... 7, 23 random bits. */
static double draw(void)
{
    state = state * 1664525u + 1013904223u;
    const double fraction = 1 + (state >> 9) * 0x1p-23;
    state = state * 1664525u + 1013904223u;
    const int exponent = (int)(state >> 24) % 38 - 30;
    return (state & 0x800000u ? -fraction : fraction) * (exponent < 0 ? 1.0 / (1u << -exponent)
                                                                      : (double)(1u << exponent));
}

/* What some of the numbers are multiplied with: results below the least normal number are asked for
   by a second pass. */
static double scale_f32 = 1, scale_f64 = 1;

static void report(const char *name, const void *data, size_t size)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    printf("%s %016llx\n", name, (unsigned long long)hash);
}

#define CHECK(S, T)                                                                                \
    static void check_##S(void)                                                                    \
    {                                                                                              \
        static T a[ROWS * DEPTH], b[DEPTH * COLUMNS], c[ROWS * COLUMNS], bias[COLUMNS];            \
        static T gate[ROWS * COLUMNS], turned[DEPTH * ROWS], packed[ROWS * DEPTH];                 \
        static T x[POINTS], s[POINTS], y[POINTS];                                                  \
        enum { PANEL = PANEL_BYTES / sizeof(T) };                                                  \
        const int step = TILE_VECTORS * VEC_LANES_##S;                                             \
        for (int i = 0; i < ROWS * DEPTH; i++) a[i] = (T)(scale_##S * draw());                     \
        for (int i = 0; i < DEPTH * COLUMNS; i++) b[i] = (T)draw();                                \
        for (int i = 0; i < COLUMNS; i++) bias[i] = (T)(scale_##S * draw());                       \
        for (int i = 0; i < ROWS * COLUMNS; i++) gate[i] = (T)(scale_##S * draw());                \
        for (int i = 0; i < ROWS * DEPTH; i++) turned[i] = a[i % ROWS * DEPTH + i / ROWS];         \
        for (int i = 0; i < 3 * ROWS; i++) { /* every layout of the left operand, every height */  \
            const int left = i / ROWS, rows = i % ROWS + 1;                                        \
            const T *const lefts[] = {[BY_ROWS] = a, [BY_COLUMNS] = turned, [PACKED] = packed};    \
            gemm_pack_##S(rows, DEPTH, packed, a, DEPTH, 1);                                       \
            for (int j = 0; j < COLUMNS; j += step) /* b in panels */                              \
                gemm_column_##S(rows, TILE_VECTORS, DEPTH, lefts[left],                            \
                                left == BY_ROWS ? DEPTH : ROWS, left,                              \
                                b + j / PANEL * PANEL * DEPTH + j % PANEL, PANEL, PANEL * DEPTH,   \
                                c + j, COLUMNS, PANEL, rows > 1, bias + j, rows % 2,               \
                                rows % 3 ? NULL : gate + j, COLUMNS, NULL, &soon_nothing);         \
            report("tile " #S, c, sizeof c);                                                       \
        }                                                                                          \
        static T other[ROWS * COLUMNS], between[ROWS * COLUMNS];                                   \
        static turn_t lists[(ROWS / PAIR + 1) * (DEPTH + BITS) * 2];                               \
        for (int i = 0; i < ROWS * DEPTH; i++) a[i] = draw() < 0 ? a[i] : 0;                       \
        for (int rows = 1; rows <= ROWS; rows++) { /* the same with zeros left out */              \
            const ptrdiff_t section = section_of(DEPTH, SPARSE_PANELS);                            \
            const ptrdiff_t turns = sparse_lists_##S(rows, DEPTH, section, a, DEPTH, lists);       \
            memcpy(other, c, sizeof c);                                                            \
            for (int j = 0; j < COLUMNS; j += step)                                                \
                gemm_column_##S(rows, TILE_VECTORS, DEPTH, a, DEPTH, BY_ROWS,                      \
                                b + j / PANEL * PANEL * DEPTH + j % PANEL, PANEL, PANEL * DEPTH,   \
                                other + j, COLUMNS, PANEL, rows > 1, rows % 2 ? bias + j : NULL,   \
                                rows % 2, rows % 3 ? NULL : gate + j, COLUMNS, NULL,               \
                                &soon_nothing);                                                    \
            for (int j = 0, panels; j < COLUMNS; j += panels * PANEL) {                            \
                panels = COLUMNS / PANEL - j / PANEL;                                              \
                panels = panels < SPARSE_PANELS ? panels : SPARSE_PANELS;                          \
                gemm_sparse_##S(rows, panels, DEPTH, section, lists, turns, between, a, DEPTH,     \
                                b + j * DEPTH, PANEL, PANEL * DEPTH, c + j, COLUMNS, PANEL,        \
                                rows > 1, rows % 2 ? bias + j : NULL, rows % 2,                    \
                                rows % 3 ? NULL : gate + j, COLUMNS, rows % 2, NULL,               \
                                &soon_nothing);                                                    \
            }                                                                                      \
            report(memcmp(other, c, sizeof c) ? "sparse differs " #S : "sparse " #S, c, sizeof c); \
        }                                                                                          \
        static T many[MANY * DEPTH], few[MANY * PANEL], tiled[MANY * PANEL], shut[MANY * PANEL];   \
        for (int i = 0; i < MANY * DEPTH; i++) many[i] = (T)(scale_##S * draw());                  \
        for (int i = 0; i < MANY * PANEL; i++) shut[i] = (T)draw();                                \
        for (int columns = 1; columns < PANEL; columns++) { /* few of them */                      \
            const int vectors = (columns + VEC_LANES_##S - 1) / VEC_LANES_##S;                     \
            const int accumulate = columns % 4 > 1, relu = columns % 2;                            \
            const T *const more = columns % 5 ? bias : NULL;                                       \
            const T *const gates = columns % 3 ? NULL : shut;                                      \
            gemm_column_##S(MANY, vectors, DEPTH, many, DEPTH, BY_ROWS, b, PANEL, PANEL * DEPTH,   \
                            tiled, PANEL, PANEL, accumulate, more, relu, gates, PANEL, NULL,       \
                            &soon_nothing);                                                        \
            const ptrdiff_t done = gemm_few_##S(MANY, columns, DEPTH, many, DEPTH, b, few, PANEL,  \
                                                accumulate, more, relu, gates, PANEL);             \
            memcpy(few + done * PANEL, tiled + done * PANEL, (MANY - done) * PANEL * sizeof(T));   \
            for (int i = 0; i < MANY * PANEL; i++)                                                 \
                if (i % PANEL >= columns) few[i] = tiled[i] = 0;                                   \
            const int same = memcmp(few, tiled, sizeof few) == 0;                                  \
            report(same ? "few " #S : "few differs " #S, few, sizeof few);                         \
        }                                                                                          \
        static T rows[SHORT * NARROW_COLUMNS];                                                     \
        T ones[LANES], most[LANES], total[LANES];                                                  \
        for (int i = 0; i < LANES; i++) ones[i] = 1;                                               \
        for (int columns = 1; columns <= NARROW_COLUMNS; columns++) { /* softmax of short rows */  \
            const ptrdiff_t block = VEC_LANES_##S, ldx = columns % 4 ? columns : NARROW_COLUMNS;   \
            for (int i = 0; i < SHORT * NARROW_COLUMNS; i++) rows[i] = (T)(scale_##S * draw());    \
            for (ptrdiff_t i = 0; i < SHORT; i += block)                                           \
                narrow_softmax_##S(rows + i * ldx, ldx, rows + i * ldx, ldx, columns, ones, most,  \
                                   total);                                                         \
            report("softmax " #S, rows, sizeof rows);                                              \
        }                                                                                          \
        for (int i = 0; i < POINTS; i++) {                                                         \
            x[i] = (T)(scale_##S * draw());                                                        \
            s[i] = (T)draw();                                                                      \
        }                                                                                          \
        for (int k = 0; k < ACTIVATION_COUNT; k++) {                                               \
            activation_table[k].forward_##S(y, x, POINTS, (T)0.125);                               \
            report(activation_table[k].name, y, sizeof y);                                         \
            activation_table[k].backward_##S(y, x, s, POINTS, (T)0.125);                           \
            report(activation_table[k].name, y, sizeof y);                                         \
        }                                                                                          \
        for (int i = 0; i < POINTS; i++) s[i] = s[i] < 0 ? 0 : 1;                                  \
        static T settings[2 * POINTS];                                                             \
        for (int i = 0; i < 2 * POINTS; i++) settings[i] = (T)0.375;                               \
        for (int k = 0; k < LOSS_COUNT; k++) {                                                     \
            const int targets = (POINTS - 5) / loss_table[k].outputs;                              \
            const double loss =                                                                    \
                loss_table[k].row_##S(y, x, s, targets, (T)0.5, settings, NULL);                   \
            report(loss_table[k].name, &loss, sizeof loss);                                        \
            report(loss_table[k].name, y, sizeof y);                                               \
        }                                                                                          \
    }

CHECK(f32, float)
CHECK(f64, double)

int main(void)
{
    check_f32();
    check_f64();
    arithmetic_of_networks();
    scale_f32 = 0x1p-120;
    scale_f64 = 0x1p-1016;
    check_f32();
    check_f64();
    return 0;
}
