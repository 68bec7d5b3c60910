// --show-attention: maps of the blocks of each head, in the natural order and in the one that was
// chosen, and what is kept of them.
#include "attention.h"

#include "common/files.h"

#include <common/attention_table.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 160, GAP = 12, TEXT = 16, LEFT = 12, HEADS_SHOWN = 16, CELLS_SHOWN = 128 };

// The table with its masses, and the same with "natural" ones in their place.
typedef struct tables {
    ht_context *context;
    ht_attention_table *chosen, *natural;
    json_t *root;
} tables;

static ht_attention_table *parse(const tables *t, const char *label) {
    ht_attention_table *table = NULL;
    char *text = json_dumps(t->root, JSON_COMPACT);
    if (text) {
        ht_attention_table_parse(t->context, label, text, &table);
    }
    free(text);
    return table;
}

static bool open_tables(tables *t, const quantize_options *o, ht_app_log *log) {
    const ht_context_desc desc = {
        .host_only = true, .log = {.write = ht_app_log_write, .user = log, .level = log->level}};
    json_error_t error;
    json_t *layer;
    const char *name;
    t->root = json_load_file(o->show_attention, JSON_REJECT_DUPLICATES, &error);
    if (!t->root) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' is no table of attentions: %s (line %d)",
                   o->show_attention, error.text, error.line);
        return false;
    }
    if (ht_context_create(&desc, &t->context) != HT_OK) {
        return false;
    }
    t->chosen = parse(t, o->show_attention);
    json_object_foreach(json_object_get(t->root, "layers"), name, layer) {
        json_t *natural = json_object_get(layer, "natural");
        if (json_is_string(natural)) {
            json_object_set(layer, "masses", natural);
        }
    }
    t->natural = t->chosen ? parse(t, o->show_attention) : NULL;
    if (t->natural) {
        ht_attention_table_keep(t->chosen, o->density);
        ht_attention_table_keep(t->natural, o->density);
    }
    return t->natural != NULL;
}

static uint32_t blocks_of(const ht_attention_layer *l) {
    return ht_attention_block_count(ht_attention_grid_tokens(&l->grid));
}

// Mass that the kept blocks of a head hold, and their share of all blocks.
static void sum_up(const ht_attention_layer *l, uint32_t head, double *mass, double *density) {
    const uint64_t map = (uint64_t)blocks_of(l) * blocks_of(l);
    double all = 0, kept = 0, count = 0;
    for (uint64_t i = head * map; i < (head + 1) * map; ++i) {
        const double value = exp2(-l->codes[i] / 8.0);
        all += value;
        kept += l->keep[i] ? value : 0;
        count += l->keep[i] != 0;
    }
    *mass = all > 0 ? kept / all : 0;
    *density = count / (double)map;
}

// Dark: much mass; what is dropped is reddish.
static void draw_map(FILE *out, const ht_attention_layer *l, uint32_t head, int x, int y) {
    const uint32_t blocks = blocks_of(l);
    const uint32_t step = (blocks + CELLS_SHOWN - 1) / CELLS_SHOWN;
    const double cell = (double)SIDE / blocks;
    fprintf(out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" "
            "stroke=\"#888\"/>\n",
            x, y, SIDE, SIDE);
    for (uint32_t u = 0; u < blocks; u += step) {
        for (uint32_t v = 0; v < blocks; v += step) {
            const uint64_t at = ((uint64_t)head * blocks + u) * blocks + v;
            const double share = exp2(-l->codes[at] / 8.0) * blocks; // 1: as even attention
            const int light = (int)(255 - 200 * fmin(1, share / 4));
            fprintf(out,
                    "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                    "fill=\"rgb(%d,%d,%d)\"/>\n",
                    x + v * cell, y + u * cell, step * cell, step * cell,
                    l->keep[at] ? light - 30 : 255,
                    l->keep[at]      ? light
                    : light - 20 > 0 ? light - 20
                                     : 0,
                    l->keep[at] ? 255 : light);
        }
    }
}

static void draw(FILE *out, const tables *t) {
    json_t *layers = json_object_get(t->root, "layers"), *ignored;
    const int row = 2 * (SIDE + TEXT) + 3 * GAP + TEXT;
    const char *name;
    int top = GAP;
    uint32_t most = 0; // heads side by side
    json_object_foreach(layers, name, ignored) {
        ht_attention_layer l;
        if (ht_attention_table_find(t->chosen, name, &l) && l.heads > most) {
            most = l.heads < HEADS_SHOWN ? l.heads : HEADS_SHOWN;
        }
    }
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"white\"/>\n",
            LEFT + (int)most * (SIDE + GAP), (int)json_object_size(layers) * row + GAP);
    json_object_foreach(layers, name, ignored) {
        ht_attention_layer pair[2];
        if (!ht_attention_table_find(t->natural, name, &pair[0]) ||
            !ht_attention_table_find(t->chosen, name, &pair[1])) {
            continue;
        }
        fprintf(out,
                "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s, %u x %u x %u tokens</text>\n",
                LEFT, top + TEXT - 4, name, pair[1].grid.frames, pair[1].grid.height,
                pair[1].grid.width);
        for (uint32_t head = 0; head < pair[1].heads && head < HEADS_SHOWN; ++head) {
            for (int which = 0; which < 2; ++which) {
                const int x = LEFT + (int)head * (SIDE + GAP);
                const int y = top + TEXT + which * (SIDE + TEXT + GAP);
                double mass, density;
                sum_up(&pair[which], head, &mass, &density);
                draw_map(out, &pair[which], head, x, y + TEXT);
                fprintf(out, "<text x=\"%d\" y=\"%d\">%u %s: %.0f %% hold %.1f %%</text>\n", x,
                        y + TEXT - 4, head,
                        ht_attention_order_name(which ? pair[1].orders[head] : 0), 100 * density,
                        100 * mass);
            }
        }
        top += row;
    }
    fputs("</svg>\n", out);
}

bool quantize_attention_show(const quantize_options *o, ht_app_log *log) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory";
    tables t = {0};
    char *text = NULL;
    size_t bytes = 0;
    bool good = open_tables(&t, o, log);
    FILE *memory = good ? open_memstream(&text, &bytes) : NULL;
    if (memory) {
        draw(memory, &t);
        good = fclose(memory) == 0;
        snprintf(path, sizeof(path), "%s.svg", o->show_attention);
        if (!good ||
            !ht_file_write(o->plot ? o->plot : path, text, bytes, o->overwrite, why, sizeof(why))) {
            ht_app_say(log, HT_LOG_ERROR, "%s", why);
            good = false;
        } else if (!o->quiet) {
            printf("%s\n", o->plot ? o->plot : path);
        }
    }
    free(text);
    ht_attention_table_destroy(&t.chosen);
    ht_attention_table_destroy(&t.natural);
    ht_context_destroy(&t.context);
    json_decref(t.root);
    return good && memory;
}
