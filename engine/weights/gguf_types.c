// Values of GGUF's blocks.
#include "gguf.h"

#include "formats.h"

#include <string.h>

enum { MAX_BLOCK = 256 };

static float half_at(const uint8_t *b) {
    return ht_fmt_f32_from_f16((uint16_t)(b[0] | b[1] << 8));
}

static void unpack_q4_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)((b[2 + i] & 15) - 8) * d;
        out[i + 16] = (float)((b[2 + i] >> 4) - 8) * d;
    }
}

static void unpack_q4_1(const uint8_t *b, float *out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)(b[4 + i] & 15) * d + m;
        out[i + 16] = (float)(b[4 + i] >> 4) * d + m;
    }
}

// The fifth bits are 32 in a row.
static int fifth(const uint8_t *high, int i) {
    return (high[i / 8] >> i % 8 & 1) << 4;
}

static void unpack_q5_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)(((b[6 + i] & 15) | fifth(b + 2, i)) - 16) * d;
        out[i + 16] = (float)(((b[6 + i] >> 4) | fifth(b + 2, i + 16)) - 16) * d;
    }
}

static void unpack_q5_1(const uint8_t *b, float *out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)((b[8 + i] & 15) | fifth(b + 4, i)) * d + m;
        out[i + 16] = (float)((b[8 + i] >> 4) | fifth(b + 4, i + 16)) * d + m;
    }
}

static void unpack_q8_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 32; i++) {
        out[i] = (float)(int8_t)b[2 + i] * d;
    }
}

// Scale and minimum, of six bits each, of group j of eight: twelve bytes hold them all.
static void scale_min(const uint8_t *s, int j, float *scale, float *min) {
    if (j < 4) {
        *scale = (float)(s[j] & 63);
        *min = (float)(s[j + 4] & 63);
    } else {
        *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (float)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

// Eight groups of 32; two share 32 bytes of low halves. `high` has a bit per group, or is NULL.
static void unpack_k(const uint8_t *b, const uint8_t *high, const uint8_t *low, float *out) {
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int group = 0; group < 8; group++) {
        const uint8_t *bytes = low + group / 2 * 32;
        float scale, min;
        scale_min(b + 4, group, &scale, &min);
        for (int i = 0; i < 32; i++) {
            const int half = group % 2 ? bytes[i] >> 4 : bytes[i] & 15;
            const int code = half | (high ? (high[i] >> group & 1) << 4 : 0);
            out[group * 32 + i] = d * scale * (float)code - dmin * min;
        }
    }
}

static void unpack_q4_k(const uint8_t *b, float *out) {
    unpack_k(b, NULL, b + 16, out);
}

static void unpack_q5_k(const uint8_t *b, float *out) {
    unpack_k(b, b + 16, b + 48, out);
}

// Two halves of 128 values: four runs of 32 from 64 bytes of low bits and 32 of high ones; a signed
// scale for every 16.
static void unpack_q6_k(const uint8_t *b, float *out) {
    const float d = half_at(b + 208);
    for (int half = 0; half < 2; half++) {
        const uint8_t *low = b + half * 64, *high = b + 128 + half * 32;
        for (int run = 0; run < 4; run++) {
            for (int i = 0; i < 32; i++) {
                const uint8_t byte = low[run % 2 * 32 + i];
                const int code = (run < 2 ? byte & 15 : byte >> 4) | (high[i] >> 2 * run & 3) << 4;
                const int scale = (int8_t)b[192 + half * 8 + run * 2 + i / 16];
                out[half * 128 + run * 32 + i] = d * (float)scale * (float)(code - 32);
            }
        }
    }
}

static const ht_gguf_type types[] = {
    {0, "F32", HT_ST_F32, HT_FORMAT_F32, 1, 4, NULL},
    {1, "F16", HT_ST_F16, HT_FORMAT_F16, 1, 2, NULL},
    {30, "BF16", HT_ST_BF16, HT_FORMAT_BF16, 1, 2, NULL},
    {24, "I8", HT_ST_I8, HT_FORMAT_NONE, 1, 1, NULL},
    {25, "I16", HT_ST_I16, HT_FORMAT_NONE, 1, 2, NULL},
    {26, "I32", HT_ST_I32, HT_FORMAT_I32, 1, 4, NULL},
    {27, "I64", HT_ST_I64, HT_FORMAT_NONE, 1, 8, NULL},
    {28, "F64", HT_ST_F64, HT_FORMAT_NONE, 1, 8, NULL},
    {2, "Q4_0", HT_ST_Q4_0, HT_FORMAT_NONE, 32, 18, unpack_q4_0},
    {3, "Q4_1", HT_ST_Q4_1, HT_FORMAT_NONE, 32, 20, unpack_q4_1},
    {6, "Q5_0", HT_ST_Q5_0, HT_FORMAT_NONE, 32, 22, unpack_q5_0},
    {7, "Q5_1", HT_ST_Q5_1, HT_FORMAT_NONE, 32, 24, unpack_q5_1},
    {8, "Q8_0", HT_ST_Q8_0, HT_FORMAT_NONE, 32, 34, unpack_q8_0},
    {12, "Q4_K", HT_ST_Q4_K, HT_FORMAT_NONE, 256, 144, unpack_q4_k},
    {13, "Q5_K", HT_ST_Q5_K, HT_FORMAT_NONE, 256, 176, unpack_q5_k},
    {14, "Q6_K", HT_ST_Q6_K, HT_FORMAT_NONE, 256, 210, unpack_q6_k},
};
enum { N_TYPES = sizeof types / sizeof types[0] };
const char ht_gguf_supported[] = "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_1, Q5_0, Q4_K, Q4_1, Q4_0";

const ht_gguf_type *ht_gguf_type_of(uint32_t id) {
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].id == id) {
            return &types[i];
        }
    }
    return NULL;
}

const ht_gguf_type *ht_gguf_block_of(ht_st_dtype dtype) {
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].dtype == dtype && types[i].unpack) {
            return &types[i];
        }
    }
    return NULL;
}

const char *ht_gguf_type_name(uint32_t id) {
    static const char *const names[] = {
        [9] = "Q8_1",    [10] = "Q2_K",    [11] = "Q3_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
        [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
        [22] = "IQ2_S",  [23] = "IQ4_XS",  [29] = "IQ1_M", [34] = "TQ1_0",  [35] = "TQ2_0",
        [39] = "MXFP4",  [40] = "NVFP4",
    };
    const char *name = id < sizeof names / sizeof names[0] ? names[id] : NULL;
    return name ? name : "unknown";
}

void ht_gguf_unpack(const ht_gguf_type *type, const uint8_t *data, uint64_t first, float *values,
                    size_t count) {
    const uint8_t *block = data + first / type->values * type->bytes;
    size_t skip = (size_t)(first % type->values);
    while (count > 0) {
        float buffer[MAX_BLOCK];
        const size_t here = type->values - skip, now = here < count ? here : count;
        float *to = now == type->values ? values : buffer;
        type->unpack(block, to);
        if (to == buffer) {
            memcpy(values, buffer + skip, now * sizeof *values);
        }
        block += type->bytes;
        values += now;
        count -= now;
        skip = 0;
    }
}
