// Reading tables of attentions, with jansson.
#include "attention_table.h"

#include <jansson.h>
#include <string.h>

enum { VERSION = 3, MAX_LAYERS = 10000, MAX_HEADS = 1024, MAX_TOKENS = 1 << 22, NAME_BYTES = 200 };

typedef struct layer {
    char name[NAME_BYTES];
    ht_attention_grid grid;
    uint32_t heads;
    ht_attention_products products[HT_ATTENTION_MAX_GROUPS];
    uint32_t *orders;
    uint32_t sets, set_of[HT_ATTENTION_MAX_GROUPS];
    uint8_t *codes, *keep; // [sets, ..]
} layer;

struct ht_attention_table {
    ht_context *context;
    uint32_t groups;
    size_t count;
    layer *layers;
};

static uint64_t set_size(const layer *l) {
    const uint64_t blocks = ht_attention_block_count(ht_attention_grid_tokens(&l->grid));
    return l->heads * blocks * blocks;
}

static bool read_grid(const json_t *list, ht_attention_grid *grid) {
    uint32_t *const fields[] = {&grid->text, &grid->frames, &grid->height, &grid->width};
    uint64_t tokens = 1;
    if (json_array_size(list) != 4) {
        return false;
    }
    for (size_t i = 0; i < 4; ++i) {
        const json_int_t value = json_integer_value(json_array_get(list, i));
        if (value < (i == 0 ? 0 : 1) || value > MAX_TOKENS) {
            return false;
        }
        *fields[i] = (uint32_t)value;
        tokens *= i == 0 ? 1 : (uint64_t)value;
        if (tokens > MAX_TOKENS) {
            return false;
        }
    }
    return tokens + grid->text <= MAX_TOKENS;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_codes(const json_t *text, uint64_t count, uint8_t *codes) {
    const char *digits = json_string_value(text);
    if (!digits || json_string_length(text) != 2 * count) {
        return false;
    }
    for (uint64_t i = 0; i < count; ++i) {
        const int high = digit(digits[2 * i]), low = digit(digits[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        codes[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static ht_status refuse(const ht_attention_table *t, const char *label, const char *name,
                        const char *what) {
    return ht_fail(t->context, HT_ERR_IO, "weights '%s': %s: '%.200s' %s", label,
                   HT_ATTENTION_TABLE_KEY, name, what);
}

// A string of masses for all groups, or a list with one for each group, null for that of the group
// before. Counts sets, of the right length; false where it is neither.
static bool count_sets(const ht_attention_table *t, const json_t *masses, layer *l) {
    const bool list = json_is_array(masses);
    if (list && json_array_size(masses) != t->groups) {
        return false;
    }
    for (uint32_t i = 0; i < t->groups; ++i) {
        const json_t *text = list ? json_array_get(masses, i) : i == 0 ? masses : json_null();
        const bool same = json_is_null(text) && i > 0;
        // Before anything of the size that the file says is allocated.
        if (!same && json_string_length(text) != 2 * set_size(l)) {
            return false;
        }
        l->sets += !same;
        l->set_of[i] = l->sets - 1;
    }
    return true;
}

static bool read_sets(const json_t *masses, layer *l) {
    uint32_t set = 0;
    for (size_t i = 0; set < l->sets; ++i) {
        const json_t *text = json_is_array(masses) ? json_array_get(masses, i) : masses;
        if (json_is_string(text) &&
            !read_codes(text, set_size(l), l->codes + set++ * set_size(l))) {
            return false;
        }
    }
    return true;
}

// A number for all groups, or a list with one for each; absent: eight.
static bool read_bits(const ht_attention_table *t, const json_t *bits,
                      ht_attention_products *products) {
    const bool list = json_is_array(bits);
    bool good = !list || json_array_size(bits) == t->groups;
    for (uint32_t i = 0; i < t->groups && good; ++i) {
        const json_t *number = list ? json_array_get(bits, i) : bits;
        const json_int_t value = number ? json_integer_value(number) : 8;
        products[i] = value == 8   ? HT_ATTENTION_INT8
                      : value == 4 ? HT_ATTENTION_INT4
                                   : HT_ATTENTION_FLOATS;
        good = (!number || json_is_integer(number)) && (value == 0 || value == 4 || value == 8);
    }
    return good;
}

static ht_status read_layer(ht_attention_table *t, const char *label, const char *name,
                            const json_t *json) {
    layer *l = &t->layers[t->count];
    const json_t *orders = json_object_get(json, "orders");
    const json_t *masses = json_object_get(json, "masses");
    const size_t heads = json_array_size(orders);
    if (strlen(name) >= NAME_BYTES || heads == 0 || heads > MAX_HEADS ||
        !read_grid(json_object_get(json, "grid"), &l->grid)) {
        return refuse(t, label, name, "needs a grid [text, frames, rows, columns] and orders");
    }
    if (!read_bits(t, json_object_get(json, "bits"), l->products)) {
        return refuse(t, label, name, "has bits that are not 0, 4 or 8, or one for each group");
    }
    memcpy(l->name, name, strlen(name) + 1);
    l->heads = (uint32_t)heads;
    if (!count_sets(t, masses, l)) {
        return refuse(
            t, label, name,
            "needs two hexadecimal digits for each block of each head and group of steps");
    }
    ++t->count; // from here on it is released with the table
    l->orders = ht_alloc(t->context, heads * sizeof(*l->orders));
    l->codes = ht_alloc(t->context, l->sets * set_size(l));
    l->keep = ht_alloc(t->context, l->sets * set_size(l));
    if (!l->orders || !l->codes || !l->keep) {
        return HT_ERR_NO_MEMORY;
    }
    memset(l->keep, 1, l->sets * set_size(l));
    for (size_t i = 0; i < heads; ++i) {
        const json_t *order = json_array_get(orders, i);
        const json_int_t value = json_integer_value(order);
        if (!json_is_integer(order) || value < 0 || value >= HT_ATTENTION_ORDERS) {
            return refuse(t, label, name, "has an order that is not 0 .. 5");
        }
        l->orders[i] = (uint32_t)value;
    }
    if (!read_sets(masses, l)) {
        return refuse(
            t, label, name,
            "needs two hexadecimal digits for each block of each head and group of steps");
    }
    return HT_OK;
}

static ht_status read_root(ht_attention_table *t, const char *label, const json_t *root) {
    json_t *layers = json_object_get(root, "layers"), *json;
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    const json_t *groups = json_object_get(root, "groups");
    const json_int_t wanted = groups ? json_integer_value(groups) : 1;
    const char *name;
    ht_status status = HT_OK;
    // The first knew no groups, the second bits for all of them only.
    if (version < 1 || version > VERSION) {
        return ht_fail(t->context, HT_ERR_IO, "weights '%s': %s: version %lld, expected 1 to %d",
                       label, HT_ATTENTION_TABLE_KEY, (long long)version, VERSION);
    }
    if (wanted < 1 || wanted > HT_ATTENTION_MAX_GROUPS) {
        return ht_fail(t->context, HT_ERR_IO,
                       "weights '%s': %s: %lld groups of steps, expected 1 to %d", label,
                       HT_ATTENTION_TABLE_KEY, (long long)wanted, HT_ATTENTION_MAX_GROUPS);
    }
    t->groups = (uint32_t)wanted;
    const size_t count = json_object_size(layers);
    if (count == 0 || count > MAX_LAYERS) {
        return ht_fail(t->context, HT_ERR_IO, "weights '%s': %s: no layers, or too many", label,
                       HT_ATTENTION_TABLE_KEY);
    }
    t->layers = ht_alloc(t->context, count * sizeof(*t->layers));
    if (!t->layers) {
        return HT_ERR_NO_MEMORY;
    }
    memset(t->layers, 0, count * sizeof(*t->layers));
    json_object_foreach(layers, name, json) {
        if (status == HT_OK) {
            status = read_layer(t, label, name, json);
        }
    }
    return status;
}

ht_status ht_attention_table_parse(ht_context *context, const char *label, const char *text,
                                   ht_attention_table **out) {
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ht_attention_table *t = ht_alloc(context, sizeof(*t));
    ht_status status = t ? HT_OK : HT_ERR_NO_MEMORY;
    *out = t;
    if (t) {
        *t = (ht_attention_table){.context = context};
        status = root ? read_root(t, label, root)
                      : ht_fail(context, HT_ERR_IO, "weights '%s': %s: not JSON", label,
                                HT_ATTENTION_TABLE_KEY);
    }
    json_decref(root);
    if (status != HT_OK) {
        ht_attention_table_destroy(out);
    }
    return status;
}

void ht_attention_table_destroy(ht_attention_table **table) {
    ht_attention_table *t = *table;
    for (size_t i = 0; t && i < t->count; ++i) {
        ht_free(t->context, t->layers[i].orders);
        ht_free(t->context, t->layers[i].codes);
        ht_free(t->context, t->layers[i].keep);
    }
    if (t) {
        ht_free(t->context, t->layers);
        ht_free(t->context, t);
    }
    *table = NULL;
}

_Static_assert((int)HT_ATTENTION_MAX_GROUPS <= (int)HT_GRAPH_MAX_VARIANTS,
               "a graph can have a variant for each group of steps");

uint32_t ht_attention_variants(const ht_attention_choice *choice, ht_tier tier) {
    const ht_attention_table *t = choice->table;
    bool differ = false;
    for (size_t i = 0; t && i < t->count; ++i) {
        for (uint32_t group = 1; group < t->groups; ++group) {
            differ = differ || t->layers[i].products[group] != t->layers[i].products[0];
        }
    }
    // On CPU drivers it is floats everywhere.
    return differ && choice->kind == HT_ATTENTION_AUTO && tier != HT_TIER_CPU ? t->groups : 1;
}

uint32_t ht_attention_table_groups(const ht_attention_table *table) {
    return table ? table->groups : 1;
}

void ht_attention_table_keep(ht_attention_table *table, double density) {
    size_t count = 0, at = 0;
    for (size_t i = 0; i < table->count; ++i) {
        count += table->layers[i].sets;
    }
    ht_attention_masses *all = ht_alloc(table->context, count * sizeof(*all));
    for (size_t i = 0; all && i < table->count; ++i) {
        const layer *l = &table->layers[i];
        for (uint32_t set = 0; set < l->sets; ++set) {
            all[at++] = (ht_attention_masses){l->grid, l->heads, l->codes + set * set_size(l),
                                              l->keep + set * set_size(l)};
        }
    }
    if (all) { // else everything stays kept, which is right too
        ht_attention_keep(all, count, density);
    }
    ht_free(table->context, all);
}

bool ht_attention_table_find(const ht_attention_table *table, const char *name,
                             ht_attention_layer *out) {
    for (size_t i = 0; table && i < table->count; ++i) {
        const layer *l = &table->layers[i];
        if (strcmp(l->name, name) == 0) {
            *out = (ht_attention_layer){l->grid, l->heads,  l->products, l->orders,
                                        l->sets, l->set_of, l->codes,    l->keep};
            return true;
        }
    }
    return false;
}
