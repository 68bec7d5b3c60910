// Files for fuzz inputs, and the promises that opened checkpoints and tokenizers must keep.
#include "fuzz.h"

#include "packed_file.h"

#include "text/unigram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64]; // one per process, removed at its end
static char paths[4][128];

void fuzz_require(int condition, const char *promise) {
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

static void remove_folder(void) {
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (paths[i][0]) {
            remove(paths[i]);
        }
    }
    rmdir(folder);
}

// Path for a name; the few names a target uses keep their slots.
static const char *path_of(const char *name) {
    if (!folder[0]) {
        // In memory where that exists: a disk would allow a hundred inputs per second.
        strcpy(folder, "/dev/shm/halftone-fuzz-XXXXXX");
        if (!mkdtemp(folder)) {
            strcpy(folder, "/tmp/halftone-fuzz-XXXXXX");
            fuzz_require(mkdtemp(folder) != NULL, "temporary folder");
        }
        atexit(remove_folder);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (!paths[i][0]) {
            strcpy(paths[i], path);
        }
        if (strcmp(paths[i], path) == 0) {
            return paths[i];
        }
    }
    fuzz_require(0, "at most four files");
    return NULL;
}

const char *fuzz_file(const char *name, const void *first, size_t first_bytes, const void *second,
                      size_t second_bytes) {
    const char *path = path_of(name);
    FILE *file = fopen(path, "wb");
    fuzz_require(file != NULL, "temporary file");
    if (first_bytes > 0) {
        fuzz_require(fwrite(first, first_bytes, 1, file) == 1, "write");
    }
    if (second_bytes > 0) {
        fuzz_require(fwrite(second, second_bytes, 1, file) == 1, "write");
    }
    fuzz_require(fclose(file) == 0, "write");
    return path;
}

ht_context *fuzz_context(void) {
    ht_context *context = NULL;
    fuzz_require(ht_context_create(&(ht_context_desc){.host_only = true}, &context) == HT_OK,
                 "a context");
    return context;
}

// All parts of a packed tensor are mapped, and together have the bytes that are told.
static void check_packed(ht_weights *weights, const ht_weight_info *info) {
    const ht_weights_entry *entry =
        ht_weights_lookup(weights->entries, weights->n_entries, info->name);
    ht_tensor_desc device;
    ht_packed_layout at;
    uint64_t taps, total = 0;
    fuzz_require(ht_packed_shape(&info->desc, info->desc.format, &device, &taps), "packed shape");
    ht_packed_layout_of(&device, &at);
    for (int part = 0; part < HT_PACKED_PARTS; part++) {
        ht_packed_part_desc d;
        const bool has =
            ht_packed_part_of(ht_fmt_find(info->desc.format), &at, (ht_packed_part)part, &d);
        fuzz_require(has == (entry->parts[part] != NULL), "the format's parts");
        for (uint64_t i = 0; has && i < d.bytes; i++) {
            (void)((const volatile uint8_t *)entry->parts[part])[i];
        }
        total += has ? d.bytes : 0;
    }
    fuzz_require(total == info->bytes && total <= ht_desc_bytes(&device), "packed bytes");
    (void)ht_packed_file_check_scales(weights->context, entry, &at);
}

static void check_tensor(ht_weights *weights, const ht_weight_info *info) {
    const volatile uint8_t *data = info->data;
    fuzz_require(info->name[0] != '\0' && strlen(info->name) <= 512, "names of 1 to 512 bytes");
    fuzz_require(ht_weights_find(weights, info->name) == info, "found by name");
    fuzz_require(info->desc.rank <= HT_MAX_RANK, "rank");
    if (ht_format_is_packed(info->desc.format)) {
        check_packed(weights, info);
        return;
    }
    for (uint64_t i = 0; i < info->bytes; i++) {
        (void)data[i]; // all of it is mapped
    }
    if (info->desc.format != HT_FORMAT_NONE && info->desc.rank > 0) {
        fuzz_require(ht_desc_bytes(&info->desc) == info->bytes, "shape and bytes agree");
    }
    float value;
    (void)ht_weights_read_f32(weights, info->name, &value, 1);
}

void fuzz_weights(const char *path) {
    ht_context *context = fuzz_context();
    ht_weights *weights = NULL;
    const ht_status status = ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights);
    if (status == HT_OK) {
        for (size_t i = 0; i < ht_weights_count(weights); i++) {
            check_tensor(weights, ht_weights_get(weights, i));
        }
        (void)ht_weights_metadata(weights, "format");
    } else {
        fuzz_require(status == HT_ERR_IO || status == HT_ERR_UNSUPPORTED, "a status of files");
        fuzz_require(weights == NULL, "nothing returned on failure");
        fuzz_require(strstr(ht_context_message(context), "'") != NULL, "a sentence with a name");
    }
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
}

static void check_encode(ht_tokenizer *tokenizer, const char *text, size_t bytes) {
    enum { ROOM = 24 };
    const ht_tokenizer_info *info = ht_tokenizer_get_info(tokenizer);
    int32_t ids[ROOM];
    ht_tokenized result;
    if (ht_tokenizer_encode(tokenizer, text, bytes, ids, ROOM, &result) != HT_OK) {
        return; // a table of replacements may make the text too long
    }
    fuzz_require(result.count >= 1 && result.count <= ROOM, "count");
    fuzz_require(result.full_count >= result.count && result.kept_bytes <= bytes, "cut");
    for (size_t i = 0; i < ROOM; i++) {
        fuzz_require(ids[i] >= 0 && (uint32_t)ids[i] < info->vocab, "ids below vocab");
    }
}

void fuzz_tokenizer(const char *path) {
    static const char text[] = "A red  ball\xe2\x96\x81 caf\xc3\xa9 \xef\xbc\xa1\xff\xe2\x96 "
                               "\xf0\x9f\x98\x80</s>0123456789 abcdefghijklmnopqrstuvwxyz\0\t\n";
    ht_context *context = fuzz_context();
    ht_tokenizer *tokenizer = NULL;
    const ht_status status = ht_tokenizer_open(context, path, &tokenizer);
    if (status == HT_OK) {
        check_encode(tokenizer, "", 0);
        check_encode(tokenizer, text, sizeof text);
    } else {
        fuzz_require(status == HT_ERR_IO || status == HT_ERR_UNSUPPORTED, "status");
        fuzz_require(strstr(ht_context_message(context), path) != NULL, "a sentence with the path");
    }
    ht_tokenizer_destroy(&tokenizer);
    ht_context_destroy(&context);
}
