// Tensors: a description and a device range of their own.
#include "vk_internal.h"

#include <string.h>

struct ht_tensor {
    ht_context *context;
    ht_tensor_desc desc; // label owned
    ht_vk_range range;
};

static ht_status check_desc(ht_context *context, const ht_tensor_desc *desc) {
    uint64_t count = 1;
    if (context->device == NULL) {
        return ht_fail(context, HT_ERR_INVALID, "a tensor needs a context with a device");
    }
    if (desc->rank > HT_MAX_RANK || ht_format_bits(desc->format) == 0) {
        return ht_fail(context, HT_ERR_INVALID, "tensor '%s': rank %u, format %d",
                       desc->label != NULL ? desc->label : "", desc->rank, (int)desc->format);
    }
    for (uint32_t i = 0; i < desc->rank; i++) {
        if (desc->dims[i] == 0 || !ht_mul_u64(count, desc->dims[i], &count)) {
            return ht_fail(context, HT_ERR_INVALID, "tensor '%s': dimension %u is %u",
                           desc->label != NULL ? desc->label : "", i, desc->dims[i]);
        }
    }
    return HT_OK;
}

static ht_status clear(ht_tensor *tensor) {
    static const char zeros[65536];
    for (uint64_t at = 0; at < tensor->range.bytes; at += sizeof zeros) {
        uint64_t rest = tensor->range.bytes - at;
        ht_status status = ht_vk_write(tensor->context, &tensor->range, at, zeros,
                                       rest < sizeof zeros ? rest : sizeof zeros);
        if (status != HT_OK) {
            return status;
        }
    }
    return HT_OK;
}

ht_status ht_tensor_create(ht_context *context, const ht_tensor_desc *desc, ht_tensor **out) {
    ht_status status = check_desc(context, desc);
    *out = NULL;
    if (status != HT_OK) {
        return status;
    }
    ht_tensor *tensor = ht_alloc(context, sizeof *tensor);
    if (tensor == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    tensor->context = context;
    tensor->desc = *desc;
    tensor->desc.label = ht_strdup(context, desc->label != NULL ? desc->label : "tensor");
    status = tensor->desc.label != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    HT_TRY(ht_vk_alloc(context, ht_desc_bytes(desc), tensor->desc.label, &tensor->range));
    HT_TRY(clear(tensor));
    *out = tensor;
    return HT_OK;
fail:
    ht_tensor_destroy(&tensor);
    return status;
}

void ht_tensor_destroy(ht_tensor **tensor) {
    if (tensor == NULL || *tensor == NULL) {
        return;
    }
    ht_context *context = (*tensor)->context;
    ht_vk_free(context, &(*tensor)->range);
    ht_free(context, (void *)(uintptr_t)(*tensor)->desc.label);
    ht_free(context, *tensor);
    *tensor = NULL;
}

const ht_tensor_desc *ht_tensor_get_desc(const ht_tensor *tensor) {
    return &tensor->desc;
}

const ht_vk_range *ht_tensor_range(const ht_tensor *tensor) {
    return &tensor->range;
}

static ht_status check_size(const ht_tensor *tensor, const char *what, uint64_t got,
                            uint64_t expected) {
    if (got == expected) {
        return HT_OK;
    }
    return ht_fail(tensor->context, HT_ERR_INVALID, "tensor '%s' holds %llu %s, got %llu",
                   tensor->desc.label, (unsigned long long)expected, what, (unsigned long long)got);
}

ht_status ht_tensor_write(ht_tensor *tensor, const void *data, size_t bytes) {
    ht_status status = check_size(tensor, "bytes", bytes, ht_desc_bytes(&tensor->desc));
    return status != HT_OK ? status : ht_vk_write(tensor->context, &tensor->range, 0, data, bytes);
}

ht_status ht_tensor_read(ht_tensor *tensor, void *data, size_t bytes) {
    ht_status status = check_size(tensor, "bytes", bytes, ht_desc_bytes(&tensor->desc));
    return status != HT_OK ? status : ht_vk_read(tensor->context, &tensor->range, 0, data, bytes);
}

// Values converted per piece of the *_f32 calls.
enum { PIECE = 2048 };

// Packed tensors are converted as a whole.
static ht_status write_packed(ht_tensor *tensor, const float *values) {
    const uint64_t bytes = ht_desc_bytes(&tensor->desc);
    void *packed = ht_alloc(tensor->context, bytes);
    ht_status status = packed != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        ht_desc_pack(&tensor->desc, HT_SCALE_MAX, values, packed);
        status = ht_vk_write(tensor->context, &tensor->range, 0, packed, bytes);
    }
    ht_free(tensor->context, packed);
    return status;
}

static ht_status read_packed(ht_tensor *tensor, float *values) {
    const uint64_t bytes = ht_desc_bytes(&tensor->desc);
    void *packed = ht_alloc(tensor->context, bytes);
    ht_status status = packed != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_vk_read(tensor->context, &tensor->range, 0, packed, bytes);
    }
    if (status == HT_OK) {
        ht_desc_unpack(&tensor->desc, packed, values);
    }
    ht_free(tensor->context, packed);
    return status;
}

ht_status ht_tensor_write_f32(ht_tensor *tensor, const float *values, size_t count) {
    ht_status status = check_size(tensor, "values", count, ht_desc_count(&tensor->desc));
    if (status == HT_OK && ht_format_is_packed(tensor->desc.format)) {
        return write_packed(tensor, values);
    }
    const ht_format format = tensor->desc.format;
    const uint64_t value_bytes = ht_format_bits(format) / 8;
    uint32_t packed[PIECE];
    for (size_t at = 0; status == HT_OK && at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        ht_format_pack(format, values + at, packed, n);
        status =
            ht_vk_write(tensor->context, &tensor->range, at * value_bytes, packed, n * value_bytes);
    }
    return status;
}

ht_status ht_tensor_read_f32(ht_tensor *tensor, float *values, size_t count) {
    ht_status status = check_size(tensor, "values", count, ht_desc_count(&tensor->desc));
    if (status == HT_OK && ht_format_is_packed(tensor->desc.format)) {
        return read_packed(tensor, values);
    }
    const ht_format format = tensor->desc.format;
    const uint64_t value_bytes = ht_format_bits(format) / 8;
    uint32_t packed[PIECE];
    for (size_t at = 0; status == HT_OK && at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        status =
            ht_vk_read(tensor->context, &tensor->range, at * value_bytes, packed, n * value_bytes);
        if (status == HT_OK) {
            ht_format_unpack(format, packed, values + at, n);
        }
    }
    return status;
}
