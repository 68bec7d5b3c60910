// Which cases are measured, in which formats.
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static bool add_format(bench_formats *formats, ht_format format) {
    for (size_t i = 0; i < formats->count; i++) {
        if (formats->list[i] == format) {
            return true;
        }
    }
    if (formats->count == BENCH_MAX_FORMATS) {
        return false;
    }
    formats->list[formats->count++] = format;
    return true;
}

static bool add_all(bench_formats *formats) {
    bool fit = add_format(formats, HT_FORMAT_NONE);
    for (size_t i = 0; ht_format_at(i) != HT_FORMAT_NONE && fit; i++) {
        if (ht_format_is_packed(ht_format_at(i))) {
            fit = add_format(formats, ht_format_at(i));
        }
    }
    return fit;
}

bool bench_formats_read(const char *names, bench_formats *formats, char *wrong, size_t bytes) {
    formats->count = 0;
    while (names != NULL) {
        const size_t length = strcspn(names, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), names);
        const ht_format format = ht_format_find(name);
        const bool plain = strcmp(name, "float") == 0;
        const bool good = strcmp(name, "all") == 0 ? add_all(formats)
                          : plain || ht_format_is_packed(format)
                              ? add_format(formats, plain ? HT_FORMAT_NONE : format)
                              : false;
        if (!good) {
            snprintf(wrong, bytes, "%s", name);
            return false;
        }
        names = names[length] == ',' ? names + length + 1 : NULL;
    }
    return true;
}

// Is there a kernel for w times x?
static bool multiplies(ht_format w, ht_format x) {
    if (x == HT_FORMAT_NONE) {
        return true;
    }
    return w != HT_FORMAT_NONE && ht_format_for_activations(x) &&
           (!ht_format_in_planes(x) || ht_format_in_planes(w));
}

static bool is_wanted(const bench_case *c, bool in_formats, const char *filter, bool quick) {
    if (in_formats &&
        (c->w != HT_FORMAT_NONE || (c->op != BENCH_LINEAR && c->op != BENCH_CONV2D))) {
        return false;
    }
    if (filter != NULL) {
        return strstr(c->name, filter) != NULL || strstr(bench_op_name(c->op), filter) != NULL;
    }
    return c->quick || !quick;
}

bench_case *bench_rows(const bench_formats *w, const bench_formats *x, const char *filter,
                       bool quick, size_t *count) {
    const bench_formats floats = {.count = 1};
    const bool in_formats = w->count > 0;
    const bench_formats *of_w = in_formats ? w : &floats;
    const bench_formats *of_x = x->count > 0 ? x : &floats;
    const bool choice = of_w->count * of_x->count > 1;
    bench_case *rows = calloc(bench_case_count * of_w->count * of_x->count, sizeof *rows);
    *count = 0;
    for (size_t i = 0; rows != NULL && i < bench_case_count; i++) {
        if (!is_wanted(&bench_cases[i], in_formats, filter, quick)) {
            continue;
        }
        for (size_t pair = 0; pair < of_w->count * of_x->count; pair++) {
            const ht_format row_w = of_w->list[pair / of_x->count];
            const ht_format row_x = of_x->list[pair % of_x->count];
            if (choice && !multiplies(row_w, row_x)) {
                continue;
            }
            rows[*count] = bench_cases[i];
            if (in_formats) {
                rows[*count].w = row_w;
                rows[*count].x = row_x;
            }
            (*count)++;
        }
    }
    return rows;
}
