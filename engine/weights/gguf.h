// Blocks of the GGUF file format: groups of quantized values with scales of their own, as ggml
// defines them.
#ifndef HT_GGUF_H
#define HT_GGUF_H

#include "weights_table.h"

typedef struct ht_gguf_type {
    uint32_t id; // in the file
    const char *name;
    ht_st_dtype dtype;
    ht_format format;       // of plain types that we compute with
    uint32_t values, bytes; // of a block; plain types have blocks of one
    // One block to floats; NULL for plain types.
    void (*unpack)(const uint8_t *block, float *values);
} ht_gguf_type;

// NULL when there is no such type, or it is not supported.
const ht_gguf_type *ht_gguf_type_of(uint32_t id);
const ht_gguf_type *ht_gguf_block_of(ht_st_dtype dtype); // NULL for plain dtypes
// Name of a type that exists and is not supported; "unknown" for others.
const char *ht_gguf_type_name(uint32_t id);
// Names of all that are supported, for messages.
extern const char ht_gguf_supported[];

// `count` values from the `first` on, of a tensor whose blocks begin at `data`.
void ht_gguf_unpack(const ht_gguf_type *type, const uint8_t *data, uint64_t first, float *values,
                    size_t count);

// Map and validate one file. The shard becomes the caller's on success only.
ht_status ht_gguf_open(ht_context *context, const char *path, ht_shard *out);

#endif
