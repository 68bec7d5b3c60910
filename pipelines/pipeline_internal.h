// Inside of a pipeline: its parts and the stages between prompt and picture.
#ifndef HT_PIPELINE_INTERNAL_H
#define HT_PIPELINE_INTERNAL_H

#include "guidance.h"
#include "pipeline.h"
#include "samplers/sampler.h"

#include "autoencoder_kl.h"
#include "pixart.h"
#include "t5.h"
#include "text/unigram.h"

// A network's files, open while it is needed.
typedef struct ht_part {
    const char *name; // folder
    char *path;
    char *file; // of the weights, when they are not in that folder
    ht_weights *weights;
    ht_format format;
} ht_part;

enum { PART_TEXT, PART_DENOISER, PART_VAE };

// Prompts as the denoiser needs them, kept while they do not change.
typedef struct ht_text_stage {
    char *prompt, *negative; // encoded now; NULL: nothing
    uint32_t batch;          // 2: [negative, positive]
    uint32_t tokens[2];      // in use, per batch item
    ht_tensor *ids, *mask;   // [B, T] of the encoder
    ht_tensor *embeds;       // [B, T, D]
    ht_graph *graph;
} ht_text_stage;

// Everything of the denoising loop, per shape.
typedef struct ht_denoise_stage {
    uint32_t batch, rows, height, width; // rows: timesteps; latent sizes
    ht_graph *time_graph, *context_graph, *step_graph;
    ht_tensor *timesteps, *resolution, *aspect, *modulation;
    ht_tensor *keys[HT_PIXART_MAX_LAYERS], *values[HT_PIXART_MAX_LAYERS];
    ht_tensor *mask; // [B, T] of the cross-attention
    ht_tensor *latent, *step, *prediction;
    float *host; // pixels of the batch, both ways
    bool context_ready;
} ht_denoise_stage;

// One VAE graph per tile shape.
enum { VAE_GRAPHS = 4 };
typedef struct ht_vae_graph {
    uint32_t height, width; // of the input
    bool encoder;
    ht_graph *graph;
    ht_tensor *in, *out;
} ht_vae_graph;

struct ht_pipeline {
    ht_context *context;
    ht_pipeline_options options;
    ht_pipeline_info info;
    ht_t5_config t5;
    ht_pixart_config dit;
    ht_vae_config vae;
    ht_sampler_config sampler;
    ht_tokenizer *tokenizer;
    ht_recipe *recipe; // or NULL
    char *cache;       // folder, or NULL
    bool own_recipe;   // the one that the packed checkpoint carries
    ht_part parts[HT_REPORT_PARTS];
    ht_text_stage text;
    ht_denoise_stage denoise;
    ht_vae_graph vae_graphs[VAE_GRAPHS];
    uint32_t next_vae_graph;
    ht_format activations, vae_activations;
};

// What a run carries along.
typedef struct ht_run {
    ht_pipeline *pipeline;
    const ht_generate_params *params;
    const ht_callbacks *callbacks;
    ht_report *report;
    ht_random random;
    ht_phase phase;
    double start, phase_start;
    uint32_t width, height; // pixels
    uint32_t latent_height, latent_width;
    size_t latent_count; // values of one latent
    uint32_t steps;
    float cfg_scale;
    float *latent; // [C, h, w]
} ht_run;

double ht_seconds(void);

// text_to_image.c: the parts of ht_pipeline_generate. sample leaves the clean latent in run->latent;
// end belongs to every begin.
void ht_run_begin(ht_run *run, ht_pipeline *p, const ht_generate_params *params,
                  const ht_callbacks *callbacks, ht_report *report);
ht_status ht_run_sample(ht_run *run);
void ht_run_end(ht_run *run);

// Enter a phase, or report a step of it. HT_ERR_CANCELLED when the callback says so.
ht_status ht_run_phase(ht_run *run, ht_phase phase, uint32_t steps);
ht_status ht_run_step(ht_run *run, uint32_t step, uint32_t steps, const ht_image *preview);

// parts.c: open a network's weights if they are not, with its table checked; release them.
ht_status ht_part_open(ht_pipeline *p, uint32_t part);
void ht_part_close(ht_pipeline *p, uint32_t part);
void ht_part_account(const ht_pipeline *p, uint32_t part, const ht_graph *graph, ht_report *report);
ht_status ht_stage_graph(ht_pipeline *p, const char *label, ht_format activations, ht_graph **out);
// Run it, or compare it with the CPU where that was asked for and `first` is set.
ht_status ht_stage_run(ht_pipeline *p, ht_graph *graph, bool first);
ht_status ht_stage_tensor(ht_pipeline *p, ht_format format, const uint32_t dims[HT_MAX_RANK],
                          const char *label, ht_tensor **out);

// weight_cache.c: replace *weights, opened from part->path, by their packed copy for p->recipe, which
// is made first when the cache has none. Without a cache, or when it cannot be written: unchanged.
ht_status ht_weight_cache_open(ht_pipeline *p, const ht_part *part, ht_weights **weights);

// text_stage.c: prompts -> p->text.
ht_status ht_text_encode(ht_run *run);
void ht_text_release(ht_pipeline *p);

// denoise_stage.c
ht_status ht_denoise_prepare(ht_run *run, const float *timesteps, uint32_t count);
// input [C, h, w] -> prediction [C, h, w], guided
ht_status ht_denoise_predict(ht_run *run, uint32_t step, const float *input, float *prediction);
void ht_denoise_release(ht_pipeline *p);

// vae_stage.c: latent [C, h, w] as the denoiser has it -> pixels [H, W, 3] in about -1..1.
ht_status ht_vae_stage_decode(ht_run *run, const float *latent, float *pixels);
// picture -> latent, drawn from its distribution
ht_status ht_vae_stage_encode(ht_run *run, const ht_image *picture, float *latent);
void ht_vae_stage_release(ht_pipeline *p);

// vae_tiles.c: the same by overlapping tiles. `z` [h, w, C] -> pixels; `picture` -> moments
ht_status ht_vae_tiled(ht_pipeline *p, bool encoder, const float *in, uint32_t height,
                       uint32_t width, float *out);
// One run of the VAE over [height, width, C_in] on the host.
ht_status ht_vae_whole(ht_pipeline *p, bool encoder, const float *in, uint32_t height,
                       uint32_t width, float *out);

#endif
