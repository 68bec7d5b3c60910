// Packed formats as lists of values.
#include "formats.h"

#include <halftone/grid.h>

bool ht_format_has_grid(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row && (row->kind == HT_FMT_MINIFLOAT || row->kind == HT_FMT_SYMMETRIC ||
                   row->kind == HT_FMT_SIGNS);
}

uint32_t ht_format_grid(ht_format format, float values[HT_GRID_MAX]) {
    const ht_fmt_row *row = ht_fmt_find(format);
    uint32_t count = 0;
    if (row->kind == HT_FMT_SIGNS) { // odd numbers: each plane twice the next
        const int largest = (int)ht_fmt_largest(row);
        for (int value = -largest; value <= largest; value += 2) {
            values[count++] = (float)value;
        }
        return count;
    }
    for (uint32_t code = row->top; code > 0; code--) {
        values[count++] = -ht_fmt_decode(row, code);
    }
    for (uint32_t code = 0; code <= row->top; code++) {
        values[count++] = ht_fmt_decode(row, code);
    }
    return count;
}

uint32_t ht_format_group(ht_format format) {
    return ht_fmt_find(format)->group;
}

float ht_format_outer_scale(ht_format format, float largest) {
    return ht_fmt_outer_scale(ht_fmt_find(format), largest);
}

// Around the scale with which the largest value gets the largest code: clipping it gains, as does
// staying below that code (packed.c).
uint32_t ht_format_row_scale_tries(ht_format format, float largest, float tries[HT_SCALE_TRIES]) {
    static const float factors[] = {1.0f, 1.1f, 1.25f, 0.9f}; // the likeliest first
    const ht_fmt_row *row = ht_fmt_find(format);
    const uint32_t count = sizeof factors / sizeof *factors;
    if (row->scale != HT_FMT_SCALE_WHOLE) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        tries[i] = ht_fmt_outer_scale(row, largest) * factors[i];
    }
    return count;
}
