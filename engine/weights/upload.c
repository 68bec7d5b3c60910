// Weights on the device: used in place where the mapped bytes already are what is wanted, else
// converted piece by piece, so that host memory stays small however large the file is.
#include "gguf.h"
#include "pack.h"
#include "packed_file.h"
#include "stack.h"

#include <string.h>

enum {
    CHUNK_VALUES = 1 << 18, // converted at a time
    IMPORT_ALIGNMENT = 16,  // kernels load up to 16 bytes at once
};
static const uint64_t IMPORT_STEP = UINT64_C(512) << 20;
// Larger tensors get a block of their own, so that the arena wastes little at the ends of its blocks.
static const uint64_t OWN_BLOCK_BYTES = UINT64_C(2) << 20;

static ht_upload_kind kind_of(ht_weight_layout layout) {
    switch (layout) {
    case HT_WEIGHT_CONV: return HT_UPLOAD_CONV;
    case HT_WEIGHT_VECTOR: return HT_UPLOAD_VECTOR;
    case HT_WEIGHT_TIME_0:
    case HT_WEIGHT_TIME_1:
    case HT_WEIGHT_TIME_2:
        return (ht_upload_kind)(HT_UPLOAD_TIME + (layout - HT_WEIGHT_TIME_0));
    case HT_WEIGHT_MATRIX:
    case HT_WEIGHT_TABLE: break;
    }
    return HT_UPLOAD_MATRIX;
}

static bool is_time(ht_weight_layout layout) {
    return layout >= HT_WEIGHT_TIME_0 && layout <= HT_WEIGHT_TIME_2;
}

// Trailing dimensions of 1 may be missing on either side of matrices and convolutions: checkpoints
// keep 1x1 convolutions in both ways.
static bool dims_match(const ht_tensor_desc *found, ht_weight_layout layout, uint32_t rank,
                       const uint32_t *dims) {
    const bool loose = layout != HT_WEIGHT_TABLE && layout != HT_WEIGHT_VECTOR;
    if (!loose && found->rank != rank) {
        return false;
    }
    const uint32_t longest = found->rank > rank ? found->rank : rank;
    for (uint32_t i = 0; i < longest; i++) {
        const uint32_t a = i < found->rank ? found->dims[i] : 1;
        const uint32_t b = i < rank ? dims[i] : 1;
        if (a != b) {
            return false;
        }
    }
    return true;
}

bool ht_weights_is_float(const ht_weights_entry *entry) {
    return entry->dtype == HT_ST_F16 || entry->dtype == HT_ST_BF16 || entry->dtype == HT_ST_F32 ||
           entry->dtype == HT_ST_F64 || ht_gguf_block_of(entry->dtype);
}

static ht_tensor_desc shape_of(uint32_t rank, const uint32_t *dims) {
    ht_tensor_desc desc = {.rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        desc.dims[i] = dims[i];
    }
    return desc;
}

static ht_status fail_shape(const ht_weights *weights, const ht_weights_entry *entry, uint32_t rank,
                            const uint32_t *dims) {
    char expected[128], found[128];
    const ht_tensor_desc desc = shape_of(rank, dims);
    ht_desc_text(&desc, expected, sizeof expected);
    ht_desc_text(&entry->info.desc, found, sizeof found);
    return ht_fail(weights->context, HT_ERR_IO,
                   "weights '%s': tensor '%s' has shape %s, expected %s", entry->info.file,
                   entry->info.name, entry->fits ? strchr(found, '[') : "beyond what is supported",
                   strchr(expected, '['));
}

static ht_status fail_dtype(const ht_weights *weights, const ht_weights_entry *entry) {
    return ht_fail(weights->context, HT_ERR_UNSUPPORTED,
                   "weights '%s': tensor '%s' holds %s, expected F16, BF16, F32 or F64",
                   entry->info.file, entry->info.name, entry->info.dtype);
}

static ht_status find_checked(ht_weights *weights, const char *name, ht_weight_layout layout,
                              uint32_t rank, const uint32_t *dims, ht_weights_entry **out) {
    ht_context *context = weights->context;
    const bool in_time = is_time(layout);
    if (rank > HT_MAX_RANK || (layout == HT_WEIGHT_CONV && rank != 4) ||
        (in_time && (rank != 5 || dims[2] <= (uint32_t)(layout - HT_WEIGHT_TIME_0)))) {
        return ht_fail(context, HT_ERR_INVALID, "weights: tensor '%s' asked for with rank %u", name,
                       rank);
    }
    ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    if (!entry) {
        char text[128];
        const ht_tensor_desc desc = shape_of(rank, dims);
        ht_desc_text(&desc, text, sizeof text);
        return ht_fail(context, HT_ERR_IO, "weights '%s': no tensor '%s', expected one of shape %s",
                       weights->path, name, strchr(text, '['));
    }
    if (!entry->fits || !dims_match(&entry->info.desc, layout, rank, dims)) {
        return fail_shape(weights, entry, rank, dims);
    }
    if (!ht_weights_is_float(entry) && !entry->parts[HT_PART_CODES] && !entry->stack) {
        return fail_dtype(weights, entry);
    }
    *out = entry;
    return HT_OK;
}

static ht_format device_format(const ht_weights *weights, const ht_weights_entry *entry,
                               ht_weight_layout layout, ht_format asked) {
    if (entry->parts[HT_PART_CODES] || entry->stack) {
        return entry->info.desc.format;
    }
    if (layout == HT_WEIGHT_VECTOR) {
        return HT_FORMAT_F32;
    }
    if (asked != HT_FORMAT_NONE) {
        return asked;
    }
    if (weights->format != HT_FORMAT_NONE) {
        return weights->format;
    }
    if (ht_gguf_block_of(entry->dtype)) {
        return HT_FORMAT_F16;
    }
    return entry->dtype == HT_ST_F64 ? HT_FORMAT_F32 : entry->info.desc.format;
}

void ht_weights_unpack(const ht_weights_entry *entry, uint64_t first, float *values, size_t count) {
    const ht_gguf_type *blocks = ht_gguf_block_of(entry->dtype);
    if (blocks) {
        ht_gguf_unpack(blocks, entry->info.data, entry->skip + first, values, count);
        return;
    }
    const uint64_t width = ht_st_dtype_bits(entry->dtype) / 8;
    const uint8_t *bytes = (const uint8_t *)entry->info.data + first * width;
    if (entry->dtype != HT_ST_F64) {
        ht_format_unpack(entry->info.desc.format, bytes, values, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        values[i] = (float)value;
    }
}

void ht_weights_permute(const float *in, float *out, size_t n_out, const ht_weight_order *order) {
    const size_t channels = order->channels, taps = order->taps;
    for (size_t o = 0; o < n_out; o++) {
        for (size_t c = 0; c < channels; c++) {
            const float *from = in + ((o * channels + c) * order->times + order->time) * taps;
            for (size_t t = 0; t < taps; t++) {
                out[(o * taps + t) * channels + c] = from[t];
            }
        }
    }
}

// Convert into `range`, in another order where that moves anything.
static ht_status convert(ht_weights *weights, const ht_weights_entry *entry, ht_format format,
                         const ht_weight_order *order, const ht_vk_range *range) {
    ht_context *context = weights->context;
    const uint64_t count = ht_desc_count(&entry->info.desc);
    if (count == 0) {
        return HT_OK;
    }
    const bool moves = ht_weight_order_moves(order);
    const uint64_t times = order->times;
    // converted as a whole
    const uint64_t unit = moves ? order->channels * order->taps * times : 1;
    uint64_t step = unit >= CHUNK_VALUES ? unit : CHUNK_VALUES / unit * unit;
    step = step < count ? step : count;
    if (step > SIZE_MAX / sizeof(float)) {
        return ht_fail(context, HT_ERR_NO_MEMORY,
                       "weights '%s': tensor '%s' is too large to convert in this address space",
                       entry->info.file, entry->info.name);
    }
    const size_t width = ht_format_bits(format) / 8;
    ht_status status = HT_ERR_NO_MEMORY;
    float *values = ht_alloc(context, step * sizeof *values);
    float *permuted = values && moves ? ht_alloc(context, step / times * sizeof *values) : values;
    void *packed = permuted ? ht_alloc(context, step / times * width) : NULL;
    if (packed) {
        status = HT_OK;
    }
    for (uint64_t done = 0; done < count && status == HT_OK; done += step) {
        const uint64_t now = count - done < step ? count - done : step;
        ht_weights_unpack(entry, done, values, now);
        if (moves) {
            ht_weights_permute(values, permuted, now / unit, order);
        }
        ht_format_pack(format, permuted, packed, now / times);
        status = ht_vk_write(context, range, done / times * width, packed, now / times * width);
    }
    ht_free(context, packed);
    if (permuted != values) {
        ht_free(context, permuted);
    }
    ht_free(context, values);
    return status;
}

static const ht_import *find_import(const ht_shard *shard, uint64_t offset, uint64_t bytes) {
    for (uint32_t i = 0; i < shard->n_imports; i++) {
        const ht_import *import = &shard->imports[i];
        if (offset >= import->begin && offset + bytes <= import->end) {
            return import;
        }
    }
    return NULL;
}

// Make these bytes of the mapped file readable by the device, with those around them: drivers limit
// the size of one import. Windows start on a grid and overlap by half, so that every tensor that
// is not larger than a step lies in one of them. NULL: the bytes have to be copied.
static const ht_import *import_bytes(ht_weights *weights, ht_shard *shard, uint64_t offset,
                                     uint64_t bytes) {
    ht_context *context = weights->context;
    const ht_import *known = find_import(shard, offset, bytes);
    if (known || shard->no_import || !ht_vk_get_limits(context)->host_import) {
        return known;
    }
    const uint64_t begin = offset / IMPORT_STEP * IMPORT_STEP;
    const bool regular = offset + bytes <= begin + 2 * IMPORT_STEP;
    uint64_t end = regular ? begin + 2 * IMPORT_STEP : offset + bytes;
    end = end < shard->map.bytes ? end : shard->map.bytes;
    ht_import *larger =
        ht_realloc(context, shard->imports, (shard->n_imports + 1) * sizeof *larger);
    if (!larger) {
        return NULL;
    }
    shard->imports = larger;
    ht_import *fresh = &larger[shard->n_imports];
    *fresh = (ht_import){.begin = begin, .end = end};
    if (ht_vk_import(context, shard->map.data + begin, end - begin, shard->path, &fresh->range) !=
        HT_OK) {
        // An oversized tensor alone says nothing about the others.
        shard->no_import = regular;
        return NULL;
    }
    shard->n_imports++;
    return fresh;
}

static ht_status take_range(ht_weights *weights, uint64_t bytes, ht_upload *upload) {
    if (bytes >= OWN_BLOCK_BYTES) {
        upload->own_block = true;
        return ht_vk_alloc(weights->context, bytes, "weights", &upload->range);
    }
    if (!weights->has_arena) {
        ht_vk_arena_init(&weights->arena, weights->context, "weights");
        weights->has_arena = true;
    }
    return ht_vk_arena_take(&weights->arena, bytes, &upload->range);
}

// Shape and format on the device.
static ht_tensor_desc device_desc(ht_weight_layout layout, ht_format format, uint32_t rank,
                                  const uint32_t *dims) {
    ht_tensor_desc desc = shape_of(rank, dims);
    desc.format = format;
    if (layout == HT_WEIGHT_CONV) {
        const uint32_t channels_last[] = {dims[0], dims[2], dims[3], dims[1]};
        memcpy(desc.dims, channels_last, sizeof channels_last);
    } else if (is_time(layout)) {
        const uint32_t channels_last[] = {dims[0], dims[3], dims[4], dims[1]};
        memcpy(desc.dims, channels_last, sizeof channels_last);
        desc.rank = 4;
    }
    return desc;
}

// A packed tensor is used as it is: in another format it would be coded twice.
static ht_status check_packed(const ht_weights *weights, const ht_weights_entry *entry,
                              ht_weight_layout layout, ht_format asked) {
    const ht_format format = entry->info.desc.format;
    if (ht_format_is_stack(asked) && !entry->stack) {
        return ht_fail(weights->context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' is %s and a residual stack was asked for, which "
                       "gen-quantize makes: pack the model with this recipe first",
                       entry->info.file, entry->info.name, ht_format_name(format));
    }
    if (layout == HT_WEIGHT_TABLE || layout == HT_WEIGHT_VECTOR) {
        return ht_fail(weights->context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' is packed as %s, expected a float format",
                       entry->info.file, entry->info.name, ht_format_name(format));
    }
    if (asked != HT_FORMAT_NONE && asked != format &&
        (ht_format_is_packed(asked) || ht_format_is_stack(format))) {
        return ht_fail(
            weights->context, HT_ERR_UNSUPPORTED,
            "weights '%s': tensor '%s' is packed as %s and %s was asked for, which needs "
            "the float checkpoint",
            entry->info.file, entry->info.name, ht_format_name(format), ht_format_name(asked));
    }
    return HT_OK;
}

typedef struct device_sink {
    ht_context *context;
    const ht_vk_range *range;
} device_sink;

static ht_status write_device(void *user, uint64_t offset, const void *data, uint64_t bytes) {
    const device_sink *to = user;
    return ht_vk_write(to->context, to->range, offset, data, bytes);
}

// The parts of a packed file to where the device has them.
static ht_status copy_packed(ht_weights *weights, const ht_weights_entry *entry,
                             const ht_tensor_desc *desc, const ht_vk_range *range) {
    ht_context *context = weights->context;
    ht_packed_layout at;
    ht_packed_layout_of(desc, &at);
    ht_status status = ht_packed_file_check_scales(context, entry, &at);
    for (int part = 0; part < HT_PACKED_PARTS && status == HT_OK; part++) {
        ht_packed_part_desc d;
        if (ht_packed_part_of(ht_fmt_find(desc->format), &at, (ht_packed_part)part, &d)) {
            status = ht_vk_write(context, range, d.offset, entry->parts[part], d.bytes);
        }
    }
    return status;
}

// Copy or convert into `upload->range`.
static ht_status fill(ht_weights *weights, const ht_weights_entry *entry,
                      const ht_tensor_desc *desc, const ht_weight_order *order, bool same,
                      ht_upload *upload) {
    if (entry->parts[HT_PART_CODES]) {
        return copy_packed(weights, entry, desc, &upload->range);
    }
    if (ht_format_is_packed(desc->format)) {
        device_sink to = {weights->context, &upload->range};
        const ht_pack_sink sink = {write_device, &to};
        return ht_weights_pack(weights, entry, desc, order, &sink, NULL);
    }
    return same ? ht_vk_write(weights->context, &upload->range, 0, entry->info.data, upload->bytes)
                : convert(weights, entry, desc->format, order, &upload->range);
}

static ht_weight_order order_of(const ht_weights_entry *entry, ht_weight_layout layout,
                                const ht_tensor_desc *desc) {
    ht_weight_order order = {.channels = 1, .times = 1, .taps = 1};
    if (layout == HT_WEIGHT_CONV || is_time(layout)) {
        order.channels = desc->dims[3];
        order.taps = (uint64_t)desc->dims[1] * desc->dims[2];
    }
    if (is_time(layout)) {
        order.times = entry->info.desc.rank > 2 ? entry->info.desc.dims[2] : 1;
        order.time = (uint64_t)(layout - HT_WEIGHT_TIME_0);
    }
    return order;
}

static ht_status upload_entry(ht_weights *weights, ht_weights_entry *entry, ht_weight_layout layout,
                              const ht_tensor_desc *desc, ht_upload *upload) {
    ht_shard *shard = &weights->shards[entry->shard];
    const ht_weight_order order = order_of(entry, layout, desc);
    const bool same = !entry->parts[HT_PART_CODES] && entry->info.desc.format == desc->format &&
                      !ht_weight_order_moves(&order);
    const uint64_t bytes = ht_desc_bytes(desc);
    *upload = (ht_upload){.format = desc->format, .bytes = bytes};
    const bool in_file = same && bytes > 0 && !entry->copied;
    const ht_import *import = in_file && entry->offset % IMPORT_ALIGNMENT == 0
                                  ? import_bytes(weights, shard, entry->offset, bytes)
                                  : NULL;
    if (import) {
        upload->address = import->range.address + (entry->offset - import->begin);
        weights->imported_bytes += bytes;
        weights->device_bytes += bytes;
        return HT_OK;
    }
    ht_status status = take_range(weights, bytes, upload);
    if (status == HT_OK) {
        status = fill(weights, entry, desc, &order, same, upload);
        if (!entry->copied) {
            ht_file_map_forget(&shard->map, entry->offset, entry->info.bytes);
        }
    }
    if (status != HT_OK) {
        if (upload->own_block) {
            ht_vk_free(weights->context, &upload->range);
        }
        return status;
    }
    upload->address = upload->range.address;
    weights->device_bytes += bytes;
    return HT_OK;
}

// Room for one more upload, made before the device is touched.
static ht_status reserve_upload(ht_weights *weights) {
    if (weights->n_uploads < weights->upload_capacity) {
        return HT_OK;
    }
    const uint32_t wanted = weights->upload_capacity ? 2 * weights->upload_capacity : 64;
    ht_upload *larger = ht_realloc(weights->context, weights->uploads, wanted * sizeof *larger);
    if (!larger) {
        return HT_ERR_NO_MEMORY;
    }
    weights->uploads = larger;
    weights->upload_capacity = wanted;
    return HT_OK;
}

// The copy in that layout and format, or NULL.
static ht_upload *find_upload(const ht_weights *weights, const ht_weights_entry *entry,
                              ht_weight_layout layout, ht_format format) {
    for (uint32_t at = entry->uploads[kind_of(layout)]; at != 0;
         at = weights->uploads[at - 1].next) {
        if (weights->uploads[at - 1].format == format) {
            return &weights->uploads[at - 1];
        }
    }
    return NULL;
}

// Is this weight one that stays in the file until a graph needs it?
static bool is_streamed(const ht_weights *weights, const ht_weights_entry *entry,
                        ht_weight_layout layout, const ht_tensor_desc *desc) {
    const ht_weight_order order = order_of(entry, layout, desc);
    const bool in_place = !entry->parts[HT_PART_CODES] && !ht_weight_order_moves(&order) &&
                          entry->info.desc.format == desc->format &&
                          ht_vk_get_limits(weights->context)->host_import;
    return weights->ring.slot_bytes > 0 && layout != HT_WEIGHT_TABLE &&
           layout != HT_WEIGHT_VECTOR && !in_place &&
           ht_desc_bytes(desc) <= weights->ring.slot_bytes;
}

ht_status ht_weights_stream_in(ht_weights *weights, const char *name, ht_weight_layout layout,
                               const ht_tensor_desc *desc, const ht_vk_range *slot,
                               uint64_t offset) {
    ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    const ht_weight_order order = order_of(entry, layout, desc);
    const bool same = !entry->parts[HT_PART_CODES] && entry->info.desc.format == desc->format &&
                      !ht_weight_order_moves(&order);
    ht_upload upload = {.format = desc->format, .bytes = ht_desc_bytes(desc), .range = *slot};
    upload.range.address += offset;
    upload.range.offset += offset;
    upload.range.bytes = upload.bytes;
    upload.range.host = slot->host ? (char *)slot->host + offset : NULL;
    return fill(weights, entry, desc, &order, same, &upload);
}

ht_status ht_weights_device(ht_weights *weights, const char *name, ht_weight_layout layout,
                            ht_format format, uint32_t rank, const uint32_t *dims,
                            ht_tensor_desc *desc, uint64_t *address) {
    ht_status status = HT_OK;
    ht_weights_entry *entry = NULL;
    if (weights->context->host_only) {
        return ht_fail(weights->context, HT_ERR_INVALID,
                       "weights '%s': tensor '%s' asked for on a context without a device",
                       weights->path, name);
    }
    HT_TRY(find_checked(weights, name, layout, rank, dims, &entry));
    if (entry->parts[HT_PART_CODES] || entry->stack || ht_format_is_stack(format)) {
        HT_TRY(check_packed(weights, entry, layout, format));
    }
    *desc = device_desc(layout, device_format(weights, entry, layout, format), rank, dims);
    if (entry->stack) {
        HT_TRY(ht_stack_device(weights, entry, desc, address));
        desc->label = entry->info.name;
        return HT_OK;
    }
    ht_upload *upload = find_upload(weights, entry, layout, desc->format);
    if (!upload && is_streamed(weights, entry, layout, desc)) {
        desc->label = entry->info.name;
        *address = 0;
        return HT_OK;
    }
    if (!upload) {
        HT_TRY(reserve_upload(weights));
        upload = &weights->uploads[weights->n_uploads];
        HT_TRY(upload_entry(weights, entry, layout, desc, upload));
        uint32_t *first = &entry->uploads[kind_of(layout)];
        upload->next = *first;
        *first = ++weights->n_uploads;
    }
    desc->label = entry->info.name;
    *address = upload->address;
fail:
    return status;
}

ht_status ht_weights_device_read(ht_weights *weights, const char *name, ht_weight_layout layout,
                                 ht_format format, void *data, uint64_t bytes) {
    ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    const ht_upload *upload =
        entry ? find_upload(weights, entry, layout, device_format(weights, entry, layout, format))
              : NULL;
    if (!upload) {
        return ht_fail(weights->context, HT_ERR_INVALID,
                       "weights '%s': tensor '%s' is not on the device in that layout",
                       weights->path, name);
    }
    if (bytes != upload->bytes) {
        return ht_fail(weights->context, HT_ERR_INVALID,
                       "weights '%s': tensor '%s' has %llu bytes on the device, %llu asked for",
                       weights->path, name, (unsigned long long)upload->bytes,
                       (unsigned long long)bytes);
    }
    if (!upload->range.block) {
        memcpy(data, entry->info.data, bytes);
        return HT_OK;
    }
    return ht_vk_read(weights->context, &upload->range, 0, data, bytes);
}

uint64_t ht_weights_format_bytes(const ht_weights *weights, ht_format format) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < weights->n_uploads; i++) {
        bytes += weights->uploads[i].format == format ? weights->uploads[i].bytes : 0;
    }
    return bytes;
}

ht_status ht_weights_read_f32(ht_weights *weights, const char *name, float *values, size_t count) {
    const ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    if (!entry) {
        return ht_fail(weights->context, HT_ERR_IO, "weights '%s': no tensor '%s'", weights->path,
                       name);
    }
    if (!ht_weights_is_float(entry)) {
        return fail_dtype(weights, entry);
    }
    if (!entry->fits || ht_desc_count(&entry->info.desc) != count) {
        return ht_fail(weights->context, HT_ERR_IO,
                       "weights '%s': tensor '%s' holds %llu values, expected %zu",
                       entry->info.file, name, (unsigned long long)ht_desc_count(&entry->info.desc),
                       count);
    }
    ht_weights_unpack(entry, 0, values, count);
    return HT_OK;
}

void ht_weights_release_device(ht_weights *weights) {
    for (uint32_t i = 0; i < weights->n_uploads; i++) {
        if (weights->uploads[i].own_block) {
            ht_vk_free(weights->context, &weights->uploads[i].range);
        }
    }
    weights->n_uploads = 0;
    ht_stacks_release(weights);
    if (weights->has_arena) {
        ht_vk_arena_finish(&weights->arena);
    }
    for (int i = 0; i < 2; i++) {
        if (weights->ring.slots[i].block) {
            ht_vk_free(weights->context, &weights->ring.slots[i]);
        }
    }
    for (uint32_t i = 0; i < weights->n_shards; i++) {
        ht_shard *shard = &weights->shards[i];
        for (uint32_t k = 0; k < shard->n_imports; k++) {
            ht_vk_free(weights->context, &shard->imports[k].range);
        }
        ht_free(weights->context, shard->imports);
        shard->imports = NULL;
        shard->n_imports = 0;
    }
}
