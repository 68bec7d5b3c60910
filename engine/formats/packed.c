// Packed formats: codes of a few bits and the scales of their groups. The order of operations is
// fixed, on the device too: value * (1 / scale) in f32, then clamp, then round; and the scale that
// is stored is the one that is used.
#include "core.h"
#include "formats.h"

#include <halftone/grid.h>

#include <float.h>
#include <math.h>
#include <string.h>

// Searching scales is what packing costs. The wider vectors of x86 are used where they are; no
// fused multiply-add is among them, so results stay the same.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif
enum {
    LANES = 8,
    THREAD_VALUES = 1 << 14, // fewer are not worth a thread: about a millisecond
};

// ---- codes

static float exponent_bias(const ht_fmt_row *row) {
    return row->exponent == 1 ? 1 : (float)((1 << (row->exponent - 1)) - 1);
}

static float decode_magnitude(const ht_fmt_row *row, uint32_t code) {
    const uint32_t steps = 1u << row->mantissa;
    const uint32_t field = code >> row->mantissa, fraction = code & (steps - 1);
    const int lowest = 1 - (int)exponent_bias(row) - (int)row->mantissa;
    return field == 0 ? ldexpf((float)fraction, lowest)
                      : ldexpf((float)(steps + fraction), lowest + (int)field - 1);
}

float ht_fmt_largest(const ht_fmt_row *row) {
    if (row->kind == HT_FMT_SIGNS) {
        return (float)((1u << row->bits) - 1);
    }
    return row->kind == HT_FMT_MINIFLOAT ? decode_magnitude(row, row->top) : (float)row->top;
}

// Round to nearest even, |x| < 2^22: there the sum has no bits left for a fraction.
static inline float nearest(float x) {
    return (x + 12582912.0f) - 12582912.0f;
}

static inline float power_of_two(int exponent) { // -126..127
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// What rounding needs of a row, worked out once.
typedef struct grid {
    bool minifloat;
    float low, high;     // of the codes
    int mantissa, least; // least exponent
} grid;

static grid grid_of(const ht_fmt_row *row) {
    const float high = ht_fmt_largest(row);
    return (grid){.minifloat = row->kind == HT_FMT_MINIFLOAT,
                  .low = row->kind == HT_FMT_ZERO_POINT ? 0 : -high,
                  .high = high,
                  .mantissa = (int)row->mantissa,
                  .least = row->exponent ? 1 - (int)exponent_bias(row) : 0};
}

// Exponent of the steps around a value that is within the grid.
static inline int exponent_at(const grid *g, float size) {
    uint32_t bits;
    memcpy(&bits, &size, sizeof bits);
    const int exponent = (int)(bits >> 23) - 127;
    return exponent > g->least ? exponent : g->least;
}

// The value of the code that a number gets; NaN is not expected.
static inline float snap(const grid *g, float value) {
    const float kept = value < g->low ? g->low : value > g->high ? g->high : value;
    if (!g->minifloat) {
        return nearest(kept);
    }
    const int shift = exponent_at(g, fabsf(kept)) - g->mantissa;
    return nearest(kept * power_of_two(-shift)) * power_of_two(shift);
}

static uint32_t encode_minifloat(const ht_fmt_row *row, const grid *g, float value) {
    const uint32_t sign = signbit(value) ? 1u << (row->bits - 1) : 0;
    const float size = fabsf(value);
    if (size >= g->high) {
        return sign | row->top;
    }
    const int exponent = exponent_at(g, size);
    const uint32_t rounded = (uint32_t)nearest(size * power_of_two(g->mantissa - exponent));
    // Adding carries a rounded-up mantissa into the exponent field.
    const uint32_t code = ((uint32_t)(exponent - g->least) << row->mantissa) + rounded;
    return sign | (code < row->top ? code : row->top);
}

static uint32_t encode(const ht_fmt_row *row, const grid *g, float value) {
    if (value != value) {
        return 0;
    }
    if (g->minifloat) {
        return encode_minifloat(row, g, value);
    }
    return (uint32_t)(int32_t)snap(g, value) & ((1u << row->bits) - 1);
}

uint32_t ht_fmt_encode(const ht_fmt_row *row, float value) {
    const grid g = grid_of(row);
    return encode(row, &g, value);
}

float ht_fmt_decode(const ht_fmt_row *row, uint32_t code) {
    const uint32_t sign = 1u << (row->bits - 1);
    if (row->kind == HT_FMT_MINIFLOAT) {
        const float size = decode_magnitude(row, code & (sign - 1));
        return code & sign ? -size : size;
    }
    if (row->kind == HT_FMT_ZERO_POINT) {
        return (float)code;
    }
    return (float)((int32_t)(code ^ sign) - (int32_t)sign);
}

// ---- scales

static const ht_fmt_row *e4m3(void) {
    return ht_fmt_find(HT_FORMAT_E4M3);
}

float ht_fmt_scale_value(const ht_fmt_row *row, const void *scales, uint64_t index) {
    const uint8_t *bytes = scales;
    uint16_t half;
    float value;
    switch (row->scale) {
    case HT_FMT_SCALE_F32: memcpy(&value, bytes + 4 * index, sizeof value); return value;
    case HT_FMT_SCALE_F16:
        memcpy(&half, bytes + 2 * index, sizeof half);
        return ht_fmt_f32_from_f16(half);
    case HT_FMT_SCALE_E8M0: return ldexpf(1, (int)bytes[index] - 127);
    case HT_FMT_SCALE_E4M3: return ht_fmt_decode(e4m3(), bytes[index]);
    case HT_FMT_SCALE_WHOLE: return (float)((bytes[index / 2] >> (index % 2 * 4)) & 15);
    case HT_FMT_SCALE_NONE: break;
    }
    return 1;
}

uint32_t ht_fmt_most_times(const ht_fmt_row *row) {
    return (uint32_t)(127 * ht_fmt_decode(row, 1) / ht_fmt_largest(row));
}

// Store the scale nearest to the wanted one, and return it as it will be read back: times an outer
// scale never below FLT_MIN, so that 1 / scale is finite. E8M0 takes the power of two at or below.
static float put_scale(const ht_fmt_row *row, void *scales, uint64_t index, float wanted) {
    uint8_t *bytes = scales;
    uint16_t half;
    switch (row->scale) {
    case HT_FMT_SCALE_F32:
        wanted = wanted > FLT_MIN ? wanted : FLT_MIN;
        memcpy(bytes + 4 * index, &wanted, sizeof wanted);
        break;
    case HT_FMT_SCALE_F16:
        half = ht_fmt_f16_from_f32(wanted < 65504 ? wanted : 65504);
        half = half == 0 ? 1 : half;
        memcpy(bytes + 2 * index, &half, sizeof half);
        break;
    case HT_FMT_SCALE_E8M0: {
        const int exponent = 127 + ilogbf(wanted);
        bytes[index] = (uint8_t)(exponent < 1 ? 1 : exponent > 254 ? 254 : exponent);
        break;
    }
    case HT_FMT_SCALE_E4M3: {
        const uint32_t code = ht_fmt_encode(e4m3(), wanted);
        bytes[index] = (uint8_t)(code == 0 ? 1 : code);
        break;
    }
    case HT_FMT_SCALE_WHOLE: {
        const float times = fmaxf(1, fminf(wanted, (float)ht_fmt_most_times(row)));
        const uint32_t shift = index % 2 * 4, other = bytes[index / 2] & (0xf0u >> shift);
        bytes[index / 2] = (uint8_t)(other | (uint32_t)nearest(times) << shift);
        break;
    }
    case HT_FMT_SCALE_NONE: break;
    }
    return ht_fmt_scale_value(row, scales, index);
}

// ---- groups

typedef struct group {
    const ht_fmt_row *row;
    const grid *grid;
    const float *values;
    uint32_t count;
    float outer;    // scale
    uint8_t *codes; // of the row
    uint32_t first; // in the row
    void *scales;
    uint64_t index; // of its scale
    uint8_t *zero;  // INT4Z
} group;

// Squared error of a group at one scale. Eight sums, whatever the machine's vectors are, so that the
// codes are the same everywhere; written so that compilers can use such vectors.
typedef struct trial {
    float scale, inverse, zero;
} trial;

static inline void add_errors(const grid *codes, trial t, const float *values, double *sums) {
    for (uint32_t i = 0; i < LANES; i++) {
        const float value = ht_fmt_limited(values[i]);
        const float off = (snap(codes, value * t.inverse + t.zero) - t.zero) * t.scale - value;
        sums[i] += (double)off * off;
    }
}

static inline double error_of(const group *g, trial t, bool minifloat) {
    const grid codes = {minifloat, g->grid->low, g->grid->high, g->grid->mantissa, g->grid->least};
    const uint32_t whole = g->count - g->count % LANES;
    double sums[LANES] = {0}, error = 0;
    for (uint32_t first = 0; first < whole; first += LANES) {
        add_errors(&codes, t, g->values + first, sums);
    }
    if (whole < g->count) {
        float rest[LANES] = {0};
        memcpy(rest, g->values + whole, (g->count - whole) * sizeof *rest);
        add_errors(&codes, t, rest, sums);
    }
    for (uint32_t i = 0; i < LANES; i++) {
        error += sums[i];
    }
    return error;
}

// With the scale nearest to `wanted`, which stays stored.
WIDE static double error_with(const group *g, float wanted, float zero) {
    const float scale = put_scale(g->row, g->scales, g->index, wanted) * g->outer;
    const trial t = {scale, 1 / scale, zero};
    return g->grid->minifloat ? error_of(g, t, true) : error_of(g, t, false);
}

static void fill(const group *g, float wanted, float zero) {
    const float scale = put_scale(g->row, g->scales, g->index, wanted) * g->outer;
    const float inverse = 1 / scale;
    for (uint32_t i = 0; i < g->count; i++) {
        const uint32_t code =
            encode(g->row, g->grid, ht_fmt_limited(g->values[i]) * inverse + zero);
        ht_fmt_put_code(g->row, g->codes, g->first + i, code);
    }
}

static void range(const group *g, float *low, float *high) {
    *low = 0;
    *high = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const float value = ht_fmt_limited(g->values[i]);
        *low = value < *low ? value : *low;
        *high = value > *high ? value : *high;
    }
}

// What a search tries: `count` factors of the full scale, from the first one down. Four bits gain from
// clipping the largest values; their floats also from staying below the largest code, whose gap to
// the next is a third of it (Cook et al. 2025, "Four Over Six"). Eight bits gain hardly. Of a normal row
// one sign does best at a quarter of the largest value, two at 0.45, three at 0.6.
typedef struct search {
    float first, step;
    uint32_t count;
} search;

static search search_of(const ht_fmt_row *row) {
    if (row->scale == HT_FMT_SCALE_E8M0) { // the full power of two and the next
        return (search){1, -1, 2};
    }
    if (row->kind == HT_FMT_SIGNS) {
        return (search){1, 0.024f, 36};
    }
    return row->bits == 8                  ? (search){1, 0.03f, 4}
           : row->kind == HT_FMT_MINIFLOAT ? (search){1.5f, 0.024f, 37}
                                           : (search){1, 0.024f, 16};
}

// The scale at which the largest value becomes the largest code.
static float full_scale(const group *g, float low, float high) {
    const ht_fmt_row *row = g->row;
    const float size = -low > high ? -low : high;
    if (row->scale == HT_FMT_SCALE_E8M0) { // OCP MX: the power of two of the largest element
        return ldexpf(1, ilogbf(size) - ilogbf(g->grid->high));
    }
    if (row->kind == HT_FMT_ZERO_POINT) {
        return (high - low) / (float)row->top;
    }
    return size / g->grid->high / g->outer;
}

static float zero_point(const group *g, float low, float scale) {
    return g->zero ? nearest(fminf((float)g->row->top, fmaxf(0, -low / scale))) : 0;
}

// Scales to try, without the outer one, from the greatest down; returns how many.
static uint32_t list_tries(const group *g, float full, float tries[HT_SCALE_TRIES]) {
    const search tried = search_of(g->row);
    const float end = tried.first - tried.step * (float)(tried.count - 1);
    uint32_t count = 0;
    if (g->row->scale != HT_FMT_SCALE_WHOLE) {
        for (; count < tried.count; count++) {
            tries[count] = full * (tried.first - tried.step * (float)count);
        }
        return count;
    }
    for (uint32_t times = ht_fmt_most_times(g->row); times > 0; times--) {
        if ((float)times >= full * end && (float)times <= full * tried.first) {
            tries[count++] = (float)times;
        }
    }
    tries[0] = count ? tries[0] : full; // put_scale takes the nearest there is
    return count ? count : 1;
}

// The best of the scales, and its squared error.
static float best_scale(const group *g, float low, float high, double *least) {
    float tries[HT_SCALE_TRIES], best = 1;
    const uint32_t count = list_tries(g, full_scale(g, low, high), tries);
    *least = INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        const double error = error_with(g, tries[i], zero_point(g, low, tries[i]));
        if (error < *least) {
            *least = error;
            best = tries[i];
        }
    }
    return best;
}

static void pack_group(const group *g, ht_scale_rule rule) {
    const ht_fmt_row *row = g->row;
    float low, high;
    range(g, &low, &high);
    const bool empty = low == 0 && high == 0;
    if (row->kind == HT_FMT_PLANES && row->top == 1) {
        fill(g, empty ? 1 : ht_fmt_ternary_scale(rule, g->values, g->count), 0);
        return;
    }
    double least;
    const float best = empty                     ? 1
                       : rule == HT_SCALE_SEARCH ? best_scale(g, low, high, &least)
                                                 : full_scale(g, low, high);
    const float zero = empty ? 0 : zero_point(g, low, best);
    fill(g, best, zero);
    if (g->zero) {
        *g->zero = (uint8_t)zero;
    }
}

// At least 2^-117: times the least E4M3 scale, 2^-9, that is still a normal number. A subnormal
// `largest` counts as 0, as in ht_fmt_limited().
float ht_fmt_outer_scale(const ht_fmt_row *row, float largest) {
    const bool whole = row->scale == HT_FMT_SCALE_WHOLE;
    if ((row->scale != HT_FMT_SCALE_E4M3 && !whole) || largest < FLT_MIN) {
        return 1;
    }
    const float most = whole ? (float)ht_fmt_most_times(row) : 448;
    return fmaxf(largest / (most * ht_fmt_largest(row)), 0x1p-117f);
}

static float largest_size(const float *values, uint64_t count) {
    float largest = 0;
    for (uint64_t i = 0; i < count; i++) {
        const float size = fabsf(ht_fmt_limited(values[i]));
        largest = size > largest ? size : largest;
    }
    return largest;
}

static float tensor_scale_of(const ht_fmt_row *row, const float *values, uint64_t count) {
    const bool needed = row->scale == HT_FMT_SCALE_E4M3;
    return needed ? ht_fmt_outer_scale(row, largest_size(values, count)) : 1;
}

// Rows of one tensor, packed side by side.
typedef struct packing {
    const ht_fmt_row *row;
    grid grid;
    ht_packed_layout at;
    ht_scale_rule rule;
    float tensor_scale;
    const float *values;
    uint8_t *block;
} packing;

// Group k of row r of `values`, whose codes and scales go to `block`.
static group group_at(const ht_fmt_row *row, const grid *codes, const ht_packed_layout *at,
                      const float *values, uint8_t *block, uint64_t r, uint32_t k) {
    const uint32_t length = row->group ? row->group : at->padded, first = k * length;
    const uint32_t rest = first < at->width ? at->width - first : 0;
    const uint64_t index = r * at->groups + k;
    const bool zeros = row->kind == HT_FMT_ZERO_POINT;
    return (group){.row = row,
                   .grid = codes,
                   .values = values + r * at->width + (rest ? first : 0),
                   .count = rest < length ? rest : length,
                   .outer = 1,
                   .codes = block + r * at->row_bytes,
                   .first = first,
                   .scales = block + at->scales_offset,
                   .index = index,
                   .zero = zeros ? block + at->zeros_offset + index : NULL};
}

static float row_scale(const packing *p, uint64_t r) {
    const float largest = largest_size(p->values + r * p->at.width, p->at.width);
    float tries[HT_SCALE_TRIES], best = 1;
    double least = INFINITY;
    if (p->rule == HT_SCALE_MAX || !(largest > 0)) {
        return ht_fmt_outer_scale(p->row, largest);
    }
    const uint32_t count = ht_format_row_scale_tries(p->row->format, largest, tries);
    for (uint32_t i = 0; i < count; i++) {
        double sum = 0, error;
        for (uint32_t k = 0; k < p->at.groups && sum < least; k++) {
            group g = group_at(p->row, &p->grid, &p->at, p->values, p->block, r, k);
            float low, high;
            g.outer = tries[i];
            range(&g, &low, &high);
            if (low < high) {
                best_scale(&g, low, high, &error);
                sum += error;
            }
        }
        best = sum < least ? tries[i] : best;
        least = sum < least ? sum : least;
    }
    return best;
}

static void pack_rows(void *user, uint64_t first_row, uint64_t rows) {
    const packing *p = user;
    const ht_packed_layout *at = &p->at;
    for (uint64_t r = first_row; r < first_row + rows; r++) {
        if (ht_fmt_terms(p->row) > 1 || p->row->kind == HT_FMT_SIGNS) {
            ht_fmt_pack_sum(p->row, p->rule, p->values + r * at->width, at->width,
                            p->block + r * at->row_bytes,
                            p->block + at->scales_offset + r * at->scale_row_bytes);
            continue;
        }
        float outer = p->tensor_scale;
        if (p->row->scale == HT_FMT_SCALE_WHOLE) {
            outer = row_scale(p, r);
            memcpy(p->block + at->outer_offset + r * sizeof outer, &outer, sizeof outer);
        }
        for (uint32_t k = 0; k < at->groups; k++) {
            group g = group_at(p->row, &p->grid, at, p->values, p->block, r, k);
            g.outer = outer;
            pack_group(&g, p->rule);
        }
    }
}

void ht_fmt_pack_rows(const ht_tensor_desc *desc, ht_scale_rule rule, float tensor_scale,
                      const float *values, void *packed) {
    const ht_fmt_row *row = ht_fmt_find(desc->format);
    packing p = {.row = row,
                 .grid = grid_of(row),
                 .rule = rule,
                 .tensor_scale = tensor_scale,
                 .values = values,
                 .block = packed};
    ht_packed_layout_of(desc, &p.at);
    memset(packed, 0, p.at.bytes);
    if (row->scale == HT_FMT_SCALE_E4M3) {
        memcpy(p.block + p.at.outer_offset, &tensor_scale, sizeof tensor_scale);
    }
    const uint64_t least = p.at.width ? THREAD_VALUES / p.at.width + 1 : 1;
    ht_parallel(p.at.rows, least, pack_rows, &p);
}

// ---- grids

uint32_t ht_format_scale_tries(ht_format format, float largest, float outer,
                               float tries[HT_SCALE_TRIES]) {
    const ht_fmt_row *row = ht_fmt_find(format);
    const grid codes = grid_of(row);
    const group g = {.row = row, .grid = &codes, .outer = outer};
    const float size = ht_fmt_limited(fabsf(largest));
    const uint32_t count = list_tries(&g, size > 0 ? full_scale(&g, -size, size) : 1, tries);
    for (uint32_t i = 0; i < count; i++) {
        tries[i] = ht_format_scale(format, tries[i] * outer, outer);
    }
    return count;
}

float ht_format_scale(ht_format format, float wanted, float outer) {
    uint8_t stored[sizeof(float)] = {0};
    return put_scale(ht_fmt_find(format), stored, 0, wanted / outer) * outer;
}

void ht_desc_pack_scaled(const ht_tensor_desc *desc, const float *outer, const float *scales,
                         const float *values, void *packed) {
    const ht_fmt_row *row = ht_fmt_find(desc->format);
    const grid codes = grid_of(row);
    ht_packed_layout at;
    ht_packed_layout_of(desc, &at);
    uint8_t *block = packed;
    memset(packed, 0, at.bytes);
    if (at.outers) {
        memcpy(block + at.outer_offset, outer, at.outers * sizeof *outer);
    }
    for (uint64_t r = 0; r < at.rows; r++) {
        if (row->kind == HT_FMT_SIGNS) {
            ht_fmt_pack_halving(row, scales[r * at.groups], values + r * at.width, at.width,
                                block + r * at.row_bytes,
                                block + at.scales_offset + r * at.scale_row_bytes);
            continue;
        }
        for (uint32_t k = 0; k < at.groups; k++) {
            group g = group_at(row, &codes, &at, values, block, r, k);
            g.outer = at.outers ? outer[at.outers > 1 ? r : 0] : 1;
            fill(&g, scales[r * at.groups + k] / g.outer, 0);
        }
    }
}

void ht_desc_pack(const ht_tensor_desc *desc, ht_scale_rule rule, const float *values,
                  void *packed) {
    if (ht_format_is_packed(desc->format)) {
        const float tensor_scale =
            tensor_scale_of(ht_fmt_find(desc->format), values, ht_desc_count(desc));
        ht_fmt_pack_rows(desc, rule, tensor_scale, values, packed);
    } else {
        ht_format_pack(desc->format, values, packed, ht_desc_count(desc));
    }
}

// Sums of planes: each term has a scale of its own.
static void unpack_sums(const ht_fmt_row *row, const ht_packed_layout *at, const uint8_t *block,
                        float *values) {
    for (uint64_t r = 0; r < at->rows; r++) {
        for (uint32_t i = 0; i < at->width; i++) {
            const uint32_t code = ht_fmt_get_code(row, block + r * at->row_bytes, i);
            float value = 0;
            for (uint32_t j = 0; j < at->groups; j++) {
                value += ht_fmt_scale_value(row, block + at->scales_offset, r * at->groups + j) *
                         ht_fmt_term(row, code, j);
            }
            values[r * at->width + i] = value;
        }
    }
}

void ht_desc_unpack(const ht_tensor_desc *desc, const void *packed, float *values) {
    if (!ht_format_is_packed(desc->format)) {
        ht_format_unpack(desc->format, packed, values, ht_desc_count(desc));
        return;
    }
    const ht_fmt_row *row = ht_fmt_find(desc->format);
    const uint8_t *block = packed;
    float table[256];
    float outer = 1;
    ht_packed_layout at;
    ht_packed_layout_of(desc, &at);
    if (row->kind == HT_FMT_SIGNS || row->kind == HT_FMT_BITS) {
        unpack_sums(row, &at, block, values);
        return;
    }
    for (uint32_t code = 0; code < 1u << row->bits; code++) {
        table[code] = ht_fmt_decode(row, code);
    }
    const uint32_t length = row->group ? row->group : at.padded;
    for (uint64_t r = 0; r < at.rows; r++) {
        if (at.outers > r) {
            memcpy(&outer, block + at.outer_offset + r * sizeof outer, sizeof outer);
        }
        for (uint32_t i = 0; i < at.width; i++) {
            const uint64_t index = r * at.groups + i / length;
            const float scale = ht_fmt_scale_value(row, block + at.scales_offset, index) * outer;
            const float zero =
                row->kind == HT_FMT_ZERO_POINT ? (float)block[at.zeros_offset + index] : 0;
            values[r * at.width + i] =
                (table[ht_fmt_get_code(row, block + r * at.row_bytes, i)] - zero) * scale;
        }
    }
}
