// Recorded commands: dispatches, barriers and timestamps in one command buffer that is replayed.
#include "vk_internal.h"

#include <string.h>

struct ht_vk_commands {
    ht_context *context;
    VkCommandBuffer buffer;
    VkFence fence;
    VkQueryPool queries;
    uint32_t n_queries;
    uint32_t dispatches;
};

static ht_status commands_init(ht_vk_commands *commands) {
    ht_context *context = commands->context;
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    const VkCommandBufferAllocateInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    HT_VK(context, vkAllocateCommandBuffers(device->device, &buffer, &commands->buffer));
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    HT_VK(context, vkCreateFence(device->device, &fence, NULL, &commands->fence));
    if (commands->n_queries != 0) {
        const VkQueryPoolCreateInfo queries = {
            .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
            .queryType = VK_QUERY_TYPE_TIMESTAMP,
            .queryCount = commands->n_queries,
        };
        HT_VK(context, vkCreateQueryPool(device->device, &queries, NULL, &commands->queries));
    }
fail:
    return status;
}

ht_status ht_vk_commands_create(ht_context *context, uint32_t timestamps, ht_vk_commands **out) {
    *out = NULL;
    ht_vk_commands *commands = ht_alloc(context, sizeof *commands);
    if (commands == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    commands->context = context;
    commands->n_queries = timestamps;
    ht_status status = commands_init(commands);
    if (status != HT_OK) {
        ht_vk_commands_destroy(&commands);
        return status;
    }
    *out = commands;
    return HT_OK;
}

// The validation layer of Debian 12 (1.3.239) keeps finished submissions for a moment on a thread of
// its own. Were that thread the last to hold a command buffer, it would erase the labels of the next
// buffer of the same handle while they are written, and corrupt the heap (mended upstream in February
// 2023). The first wait returns while the layer drops its last submission, the second after it did.
static void let_validation_finish(const ht_vk_device *device) {
    if (device->messenger != VK_NULL_HANDLE) {
        vkQueueWaitIdle(device->queue);
        vkQueueWaitIdle(device->queue);
    }
}

void ht_vk_commands_destroy(ht_vk_commands **commands) {
    if (commands == NULL || *commands == NULL) {
        return;
    }
    ht_vk_commands *c = *commands;
    ht_vk_device *device = c->context->device;
    if (c->buffer != NULL) {
        let_validation_finish(device);
        vkFreeCommandBuffers(device->device, device->pool, 1, &c->buffer);
    }
    vkDestroyFence(device->device, c->fence, NULL);
    vkDestroyQueryPool(device->device, c->queries, NULL);
    ht_free(c->context, c);
    *commands = NULL;
}

VkCommandBuffer ht_vk_commands_handle(ht_vk_commands *commands) {
    return commands->buffer;
}

ht_status ht_vk_commands_begin(ht_vk_commands *commands) {
    ht_status status = HT_OK;
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    HT_VK(commands->context, vkBeginCommandBuffer(commands->buffer, &info));
    commands->dispatches = 0;
    if (commands->n_queries != 0) {
        vkCmdResetQueryPool(commands->buffer, commands->queries, 0, commands->n_queries);
    }
fail:
    return status;
}

static void memory_barrier(VkCommandBuffer buffer, VkPipelineStageFlags2 to, VkAccessFlags2 reads) {
    const VkMemoryBarrier2 barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_TRANSFER_BIT,
        .srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_SHADER_READ_BIT |
                         VK_ACCESS_2_TRANSFER_WRITE_BIT,
        .dstStageMask = to,
        .dstAccessMask = reads,
    };
    const VkDependencyInfo info = {.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
                                   .memoryBarrierCount = 1,
                                   .pMemoryBarriers = &barrier};
    vkCmdPipelineBarrier2(buffer, &info);
}

void ht_vk_barrier(ht_vk_commands *commands) {
    memory_barrier(commands->buffer, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                   VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT);
}

ht_status ht_vk_commands_end(ht_vk_commands *commands) {
    ht_status status = HT_OK;
    memory_barrier(commands->buffer,
                   VK_PIPELINE_STAGE_2_HOST_BIT | VK_PIPELINE_STAGE_2_TRANSFER_BIT |
                       VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                   VK_ACCESS_2_HOST_READ_BIT | VK_ACCESS_2_TRANSFER_READ_BIT |
                       VK_ACCESS_2_SHADER_READ_BIT);
    HT_VK(commands->context, vkEndCommandBuffer(commands->buffer));
fail:
    return status;
}

static void begin_label(const ht_vk_device *device, VkCommandBuffer buffer, const char *label) {
    if (device->begin_label != NULL && label != NULL) {
        const VkDebugUtilsLabelEXT info = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT,
                                           .pLabelName = label};
        device->begin_label(buffer, &info);
    }
}

ht_status ht_vk_dispatch(ht_vk_commands *commands, const ht_vk_dispatch_desc *desc) {
    ht_context *context = commands->context;
    const ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    VkPipeline pipeline;
    if (desc->push_bytes > HT_MAX_PUSH_BYTES || desc->push_bytes % 4 != 0 ||
        desc->n_constants > HT_MAX_CONSTANTS || desc->n_constants == 0) {
        return ht_fail(context, HT_ERR_INVALID, "dispatch '%s': %u push bytes, %u constants",
                       desc->label != NULL ? desc->label : "", desc->push_bytes, desc->n_constants);
    }
    for (int i = 0; i < 3; i++) {
        if (desc->groups[i] == 0 || desc->groups[i] > device->limits.max_groups[i]) {
            return ht_fail(context, HT_ERR_UNSUPPORTED,
                           "dispatch '%s': %u workgroups along axis %d, the device takes 1 to %u",
                           desc->label != NULL ? desc->label : "", desc->groups[i], i,
                           device->limits.max_groups[i]);
        }
    }
    HT_TRY(ht_vk_pipeline_get(context, desc, &pipeline));
    begin_label(device, commands->buffer, desc->label);
    vkCmdBindPipeline(commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdPushConstants(commands->buffer, device->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                       desc->push_bytes, desc->push);
    vkCmdDispatch(commands->buffer, desc->groups[0], desc->groups[1], desc->groups[2]);
    if (device->end_label != NULL && desc->label != NULL) {
        device->end_label(commands->buffer);
    }
    commands->dispatches++;
fail:
    return status;
}

void ht_vk_timestamp(ht_vk_commands *commands, uint32_t index) {
    if (index < commands->n_queries) {
        vkCmdWriteTimestamp2(commands->buffer, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
                             commands->queries, index);
    }
}

uint32_t ht_vk_dispatch_count(const ht_vk_commands *commands) {
    return commands->dispatches;
}

ht_status ht_vk_commands_start(ht_vk_commands *commands) {
    ht_context *context = commands->context;
    const ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    const VkCommandBufferSubmitInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                              .commandBuffer = commands->buffer};
    const VkSubmitInfo2 submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                  .commandBufferInfoCount = 1,
                                  .pCommandBufferInfos = &buffer};
    HT_VK(context, vkQueueSubmit2(device->queue, 1, &submit, commands->fence));
fail:
    return status;
}

ht_status ht_vk_commands_wait(ht_vk_commands *commands) {
    ht_context *context = commands->context;
    const ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    HT_VK(context, vkWaitForFences(device->device, 1, &commands->fence, VK_TRUE, UINT64_MAX));
    HT_VK(context, vkResetFences(device->device, 1, &commands->fence));
    HT_TRY(ht_vk_check_validation(context));
fail:
    return status;
}

ht_status ht_vk_commands_run(ht_vk_commands *commands) {
    ht_status status = ht_vk_commands_start(commands);
    return status == HT_OK ? ht_vk_commands_wait(commands) : status;
}

ht_status ht_vk_commands_times(ht_vk_commands *commands, uint64_t *times_ns, uint32_t count) {
    ht_context *context = commands->context;
    const ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    if (count > commands->n_queries) {
        return ht_fail(context, HT_ERR_INVALID, "%u timestamps asked, %u recorded", count,
                       commands->n_queries);
    }
    HT_VK(context, vkGetQueryPoolResults(device->device, commands->queries, 0, count,
                                         count * sizeof *times_ns, times_ns, sizeof *times_ns,
                                         VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
    for (uint32_t i = 0; i < count; i++) {
        times_ns[i] = (uint64_t)((double)times_ns[i] * device->timestamp_period_ns);
    }
fail:
    return status;
}
