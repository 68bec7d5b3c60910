// CogVideoX's transformers: blocks of one attention over text and clip and of a feed-forward, with norms
// whose shifts, scales and gates differ between the two (Yang et al. 2024, "CogVideoX").
#include "cogvideox.h"

#include "common/adaln.h"
#include "common/positions.h"

#include <math.h>

enum {
    BLOCK_ROWS = 12, // of the modulation
    NORM_ROWS = 6,   // of one of a block's two norms: the clip's three, then the text's
    STREAM_ROWS = 3,
};

// Of queries and keys, whatever the configuration says.
#define QK_EPS 1e-6f

// What goes through the blocks, [B, tokens, C] each.
typedef struct streams {
    ht_value clip, text;
} streams;

uint32_t ht_cogvideox_modulations(const ht_cogvideox_config *config) {
    return BLOCK_ROWS * config->layers + 2;
}

static ht_nn layers_of(ht_graph *graph, const ht_cogvideox_config *config, ht_weights *weights) {
    return (ht_nn){
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
}

static uint32_t width_of(const ht_cogvideox_config *c) {
    return c->heads * c->head_dim;
}

// prefix.linear of the embedded timesteps [R, E] -> [R, count, C]
static ht_value modulation(const ht_nn *nn, const char *prefix, ht_value embedded, uint32_t rows,
                           uint32_t count, uint32_t width) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.linear", prefix);
    ht_value all = ht_nn_linear(nn, name, embedded, count * width, NULL);
    return ht_nn_view(nn, all, (uint32_t[6]){rows, count, width});
}

// One behind another along axis 1, neighbours first, so that each is copied a few times only.
static ht_value join(const ht_nn *nn, ht_value *parts, uint32_t count) {
    for (; count > 1; count = (count + 1) / 2) {
        for (uint32_t i = 0; i < count; i += 2) {
            parts[i / 2] =
                i + 1 < count ? ht_op_concat(nn->graph, parts[i], parts[i + 1], 1) : parts[i];
        }
    }
    return parts[0];
}

ht_value ht_cogvideox_time(ht_graph *graph, const ht_cogvideox_config *config, ht_weights *weights,
                           ht_value timesteps) {
    const ht_nn nn = layers_of(graph, config, weights);
    const uint32_t width = width_of(config);
    const ht_tensor_desc desc = ht_graph_value_desc(graph, timesteps);
    const ht_timestep_embedding_args args = {.dim = width,
                                             .flip_sin_to_cos = config->cosine_first,
                                             .downscale_freq_shift = config->frequency_shift};
    ht_value parts[2 * HT_COGVIDEOX_MAX_LAYERS + 1];
    uint32_t count = 0;
    if (desc.rank != 1) {
        return (ht_value){0};
    }
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_SILU; // behind the second, too: nothing reads it without
    ht_value e = ht_op_timestep_embedding(graph, timesteps, &args);
    e = ht_nn_linear(&nn, "time_embedding.linear_1", e, config->time_channels, &rest);
    e = ht_nn_linear(&nn, "time_embedding.linear_2", e, config->time_channels, &rest);
    for (uint32_t i = 0; i < 2 * config->layers; ++i) {
        char prefix[HT_NAME_BYTES];
        ht_nn_name(prefix, "transformer_blocks.%u.norm%u", i / 2, 1 + i % 2);
        parts[count++] = modulation(&nn, prefix, e, desc.dims[0], NORM_ROWS, width);
    }
    parts[count++] = modulation(&nn, "norm_out", e, desc.dims[0], 2, width);
    return join(&nn, parts, count);
}

ht_value ht_cogvideox_text(ht_graph *graph, const ht_cogvideox_config *config, ht_weights *weights,
                           ht_value text) {
    const ht_nn nn = layers_of(graph, config, weights);
    return ht_nn_linear(&nn, "patch_embed.text_proj", text, width_of(config), NULL);
}

// Sines, then cosines, of `place` at `count` / 2 frequencies.
static void put_waves(double place, uint32_t count, float *out) {
    for (uint32_t k = 0; k < count / 2; ++k) {
        const double angle = place * pow(10000.0, -2.0 * k / count);
        out[k] = (float)sin(angle);
        out[count / 2 + k] = (float)cos(angle);
    }
}

// A quarter of the values is of the frame, then come those of the column, then those of the row.
void ht_cogvideox_positions(const ht_cogvideox_config *config, uint32_t frames, uint32_t rows,
                            uint32_t columns, float *space, float *time) {
    const uint32_t width = width_of(config), first = width / 4, across = (width - first) / 2;
    for (uint32_t i = 0; i < rows * columns; ++i) {
        float *out = space + (size_t)i * width;
        for (uint32_t k = 0; k < first; ++k) {
            out[k] = 0;
        }
        put_waves(i % columns / config->space_scale, across, out + first);
        put_waves(i / columns / config->space_scale, across, out + first + across);
    }
    for (uint32_t f = 0; f < frames; ++f) {
        float *out = time + (size_t)f * width;
        put_waves(f / config->time_scale, first, out);
        for (uint32_t k = first; k < width; ++k) {
            out[k] = 0;
        }
    }
}

void ht_cogvideox_turns(const ht_cogvideox_config *config, uint32_t text, uint32_t frames,
                        uint32_t rows, uint32_t columns, float *table) {
    const double usual_rows = config->sample_rows / config->patch;
    const double usual_columns = config->sample_columns / config->patch;
    // The grid keeps its proportions; rint rounds halves to even, as Python does.
    const bool tall = (double)rows / columns > usual_rows / usual_columns;
    const double high = tall ? usual_rows : rint(usual_columns / columns * rows);
    const double wide = tall ? rint(usual_rows / rows * columns) : usual_columns;
    const double top = rint((usual_rows - high) / 2), left = rint((usual_columns - wide) / 2);
    const double bottom = (top + high) * (rows - 1) / rows;
    const double right = (left + wide) * (columns - 1) / columns;
    const uint32_t across = config->head_dim / 8 * 3;
    const ht_rotary_axis axes[3] = {
        {0, 1, frames, config->head_dim - 2 * across},
        {top, rows > 1 ? (bottom - top) / (rows - 1) : 0, rows, across},
        {left, columns > 1 ? (right - left) / (columns - 1) : 0, columns, across}};
    for (size_t i = 0; i < (size_t)text * config->head_dim; ++i) {
        *table++ = i % 2 == 0 ? 1.0f : 0.0f;
    }
    ht_rotary_grid(axes, table);
}

// A constant [rows, C] of the graph, its values yet to be written; NULL after a failure.
static float *new_table(const ht_nn *nn, size_t values) {
    float *table = ht_alloc(ht_graph_context(nn->graph), values * sizeof(*table));
    if (!table) {
        ht_graph_fail(nn->graph, HT_ERR_NO_MEMORY);
    }
    return table;
}

// tokens [B * frames, rows * columns, C] and positions, at which the frames of all items repeat
static ht_value add_positions(const ht_nn *nn, const ht_cogvideox_config *c, ht_value tokens,
                              const ht_attention_grid *grid, uint32_t batch) {
    const uint32_t width = width_of(c), places = grid->height * grid->width, frames = grid->frames;
    float *space = new_table(nn, ((size_t)places + (size_t)batch * frames) * width);
    if (!space) {
        return (ht_value){0};
    }
    float *time = space + (size_t)places * width;
    for (uint32_t b = 0; b < batch; ++b) {
        ht_cogvideox_positions(c, frames, grid->height, grid->width, space,
                               time + (size_t)b * frames * width);
    }
    const ht_tensor_desc of_space = {
        .format = HT_FORMAT_F32, .rank = 2, .dims = {places, width}, .label = "positions"};
    const ht_tensor_desc of_time = {.format = HT_FORMAT_F32,
                                    .rank = 3,
                                    .dims = {batch * frames, 1, width},
                                    .label = "positions of frames"};
    tokens = ht_op_add(nn->graph, tokens, ht_graph_constant(nn->graph, &of_space, space));
    tokens = ht_op_add(nn->graph, tokens, ht_graph_constant(nn->graph, &of_time, time));
    ht_free(ht_graph_context(nn->graph), space);
    return tokens;
}

// latent [B, frames * H, W, in] -> tokens [B, frames * H/p * W/p, C]; sets the grid of the clip.
static ht_value embed_patches(const ht_nn *nn, const ht_cogvideox_config *c, ht_value latent,
                              const ht_tensor_desc *d, uint32_t frames, ht_attention_grid *grid) {
    const uint32_t p = c->patch, width = width_of(c);
    if (d->rank != 4 || frames == 0 || d->dims[1] % (frames * p) != 0 || d->dims[2] % p != 0) {
        ht_graph_fail(
            nn->graph,
            d->rank == 0 ? ht_graph_status(nn->graph)
                         : ht_fail(ht_graph_context(nn->graph), HT_ERR_INVALID,
                                   "cogvideox: %u frames, together a latent of %u x %u: sizes must "
                                   "be multiples of %u",
                                   frames, d->dims[1], d->dims[2], p));
        return (ht_value){0};
    }
    const uint32_t batch = d->dims[0], h = d->dims[1] / frames, w = d->dims[2];
    grid->frames = frames;
    grid->height = h / p;
    grid->width = w / p;
    const uint32_t places = grid->height * grid->width;
    ht_value x = ht_nn_view(nn, latent, (uint32_t[6]){batch * frames, h, w, c->in_channels});
    const ht_conv2d_args args = {.stride = p, .upsample = 1, .epilogue = HT_EPILOGUE_NONE};
    x = ht_nn_conv(nn, "patch_embed.proj", x, width, p, args);
    x = ht_nn_view(nn, x, (uint32_t[6]){batch * frames, places, width});
    if (!c->rotary) {
        x = add_positions(nn, c, x, grid, batch);
    }
    return ht_nn_view(nn, x, (uint32_t[6]){batch, frames * places, width});
}

// The table of turns of text and clip, or HT_NO_VALUE.
static ht_value turns_of(const ht_nn *nn, const ht_cogvideox_config *c,
                         const ht_attention_grid *grid) {
    const ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                                 .rank = 2,
                                 .dims = {ht_attention_grid_tokens(grid), c->head_dim},
                                 .label = "positions"};
    float *table = c->rotary ? new_table(nn, ht_desc_count(&desc)) : NULL;
    if (!table) {
        return HT_NO_VALUE;
    }
    ht_cogvideox_turns(c, grid->text, grid->frames, grid->height, grid->width, table);
    ht_value value = ht_graph_constant(nn->graph, &desc, table);
    ht_free(ht_graph_context(nn->graph), table);
    return value;
}

// Both streams behind prefix.norm; `first` is the norm's first modulation row.
static streams normalise(const ht_nn *nn, const ht_cogvideox_config *c, const char *prefix,
                         const streams *x, const ht_adaln *m, uint32_t first) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.norm", prefix);
    return (streams){
        .clip = ht_adaln_own_norm(nn, m, first, name, x->clip, c->eps),
        .text = ht_adaln_own_norm(nn, m, first + STREAM_ROWS, name, x->text, c->eps),
    };
}

// layer `name` of y, gated by row `gate` and added to x
static ht_value leave(const ht_nn *nn, const char *name, ht_value y, const ht_adaln *m,
                      uint32_t gate, ht_value x) {
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.gate = ht_adaln_row(nn, m, gate);
    rest.residual = x;
    return ht_nn_linear(nn, name, y, ht_nn_width(nn, x), &rest);
}

// prefix.to_<what> of x [B, T, C], each head normalised and turned to its place.
static ht_value project(const ht_nn *nn, const ht_cogvideox_config *c, const char *prefix,
                        const char *what, ht_value x, ht_value turns) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.to_%s", prefix, what);
    ht_value y = ht_nn_linear(nn, name, x, width_of(c), NULL);
    const ht_tensor_desc d = ht_graph_value_desc(nn->graph, y);
    if (d.rank != 3) {
        return (ht_value){0};
    }
    y = ht_nn_view(nn, y, (uint32_t[6]){d.dims[0], d.dims[1] * c->heads, c->head_dim});
    y = ht_nn_layer_norm(nn, ht_nn_name(name, "%s.norm_%s", prefix, what), y, QK_EPS);
    y = ht_nn_view(nn, y, d.dims);
    return turns.id == HT_NO_VALUE.id ? y : ht_op_rope(nn->graph, y, turns);
}

static void attend(const ht_nn *nn, const ht_cogvideox_config *c, const char *block,
                   const ht_attention_grid *grid, ht_value turns, const ht_adaln *m, uint32_t first,
                   streams *x) {
    char prefix[HT_NAME_BYTES], name[HT_NAME_BYTES];
    ht_graph *g = nn->graph;
    const uint32_t tokens = ht_attention_grid_tokens(grid);
    const streams n = normalise(nn, c, ht_nn_name(name, "%s.norm1", block), x, m, first);
    const ht_value both = ht_op_concat(g, n.text, n.clip, 1);
    ht_nn_name(prefix, "%s.attn1", block);
    ht_value q = project(nn, c, prefix, "q", both, turns);
    ht_value k = project(nn, c, prefix, "k", both, turns);
    ht_value v = ht_nn_linear(nn, ht_nn_name(name, "%s.to_v", prefix), both, width_of(c), NULL);
    ht_value mixed = ht_self_attention(g, nn->attention, prefix, grid, q, k, v, c->heads);
    ht_value of_text = ht_op_slice(g, mixed, 1, 0, grid->text);
    ht_value of_clip = ht_op_slice(g, mixed, 1, grid->text, tokens - grid->text);
    ht_nn_name(name, "%s.to_out.0", prefix);
    x->clip = leave(nn, name, of_clip, m, first + 2, x->clip);
    x->text = leave(nn, name, of_text, m, first + STREAM_ROWS + 2, x->text);
}

static ht_value feed(const ht_nn *nn, const ht_cogvideox_config *c, const char *block, ht_value n,
                     const ht_adaln *m, uint32_t gate, ht_value x) {
    char name[HT_NAME_BYTES];
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_GELU_TANH;
    ht_nn_name(name, "%s.ff.net.0.proj", block);
    ht_value inner = ht_nn_linear(nn, name, n, 4 * width_of(c), &rest);
    return leave(nn, ht_nn_name(name, "%s.ff.net.2", block), inner, m, gate, x);
}

static void feed_forward(const ht_nn *nn, const ht_cogvideox_config *c, const char *block,
                         const ht_adaln *m, uint32_t first, streams *x) {
    char name[HT_NAME_BYTES];
    const streams n = normalise(nn, c, ht_nn_name(name, "%s.norm2", block), x, m, first);
    x->clip = feed(nn, c, block, n.clip, m, first + 2, x->clip);
    x->text = feed(nn, c, block, n.text, m, first + STREAM_ROWS + 2, x->text);
}

ht_value ht_cogvideox_step(ht_graph *graph, const ht_cogvideox_config *config, ht_weights *weights,
                           const ht_cogvideox_inputs *in) {
    ht_nn nn = layers_of(graph, config, weights);
    nn.scales = in->scales;
    nn.attention = config->attention;
    const ht_tensor_desc latent = ht_graph_value_desc(graph, in->latent);
    const ht_tensor_desc text = ht_graph_value_desc(graph, in->text);
    ht_attention_grid grid = {.text = text.rank == 3 ? text.dims[1] : 0};
    streams x = {.clip = embed_patches(&nn, config, in->latent, &latent, in->frames, &grid),
                 .text = in->text};
    if (x.clip.id == 0 || grid.text == 0) {
        return (ht_value){0};
    }
    const ht_value turns = turns_of(&nn, config, &grid);
    const ht_adaln m = ht_adaln_pick(&nn, in->modulation, in->step);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char block[HT_NAME_BYTES], scope[HT_NAME_BYTES];
        ht_nn_name(block, "transformer_blocks.%u", i);
        ht_graph_scope(graph, ht_nn_name(scope, "block %u", i));
        attend(&nn, config, block, &grid, turns, &m, BLOCK_ROWS * i, &x);
        feed_forward(&nn, config, block, &m, BLOCK_ROWS * i + NORM_ROWS, &x);
    }
    ht_graph_scope(graph, "");
    ht_value y = ht_nn_layer_norm(&nn, "norm_final", x.clip, config->eps);
    y = ht_adaln_own_norm(&nn, &m, BLOCK_ROWS * config->layers, "norm_out.norm", y, config->eps);
    y = ht_nn_linear(&nn, "proj_out", y, config->patch * config->patch * config->out_channels,
                     NULL);
    return ht_nn_unpatchify(&nn, y, &latent, config->patch, config->out_channels,
                            HT_PATCH_CHANNEL_FIRST);
}
