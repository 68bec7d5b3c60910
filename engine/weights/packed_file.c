// Reading packed tensors: the metadata names them, and each is put together of its parts.
#include "packed_file.h"

#include "json.h"
#include "stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES_LOG2 = 48, MAX_PART_NAME = HT_ST_MAX_NAME + 32 };

bool ht_packed_part_of(const ht_fmt_row *format, const ht_packed_layout *at, ht_packed_part part,
                       ht_packed_part_desc *out) {
    static const char *const scale_dtypes[] = {"", "F32", "F16", "F8_E8M0", "F8_E4M3", "U8"};
    const uint64_t scales = at->rows * at->groups;
    switch (part) {
    case HT_PART_CODES:
        *out = (ht_packed_part_desc){
            "", "U8", 2, {at->rows, at->row_bytes}, 0, at->rows * at->row_bytes};
        return true;
    case HT_PART_SCALES:
        *out = (ht_packed_part_desc){
            ".scales",
            scale_dtypes[format->scale],
            2,
            {at->rows, format->scale == HT_FMT_SCALE_WHOLE ? at->scale_row_bytes : at->groups},
            at->scales_offset,
            at->rows * at->scale_row_bytes};
        return true;
    case HT_PART_ZEROS:
        *out = (ht_packed_part_desc){".zeros",         "U8",  2, {at->rows, at->groups},
                                     at->zeros_offset, scales};
        return format->kind == HT_FMT_ZERO_POINT;
    case HT_PART_OUTER_SCALES:
        *out = (ht_packed_part_desc){format->scale == HT_FMT_SCALE_E4M3 ? ".tensor_scale"
                                                                        : ".row_scales",
                                     "F32",
                                     1,
                                     {at->outers, 0},
                                     at->outer_offset,
                                     at->outers * sizeof(float)};
        return at->outers != 0;
    case HT_PACKED_PARTS: break;
    }
    return false;
}

bool ht_packed_shape(const ht_tensor_desc *file, ht_format format, ht_tensor_desc *device,
                     uint64_t *taps) {
    const uint32_t *d = file->dims;
    *device = (ht_tensor_desc){.format = format, .rank = file->rank, .dims = {d[0], d[1]}};
    *taps = 1;
    if (file->rank == 4) {
        const uint32_t channels_last[] = {d[0], d[2], d[3], d[1]};
        memcpy(device->dims, channels_last, sizeof channels_last);
        *taps = (uint64_t)d[2] * d[3];
    }
    const uint64_t count = ht_desc_count(device);
    return (file->rank == 2 || file->rank == 4) && count > 0 && count >> MAX_VALUES_LOG2 == 0 &&
           d[1] < UINT32_C(1) << 31;
}

// ---- reading

typedef struct resolver {
    ht_context *context;
    ht_shard *shard;
    ht_json json;
    char name[HT_ST_MAX_NAME + 1];
} resolver;

static ht_status fail_tensor(const resolver *r, const char *what) {
    return ht_fail(r->context, HT_ERR_IO, "weights '%s': packed tensor '%s': %s", r->shard->path,
                   r->name, what);
}

static ht_status fail_list(const resolver *r) {
    return ht_fail(r->context, HT_ERR_IO, "weights '%s': %s: %s at byte %llu", r->shard->path,
                   HT_PACKED_KEY_TENSORS, r->json.error, (unsigned long long)r->json.at);
}

// {"format": .., "shape": [..]}, of stacks also "rank" and "blocks"; unknown keys are ignored, later
// versions may have more.
typedef struct stack_numbers {
    uint64_t rank, blocks;
} stack_numbers;

static bool read_packed(ht_json *json, ht_tensor_desc *file, stack_numbers *stack, char *format,
                        size_t format_bytes) {
    char key[16];
    size_t length = 0;
    *file = (ht_tensor_desc){0};
    *stack = (stack_numbers){0};
    format[0] = '\0';
    ht_json_begin_object(json);
    while (ht_json_next_key(json, key, sizeof key, &length)) {
        if (strcmp(key, "format") == 0) {
            ht_json_string(json, format, format_bytes, &length);
        } else if (strcmp(key, "rank") == 0) {
            ht_json_u64(json, &stack->rank);
        } else if (strcmp(key, "blocks") == 0) {
            ht_json_u64(json, &stack->blocks);
        } else if (strcmp(key, "shape") == 0) {
            uint64_t dim = 0;
            ht_json_begin_array(json);
            while (ht_json_next_item(json) && ht_json_u64(json, &dim)) {
                if (file->rank == 4 || dim > UINT32_MAX) {
                    return ht_json_fail(json, "shape of more than 4 dimensions, or too large");
                }
                file->dims[file->rank++] = (uint32_t)dim;
            }
        } else {
            ht_json_skip(json);
        }
    }
    return !json->error;
}

// The file's tensor that holds one part, held against what it must be.
static ht_status find_part(const resolver *r, const ht_packed_part_desc *want,
                           ht_weights_entry **out) {
    char name[MAX_PART_NAME], what[256];
    snprintf(name, sizeof name, "%s%s", r->name, want->suffix);
    ht_weights_entry *part = ht_weights_lookup(r->shard->entries, r->shard->n_entries, name);
    if (!part) {
        snprintf(what, sizeof what, "its %s are missing",
                 *want->suffix ? want->suffix + 1 : "codes");
        return fail_tensor(r, what);
    }
    const ht_tensor_desc *found = &part->info.desc;
    const bool same = part->fits && strcmp(part->info.dtype, want->dtype) == 0 &&
                      found->rank == want->rank && found->dims[0] == want->dims[0] &&
                      (want->rank == 1 || found->dims[1] == want->dims[1]);
    if (!same || part->parts[HT_PART_CODES]) {
        char shape[128];
        ht_desc_text(found, shape, sizeof shape);
        const char *bracket = strchr(shape, '[');
        snprintf(what, sizeof what, "its %s are %s %s, expected %s [%llu, %llu]",
                 *want->suffix ? want->suffix + 1 : "codes", part->info.dtype,
                 bracket ? bracket : "", want->dtype, (unsigned long long)want->dims[0],
                 (unsigned long long)want->dims[1]);
        return fail_tensor(r, what);
    }
    *out = part;
    return HT_OK;
}

// A residual stack: its blocks are tensors of their own, the earlier ones first in the file.
static ht_status resolve_stack(const resolver *r, ht_tensor_desc *file, const ht_tensor_desc *device,
                               const stack_numbers *numbers) {
    ht_stack_layout at;
    char suffix[32], what[160];
    if (numbers->rank < 1 || numbers->rank > HT_STACK_MAX_RANK || numbers->blocks < 1 ||
        numbers->blocks > HT_STACK_MAX_BLOCKS) {
        snprintf(what, sizeof what, "rank %llu or %llu blocks, expected 1 to %d and 1 to %d",
                 (unsigned long long)numbers->rank, (unsigned long long)numbers->blocks,
                 HT_STACK_MAX_RANK, HT_STACK_MAX_BLOCKS);
        return fail_tensor(r, what);
    }
    ht_stack_layout_of(device, (uint32_t)numbers->rank, &at);
    if (at.bytes > UINT32_MAX) {
        return fail_tensor(r, "its blocks are larger than 4 GiB");
    }
    ht_stack *stack = ht_alloc(r->context, sizeof *stack);
    if (!stack) {
        return HT_ERR_NO_MEMORY;
    }
    *stack = (ht_stack){.next = r->shard->stacks, .at = at, .blocks = (uint32_t)numbers->blocks};
    r->shard->stacks = stack;
    ht_weights_entry *first = NULL;
    for (uint32_t b = 0; b < stack->blocks; b++) {
        ht_weights_entry *entry = NULL;
        snprintf(suffix, sizeof suffix, b ? HT_STACK_BLOCK_SUFFIX : "", b);
        const ht_packed_part_desc want = {suffix, "U8", 1, {at.bytes, 0}, 0, at.bytes};
        const ht_status status = find_part(r, &want, &entry);
        if (status != HT_OK) {
            return status;
        }
        if (entry->stack || entry->is_part || (b > 0 && entry->offset < stack->block[b - 1].offset)) {
            return fail_tensor(r, "its blocks are not in order in the file, or another's too");
        }
        stack->block[b].data = entry->info.data;
        stack->block[b].offset = entry->offset;
        entry->is_part = b > 0;
        first = b ? first : entry;
    }
    file->format = device->format;
    file->label = first->info.name;
    first->stack = stack;
    first->info.desc = *file;
    first->info.dtype = ht_format_name(device->format);
    first->info.bytes = stack->blocks * at.bytes;
    first->info.stack_rank = at.rank;
    return HT_OK;
}

static ht_status resolve_one(resolver *r) {
    ht_tensor_desc file, device;
    stack_numbers stack;
    ht_packed_layout at;
    char format_name[32], what[128];
    uint64_t taps = 0;
    if (!read_packed(&r->json, &file, &stack, format_name, sizeof format_name)) {
        return fail_list(r);
    }
    const ht_format format = ht_format_find(format_name);
    if (!ht_format_is_packed(format) && !ht_format_is_stack(format)) {
        snprintf(what, sizeof what, "unknown packed format '%s'", format_name);
        return fail_tensor(r, what);
    }
    if (!ht_packed_shape(&file, format, &device, &taps)) {
        return fail_tensor(r, "its shape is neither [N, K] nor [O, I, kh, kw], or too large");
    }
    if (ht_format_is_stack(format)) {
        return resolve_stack(r, &file, &device, &stack);
    }
    ht_packed_layout_of(&device, &at);
    ht_weights_entry *parts[HT_PACKED_PARTS] = {NULL};
    uint64_t bytes = 0;
    for (int part = 0; part < HT_PACKED_PARTS; part++) {
        ht_packed_part_desc want;
        if (ht_packed_part_of(ht_fmt_find(format), &at, (ht_packed_part)part, &want)) {
            const ht_status status = find_part(r, &want, &parts[part]);
            if (status != HT_OK) {
                return status;
            }
            bytes += want.bytes;
        }
    }
    ht_weights_entry *entry = parts[HT_PART_CODES];
    for (int part = 0; part < HT_PACKED_PARTS; part++) {
        if (parts[part]) {
            parts[part]->is_part = part != HT_PART_CODES;
            entry->parts[part] = parts[part]->info.data;
        }
    }
    file.format = format;
    file.label = entry->info.name;
    entry->info.desc = file;
    entry->info.dtype = ht_format_name(format);
    entry->info.bytes = bytes;
    return HT_OK;
}

static void hide_parts(ht_shard *shard) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shard->n_entries; i++) {
        if (!shard->entries[i].is_part) {
            shard->entries[kept++] = shard->entries[i];
        }
    }
    shard->n_entries = kept;
}

ht_status ht_packed_file_resolve(ht_context *context, ht_shard *shard) {
    const char *version = ht_st_metadata(shard, HT_PACKED_KEY_VERSION);
    const char *tensors = ht_st_metadata(shard, HT_PACKED_KEY_TENSORS);
    if (!version && !tensors) {
        return HT_OK;
    }
    char *end = NULL;
    const long number = version ? strtol(version, &end, 10) : 0;
    if (!version || !tensors || end == version || *end || number < 1) {
        return ht_fail(context, HT_ERR_IO,
                       "weights '%s': __metadata__ has not both of %s, a number, and %s",
                       shard->path, HT_PACKED_KEY_VERSION, HT_PACKED_KEY_TENSORS);
    }
    if (number > HT_PACKED_VERSION) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "weights '%s': packed by a later program, container version %ld; this one "
                       "reads version %d",
                       shard->path, number, HT_PACKED_VERSION);
    }
    resolver r = {.context = context, .shard = shard};
    size_t length = 0;
    ht_json_init(&r.json, tensors, strlen(tensors), HT_ST_MAX_DEPTH);
    ht_json_begin_object(&r.json);
    while (ht_json_next_key(&r.json, r.name, sizeof r.name, &length)) {
        const ht_status status = resolve_one(&r);
        if (status != HT_OK) {
            return status;
        }
    }
    if (!ht_json_end(&r.json)) {
        return fail_list(&r);
    }
    hide_parts(shard);
    return HT_OK;
}

static ht_status fail_scale(ht_context *context, const ht_weights_entry *entry, const char *of,
                            uint64_t index, float scale, const char *expected) {
    return ht_fail(context, HT_ERR_IO,
                   "weights '%s': packed tensor '%s': %sscale %llu is %g, expected a %s number",
                   entry->info.file, entry->info.name, of, (unsigned long long)index, (double)scale,
                   expected);
}

// Whole numbers that are too large would leave the range of a byte.
static bool is_good_scale(const ht_fmt_row *format, float scale) {
    if (format->scale == HT_FMT_SCALE_WHOLE) {
        return scale >= 1 && scale <= (float)ht_fmt_most_times(format);
    }
    return isfinite(scale) && (scale > 0 || format->kind == HT_FMT_BITS);
}

ht_status ht_packed_file_check_scales(ht_context *context, const ht_weights_entry *entry,
                                      const ht_packed_layout *at) {
    const ht_fmt_row *format = ht_fmt_find(entry->info.desc.format);
    const bool whole = format->scale == HT_FMT_SCALE_WHOLE;
    char expected[32];
    snprintf(expected, sizeof expected, format->kind == HT_FMT_BITS ? "finite" : "positive");
    for (uint64_t i = 0; i < at->outers; i++) {
        float outer;
        memcpy(&outer, (const uint8_t *)entry->parts[HT_PART_OUTER_SCALES] + i * sizeof outer,
               sizeof outer);
        if (!isfinite(outer) || outer <= 0) {
            return fail_scale(context, entry, whole ? "row " : "tensor ", i, outer, expected);
        }
    }
    if (whole) {
        snprintf(expected, sizeof expected, "whole (1 to %u)", ht_fmt_most_times(format));
    }
    for (uint64_t i = 0; i < at->rows * at->groups; i++) {
        const float scale = ht_fmt_scale_value(format, entry->parts[HT_PART_SCALES], i);
        if (!is_good_scale(format, scale)) {
            return fail_scale(context, entry, "", i, scale, expected);
        }
    }
    return HT_OK;
}
