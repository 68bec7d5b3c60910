// Kernels: SPIR-V embedded at build time, modules and pipelines made on first use.
#include "vk_internal.h"

#include "kernel_words.h"

#include <string.h>

typedef struct kernel_source {
    const char *name;
    const uint32_t *words;
    size_t bytes;
} kernel_source;

static const kernel_source SOURCES[] = {
#define HT_KERNEL(name, source, defines) {#name, ht_spirv_##name, sizeof ht_spirv_##name},
#include "kernels.def"
#undef HT_KERNEL
};

static ht_status module_get(ht_context *context, ht_vk_kernel kernel, VkShaderModule *out) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    if (device->modules[kernel] == VK_NULL_HANDLE) {
        const VkShaderModuleCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
            .codeSize = SOURCES[kernel].bytes,
            .pCode = SOURCES[kernel].words,
        };
        HT_VK(context, vkCreateShaderModule(device->device, &info, NULL, &device->modules[kernel]));
    }
    *out = device->modules[kernel];
fail:
    return status;
}

static ht_vk_pipeline *find(ht_vk_device *device, const ht_vk_dispatch_desc *desc) {
    for (uint32_t i = 0; i < device->n_pipelines; i++) {
        ht_vk_pipeline *p = &device->pipelines[i];
        if (p->kernel == desc->kernel && p->n_constants == desc->n_constants &&
            memcmp(p->constants, desc->constants, desc->n_constants * sizeof(uint32_t)) == 0) {
            return p;
        }
    }
    return NULL;
}

static ht_status reserve(ht_context *context) {
    ht_vk_device *device = context->device;
    if (device->n_pipelines < device->pipeline_capacity) {
        return HT_OK;
    }
    uint32_t capacity = device->pipeline_capacity == 0 ? 32 : device->pipeline_capacity * 2;
    ht_vk_pipeline *grown =
        ht_realloc(context, device->pipelines, capacity * sizeof *device->pipelines);
    if (grown == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    device->pipelines = grown;
    device->pipeline_capacity = capacity;
    return HT_OK;
}

static ht_status pipeline_create(ht_context *context, const ht_vk_dispatch_desc *desc,
                                 VkPipeline *out) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    VkShaderModule module = VK_NULL_HANDLE;
    HT_TRY(module_get(context, desc->kernel, &module));
    VkSpecializationMapEntry entries[HT_MAX_CONSTANTS];
    for (uint32_t i = 0; i < desc->n_constants; i++) {
        entries[i] = (VkSpecializationMapEntry){
            .constantID = i, .offset = i * (uint32_t)sizeof(uint32_t), .size = sizeof(uint32_t)};
    }
    const VkSpecializationInfo specialization = {
        .mapEntryCount = desc->n_constants,
        .pMapEntries = entries,
        .dataSize = desc->n_constants * sizeof(uint32_t),
        .pData = desc->constants,
    };
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = desc->subgroup_size,
    };
    const bool pinned = desc->subgroup_size != 0;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = pinned && device->can_pin_subgroups ? &subgroup : NULL,
                  .flags = pinned ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &specialization},
        .layout = device->layout,
    };
    HT_VK(context, vkCreateComputePipelines(device->device, device->cache, 1, &info, NULL, out));
    ht_vk_set_name(device, VK_OBJECT_TYPE_PIPELINE, (uint64_t)(uintptr_t)*out,
                   SOURCES[desc->kernel].name);
    ht_log(context, HT_LOG_TRACE, "pipeline %s made", SOURCES[desc->kernel].name);
fail:
    return status;
}

ht_status ht_vk_pipeline_get(ht_context *context, const ht_vk_dispatch_desc *desc,
                             VkPipeline *out) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    ht_vk_pipeline *found = find(device, desc);
    if (found == NULL) {
        HT_TRY(reserve(context));
        ht_vk_pipeline made = {.kernel = desc->kernel, .n_constants = desc->n_constants};
        memcpy(made.constants, desc->constants, sizeof made.constants);
        HT_TRY(pipeline_create(context, desc, &made.pipeline));
        found = &device->pipelines[device->n_pipelines++];
        *found = made;
    }
    *out = found->pipeline;
fail:
    return status;
}

void ht_vk_pipelines_destroy(ht_vk_device *device) {
    for (uint32_t i = 0; i < device->n_pipelines; i++) {
        vkDestroyPipeline(device->device, device->pipelines[i].pipeline, NULL);
    }
    for (uint32_t i = 0; i < HT_KERNEL_COUNT; i++) {
        vkDestroyShaderModule(device->device, device->modules[i], NULL);
    }
    ht_free(device->context, device->pipelines);
}
