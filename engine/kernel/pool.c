#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define SPINS 4000 /* some 50 microseconds: longer than threads of one step wait for each other, shorter than a sampler */

struct pool {
    int threads, left; /* `left`: those that pool_run uses, 1 in a child that fork made, where the others do not exist */
    pid_t owner;
    void (*work)(void *, int, int);
    void *argument;
    atomic_uint round;   /* grows by one for every pool_run */
    atomic_int closing;
    atomic_int arrived;  /* at the meeting */
    atomic_uint meeting; /* grows by one when all have come */
    pthread_mutex_t lock;
    pthread_cond_t begun;
    pthread_t thread[MAX_THREADS];
};

struct start {
    struct pool *pool;
    int i;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void *live(void *start) {
    struct pool *pool = ((struct start *)start)->pool;
    const int i = ((struct start *)start)->i;
    unsigned seen = 0;
    free(start);
    for (;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&pool->round) == seen && !atomic_load(&pool->closing); spin++)
            pause_briefly();
        if (atomic_load(&pool->round) == seen) { /* nothing came: sleep, so that an idle bot costs nothing */
            pthread_mutex_lock(&pool->lock);
            while (atomic_load(&pool->round) == seen && !atomic_load(&pool->closing))
                pthread_cond_wait(&pool->begun, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        if (atomic_load(&pool->closing)) return NULL;
        seen++;
        pool->work(pool->argument, i, pool->threads);
        pool_meet(pool);
    }
}

struct pool *pool_new(int threads) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begun, NULL);
    pool->owner = getpid();
    pool->threads = 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    for (int i = 1; i < threads; i++) {
        struct start *start = malloc(sizeof *start);
        if (!start) break;
        *start = (struct start){pool, i};
        if (pthread_create(&pool->thread[i], NULL, live, start)) {
            free(start);
            break;
        }
        pool->threads = i + 1; /* no thread reads it before the first pool_run */
    }
    return pool;
}

void pool_free(struct pool *pool) {
    if (!pool) return;
    if (getpid() == pool->owner) {
        pthread_mutex_lock(&pool->lock);
        atomic_store(&pool->closing, 1);
        pthread_cond_broadcast(&pool->begun);
        pthread_mutex_unlock(&pool->lock);
        for (int i = 1; i < pool->threads; i++) pthread_join(pool->thread[i], NULL);
    }
    free(pool);
}

int pool_threads(const struct pool *pool) { return pool->threads; }

void pool_meet(struct pool *pool) {
    const int all = pool->left; /* read before arriving: once all have come, the next pool_run may write it */
    if (all == 1) return;
    const unsigned meeting = atomic_load(&pool->meeting);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == all) {
        atomic_store(&pool->arrived, 0);
        atomic_fetch_add(&pool->meeting, 1);
        return;
    }
    for (int spin = 0; atomic_load(&pool->meeting) == meeting; spin++)
        if (spin < SPINS) pause_briefly();
        else sched_yield(); /* more threads than free cores: the one that is missing needs this one's */
}

void pool_run(struct pool *pool, void (*work)(void *, int, int), void *argument) {
    pool->left = pool->threads > 1 && getpid() == pool->owner ? pool->threads : 1;
    if (pool->left == 1) {
        work(argument, 0, 1);
        return;
    }
    pool->work = work;
    pool->argument = argument;
    pthread_mutex_lock(&pool->lock); /* or a thread that is about to sleep misses the call */
    atomic_fetch_add(&pool->round, 1);
    pthread_cond_broadcast(&pool->begun);
    pthread_mutex_unlock(&pool->lock);
    work(argument, 0, pool->threads);
    pool_meet(pool);
}
