// Opening and closing a context, and the questions about its device.
#include "vk_internal.h"

#include <string.h>

ht_status ht_context_create(const ht_context_desc *desc, ht_context **out) {
    ht_status status = ht_core_create(desc, out);
    if (status != HT_OK || desc->host_only) {
        return status;
    }
    status = ht_vk_device_open(*out, desc);
    if (status != HT_OK) {
        return status;
    }
    ht_context *context = *out;
    context->tier = desc->tier;
    const ht_vk_device *device = context->device;
    const bool matrix = device->limits.matrix[HT_VK_F16].m != 0;
    if (desc->tier == HT_TIER_AUTO) {
        context->tier = device->info.type == HT_DEVICE_CPU ? HT_TIER_CPU
                        : matrix                           ? HT_TIER_MATRIX
                        : device->limits.dot4              ? HT_TIER_DOT
                                                           : HT_TIER_PORTABLE;
    }
    if (desc->tier == HT_TIER_MATRIX && !matrix) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "%s has no cooperative matrices that the matrix tier can use",
                       device->info.name);
    }
    return HT_OK;
}

static const char *const tier_names[] = {[HT_TIER_AUTO] = "auto",
                                         [HT_TIER_PORTABLE] = "portable",
                                         [HT_TIER_CPU] = "cpu",
                                         [HT_TIER_DOT] = "dot",
                                         [HT_TIER_MATRIX] = "matrix"};

const char *ht_tier_name(ht_tier tier) {
    return tier_names[tier];
}

bool ht_tier_find(const char *name, ht_tier *tier) {
    for (size_t i = 0; i < sizeof tier_names / sizeof tier_names[0]; i++) {
        if (strcmp(tier_names[i], name) == 0) {
            *tier = (ht_tier)i;
            return true;
        }
    }
    return false;
}

void ht_context_destroy(ht_context **context) {
    if (context == NULL || *context == NULL) {
        return;
    }
    ht_vk_device_close(*context);
    ht_core_destroy(context);
}

const ht_device_info *ht_context_device(const ht_context *context) {
    return context->device != NULL ? &context->device->info : NULL;
}

ht_tier ht_context_tier(const ht_context *context) {
    return context->tier;
}

void ht_context_memory(const ht_context *context, ht_memory_use *use) {
    const ht_vk_device *device = context->device;
    *use = (ht_memory_use){0};
    if (device != NULL) {
        *use = (ht_memory_use){.planned = device->asked_now,
                               .planned_peak = device->asked_peak,
                               .allocated = device->bytes_now,
                               .allocated_peak = device->bytes_peak};
    }
}

void ht_context_memory_restart(ht_context *context) {
    ht_vk_device *device = context->device;
    if (device != NULL) {
        device->bytes_peak = device->bytes_now;
        device->asked_peak = device->asked_now;
    }
}

const ht_vk_limits *ht_vk_get_limits(const ht_context *context) {
    return &context->device->limits;
}

void ht_vk_split_groups(const ht_context *context, uint64_t count, uint32_t groups[3]) {
    const uint64_t limit = context->device->limits.max_groups[0];
    uint64_t x = count == 0 ? 1 : count;
    uint64_t y = 1;
    if (x > limit) {
        y = (x + limit - 1) / limit;
        x = (x + y - 1) / y;
    }
    groups[0] = (uint32_t)x;
    groups[1] = (uint32_t)y;
    groups[2] = 1;
}
