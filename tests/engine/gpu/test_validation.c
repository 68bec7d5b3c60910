// The validation layer is heard: a deliberate mistake must fail the next call.
#include "support.h"

#include "vk_internal.h"

#include <string.h>

static void test_a_mistake_is_reported(void **state) {
    (void)state;
    ht_context_desc desc = ht_test_context_desc();
    ht_context *context = NULL;
    desc.validation = true;
    desc.log = (ht_log_sink){0};
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_ERR_UNSUPPORTED) { // the layer is not installed: said, and nothing to test
        assert_non_null(strstr(ht_context_message(context), "validation layer"));
        ht_context_destroy(&context);
        skip();
    }
    assert_int_equal(status, HT_OK);
    assert_int_equal(ht_vk_check_validation(context), HT_OK);
    const VkBufferCreateInfo empty = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    VkBuffer buffer = VK_NULL_HANDLE;
    if (vkCreateBuffer(context->device->device, &empty, NULL, &buffer) == VK_SUCCESS) {
        vkDestroyBuffer(context->device->device, buffer, NULL);
    }
    assert_int_equal(ht_vk_check_validation(context), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "Vulkan validation: "));
    assert_int_equal(ht_vk_check_validation(context), HT_OK); // said once
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_mistake_is_reported)};
    return ht_test_run_gpu(tests, sizeof tests / sizeof tests[0]);
}
