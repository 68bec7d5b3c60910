// What packing lost, for people and programs.
#include "quantize.h"

#include "common/files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Infinite (nothing was lost) is null in JSON.
static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *layers_json(const quantize_result *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->count; ++i) {
        const packed_layer *l = &r->layers[i];
        json_t *layer =
            json_pack("{s:s, s:s, s:I, s:I, s:o}", "name", l->name, "format",
                      ht_format_name(l->format), "from_bytes", (json_int_t)l->from, "bytes",
                      (json_int_t)l->bytes, "sqnr_db", number_or_null(l->sqnr_db));
        if (l->rounding) {
            json_object_set_new(layer, "rounding", json_string(l->rounding));
            json_object_set_new(layer, "output_nearest_db", number_or_null(l->nearest_db));
            json_object_set_new(layer, "output_db", number_or_null(l->got_db));
        }
        if (l->n_salient > 0) {
            json_object_set_new(layer, "salient",
                                json_pack("{s:s, s:I, s:I}", "format", ht_format_name(l->salient),
                                          "columns", (json_int_t)l->n_salient, "bytes",
                                          (json_int_t)l->salient_bytes));
        }
        json_array_append_new(list, layer);
    }
    return list;
}

static bool write_json(const quantize_options *o, const quantize_result *r, ht_app_log *log) {
    char why[1024] = "out of memory";
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:f, s:o}", "version", HT_VERSION, "recipe", r->recipe,
                  "output", o->output, "from_bytes", (json_int_t)r->from, "bytes",
                  (json_int_t)r->bytes, "seconds", r->seconds, "layers", layers_json(r));
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    const bool good = text && ht_file_write(*o->report ? o->report : "-", text, strlen(text), true,
                                            why, sizeof(why));
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
    }
    free(text);
    json_decref(json);
    return good;
}

static void summary(const quantize_result *r) {
    const packed_layer *worst = NULL;
    double sum = 0, before = 0, now = 0, known = 0;
    for (size_t i = 0; i < r->count; ++i) {
        if (r->layers[i].rounding) {
            before += fmin(r->layers[i].nearest_db, 200);
            now += fmin(r->layers[i].got_db, 200);
            ++known;
        }
        sum += fmin(r->layers[i].sqnr_db, 200);
        worst = !worst || r->layers[i].sqnr_db < worst->sqnr_db ? &r->layers[i] : worst;
    }
    fprintf(stderr, "%s: %zu layers packed in %.1f s, %.1f MB to %.1f MB (%.2f)\n", r->recipe,
            r->count, r->seconds, (double)r->from * 1e-6, (double)r->bytes * 1e-6,
            r->from ? (double)r->bytes / (double)r->from : 1);
    if (worst) {
        fprintf(stderr, "signal to quantization noise: %.1f dB on average, least %.1f dB in %s\n",
                sum / (double)r->count, worst->sqnr_db, worst->name);
    }
    if (known > 0) {
        fprintf(
            stderr,
            "outputs of %.0f calibrated layers: %.1f dB on average, rounded to nearest %.1f dB\n",
            known, now / known, before / known);
    }
}

bool quantize_report(const quantize_options *o, const quantize_result *r, ht_app_log *log) {
    if (!o->quiet) {
        summary(r);
    }
    return !o->report || write_json(o, r, log);
}
