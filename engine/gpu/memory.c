// Device memory: blocks, imported host memory, and arenas of small ranges.
#include "vk_internal.h"

#include <inttypes.h>
#include <string.h>

enum { RANGE_ALIGNMENT = 256 };
// An arena's blocks grow with it, and what is large beside them gets a block of its own, so that what
// is left over at their ends stays a small share.
static const uint64_t ARENA_LEAST_BYTES = UINT64_C(16) << 10, ARENA_MOST_BYTES = UINT64_C(32) << 20;
enum { ARENA_SHARE = 32, LARGE_SHARE = 8 };

struct ht_vk_arena_block {
    ht_vk_range range;
    uint64_t used;
};

static ht_status no_memory(ht_context *context, const char *label, uint64_t bytes) {
    const ht_vk_device *device = context->device;
    uint64_t limit = device->max_bytes != 0 ? device->max_bytes : device->info.memory_bytes;
    return ht_fail(context, HT_ERR_NO_MEMORY,
                   "out of device memory: '%s' needs %.1f MiB, %.1f of %.1f MiB are in use on %s; "
                   "use a smaller picture or a lower-bit recipe, or raise --max-memory",
                   label, (double)bytes / 1048576.0, (double)device->bytes_now / 1048576.0,
                   (double)limit / 1048576.0, device->info.name);
}

static void count_bytes(ht_vk_device *device, uint64_t bytes) {
    device->bytes_now += bytes;
    if (device->bytes_now > device->bytes_peak) {
        device->bytes_peak = device->bytes_now;
    }
}

// What the caller has use for, from now on.
static void ask(ht_vk_device *device, ht_vk_block *block, uint64_t bytes) {
    block->asked += bytes;
    device->asked_now += bytes;
    if (device->asked_now > device->asked_peak) {
        device->asked_peak = device->asked_now;
    }
}

static void block_destroy(ht_context *context, ht_vk_block *block) {
    ht_vk_device *device = context->device;
    vkDestroyBuffer(device->device, block->buffer, NULL);
    vkFreeMemory(device->device, block->memory, NULL);
    if (!block->imported) {
        device->bytes_now -= block->bytes;
        device->asked_now -= block->asked;
    }
    ht_free(context, block);
}

static VkResult create_buffer(ht_vk_device *device, uint64_t bytes, const void *next,
                              VkBuffer *buffer) {
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .pNext = next,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    return vkCreateBuffer(device->device, &info, NULL, buffer);
}

static VkResult allocate_and_bind(ht_vk_device *device, ht_vk_block *block, uint64_t bytes,
                                  uint32_t memory_type, const void *next) {
    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .pNext = next,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = bytes,
        .memoryTypeIndex = memory_type,
    };
    VkResult result = vkAllocateMemory(device->device, &info, NULL, &block->memory);
    if (result == VK_SUCCESS) {
        result = vkBindBufferMemory(device->device, block->buffer, block->memory, 0);
    }
    return result;
}

static uint64_t buffer_address(ht_vk_device *device, VkBuffer buffer) {
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = buffer,
    };
    return vkGetBufferDeviceAddress(device->device, &info);
}

// A block of which nothing is asked for yet.
static ht_status create_block(ht_context *context, uint64_t bytes, uint32_t memory_type, bool map,
                              const char *label, ht_vk_range *out) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    *out = (ht_vk_range){0};
    bytes = bytes == 0 ? RANGE_ALIGNMENT : bytes;
    if (bytes > UINT64_MAX / 2 ||
        (device->max_bytes != 0 && device->bytes_now + bytes > device->max_bytes)) {
        return no_memory(context, label, bytes);
    }
    ht_vk_block *block = ht_alloc(context, sizeof *block);
    if (block == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    VkResult result = create_buffer(device, bytes, NULL, &block->buffer);
    VkMemoryRequirements needs = {0};
    if (result == VK_SUCCESS) {
        vkGetBufferMemoryRequirements(device->device, block->buffer, &needs);
        result = allocate_and_bind(device, block, needs.size, memory_type, NULL);
    }
    if (result != VK_SUCCESS) {
        bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
                      result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_UNKNOWN;
        status = memory ? no_memory(context, label, bytes) : ht_vk_fail(context, result, label);
        goto fail;
    }
    void *host = NULL;
    if (map) {
        HT_VK(context, vkMapMemory(device->device, block->memory, 0, VK_WHOLE_SIZE, 0, &host));
    }
    block->bytes = needs.size;
    count_bytes(device, block->bytes);
    ht_vk_set_name(device, VK_OBJECT_TYPE_BUFFER, (uint64_t)(uintptr_t)block->buffer, label);
    *out = (ht_vk_range){.address = buffer_address(device, block->buffer),
                         .bytes = bytes,
                         .host = host,
                         .block = block};
    return HT_OK;
fail:
    block_destroy(context, block);
    return status;
}

ht_status ht_vk_block_create(ht_context *context, uint64_t bytes, uint32_t memory_type, bool map,
                             const char *label, ht_vk_range *out) {
    const ht_status status = create_block(context, bytes, memory_type, map, label, out);
    if (status == HT_OK) {
        ask(context->device, out->block, bytes);
    }
    return status;
}

ht_status ht_vk_alloc(ht_context *context, uint64_t bytes, const char *label, ht_vk_range *out) {
    const ht_vk_device *device = context->device;
    return ht_vk_block_create(context, bytes, device->device_memory_type, device->unified, label,
                              out);
}

void ht_vk_free(ht_context *context, ht_vk_range *range) {
    if (range->block != NULL) {
        block_destroy(context, range->block);
    }
    *range = (ht_vk_range){0};
}

// Memory type that imported pages of `host` can have and that we can use; UINT32_MAX when none.
static uint32_t import_type(ht_vk_device *device, const void *host, uint32_t buffer_types) {
    VkMemoryHostPointerPropertiesEXT properties = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    VkResult result = device->host_pointer_properties(
        device->device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, host, &properties);
    uint32_t types = result == VK_SUCCESS ? properties.memoryTypeBits & buffer_types : 0;
    for (uint32_t i = 0; i < 32; i++) {
        if ((types >> i) & 1u) {
            return i;
        }
    }
    return UINT32_MAX;
}

ht_status ht_vk_import(ht_context *context, const void *host, uint64_t bytes, const char *label,
                       ht_vk_range *out) {
    ht_vk_device *device = context->device;
    *out = (ht_vk_range){0};
    if (!device->limits.host_import || (uintptr_t)host % device->import_alignment != 0) {
        return HT_ERR_UNSUPPORTED;
    }
    bytes = (bytes + device->import_alignment - 1) / device->import_alignment *
            device->import_alignment;
    ht_vk_block *block = ht_alloc(context, sizeof *block);
    if (block == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    block->imported = true;
    block->bytes = bytes;
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
    };
    const VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
        .pHostPointer = (void *)(uintptr_t)host, // Vulkan has no const here; we only read
    };
    VkResult result = create_buffer(device, bytes, &external, &block->buffer);
    if (result == VK_SUCCESS) {
        VkMemoryRequirements needs;
        vkGetBufferMemoryRequirements(device->device, block->buffer, &needs);
        uint32_t type = import_type(device, host, needs.memoryTypeBits);
        result = type == UINT32_MAX || needs.size > bytes
                     ? VK_ERROR_INVALID_EXTERNAL_HANDLE
                     : allocate_and_bind(device, block, bytes, type, &import);
    }
    if (result != VK_SUCCESS) {
        ht_log(context, HT_LOG_DEBUG, "'%s' cannot be used in place; it is copied", label);
        block_destroy(context, block);
        return HT_ERR_UNSUPPORTED;
    }
    ht_vk_set_name(device, VK_OBJECT_TYPE_BUFFER, (uint64_t)(uintptr_t)block->buffer, label);
    *out = (ht_vk_range){
        .address = buffer_address(device, block->buffer), .bytes = bytes, .block = block};
    return HT_OK;
}

void ht_vk_arena_init(ht_vk_arena *arena, ht_context *context, const char *label) {
    *arena = (ht_vk_arena){.context = context, .label = label};
}

static ht_status add_block(ht_vk_arena *arena, uint64_t needed) {
    const ht_vk_device *device = arena->context->device;
    ht_vk_range fresh;
    uint64_t bytes = arena->total / ARENA_SHARE;
    bytes = bytes > ARENA_MOST_BYTES ? ARENA_MOST_BYTES : bytes;
    bytes = bytes < ARENA_LEAST_BYTES ? ARENA_LEAST_BYTES : bytes;
    bytes = needed > bytes / LARGE_SHARE ? needed : bytes;
    ht_status status = create_block(arena->context, bytes, device->device_memory_type,
                                    device->unified, arena->label, &fresh);
    if (status != HT_OK) {
        return status;
    }
    struct ht_vk_arena_block *blocks =
        ht_realloc(arena->context, arena->blocks, (arena->count + 1) * sizeof *blocks);
    if (blocks == NULL) {
        ht_vk_free(arena->context, &fresh);
        return HT_ERR_NO_MEMORY;
    }
    arena->blocks = blocks;
    blocks[arena->count++] = (struct ht_vk_arena_block){.range = fresh};
    arena->total += fresh.bytes;
    return HT_OK;
}

ht_status ht_vk_arena_take(ht_vk_arena *arena, uint64_t bytes, ht_vk_range *out) {
    uint64_t rounded = (bytes + RANGE_ALIGNMENT - 1) / RANGE_ALIGNMENT * RANGE_ALIGNMENT;
    rounded = rounded == 0 ? RANGE_ALIGNMENT : rounded;
    uint32_t i = 0;
    while (i < arena->count && arena->blocks[i].range.bytes - arena->blocks[i].used < rounded) {
        i++;
    }
    if (i == arena->count) {
        ht_status status = add_block(arena, rounded);
        if (status != HT_OK) {
            return status;
        }
    }
    struct ht_vk_arena_block *from = &arena->blocks[i];
    const ht_vk_range *block = &from->range;
    *out = (ht_vk_range){.address = block->address + from->used,
                         .bytes = bytes,
                         .host = block->host != NULL ? (char *)block->host + from->used : NULL,
                         .block = block->block,
                         .offset = from->used};
    from->used += rounded;
    ask(arena->context->device, block->block, bytes);
    return HT_OK;
}

void ht_vk_arena_finish(ht_vk_arena *arena) {
    for (uint32_t i = 0; i < arena->count; i++) {
        ht_vk_free(arena->context, &arena->blocks[i].range);
    }
    if (arena->context != NULL) {
        ht_free(arena->context, arena->blocks);
    }
    *arena = (ht_vk_arena){0};
}
