// Names of single-file checkpoints. One table for each part: what diffusers calls it, and what the
// file does.
#include "ldm.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 512, MAX_CANDIDATES = 8 };

// A name that begins with `from`, in which * is a number, begins with `to` in the file. In `to`,
// with a and b the numbers, L the resnets of a level and N the levels:
//   %a  %b         the numbers              %l  N - 1 - a
//   %p  a + 1
//   %d  1 + (L + 1) a + b                   %D  (L + 1) (a + 1)
//   %u  (L + 1) a + b                       %U  (L + 1) a + L
//   %h  2 (a + 1)                           %e  behind all of those
// What follows is renamed by `tails`, which may also be alternatives: the first that is in the file.
typedef struct rule {
    const char *from, *to;
    const struct rule *tails; // NULL: the rest stays
    uint8_t part, parts;      // of the tensor, as ht_weight_view has it
    bool transposed;
} rule;

#define NAME(f, t)                                                                                 \
    { .from = f, .to = t }
#define INSIDE(f, t, rest)                                                                         \
    { .from = f, .to = t, .tails = rest }
#define THIRD(i, f, t)                                                                             \
    { .from = f, .to = t, .part = i, .parts = 3 }
#define TURNED(f, t)                                                                               \
    { .from = f, .to = t, .transposed = true }

// ---- UNet

static const rule unet_resnet[] = {
    NAME("norm1.", "in_layers.0."),
    NAME("conv1.", "in_layers.2."),
    NAME("norm2.", "out_layers.0."),
    NAME("conv2.", "out_layers.3."),
    NAME("time_emb_proj.", "emb_layers.1."),
    NAME("conv_shortcut.", "skip_connection."),
    {.from = NULL},
};
static const rule unet[] = {
    NAME("conv_in.", "input_blocks.0.0."),
    NAME("time_embedding.linear_1.", "time_embed.0."),
    NAME("time_embedding.linear_2.", "time_embed.2."),
    NAME("time_embedding.cond_proj.", "time_embed.cond_proj."),
    NAME("add_embedding.linear_1.", "label_emb.0.0."),
    NAME("add_embedding.linear_2.", "label_emb.0.2."),
    INSIDE("down_blocks.*.resnets.*.", "input_blocks.%d.0.", unet_resnet),
    NAME("down_blocks.*.attentions.*.", "input_blocks.%d.1."),
    NAME("down_blocks.*.downsamplers.0.conv.", "input_blocks.%D.0.op."),
    INSIDE("mid_block.resnets.0.", "middle_block.0.", unet_resnet),
    NAME("mid_block.attentions.0.", "middle_block.1."),
    INSIDE("mid_block.resnets.1.", "middle_block.2.", unet_resnet),
    INSIDE("up_blocks.*.resnets.*.", "output_blocks.%u.0.", unet_resnet),
    NAME("up_blocks.*.attentions.*.", "output_blocks.%u.1."),
    NAME("up_blocks.*.upsamplers.0.conv.", "output_blocks.%U.2.conv."), // behind a transformer
    NAME("up_blocks.*.upsamplers.0.conv.", "output_blocks.%U.1.conv."),
    NAME("conv_norm_out.", "out.0."),
    NAME("conv_out.", "out.2."),
    {.from = NULL},
};

// ---- ControlNet: a UNet's first half, and more

static const rule control[] = {
    NAME("controlnet_cond_embedding.conv_in.", "input_hint_block.0."),
    NAME("controlnet_cond_embedding.blocks.*.", "input_hint_block.%h."),
    NAME("controlnet_cond_embedding.conv_out.", "input_hint_block.%e."),
    NAME("controlnet_down_blocks.*.", "zero_convs.%a.0."),
    NAME("controlnet_mid_block.", "middle_block_out.0."),
    INSIDE("", "", unet),
    {.from = NULL},
};

// ---- VAE: its attention is of 1 x 1 convolutions there, with the same values

static const rule vae_resnet[] = {
    NAME("conv_shortcut.", "nin_shortcut."), NAME("", ""), {.from = NULL}};
static const rule vae_attention[] = {
    NAME("group_norm.", "norm."),   NAME("to_q.", "q."), NAME("to_k.", "k."), NAME("to_v.", "v."),
    NAME("to_out.0.", "proj_out."), {.from = NULL},
};
static const rule vae[] = {
    INSIDE("encoder.down_blocks.*.resnets.*.", "encoder.down.%a.block.%b.", vae_resnet),
    NAME("encoder.down_blocks.*.downsamplers.0.conv.", "encoder.down.%a.downsample.conv."),
    INSIDE("encoder.mid_block.resnets.0.", "encoder.mid.block_1.", vae_resnet),
    INSIDE("encoder.mid_block.attentions.0.", "encoder.mid.attn_1.", vae_attention),
    INSIDE("encoder.mid_block.resnets.1.", "encoder.mid.block_2.", vae_resnet),
    NAME("encoder.conv_norm_out.", "encoder.norm_out."),
    INSIDE("decoder.up_blocks.*.resnets.*.", "decoder.up.%l.block.%b.", vae_resnet),
    NAME("decoder.up_blocks.*.upsamplers.0.conv.", "decoder.up.%l.upsample.conv."),
    INSIDE("decoder.mid_block.resnets.0.", "decoder.mid.block_1.", vae_resnet),
    INSIDE("decoder.mid_block.attentions.0.", "decoder.mid.attn_1.", vae_attention),
    INSIDE("decoder.mid_block.resnets.1.", "decoder.mid.block_2.", vae_resnet),
    NAME("decoder.conv_norm_out.", "decoder.norm_out."),
    NAME("", ""), // conv_in, conv_out, quant_conv, post_quant_conv
    {.from = NULL},
};

// ---- tiny autoencoders: TAESD's author numbers a decoder's layers from 1, behind the clamp, and has
// the halves in files of their own or under several prefixes

static const rule tiny[] = {
    NAME("", ""), // diffusers' names
    NAME("encoder.layers.*.", "encoder.%a."),
    NAME("decoder.layers.*.", "decoder.%p."),
    NAME("encoder.layers.*.", "taesd_encoder.%a."),
    NAME("decoder.layers.*.", "taesd_decoder.%p."),
    NAME("encoder.layers.*.", "%a."),
    NAME("decoder.layers.*.", "%p."),
    {.from = NULL},
};

// ---- text encoders

static const rule open_clip_layer[] = {
    NAME("layer_norm1.", "ln_1."),
    NAME("layer_norm2.", "ln_2."),
    NAME("mlp.fc1.", "mlp.c_fc."),
    NAME("mlp.fc2.", "mlp.c_proj."),
    THIRD(0, "self_attn.q_proj.weight", "attn.in_proj_weight"),
    THIRD(1, "self_attn.k_proj.weight", "attn.in_proj_weight"),
    THIRD(2, "self_attn.v_proj.weight", "attn.in_proj_weight"),
    THIRD(0, "self_attn.q_proj.bias", "attn.in_proj_bias"),
    THIRD(1, "self_attn.k_proj.bias", "attn.in_proj_bias"),
    THIRD(2, "self_attn.v_proj.bias", "attn.in_proj_bias"),
    NAME("self_attn.out_proj.", "attn.out_proj."),
    {.from = NULL},
};
static const rule open_clip[] = {
    NAME("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
    NAME("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    INSIDE("text_model.encoder.layers.*.", "transformer.resblocks.%a.", open_clip_layer),
    NAME("text_model.final_layer_norm.", "ln_final."),
    TURNED("text_projection.weight", "text_projection"),
    NAME("text_projection.weight", "text_projection.weight"),
    {.from = NULL},
};

// stable-diffusion.cpp keeps OpenCLIP's stacked and transposed tensors under transformers' names.
static const rule clip_layer[] = {
    THIRD(0, "self_attn.q_proj.weight", "self_attn.in_proj.weight"),
    THIRD(1, "self_attn.k_proj.weight", "self_attn.in_proj.weight"),
    THIRD(2, "self_attn.v_proj.weight", "self_attn.in_proj.weight"),
    THIRD(0, "self_attn.q_proj.bias", "self_attn.in_proj.bias"),
    THIRD(1, "self_attn.k_proj.bias", "self_attn.in_proj.bias"),
    THIRD(2, "self_attn.v_proj.bias", "self_attn.in_proj.bias"),
    {.from = NULL},
};
static const rule clip[] = {
    NAME("", ""),
    INSIDE("text_model.encoder.layers.*.", "text_model.encoder.layers.%a.", clip_layer),
    TURNED("text_projection.weight", "text_model.text_projection"),
    {.from = NULL},
};
static const rule clip_short[] = {NAME("text_model.", ""), NAME("", ""), {.from = NULL}};

// A part of which there are tensors PREFIX HEAD... has names PREFIX and what the rules say.
typedef struct ht_ldm_style {
    ht_ldm_part part;
    const char *prefix, *head;
    const rule *rules;
} ht_ldm_style;

static const ht_ldm_style styles[] = {
    {HT_LDM_UNET, "model.diffusion_model.", "input_blocks.", unet},
    {HT_LDM_UNET, "", "input_blocks.", unet},
    {HT_LDM_CONTROL, "control_model.", "input_hint_block.", control},
    {HT_LDM_CONTROL, "", "input_hint_block.", control},
    {HT_LDM_VAE, "first_stage_model.", "decoder.mid.", vae},
    {HT_LDM_VAE, "", "decoder.mid.", vae},
    {HT_LDM_TINY, "", "", tiny},
    {HT_LDM_TEXT, "cond_stage_model.transformer.", "text_model.", clip},
    {HT_LDM_TEXT, "cond_stage_model.transformer.", "encoder.", clip_short},
    {HT_LDM_TEXT, "cond_stage_model.model.", "transformer.resblocks.", open_clip},
    {HT_LDM_TEXT, "conditioner.embedders.0.transformer.", "text_model.", clip},
    {HT_LDM_TEXT_2, "conditioner.embedders.1.model.", "transformer.resblocks.", open_clip},
    {HT_LDM_TEXT_2, "cond_stage_model.1.transformer.", "text_model.", clip},
};

static bool begins_with(const char *text, const char *head) {
    return strncmp(text, head, strlen(head)) == 0;
}

bool ht_ldm_recognise(const ht_weights *weights, ht_ldm_part part, ht_ldm_names *names) {
    for (size_t s = 0; s < sizeof(styles) / sizeof(*styles); ++s) {
        size_t prefix = strlen(styles[s].prefix);
        for (size_t i = 0; styles[s].part == part && i < ht_weights_count(weights); ++i) {
            const char *name = ht_weights_get(weights, i)->name;
            if (begins_with(name, styles[s].prefix) && begins_with(name + prefix, styles[s].head)) {
                *names = (ht_ldm_names){.style = &styles[s]};
                return true;
            }
        }
    }
    return false;
}

const char *ht_ldm_prefix(const ht_ldm_names *names) {
    return names->style->prefix;
}

bool ht_ldm_is_open_clip(const ht_ldm_names *names) {
    return names->style->rules == open_clip;
}

// The rest of `text` behind the pattern, with the numbers that its stars stand for; or NULL.
static const char *match(const char *pattern, const char *text, uint32_t numbers[2]) {
    uint32_t n = 0;
    for (; *pattern; ++pattern) {
        if (*pattern != '*') {
            if (*text++ != *pattern) {
                return NULL;
            }
            continue;
        }
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 4 || n == 2) {
            return NULL;
        }
        for (numbers[n] = 0; digits > 0; --digits) {
            numbers[n] = numbers[n] * 10 + (uint32_t)(*text++ - '0');
        }
        ++n;
    }
    return text;
}

static uint32_t number_of(char code, const uint32_t n[2], const ht_ldm_names *names) {
    uint32_t per_level = names->layers_per_block + 1;
    switch (code) {
    case 'a': return n[0];
    case 'b': return n[1];
    case 'p': return n[0] + 1;
    case 'd': return 1 + per_level * n[0] + n[1];
    case 'D': return per_level * (n[0] + 1);
    case 'u': return per_level * n[0] + n[1];
    case 'h': return 2 * (n[0] + 1);
    case 'e': return 4 * names->hints - 2;
    case 'U': return per_level * n[0] + per_level - 1;
    default: return names->levels - 1 - n[0]; // 'l'
    }
}

static void append(char out[NAME_BYTES], const char *text) {
    size_t used = strlen(out);
    snprintf(out + used, NAME_BYTES - used, "%s", text);
}

static void append_filled(char out[NAME_BYTES], const char *to, const uint32_t n[2],
                          const ht_ldm_names *names) {
    for (; *to; ++to) {
        char piece[16] = {*to, 0};
        if (*to == '%') {
            snprintf(piece, sizeof(piece), "%u", number_of(*++to, n, names));
        }
        append(out, piece);
    }
}

// A name in the file, and what of that tensor is meant.
typedef struct candidate {
    char name[NAME_BYTES];
    const rule *rule;
} candidate;

// Names that the rules give, behind what `out` has already; returns how many.
static uint32_t apply(const ht_ldm_names *names, const rule *rules, const char *name,
                      const char *before, candidate *out, uint32_t room) {
    uint32_t count = 0;
    for (const rule *r = rules; r->from && count < room; ++r) {
        uint32_t n[2] = {0};
        const char *rest = match(r->from, name, n);
        if (!rest) {
            continue;
        }
        candidate *one = &out[count];
        char head[NAME_BYTES] = "";
        append(head, before);
        append_filled(head, r->to, n, names);
        if (r->tails) {
            count += apply(names, r->tails, rest, head, one, room - count);
            continue;
        }
        append(head, rest);
        memcpy(one->name, head, sizeof(head));
        one->rule = r;
        ++count;
    }
    return count;
}

// The tensor that is called `name` here; when there is none, NULL and in *out the likeliest name.
static const ht_weight_info *find(const ht_weights *weights, const ht_ldm_names *names,
                                  const char *name, candidate *out) {
    candidate all[MAX_CANDIDATES] = {0};
    uint32_t count =
        apply(names, names->style->rules, name, names->style->prefix, all, MAX_CANDIDATES);
    for (uint32_t i = 0; i < count; ++i) {
        const ht_weight_info *info = ht_weights_find(weights, all[i].name);
        if (info) {
            *out = all[i];
            return info;
        }
    }
    if (count == 0) {
        append(all[0].name, name);
    }
    *out = all[0];
    return NULL;
}

const ht_weight_info *ht_ldm_find(const ht_weights *weights, const ht_ldm_names *names,
                                  const char *name) {
    candidate found;
    return find(weights, names, name, &found);
}

bool ht_ldm_unet_alias(uint32_t levels, uint32_t layers_per_block, const char *name, uint32_t index,
                       char *out, size_t bytes) {
    candidate all[MAX_CANDIDATES] = {0};
    const ht_ldm_names names = {.levels = levels, .layers_per_block = layers_per_block};
    if (index >= apply(&names, unet, name, "", all, MAX_CANDIDATES)) {
        return false;
    }
    snprintf(out, bytes, "%s", all[index].name);
    return true;
}

// Views of all entries; the sources' names are those of the file's table.
static ht_status make_views(const ht_weights *weights, const ht_ldm_names *names,
                            const ht_weight_map *map, ht_weight_view *views) {
    candidate found;
    char missing[NAME_BYTES] = "";
    uint32_t n_missing = 0;
    for (uint32_t i = 0; i < map->count; ++i) {
        const ht_weight_info *info = find(weights, names, map->entries[i].name, &found);
        if (!info) {
            if (n_missing++ == 0) {
                memcpy(missing, found.name, sizeof(missing));
            }
            continue;
        }
        views[i] = (ht_weight_view){.name = map->entries[i].name,
                                    .source = info->name,
                                    .part = found.rule->part,
                                    .parts = found.rule->parts,
                                    .transposed = found.rule->transposed};
    }
    return n_missing == 0 ? HT_OK
                          : ht_fail(map->context, HT_ERR_IO,
                                    "'%s' lacks tensor '%s' (%u of %u tensors are missing)",
                                    ht_weights_path(weights), missing, n_missing, map->count);
}

static bool is_shown(const ht_weight_view *views, uint32_t count, const char *source) {
    for (uint32_t i = 0; i < count; ++i) {
        if (views[i].source == source) {
            return true;
        }
    }
    return false;
}

ht_status ht_ldm_view(ht_weights *weights, const ht_ldm_names *names, const ht_weight_map *map,
                      uint32_t *left_over) {
    *left_over = 0;
    ht_weight_view *views = ht_alloc(map->context, (map->count + 1) * sizeof(*views));
    if (!views) {
        return HT_ERR_NO_MEMORY;
    }
    ht_status status = make_views(weights, names, map, views);
    for (size_t i = 0; status == HT_OK && i < ht_weights_count(weights); ++i) {
        const char *name = ht_weights_get(weights, i)->name;
        if (begins_with(name, names->style->prefix) && !is_shown(views, map->count, name)) {
            ht_log(map->context, HT_LOG_DEBUG, "'%s': tensor '%s' is not used",
                   ht_weights_path(weights), name);
            ++*left_over;
        }
    }
    if (status == HT_OK) {
        status = ht_weights_view(weights, views, map->count);
    }
    ht_free(map->context, views);
    return status;
}
