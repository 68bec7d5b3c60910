// Copies between host and device memory: straight where it is mapped, else through one staging
// block, piece by piece.
#include "vk_internal.h"

#include <string.h>

static const uint64_t STAGING_BYTES = UINT64_C(16) << 20;

static ht_status staging_ready(ht_context *context) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    if (device->staging.block == NULL) {
        HT_TRY(ht_vk_block_create(context, STAGING_BYTES, device->host_memory_type, true, "staging",
                                  &device->staging));
    }
    if (device->transfer == NULL) {
        HT_TRY(ht_vk_commands_create(context, 0, &device->transfer));
    }
fail:
    return status;
}

static ht_status copy_piece(ht_context *context, const ht_vk_range *range, uint64_t offset,
                            uint64_t bytes, bool to_device) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    HT_TRY(ht_vk_commands_begin(device->transfer));
    VkCommandBuffer commands = ht_vk_commands_handle(device->transfer);
    VkBufferCopy region = {.size = bytes};
    if (to_device) {
        region.dstOffset = range->offset + offset;
        vkCmdCopyBuffer(commands, device->staging.block->buffer, range->block->buffer, 1, &region);
    } else {
        region.srcOffset = range->offset + offset;
        vkCmdCopyBuffer(commands, range->block->buffer, device->staging.block->buffer, 1, &region);
    }
    HT_TRY(ht_vk_commands_end(device->transfer));
    HT_TRY(ht_vk_commands_run(device->transfer));
fail:
    return status;
}

static bool in_range(const ht_vk_range *range, uint64_t offset, uint64_t bytes) {
    return offset <= range->bytes && bytes <= range->bytes - offset;
}

ht_status ht_vk_write(ht_context *context, const ht_vk_range *range, uint64_t offset,
                      const void *data, uint64_t bytes) {
    ht_status status = HT_OK;
    if (!in_range(range, offset, bytes)) {
        return ht_fail(context, HT_ERR_INVALID, "write past the end of a device range");
    }
    if (range->host != NULL) {
        memcpy((char *)range->host + offset, data, bytes);
        return HT_OK;
    }
    HT_TRY(staging_ready(context));
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        memcpy(context->device->staging.host, (const char *)data + done, piece);
        HT_TRY(copy_piece(context, range, offset + done, piece, true));
        done += piece;
    }
fail:
    return status;
}

ht_status ht_vk_read(ht_context *context, const ht_vk_range *range, uint64_t offset, void *data,
                     uint64_t bytes) {
    ht_status status = HT_OK;
    if (!in_range(range, offset, bytes)) {
        return ht_fail(context, HT_ERR_INVALID, "read past the end of a device range");
    }
    if (range->host != NULL) {
        memcpy(data, (const char *)range->host + offset, bytes);
        return HT_OK;
    }
    HT_TRY(staging_ready(context));
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        HT_TRY(copy_piece(context, range, offset + done, piece, false));
        memcpy((char *)data + done, context->device->staging.host, piece);
        done += piece;
    }
fail:
    return status;
}
