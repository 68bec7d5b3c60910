// Loops shared among the processors this process may use.
#define _GNU_SOURCE // sched_getaffinity
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { MAX_THREADS = 64 };

typedef struct share {
    ht_parallel_fn work;
    void *user;
    uint64_t first, count;
} share;

static uint32_t processors(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

static void *run(void *user) {
    const share *s = user;
    s->work(s->user, s->first, s->count);
    return NULL;
}

void ht_parallel(uint64_t count, uint64_t least, ht_parallel_fn work, void *user) {
    const uint64_t wanted = count / (least ? least : 1);
    uint64_t threads = processors();
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    threads = threads < wanted ? threads : wanted;
    pthread_t handles[MAX_THREADS];
    share shares[MAX_THREADS];
    bool started[MAX_THREADS] = {false};
    for (uint64_t i = 1; i < threads; i++) {
        const uint64_t first = count * i / threads;
        shares[i] = (share){work, user, first, count * (i + 1) / threads - first};
        started[i] = pthread_create(&handles[i], NULL, run, &shares[i]) == 0;
    }
    work(user, 0, threads > 1 ? count / threads : count);
    for (uint64_t i = 1; i < threads; i++) {
        if (!started[i]) {
            run(&shares[i]);
        } else {
            pthread_join(handles[i], NULL);
        }
    }
}
