// The validated table of tensors that the files of this folder share.
#ifndef HT_WEIGHTS_TABLE_H
#define HT_WEIGHTS_TABLE_H

#include "weights_internal.h"

// Element types of safetensors, and blocks of GGUF.
typedef enum ht_st_dtype {
    HT_ST_UNKNOWN, // kept in the table; an error only when used
    HT_ST_BOOL,
    HT_ST_U8,
    HT_ST_I8,
    HT_ST_F8_E4M3,
    HT_ST_F8_E5M2,
    HT_ST_F8_E8M0,
    HT_ST_I16,
    HT_ST_U16,
    HT_ST_F16,
    HT_ST_BF16,
    HT_ST_I32,
    HT_ST_U32,
    HT_ST_F32,
    HT_ST_I64,
    HT_ST_U64,
    HT_ST_F64,
    HT_ST_C64,
    HT_ST_F4,
    HT_ST_F6_E2M3,
    HT_ST_F6_E3M2,
    HT_ST_Q4_0,
    HT_ST_Q4_1,
    HT_ST_Q5_0,
    HT_ST_Q5_1,
    HT_ST_Q8_0,
    HT_ST_Q4_K,
    HT_ST_Q5_K,
    HT_ST_Q6_K,
} ht_st_dtype;

enum {
    HT_ST_MAX_RANK = 8,
    HT_ST_MAX_NAME = 512,
    HT_ST_MAX_TENSORS = 1000000,
    HT_ST_MAX_METADATA = 100000,
    HT_ST_MAX_SHARDS = 10000,
    HT_ST_MAX_HEADER = 100000000,
    HT_ST_MAX_DEPTH = 8,
};

// Layouts with their own copy on the device. A table is stored like a matrix.
typedef enum ht_upload_kind {
    HT_UPLOAD_MATRIX,
    HT_UPLOAD_CONV,
    HT_UPLOAD_VECTOR,
    HT_UPLOAD_TIME, // and one for each time behind the first
    HT_UPLOAD_KINDS = HT_UPLOAD_TIME + 3,
} ht_upload_kind;

// What a packed tensor consists of.
typedef enum ht_packed_part {
    HT_PART_CODES,
    HT_PART_SCALES,
    HT_PART_ZEROS,
    HT_PART_OUTER_SCALES,
    HT_PACKED_PARTS,
} ht_packed_part;

typedef struct ht_weights_entry {
    ht_weight_info info;
    ht_st_dtype dtype;
    uint64_t offset; // in its file
    uint64_t skip;   // values of the first block that belong to what is before
    uint32_t shard;  // its file
    bool fits;       // the shape fits a tensor description; when not, desc.rank is 0
    bool is_part;    // scales or the like of a packed tensor: left out of the table
    bool copied;     // info.data is not in the mapped file
    struct ht_stack *stack; // its blocks, where it is a residual stack; owned by the shard
    // In the mapped file; NULL those that the format has not. A packed tensor has codes.
    const uint8_t *parts[HT_PACKED_PARTS];
    // First of its copies: index + 1 into ht_weights.uploads, 0: not on the device.
    uint32_t uploads[HT_UPLOAD_KINDS];
} ht_weights_entry;

typedef struct ht_weights_metadata_pair {
    const char *key;
    const char *value;
} ht_weights_metadata_pair;

// A part of a mapped file that the device reads in place.
typedef struct ht_import {
    uint64_t begin, end; // in the file
    ht_vk_range range;
} ht_import;

// One safetensors or GGUF file.
typedef struct ht_shard {
    char *path;
    ht_file_map map;
    char *strings;             // names and metadata, in one block no larger than the header
    ht_weights_entry *entries; // sorted by name
    uint32_t n_entries;
    ht_weights_metadata_pair *metadata;
    uint32_t n_metadata;
    struct ht_stack *stacks; // a list
    ht_import *imports;
    uint32_t n_imports;
    bool no_import; // tried, and the device cannot
} ht_shard;

// A weight on the device.
typedef struct ht_upload {
    ht_format format;
    uint32_t next; // the same weight in another format: index + 1, 0: none
    uint64_t bytes;
    uint64_t address;
    ht_vk_range range; // zeroed when it is the mapped file itself
    bool own_block;    // a block of its own, not part of the arena
} ht_upload;

struct ht_weights {
    ht_context *context;
    char *path;
    ht_format format;
    ht_shard *shards;
    uint32_t n_shards;
    char *index_strings; // tensor and shard names of an index
    // Sorted by name. A single file lends its own table.
    ht_weights_entry *entries;
    uint32_t n_entries;
    bool owns_entries;
    char *view_names; // names of views
    void **view_data; // values of transposed views
    uint32_t n_view_data;
    ht_upload *uploads;
    uint32_t n_uploads, upload_capacity;
    ht_vk_arena arena;
    bool has_arena;
    uint64_t device_bytes, imported_bytes;
    ht_weights_ring ring; // slot_bytes is 0 unless weights are streamed
    struct ht_stacks *stacks; // blocks of all residual stacks in order; NULL until one is asked for
};

// Map and validate one file (safetensors.c). The shard becomes the caller's on success only.
ht_status ht_st_open(ht_context *context, const char *path, ht_shard *out);
void ht_st_close(ht_context *context, ht_shard *shard);
// Bits of one element; 0 for HT_ST_UNKNOWN.
uint32_t ht_st_dtype_bits(ht_st_dtype dtype);

// Open every file of an index and merge their tables into `weights` (sharded.c). On failure the
// caller destroys `weights`.
ht_status ht_sharded_open(ht_weights *weights, const char *index_path);

// Entry of that name in a sorted table, or NULL.
ht_weights_entry *ht_weights_lookup(ht_weights_entry *entries, uint32_t count, const char *name);
// Values of a computable tensor from its mapped bytes (upload.c).
void ht_weights_unpack(const ht_weights_entry *entry, uint64_t first, float *values, size_t count);
// How the values of a weight lie in the file: [O, I, times, taps], of which the device gets
// [O, taps, I] at one time. All but `time` are 1 when nothing has to be moved.
typedef struct ht_weight_order {
    uint64_t channels, times, time, taps;
} ht_weight_order;
static inline bool ht_weight_order_moves(const ht_weight_order *order) {
    return order->taps > 1 || order->times > 1;
}
void ht_weights_permute(const float *in, float *out, size_t n_out, const ht_weight_order *order);
// Turn the tensors that the file's metadata calls packed into one entry each (packed_file.c).
ht_status ht_packed_file_resolve(ht_context *context, ht_shard *shard);
// Scales of a packed entry must be positive numbers (packed_file.c).
ht_status ht_packed_file_check_scales(ht_context *context, const ht_weights_entry *entry,
                                      const ht_packed_layout *layout);
// F16, BF16, F32, F64, or blocks of GGUF (upload.c).
bool ht_weights_is_float(const ht_weights_entry *entry);
// Value of a __metadata__ key of a file, or NULL (weights.c).
const char *ht_st_metadata(const ht_shard *shard, const char *key);
// Release what the device holds (upload.c).
void ht_weights_release_device(ht_weights *weights);

#endif
