// How a network's self-attentions are computed, and the table by which calibration orders their
// tokens and says which blocks matter. Kept in a packed checkpoint as JSON (docs/attention.md).
#ifndef HALFTONE_MODELS_ATTENTION_TABLE_H
#define HALFTONE_MODELS_ATTENTION_TABLE_H

#include <halftone/attention.h>

typedef struct ht_attention_table ht_attention_table;

// Under this key of a packed file.
#define HT_ATTENTION_TABLE_KEY "halftone.attention"

// `label` stands for the file in messages.
HT_API ht_status ht_attention_table_parse(ht_context *context, const char *label, const char *text,
                                          ht_attention_table **out);
HT_API void ht_attention_table_destroy(ht_attention_table **table);
// Choose the kept blocks of all layers and groups of steps together, 0 < density <= 1.
HT_API void ht_attention_table_keep(ht_attention_table *table, double density);

// Groups of steps with masses of their own: step n of N is in group n * groups / N.
enum { HT_ATTENTION_MAX_GROUPS = 16 };
HT_API uint32_t ht_attention_table_groups(const ht_attention_table *table);

typedef struct ht_attention_layer {
    ht_attention_grid grid;
    uint32_t heads;
    const ht_attention_products
        *products; // [groups] what calibration found good enough, INT8 where it says nothing
    const uint32_t *orders; // [heads], the same in all steps
    uint32_t sets;          // of masses
    const uint32_t *set_of; // [groups]: groups whose masses are much alike share them
    const uint8_t *codes;   // [sets, heads, blocks, blocks], ht_attention_mass_code
    const uint8_t *keep;    // the same
} ht_attention_layer;
// False when the table does not have it.
HT_API bool ht_attention_table_find(const ht_attention_table *table, const char *layer,
                                    ht_attention_layer *out);

typedef enum ht_attention_kind {
    HT_ATTENTION_DENSE,
    HT_ATTENTION_SAGE8,  // integer codes of eight bits for q and k
    HT_ATTENTION_SAGE4,  // of four
    HT_ATTENTION_PARO,   // SAGE8 of kept blocks, of tokens in each head's order
    HT_ATTENTION_SPARGE, // SAGE8 of blocks predicted while running; in each head's order if known
    HT_ATTENTION_AUTO, // PARO where the table has the layer, by the products that are good enough and
                       // fast on the tier; else DENSE
} ht_attention_kind;

typedef struct ht_attention_choice {
    ht_attention_kind kind;
    ht_format values;                // of weights and v with codes: INT8, or E4M3
    float density;                   // of PARO
    float share;                     // of SPARGE: of the predicted attention that is kept
    const ht_attention_table *table; // NULL: there is none
    ht_value group;                  // [1] I32, of the step; HT_NO_VALUE: always the first
} ht_attention_choice;

// The density of "paro" alone, and of "auto"; the share of "sparge" alone, and how alike the rows of a
// block must be for it.
#define HT_ATTENTION_DENSITY 0.5f
#define HT_ATTENTION_SHARE 0.95f
#define HT_ATTENTION_SIMILARITY 0.1f
// Of SPARGE, ht_attention_plan.negligible: 64 such keys are at most 1.6 % of the largest weight.
#define HT_ATTENTION_NEGLIGIBLE 12

// One of these, with numbers above 0 and up to 1; "sage" is sage8. False for anything else.
#define HT_ATTENTION_CHOICES                                                                       \
    "dense, sage8, sage4, sage8-fp8, sage4-fp8, paro, paro:<density>, sparge, sparge:<share> or "  \
    "auto"
HT_API bool ht_attention_choice_parse(const char *text, ht_attention_choice *out);
// Variants of a graph of self-attentions by the choice on such a device (ht_graph_set_variants), a
// group of steps each: AUTO multiplies codes of other bits in some. 1: all steps are alike.
HT_API uint32_t ht_attention_variants(const ht_attention_choice *choice, ht_tier tier);
// The words without numbers and other names, one after the other from 0; NULL at their end.
HT_API const char *ht_attention_choice_name(uint32_t index);

// Self-attention of q, k, v [B, T, C] by the choice (NULL: dense). `layer` is the name of its
// weights without ".to_q"; `grid` says how the tokens lie. No bias, no mask.
HT_API ht_value ht_self_attention(ht_graph *graph, const ht_attention_choice *choice,
                                  const char *layer, const ht_attention_grid *grid, ht_value q,
                                  ht_value k, ht_value v, uint32_t heads);

#endif
