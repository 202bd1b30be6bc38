/* What comes next is brought near while a product is worked on. */
#ifndef CYMLP_SOON_H
#define CYMLP_SOON_H

#include <stddef.h>
#include <stdint.h>

#define PANEL_BYTES 64 /* of a row of a panel of weights: a line of the caches */
#define ROWS_TILES 8 /* so many tiles bring the rows that the next width meets first */

/* No processor foresees which panels come next, nor what is worked on after a product, so its tiles
   share those lines out and bring them near (into the second cache) while they work, eight in every
   few turns: without it whatever comes next is waited for, up to a fifth of the time where blocks
   of rows are small. The lines lie in runs; a tile brings a part of one of them, in four parts at a
   time, or the same part of up to four of them. */
typedef struct {
    const char *line;  /* the next to bring; NULL: none */
    ptrdiff_t step;    /* bytes from line to line */
    ptrdiff_t more[3]; /* bytes from there to the three others that are brought along */
    ptrdiff_t every;   /* turns, after which twice four of them are brought */
    ptrdiff_t lines;   /* of a tile, one after the other */
    ptrdiff_t each;    /* tiles for a run */
    ptrdiff_t left;    /* of these */
    ptrdiff_t skip;    /* bytes from where a run's lines end to where the next one's begin */
    ptrdiff_t runs;    /* not brought yet; 0: nothing is brought any more */
} soon_t;

/* Nothing; never written to. */
static soon_t soon_nothing = {NULL, 0, {0, 0, 0}, PTRDIFF_MAX, 0, 1, 1, 0, 0};

/* A tile's lines in four parts at a time, or with three others each, and as rarely as all of them
   still get their turn, two at a time. */
static inline void soon_spread(soon_t *soon, ptrdiff_t turns)
{
    ptrdiff_t *more = soon->more, at_a_time = soon->lines, every;
    if (!more[0] && !more[1]) {
        at_a_time = (soon->lines + 3) / 4;
        for (int i = 0; i < 3; i++) more[i] = (i + 1) * at_a_time * soon->step;
    }
    every = at_a_time ? turns / at_a_time : 1;
    soon->every = every > 1 ? 2 * every : 2;
}

/* Runs of so many lines, `apart` bytes from start to start, for tiles of so many turns. With each
   run two others come that lie `second` and `third` bytes further; 0: there is none. */
static inline soon_t soon_runs(const void *next, ptrdiff_t lines, ptrdiff_t apart, ptrdiff_t runs,
                               ptrdiff_t tiles, ptrdiff_t turns, ptrdiff_t second, ptrdiff_t third)
{
    const ptrdiff_t each = tiles > runs ? tiles / runs : 1, share = (lines + each - 1) / each;
    soon_t soon = {next, PANEL_BYTES, {second, third, 0}, 0, share, each, each,
                   apart - each * share * PANEL_BYTES, runs};
    soon_spread(&soon, turns);
    return soon;
}

/* One line, or all of the tile's width, of each of k rows that lie `step` bytes from each other. */
static inline soon_t soon_rows(const void *next, ptrdiff_t step, ptrdiff_t k, int wide,
                               ptrdiff_t tiles)
{
    const ptrdiff_t each = tiles < ROWS_TILES ? tiles : ROWS_TILES;
    soon_t soon = {next, step, {0, 0, 0}, 0, (k + each - 1) / each, each, each, 0, 1};
    for (int i = 0; wide && i < 3; i++) soon.more[i] = (i + 1) * PANEL_BYTES;
    soon_spread(&soon, k);
    return soon;
}

/* As many lines in only a part of the turns. */
static inline void soon_sooner(soon_t *soon, double part)
{
    if (soon->runs) soon->every = soon->every * part > 2 ? (ptrdiff_t)(soon->every * part) : 2;
}

/* Twice four lines, between two turns of a tile's loop. */
static inline __attribute__((always_inline)) const char *soon_bring(const soon_t *soon,
                                                                    const char *line)
{
    for (int twice = 0; twice < 2; twice++, line += soon->step) {
        __builtin_prefetch(line, 0, 2);
        __builtin_prefetch(line + soon->more[0], 0, 2);
        __builtin_prefetch(line + soon->more[1], 0, 2);
        __builtin_prefetch(line + soon->more[2], 0, 2);
    }
    return line;
}

/* The next tile's share. */
static inline void soon_on(soon_t *soon)
{
    soon->line += soon->lines * soon->step;
    if (--soon->left == 0) {
        soon->line += soon->skip;
        soon->left = soon->each;
        if (--soon->runs == 0) *soon = soon_nothing;
    }
}

#endif
