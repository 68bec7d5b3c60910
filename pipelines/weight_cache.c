// Weights packed on loading are kept: the next start reads them back instead of searching for their
// scales again. A file's name is a hash of what the checkpoint holds and of the recipe.
#include "pipeline_internal.h"

#include <halftone/quantize.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { HASH_TEXT = 33, PATH_BYTES = 4096 };
static const char FILE_ENDING[] = ".safetensors";
// Part of every name: another number when packing the same values gives other codes than before.
static const char PACKING[] = "halftone packing 2";

static void hash_text(XXH3_state_t *state, char text[HASH_TEXT]) {
    const XXH128_hash_t hash = XXH3_128bits_digest(state);
    snprintf(text, HASH_TEXT, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

// ---- what the checkpoint holds

static void hash_content(XXH3_state_t *state, const ht_weights *weights) {
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const ht_weight_info *info = ht_weights_get(weights, i);
        XXH3_128bits_update(state, info->name, strlen(info->name) + 1);
        XXH3_128bits_update(state, info->dtype, strlen(info->dtype) + 1);
        XXH3_128bits_update(state, info->desc.dims, sizeof(info->desc.dims));
        XXH3_128bits_update(state, info->data, info->bytes);
    }
}

// Names, sizes and times of the files: while they stay, so does the hash of the content.
static bool hash_files(XXH3_state_t *state, const ht_weights *weights) {
    const char *last = NULL;
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const char *file = ht_weights_get(weights, i)->file;
        struct stat info;
        if (file == last) {
            continue;
        }
        last = file;
        if (stat(file, &info) != 0) {
            return false;
        }
        const int64_t numbers[] = {(int64_t)info.st_dev, (int64_t)info.st_ino,
                                   (int64_t)info.st_size, (int64_t)info.st_mtim.tv_sec,
                                   (int64_t)info.st_mtim.tv_nsec};
        XXH3_128bits_update(state, numbers, sizeof(numbers));
    }
    return true;
}

static bool read_note(const char *path, char text[HASH_TEXT]) {
    FILE *file = fopen(path, "re");
    const bool good = file && fread(text, 1, HASH_TEXT - 1, file) == HASH_TEXT - 1;
    text[HASH_TEXT - 1] = 0;
    if (file) {
        fclose(file);
    }
    return good && strspn(text, "0123456789abcdef") == HASH_TEXT - 1;
}

static void write_note(const char *path, const char *text) {
    char temporary[PATH_BYTES + 32];
    snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(temporary, "we");
    if (file) {
        const bool written = fwrite(text, 1, strlen(text), file) == strlen(text);
        if (fclose(file) != 0 || !written || rename(temporary, path) != 0) {
            unlink(temporary);
        }
    }
}

// The hash of all values, which takes reading them: noted in the cache beside what it made.
static void content_hash(const ht_pipeline *p, const ht_weights *weights, XXH3_state_t *state,
                         char text[HASH_TEXT]) {
    char path[PATH_BYTES], files[HASH_TEXT];
    XXH3_128bits_reset(state);
    const bool noted = hash_files(state, weights);
    hash_text(state, files);
    snprintf(path, sizeof(path), "%s/%s.id", p->options.cache, files);
    if (noted && read_note(path, text)) {
        return;
    }
    XXH3_128bits_reset(state);
    hash_content(state, weights);
    hash_text(state, text);
    if (noted) {
        write_note(path, text);
    }
}

static bool cached_path(const ht_pipeline *p, const ht_weights *weights, char path[PATH_BYTES]) {
    char content[HASH_TEXT], name[HASH_TEXT];
    XXH3_state_t *state = XXH3_createState();
    if (!state) {
        return false;
    }
    content_hash(p, weights, state, content);
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, PACKING, sizeof(PACKING));
    XXH3_128bits_update(state, content, sizeof(content));
    XXH3_128bits_update(state, ht_recipe_text(p->recipe), strlen(ht_recipe_text(p->recipe)));
    hash_text(state, name);
    XXH3_freeState(state);
    return snprintf(path, PATH_BYTES, "%s/%s%s", p->options.cache, name, FILE_ENDING) < PATH_BYTES;
}

// ---- size

typedef struct cached_file {
    char path[PATH_BYTES];
    uint64_t bytes;
    struct timespec used;
} cached_file;

static bool is_older(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

// Sum of the packed files, and the one not used for longest but for `keep`.
static uint64_t look_over(const char *folder, const char *keep, cached_file *oldest) {
    uint64_t total = 0;
    DIR *dir = opendir(folder);
    struct dirent *entry;
    *oldest = (cached_file){0};
    while (dir && (entry = readdir(dir))) {
        cached_file file;
        struct stat info;
        const size_t length = strlen(entry->d_name), tail = sizeof(FILE_ENDING) - 1;
        if (length < tail || strcmp(entry->d_name + length - tail, FILE_ENDING) != 0 ||
            snprintf(file.path, sizeof(file.path), "%s/%s", folder, entry->d_name) >= PATH_BYTES ||
            stat(file.path, &info) != 0) {
            continue;
        }
        file.bytes = (uint64_t)info.st_size;
        file.used = info.st_mtim;
        total += file.bytes;
        if (strcmp(file.path, keep) != 0 &&
            (!oldest->path[0] || is_older(&file.used, &oldest->used))) {
            *oldest = file;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return total;
}

static void remove_oldest(const ht_pipeline *p, const char *keep) {
    cached_file oldest;
    while (look_over(p->options.cache, keep, &oldest) > p->options.cache_bytes && oldest.path[0]) {
        ht_log(p->context, HT_LOG_INFO, "cache: '%s' is removed for room", oldest.path);
        if (unlink(oldest.path) != 0) {
            return;
        }
    }
}

// ---- use

typedef struct packing {
    const ht_pipeline *pipeline;
    double start;
} packing;

static ht_format format_of(const ht_pipeline *p, const char *layer) {
    ht_layer_formats formats;
    ht_recipe_find(p->recipe, layer, &formats);
    return formats.weights;
}

static ht_format layer_format(void *user, const char *layer) {
    return format_of(((const packing *)user)->pipeline, layer);
}

static void salient_columns(void *user, const char *layer, const ht_tensor_desc *desc,
                            ht_quantize_salient *out) {
    ht_layer_formats formats;
    ht_recipe_find(((const packing *)user)->pipeline->recipe, layer, &formats);
    out->format = formats.salient.weights;
    out->count = ht_recipe_salient(&formats, desc->dims[desc->rank - 1]);
}

static bool on_packed(void *user, const ht_quantized *done) {
    const packing *work = user;
    const ht_pipeline *p = work->pipeline;
    const ht_progress now = {.phase = HT_PHASE_LOAD,
                             .step = done->index + 1,
                             .steps = done->count,
                             .seconds = ht_seconds() - work->start};
    return !p->options.progress || p->options.progress(p->options.progress_user, &now);
}

static bool packs_anything(ht_pipeline *p, const ht_weights *weights) {
    bool packs = false;
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const ht_weight_info *info = ht_weights_get(weights, i);
        char layer[PATH_BYTES];
        if (ht_format_is_packed(info->desc.format) || ht_format_is_stack(info->desc.format)) {
            return false;
        }
        packs = packs || (ht_weight_layer(info->name, layer, sizeof(layer)) &&
                          format_of(p, layer) != HT_FORMAT_NONE);
    }
    return packs;
}

static ht_status make(ht_pipeline *p, ht_weights *weights, const char *path) {
    packing work = {.pipeline = p, .start = ht_seconds()};
    const ht_quantize_desc desc = {.path = path,
                                   .replace = true,
                                   .recipe = ht_recipe_text(p->recipe),
                                   .format = layer_format,
                                   .salient = salient_columns,
                                   .done = on_packed,
                                   .user = &work};
    const ht_status status = ht_weights_quantize(weights, &desc);
    if (status == HT_OK) {
        remove_oldest(p, path);
    }
    return status;
}

ht_status ht_weight_cache_open(ht_pipeline *p, const ht_part *part, ht_weights **weights) {
    char path[PATH_BYTES];
    ht_weights *packed = NULL;
    const ht_weights_desc desc = {.path = path, .format = part->format};
    if (!p->options.cache || !packs_anything(p, *weights) || !cached_path(p, *weights, path)) {
        return HT_OK;
    }
    if (access(path, R_OK) != 0) {
        const ht_status status = make(p, *weights, path);
        if (status == HT_ERR_IO) { // no room, no right to write: pack in memory
            ht_log(p->context, HT_LOG_WARN, "the packed weights are not kept: %s",
                   ht_context_message(p->context));
            return HT_OK;
        }
        if (status != HT_OK) {
            return status;
        }
    }
    if (ht_weights_open(p->context, &desc, &packed) != HT_OK) {
        ht_log(p->context, HT_LOG_WARN, "'%s' is damaged and removed", path);
        unlink(path);
        return HT_OK;
    }
    utimensat(AT_FDCWD, path, NULL, 0);
    ht_weights_destroy(weights);
    *weights = packed;
    return HT_OK;
}
