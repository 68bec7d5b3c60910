// Conversion of arrays between f32 and the stored formats.
#include "formats.h"

#include <math.h>
#include <string.h>

static void pack_i32(const float *values, uint8_t *packed, size_t count) {
    for (size_t i = 0; i < count; i++) {
        // 2^31 is the first float past the range; NaN fails every comparison and becomes 0.
        int32_t code = 0;
        if (values[i] >= 2147483648.0f) {
            code = INT32_MAX;
        } else if (values[i] <= -2147483648.0f) {
            code = INT32_MIN;
        } else if (values[i] == values[i]) {
            code = (int32_t)nearbyintf(values[i]);
        }
        memcpy(packed + 4 * i, &code, sizeof code);
    }
}

static void unpack_i32(const uint8_t *packed, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int32_t code;
        memcpy(&code, packed + 4 * i, sizeof code);
        values[i] = (float)code;
    }
}

void ht_format_pack(ht_format format, const float *values, void *packed, size_t count) {
    if (count == 0) {
        return;
    }
    switch (format) {
    case HT_FORMAT_F32: memcpy(packed, values, count * sizeof *values); break;
    case HT_FORMAT_F16: ht_fmt_f16_from_f32_array(values, packed, count); break;
    case HT_FORMAT_BF16: ht_fmt_bf16_from_f32_array(values, packed, count); break;
    case HT_FORMAT_I32: pack_i32(values, packed, count); break;
    default: break; // NONE has no bytes, packed ones have rows: ht_desc_pack
    }
}

void ht_format_unpack(ht_format format, const void *packed, float *values, size_t count) {
    if (count == 0) {
        return;
    }
    switch (format) {
    case HT_FORMAT_F32: memcpy(values, packed, count * sizeof *values); break;
    case HT_FORMAT_F16: ht_fmt_f32_from_f16_array(packed, values, count); break;
    case HT_FORMAT_BF16: ht_fmt_f32_from_bf16_array(packed, values, count); break;
    case HT_FORMAT_I32: unpack_i32(packed, values, count); break;
    default: break;
    }
}
