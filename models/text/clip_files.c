// Reading the files of CLIP's tokenizer.
#include "clip_bpe_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

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

// Lines of a text, compressed or not: at most `most` merges, behind a first line that is a comment.
static ht_status read_merges_text(ht_clip_tokenizer *t, const char *name, size_t most) {
    char path[4096], line[4200];
    if (!has_file(t, name, path)) {
        return fail(t, name, "no such file");
    }
    gzFile file = gzopen(path, "rb");
    if (!file) {
        return fail(t, name, "cannot be opened");
    }
    ht_status status = HT_OK;
    size_t lines = 0;
    for (; status == HT_OK && lines <= most && gzgets(file, line, sizeof(line)); ++lines) {
        size_t bytes = strcspn(line, "\r\n");
        bool comment = lines == 0 && (line[0] == '"' || strncmp(line, "#version", 8) == 0);
        if (bytes > 0 && !comment) {
            status = add_merge(t, name, line, bytes);
        }
    }
    int error = Z_OK;
    gzerror(file, &error);
    gzclose(file);
    return status == HT_OK && error < 0 ? fail(t, name, "is damaged") : status;
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

static ht_status read_tokenizer_json(ht_clip_tokenizer *t, const char *name) {
    ht_status status;
    json_t *root = load_object(t, name, &status);
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

static ht_status read_two_files(ht_clip_tokenizer *t, const char *name) {
    ht_status status;
    json_t *vocab = load_object(t, name, &status);
    if (vocab) {
        status = take_vocab(t, name, vocab);
        json_decref(vocab);
    }
    return status == HT_OK ? read_merges_text(t, "merges.txt", HT_CLIP_MAX_MERGES) : status;
}

// The symbols of bytes, in the order of their code points but for those from 256 on, which stand for
// the bytes that are not printed; each alone, then at the end of a word; then what is merged.
static bool add_entry(json_t *vocab, const char *entry, const char *mark, size_t id) {
    char text[4200];
    int length = snprintf(text, sizeof(text), "%s%s", entry, mark);
    return length > 0 && (size_t)length < sizeof(text) &&
           json_object_set_new(vocab, text, json_integer((json_int_t)id)) == 0;
}

static bool add_bytes(const ht_clip_tokenizer *t, json_t *vocab, const char *mark) {
    bool good = true;
    for (int shifted = 0; shifted < 2; ++shifted) {
        for (int b = 0; b < 256; ++b) {
            bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
            if (plain != shifted) {
                good = good && add_entry(vocab, t->byte_symbols[b], mark, json_object_size(vocab));
            }
        }
    }
    return good;
}

static bool make_vocab(const ht_clip_tokenizer *t, json_t *vocab) {
    const char *merge;
    json_t *rank;
    bool good = vocab && add_bytes(t, vocab, "") && add_bytes(t, vocab, "</w>");
    size_t first = json_object_size(vocab);
    json_object_foreach(t->ranks, merge, rank) {
        const char *space = strchr(merge, ' ');
        char joined[4200];
        snprintf(joined, sizeof(joined), "%.*s%s", (int)(space - merge), merge, space + 1);
        good = good && add_entry(vocab, joined, "", first + (size_t)json_integer_value(rank));
    }
    size_t end = first + json_object_size(t->ranks);
    return good && add_entry(vocab, "<|startoftext|>", "", end) &&
           add_entry(vocab, "<|endoftext|>", "", end + 1);
}

// What OpenAI published: more merges than CLIP uses, and ids by their order.
static ht_status read_merges_alone(ht_clip_tokenizer *t, const char *name) {
    ht_status status = read_merges_text(t, name, HT_CLIP_MERGES);
    json_t *vocab = json_object();
    if (status == HT_OK) {
        status = make_vocab(t, vocab) ? take_vocab(t, name, vocab)
                                      : fail(t, name, "is not a list of merges");
    }
    json_decref(vocab);
    return status;
}

static int32_t id_of(const ht_clip_tokenizer *t, const char *entry) {
    const json_t *id = entry ? json_object_get(t->vocab, entry) : NULL;
    return id ? (int32_t)json_integer_value(id) : -1;
}

ht_status ht_clip_tokenizer_pad_with(ht_clip_tokenizer *t, const char *entry) {
    int32_t id = id_of(t, entry);
    if (id < 0) {
        return ht_fail(t->context, HT_ERR_IO, "tokenizer '%s': no entry '%s' to fill rows with",
                       t->path, entry);
    }
    t->info.pad = id;
    return HT_OK;
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
    static const struct {
        const char *name;
        ht_status (*read)(ht_clip_tokenizer *t, const char *name);
    } files[] = {{"vocab.json", read_two_files},
                 {"tokenizer.json", read_tokenizer_json},
                 {"bpe_simple_vocab_16e6.txt.gz", read_merges_alone},
                 {"bpe_simple_vocab_16e6.txt", read_merges_alone}};
    size_t i = 0, count = sizeof(files) / sizeof(*files);
    while (i < count && !has_file(t, files[i].name, path)) {
        ++i;
    }
    if (i == count) {
        return ht_fail(t->context, HT_ERR_IO,
                       "tokenizer '%s': neither vocab.json nor tokenizer.json nor "
                       "bpe_simple_vocab_16e6.txt.gz in this folder",
                       folder);
    }
    ht_status status = files[i].read(t, files[i].name);
    if (status != HT_OK) {
        return status;
    }
    t->info.start = id_of(t, "<|startoftext|>");
    t->info.end = t->info.pad = id_of(t, "<|endoftext|>");
    if (t->info.start < 0 || t->info.end < 0) {
        return fail(t, files[i].name, "no <|startoftext|> or no <|endoftext|>");
    }
    read_settings(t, "special_tokens_map.json");
    read_settings(t, "tokenizer_config.json");
    return HT_OK;
}
