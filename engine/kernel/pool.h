/* A few threads that walk through one step together. One thread needs none of it. */
#ifndef POOL_H
#define POOL_H

#define MAX_THREADS 64

struct pool;

/* At most `threads` in all, the caller's among them; fewer where the system gives no more. NULL: no memory. */
struct pool *pool_new(int threads);
void pool_free(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Runs work(argument, i, n) on n threads at once, i = 0 on the caller's, and returns when all are through. */
void pool_run(struct pool *pool, void (*work)(void *argument, int i, int n), void *argument);

/* Called by all threads within pool_run: none goes on before all have come. */
void pool_meet(struct pool *pool);

#endif
