// Workers of a driver that runs on the CPU sit on cores of their own, and where the user asked for
// fewer of them, or for some cores only, that is kept.
#define _GNU_SOURCE // cpu_set_t, sched_getaffinity
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// Threads of this process that may run on one core only, by core.
static int count_bound(int bound[CPU_SETSIZE]) {
    int all = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        cpu_set_t set;
        const pid_t thread = (pid_t)atoi(entry->d_name);
        if (thread == 0 || sched_getaffinity(thread, sizeof set, &set) != 0 ||
            CPU_COUNT(&set) != 1) {
            continue;
        }
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            bound[cpu] += CPU_ISSET(cpu, &set) ? 1 : 0;
        }
        all++;
    }
    closedir(tasks);
    return all;
}

static ht_context *open_with_workers(int workers) {
    char number[16];
    snprintf(number, sizeof number, "%d", workers);
    setenv("LP_NUM_THREADS", number, 1);
    const ht_context_desc desc = ht_test_context_desc();
    ht_context *context = NULL;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

// The driver keeps its workers as long as the process lives: each case has its own.
static void in_child(void (*check)(int cores), int cores) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check(cores);
        exit(0);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void check_one_a_core(int cores) {
    char before[16] = "", after[16] = "";
    pthread_getname_np(pthread_self(), before, sizeof before);
    ht_context *context = open_with_workers(cores);
    pthread_getname_np(pthread_self(), after, sizeof after);
    assert_string_equal(before, after);
    if (ht_context_device(context)->type == HT_DEVICE_CPU) {
        cpu_set_t allowed;
        int bound[CPU_SETSIZE] = {0};
        assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
        assert_int_equal(CPU_COUNT(&allowed), cores); // the caller may still run anywhere
        assert_true(count_bound(bound) >= cores);
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            assert_true((bound[cpu] > 0) == (CPU_ISSET(cpu, &allowed) != 0));
        }
    }
    ht_context_destroy(&context);
}

static void check_none_bound(int workers) {
    int bound[CPU_SETSIZE] = {0};
    ht_context *context = open_with_workers(workers);
    assert_int_equal(count_bound(bound), 0);
    ht_context_destroy(&context);
}

static void test_threads(void **state) {
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    const int cores = CPU_COUNT(&allowed);
    if (cores < 2) {
        print_message("one core: there is nothing to spread\n");
        skip();
    }
    in_child(check_one_a_core, cores);
    in_child(check_none_bound, 0);
    if (cores > 3) {
        in_child(check_none_bound, cores / 2 - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
