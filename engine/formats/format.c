// The format table made from formats.def, and what follows from a tensor's description.
#include "formats.h"

#include <stdio.h>

// The public enumerators are written out for readers; here they are held to the table.
#define HT_FORMAT(id, wire, bits, kind)                                                            \
    _Static_assert(HT_FORMAT_##id == (wire), "HT_FORMAT_" #id " must equal its wire number");      \
    _Static_assert((bits) > 0 && (bits) <= 64 && (kind) <= HT_FMT_UNSIGNED, "row " #id);
#include "formats.def"
#undef HT_FORMAT

// Rows hold no strings (GLSL includes the table too), so the lower-case names are listed here.
#define HT_NAME_F32 "f32"
#define HT_NAME_F16 "f16"
#define HT_NAME_BF16 "bf16"
#define HT_NAME_I32 "i32"

const ht_fmt_row ht_fmt_rows[] = {
#define HT_FORMAT(id, wire, bits, kind) {HT_FORMAT_##id, HT_NAME_##id, bits, (ht_fmt_kind)(kind)},
#include "formats.def"
#undef HT_FORMAT
};
const size_t ht_fmt_row_count = sizeof ht_fmt_rows / sizeof ht_fmt_rows[0];

const ht_fmt_row *ht_fmt_find(ht_format format) {
    for (size_t i = 0; i < ht_fmt_row_count; i++) {
        if (ht_fmt_rows[i].format == format) {
            return &ht_fmt_rows[i];
        }
    }
    return NULL;
}

const char *ht_format_name(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row ? row->name : "none";
}

uint32_t ht_format_bits(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row ? row->bits : 0;
}

uint64_t ht_desc_count(const ht_tensor_desc *desc) {
    uint64_t count = 1;
    bool fits = true;
    for (uint32_t i = 0; i < desc->rank; i++) {
        if (desc->dims[i] == 0) {
            return 0;
        }
        fits = fits && ht_mul_u64(count, desc->dims[i], &count);
    }
    return fits ? count : UINT64_MAX;
}

uint64_t ht_desc_bytes(const ht_tensor_desc *desc) {
    uint64_t bits = 0;
    if (!ht_mul_u64(ht_desc_count(desc), ht_format_bits(desc->format), &bits)) {
        return UINT64_MAX;
    }
    return bits / 8 + (bits % 8 != 0);
}

const char *ht_desc_text(const ht_tensor_desc *desc, char *text, size_t bytes) {
    if (bytes == 0) {
        return text;
    }
    size_t used = 0;
    int written = snprintf(text, bytes, "%s [", ht_format_name(desc->format));
    for (uint32_t i = 0; i <= desc->rank && written >= 0; i++) {
        used += (size_t)written;
        if (used >= bytes) {
            break; // cut, and terminated by snprintf
        }
        if (i == desc->rank) {
            written = snprintf(text + used, bytes - used, "]");
        } else {
            written = snprintf(text + used, bytes - used, i ? ", %u" : "%u", desc->dims[i]);
        }
    }
    return text;
}
