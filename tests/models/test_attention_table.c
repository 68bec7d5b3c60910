// Choices of attention and tables of a checkpoint: what is read, what is refused, what is kept.
#include "support.h"

#include <common/attention_table.h>
#include <stdio.h>
#include <string.h>

static void test_choices(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int kind; // -1: refused
        float number; // density, of sparge share
    } rows[] = {{"dense", HT_ATTENTION_DENSE, HT_ATTENTION_DENSITY},
                {"sage", HT_ATTENTION_SAGE8, HT_ATTENTION_DENSITY},
                {"sage8", HT_ATTENTION_SAGE8, HT_ATTENTION_DENSITY},
                {"sage4", HT_ATTENTION_SAGE4, HT_ATTENTION_DENSITY},
                {"paro", HT_ATTENTION_PARO, HT_ATTENTION_DENSITY},
                {"paro:0.25", HT_ATTENTION_PARO, 0.25f},
                {"paro:1", HT_ATTENTION_PARO, 1.0f},
                {"sage8-fp8", HT_ATTENTION_SAGE8, HT_ATTENTION_DENSITY},
                {"sage4-fp8", HT_ATTENTION_SAGE4, HT_ATTENTION_DENSITY},
                {"sparge", HT_ATTENTION_SPARGE, HT_ATTENTION_SHARE},
                {"sparge:0.9", HT_ATTENTION_SPARGE, 0.9f},
                {"sparge:1", HT_ATTENTION_SPARGE, 1.0f},
                {"auto", HT_ATTENTION_AUTO, HT_ATTENTION_DENSITY},
                {"sparge:0", -1, 0},
                {"sparge:2", -1, 0},
                {"sage8:0.5", -1, 0},
                {"sage8-", -1, 0},
                {"auto:1", -1, 0},
                {"", -1, 0},
                {"paro:", -1, 0},
                {"paro:0", -1, 0},
                {"paro:1.5", -1, 0},
                {"paro:nan", -1, 0},
                {"paro:0.5x", -1, 0},
                {"Dense", -1, 0}};
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_attention_choice choice;
        const bool good = ht_attention_choice_parse(rows[i].text, &choice);
        assert_int_equal(good, rows[i].kind >= 0);
        if (good) {
            assert_int_equal(choice.kind, rows[i].kind);
            assert_float_equal(choice.kind == HT_ATTENTION_SPARGE ? choice.share : choice.density,
                               rows[i].number, 0);
            assert_int_equal(choice.values,
                             strstr(rows[i].text, "fp8") ? HT_FORMAT_E4M3 : HT_FORMAT_INT8);
        }
    }
}

// Two blocks of tokens: masses 1/2 1/2, 1/4 3/4 (codes 8 8, 16 3), then another head.
static const char good[] =
    "{\"version\": 1, \"layers\": {\"a.attn1\": {\"grid\": [0, 1, 8, 16], \"orders\": [0, 1], "
    "\"masses\": \"0808100300ff08ff\", \"quality\": []}}}";

static void test_table(void **state) {
    (void)state;
    ht_attention_table *table = NULL;
    ht_attention_layer layer;
    assert_int_equal(ht_attention_table_parse(ht_test_context(HT_TIER_CPU), "file", good, &table),
                     HT_OK);
    assert_false(ht_attention_table_find(table, "a.attn2", &layer));
    assert_true(ht_attention_table_find(table, "a.attn1", &layer));
    assert_int_equal(layer.heads, 2);
    assert_int_equal(layer.grid.width, 16);
    assert_int_equal(layer.orders[1], 1);
    assert_int_equal(layer.codes[2], 16);
    for (int i = 0; i < 8; i++) {
        assert_true(layer.keep[i]); // all, until something else is asked for
    }
    ht_attention_table_keep(table, 5.0 / 8); // the diagonals, and one of the two of code 8
    assert_true(ht_attention_table_find(table, "a.attn1", &layer));
    int kept = 0;
    for (int i = 0; i < 8; i++) {
        kept += layer.keep[i];
    }
    assert_int_equal(kept, 5);
    assert_true(layer.keep[0] && layer.keep[3] && layer.keep[4] && layer.keep[7]);
    assert_true(layer.keep[1] || layer.keep[6]);
    ht_attention_table_destroy(&table);
    assert_null(table);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *layer; // NULL: `whole` is the text
        const char *whole, *part;
    } rows[] = {
        {NULL, "{", "not JSON"},
        {NULL, "{\"version\": 4, \"layers\": {}}", "version 4"},
        {NULL, "{\"version\": 2, \"groups\": 17, \"layers\": {}}", "17 groups"},
        {NULL, "{\"version\": 2, \"groups\": 0, \"layers\": {}}", "0 groups"},
        {NULL, "{\"version\": 1, \"layers\": {}}", "no layers"},
        {NULL, "{\"version\": 1, \"layers\": 7}", "no layers"},
        {"{\"grid\": [0, 1, 8], \"orders\": [0], \"masses\": \"00\"}", NULL, "needs a grid"},
        {"{\"grid\": [0, 1, 8, 0], \"orders\": [0], \"masses\": \"00\"}", NULL, "needs a grid"},
        {"{\"grid\": [0, 4000, 4000, 4000], \"orders\": [0], \"masses\": \"00\"}", NULL,
         "needs a grid"},
        {"{\"grid\": [-1, 1, 8, 8], \"orders\": [0], \"masses\": \"00\"}", NULL, "needs a grid"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [], \"masses\": \"00\"}", NULL, "needs a grid"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [6], \"masses\": \"00\"}", NULL, "0 .. 5"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [\"x\"], \"masses\": \"00\"}", NULL, "0 .. 5"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"0\"}", NULL, "hexadecimal"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"0g\"}", NULL, "hexadecimal"},
        {"{\"grid\": [0, 1, 2048, 2048], \"orders\": [0], \"masses\": \"00\"}", NULL,
         "hexadecimal"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": [\"00\", null]}", NULL,
         "hexadecimal"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": [null]}", NULL, "hexadecimal"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"00\", \"bits\": 5}", NULL,
         "0, 4 or 8"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"00\", \"bits\": \"8\"}", NULL,
         "0, 4 or 8"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"00\", \"bits\": [8, 4]}", NULL,
         "one for each group"},
        {"{\"grid\": [0, 1, 8, 8], \"orders\": [0], \"masses\": \"00\", \"bits\": [6]}", NULL,
         "0, 4 or 8"},
        {"7", NULL, "needs a grid"},
    };
    ht_context *context = ht_test_context(HT_TIER_CPU);
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        char text[256];
        ht_attention_table *table = NULL;
        snprintf(text, sizeof text, "{\"version\": 1, \"layers\": {\"x\": %s}}", rows[i].layer);
        assert_int_equal(
            ht_attention_table_parse(context, "file", rows[i].layer ? text : rows[i].whole, &table),
            HT_ERR_IO);
        assert_null(table);
        assert_non_null(strstr(ht_context_message(context), rows[i].part));
    }
}

// A graph's self-attention by a table: the right size works, another one is refused by name.
static void test_self_attention(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    ht_attention_choice choice;
    ht_attention_table *table = NULL;
    assert_int_equal(ht_attention_table_parse(context, "file", good, &table), HT_OK);
    assert_true(ht_attention_choice_parse("paro", &choice));
    choice.table = table;
    for (uint32_t height = 8; height <= 32; height += 24) {
        const ht_attention_grid grid = {0, 1, height, 16};
        const ht_tensor_desc desc = {
            .format = HT_FORMAT_F32, .rank = 3, .dims = {1, height * 16, 16}, .label = "x"};
        const ht_graph_desc graph_desc = {.label = "test", .activations = HT_FORMAT_F32};
        ht_tensor *tensor = NULL;
        ht_graph *graph = NULL;
        assert_int_equal(ht_tensor_create(context, &desc, &tensor), HT_OK);
        assert_int_equal(ht_graph_create(context, &graph_desc, &graph), HT_OK);
        const ht_value x = ht_graph_tensor(graph, tensor);
        ht_self_attention(graph, &choice, "a.attn1", &grid, x, x, x, 2);
        if (height == 8) {
            assert_int_equal(ht_graph_status(graph), HT_OK);
        } else {
            assert_int_equal(ht_graph_status(graph), HT_ERR_UNSUPPORTED);
            assert_non_null(strstr(ht_context_message(context), "'a.attn1' is for 2 heads"));
        }
        ht_graph_destroy(&graph);
        ht_tensor_destroy(&tensor);
    }
    ht_attention_table_destroy(&table);
}

// Three groups of steps, of which the last two share their masses: of the first the blocks above the
// diagonal count, of the others those below.
static const char grouped[] =
    "{\"version\": 2, \"groups\": 3, \"layers\": {\"a.attn1\": {\"grid\": [0, 1, 8, 16], "
    "\"bits\": 4, \"orders\": "
    "[0, 1], \"masses\": [\"0001ff000001ff00\", \"00ff010000ff0100\", null]}}}";
static const char *const alone[] = {
    "{\"version\": 1, \"layers\": {\"a.attn1\": {\"grid\": [0, 1, 8, 16], \"orders\": [0, 1], "
    "\"masses\": \"0001ff000001ff00\"}}}",
    "{\"version\": 1, \"layers\": {\"a.attn1\": {\"grid\": [0, 1, 8, 16], \"orders\": [0, 1], "
    "\"masses\": \"00ff010000ff0100\"}}}"};

enum { GROUP_TOKENS = 128, GROUP_CHANNELS = 16, GROUP_VALUES = GROUP_TOKENS * GROUP_CHANNELS };

// A graph of one attention with a table that keeps 3 of 4 blocks, run for each group in turn.
static void run_groups(ht_tier tier, const char *mode, const char *text, uint32_t groups,
                       float out[][GROUP_VALUES]) {
    ht_context *context = ht_test_context(tier);
    const ht_attention_grid grid = {0, 1, 8, 16};
    const ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                                 .rank = 3,
                                 .dims = {1, GROUP_TOKENS, GROUP_CHANNELS},
                                 .label = "x"};
    const ht_tensor_desc one = {.format = HT_FORMAT_I32, .rank = 1, .dims = {1}, .label = "group"};
    const ht_graph_desc graph_desc = {.label = "test", .activations = HT_FORMAT_F32};
    float values[GROUP_VALUES];
    ht_attention_choice choice;
    ht_attention_table *table = NULL;
    ht_tensor *x = NULL, *y = NULL, *group = NULL;
    ht_graph *graph = NULL;
    ht_test_fill_normal(7, values, GROUP_VALUES);
    assert_int_equal(ht_attention_table_parse(context, "file", text, &table), HT_OK);
    assert_int_equal(ht_attention_table_groups(table), groups);
    ht_attention_table_keep(table, 0.75);
    assert_true(ht_attention_choice_parse(mode, &choice));
    assert_int_equal(ht_tensor_create(context, &desc, &x), HT_OK);
    assert_int_equal(ht_tensor_create(context, &desc, &y), HT_OK);
    assert_int_equal(ht_tensor_create(context, &one, &group), HT_OK);
    assert_int_equal(ht_tensor_write_f32(x, values, GROUP_VALUES), HT_OK);
    assert_int_equal(ht_graph_create(context, &graph_desc, &graph), HT_OK);
    const ht_value in = ht_graph_tensor(graph, x);
    choice.table = table;
    const uint32_t variants = ht_attention_variants(&choice, tier);
    ht_graph_set_variants(graph, variants);
    choice.group = groups > 1 ? ht_graph_tensor(graph, group) : HT_NO_VALUE;
    ht_graph_output(graph, ht_self_attention(graph, &choice, "a.attn1", &grid, in, in, in, 2), y);
    assert_int_equal(ht_graph_finish(graph), HT_OK);
    assert_int_equal(ht_graph_select(graph, variants), HT_ERR_INVALID);
    for (uint32_t i = 0; i < groups; i++) {
        const int32_t number = (int32_t)i;
        assert_int_equal(ht_tensor_write(group, &number, sizeof number), HT_OK);
        assert_int_equal(ht_graph_select(graph, variants > 1 ? i : 0), HT_OK);
        assert_int_equal(ht_graph_run(graph), HT_OK);
        assert_int_equal(ht_tensor_read_f32(y, out[i], GROUP_VALUES), HT_OK);
    }
    ht_graph_destroy(&graph);
    ht_tensor_destroy(&x);
    ht_tensor_destroy(&y);
    ht_tensor_destroy(&group);
    ht_attention_table_destroy(&table);
}

// Each group of steps has its blocks: the bits of a table with those alone.
static void test_groups(void **state) {
    (void)state;
    static float together[3][GROUP_VALUES], apart[2][GROUP_VALUES];
    if (ht_test_context(HT_TIER_CPU) == NULL) {
        return;
    }
    run_groups(HT_TIER_CPU, "paro", grouped, 3, together);
    run_groups(HT_TIER_CPU, "paro", alone[0], 1, &apart[0]);
    run_groups(HT_TIER_CPU, "paro", alone[1], 1, &apart[1]);
    assert_memory_equal(together[0], apart[0], sizeof apart[0]);
    assert_memory_equal(together[1], apart[1], sizeof apart[1]);
    assert_memory_equal(together[2], apart[1], sizeof apart[1]);
    assert_true(memcmp(apart[0], apart[1], sizeof apart[0]) != 0);
}

// Everywhere alike but for the bits.
static const char bits[] = "{\"version\": 3, \"groups\": %d, \"layers\": {\"a.attn1\": {\"grid\": "
                           "[0, 1, 8, 16], \"bits\": %s, \"orders\": [0, 1], \"masses\": "
                           "\"0001ff000001ff00\"}}}";

// Each group of steps multiplies what its bits say: the bits of a table with those alone. CPU drivers
// multiply floats in all, and then there is one variant.
static void test_group_products(void **state) {
    (void)state;
    static const char *const numbers[] = {"8", "4", "0"};
    static float together[3][GROUP_VALUES], apart[GROUP_VALUES];
    char text[512];
    if (ht_test_context(HT_TIER_PORTABLE) == NULL) {
        return;
    }
    snprintf(text, sizeof text, bits, 3, "[8, 4, 0]");
    run_groups(HT_TIER_PORTABLE, "auto", text, 3, together);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, bits, 1, numbers[i]);
        run_groups(HT_TIER_PORTABLE, "auto", text, 1, &apart);
        assert_memory_equal(together[i], apart, sizeof apart);
        assert_true(memcmp(together[i], together[(i + 1) % 3], sizeof apart) != 0);
    }
    snprintf(text, sizeof text, bits, 3, "[8, 4, 0]");
    run_groups(HT_TIER_CPU, "auto", text, 3, together);
    assert_memory_equal(together[0], together[1], sizeof apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices), cmocka_unit_test(test_table),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_self_attention),
        cmocka_unit_test(test_groups),  cmocka_unit_test(test_group_products),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
