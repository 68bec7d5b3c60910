// Number formats, shapes, and tensors that live on the device.
#ifndef HALFTONE_TENSOR_H
#define HALFTONE_TENSOR_H

#include <halftone/context.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HT_MAX_RANK = 6 };

// One enumerator per row of formats.def; the value is the row's wire number. 0 is no format.
typedef enum ht_format {
    HT_FORMAT_NONE = 0,
    HT_FORMAT_F32 = 1,
    HT_FORMAT_F16 = 2,
    HT_FORMAT_BF16 = 3,
    HT_FORMAT_I32 = 4,
    // Packed: codes and scales in one block, see ht_packed_layout.
    HT_FORMAT_E4M3 = 16, // one f32 scale a row
    HT_FORMAT_E5M2 = 17,
    HT_FORMAT_E3M4 = 18,
    HT_FORMAT_E2M5 = 19,
    HT_FORMAT_MXFP8 = 20,    // E4M3, groups of 32, E8M0 scales
    HT_FORMAT_FP4 = 24,      // E2M1, groups of 32, f16 scales
    HT_FORMAT_FP4_E1M2 = 25, // a uniform grid
    HT_FORMAT_FP4_E3M0 = 26, // powers of two
    HT_FORMAT_NVFP4 = 27,    // E2M1, groups of 16, E4M3 scales times one f32 scale
    HT_FORMAT_MXFP4 = 28,    // E2M1, groups of 32, E8M0 scales
    HT_FORMAT_FP4_I8 = 29,   // E2M1, groups of 16, scales 1..10 that make INT8 of it, f32 a row
    HT_FORMAT_INT8 = 32,     // -127..127, one f32 scale a row
    HT_FORMAT_INT8_G32 = 33, // groups of 32, f32 scales
    HT_FORMAT_INT4 = 34,     // -7..7, groups of 64, f16 scales
    HT_FORMAT_INT4_G32 = 35,
    HT_FORMAT_INT4Z = 36,    // 0..15 and a zero point of a byte, groups of 64, f16 scales
    HT_FORMAT_INT8_F16 = 37, // INT8 with one f16 scale a row
    // In bit planes, for products by AND and bit counts. Scales are of whole rows.
    HT_FORMAT_BIN1 = 48,        // s1 b1, b = +-1, an f16 scale
    HT_FORMAT_BIN2 = 49,        // s1 b1 + s2 b2
    HT_FORMAT_BIN3 = 50,        // s1 b1 + s2 b2 + s3 b3
    HT_FORMAT_DUAL = 52,        // s1 b1 + s2 b2, b = 0 or 1; scales may be negative
    HT_FORMAT_TERNARY = 53,     // -1..1
    HT_FORMAT_INT4_PLANES = 56, // -7..7, one f32 scale a row
    HT_FORMAT_INT8_PLANES = 57, // -127..127
    // Residual stacks of a checkpoint's file: as many blocks as memory allows are there, each a sign
    // plane times magnitudes of low rank. ht_op_unstack makes floats of them.
    HT_FORMAT_STACK = 60,
} ht_format;

// Shape and storage of one tensor. dims[rank - 1] is contiguous in memory.
typedef struct ht_tensor_desc {
    ht_format format;
    uint32_t rank; // 0..HT_MAX_RANK; rank 0 holds one value
    uint32_t dims[HT_MAX_RANK];
    const char *label; // shown in messages and GPU captures; copied; may be NULL
} ht_tensor_desc;

HT_API const char *ht_format_name(ht_format format); // "f16"
// The format of a name, or HT_FORMAT_NONE.
HT_API ht_format ht_format_find(const char *name);
HT_API bool ht_format_is_packed(ht_format format);
HT_API bool ht_format_is_stack(ht_format format);
// Stored in bit planes: as activations these go with weights in bit planes only.
HT_API bool ht_format_in_planes(ht_format format);
// Packed formats that a graph can pack activations into: no zero points, more than two bits.
HT_API bool ht_format_for_activations(ht_format format);
// All formats, in the order of their numbers; HT_FORMAT_NONE past the last.
HT_API ht_format ht_format_at(size_t index);
HT_API uint32_t ht_format_bits(ht_format format);
HT_API uint64_t ht_desc_count(const ht_tensor_desc *desc); // number of values
HT_API uint64_t ht_desc_bytes(const ht_tensor_desc *desc); // with the scales of packed formats

// How a packed tensor lies in its block. Rows run along the last dimension; the others count them.
// Four-bit codes: the low half of a byte is the earlier value. Bit planes: word 32-bit (k / 32) planes
// + p of a row has plane p of the values k .. k + 31, the first in the lowest bit. Codes beyond the
// width, up to `padded`, are 0 (in formats where that stands for another number, as in INT4Z, they
// never reach a product).
typedef struct ht_packed_layout {
    uint64_t rows;
    uint32_t width, padded; // values of a row; padded is a multiple of 32 and of the group
    uint32_t groups;        // scales of a row; of sums of planes, one for each plane
    uint64_t row_bytes;     // codes of a row, a multiple of 16 (of bit planes: of 4)
    uint64_t scale_row_bytes;
    uint64_t scales_offset; // [rows][groups], from the start of the block; FP4_I8's have four bits
    uint64_t zeros_offset;  // INT4Z: [rows][groups] bytes; else equal to outer_offset
    uint64_t outers;        // f32 by which scales are multiplied: NVFP4 1, FP4_I8 one a row; else 0
    uint64_t outer_offset;
    uint64_t bytes; // a multiple of 16
} ht_packed_layout;
HT_API void ht_packed_layout_of(const ht_tensor_desc *desc, ht_packed_layout *out);

// Scales that make the largest value of a group the largest code, or the best of several by squared
// error (weights).
typedef enum ht_scale_rule { HT_SCALE_MAX, HT_SCALE_SEARCH } ht_scale_rule;
// Convert a whole tensor between f32 and its format, plain or packed; `packed` has ht_desc_bytes.
// NaN becomes 0; infinities the largest code.
HT_API void ht_desc_pack(const ht_tensor_desc *desc, ht_scale_rule rule, const float *values,
                         void *packed);
HT_API void ht_desc_unpack(const ht_tensor_desc *desc, const void *packed, float *values);
// "f16 [2, 64, 192]" into text, always terminated. Returns text.
HT_API const char *ht_desc_text(const ht_tensor_desc *desc, char *text, size_t bytes);

// Convert between f32 and a plain format, round to nearest even. Counts are values.
HT_API void ht_format_pack(ht_format format, const float *values, void *packed, size_t count);
HT_API void ht_format_unpack(ht_format format, const void *packed, float *values, size_t count);

// A tensor in device memory that outlives graphs: inputs, outputs and what is passed between
// graphs. Zero-filled at creation.
typedef struct ht_tensor ht_tensor;

HT_API ht_status ht_tensor_create(ht_context *context, const ht_tensor_desc *desc, ht_tensor **out);
HT_API void ht_tensor_destroy(ht_tensor **tensor);
HT_API const ht_tensor_desc *ht_tensor_get_desc(const ht_tensor *tensor);

// Copy the whole tensor from or to the host; `bytes` must equal its size. No graph that uses the
// tensor may be running.
HT_API ht_status ht_tensor_write(ht_tensor *tensor, const void *data, size_t bytes);
HT_API ht_status ht_tensor_read(ht_tensor *tensor, void *data, size_t bytes);
// The same with conversion from or to f32; `count` values must equal its size.
HT_API ht_status ht_tensor_write_f32(ht_tensor *tensor, const float *values, size_t count);
HT_API ht_status ht_tensor_read_f32(ht_tensor *tensor, float *values, size_t count);

#ifdef __cplusplus
}
#endif
#endif
