// Drivers that run on the CPU: their threads, one to a core, and what their code can do.
//
// Such a driver (lavapipe) starts as many workers as there are cores and wakes all of them at every
// dispatch, from a thread that sleeps at once. Linux then tends to put two workers onto one core,
// for seconds, while another idles: each sleeps too often for the balancer to move it. A step took
// 1.0 or 1.7 times as long, by chance.
#define _GNU_SOURCE // sched_setaffinity
#include "vk_internal.h"

#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>

// Threads get the name of the one that starts them: this is how those of the driver are known. (It
// names its rasterizer's itself; they are idle here.)
static const char driver_name[] = "gpu on cpu";

void ht_vk_cpu_driver_begin(ht_vk_cpu_driver *driver) {
    if (prctl(PR_GET_NAME, driver->name) == 0) {
        prctl(PR_SET_NAME, driver_name);
    }
}

static bool is_drivers(const char *thread) {
    char path[64], name[sizeof(((ht_vk_cpu_driver *)0)->name)] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", thread);
    FILE *file = fopen(path, "r");
    const bool read = file != NULL && fgets(name, sizeof name, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    return read && strncmp(name, driver_name, strlen(driver_name)) == 0;
}

enum { MAX_THREADS = CPU_SETSIZE };

static int by_number(const void *a, const void *b) {
    const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

// In the order in which they were started.
static int find_threads(pid_t threads[MAX_THREADS]) {
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && n < MAX_THREADS && (entry = readdir(tasks));) {
        if (is_drivers(entry->d_name)) {
            threads[n++] = (pid_t)atoi(entry->d_name);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    qsort(threads, (size_t)n, sizeof threads[0], by_number);
    return n;
}

void ht_vk_cpu_driver_end(const ht_vk_cpu_driver *driver) {
    prctl(PR_SET_NAME, driver->name);
    pid_t threads[MAX_THREADS];
    cpu_set_t allowed;
    const int n = find_threads(threads);
    // Fewer workers than cores (LP_NUM_THREADS): the user shares the machine, and there is room.
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || n < CPU_COUNT(&allowed)) {
        return;
    }
    int cpu = -1;
    for (int i = 0; i < n; i++) {
        do {
            cpu = (cpu + 1) % CPU_SETSIZE;
        } while (!CPU_ISSET((size_t)cpu, &allowed));
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)cpu, &one);
        sched_setaffinity(threads[i], sizeof one, &one);
    }
}
#else
void ht_vk_cpu_driver_begin(ht_vk_cpu_driver *driver) {
    (void)driver;
}

void ht_vk_cpu_driver_end(const ht_vk_cpu_driver *driver) {
    (void)driver;
}
#endif

// vpdpwssd is of AVX-512 VNNI. LLVM uses it for processors that it knows by name: all of AMD's that have
// it (Zen 4, Zen 5) since version 19.
bool ht_vk_cpu_fuses_integers(const char *device_name) {
#if defined __x86_64__ && defined __GNUC__
    const char *version = strstr(device_name, "LLVM ");
    const int llvm = version != NULL ? atoi(version + strlen("LLVM ")) : 0;
    __builtin_cpu_init();
    if (llvm == 0 || !__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vl")) {
        return false;
    }
    return !__builtin_cpu_is("amd") || llvm >= 19;
#else
    (void)device_name;
    return false;
#endif
}
