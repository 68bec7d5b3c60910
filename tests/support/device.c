// The device of the tests, and the contexts that last as long as a test program.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    ht_context *context;
    ht_test_allocator allocator;
    bool lacking; // the device has not what the tier needs
} slot;

// Test programs have one thread and end with the process.
static slot slots[HT_TIER_COUNT];
static char device_number[16];

// Environment variables are read here and nowhere else.
static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

// Index of the first CPU device as text, or NULL to take the default device.
static const char *cpu_device(void) {
    enum { MAX_DEVICES = 16 };
    const ht_context_desc desc = {.host_only = true};
    ht_device_info infos[MAX_DEVICES];
    uint32_t count = MAX_DEVICES;
    ht_context *context = NULL;
    const char *found = NULL;
    if (ht_context_create(&desc, &context) == HT_OK &&
        ht_device_list(context, infos, &count) == HT_OK) {
        for (uint32_t i = 0; i < count && i < MAX_DEVICES && found == NULL; i++) {
            if (infos[i].type == HT_DEVICE_CPU && infos[i].usable) {
                snprintf(device_number, sizeof device_number, "%u", i);
                found = device_number;
            }
        }
    }
    ht_context_destroy(&context);
    return found;
}

ht_context_desc ht_test_context_desc(void) {
    const char *device = setting("HT_TEST_DEVICE");
    const char *validation = setting("HT_TEST_VALIDATION");
    return (ht_context_desc){
        .device = device != NULL ? device : cpu_device(),
        .validation = validation != NULL && strcmp(validation, "1") == 0,
    };
}

ht_context *ht_test_context(ht_tier tier) {
    const char *only = setting("HT_TEST_TIER");
    slot *s = &slots[tier];
    if (s->lacking ||
        (only != NULL && tier != HT_TIER_AUTO && strcmp(only, ht_tier_name(tier)) != 0)) {
        return NULL;
    }
    if (s->context == NULL) {
        ht_context_desc desc = ht_test_context_desc();
        ht_test_allocator_init(&s->allocator);
        desc.tier = tier;
        desc.allocator = &s->allocator.callbacks;
        const ht_status status = ht_context_create(&desc, &s->context);
        if (status == HT_ERR_UNSUPPORTED && tier == HT_TIER_MATRIX) {
            ht_context_destroy(&s->context);
            s->lacking = true;
            return NULL;
        }
        if (status != HT_OK) {
            fail_msg("no context: %s", ht_context_message(s->context));
        }
    }
    return s->context;
}

ht_test_allocator *ht_test_context_allocator(ht_tier tier) {
    return &slots[tier].allocator;
}

// Number of contexts that left memory behind.
static int close_contexts(void) {
    int leaks = 0;
    for (size_t i = 0; i < HT_COUNT(slots); i++) {
        const bool open = slots[i].context != NULL;
        ht_context_destroy(&slots[i].context);
        if (open && slots[i].allocator.live != 0) {
            fprintf(stderr, "%lld host allocations were not released\n",
                    (long long)slots[i].allocator.live);
            leaks++;
        }
    }
    return leaks;
}

int ht_test_run_gpu(const struct CMUnitTest *tests, size_t count) {
    const ht_context_desc desc = ht_test_context_desc();
    ht_context *context = NULL;
    const ht_status status = ht_context_create(&desc, &context);
    if (status != HT_OK) {
        fprintf(stderr, "skipped: %s\n", context != NULL ? ht_context_message(context) : "");
    }
    ht_context_destroy(&context);
    if (status == HT_ERR_DEVICE) {
        return 77;
    }
    if (status != HT_OK) {
        return 1;
    }
    // cmocka_run_group_tests wants an array of known size; this is what it expands to.
    const int failures = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    return close_contexts() + failures;
}
