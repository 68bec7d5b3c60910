// A palette of 256 colours for the frames of a GIF.
#include "video_codecs.h"

#include <stdlib.h>
#include <string.h>

enum { CELLS = 32768, COLOURS = 256 }; // five bits a channel

// Colours of the frames in a cell: how many, their sums, and the sum of their squares.
typedef struct cell {
    double count, sum[3], squares;
} cell;

typedef struct box {
    uint8_t low[3], high[3]; // cells, inclusive
    cell total;
} box;

static size_t cell_at(const uint8_t at[3]) {
    return (size_t)at[0] << 10 | (size_t)at[1] << 5 | at[2];
}

static void count_colours(const ht_image *frames, size_t count, cell *cells) {
    for (size_t f = 0; f < count; ++f) {
        size_t pixels = (size_t)frames[f].width * frames[f].height;
        for (size_t i = 0; i < pixels; ++i) {
            const uint8_t *rgb = frames[f].rgb + 3 * i;
            const uint8_t at[3] = {rgb[0] >> 3, rgb[1] >> 3, rgb[2] >> 3};
            cell *c = &cells[cell_at(at)];
            c->count += 1;
            for (int k = 0; k < 3; ++k) {
                c->sum[k] += rgb[k];
                c->squares += (double)rgb[k] * rgb[k];
            }
        }
    }
}

// What the colours of a part of a box add up to, between `low` and `high`.
static cell add_up(const cell *cells, const uint8_t low[3], const uint8_t high[3]) {
    cell total = {0};
    uint8_t at[3];
    for (at[0] = low[0]; at[0] <= high[0]; ++at[0]) {
        for (at[1] = low[1]; at[1] <= high[1]; ++at[1]) {
            for (at[2] = low[2]; at[2] <= high[2]; ++at[2]) {
                const cell *c = &cells[cell_at(at)];
                total.count += c->count;
                total.squares += c->squares;
                for (int k = 0; k < 3; ++k) {
                    total.sum[k] += c->sum[k];
                }
            }
        }
    }
    return total;
}

// Sum of squared distances to the mean colour.
static double spread(const cell *c) {
    double means = 0;
    for (int k = 0; k < 3 && c->count > 0; ++k) {
        means += c->sum[k] * c->sum[k] / c->count;
    }
    return c->squares - means;
}

// The cut that leaves the least spread; false when the box cannot be cut.
static bool cut(const cell *cells, box *first, box *second) {
    double best = -1;
    const box whole = *first;
    for (int k = 0; k < 3; ++k) {
        for (uint8_t at = whole.low[k]; at < whole.high[k]; ++at) {
            box a = whole, b = whole;
            a.high[k] = at;
            b.low[k] = (uint8_t)(at + 1);
            a.total = add_up(cells, a.low, a.high);
            b.total = add_up(cells, b.low, b.high);
            double left = spread(&a.total) + spread(&b.total);
            if (a.total.count > 0 && b.total.count > 0 && (best < 0 || left < best)) {
                best = left;
                *first = a;
                *second = b;
            }
        }
    }
    return best >= 0;
}

// The box whose colours are spread most and that can still be cut.
static uint32_t widest(const box *boxes, uint32_t count, const bool *whole) {
    uint32_t best = count;
    for (uint32_t i = 0; i < count; ++i) {
        if (!whole[i] && (best == count || spread(&boxes[i].total) > spread(&boxes[best].total))) {
            best = i;
        }
    }
    return best;
}

static void fill_map(const box *boxes, uint32_t count, uint8_t *map) {
    for (uint32_t i = 0; i < count; ++i) {
        uint8_t at[3];
        for (at[0] = boxes[i].low[0]; at[0] <= boxes[i].high[0]; ++at[0]) {
            for (at[1] = boxes[i].low[1]; at[1] <= boxes[i].high[1]; ++at[1]) {
                for (at[2] = boxes[i].low[2]; at[2] <= boxes[i].high[2]; ++at[2]) {
                    map[cell_at(at)] = (uint8_t)i;
                }
            }
        }
    }
}

bool ht_video_palette(const ht_image *frames, size_t count, uint32_t palette[256], uint8_t *map) {
    cell *cells = calloc(CELLS, sizeof(*cells));
    box *boxes = calloc(COLOURS, sizeof(*boxes));
    bool whole[COLOURS] = {false};
    uint32_t n = 1;
    if (!cells || !boxes) {
        free(cells);
        free(boxes);
        return false;
    }
    count_colours(frames, count, cells);
    boxes[0] = (box){.high = {31, 31, 31}};
    boxes[0].total = add_up(cells, boxes[0].low, boxes[0].high);
    for (uint32_t i = 0; n < COLOURS && (i = widest(boxes, n, whole)) < n;) {
        if (cut(cells, &boxes[i], &boxes[n])) {
            ++n;
        } else {
            whole[i] = true;
        }
    }
    memset(palette, 0, COLOURS * sizeof(*palette));
    for (uint32_t i = 0; i < COLOURS; ++i) {
        uint32_t colour = 0xff;
        for (int k = 0; k < 3; ++k) {
            double mean = i < n && boxes[i].total.count > 0
                              ? boxes[i].total.sum[k] / boxes[i].total.count
                              : 0;
            colour = colour << 8 | (uint32_t)(mean + 0.5);
        }
        palette[i] = colour;
    }
    fill_map(boxes, n, map);
    free(cells);
    free(boxes);
    return true;
}

static int distance(uint32_t colour, const uint8_t rgb[3]) {
    int r = (int)(colour >> 16 & 255) - rgb[0], g = (int)(colour >> 8 & 255) - rgb[1];
    int b = (int)(colour & 255) - rgb[2];
    return r * r + g * g + b * b;
}

uint8_t ht_video_palette_find(const uint32_t palette[256], const uint8_t *map,
                              const uint8_t rgb[3]) {
    const uint8_t at[3] = {rgb[0] >> 3, rgb[1] >> 3, rgb[2] >> 3};
    uint32_t best = map[cell_at(at)];
    int least = distance(palette[best], rgb);
    for (uint32_t i = 0; i < COLOURS && least > 0; ++i) {
        int d = distance(palette[i], rgb);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return (uint8_t)best;
}
