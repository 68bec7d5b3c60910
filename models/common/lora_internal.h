// What the files behind lora.h share.
#ifndef HT_MODELS_LORA_INTERNAL_H
#define HT_MODELS_LORA_INTERNAL_H

#include "lora.h"

enum { HT_LORA_NAME_BYTES = 512, HT_LORA_MAX_RANK = 1 << 16, HT_LORA_MAX_PRODUCT_RANK = 256 };

// What a tensor is to its layer.
typedef enum ht_lora_role {
    HT_LORA_DOWN, // [r, I, kh, kw], or [r, I, 1, 1] with MID
    HT_LORA_UP,   // [O, r]
    HT_LORA_MID,  // [r, r, kh, kw]
    HT_LORA_ALPHA,
    HT_LOHA_W1_A, // [O, r], or [r, O] with T1
    HT_LOHA_W1_B, // [r, I * kh * kw], or [r, I] with T1
    HT_LOHA_T1,   // [r, r, kh, kw]
    HT_LOHA_W2_A,
    HT_LOHA_W2_B,
    HT_LOHA_T2,
    HT_LOKR_W1, // [a, b] with O = a c, I = b d
    HT_LOKR_W1_A,
    HT_LOKR_W1_B,
    HT_LOKR_W2, // [c, d, kh, kw]
    HT_LOKR_W2_A,
    HT_LOKR_W2_B,
    HT_LOKR_T2,
    HT_LORA_ROLES,
    HT_LORA_REFUSED = HT_LORA_ROLES, // a kind that cannot be a low-rank branch
} ht_lora_role;

// A tensor's name taken apart.
typedef struct ht_lora_key {
    ht_lora_network network; // HT_LORA_NETWORKS: one that no model here has
    char module[HT_LORA_NAME_BYTES]; // behind the prefix, with _ for .
    char layer[HT_LORA_NAME_BYTES];  // as the file has it, without the role
    ht_lora_role role;
    const char *refused; // what kind it is of
} ht_lora_key;

// lora_names.c: false for names that are of no known kind.
bool ht_lora_parse(const char *name, ht_lora_key *out);

// One file's change to one layer.
typedef struct ht_lora_change {
    ht_weights *file;
    const ht_weight_info *tensors[HT_LORA_ROLES]; // NULL: not there
    float alpha;                                  // from the file's metadata; NaN: none
    float scale;
    uint32_t rank; // of the branch
    struct ht_lora_change *next;
} ht_lora_change;

typedef struct ht_lora_layer {
    char *name;       // "down_blocks.0.attentions.0...to_q"
    uint32_t dims[4]; // O, I, kh, kw
    ht_lora_change *changes;
} ht_lora_layer;

typedef struct ht_lora_alias {
    char *name; // with _ for .
    uint32_t layer;
} ht_lora_alias;

struct ht_lora_layers {
    ht_context *context;
    ht_format format;
    ht_lora_layer *layers;
    ht_lora_alias *aliases; // sorted
    uint32_t n_layers, n_aliases;
};

// lora_layers.c: the layers of a map under all names that files have for them.
ht_status ht_lora_layers_create(ht_context *context, const ht_weight_map *map,
                                const ht_lora_desc *desc, ht_lora_layers **out);
void ht_lora_layers_destroy(ht_lora_layers **layers);
ht_lora_layer *ht_lora_layers_find(const ht_lora_layers *layers, const char *module); // or NULL

// lora_alpha.c: alpha of a layer as the file's metadata or a PEFT configuration beside it has it,
// NaN when there is none.
typedef struct ht_lora_alphas ht_lora_alphas;
ht_status ht_lora_alphas_open(const ht_weights *file, ht_context *context, ht_lora_alphas **out);
void ht_lora_alphas_close(ht_lora_alphas **alphas);
ht_status ht_lora_alphas_find(const ht_lora_alphas *alphas, const ht_lora_key *key, uint32_t rank,
                              float *alpha);

// lora_pair.c: do the change's tensors fit the layer? Sets its rank.
ht_status ht_lora_check(ht_context *context, const ht_lora_layer *layer, ht_lora_change *change);
// Its factors in f32: down [rank, I, kh, kw] rows from `down`, up [O, stride] columns from `up`.
ht_status ht_lora_pair(ht_context *context, const ht_lora_layer *layer,
                       const ht_lora_change *change, float *down, float *up, uint32_t stride);

#endif
