// A context: one device, one log, one allocator, and the sentence that explains the last failure.
// A context and everything made from it belong to one thread at a time; two contexts share nothing.
#ifndef HALFTONE_CONTEXT_H
#define HALFTONE_CONTEXT_H

#include <halftone/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_context ht_context;

typedef enum ht_log_level {
    HT_LOG_ERROR,
    HT_LOG_WARN,
    HT_LOG_INFO,
    HT_LOG_DEBUG,
    HT_LOG_TRACE,
} ht_log_level;

// Where messages go. `write` gets one line without a trailing newline; NULL means silent.
// Text is not formatted when its level is above `level`.
typedef struct ht_log_sink {
    void (*write)(void *user, ht_log_level level, const char *text);
    void *user;
    ht_log_level level;
} ht_log_sink;

// Host memory callbacks, for tests that count or fail allocations. `resize` accepts NULL.
typedef struct ht_allocator {
    void *(*resize)(void *user, void *pointer, size_t bytes);
    void (*release)(void *user, void *pointer);
    void *user;
} ht_allocator;

// Which family of kernels to use (design: kernel tiers).
typedef enum ht_tier {
    HT_TIER_AUTO,     // chosen from the device
    HT_TIER_PORTABLE, // shared-memory tiles, made for GPUs
    HT_TIER_CPU,      // subgroup-wide rows, made for Vulkan drivers that run on the CPU
    HT_TIER_DOT,      // portable, and integer products by the device's dot product of four bytes
    HT_TIER_MATRIX,   // dot, and products by cooperative matrices; HT_ERR_UNSUPPORTED without them
    HT_TIER_COUNT,
} ht_tier;
HT_API const char *ht_tier_name(ht_tier tier); // "auto", "portable", "cpu", "dot", "matrix"
// The tier of a name; false when there is none.
HT_API bool ht_tier_find(const char *name, ht_tier *tier);

typedef struct ht_context_desc {
    const char *device;        // index or part of a name; NULL: discrete > integrated > CPU
    ht_tier tier;              // HT_TIER_AUTO unless testing
    bool host_only;            // no device at all: file readers and tokenizers only
    bool validation;           // load the Khronos validation layer; its errors fail the next call
    bool staging;              // always copy through staging buffers (to test that path)
    bool no_host_import;       // never import mapped files as device memory
    uint64_t max_device_bytes; // 0: what the device has; else allocations beyond it fail
    ht_log_sink log;
    const ht_allocator *allocator; // NULL: malloc; the struct must outlive the context
} ht_context_desc;

// Open a device. On failure *out may still be set: such a context only serves
// ht_context_message and ht_context_destroy. *out is NULL only when host memory ran out.
HT_API ht_status ht_context_create(const ht_context_desc *desc, ht_context **out);

// Release a context and set *context to NULL. Everything made from it must be gone before.
HT_API void ht_context_destroy(ht_context **context);

// The sentence of the last failure, "" when there was none. Valid until the next failure.
HT_API const char *ht_context_message(const ht_context *context);

// Record a failure: keeps the sentence in the context, logs it, and returns `status`.
HT_API ht_status ht_fail(ht_context *context, ht_status status, const char *format, ...)
    HT_PRINTF(3, 4);

// Write to the context's log.
HT_API void ht_log(ht_context *context, ht_log_level level, const char *format, ...)
    HT_PRINTF(3, 4);

// Host memory from the context's allocator. ht_alloc zero-fills; NULL on failure (ht_fail done).
HT_API void *ht_alloc(ht_context *context, size_t bytes);
HT_API void *ht_realloc(ht_context *context, void *pointer, size_t bytes);
HT_API void ht_free(ht_context *context, void *pointer);
HT_API char *ht_strdup(ht_context *context, const char *text);

typedef enum ht_device_type {
    HT_DEVICE_OTHER,
    HT_DEVICE_CPU,
    HT_DEVICE_INTEGRATED,
    HT_DEVICE_DISCRETE,
} ht_device_type;

typedef struct ht_device_info {
    char name[256];
    char driver[256];
    ht_device_type type;
    uint32_t api_version; // Vulkan's packed version
    uint32_t subgroup_size;
    uint64_t memory_bytes; // of the largest device-local heap
    bool usable;           // has what the portable tier needs
    char why_not[256];     // when not usable
} ht_device_info;

// List devices into `infos` (up to *count); *count becomes the number there are. Needs no open
// device: works on a host_only context.
HT_API ht_status ht_device_list(ht_context *context, ht_device_info *infos, uint32_t *count);

// The device of this context; NULL when host_only.
HT_API const ht_device_info *ht_context_device(const ht_context *context);
HT_API ht_tier ht_context_tier(const ht_context *context);

// Device memory in bytes. Planned is what tensors, weights and the graphs' plans ask for, which their
// shapes and formats say; allocated is what the driver gave for it, with the ends of blocks that are
// not used. Peaks are since creation or the last ht_context_memory_restart.
typedef struct ht_memory_use {
    uint64_t planned, planned_peak;
    uint64_t allocated, allocated_peak;
} ht_memory_use;
HT_API void ht_context_memory(const ht_context *context, ht_memory_use *use);
// The peaks begin anew, at what is in use now.
HT_API void ht_context_memory_restart(ht_context *context);

#ifdef __cplusplus
}
#endif
#endif
