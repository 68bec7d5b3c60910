// Reading the files of CLIP's tokenizer.
#include "clip_bpe_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static ht_status fail(const ht_clip_tokenizer *t, const char *file, const char *what) {
    return ht_fail(t->context, HT_ERR_IO, "tokenizer '%s/%s': %s", t->path, file, what);
}

static bool has_file(const ht_clip_tokenizer *t, const char *name, char path[4096]) {
    struct stat info;
    int length = snprintf(path, 4096, "%s/%s", t->path, name);
    return length > 0 && length < 4096 && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// NULL, with the failure in *status, when there is no such JSON object.
static json_t *load_object(const ht_clip_tokenizer *t, const char *name, ht_status *status) {
    char path[4096];
    struct stat info;
    json_error_t error;
    if (!has_file(t, name, path) || stat(path, &info) != 0 || info.st_size > HT_CLIP_MAX_FILE) {
        *status = fail(t, name, "no such file, or more than 64 MiB");
        return NULL;
    }
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!json_is_object(root)) {
        *status = fail(t, name, root ? "is not a JSON object" : error.text);
        json_decref(root);
        return NULL;
    }
    *status = HT_OK;
    return root;
}

// Every entry an id below the number of entries, none twice.
static ht_status take_vocab(ht_clip_tokenizer *t, const char *file, json_t *vocab) {
    size_t count = json_object_size(vocab);
    const char *entry;
    json_t *id;
    if (!json_is_object(vocab) || count < 4 || count > 1u << 22) {
        return fail(t, file, "the vocabulary is not an object of 4 to 4194304 entries");
    }
    uint8_t *seen = ht_alloc(t->context, count);
    if (!seen) {
        return HT_ERR_NO_MEMORY;
    }
    ht_status status = HT_OK;
    memset(seen, 0, count);
    json_object_foreach(vocab, entry, id) {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || (size_t)value >= count || seen[value]) {
            status = ht_fail(t->context, HT_ERR_IO,
                             "tokenizer '%s/%s': entry '%.40s' has no id of its own below %zu",
                             t->path, file, entry, count);
            break;
        }
        seen[value] = 1;
    }
    ht_free(t->context, seen);
    t->vocab = json_incref(vocab);
    t->info.vocab = (uint32_t)count;
    return status;
}

static ht_status add_merge(ht_clip_tokenizer *t, const char *file, const char *text, size_t bytes) {
    size_t rank = json_object_size(t->ranks);
    const char *space = memchr(text, ' ', bytes);
    if (!space || space == text || space + 1 == text + bytes ||
        memchr(space + 1, ' ', (size_t)(text + bytes - space - 1)) || rank >= HT_CLIP_MAX_MERGES) {
        return ht_fail(t->context, HT_ERR_IO, "tokenizer '%s/%s': merge %zu is not two symbols",
                       t->path, file, rank);
    }
    char key[4096];
    if (bytes >= sizeof(key)) {
        return fail(t, file, "a merge of more than 4095 bytes");
    }
    memcpy(key, text, bytes);
    key[bytes] = 0;
    if (json_object_get(t->ranks, key)) {
        return HT_OK; // the first counts
    }
    return json_object_set_new(t->ranks, key, json_integer((json_int_t)rank)) == 0
               ? HT_OK
               : fail(t, file, "a merge is not UTF-8");
}

static ht_status read_merges_text(ht_clip_tokenizer *t) {
    char path[4096], line[4200];
    if (!has_file(t, "merges.txt", path)) {
        return fail(t, "merges.txt", "no such file");
    }
    FILE *file = fopen(path, "rb");
    if (!file) {
        return fail(t, "merges.txt", "cannot be opened");
    }
    ht_status status = HT_OK;
    for (bool first = true; status == HT_OK && fgets(line, sizeof(line), file); first = false) {
        size_t bytes = strcspn(line, "\r\n");
        bool comment = first && strncmp(line, "#version", 8) == 0;
        if (bytes > 0 && !comment) {
            status = add_merge(t, "merges.txt", line, bytes);
        }
    }
    fclose(file);
    return status;
}

// A list of "left right" or of [left, right].
static ht_status read_merges_list(ht_clip_tokenizer *t, const json_t *list) {
    size_t i;
    json_t *item;
    ht_status status = HT_OK;
    json_array_foreach(list, i, item) {
        char line[4200];
        const char *left = json_string_value(json_array_get(item, 0));
        const char *right = json_string_value(json_array_get(item, 1));
        const char *text = json_string_value(item);
        if (left && right) {
            snprintf(line, sizeof(line), "%s %s", left, right);
            text = line;
        }
        status = text ? add_merge(t, "tokenizer.json", text, strlen(text))
                      : fail(t, "tokenizer.json", "a merge is not two symbols");
        if (status != HT_OK) {
            break;
        }
    }
    return status;
}

static ht_status read_tokenizer_json(ht_clip_tokenizer *t) {
    ht_status status;
    json_t *root = load_object(t, "tokenizer.json", &status);
    if (!root) {
        return status;
    }
    const json_t *model = json_object_get(root, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    const char *suffix = json_string_value(json_object_get(model, "end_of_word_suffix"));
    if ((type && strcmp(type, "BPE") != 0) || !suffix || strcmp(suffix, "</w>") != 0) {
        status = ht_fail(t->context, HT_ERR_UNSUPPORTED,
                         "tokenizer '%s/tokenizer.json': a %s model; supported for CLIP: BPE with "
                         "</w> at the end of words",
                         t->path, type ? type : "nameless");
    }
    if (status == HT_OK) {
        status = take_vocab(t, "tokenizer.json", json_object_get(model, "vocab"));
    }
    if (status == HT_OK) {
        status = read_merges_list(t, json_object_get(model, "merges"));
    }
    json_decref(root);
    return status;
}

static ht_status read_two_files(ht_clip_tokenizer *t) {
    ht_status status;
    json_t *vocab = load_object(t, "vocab.json", &status);
    if (vocab) {
        status = take_vocab(t, "vocab.json", vocab);
        json_decref(vocab);
    }
    return status == HT_OK ? read_merges_text(t) : status;
}

static int32_t id_of(const ht_clip_tokenizer *t, const char *entry) {
    const json_t *id = entry ? json_object_get(t->vocab, entry) : NULL;
    return id ? (int32_t)json_integer_value(id) : -1;
}

// The padding entry: a text, or an object that has it as "content".
static void read_settings(ht_clip_tokenizer *t, const char *name) {
    char path[4096];
    ht_status status;
    if (!has_file(t, name, path)) {
        return;
    }
    json_t *root = load_object(t, name, &status);
    const json_t *pad = json_object_get(root, "pad_token");
    const char *text = json_is_object(pad) ? json_string_value(json_object_get(pad, "content"))
                                           : json_string_value(pad);
    json_int_t length = json_integer_value(json_object_get(root, "model_max_length"));
    if (id_of(t, text) >= 0) {
        t->info.pad = id_of(t, text);
    }
    if (length > 2 && length <= 4096) {
        t->info.max_length = (uint32_t)length;
    }
    json_decref(root);
}

ht_status ht_clip_files_read(ht_clip_tokenizer *t, const char *folder) {
    char path[4096];
    t->path = ht_strdup(t->context, folder);
    t->ranks = json_object();
    if (!t->path || !t->ranks) {
        return HT_ERR_NO_MEMORY;
    }
    bool two = has_file(t, "vocab.json", path);
    if (!two && !has_file(t, "tokenizer.json", path)) {
        return ht_fail(t->context, HT_ERR_IO,
                       "tokenizer '%s': neither vocab.json nor tokenizer.json in this folder",
                       folder);
    }
    ht_status status = two ? read_two_files(t) : read_tokenizer_json(t);
    if (status != HT_OK) {
        return status;
    }
    t->info.start = id_of(t, "<|startoftext|>");
    t->info.end = t->info.pad = id_of(t, "<|endoftext|>");
    if (t->info.start < 0 || t->info.end < 0) {
        return fail(t, two ? "vocab.json" : "tokenizer.json",
                    "no <|startoftext|> or no <|endoftext|>");
    }
    read_settings(t, "special_tokens_map.json");
    read_settings(t, "tokenizer_config.json");
    return HT_OK;
}
