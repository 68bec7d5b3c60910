// Opening a Vulkan device: choice, features, queue, and the validation messenger.
#include "vk_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 16 };

typedef struct features {
    VkPhysicalDeviceFeatures2 core;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
} features;

static void features_chain(features *f) {
    f->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    f->core.pNext = &f->v11;
    f->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    f->v11.pNext = &f->v12;
    f->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    f->v12.pNext = &f->v13;
    f->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
}

static bool has_layer(const char *name) {
    VkLayerProperties layers[64];
    uint32_t count = 64;
    VkResult result = vkEnumerateInstanceLayerProperties(&count, layers);
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++) {
        if (strcmp(layers[i].layerName, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_instance_extension(const char *layer, const char *name) {
    VkExtensionProperties extensions[128];
    uint32_t count = 128;
    VkResult result = vkEnumerateInstanceExtensionProperties(layer, &count, extensions);
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++) {
        if (strcmp(extensions[i].extensionName, name) == 0) {
            return true;
        }
    }
    return false;
}

bool ht_vk_has_extension(VkPhysicalDevice physical, const char *name) {
    uint32_t count = 0;
    bool found = false;
    vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
    VkExtensionProperties *list = calloc(count + 1, sizeof *list);
    if (list != NULL &&
        vkEnumerateDeviceExtensionProperties(physical, NULL, &count, list) == VK_SUCCESS) {
        for (uint32_t i = 0; i < count && !found; i++) {
            found = strcmp(list[i].extensionName, name) == 0;
        }
    }
    free(list);
    return found;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user) {
    ht_vk_device *device = user;
    bool error = (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) != 0;
    bool validation = (types & VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT) != 0;
    ht_log(device->context, error ? HT_LOG_ERROR : HT_LOG_WARN, "validation: %s", data->pMessage);
    if (validation && device->validation_error[0] == '\0') {
        snprintf(device->validation_error, sizeof device->validation_error, "%s", data->pMessage);
    }
    return VK_FALSE;
}

ht_status ht_vk_check_validation(ht_context *context) {
    ht_vk_device *device = context->device;
    if (device->validation_error[0] == '\0') {
        return HT_OK;
    }
    ht_status status =
        ht_fail(context, HT_ERR_INVALID, "Vulkan validation: %s", device->validation_error);
    device->validation_error[0] = '\0';
    return status;
}

static ht_status instance_create(ht_context *context, bool validation, VkInstance *out) {
    static const char *const LAYER = "VK_LAYER_KHRONOS_validation";
    static const char *const DEBUG_UTILS = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (validation && !has_layer(LAYER)) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "the Vulkan validation layer is not installed (Debian: "
                       "vulkan-validationlayers)");
    }
    bool debug = validation && (has_instance_extension(NULL, DEBUG_UTILS) ||
                                has_instance_extension(LAYER, DEBUG_UTILS));
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "halftone",
                                           .apiVersion = VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
        .enabledLayerCount = validation ? 1 : 0,
        .ppEnabledLayerNames = &LAYER,
        .enabledExtensionCount = debug ? 1 : 0,
        .ppEnabledExtensionNames = &DEBUG_UTILS,
    };
    VkResult result = vkCreateInstance(&info, NULL, out);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        return ht_fail(context, HT_ERR_DEVICE,
                       "no Vulkan driver is installed; install your GPU's, or the CPU driver "
                       "(Debian, Ubuntu: mesa-vulkan-drivers)");
    }
    return result == VK_SUCCESS ? HT_OK : ht_vk_fail(context, result, "vkCreateInstance");
}

static void messenger_create(ht_vk_device *device) {
    PFN_vkCreateDebugUtilsMessengerEXT create = (PFN_vkCreateDebugUtilsMessengerEXT)(void (*)(
        void))vkGetInstanceProcAddr(device->instance, "vkCreateDebugUtilsMessengerEXT");
    const VkDebugUtilsMessengerCreateInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = device,
    };
    if (create != NULL && create(device->instance, &info, NULL, &device->messenger) == VK_SUCCESS) {
        device->has_debug_utils = true;
    }
}

static ht_device_type device_type(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return HT_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return HT_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return HT_DEVICE_CPU;
    default: return HT_DEVICE_OTHER;
    }
}

// The first thing that the portable tier needs and this device lacks, or NULL.
static const char *missing_feature(const features *f, uint32_t api_version) {
    const struct {
        bool has;
        const char *name;
    } needs[] = {
        {api_version >= VK_API_VERSION_1_3, "Vulkan 1.3"},
        {f->v12.bufferDeviceAddress, "bufferDeviceAddress"},
        {f->v12.scalarBlockLayout, "scalarBlockLayout"},
        {f->v11.storageBuffer16BitAccess, "storageBuffer16BitAccess"},
        {f->v12.storageBuffer8BitAccess, "storageBuffer8BitAccess"},
        {f->core.features.shaderInt16, "shaderInt16"},
        {f->core.features.shaderInt64, "shaderInt64"},
        {f->v13.synchronization2, "synchronization2"},
        {f->v13.maintenance4, "maintenance4"},
    };
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++) {
        if (!needs[i].has) {
            return needs[i].name;
        }
    }
    return NULL;
}

static void device_describe(VkPhysicalDevice physical, ht_device_info *info) {
    VkPhysicalDeviceVulkan12Properties v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES};
    VkPhysicalDeviceVulkan11Properties v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, .pNext = &v12};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &v11};
    vkGetPhysicalDeviceProperties2(physical, &properties);
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    features f = {0};
    features_chain(&f);
    vkGetPhysicalDeviceFeatures2(physical, &f.core);

    *info = (ht_device_info){0};
    snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1,
             properties.properties.deviceName);
    snprintf(info->driver, sizeof info->driver, "%.100s %.150s", v12.driverName, v12.driverInfo);
    info->type = device_type(properties.properties.deviceType);
    info->api_version = properties.properties.apiVersion;
    info->subgroup_size = v11.subgroupSize;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++) {
        bool local = (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        if (local && memory.memoryHeaps[i].size > info->memory_bytes) {
            info->memory_bytes = memory.memoryHeaps[i].size;
        }
    }
    const char *missing = missing_feature(&f, info->api_version);
    info->usable = missing == NULL;
    snprintf(info->why_not, sizeof info->why_not, "%s", missing != NULL ? missing : "");
}

static ht_status enumerate(ht_context *context, VkInstance instance,
                           VkPhysicalDevice devices[MAX_DEVICES], uint32_t *count) {
    *count = MAX_DEVICES;
    VkResult result = vkEnumeratePhysicalDevices(instance, count, devices);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) {
        *count = 0;
        if (result != VK_ERROR_INITIALIZATION_FAILED) {
            return ht_vk_fail(context, result, "vkEnumeratePhysicalDevices");
        }
    }
    return HT_OK;
}

ht_status ht_device_list(ht_context *context, ht_device_info *infos, uint32_t *count) {
    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t capacity = *count;
    ht_status status = HT_OK;
    *count = 0;
    HT_TRY(instance_create(context, false, &instance));
    HT_TRY(enumerate(context, instance, devices, count));
    for (uint32_t i = 0; i < *count && i < capacity; i++) {
        device_describe(devices[i], &infos[i]);
    }
fail:
    if (instance != VK_NULL_HANDLE) {
        vkDestroyInstance(instance, NULL);
    }
    return status;
}

static bool contains_ignoring_case(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; strlen(text) >= length; text++) {
        size_t i = 0;
        while (i < length && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) {
            i++;
        }
        if (i == length) {
            return true;
        }
    }
    return false;
}

static bool wanted(const char *choice, uint32_t index, const char *name) {
    char *end;
    unsigned long number = strtoul(choice, &end, 10);
    if (*choice != '\0' && *end == '\0') {
        return number == index;
    }
    return contains_ignoring_case(name, choice);
}

// Choose by name or number, else discrete > integrated > CPU > other.
static ht_status choose(ht_context *context, const char *choice, ht_vk_device *device) {
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t count;
    int best_rank = -1;
    char unusable[600] = "";
    ht_status status = enumerate(context, device->instance, devices, &count);
    for (uint32_t i = 0; status == HT_OK && i < count; i++) {
        static const int RANK[] = {[HT_DEVICE_OTHER] = 0,
                                   [HT_DEVICE_CPU] = 1,
                                   [HT_DEVICE_INTEGRATED] = 2,
                                   [HT_DEVICE_DISCRETE] = 3};
        ht_device_info info;
        device_describe(devices[i], &info);
        if (choice != NULL && !wanted(choice, i, info.name)) {
            continue;
        }
        if (!info.usable) {
            snprintf(unusable, sizeof unusable, "; %s lacks %s", info.name, info.why_not);
        } else if (RANK[info.type] > best_rank) {
            best_rank = RANK[info.type];
            device->physical = devices[i];
            device->info = info;
        }
    }
    if (status == HT_OK && best_rank < 0) {
        if (count != 0 && choice != NULL) {
            return ht_fail(context, HT_ERR_DEVICE,
                           "no usable Vulkan device matches '%s' (see --list-devices)%s", choice,
                           unusable);
        }
        return ht_fail(context, HT_ERR_DEVICE,
                       "no usable Vulkan device was found%s; install your GPU's driver, or the CPU "
                       "driver (Debian, Ubuntu: mesa-vulkan-drivers)",
                       unusable);
    }
    return status;
}

static uint32_t find_type(const VkPhysicalDeviceMemoryProperties *memory,
                          VkMemoryPropertyFlags wanted_flags) {
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        if ((memory->memoryTypes[i].propertyFlags & wanted_flags) == wanted_flags) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void choose_memory(ht_vk_device *device, bool staging) {
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(device->physical, &memory);
    uint32_t cached = find_type(&memory, host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    device->host_memory_type = cached != UINT32_MAX ? cached : find_type(&memory, host);
    uint32_t both = find_type(&memory, host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT |
                                           VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    device->unified = !staging && both != UINT32_MAX && device->info.type != HT_DEVICE_DISCRETE;
    uint32_t local = find_type(&memory, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    device->device_memory_type = device->unified ? both : local;
}

static void read_limits(ht_vk_device *device, bool import) {
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
    VkPhysicalDeviceVulkan13Properties v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES,
        .pNext = import ? &host : NULL};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &v13};
    vkGetPhysicalDeviceProperties2(device->physical, &properties);
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    device->timestamp_period_ns = limits->timestampPeriod;
    device->can_pin_subgroups = (v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    device->import_alignment = host.minImportedHostPointerAlignment;
    device->limits = (ht_vk_limits){
        .subgroup_size = device->info.subgroup_size,
        .max_workgroup_invocations = limits->maxComputeWorkGroupInvocations,
        .max_shared_bytes = limits->maxComputeSharedMemorySize,
        .host_import = import && device->import_alignment != 0,
        .dot4 = v13.integerDotProduct4x8BitPackedSignedAccelerated != VK_FALSE,
        .fused_integers = ht_vk_cpu_fuses_integers(properties.properties.deviceName),
    };
    for (int i = 0; i < 3; i++) {
        device->limits.max_groups[i] = limits->maxComputeWorkGroupCount[i];
    }
}

static ht_status find_queue(ht_context *context, ht_vk_device *device) {
    VkQueueFamilyProperties families[32];
    uint32_t count = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(device->physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) != 0) {
            device->queue_family = i;
            return HT_OK;
        }
    }
    return ht_fail(context, HT_ERR_DEVICE, "%s has no compute queue", device->info.name);
}

static ht_status logical_device_create(ht_context *context, bool import) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    features has = {0};
    features use = {0};
    features_chain(&has);
    features_chain(&use);
    vkGetPhysicalDeviceFeatures2(device->physical, &has.core);
    use.core.features.shaderInt16 = VK_TRUE;
    use.core.features.shaderInt64 = VK_TRUE;
    use.v11.storageBuffer16BitAccess = VK_TRUE;
    use.v12.bufferDeviceAddress = VK_TRUE;
    use.v12.scalarBlockLayout = VK_TRUE;
    use.v12.shaderFloat16 = has.v12.shaderFloat16;
    use.v12.shaderInt8 = has.v12.shaderInt8;
    use.v12.storageBuffer8BitAccess = VK_TRUE;
    use.v13.synchronization2 = VK_TRUE;
    use.v13.maintenance4 = VK_TRUE;
    use.v13.subgroupSizeControl = has.v13.subgroupSizeControl;
    use.v13.computeFullSubgroups = has.v13.computeFullSubgroups;
    use.v13.shaderIntegerDotProduct = has.v13.shaderIntegerDotProduct;

    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = device->queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    ht_vk_matrix_features matrix;
    const char *extensions[3];
    uint32_t n_extensions = 0;
    ht_vk_matrix_enable(device, &matrix);
    for (; n_extensions < matrix.n_extensions; n_extensions++) {
        extensions[n_extensions] = matrix.extensions[n_extensions];
    }
    if (n_extensions != 0) {
        use.v12.vulkanMemoryModel = VK_TRUE;
        use.v13.pNext = &matrix.matrix;
    }
    if (import) {
        extensions[n_extensions++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    }
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &use.core,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n_extensions,
                                     .ppEnabledExtensionNames = extensions};
    HT_VK(context, vkCreateDevice(device->physical, &info, NULL, &device->device));
    vkGetDeviceQueue(device->device, device->queue_family, 0, &device->queue);
fail:
    return status;
}

static void load_functions(ht_vk_device *device) {
#define LOAD(field, name)                                                                          \
    device->field = (PFN_##name)(void (*)(void))vkGetDeviceProcAddr(device->device, #name)
    if (device->has_debug_utils) {
        LOAD(set_name, vkSetDebugUtilsObjectNameEXT);
        LOAD(begin_label, vkCmdBeginDebugUtilsLabelEXT);
        LOAD(end_label, vkCmdEndDebugUtilsLabelEXT);
    }
    LOAD(host_pointer_properties, vkGetMemoryHostPointerPropertiesEXT);
#undef LOAD
    device->limits.host_import =
        device->limits.host_import && device->host_pointer_properties != NULL;
}

static ht_status shared_objects_create(ht_context *context) {
    ht_vk_device *device = context->device;
    ht_status status = HT_OK;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = device->queue_family,
    };
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                      .size = HT_MAX_PUSH_BYTES};
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    const VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    HT_VK(context, vkCreateCommandPool(device->device, &pool, NULL, &device->pool));
    HT_VK(context, vkCreatePipelineLayout(device->device, &layout, NULL, &device->layout));
    HT_VK(context, vkCreatePipelineCache(device->device, &cache, NULL, &device->cache));
fail:
    return status;
}

ht_status ht_vk_device_open(ht_context *context, const ht_context_desc *desc) {
    ht_vk_device *device = ht_alloc(context, sizeof *device);
    ht_vk_cpu_driver driver;
    ht_status status = HT_OK;
    if (device == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    context->device = device;
    device->context = context;
    device->max_bytes = desc->max_device_bytes;
    HT_TRY(instance_create(context, desc->validation, &device->instance));
    if (desc->validation) {
        messenger_create(device);
    }
    HT_TRY(choose(context, desc->device, device));
    HT_TRY(find_queue(context, device));
    bool import = !desc->no_host_import && !desc->staging &&
                  ht_vk_has_extension(device->physical, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    choose_memory(device, desc->staging);
    // Reading weights over the bus of a discrete GPU at every step would be slower than a copy.
    import = import && device->unified;
    read_limits(device, import);
    ht_vk_matrix_find(device);
    if (device->info.type == HT_DEVICE_CPU) {
        ht_vk_cpu_driver_begin(&driver);
    }
    status = logical_device_create(context, import);
    if (device->info.type == HT_DEVICE_CPU) {
        ht_vk_cpu_driver_end(&driver);
    }
    HT_TRY(status);
    load_functions(device);
    HT_TRY(shared_objects_create(context));
    ht_log(context, HT_LOG_INFO, "device: %s (%s)", device->info.name, device->info.driver);
    return HT_OK;
fail:
    ht_vk_device_close(context);
    return status;
}

void ht_vk_device_close(ht_context *context) {
    ht_vk_device *device = context->device;
    if (device == NULL) {
        return;
    }
    if (device->device != VK_NULL_HANDLE) {
        vkDeviceWaitIdle(device->device);
        ht_vk_commands_destroy(&device->transfer);
        ht_vk_free(context, &device->staging);
        ht_vk_pipelines_destroy(device);
        vkDestroyPipelineCache(device->device, device->cache, NULL);
        vkDestroyPipelineLayout(device->device, device->layout, NULL);
        vkDestroyCommandPool(device->device, device->pool, NULL);
        vkDestroyDevice(device->device, NULL);
    }
    if (device->messenger != VK_NULL_HANDLE) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)(void (*)(void))vkGetInstanceProcAddr(
                device->instance, "vkDestroyDebugUtilsMessengerEXT");
        destroy(device->instance, device->messenger, NULL);
    }
    if (device->instance != VK_NULL_HANDLE) {
        vkDestroyInstance(device->instance, NULL);
    }
    ht_free(context, device);
    context->device = NULL;
}

void ht_vk_set_name(ht_vk_device *device, VkObjectType type, uint64_t handle, const char *name) {
    if (device->set_name != NULL && name != NULL) {
        const VkDebugUtilsObjectNameInfoEXT info = {
            .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
            .objectType = type,
            .objectHandle = handle,
            .pObjectName = name,
        };
        device->set_name(device->device, &info);
    }
}
