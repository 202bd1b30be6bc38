/* One team of threads for the whole process, kept between calls.
 *
 * Why not one `omp parallel` per call: OpenMP keeps a pool of threads per calling thread, so a
 * program with many Python threads would keep callers * (n - 1) of them. Here a single host
 * thread opens one parallel region that lasts; in it every OpenMP thread sits on a seat and waits
 * for jobs. Whoever calls team_run takes part as thread 0, so at most callers + n - 1 threads are
 * ever alive. A second caller finds the team busy and runs its job alone.
 *
 * A job must do the same work for any number of threads (it is told how many there are), since it
 * gets fewer than it asked for when the team is busy, after a fork, under OMP_THREAD_LIMIT or
 * without OpenMP. */
#ifndef CYMLP_TEAM_H
#define CYMLP_TEAM_H

#include "arithmetic.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#define TEAM_HAS_OPENMP 1
#else
#define TEAM_HAS_OPENMP 0
#endif

#define TEAM_MAX_THREADS 1024
#define TEAM_IDLE_SPIN_NS 40000  /* how long a seat looks for the next job before it sleeps */
#define TEAM_SPINS_TO_YIELD 1000 /* pauses of a thread that waits for another one in a job */
#define TEAM_LINE _Alignas(64)   /* keeps words that different threads write apart */

typedef void (*team_job)(void *context, int thread, int threads);

struct team_seat {
    TEAM_LINE atomic_uint ticket; /* changes when there is a job for this seat */
    atomic_int asleep;            /* the caller must signal `wake` */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static struct {
    /* The job at hand; written before the tickets change, read after. NULL: leave. */
    team_job job;
    void *context;
    int threads;
    int caller_processor;
    uint64_t arithmetic;          /* as the caller computes, so do all */
    /* Written only by the holder of `busy`. */
    pthread_t host;
    atomic_int asked;             /* size the team was started for, caller included; 0: no team */
    atomic_int members;           /* threads that sit on seats 1 ... members */
    /* Written by Python, under its lock. */
    atomic_int limit;             /* most threads for one job; 0: not determined yet */
    atomic_int crowded;           /* more threads than processors: never spin */
    /* Written by the handler after fork. */
    atomic_int forked;
    atomic_long forks;

    TEAM_LINE atomic_int busy;
    TEAM_LINE atomic_int running; /* seats that have not finished the job */
    /* On one line: with two threads twice as fast (28 ns) as on two. */
    TEAM_LINE atomic_int arrived; /* threads that have reached the barrier */
    atomic_uint phase;            /* changes when all have */
} team;

/* ---- waiting ---------------------------------------------------------------------------- */

static inline void team_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One turn of a loop that waits for a thread that is at work. Yields in time, so that the other
 * one gets on when there are more threads than processors. */
static inline void team_relax(int turn)
{
    if (turn < TEAM_SPINS_TO_YIELD && !atomic_load_explicit(&team.crowded, memory_order_relaxed))
        team_pause();
    else
        sched_yield();
}

/* For use inside a job, by all its threads. Everything that a thread wrote before it is visible
 * to every thread after it. */
static void team_barrier(int threads)
{
    if (threads == 1) return;
    unsigned phase = atomic_load_explicit(&team.phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team.arrived, 1, memory_order_acq_rel) == threads - 1) {
        atomic_store_explicit(&team.arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team.phase, phase + 1, memory_order_release);
        return;
    }
    /* Whoever has forked within the job is alone in the child and waits for no one. */
    for (int turn = 0; atomic_load_explicit(&team.phase, memory_order_acquire) == phase
                       && !atomic_load_explicit(&team.forked, memory_order_relaxed);
         turn += turn < TEAM_SPINS_TO_YIELD)
        team_relax(turn);
}

/* ---- the seats: where the team's threads live -------------------------------------------- */

#if TEAM_HAS_OPENMP

static struct team_seat team_seats[TEAM_MAX_THREADS];

static long long team_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Returns the ticket that follows `seen`: spins for a short while, then sleeps. */
static unsigned team_next_ticket(struct team_seat *seat, unsigned seen)
{
    unsigned ticket;
    long long end = team_clock_ns() + TEAM_IDLE_SPIN_NS;
    while (!atomic_load_explicit(&team.crowded, memory_order_relaxed) && team_clock_ns() < end) {
        for (int spin = 0; spin < 32; spin++) {
            ticket = atomic_load_explicit(&seat->ticket, memory_order_acquire);
            if (ticket != seen) return ticket;
            team_pause();
        }
    }
    pthread_mutex_lock(&seat->mutex);
    /* Sequentially consistent, as in team_call: either this thread sees the new ticket, or the
     * caller sees that it sleeps. */
    atomic_store(&seat->asleep, 1);
    while ((ticket = atomic_load(&seat->ticket)) == seen)
        pthread_cond_wait(&seat->wake, &seat->mutex);
    atomic_store(&seat->asleep, 0);
    pthread_mutex_unlock(&seat->mutex);
    return ticket;
}

#ifdef __linux__
static int team_processor(void) { return sched_getcpu(); }

/* Moves this thread off the caller's processor. The system puts a new or woken thread there again
 * and again, and calls shorter than its time slices never make it think better of it: two threads
 * that wait for each other then take several times as long as one. What the thread may use
 * altogether is the same afterwards. */
static void team_step_aside(void)
{
    cpu_set_t allowed, others;
    int here = sched_getcpu();
    if (here < 0 || here != team.caller_processor
        || atomic_load_explicit(&team.crowded, memory_order_relaxed)
        || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) > 0 && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int team_processor(void) { return -1; }
static void team_step_aside(void) {}
#endif

static void team_serve(int thread)
{
    unsigned ticket = 0;
    for (;;) {
        ticket = team_next_ticket(&team_seats[thread], ticket);
        if (!team.job) return;
        team_step_aside();
        arithmetic_set(team.arithmetic);
        team.job(team.context, thread, team.threads);
        atomic_fetch_sub_explicit(&team.running, 1, memory_order_release);
    }
}

/* Calls the seats 1 ... threads - 1 to the job. */
static void team_call(team_job job, void *context, int threads)
{
    team.job = job;
    team.context = context;
    team.threads = threads;
    team.caller_processor = team_processor();
    team.arithmetic = arithmetic_now();
    atomic_store_explicit(&team.running, threads - 1, memory_order_relaxed);
    for (int thread = 1; thread < threads; thread++) {
        struct team_seat *seat = &team_seats[thread];
        atomic_fetch_add(&seat->ticket, 1);
        if (atomic_load(&seat->asleep)) {
            pthread_mutex_lock(&seat->mutex);
            pthread_cond_signal(&seat->wake);
            pthread_mutex_unlock(&seat->mutex);
        }
    }
}

/* ---- the team's beginning and end; only for the holder of `busy` -------------------------- */

static void *team_host(void *unused)
{
    (void)unused;
#pragma omp parallel num_threads(atomic_load(&team.asked) - 1)
    {
#pragma omp single
        atomic_store_explicit(&team.members, omp_get_num_threads(), memory_order_release);
        team_serve(1 + omp_get_thread_num());
    }
    return NULL;
}

/* The team's threads leave the process's signals to Python's; those that report a fault of the
 * thread itself stay. */
static void team_blocked_signals(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigfillset(set);
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(set, faults[i]);
}

static void team_start(int asked)
{
    sigset_t blocked, before;
    for (int thread = 1; thread < asked; thread++) {
        atomic_init(&team_seats[thread].ticket, 0);
        atomic_init(&team_seats[thread].asleep, 0);
        pthread_mutex_init(&team_seats[thread].mutex, NULL);
        pthread_cond_init(&team_seats[thread].wake, NULL);
    }
    atomic_store(&team.asked, asked);
    team_blocked_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failed = pthread_create(&team.host, NULL, team_host, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        atomic_store(&team.asked, 0); /* so that the next call tries again */
        return;
    }
    /* Several hundred microseconds for a large team: no use in spinning. */
    while (!atomic_load_explicit(&team.members, memory_order_acquire)) sched_yield();
}

static void team_stop(void)
{
    int asked = atomic_load(&team.asked);
    if (!asked) return;
    team_call(NULL, NULL, 1 + atomic_load_explicit(&team.members, memory_order_relaxed));
    pthread_join(team.host, NULL);
    for (int thread = 1; thread < asked; thread++) {
        pthread_cond_destroy(&team_seats[thread].wake);
        pthread_mutex_destroy(&team_seats[thread].mutex);
    }
    atomic_store_explicit(&team.members, 0, memory_order_relaxed);
    atomic_store(&team.asked, 0);
}

/* How many threads, the caller included, can run a job for which `wanted` are wished. */
static int team_assemble(int wanted)
{
    int limit = atomic_load(&team.limit);
    if (limit <= 1) return 1;
    if (atomic_load(&team.asked) != limit) {
        team_stop();
        team_start(limit);
    }
    int threads = 1 + atomic_load_explicit(&team.members, memory_order_relaxed);
    return wanted < threads ? wanted : threads;
}

static int team_take(void)
{
    int free = 0;
    return !atomic_load_explicit(&team.forked, memory_order_relaxed)
        && atomic_compare_exchange_strong(&team.busy, &free, 1);
}

static void team_release(void) { atomic_store(&team.busy, 0); }

/* Lets the team leave if it is not of the size that is set now. Called after the size has changed
 * and after every job: the order of the two stores and loads (all sequentially consistent) lets
 * one of the two see the other, so that no team of the wrong size stays. */
static void team_fit(void)
{
    int asked = atomic_load(&team.asked);
    if (!asked || asked == atomic_load(&team.limit) || !team_take()) return;
    if (atomic_load(&team.asked) != atomic_load(&team.limit)) team_stop();
    team_release();
}

/* Runs the job on up to `wanted` threads and returns how many took part. */
static int team_run(team_job job, void *context, int wanted)
{
    int threads = 1;
    if (wanted > 1 && team_take()) {
        threads = team_assemble(wanted);
        if (threads == 1) team_release();
    }
    if (threads == 1) {
        job(context, 0, 1);
        return 1;
    }
    team_call(job, context, threads);
    job(context, 0, threads);
    for (int turn = 0; atomic_load_explicit(&team.running, memory_order_acquire)
                       && !atomic_load_explicit(&team.forked, memory_order_relaxed);
         turn += turn < TEAM_SPINS_TO_YIELD)
        team_relax(turn);
    team_release();
    team_fit();
    return threads;
}

#else /* without OpenMP: everything on the calling thread */

static int team_run(team_job job, void *context, int wanted)
{
    (void)wanted;
    job(context, 0, 1);
    return 1;
}

static void team_fit(void) {}

#endif

/* ---- fork -------------------------------------------------------------------------------- */

/* Of the team only its memory is left in a child, and OpenMP itself would hang there: a child,
 * and its children, never touch either. */
static void team_after_fork(void)
{
    atomic_store(&team.forked, 1);
    atomic_fetch_add(&team.forks, 1);
}

static int team_watch_forks(void) { return pthread_atfork(NULL, NULL, team_after_fork); }
static int team_forked(void) { return atomic_load_explicit(&team.forked, memory_order_relaxed); }
static long team_forks(void) { return atomic_load_explicit(&team.forks, memory_order_relaxed); }

/* ---- settings ---------------------------------------------------------------------------- */

static int team_limit(void) { return atomic_load_explicit(&team.limit, memory_order_relaxed); }

static void team_set_limit(int threads, int crowded)
{
    atomic_store_explicit(&team.crowded, crowded, memory_order_relaxed);
    atomic_store(&team.limit, threads);
    team_fit();
}

#endif
