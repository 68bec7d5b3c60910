// What the files of engine/gpu share: the open device and result handling.
#ifndef HT_VK_INTERNAL_H
#define HT_VK_INTERNAL_H

#include "gpu.h"

#include "vk_newer.h"

// One device allocation with one buffer over all of it.
typedef struct ht_vk_block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t bytes; // as the driver has it
    uint64_t asked; // what is used of it: counted as planned
    bool imported;
} ht_vk_block;

// A pipeline and what it was made from.
typedef struct ht_vk_pipeline {
    ht_vk_kernel kernel;
    uint32_t n_constants;
    uint32_t constants[HT_MAX_CONSTANTS];
    VkPipeline pipeline;
} ht_vk_pipeline;

typedef struct ht_vk_device {
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;
    float timestamp_period_ns;

    ht_device_info info;
    ht_vk_limits limits;
    uint32_t device_memory_type;    // for weights and activations
    uint32_t host_memory_type;      // for staging
    bool unified;                   // device memory is mapped and written directly
    bool can_pin_subgroups;         // pipelines can ask for a size of subgroup
    uint64_t import_alignment;      // 0: cannot import host memory
    uint64_t max_bytes;             // 0: no limit set by the user
    uint64_t bytes_now, bytes_peak; // allocated
    uint64_t asked_now, asked_peak; // what was asked for, without the rest of blocks

    VkCommandPool pool;
    VkPipelineLayout layout;
    VkPipelineCache cache;
    VkShaderModule modules[HT_KERNEL_COUNT + 1]; // + 1: never an empty array
    ht_vk_pipeline *pipelines;
    uint32_t n_pipelines, pipeline_capacity;

    ht_vk_range staging; // host-visible, made on first use
    ht_vk_commands *transfer;

    bool has_debug_utils;
    PFN_vkSetDebugUtilsObjectNameEXT set_name;
    PFN_vkCmdBeginDebugUtilsLabelEXT begin_label;
    PFN_vkCmdEndDebugUtilsLabelEXT end_label;
    PFN_vkGetMemoryHostPointerPropertiesEXT host_pointer_properties;

    ht_context *context;        // for the validation messenger
    char validation_error[512]; // first error of the validation layer, "" when none
} ht_vk_device;

// Map a failed Vulkan result to a status and a sentence: "<what>: <result>".
ht_status ht_vk_fail(ht_context *context, VkResult result, const char *what);

// Run a Vulkan call; on failure jump to `fail` with `status` set.
#define HT_VK(context, call)                                                                       \
    do {                                                                                           \
        VkResult vk_result_ = (call);                                                              \
        if (vk_result_ != VK_SUCCESS) {                                                            \
            status = ht_vk_fail((context), vk_result_, #call);                                     \
            goto fail;                                                                             \
        }                                                                                          \
    } while (0)

// Open and close (device.c).
ht_status ht_vk_device_open(ht_context *context, const ht_context_desc *desc);
void ht_vk_device_close(ht_context *context);

bool ht_vk_has_extension(VkPhysicalDevice physical, const char *name);

// Cooperative matrices (matrix.c): fill the limits; what opening the device then has to ask for.
typedef struct ht_vk_matrix_features {
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix; // chains float8 when that is used
    VkPhysicalDeviceShaderFloat8FeaturesEXT float8;
    const char *extensions[2];
    uint32_t n_extensions; // 0: nothing to ask for
} ht_vk_matrix_features;
void ht_vk_matrix_find(ht_vk_device *device);
void ht_vk_matrix_enable(const ht_vk_device *device, ht_vk_matrix_features *use);

// One core for each thread that the driver starts between the two calls, where it runs on the CPU and
// would fill all cores (cpu_driver.c). Linux only; elsewhere, and where it can't be done, nothing.
typedef struct ht_vk_cpu_driver {
    char name[16]; // the calling thread's own
} ht_vk_cpu_driver;
void ht_vk_cpu_driver_begin(ht_vk_cpu_driver *driver);
void ht_vk_cpu_driver_end(const ht_vk_cpu_driver *driver);
// Whether code that the driver of this name ("llvmpipe (LLVM 19.1.7, 256 bits)") makes for this processor
// adds products of integers up in one instruction.
bool ht_vk_cpu_fuses_integers(const char *device_name);

// Report what the validation layer found since the device was opened, once (device.c).
ht_status ht_vk_check_validation(ht_context *context);

// Allocate a block in a given memory type (memory.c).
ht_status ht_vk_block_create(ht_context *context, uint64_t bytes, uint32_t memory_type, bool map,
                             const char *label, ht_vk_range *out);

// Pipeline for a kernel and its constants, made on first use (kernel.c).
ht_status ht_vk_pipeline_get(ht_context *context, const ht_vk_dispatch_desc *desc, VkPipeline *out);
void ht_vk_pipelines_destroy(ht_vk_device *device);

// Raw command buffer, for transfers (commands.c).
VkCommandBuffer ht_vk_commands_handle(ht_vk_commands *commands);
void ht_vk_set_name(ht_vk_device *device, VkObjectType type, uint64_t handle, const char *name);

#endif
