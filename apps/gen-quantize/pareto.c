// The curve of expected losses over budgets.
#include "mixed.h"

#include "common/files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 24, WIDTH = 640, HEIGHT = 400, EDGE = 60 };

typedef struct point {
    double bits, loss;
} point;

static uint64_t weights_of(const mixed *m) {
    uint64_t sum = 0;
    for (size_t i = 0; i < m->count; ++i) {
        sum += m->layers[i].weights;
    }
    return sum;
}

// A layer that has a choice.
static const mixed_layer *free_layer(const mixed *m) {
    for (size_t i = 0; i < m->count; ++i) {
        if (m->layers[i].count > 1) {
            return &m->layers[i];
        }
    }
    return NULL;
}

static const char *format_of(const mixed *m, uint32_t choice) {
    const mixed_layer *l = free_layer(m);
    return ht_format_name(l ? l->formats[choice].weights : HT_FORMAT_NONE);
}

static ht_choice sum_at(const mixed *m, uint32_t choice) {
    ht_choice sum = {0};
    for (size_t i = 0; i < m->count; ++i) {
        const uint32_t c = choice < m->layers[i].count ? choice : 0;
        sum.bytes += m->layers[i].choices[c].bytes;
        sum.loss += m->layers[i].choices[c].loss;
    }
    return sum;
}

// From the smallest to the largest formats; those that no solution is within are left out.
static uint32_t find_points(const mixed *m, point *points, json_t *list) {
    const double least = (double)sum_at(m, 0).bytes, weights = (double)weights_of(m);
    const double most = (double)sum_at(m, MIXED_FORMATS - 1).bytes;
    uint32_t *chosen = calloc(m->count, sizeof(*chosen)), n = 0;
    for (uint32_t i = 0; chosen && i < POINTS && !*m->stop; ++i) {
        const double bytes = ceil(least * pow(most / least, i / (POINTS - 1.0)));
        const ht_allocation problem = {m->problem, (uint32_t)m->count, (uint64_t)bytes,
                                       isfinite(m->activation_bits) ? m->work : (double)INFINITY};
        ht_allocated sums;
        if (ht_allocate(m->better->context, &problem, chosen, &sums) == HT_OK) {
            points[n++] = (point){8 * (double)sums.bytes / weights, sums.loss};
            json_array_append_new(list,
                                  json_pack("{s:I, s:f, s:f, s:f}", "bytes", (json_int_t)sums.bytes,
                                            "bits", 8 * (double)sums.bytes / weights, "loss",
                                            sums.loss, "bound", sums.bound));
        }
    }
    free(chosen);
    return n;
}

static double across(double bits) {
    return EDGE + (WIDTH - 2 * EDGE) * fmin(fmax((bits - 2) / 14, 0), 1);
}

static double down(double loss, double top, double bottom) {
    const double at = (log10(fmax(loss, bottom)) - log10(bottom)) / (log10(top) - log10(bottom));
    return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * at;
}

static void draw(FILE *f, const mixed *m, const point *points, uint32_t n) {
    const double top = n ? points[0].loss * 2 : 1, weights = (double)weights_of(m);
    const double bottom = top * 1e-5;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" "
            "fill=\"white\"/>\n<polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"2\" "
            "points=\"",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (uint32_t i = 0; i < n; ++i) {
        fprintf(f, "%.1f,%.1f ", across(points[i].bits), down(points[i].loss, top, bottom));
    }
    fputs("\"/>\n", f);
    for (uint32_t c = 0; c + 1 < MIXED_FORMATS; ++c) {
        const ht_choice sum = sum_at(m, c);
        const double x = across(8 * (double)sum.bytes / weights);
        const double y = down(sum.loss, top, bottom);
        fprintf(f,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#c30\"/><text x=\"%.1f\" "
                "y=\"%.1f\">%s everywhere</text>\n",
                x, y, x + 8, y - 4, format_of(m, c));
    }
    for (int bits = 2; bits <= 16; bits += 2) {
        fprintf(f, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", across(bits),
                HEIGHT - EDGE + 18, bits);
    }
    fprintf(f,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">bits per weight</text>\n<text "
            "x=\"%d\" y=\"30\">expected loss, from %.1e up to %.1e</text>\n</svg>\n",
            WIDTH / 2, HEIGHT - 16, EDGE, bottom, top);
}

static bool save(const mixed *m, const char *ending, const char *text) {
    char path[PATH_MAX], why[PATH_MAX * 2] = "out of memory";
    mixed_beside(m, ending, path, sizeof(path));
    const bool good = text && ht_file_write(path, text, strlen(text), true, why, sizeof(why));
    if (!good) {
        ht_app_say(m->log, HT_LOG_ERROR, "%s", why);
    }
    return good;
}

bool mixed_curve(mixed *m) {
    point points[POINTS];
    json_t *list = json_array(), *uniform = json_array();
    char *picture = NULL;
    size_t bytes = 0;
    const uint32_t n = find_points(m, points, list);
    for (uint32_t c = 0; c + 1 < MIXED_FORMATS; ++c) {
        const ht_choice sum = sum_at(m, c);
        json_array_append_new(uniform, json_pack("{s:s, s:I, s:f}", "weights", format_of(m, c),
                                                 "bytes", (json_int_t)sum.bytes, "loss", sum.loss));
    }
    json_t *json = json_pack("{s:o, s:o}", "mixed", list, "uniform", uniform);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    FILE *f = open_memstream(&picture, &bytes);
    if (f) {
        draw(f, m, points, n);
        fclose(f);
    }
    const bool good = save(m, ".pareto.json", text) && save(m, ".pareto.svg", picture);
    free(picture);
    free(text);
    json_decref(json);
    return good;
}
