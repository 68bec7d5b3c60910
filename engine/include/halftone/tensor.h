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
} ht_format;

// Shape and storage of one tensor. dims[rank - 1] is contiguous in memory.
typedef struct ht_tensor_desc {
    ht_format format;
    uint32_t rank; // 0..HT_MAX_RANK; rank 0 holds one value
    uint32_t dims[HT_MAX_RANK];
    const char *label; // shown in messages and GPU captures; copied; may be NULL
} ht_tensor_desc;

HT_API const char *ht_format_name(ht_format format); // "f16"
HT_API uint32_t ht_format_bits(ht_format format);
HT_API uint64_t ht_desc_count(const ht_tensor_desc *desc); // number of values
HT_API uint64_t ht_desc_bytes(const ht_tensor_desc *desc);
// "f16 [2, 64, 192]" into text, always terminated. Returns text.
HT_API const char *ht_desc_text(const ht_tensor_desc *desc, char *text, size_t bytes);

// Convert between f32 and a stored format, round to nearest even. Counts are values.
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
