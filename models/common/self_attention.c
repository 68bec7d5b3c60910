// Self-attention as a network's user chose it.
#include "attention_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Fewer tokens have hardly a block to skip.
enum { FEW_TOKENS = 256 };

// ":<number>", above 0 and up to 1.
static bool read_number(const char *text, float *number) {
    char *end;
    *number = strtof(text + 1, &end);
    return text[0] == ':' && end != text + 1 && *end == '\0' && *number > 0.0f && *number <= 1.0f;
}

static const struct {
    const char *name;
    ht_attention_kind kind;
    ht_format values;
    bool other; // name of another row
} rows[] = {
    {"dense", HT_ATTENTION_DENSE, HT_FORMAT_INT8, false},
    {"sage8", HT_ATTENTION_SAGE8, HT_FORMAT_INT8, false},
    {"sage4", HT_ATTENTION_SAGE4, HT_FORMAT_INT8, false},
    {"sage8-fp8", HT_ATTENTION_SAGE8, HT_FORMAT_E4M3, false},
    {"sage4-fp8", HT_ATTENTION_SAGE4, HT_FORMAT_E4M3, false},
    {"paro", HT_ATTENTION_PARO, HT_FORMAT_INT8, false},
    {"sparge", HT_ATTENTION_SPARGE, HT_FORMAT_INT8, false},
    {"auto", HT_ATTENTION_AUTO, HT_FORMAT_INT8, false},
    {"sage", HT_ATTENTION_SAGE8, HT_FORMAT_INT8, true},
};

const char *ht_attention_choice_name(uint32_t index) {
    return index < sizeof rows / sizeof rows[0] && !rows[index].other ? rows[index].name : NULL;
}

bool ht_attention_choice_parse(const char *text, ht_attention_choice *out) {
    const size_t length = strcspn(text, ":");
    *out = (ht_attention_choice){
        .density = HT_ATTENTION_DENSITY, .share = HT_ATTENTION_SHARE, .group = HT_NO_VALUE};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        if (strlen(rows[i].name) == length && strncmp(text, rows[i].name, length) == 0) {
            out->kind = rows[i].kind;
            out->values = rows[i].values;
            return text[length] == '\0' ||
                   (out->kind == HT_ATTENTION_PARO && read_number(text + length, &out->density)) ||
                   (out->kind == HT_ATTENTION_SPARGE && read_number(text + length, &out->share));
        }
    }
    return false;
}

static ht_value integers(ht_graph *graph, uint32_t rank, uint32_t d0, uint32_t d1,
                         const int32_t *values) {
    const ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = rank, .dims = {d0, d1}, .label = "attention plan"};
    return ht_graph_constant(graph, &desc, values);
}

// Each head's order of the tokens, as constants of the graph.
static void add_orders(ht_graph *graph, const ht_attention_layer *l, int32_t *numbers,
                       ht_attention_plan *plan) {
    const uint32_t tokens = ht_attention_grid_tokens(&l->grid);
    for (uint32_t order = 0; order < HT_ATTENTION_ORDERS; ++order) {
        ht_attention_order(&l->grid, order, numbers + (uint64_t)order * tokens);
    }
    plan->orders = integers(graph, 2, HT_ATTENTION_ORDERS, tokens, numbers);
    for (uint32_t head = 0; head < l->heads; ++head) {
        numbers[head] = (int32_t)l->orders[head];
    }
    plan->head_orders = integers(graph, 1, l->heads, 0, numbers);
}

// The numbers of blocks of one set of masses, or of the one that has most of them.
static uint64_t count_lists(const ht_attention_layer *l, uint32_t blocks) {
    uint64_t most = 0;
    for (uint32_t set = 0; set < l->sets; ++set) {
        const uint8_t *keep = l->keep + (uint64_t)set * l->heads * blocks * blocks;
        const uint64_t count = ht_attention_lists_count(keep, l->heads, blocks, blocks);
        most = count > most ? count : most;
    }
    return most;
}

// Lists of kept blocks: a constant, or where groups of steps have their own a row of them by the
// group of the step.
static void add_lists(ht_graph *graph, const ht_attention_choice *choice,
                      const ht_attention_layer *l, uint32_t count, int32_t *numbers,
                      ht_attention_plan *plan) {
    const uint32_t blocks = ht_attention_block_count(ht_attention_grid_tokens(&l->grid));
    const uint64_t size = (uint64_t)l->heads * blocks * blocks;
    int32_t set_of[HT_ATTENTION_MAX_GROUPS];
    memset(numbers, 0, (uint64_t)l->sets * count * sizeof(*numbers));
    for (uint32_t set = 0; set < l->sets; ++set) {
        ht_attention_lists(l->keep + set * size, l->heads, blocks, blocks,
                           numbers + (uint64_t)set * count);
    }
    if (l->sets == 1 || choice->group.id == HT_NO_VALUE.id) {
        plan->blocks = integers(graph, 1, count, 0, numbers);
        return;
    }
    const uint32_t groups = ht_attention_table_groups(choice->table);
    for (uint32_t i = 0; i < groups; ++i) {
        set_of[i] = (int32_t)l->set_of[i];
    }
    const ht_value sets = integers(graph, 2, l->sets, count, numbers);
    const ht_value set =
        ht_op_embedding(graph, integers(graph, 2, groups, 1, set_of), choice->group);
    plan->blocks = ht_op_reshape(graph, ht_op_embedding(graph, sets, set), 1, &count);
}

// What the table knows of a layer: the orders, and with `with_lists` the kept blocks. False, and the
// graph failed, without memory.
static bool add_plan(ht_graph *graph, const ht_attention_choice *choice,
                     const ht_attention_layer *l, bool with_lists, ht_attention_plan *plan) {
    ht_context *context = ht_graph_context(graph);
    const uint32_t tokens = ht_attention_grid_tokens(&l->grid);
    const uint64_t count = with_lists ? count_lists(l, ht_attention_block_count(tokens)) : 0;
    const uint64_t lists = l->sets * count;
    const uint64_t orders = (uint64_t)HT_ATTENTION_ORDERS * tokens;
    const uint64_t most = lists > orders ? lists : orders;
    int32_t *numbers = ht_alloc(context, (most > l->heads ? most : l->heads) * sizeof(*numbers));
    if (!numbers || lists > INT32_MAX) {
        ht_graph_fail(graph, HT_ERR_NO_MEMORY);
        ht_free(context, numbers);
        return false;
    }
    if (with_lists) {
        add_lists(graph, choice, l, (uint32_t)count, numbers, plan);
    }
    add_orders(graph, l, numbers, plan);
    ht_free(context, numbers);
    return true;
}

// Blocks that are predicted in every step anew.
static void add_prediction(ht_graph *graph, float share, const ht_attention_grid *grid, ht_value q,
                           ht_value k, uint32_t heads, ht_attention_plan *plan) {
    const ht_attention_predict_args args = {.heads = heads,
                                            .share = share,
                                            .similarity = HT_ATTENTION_SIMILARITY,
                                            .text = grid->text,
                                            .orders = plan->orders,
                                            .head_orders = plan->head_orders};
    plan->blocks = ht_op_attention_predict(graph, q, k, &args);
    plan->by_picture = true;
    plan->negligible = share < 1.0f ? HT_ATTENTION_NEGLIGIBLE : 0;
}

static bool same(const ht_attention_grid *a, const ht_attention_grid *b) {
    return a->text == b->text && a->frames == b->frames && a->height == b->height &&
           a->width == b->width;
}

// What AUTO comes to, and PARO and SPARGE of few tokens; `fitting`: the table has what was found.
// False, and the graph failed, where PARO cannot be.
static bool decide(ht_graph *graph, const ht_attention_choice *choice, const char *layer,
                   const ht_attention_grid *grid, uint32_t heads, ht_attention_layer *found,
                   bool *fitting, ht_attention_kind *kind) {
    const uint32_t tokens = ht_attention_grid_tokens(grid);
    const bool known = ht_attention_table_find(choice->table, layer, found);
    const bool fits = known && same(&found->grid, grid) && found->heads == heads;
    ht_context *context = ht_graph_context(graph);
    *kind = choice->kind;
    *fitting = fits;
    if (*kind == HT_ATTENTION_AUTO) {
        *kind = fits ? HT_ATTENTION_PARO : HT_ATTENTION_DENSE;
    } else if (tokens <= FEW_TOKENS &&
               (*kind == HT_ATTENTION_SPARGE || (*kind == HT_ATTENTION_PARO && !fits))) {
        *kind = HT_ATTENTION_DENSE;
    } else if (*kind == HT_ATTENTION_PARO && !known) {
        ht_graph_fail(graph, ht_fail(context, HT_ERR_UNSUPPORTED,
                                     "attention: the checkpoint has no table for '%s'; make one "
                                     "with gen-quantize --calibrate --attention, or take sage8",
                                     layer));
        return false;
    } else if (*kind == HT_ATTENTION_PARO && !fits) {
        ht_graph_fail(
            graph, ht_fail(context, HT_ERR_UNSUPPORTED,
                           "attention: the table of '%s' is for %u heads of %u x %u x %u tokens, "
                           "not %u of %u x %u x %u; make the size it was calibrated for, or take "
                           "sage8",
                           layer, found->heads, found->grid.frames, found->grid.height,
                           found->grid.width, heads, grid->frames, grid->height, grid->width));
        return false;
    }
    return true;
}

// What AUTO multiplies: in each variant of the graph what was good enough in its group of steps, or
// what was in all. On CPU drivers floats, which are as fast as codes (docs/attention.md).
static void choose_products(ht_graph *graph, const ht_attention_choice *choice,
                            const ht_attention_layer *found, ht_attention_plan *plan) {
    const ht_tier tier = ht_context_tier(ht_graph_context(graph));
    const uint32_t groups = ht_attention_table_groups(choice->table);
    plan->products = found->products[0];
    for (uint32_t i = 1; i < groups; ++i) { // from floats to few bits
        plan->products = found->products[i] < plan->products ? found->products[i] : plan->products;
    }
    if (tier == HT_TIER_CPU) {
        plan->products = HT_ATTENTION_FLOATS;
    } else if (groups > 1 && ht_graph_variants(graph) == groups) {
        plan->by_variant = found->products;
    }
}

ht_value ht_self_attention(ht_graph *graph, const ht_attention_choice *choice, const char *layer,
                           const ht_attention_grid *grid, ht_value q, ht_value k, ht_value v,
                           uint32_t heads) {
    ht_attention_plan plan = HT_ATTENTION_PLAN_NONE;
    const ht_attention_args args = {
        .heads = heads, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE, .plan = &plan};
    ht_attention_kind kind = HT_ATTENTION_DENSE;
    ht_attention_layer found;
    bool fits = false;
    // Codes are packed by fours; no published network has heads of another width.
    const bool by_four = heads > 0 && ht_graph_value_desc(graph, q).dims[2] / heads % 4 == 0;
    if (choice && by_four && !decide(graph, choice, layer, grid, heads, &found, &fits, &kind)) {
        return (ht_value){0};
    }
    const bool planned = kind == HT_ATTENTION_PARO || (kind == HT_ATTENTION_SPARGE && fits);
    if (planned && !add_plan(graph, choice, &found, kind == HT_ATTENTION_PARO, &plan)) {
        return (ht_value){0};
    }
    if (kind == HT_ATTENTION_SPARGE) {
        add_prediction(graph, choice->share, grid, q, k, heads, &plan);
    }
    plan.products = kind == HT_ATTENTION_SAGE4   ? HT_ATTENTION_INT4
                    : kind == HT_ATTENTION_DENSE ? HT_ATTENTION_FLOATS
                                                 : HT_ATTENTION_INT8;
    if (kind == HT_ATTENTION_PARO && choice->kind == HT_ATTENTION_AUTO) {
        choose_products(graph, choice, &found, &plan);
    }
    plan.values = choice ? choice->values : HT_FORMAT_INT8;
    return ht_op_attention(graph, q, k, v, &args);
}
