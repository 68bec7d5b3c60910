// --contact-sheet: small versions of all pictures with the numbers of their jobs, in rows.
#include "batch.h"

#include "common/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 192, GAP = 6, LABEL = 14, MAX_EDGE = 12000, MIN_CELL = 24 };

typedef struct entry {
    size_t number;
    const char *path;
} entry;

typedef struct sheet {
    const char *folder;
    ht_app_log *log;
    ht_context *context; // without a device
    entry *entries;
    size_t count;
    uint32_t columns, rows, cell;
    ht_image image; // of malloc
} sheet;

static int by_number(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    return strcmp(x->path, y->path);
}

static bool collect(sheet *s, const json_t *records) {
    const char *key;
    json_t *record, *picture;
    size_t room = 0, i;
    json_object_foreach((json_t *)records, key, record) {
        room += json_array_size(json_object_get(record, "pictures"));
    }
    s->entries = calloc(room + 1, sizeof(*s->entries));
    json_object_foreach((json_t *)records, key, record) {
        json_array_foreach(json_object_get(record, "pictures"), i, picture) {
            if (s->entries) {
                s->entries[s->count++] =
                    (entry){.number = (size_t)json_integer_value(json_object_get(record, "number")),
                            .path = json_string_value(json_object_get(picture, "path"))};
            }
        }
    }
    if (s->entries) {
        qsort(s->entries, s->count, sizeof(*s->entries), by_number);
    }
    return s->entries != NULL;
}

static void set_pixel(sheet *s, uint32_t x, uint32_t y, uint8_t grey) {
    memset(s->image.rgb + ((size_t)y * s->image.width + x) * 3, grey, 3);
}

// Digits of 3 x 5 dots, a row in each octal digit from the top, drawn twice as large.
static void draw_number(sheet *s, uint32_t left, uint32_t top, size_t number) {
    static const uint16_t digits[10] = {075557, 026227, 071747, 071717, 055711,
                                        074717, 074757, 071111, 075757, 075717};
    char text[24];
    snprintf(text, sizeof(text), "%zu", number);
    for (uint32_t i = 0; text[i] && (i + 1) * 8 <= s->cell; ++i) {
        const uint16_t dots = digits[text[i] - '0'];
        for (uint32_t k = 0; k < 60; ++k) {
            const uint32_t x = k % 6, y = k / 6;
            if (dots >> ((4 - y / 2) * 3 + 2 - x / 2) & 1) {
                set_pixel(s, left + i * 8 + x, top + y, 40);
            }
        }
    }
}

// Into its cell, as large as fits, in the middle; a picture that cannot be read leaves it grey.
static bool draw(sheet *s, size_t index) {
    const uint32_t left = GAP + (uint32_t)(index % s->columns) * (s->cell + GAP);
    const uint32_t top = GAP + (uint32_t)(index / s->columns) * (s->cell + LABEL + GAP);
    char path[PATH_MAX];
    const char *why;
    ht_image in = {0}, out = {0};
    draw_number(s, left, top + s->cell + 3, s->entries[index].number);
    const int n = snprintf(path, sizeof(path), "%s/%s", s->folder, s->entries[index].path);
    in.rgb = n < PATH_MAX ? ht_picture_read(path, &in.width, &in.height, &why) : NULL;
    if (!in.rgb) {
        ht_app_say(s->log, HT_LOG_WARN, "'%s' is not on the contact sheet: it cannot be read",
                   path);
        return true;
    }
    const uint32_t edge = in.width > in.height ? in.width : in.height;
    uint32_t width = (uint32_t)((uint64_t)in.width * s->cell / edge);
    uint32_t height = (uint32_t)((uint64_t)in.height * s->cell / edge);
    width = width ? width : 1;
    height = height ? height : 1;
    ht_status status = ht_image_create(s->context, width, height, &out);
    if (status == HT_OK) {
        status = ht_image_resize(s->context, &in, &out);
    }
    for (uint32_t y = 0; y < height && status == HT_OK; ++y) {
        const size_t row = top + (s->cell - height) / 2 + y;
        memcpy(s->image.rgb + (row * s->image.width + left + (s->cell - width) / 2) * 3,
               out.rgb + (size_t)y * width * 3, (size_t)width * 3);
    }
    ht_image_clear(s->context, &out);
    free(in.rgb);
    return status == HT_OK;
}

static void plan(sheet *s) {
    s->columns = 1;
    while ((size_t)s->columns * s->columns < s->count) {
        ++s->columns;
    }
    s->rows = (uint32_t)((s->count + s->columns - 1) / s->columns);
    s->cell = MAX_EDGE / s->columns - LABEL - GAP;
    s->cell = s->columns > MAX_EDGE / (MIN_CELL + LABEL + GAP) ? MIN_CELL : s->cell;
    s->cell = s->cell > CELL ? CELL : s->cell;
    s->image.width = GAP + s->columns * (s->cell + GAP);
    s->image.height = GAP + s->rows * (s->cell + LABEL + GAP);
    s->image.rgb = malloc((size_t)s->image.width * s->image.height * 3);
    if (s->image.rgb) {
        memset(s->image.rgb, 224, (size_t)s->image.width * s->image.height * 3);
    }
}

static bool write_sheet(sheet *s) {
    char path[PATH_MAX], why[BATCH_WHY] = "out of memory";
    ht_bytes bytes = {0};
    const int n = snprintf(path, sizeof(path), "%s/contact-sheet.png", s->folder);
    const bool good = n < PATH_MAX && ht_png_encode(&s->image, NULL, 0, &bytes) &&
                      ht_file_write(path, bytes.data, bytes.count, true, why, sizeof(why));
    free(bytes.data);
    if (!good) {
        ht_app_say(s->log, HT_LOG_ERROR, "no contact sheet: %s", why);
    }
    return good;
}

static bool make(sheet *s, const json_t *records) {
    const ht_context_desc desc = {
        .host_only = true,
        .log = {.write = ht_app_log_write, .user = s->log, .level = s->log->level}};
    if (ht_context_create(&desc, &s->context) != HT_OK || !collect(s, records)) {
        return false;
    }
    if (s->count == 0) {
        ht_app_say(s->log, HT_LOG_WARN, "there is no picture for a contact sheet");
        return true;
    }
    plan(s);
    for (size_t i = 0; i < s->count && s->image.rgb; ++i) {
        if (!draw(s, i)) {
            return false;
        }
    }
    return s->image.rgb && write_sheet(s);
}

bool batch_sheet(const char *folder, const json_t *records, ht_app_log *log) {
    sheet s = {.folder = folder, .log = log};
    const bool good = make(&s, records);
    free(s.image.rgb);
    free(s.entries);
    ht_context_destroy(&s.context);
    return good;
}
