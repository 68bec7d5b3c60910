// Pictures are encoded and written by a thread of their own, while the engine works on the next ones.
#include "batch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One task is handed over at a time; the next one waits until it is through.
struct batch_keeper {
    const batch_options *options;
    batch_results *results;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool busy, quit, failed;
    char why[BATCH_WHY];
    batch_task *task;
    ht_job job;
    ht_image *images; // copies, of malloc; no pixels: none
    size_t n_images;
    ht_report report;
    batch_work work;
};

static void print_paths(const batch_keeper *k) {
    for (uint32_t i = 0; i < k->task->job.batch_size && !k->options->quiet; ++i) {
        printf("%s/%s\n", k->options->output, k->task->paths[i]);
    }
    fflush(stdout);
}

static void free_images(batch_keeper *k) {
    for (size_t i = 0; i < k->n_images; ++i) {
        free(k->images[i].rgb);
    }
    free(k->images);
    k->images = NULL;
    k->n_images = 0;
}

static void keep(batch_keeper *k) {
    const bool good = batch_keep(k->options, k->results, k->task, &k->job, k->images, &k->report,
                                 &k->work, k->why, sizeof(k->why));
    if (good) {
        print_paths(k);
    }
    free_images(k);
    k->failed = !good;
}

static void *run(void *user) {
    batch_keeper *k = user;
    pthread_mutex_lock(&k->mutex);
    while (!k->quit) {
        if (k->busy) {
            pthread_mutex_unlock(&k->mutex); // busy: everything else is this thread's
            keep(k);
            pthread_mutex_lock(&k->mutex);
            k->busy = false;
            pthread_cond_broadcast(&k->changed);
        } else {
            pthread_cond_wait(&k->changed, &k->mutex);
        }
    }
    pthread_mutex_unlock(&k->mutex);
    return NULL;
}

batch_keeper *batch_keeper_create(const batch_options *options, batch_results *results) {
    batch_keeper *k = calloc(1, sizeof(*k));
    if (!k) {
        return NULL;
    }
    k->options = options;
    k->results = results;
    pthread_mutex_init(&k->mutex, NULL);
    pthread_cond_init(&k->changed, NULL);
    if (pthread_create(&k->thread, NULL, run, k) != 0) {
        pthread_cond_destroy(&k->changed);
        pthread_mutex_destroy(&k->mutex);
        free(k);
        return NULL;
    }
    return k;
}

void batch_keeper_destroy(batch_keeper **keeper) {
    batch_keeper *k = *keeper;
    if (k) {
        char why[BATCH_WHY];
        batch_keeper_wait(k, why, sizeof(why));
        pthread_mutex_lock(&k->mutex);
        k->quit = true;
        pthread_cond_broadcast(&k->changed);
        pthread_mutex_unlock(&k->mutex);
        pthread_join(k->thread, NULL);
        pthread_cond_destroy(&k->changed);
        pthread_mutex_destroy(&k->mutex);
        free(k);
    }
    *keeper = NULL;
}

bool batch_keeper_wait(batch_keeper *k, char *why, size_t why_bytes) {
    pthread_mutex_lock(&k->mutex);
    while (k->busy) {
        pthread_cond_wait(&k->changed, &k->mutex);
    }
    const bool good = !k->failed;
    if (!good) {
        snprintf(why, why_bytes, "%s", k->why);
    }
    pthread_mutex_unlock(&k->mutex);
    return good;
}

// Pixels belong to the engine's context, which is the other thread's.
static bool copy_images(batch_keeper *k, const batch_task *task, const ht_image *images) {
    const size_t count = batch_images(task, &k->job);
    k->images = calloc(count, sizeof(*k->images));
    k->n_images = k->images ? count : 0;
    for (size_t i = 0; i < k->n_images; ++i) {
        const size_t bytes = (size_t)images[i].width * images[i].height * 3;
        k->images[i] = images[i];
        k->images[i].rgb = malloc(bytes);
        if (!k->images[i].rgb) {
            return false;
        }
        memcpy(k->images[i].rgb, images[i].rgb, bytes);
    }
    return k->images != NULL;
}

bool batch_keeper_give(batch_keeper *k, batch_task *task, const ht_job *job, const ht_image *images,
                       const ht_report *report, const batch_work *work, char *why,
                       size_t why_bytes) {
    if (!batch_keeper_wait(k, why, why_bytes)) {
        return false;
    }
    k->job = *job;
    if (!copy_images(k, task, images)) {
        free_images(k);
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    k->task = task;
    k->report = *report;
    k->work = *work;
    pthread_mutex_lock(&k->mutex);
    k->busy = true;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->mutex);
    return true;
}
