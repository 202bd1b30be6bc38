/* The tile of a matrix product: up to 6 rows by TILE_VECTORS vectors of accumulators, or up to
   TALL_ROWS rows by one vector, or by half a one: 6 chains alone would wait for each other.

       c[i, j] (+)= sum over p < k of a[i, p] * b[p, j]   (+ bias[j], then relu or its gradient)

   a[i, p] stands at a[i * lda + p] (BY_ROWS), at a[p * lda + i] (BY_COLUMNS), or where gemm_pack
   has put it (PACKED); row p of b at b + p * b_k (BY_ROWS: a panel's rows follow each other), row i
   of c at c + i * ldc. Where a vector fills a whole panel (AVX-512), the next one of b stands b_panel
   further, and the next one of c c_panel; elsewhere a tile lies within a panel, whose columns follow
   each other. Every output is one chain of fused multiply-adds over p in increasing order that
   starts at zero; then what c holds is added to it (`accumulate`), then the bias. That order is the
   contract that makes the bits equal on every instruction-set level and for every way of cutting the
   work. At the end, with `relu`, what is below zero becomes zero; with a `gate`, in rows of ldg, what
   stands where the gate is not above zero (relu's gradient, by its output).

   While it works a tile brings near some lines of what comes next (`soon`).

   A single row has too few chains of its own to keep a processor busy: row_tile takes up to
   ROW_VECTORS vectors, of as many panels as they fill.

   rows and vectors are constants in each variant and every loop over the accumulators is unrolled
   whole: otherwise the compiler keeps them in memory, at less than half the speed. */
#ifndef CYMLP_GEMM_TILE_H
#define CYMLP_GEMM_TILE_H

#include "soon.h"
#include "vec.h"

#define TILE_ROWS 6
#define ROW_VECTORS 8
#define ROW_PANELS (ROW_VECTORS * VEC_BYTES / PANEL_BYTES)
#define AHEAD_PANELS (ROW_PANELS < 4 ? ROW_PANELS : 4)
#define AHEAD_BYTES 2048
/* A block of rows of this size is copied together before tiles walk down its columns, a page in
   every few turns: each tile's width reads it again, and those of AVX-512 are four times as wide. */
#define FAR_BYTES (VEC_BYTES == 64 ? 256 << 10 : 96 << 10)
#define LONG_CHAIN 64 /* from here on a tile takes long enough to bring what comes next */
#define LONGER_CHAIN 256 /* and to have its results fetched (from 64 on: 1.01) */
#define TALL_ROWS 12
#define TALL_VARIANTS(S, V) TILE_CASE(S, 7, V) TILE_CASE(S, 8, V) TILE_CASE(S, 9, V)               \
    TILE_CASE(S, 10, V) TILE_CASE(S, 11, V) TILE_CASE(S, 12, V)
#define PANEL_VECTORS (PANEL_BYTES / VEC_BYTES)
/* Where vector v of a row stands, whose panels lie so far apart. */
#define IN_PANELS(v, lanes, panel) ((v) / PANEL_VECTORS * (panel) + (v) % PANEL_VECTORS * (lanes))
#define PANELS_OF(vectors) (VEC_BYTES == PANEL_BYTES && (vectors) > 1 ? (vectors) : 1)
#define UNROLL _Pragma("GCC unroll 16")
#define TILE_INLINE static inline __attribute__((always_inline))

/* How the left operand lies. */
enum { BY_ROWS, BY_COLUMNS, PACKED };

/* How many tiles some rows are cut in, and the next of so many even parts: 32 rows are cut as 6, 6,
   5, 5, 5, 5, for a last tile of two rows would waste its registers. */
static inline ptrdiff_t tiles_of(ptrdiff_t rows, int most) { return (rows + most - 1) / most; }
static inline ptrdiff_t even_part(ptrdiff_t left, ptrdiff_t parts)
{
    return (left + parts - 1) / parts;
}

/* The loop of a tile: in each turn a column of the left operand times a row of the right one, and
   after every few turns some lines are brought. It is written for one layout of the operands:
   strides that are constants save registers and additions, in whose place Intel's processors could
   do a multiply-add, and for the same reason it goes two turns at a time (512 inputs, rows copied
   together: from 75 to 86 % of the peak there). */
#define TURNS(S, A_ROW, A_K, B_K)                                                                  \
    for (ptrdiff_t rest = k, turns; rest > 0; rest -= turns) {                                     \
        turns = rest < every ? rest : every;                                                       \
        _Pragma("GCC unroll 2")                                                                    \
        for (ptrdiff_t turn = turns; turn > 0; turn--, a += A_K, b += B_K) {                       \
            vec_##S right[TILE_VECTORS];                                                           \
            UNROLL for (int v = 0; v < vectors; v++)                                               \
                right[v] = vec_load_##S(b + IN_PANELS(v, VEC_LANES_##S, b_panel));                 \
            UNROLL for (int i = 0; i < rows; i++) {                                                \
                const vec_##S left = vec_set_##S(a[i * (A_ROW)]);                                  \
                UNROLL for (int v = 0; v < vectors; v++)                                           \
                    sum[i][v] = vec_fma_##S(left, right[v], sum[i][v]);                            \
            }                                                                                      \
        }                                                                                          \
        if (line) line = soon_bring(soon, line);                                                   \
    }

/* What becomes of a tile's sums. A sum of negative products that are too small for a number is -0,
   and 0 if a term of 0 follows. So that such terms may be left out (gemm_sparse.h), 0 is added to the
   sum, or to the bias, where that makes no difference any more. */
#define RESULTS(S, T)                                                                              \
    UNROLL for (int v = 0; v < vectors; v++) {                                                     \
        const ptrdiff_t column = v * VEC_LANES_##S;                                                \
        T *out = c + IN_PANELS(v, VEC_LANES_##S, c_panel);                                         \
        if (accumulate)                                                                            \
            UNROLL for (int i = 0; i < rows; i++)                                                  \
                sum[i][v] = vec_load_##S(out + i * ldc) + sum[i][v];                               \
        else if (!bias)                                                                            \
            UNROLL for (int i = 0; i < rows; i++) sum[i][v] = sum[i][v] + vec_set_##S(0);          \
        if (bias) {                                                                                \
            const vec_##S more = vec_load_##S(bias + column) + vec_set_##S(0);                     \
            UNROLL for (int i = 0; i < rows; i++) sum[i][v] = sum[i][v] + more;                    \
        }                                                                                          \
        if (relu)                                                                                  \
            UNROLL for (int i = 0; i < rows; i++) sum[i][v] = vec_relu_##S(sum[i][v]);             \
        if (gate)                                                                                  \
            UNROLL for (int i = 0; i < rows; i++)                                                  \
                sum[i][v] = vec_gate_##S(sum[i][v], vec_load_##S(gate + i * ldg + column));        \
        UNROLL for (int i = 0; i < rows; i++) vec_store_##S(out + i * ldc, sum[i][v]);             \
    }

#define DEFINE_TILE(S, T)                                                                          \
    TILE_INLINE void tile_##S(const int rows, const int vectors, ptrdiff_t k, const T *a,          \
                              ptrdiff_t lda, int by_rows, const T *b, ptrdiff_t b_k,               \
                              ptrdiff_t b_panel, T *c, ptrdiff_t ldc, ptrdiff_t c_panel,           \
                              int accumulate, const T *bias, int relu, const T *gate,              \
                              ptrdiff_t ldg, const soon_t *soon)                                   \
    {                                                                                              \
        const char *line = soon->line;                                                             \
        const ptrdiff_t every = soon->every;                                                       \
        vec_##S sum[TALL_ROWS][TILE_VECTORS];                                                      \
        if (k >= LONGER_CHAIN)                                                                     \
            UNROLL for (int v = 0; v < vectors; v += PANEL_BYTES / VEC_BYTES)                      \
                UNROLL for (int i = 0; i < rows; i++)                                              \
                    __builtin_prefetch(c + i * ldc + IN_PANELS(v, VEC_LANES_##S, c_panel), 1);     \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
            UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = vec_set_##S(0);                   \
        if (by_rows)                                                                               \
            TURNS(S, lda, 1, PANEL_BYTES / (ptrdiff_t)sizeof(T))                                   \
        else                                                                                       \
            TURNS(S, 1, lda, b_k)                                                                  \
        RESULTS(S, T)                                                                              \
    }

#define DEFINE_COLUMN(S, H, T)                                                                     \
    /* All rows of c past some vectors of b (0: half a one), in tiles of even height. `next` is    \
     * the panel that comes next (NULL: none); without one the tiles bring what the caller says,   \
     * and he goes on. */                                                                          \
    static void gemm_column_##S(ptrdiff_t rows, int vectors, ptrdiff_t k, const T *a,              \
                                ptrdiff_t lda, int left, const T *b, ptrdiff_t b_k,                \
                                ptrdiff_t b_panel, T *c, ptrdiff_t ldc, ptrdiff_t c_panel,         \
                                int accumulate, const T *bias, int relu, const T *gate,            \
                                ptrdiff_t ldg, const T *next, soon_t *later)                       \
    {                                                                                              \
        ptrdiff_t tiles = tiles_of(rows, vectors < 2 && left != PACKED ? TALL_ROWS : TILE_ROWS);   \
        const int streams = b_k == PANEL_BYTES / sizeof(T);                                        \
        soon_t panels, *soon = later;                                                              \
        if (next && tiles && k >= LONG_CHAIN) {                                                    \
            panels = streams                                                                       \
                ? soon_runs(next, k, b_panel * (ptrdiff_t)sizeof(T), PANELS_OF(vectors), tiles, k, \
                            0, 0)                                                                  \
                : soon_rows(next, b_k * (ptrdiff_t)sizeof(T), k, PANELS_OF(vectors) > 1, tiles);   \
            soon = &panels;                                                                        \
        }                                                                                          \
        for (; tiles; tiles--) {                                                                   \
            const int height = (int)even_part(rows, tiles);                                        \
            const ptrdiff_t step = left == PACKED ? height : lda;                                  \
            switch (height * 8 + vectors) {                                                        \
                TILE_VARIANTS(S, 1) TILE_VARIANTS(S, 2) TILE_VARIANTS(S, 3)                        \
                TILE_VARIANTS(S, 4) TILE_VARIANTS(S, 5) TILE_VARIANTS(S, 6)                        \
                TALL_VARIANTS(S, 1)                                                                \
                HALF_VARIANTS(H)                                                                   \
            }                                                                                      \
            a += height * (left == PACKED ? k : left == BY_ROWS ? lda : 1);                        \
            c += height * ldc;                                                                     \
            if (gate) gate += height * ldg;                                                        \
            if (soon->runs) soon_on(soon);                                                         \
            if (!soon->runs) soon = later;                                                         \
            rows -= height;                                                                        \
        }                                                                                          \
    }

#define DEFINE_BLANK(S, H, T)                                                                      \
    /* Zeros in some narrow vectors of each row of c; in a loop over them the compiler would call  \
     * memset for each row. */                                                                     \
    static void gemm_blank_##S(ptrdiff_t rows, int vectors, T *c, ptrdiff_t ldc)                   \
    {                                                                                              \
        const vec_##H zero = vec_set_##H(0);                                                       \
        for (ptrdiff_t i = 0; i < rows; i++, c += ldc) {                                           \
            vec_store_##H(c, zero);                                                                \
            if (vectors > 1) vec_store_##H(c + VEC_LANES_##H, zero);                               \
            if (vectors > 2) vec_store_##H(c + 2 * VEC_LANES_##H, zero);                           \
        }                                                                                          \
    }

#define ROW_RESULTS(S, T)                                                                          \
    UNROLL for (int v = 0; v < vectors; v++) {                                                     \
        T *out = c + v * VEC_LANES_##S;                                                            \
        sum[v] = (accumulate ? vec_load_##S(out) : vec_set_##S(0)) + sum[v];                       \
        if (bias) sum[v] = sum[v] + vec_load_##S(bias + v * VEC_LANES_##S);                        \
        vec_store_##S(out, relu ? vec_relu_##S(sum[v]) : sum[v]);                                  \
    }

#define DEFINE_ROW_TILE(S, T)                                                                      \
    TILE_INLINE void row_##S(const int vectors, const int ahead, ptrdiff_t k, const T *a,          \
                             const T *b, ptrdiff_t b_panel, T *c, int accumulate, const T *bias,   \
                             int relu)                                                             \
    {                                                                                              \
        vec_##S sum[ROW_VECTORS];                                                                  \
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_set_##S(0);                          \
        for (ptrdiff_t p = 0; p < k; p++, b += PANEL_BYTES / sizeof(T)) {                          \
            const vec_##S left = vec_set_##S(a[p]);                                                \
            UNROLL for (int v = 0; ahead && v < vectors; v += PANEL_VECTORS)                       \
                __builtin_prefetch((const char *)(b + v / PANEL_VECTORS * b_panel) + AHEAD_BYTES,  \
                                   0, 2);                                                          \
            UNROLL for (int v = 0; v < vectors; v++)                                               \
                sum[v] = vec_fma_##S(left, vec_load_##S(b + IN_PANELS(v, VEC_LANES_##S, b_panel)), \
                                     sum[v]);                                                      \
        }                                                                                          \
        ROW_RESULTS(S, T)                                                                          \
    }                                                                                              \
    /* c (+)= a b + bias for one row and some panels of b, at most ROW_PANELS. `ahead` asks for    \
     * lines of b before they are needed, where these are AHEAD_PANELS. */                         \
    static void row_tile_##S(int panels, int ahead, ptrdiff_t k, const T *a, const T *b,           \
                             ptrdiff_t b_panel, T *c, int accumulate, const T *bias, int relu)     \
    {                                                                                              \
        if (ahead && panels == AHEAD_PANELS) {                                                     \
            row_##S(AHEAD_PANELS * PANEL_BYTES / VEC_BYTES, 1, k, a, b, b_panel, c, accumulate,    \
                    bias, relu);                                                                   \
            return;                                                                                \
        }                                                                                          \
        switch (panels * PANEL_BYTES / VEC_BYTES) { ROW_VARIANTS(S) }                              \
    }

#define ROW_CASE(S, V)                                                                             \
    case V: row_##S(V, 0, k, a, b, b_panel, c, accumulate, bias, relu); break;
#if VEC_BYTES == 64
#define ROW_VARIANTS(S) ROW_CASE(S, 1) ROW_CASE(S, 2) ROW_CASE(S, 3) ROW_CASE(S, 4)                \
    ROW_CASE(S, 5) ROW_CASE(S, 6) ROW_CASE(S, 7) ROW_CASE(S, 8)
#elif VEC_BYTES == 32
#define ROW_VARIANTS(S) ROW_CASE(S, 2) ROW_CASE(S, 4) ROW_CASE(S, 6) ROW_CASE(S, 8)
#else
#define ROW_VARIANTS(S) ROW_CASE(S, 4) ROW_CASE(S, 8)
#endif

#define DEFINE_PACK(S, T)                                                                          \
    /* A left operand copied together, tile by tile: a tile's column of rows, then the next. */    \
    static void gemm_pack_##S(ptrdiff_t rows, ptrdiff_t k, T *out, const T *a, ptrdiff_t a_row,    \
                              ptrdiff_t a_k)                                                       \
    {                                                                                              \
        for (ptrdiff_t tiles = tiles_of(rows, TILE_ROWS); tiles; tiles--) {                        \
            const ptrdiff_t height = even_part(rows, tiles);                                       \
            switch (height) {                                                                      \
                PACK_CASE(T, 1) PACK_CASE(T, 2) PACK_CASE(T, 3)                                    \
                PACK_CASE(T, 4) PACK_CASE(T, 5) PACK_CASE(T, 6)                                    \
            }                                                                                      \
            a += height * a_row;                                                                   \
            out += height * k;                                                                     \
            rows -= height;                                                                        \
        }                                                                                          \
    }

#define PACK_CASE(T, R)                                                                            \
    case R:                                                                                        \
        if (a_row == 1)                                                                            \
            for (ptrdiff_t p = 0; p < k; p++)                                                      \
                __builtin_memcpy(out + p * R, a + p * a_k, R * sizeof(T));                         \
        else                                                                                       \
            for (ptrdiff_t p = 0; p < k; p++)                                                      \
                UNROLL for (int i = 0; i < R; i++) out[p * R + i] = a[i * a_row + p * a_k];        \
        break;

#define TILE_CASE(S, R, V)                                                                         \
    case (R) * 8 + (V):                                                                            \
        tile_##S(R, V ? V : 1, k, a, step, left == BY_ROWS, b, b_k, b_panel, c, ldc, c_panel,      \
                 accumulate, bias, relu, gate, ldg, soon);                                         \
        break;

#if TILE_VECTORS == 4
#define TILE_VARIANTS(S, R) TILE_CASE(S, R, 1) TILE_CASE(S, R, 2) TILE_CASE(S, R, 3) TILE_CASE(S, R, 4)
#else
#define TILE_VARIANTS(S, R) TILE_CASE(S, R, 1) TILE_CASE(S, R, 2)
#endif

#if NARROW_BYTES < VEC_BYTES
#define HALF_VARIANTS(H) TILE_CASE(H, 1, 0) TILE_CASE(H, 2, 0) TILE_CASE(H, 3, 0)                  \
    TILE_CASE(H, 4, 0) TILE_CASE(H, 5, 0) TILE_CASE(H, 6, 0) TALL_VARIANTS(H, 0)
#define NARROW(S, H) H
DEFINE_TILE(h32, float)
DEFINE_TILE(h64, double)
#else
#define HALF_VARIANTS(H)
#define NARROW(S, H) S
#endif
#define DEFINE_BLANK_OF(S, H, T) DEFINE_BLANK(S, H, T) /* with H expanded */

DEFINE_TILE(f32, float)
DEFINE_TILE(f64, double)
DEFINE_COLUMN(f32, h32, float)
DEFINE_COLUMN(f64, h64, double)
DEFINE_BLANK_OF(f32, NARROW(f32, h32), float)
DEFINE_BLANK_OF(f64, NARROW(f64, h64), double)
DEFINE_ROW_TILE(f32, float)
DEFINE_ROW_TILE(f64, double)
DEFINE_PACK(f32, float)
DEFINE_PACK(f64, double)

#endif
