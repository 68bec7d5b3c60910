// What a device's cooperative matrices can do, and the features that switch them on.
#include "vk_internal.h"

#include <stdlib.h>

enum { INTEL = 0x8086, MAX_SHAPES = 256 };

// Types of the operands and sums of a list entry.
static bool is_of(const VkCooperativeMatrixPropertiesKHR *p, ht_vk_element element) {
    static const struct {
        VkComponentTypeKHR operand, sum;
    } TYPES[] = {
        [HT_VK_F16] = {VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR},
        [HT_VK_S8] = {VK_COMPONENT_TYPE_SINT8_KHR, VK_COMPONENT_TYPE_SINT32_KHR},
        [HT_VK_E4M3] = {VK_COMPONENT_TYPE_FLOAT8_E4M3_EXT, VK_COMPONENT_TYPE_FLOAT32_KHR},
    };
    return p->scope == VK_SCOPE_SUBGROUP_KHR && !p->saturatingAccumulation &&
           p->AType == TYPES[element].operand && p->BType == TYPES[element].operand &&
           p->CType == TYPES[element].sum && p->ResultType == TYPES[element].sum;
}

// 8, 16 or 32: what divides the tiles of the kernels, and their steps of k.
static bool is_side(uint32_t side) {
    return side == 8 || side == 16 || side == 32;
}

static void choose_shapes(ht_vk_device *device, const VkCooperativeMatrixPropertiesKHR *list,
                          uint32_t count) {
    for (int element = 0; element < HT_VK_ELEMENTS; element++) {
        ht_vk_matrix *best = &device->limits.matrix[element];
        for (uint32_t i = 0; i < count; i++) {
            const VkCooperativeMatrixPropertiesKHR *p = &list[i];
            const bool fits = is_of(p, (ht_vk_element)element) && is_side(p->MSize) &&
                              is_side(p->NSize) && is_side(p->KSize);
            if (fits && p->MSize * p->NSize * p->KSize > best->m * best->n * best->k) {
                *best = (ht_vk_matrix){p->MSize, p->NSize, p->KSize};
            }
        }
    }
}

static void read_shapes(ht_vk_device *device) {
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(void (*)(
            void))vkGetInstanceProcAddr(device->instance,
                                        "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    uint32_t count = MAX_SHAPES;
    VkCooperativeMatrixPropertiesKHR *list = calloc(MAX_SHAPES, sizeof *list);
    for (uint32_t i = 0; list != NULL && i < MAX_SHAPES; i++) {
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    }
    if (get != NULL && list != NULL) {
        const VkResult result = get(device->physical, &count, list);
        if (result == VK_SUCCESS || result == VK_INCOMPLETE) {
            choose_shapes(device, list, count);
        }
    }
    free(list);
}

// The size of subgroup that matrices are spread over, which the kernels are told; 0: not known.
static uint32_t subgroup_size(const ht_vk_device *device) {
    VkPhysicalDeviceVulkan13Properties v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &v13};
    vkGetPhysicalDeviceProperties2(device->physical, &properties);
    if (!device->can_pin_subgroups) {
        return v13.minSubgroupSize == v13.maxSubgroupSize ? v13.minSubgroupSize : 0;
    }
    // Intel's matrix units work on the narrowest subgroups, which is not the size reported.
    return properties.properties.vendorID == INTEL ? v13.minSubgroupSize
                                                   : device->info.subgroup_size;
}

void ht_vk_matrix_find(ht_vk_device *device) {
    VkPhysicalDeviceShaderFloat8FeaturesEXT float8 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT8_FEATURES_EXT};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkPhysicalDeviceVulkan13Features v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, .pNext = &matrix};
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v13};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &v12};
    VkPhysicalDeviceCooperativeMatrixPropertiesKHR stages = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &stages};
    if (!ht_vk_has_extension(device->physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) {
        return;
    }
    const bool has_float8 =
        ht_vk_has_extension(device->physical, VK_EXT_SHADER_FLOAT8_EXTENSION_NAME);
    matrix.pNext = has_float8 ? &float8 : NULL;
    vkGetPhysicalDeviceFeatures2(device->physical, &features);
    vkGetPhysicalDeviceProperties2(device->physical, &properties);
    const uint32_t size = subgroup_size(device);
    if (!matrix.cooperativeMatrix || !v12.vulkanMemoryModel || !v12.shaderFloat16 ||
        !v12.shaderInt8 || !v13.subgroupSizeControl || !v13.computeFullSubgroups || size < 8 ||
        size > 64 || (stages.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) == 0) {
        return;
    }
    read_shapes(device);
    device->limits.matrix_subgroup = size;
    if (!float8.shaderFloat8CooperativeMatrix) {
        device->limits.matrix[HT_VK_E4M3] = (ht_vk_matrix){0};
    }
}

void ht_vk_matrix_enable(const ht_vk_device *device, ht_vk_matrix_features *use) {
    const ht_vk_matrix *shapes = device->limits.matrix;
    *use = (ht_vk_matrix_features){0};
    use->matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    use->matrix.cooperativeMatrix = VK_TRUE;
    use->float8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT8_FEATURES_EXT;
    use->float8.shaderFloat8 = VK_TRUE;
    use->float8.shaderFloat8CooperativeMatrix = VK_TRUE;
    if (shapes[HT_VK_F16].m != 0 || shapes[HT_VK_S8].m != 0 || shapes[HT_VK_E4M3].m != 0) {
        use->extensions[use->n_extensions++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    }
    if (shapes[HT_VK_E4M3].m != 0) {
        use->matrix.pNext = &use->float8;
        use->extensions[use->n_extensions++] = VK_EXT_SHADER_FLOAT8_EXTENSION_NAME;
    }
}
