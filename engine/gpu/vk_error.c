// Vulkan results as statuses and words.
#include "vk_internal.h"

static const char *result_name(VkResult result) {
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialisation failed";
    case VK_ERROR_DEVICE_LOST: return "the device was lost";
    case VK_ERROR_MEMORY_MAP_FAILED: return "memory could not be mapped";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "no compatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS: return "too many objects";
    case VK_ERROR_INVALID_EXTERNAL_HANDLE: return "invalid external handle";
    case VK_TIMEOUT: return "timed out";
    default: return "failed";
    }
}

ht_status ht_vk_fail(ht_context *context, VkResult result, const char *what) {
    ht_status status = HT_ERR_DEVICE;
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
        result == VK_ERROR_MEMORY_MAP_FAILED) {
        status = HT_ERR_NO_MEMORY;
    } else if (result == VK_ERROR_EXTENSION_NOT_PRESENT || result == VK_ERROR_LAYER_NOT_PRESENT ||
               result == VK_ERROR_FEATURE_NOT_PRESENT) {
        status = HT_ERR_UNSUPPORTED;
    }
    return ht_fail(context, status, "Vulkan: %s (result %d) in %s", result_name(result),
                   (int)result, what);
}
