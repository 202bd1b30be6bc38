/* Products whose left operand has many zeros: pictures, counts, codes of one among many, and what
   relu has left of a layer.

   Two rows at a time, the turns of a product's loop in which both have a zero are left out: terms of
   0, so that nothing changes as long as the right operand is finite, which is looked at (0 times
   infinity is NaN). Two rows, because one alone would be bounded by how fast the right operand is
   read, and of three or six hardly any turn could be left out.

   Even so it would be read faster than a second cache gives it. So the turns are taken in sections,
   whose part of some panels stays in the first cache while all rows pass; between two sections the
   sums wait in memory, and no term changes its place. A pair has a list of turns for each section. A
   single row goes alone and all at once, as it reads the right operand only once. */
#ifndef CYMLP_GEMM_SPARSE_H
#define CYMLP_GEMM_SPARSE_H

#include "cache.h"
#include "gemm_tile.h"
#include "zeros.h"

/* Panels that a pair of rows takes at a time: as many accumulators as it takes not to wait for each
   other, and no more than there is room for. */
#if VEC_BYTES == 64
#define SPARSE_PANELS 8
#elif VEC_BYTES == 32
#define SPARSE_PANELS 3
#elif defined(__aarch64__)
#define SPARSE_PANELS 2
#else
#define SPARSE_PANELS 1
#endif
#define SPARSE_VECTORS (SPARSE_PANELS * PANEL_VECTORS)
/* Keeps what was loaded in a register: GCC would read it from memory again for its second use. */
#if defined(__AVX512F__)
#define KEEP(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define KEEP(vector) __asm__("" : "+w"(vector))
#else
#define KEEP(vector) __asm__("" : "+x"(vector))
#endif

/* The turns of a section of k, for so many panels at a time. */
static inline ptrdiff_t section_of(ptrdiff_t k, ptrdiff_t panels)
{
    const ptrdiff_t room = first_bytes() / (panels * PANEL_BYTES);
    const ptrdiff_t most = room < SECTION_MOST ? room / BITS * BITS : SECTION_MOST;
    const ptrdiff_t sections = (k + most - 1) / most, even = (k + sections - 1) / sections;
    return (even + BITS - 1) / BITS * BITS;
}

#define DEFINE_SPARSE(S, T)                                                                        \
    /* Two rows, `lda` apart, times a section of some panels of b. The sums wait in `between`, but \
     * in the first section they begin, and in the last one they end. */                           \
    TILE_INLINE void pair_##S(const int panels, const turn_t *list, const T *a, ptrdiff_t lda,     \
                              const T *b, ptrdiff_t b_k, ptrdiff_t b_panel, T *between, int first, \
                              int last, T *c, ptrdiff_t ldc, ptrdiff_t c_panel, int accumulate,    \
                              const T *bias, int relu, const T *gate, ptrdiff_t ldg,               \
                              const soon_t *soon)                                                  \
    {                                                                                              \
        const int vectors = panels * PANEL_VECTORS, rows = PAIR;                                   \
        const ptrdiff_t apart = b_panel * (ptrdiff_t)sizeof(T);                                    \
        const T *a_other = a + lda;                                                                \
        const char *line = soon->line;                                                             \
        vec_##S sum[PAIR][SPARSE_VECTORS];                                                         \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
            UNROLL for (int v = 0; v < vectors; v++)                                               \
                sum[i][v] = first ? vec_set_##S(0)                                                 \
                                  : vec_load_##S(between + (i * vectors + v) * VEC_LANES_##S);     \
        for (ptrdiff_t rest = *list++, turns; rest > 0; rest -= turns) {                           \
            turns = rest < soon->every ? rest : soon->every;                                       \
            for (ptrdiff_t turn = turns; turn > 0; turn--, list++) {                               \
                const ptrdiff_t p = *list;                                                         \
                const char *row = (const char *)b + p * b_k * (ptrdiff_t)sizeof(T);                \
                const vec_##S left = vec_set_##S(a[p]), other = vec_set_##S(a_other[p]);           \
                UNROLL for (int v = 0; v < vectors; v++) {                                         \
                    vec_##S right = vec_load_##S(row + IN_PANELS(v, VEC_BYTES, apart));            \
                    KEEP(right);                                                                   \
                    sum[0][v] = vec_fma_##S(left, right, sum[0][v]);                               \
                    sum[1][v] = vec_fma_##S(other, right, sum[1][v]);                              \
                }                                                                                  \
            }                                                                                      \
            if (line) line = soon_bring(soon, line);                                               \
        }                                                                                          \
        if (last) {                                                                                \
            RESULTS(S, T)                                                                          \
        } else {                                                                                   \
            UNROLL for (int i = 0; i < rows; i++)                                                  \
                UNROLL for (int v = 0; v < vectors; v++)                                           \
                    vec_store_##S(between + (i * vectors + v) * VEC_LANES_##S, sum[i][v]);         \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    /* Whether all of k rows of some panels are finite: 0 times anything else is NaN. */           \
    static int sparse_finite_##S(ptrdiff_t k, ptrdiff_t panels, const T *b, ptrdiff_t b_k,         \
                                 ptrdiff_t b_panel)                                                \
    {                                                                                              \
        const vec_##S zero = vec_set_##S(0);                                                       \
        vec_##S sum[4] = {zero, zero, zero, zero};                                                 \
        T lanes[VEC_LANES_##S], total = 0;                                                         \
        for (ptrdiff_t panel = 0; panel < panels; panel++, b += b_panel)                           \
            for (ptrdiff_t p = 0; p < k; p += 4)                                                   \
                UNROLL for (int i = 0; i < 4; i++) {                                               \
                    const T *line = b + (p + i < k ? p + i : p) * b_k;                             \
                    UNROLL for (int v = 0; v < PANEL_VECTORS; v++)                                 \
                        sum[i] = vec_fma_##S(zero, vec_load_##S(line + v * VEC_LANES_##S), sum[i]);\
                }                                                                                  \
        vec_store_##S(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));                               \
        for (int i = 0; i < VEC_LANES_##S; i++) total += lanes[i];                                 \
        return total == 0;                                                                         \
    }                                                                                              \
                                                                                                   \
    /* All rows of c past some panels of b, at most SPARSE_PANELS, which may be `known` to be      \
     * finite. Meanwhile each section's lines of b are brought by the section before it, those of  \
     * `next` by the last one; where that is NULL the tiles bring what the caller says, and he     \
     * goes on. */                                                                                 \
    static void gemm_sparse_##S(ptrdiff_t rows, int panels, ptrdiff_t k, ptrdiff_t section,        \
                                const turn_t *list, ptrdiff_t turns, T *between, const T *a,       \
                                ptrdiff_t lda, const T *b, ptrdiff_t b_k, ptrdiff_t b_panel, T *c, \
                                ptrdiff_t ldc, ptrdiff_t c_panel, int accumulate, const T *bias,   \
                                int relu, const T *gate, ptrdiff_t ldg, int known, const T *next,  \
                                soon_t *later)                                                     \
    {                                                                                              \
        const ptrdiff_t pairs = (rows + PAIR - 1) / PAIR, sections = (k + section - 1) / section;  \
        const int streams = b_k == PANEL_BYTES / sizeof(T);                                        \
        for (ptrdiff_t begin = 0; begin < k; begin += section) {                                   \
            const int first = begin == 0, last = begin + section >= k;                             \
            const ptrdiff_t count = last ? k - begin : section;                                    \
            const int finite =                                                                     \
                known || sparse_finite_##S(count, panels, b + begin * b_k, b_k, b_panel);          \
            turn_t whole[1 + SECTION_MOST] = {(turn_t)count};                                      \
            soon_t lines, *soon = later;                                                           \
            for (ptrdiff_t p = 0; p < count && !finite; p++) whole[1 + p] = (turn_t)p;             \
            if (next) {                                                                            \
                lines = soon_runs(last ? next : b + (begin + section) * b_k, section,              \
                                  b_panel * (ptrdiff_t)sizeof(T), panels, pairs,                   \
                                  turns / (sections * pairs), 0, 0);                               \
                soon = &lines;                                                                     \
            }                                                                                      \
            for (ptrdiff_t pair = 0; pair < pairs; pair++, list += 1 + section) {                  \
                const ptrdiff_t row = PAIR * pair, step = row + 1 < rows; /* 0: it is alone */     \
                const turn_t *chosen = finite ? list : whole;                                      \
                T *sums = between + row * panels * PANEL_BYTES / (ptrdiff_t)sizeof(T);             \
                switch (panels * 2 + streams) {                                                    \
                    SPARSE_VARIANTS(S)                                                             \
                }                                                                                  \
                if (soon->runs) soon_on(soon);                                                     \
            }                                                                                      \
        }                                                                                          \
    }

#define DEFINE_SPARSE_ROW(S, T)                                                                    \
    TILE_INLINE void sparse_row_##S(const int vectors, ptrdiff_t k, const turn_t *list, const T *a,\
                                    const T *b, ptrdiff_t b_panel, T *c, int accumulate,           \
                                    const T *bias, int relu)                                       \
    {                                                                                              \
        vec_##S sum[ROW_VECTORS];                                                                  \
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_set_##S(0);                          \
        for (ptrdiff_t begin = 0; begin < k; begin += SECTION_MOST, list += 1 + SECTION_MOST) {    \
            const T *first = b + begin * (PANEL_BYTES / (ptrdiff_t)sizeof(T));                     \
            for (const turn_t *turn = list + 1; turn <= list + *list; turn++) {                    \
                const T *row = first + *turn * (PANEL_BYTES / (ptrdiff_t)sizeof(T));               \
                const vec_##S left = vec_set_##S(a[begin + *turn]);                                \
                UNROLL for (int v = 0; v < vectors; v++)                                           \
                    sum[v] = vec_fma_##S(                                                          \
                        left, vec_load_##S(row + IN_PANELS(v, VEC_LANES_##S, b_panel)), sum[v]);   \
            }                                                                                      \
        }                                                                                          \
        ROW_RESULTS(S, T)                                                                          \
    }                                                                                              \
                                                                                                   \
    /* What row_tile does, of the turns in the lists of a row's sections of SECTION_MOST. */       \
    static void sparse_row_tile_##S(int panels, ptrdiff_t k, const turn_t *list, const T *a,       \
                                    const T *b, ptrdiff_t b_panel, T *c, int accumulate,           \
                                    const T *bias, int relu)                                       \
    {                                                                                              \
        switch (panels * PANEL_VECTORS) { SPARSE_ROW_VARIANTS(S) }                                 \
    }

#define SPARSE_ROW_CASE(S, V)                                                                      \
    case V: sparse_row_##S(V, k, list, a, b, b_panel, c, accumulate, bias, relu); break;
#if VEC_BYTES == 64
#define SPARSE_ROW_VARIANTS(S) SPARSE_ROW_CASE(S, 1) SPARSE_ROW_CASE(S, 2) SPARSE_ROW_CASE(S, 3)   \
    SPARSE_ROW_CASE(S, 4) SPARSE_ROW_CASE(S, 5) SPARSE_ROW_CASE(S, 6) SPARSE_ROW_CASE(S, 7)        \
    SPARSE_ROW_CASE(S, 8)
#elif VEC_BYTES == 32
#define SPARSE_ROW_VARIANTS(S) SPARSE_ROW_CASE(S, 2) SPARSE_ROW_CASE(S, 4) SPARSE_ROW_CASE(S, 6)   \
    SPARSE_ROW_CASE(S, 8)
#else
#define SPARSE_ROW_VARIANTS(S) SPARSE_ROW_CASE(S, 4) SPARSE_ROW_CASE(S, 8)
#endif

#define SPARSE_PAIR(S, P, B_K)                                                                     \
    pair_##S(P, chosen, a + row * lda + begin, step * lda, b + begin * b_k, B_K, b_panel, sums,    \
             first, last, c + row * ldc, step * ldc, c_panel, accumulate, bias, relu,              \
             gate ? gate + row * ldg : gate, step * ldg, soon);                                    \
    break;
#define SPARSE_CASE(S, P)                                                                          \
    case 2 * (P): SPARSE_PAIR(S, P, b_k)                                                           \
    case 2 * (P) + 1: SPARSE_PAIR(S, P, PANEL_BYTES / (ptrdiff_t)sizeof(*a))
#if SPARSE_PANELS == 8
#define SPARSE_VARIANTS(S) SPARSE_CASE(S, 1) SPARSE_CASE(S, 2) SPARSE_CASE(S, 3) SPARSE_CASE(S, 4) \
    SPARSE_CASE(S, 5) SPARSE_CASE(S, 6) SPARSE_CASE(S, 7) SPARSE_CASE(S, 8)
#elif SPARSE_PANELS == 3
#define SPARSE_VARIANTS(S) SPARSE_CASE(S, 1) SPARSE_CASE(S, 2) SPARSE_CASE(S, 3)
#elif SPARSE_PANELS == 2
#define SPARSE_VARIANTS(S) SPARSE_CASE(S, 1) SPARSE_CASE(S, 2)
#else
#define SPARSE_VARIANTS(S) SPARSE_CASE(S, 1)
#endif

DEFINE_SPARSE(f32, float)
DEFINE_SPARSE(f64, double)
DEFINE_SPARSE_ROW(f32, float)
DEFINE_SPARSE_ROW(f64, double)

#endif
