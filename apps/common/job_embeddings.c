// Which files of textual inversion a job needs.
#include "files.h"
#include "folder.h"
#include "job_parts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Takes over `path` and `token`, which are of malloc; `path` may be NULL: out of memory.
static bool add(ht_job_embeddings *out, char *path, char *token) {
    ht_embedding_file *larger =
        path ? realloc(out->files, (out->count + 1) * sizeof(*out->files)) : NULL;
    if (!larger) {
        free(path);
        free(token);
        return false;
    }
    out->files = larger;
    out->files[out->count++] = (ht_embedding_file){.path = path, .token = token};
    return true;
}

// FILE:TOKEN, unless there is a file with all of that as its name.
static bool add_given(const char *given, ht_job_embeddings *out) {
    const char *colon = strrchr(given, ':');
    if (!colon || !colon[1] || strchr(colon, '/') || ht_file_exists(given)) {
        return add(out, strdup(given), NULL);
    }
    char *token = strdup(colon + 1);
    return token && add(out, strndup(given, (size_t)(colon - given)), token);
}

// Length of the name without an ending that embeddings have; 0: it has none. Pickles count: when one
// is asked for, the reader says why it does not read it.
static size_t stem(const char *name) {
    static const char *const endings[] = {".safetensors", ".pt", ".bin", ".ckpt"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); ++i) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcasecmp(name + length - ending, endings[i]) == 0) {
            return length - ending;
        }
    }
    return 0;
}

static bool is_used(const ht_job *job, const char *const *prompts, size_t n_prompts,
                    const char *word) {
    bool used = job->negative_prompt && ht_prompt_has_word(job->negative_prompt, word);
    for (size_t i = 0; i < n_prompts && !used; ++i) {
        used = ht_prompt_has_word(prompts[i], word);
    }
    return used;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static char *join(const char *folder, const char *name) {
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) {
        snprintf(path, bytes, "%s/%s", folder, name);
    }
    return path;
}

static bool add_folder(const ht_job *job, const char *const *prompts, size_t n_prompts,
                       ht_job_embeddings *out) {
    struct dirent **entries;
    int count = scandir(job->embd_dir, &entries, NULL, by_name);
    bool good = count >= 0;
    for (int i = 0; i < count; ++i) {
        const char *name = entries[i]->d_name;
        char *word = strndup(name, stem(name));
        good = good && word;
        if (good && *word && is_used(job, prompts, n_prompts, word)) {
            good = add(out, join(job->embd_dir, name), word);
        } else {
            free(word);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return good;
}

bool ht_job_embeddings_read(const ht_job *job, const char *const *prompts, size_t n_prompts,
                            ht_app_log *log, ht_job_embeddings *out) {
    *out = (ht_job_embeddings){0};
    if (job->embd_dir && !ht_is_folder(job->embd_dir)) {
        ht_app_say(log, HT_LOG_ERROR, "--embd-dir: '%s' is not a folder", job->embd_dir);
        return false;
    }
    bool good = true;
    for (uint32_t i = 0; i < job->embeddings.count && good; ++i) {
        good = add_given(job->embeddings.items[i], out);
    }
    if (good && job->embd_dir) {
        good = add_folder(job, prompts, n_prompts, out);
    }
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "out of memory");
    }
    return good;
}

void ht_job_embeddings_free(ht_job_embeddings *embeddings) {
    for (size_t i = 0; i < embeddings->count; ++i) {
        free((char *)embeddings->files[i].path);
        free((char *)embeddings->files[i].token);
    }
    free(embeddings->files);
    *embeddings = (ht_job_embeddings){0};
}
