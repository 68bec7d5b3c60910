// What every engine folder may know of a context, and small host-side helpers.
#ifndef HT_CORE_H
#define HT_CORE_H

#include <halftone/context.h>

struct ht_vk_device;

struct ht_context {
    ht_allocator allocator;
    ht_log_sink log;
    char message[1024];
    struct ht_vk_device *device; // owned by engine/gpu; NULL when host_only
    ht_tier tier;                // never AUTO once a device is open
    bool host_only;
};

// Make the device-free part of a context (used by ht_context_create).
ht_status ht_core_create(const ht_context_desc *desc, ht_context **out);
void ht_core_destroy(ht_context **context);

// Run `call`; on failure jump to the function's label `fail` with `status` set.
#define HT_TRY(call)                                                                               \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != HT_OK) {                                                                     \
            goto fail;                                                                             \
        }                                                                                          \
    } while (0)

// Monotonic clock.
uint64_t ht_clock_ns(void);

// Do `work` for 0..count-1, in ranges side by side on the processors this process may use; each has
// at least `least` items. Returns when all are done. `work` must not call the context.
typedef void (*ht_parallel_fn)(void *user, uint64_t first, uint64_t count);
void ht_parallel(uint64_t count, uint64_t least, ht_parallel_fn work, void *user);

// Checked arithmetic on sizes from files. False on overflow.
bool ht_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool ht_add_u64(uint64_t a, uint64_t b, uint64_t *out);

// A file mapped read-only. `data` starts on a page boundary; NULL for an empty file.
typedef struct ht_file_map {
    const uint8_t *data;
    uint64_t bytes;
    uint64_t mapped_bytes; // bytes rounded up to whole pages
} ht_file_map;
ht_status ht_file_map_open(ht_context *context, const char *path, ht_file_map *out);
void ht_file_map_close(ht_file_map *map);
// Tell the system that these bytes will hardly be read again, so that they stop counting as memory
// of this process. They stay readable.
void ht_file_map_forget(const ht_file_map *map, uint64_t offset, uint64_t bytes);

#endif
