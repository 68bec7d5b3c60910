// The only Vulkan code, hidden behind this header: device memory, uploads, kernels and recorded
// commands. Buffers are addressed by device address; there are no descriptor sets.
#ifndef HT_GPU_H
#define HT_GPU_H

#include "core.h"

#include <halftone/tensor.h>

// --- memory -----------------------------------------------------------------------------------

// A range of device memory. Zeroed means none.
typedef struct ht_vk_range {
    uint64_t address; // device address of its first byte, 256-byte aligned
    uint64_t bytes;
    void *host;                // mapped pointer, or NULL when only staging reaches it
    struct ht_vk_block *block; // the allocation it belongs to
    uint64_t offset;           // in the block
} ht_vk_range;

// Allocate a block of its own. Fails with HT_ERR_NO_MEMORY and needed/available in the sentence.
ht_status ht_vk_alloc(ht_context *context, uint64_t bytes, const char *label, ht_vk_range *out);
// Releases the block behind a range of ht_vk_alloc or ht_vk_import; clears the range.
void ht_vk_free(ht_context *context, ht_vk_range *range);
// Make page-aligned host memory (a read-only file mapping) readable by the device without a copy.
// HT_ERR_UNSUPPORTED, without a message, when the device cannot.
ht_status ht_vk_import(ht_context *context, const void *host, uint64_t bytes, const char *label,
                       ht_vk_range *out);

// Many small ranges with one lifetime, carved from a few blocks.
typedef struct ht_vk_arena {
    ht_context *context;
    const char *label;
    struct ht_vk_arena_block *blocks;
    uint32_t count;
    uint64_t total;
} ht_vk_arena;
void ht_vk_arena_init(ht_vk_arena *arena, ht_context *context, const char *label);
ht_status ht_vk_arena_take(ht_vk_arena *arena, uint64_t bytes, ht_vk_range *out);
void ht_vk_arena_finish(ht_vk_arena *arena);

// Copy to or from a range; waits.
ht_status ht_vk_write(ht_context *context, const ht_vk_range *range, uint64_t offset,
                      const void *data, uint64_t bytes);
ht_status ht_vk_read(ht_context *context, const ht_vk_range *range, uint64_t offset, void *data,
                     uint64_t bytes);

// Memory behind a tensor.
const ht_vk_range *ht_tensor_range(const ht_tensor *tensor);

// --- kernels ----------------------------------------------------------------------------------

// One enumerator per row of shaders/kernels.def.
typedef enum ht_vk_kernel {
#define HT_KERNEL(name, source, defines) HT_KERNEL_##name,
#include "kernels.def"
#undef HT_KERNEL
    HT_KERNEL_COUNT
} ht_vk_kernel;

enum { HT_MAX_CONSTANTS = 20, HT_MAX_PUSH_BYTES = 128 };

typedef struct ht_vk_dispatch_desc {
    ht_vk_kernel kernel;
    // Specialization constants, ids 0, 1, ...; id 0 is the workgroup's local_size_x in every kernel.
    uint32_t constants[HT_MAX_CONSTANTS];
    uint32_t n_constants;
    uint32_t subgroup_size; // that the kernel must have, in full subgroups; 0: any
    const void *push;
    uint32_t push_bytes;
    uint32_t groups[3];
    const char *label;
} ht_vk_dispatch_desc;

// --- commands ---------------------------------------------------------------------------------

typedef struct ht_vk_commands ht_vk_commands;

// A command buffer recorded once and run many times, with room for `timestamps` queries.
ht_status ht_vk_commands_create(ht_context *context, uint32_t timestamps, ht_vk_commands **out);
void ht_vk_commands_destroy(ht_vk_commands **commands);
ht_status ht_vk_commands_begin(ht_vk_commands *commands);
ht_status ht_vk_commands_end(ht_vk_commands *commands);

ht_status ht_vk_dispatch(ht_vk_commands *commands, const ht_vk_dispatch_desc *desc);
// Everything recorded before is finished and visible to everything recorded after.
void ht_vk_barrier(ht_vk_commands *commands);
void ht_vk_timestamp(ht_vk_commands *commands, uint32_t index);
uint32_t ht_vk_dispatch_count(const ht_vk_commands *commands);

// Submit, and wait for what was submitted; ht_vk_commands_run does both.
ht_status ht_vk_commands_start(ht_vk_commands *commands);
ht_status ht_vk_commands_wait(ht_vk_commands *commands);
ht_status ht_vk_commands_run(ht_vk_commands *commands);
// Times of the last run, in nanoseconds from an arbitrary start.
ht_status ht_vk_commands_times(ht_vk_commands *commands, uint64_t *times_ns, uint32_t count);

// --- facts the ops choose by --------------------------------------------------------------------

// Cooperative matrices by what is multiplied: sums are f32, of S8 int.
typedef enum ht_vk_element { HT_VK_F16, HT_VK_S8, HT_VK_E4M3, HT_VK_ELEMENTS } ht_vk_element;

typedef struct ht_vk_matrix {
    uint32_t m, n, k; // [m, k] times [k, n]; 8, 16 or 32 each
} ht_vk_matrix;

typedef struct ht_vk_limits {
    uint32_t subgroup_size;
    uint32_t max_groups[3];
    uint32_t max_workgroup_invocations;
    uint32_t max_shared_bytes;
    bool host_import;
    ht_vk_matrix matrix[HT_VK_ELEMENTS]; // largest shape; zeros: the device has none
    uint32_t matrix_subgroup;            // size of subgroup for kernels with matrices
    bool dot4; // dot products of four signed bytes in a word are faster than four multiplications
    bool fused_integers; // a driver on the CPU whose products of integers add up in one instruction
} ht_vk_limits;
const ht_vk_limits *ht_vk_get_limits(const ht_context *context);

// Spread `count` workgroups over x and y so that neither exceeds the limit; kernels compute
// gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x and must ignore a rest >= count.
void ht_vk_split_groups(const ht_context *context, uint64_t count, uint32_t groups[3]);

#endif
