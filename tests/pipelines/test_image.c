// Pictures: levels, planes, resizing; and guidance.
#include "support.h"

#include "guidance.h"
#include "image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ht_context *host(void) {
    static ht_context *context;
    if (!context) {
        assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    }
    return context;
}

static void test_levels(void **state) {
    (void)state;
    float values[6] = {-1, 1, 0, -9, 9, 0.003f}, back[6];
    uint8_t rgb[6];
    ht_image image = {.width = 2, .height = 1, .rgb = rgb};
    ht_image_from_floats(values, &image);
    // 0 is 127.5, which rounds to the even level; 0.0015 * 255 above it rounds up
    const uint8_t want[6] = {0, 255, 128, 0, 255, 128};
    assert_memory_equal(rgb, want, 6);
    ht_image_to_floats(&image, back);
    assert_true(back[0] == -1 && back[1] == 1);
}

static void test_planes(void **state) {
    (void)state;
    const float planes[6] = {1, 2, 3, 10, 20, 30}, want[6] = {1, 10, 2, 20, 3, 30};
    float pixels[6], back[6];
    ht_planes_to_pixels(planes, 2, 3, pixels);
    assert_memory_equal(pixels, want, sizeof(want));
    ht_pixels_to_planes(pixels, 2, 3, back);
    assert_memory_equal(back, planes, sizeof(planes));
}

static void test_resize(void **state) {
    (void)state;
    ht_image in, out;
    assert_int_equal(ht_image_create(host(), 40, 20, &in), HT_OK);
    for (uint32_t i = 0; i < 40 * 20; ++i) { // red half, blue half
        in.rgb[i * 3] = i % 40 < 20 ? 200 : 0;
        in.rgb[i * 3 + 2] = i % 40 < 20 ? 0 : 100;
    }
    static const uint32_t sizes[][2] = {{40, 20}, {8, 4}, {80, 40}, {16, 16}, {1, 1}, {7, 33}};
    for (size_t s = 0; s < HT_COUNT(sizes); ++s) {
        assert_int_equal(ht_image_create(host(), sizes[s][0], sizes[s][1], &out), HT_OK);
        assert_int_equal(ht_image_resize(host(), &in, &out), HT_OK);
        if (sizes[s][0] == 40) {
            assert_memory_equal(in.rgb, out.rgb, 40 * 20 * 3);
        }
        if (sizes[s][0] > 1) { // the ends keep their colours, at the cut width too
            const uint8_t *last = out.rgb + (size_t)(sizes[s][0] - 1) * 3;
            assert_true(out.rgb[0] > 150 && out.rgb[2] < 30);
            assert_true(last[0] < 50 && last[2] > 70);
        }
        ht_image_clear(host(), &out);
    }
    ht_image_clear(host(), &in);
}

static void test_guidance(void **state) {
    (void)state;
    const float negative[3] = {1, -2, 0.5f}, positive[3] = {2, -4, 0.5f};
    float out[3];
    ht_guidance(negative, positive, 1.0f, 3, out);
    assert_memory_equal(out, positive, sizeof(out));
    ht_guidance(negative, positive, 3.0f, 3, out);
    const float want[3] = {4, -8, 0.5f};
    assert_memory_equal(out, want, sizeof(out));
    assert_false(ht_guidance_needed(1.0f));
    assert_false(ht_guidance_needed(0.0f));
    assert_true(ht_guidance_needed(1.01f));
}

static int close_host(void **state) {
    (void)state;
    ht_context *context = host();
    ht_context_destroy(&context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_guidance),
    };
    return cmocka_run_group_tests(tests, NULL, close_host);
}
