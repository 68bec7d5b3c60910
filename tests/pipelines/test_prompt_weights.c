// Weights in prompts: the conventions of AUTOMATIC1111.
#include "support.h"

#include "prompt_weights.h"

#include <math.h>
#include <string.h>

typedef struct want {
    const char *text; // NULL: BREAK
    double weight;
} want;

static void expect(const char *prompt, const want *wants, uint32_t count) {
    ht_prompt_parts parts;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    assert_int_equal(ht_prompt_parse(context, prompt, &parts), HT_OK);
    if (parts.count != count) {
        fail_msg("'%s' has %u parts, expected %u", prompt, parts.count, count);
    }
    for (uint32_t i = 0; i < count; ++i) {
        assert_int_equal(parts.parts[i].breaks, wants[i].text == NULL);
        assert_string_equal(parts.parts[i].text, wants[i].text ? wants[i].text : "");
        if (!(fabs(parts.parts[i].weight - wants[i].weight) < 1e-6)) {
            fail_msg("'%s': part %u weighs %g, expected %g", prompt, i,
                     (double)parts.parts[i].weight, wants[i].weight);
        }
    }
    ht_prompt_parts_clear(context, &parts);
}
#define EXPECT(prompt, ...)                                                                        \
    expect(prompt, (const want[]){__VA_ARGS__}, sizeof((const want[]){__VA_ARGS__}) / sizeof(want))

static void test_parts(void **state) {
    (void)state;
    EXPECT("", {"", 1});
    EXPECT("a fox", {"a fox", 1});
    EXPECT("a (red) fox", {"a ", 1}, {"red", 1.1}, {" fox", 1});
    EXPECT("((red))", {"red", 1.21});
    EXPECT("(open", {"open", 1.1});
    EXPECT("[open", {"open", 1 / 1.1});
    EXPECT("(x)(y)", {"xy", 1.1});
    EXPECT("((cozy) cabin:1.2) [snow]", {"cozy", 1.32}, {" cabin", 1.2}, {" ", 1},
           {"snow", 1 / 1.1});
    EXPECT("\\(lit\\]", {"(lit]", 1});
    EXPECT("(a:1.5", {"a:1.5", 1.1});
    EXPECT("a:1.5) b", {"a:1.5) b", 1});
    EXPECT("(x:-0.5)", {"x", -0.5});
    EXPECT("(x: .5 )", {"x", 0.5});
    EXPECT("(x:1e9)", {"x:1e9", 1.1});
    EXPECT("a) b] c", {"a) b] c", 1});
    EXPECT("\\", {"\\", 1});
    EXPECT("a BREAK b", {"a ", 1}, {NULL, 1}, {" b", 1});
    EXPECT("BREAK", {NULL, 1});
    EXPECT("BREAKFAST aBREAK", {"BREAKFAST aBREAK", 1});
    EXPECT("(a BREAK b)", {"a ", 1.1}, {NULL, 1}, {" b", 1.1});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts)};
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
