// Text to picture: a model in the diffusers layout or in one file, opened once, for any number of
// pictures.
#ifndef HALFTONE_PIPELINES_PIPELINE_H
#define HALFTONE_PIPELINES_PIPELINE_H

#include "image.h"

#include <halftone/calibrate.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_pipeline ht_pipeline;

struct ht_progress;

// Vectors of textual inversion, and the word of prompts that stands for them.
typedef struct ht_embedding_file {
    const char *path;
    const char *token; // NULL: as the file says, else its name without the ending
} ht_embedding_file;

// A layer of the denoiser while it runs, and where in the run; HT_OK goes on.
typedef ht_status (*ht_observe_fn)(void *user, const ht_layer_run *run,
                                   const ht_stats_place *place);

// The same of an attention of the denoiser.
typedef ht_status (*ht_observe_attention_fn)(void *user, const ht_attention_run *run,
                                             const ht_stats_place *place);

typedef struct ht_pipeline_options {
    ht_format weights;     // of matrices and convolutions on the device; NONE: f16
    ht_format activations; // of denoiser and VAE; NONE: what is safe and fast
    const char *recipe;    // path of a recipe for the denoiser's layers; NULL: the one that a
                           // packed checkpoint carries, else float
    const char *denoiser;  // file of its weights; NULL: in the model's folder
    // How the denoiser's self-attentions are computed: "dense" (or NULL), "sage8" or "sage" and
    // "sage4" by integer codes, "paro" and "paro:<density>" of the blocks that calibration found to
    // matter, "auto". docs/attention.md.
    const char *attention;
    const char *control;   // folder or file of a ControlNet; NULL: the model's own, if any
    // Folder or file of another autoencoder, AutoencoderKL or a tiny one; "tiny": the one in
    // vae_tiny/ beside the model's parts or file; NULL: the model's.
    const char *vae;
    const char *vae_recipe;  // path of a recipe for the convolutions of a VAE of clips; NULL: float
    const char *preview_vae; // a tiny one for previews; NULL: in vae_tiny/ when there, else the VAE
    const ht_embedding_file *embeddings; // [n_embeddings], or NULL
    size_t n_embeddings;
    // A model in one file has neither configurations nor a tokenizer.
    const char *config;            // folder of a model to take them from; NULL: found by the shapes
    const char *const *tokenizers; // folders to look in for the vocabulary, ends with NULL; or NULL
    const char *tokenizer;         // folder of a vocabulary, of any model; NULL: the model's own
    const char *prediction;        // "epsilon", "v" or "sample"; NULL: as the model says
    const char *cache;             // folder for weights packed on loading; NULL: packed each time
    uint64_t cache_bytes;          // the oldest are removed beyond this
    bool keep_loaded;          // keep every part between pictures instead of freeing it after use
    bool profile;              // per-node timings, logged at debug level by kind
    uint64_t max_device_bytes; // limit given to the context, for planning; 0: the device's
    uint64_t weights_budget;   // device bytes for a denoiser of residual stacks; 0: all its blocks
    ht_node_check_fn check;    // compare each graph's first run with the CPU, node by node
    void *check_user;
    ht_observe_fn observe; // see every layer of the denoiser in every step; slow. May be NULL
    bool observe_results;  // with what the layers make
    ht_observe_attention_fn observe_attention; // instead of the layers the attentions. May be NULL
    void *observe_user;
    // While weights are packed on opening (phase LOAD); false cancels. May be NULL.
    bool (*progress)(void *user, const struct ht_progress *progress);
    void *progress_user;
} ht_pipeline_options;

enum {
    HT_MAX_STEPS = 1000,
    HT_MAX_EDGE = 16384,
    HT_MAX_MASK_BLUR = 256,
    HT_MAX_BATCH = 16,
    HT_MAX_FRAMES = 1025,
};

// How the second pass gets its larger start: from the latent, or from the decoded picture.
typedef enum ht_upscaler {
    HT_UPSCALE_LATENT, // bilinear
    HT_UPSCALE_LATENT_NEAREST,
    HT_UPSCALE_LANCZOS,
    HT_UPSCALE_BICUBIC,
    HT_UPSCALERS,
} ht_upscaler;
// Names for --hires-upscaler, and as A1111 writes them.
HT_API const char *ht_upscaler_name(ht_upscaler upscaler);
HT_API const char *ht_upscaler_label(ht_upscaler upscaler);
// By either, whatever the case. False when there is none of that name.
HT_API bool ht_upscaler_find(const char *name, ht_upscaler *out);

// A second pass over the enlarged picture, which networks draw better than a large one at once.
typedef struct ht_hires {
    float scale;            // 0: as width and height say
    uint32_t width, height; // with scale 0; 0: as the other edge and the first size say; both 0: none
    uint32_t steps;         // of the second pass's schedule; 0: as many as the first's
    float strength;         // of the change, 0..1
    ht_upscaler upscaler;
} ht_hires;

// What a model is and what it likes.
typedef struct ht_pipeline_info {
    char class_name[64];
    char description[512];  // "" when the model says nothing
    uint32_t width, height; // defaults
    uint32_t steps;
    float cfg_scale;
    uint32_t grid; // sizes are multiples of this
    uint32_t frames; // usual, of a model that makes clips; else 0
    double fps;      // that these are meant for
    uint32_t max_tokens;
    char sampler[32], schedule[32];
    uint64_t file_bytes;
    // What it can take.
    bool takes_pictures;  // an initial picture, a mask, a second pass
    bool begins_with_picture; // an initial picture alone, as the first frame of a clip
    bool needs_picture;       // without which it makes none
    bool takes_loras;
    bool takes_control;   // a ControlNet; else its steps have no place for one
    bool has_control;     // one of its own
    bool has_attention_table; // for attention "paro"
} ht_pipeline_info;

typedef struct ht_generate_params {
    const char *prompt;          // UTF-8
    const char *negative_prompt; // NULL: ""
    uint32_t width, height;      // 0: the model's
    uint32_t steps;              // 0: the model's
    float cfg_scale;             // negative: the model's; at most 1: no guidance
    uint64_t seed;
    uint32_t batch; // pictures at once, of seed, seed + 1, ..; 0: one
    uint32_t frames; // of a clip, of a model that makes such; 0: one picture
    ht_hires hires;
    float cfg_rescale;                // share of the guided prediction that gets the deviation of
                                      // the unguided one, 0..1 (Lin et al. 2023)
    const char *sampler, *schedule;   // NULL: the model's
    const float *eta;                 // share of fresh noise, 0..1 (ddim, tcd); NULL: the model's
    const ht_image *init;             // start from this picture; any size
    float strength;                   // of the change, 0..1, with init
    const ht_image *mask;             // with init and as large: white is repainted, black kept
    uint32_t mask_blur;               // pixels at the mask's edge over which old and new fade
    bool no_paste;                    // leave what is kept as the VAE gives it, not as it was
    const ht_image *control;          // what the ControlNet reads; any size
    float control_strength;           // factor on what it adds
    float control_start, control_end; // fractions of the steps between which it is used
    bool strict;                      // a prompt that is too long is an error, not a warning
    uint32_t clip_skip;     // layers of a CLIP encoder left out at the end; 0: the model's
    uint32_t preview_every; // steps between previews; 0: none
    bool latent_only;       // end with the clean latent: no picture is made
} ht_generate_params;
#define HT_GENERATE_DEFAULTS                                                                       \
    ((ht_generate_params){.cfg_scale = -1.0f,                                                      \
                          .strength = 0.75f,                                                       \
                          .mask_blur = 4,                                                          \
                          .hires = {.strength = 0.5f},                                             \
                          .control_strength = 1,                                                   \
                          .control_end = 1})

typedef enum ht_phase {
    HT_PHASE_LOAD,
    HT_PHASE_TEXT,
    HT_PHASE_PICTURE, // encoding the initial picture
    HT_PHASE_SAMPLE,
    HT_PHASE_DECODE,
    HT_PHASES,
} ht_phase;
HT_API const char *ht_phase_name(ht_phase phase);

typedef struct ht_progress {
    ht_phase phase;
    uint32_t step, steps;    // done and to do; steps is 0 in phases without
    double seconds;          // of this phase so far
    const ht_image *preview; // of the step just done, when one was asked for; a batch's first
} ht_progress;

// Called at the start of each phase and after each step; false cancels (HT_ERR_CANCELLED).
typedef struct ht_callbacks {
    bool (*progress)(void *user, const ht_progress *progress);
    void *user;
    // Each clean latent before it is decoded, dims [channels, height, width], of a clip [channels,
    // frames * height, width]; valid during the call.
    void (*latent)(void *user, const float *values, const uint32_t dims[3]); // may be NULL
} ht_callbacks;

enum { HT_REPORT_FORMATS = 32 };
typedef struct ht_format_bytes {
    ht_format format;
    uint64_t bytes;
} ht_format_bytes;

// One network's share of a run.
typedef struct ht_part_report {
    char name[32];
    uint64_t device_bytes, imported_bytes;      // weights; the second without a copy
    uint64_t float_bytes;                       // what they would take without a recipe
    ht_format_bytes formats[HT_REPORT_FORMATS]; // of the weights on the device
    uint32_t n_formats;
    uint64_t lora_bytes;       // of the low-rank branches beside the weights
    uint64_t activation_bytes; // planned, of its largest graph
    uint32_t dispatches;       // of one run
} ht_part_report;

// Text encoder, denoiser, vae, second text encoder, ControlNet, VAE of previews, image encoder; "":
// not there.
enum { HT_REPORT_PARTS = 7 };

typedef struct ht_report {
    double phase_seconds[HT_PHASES];
    double total_seconds;
    uint32_t schedule_steps; // asked for
    uint32_t steps;          // evaluations run: with some samplers two a step, with an initial
                             // picture fewer than asked for
    double step_seconds[HT_MAX_STEPS];
    uint32_t width, height;
    uint32_t first_width, first_height, first_steps; // of the first pass, when there are two, else 0
    uint32_t batch;                                  // pictures that the times are of
    uint32_t frames;                                 // of each; 1: a picture
    float cfg_scale;
    uint32_t prompt_tokens;
    char sampler[32], sampler_label[32], schedule[32];
    bool tiled;
    char recipe[64];             // of the denoiser; "" without
    uint64_t planned_peak_bytes; // of this picture: what shapes and formats ask for
    uint64_t peak_device_bytes;  // what the device had allocated at its highest
    ht_part_report parts[HT_REPORT_PARTS];
} ht_report;

// Does a prompt use this word, with whatever case, as the name of an embedding?
HT_API bool ht_prompt_has_word(const char *prompt, const char *word);

// A file of LoRA (see models/common/lora.h), or a folder with one, and how much of it is added; any
// numbers.
typedef struct ht_lora_file {
    const char *path;
    float scale;      // in the denoiser
    float text_scale; // in text encoders
} ht_lora_file;

// Read and check everything but the weights' values. `path` is a folder in the diffusers layout or a
// model in one file. A context without a device (host_only) is enough to see what a model is; sizes
// and pictures are then refused (HT_ERR_INVALID).
HT_API ht_status ht_pipeline_open(ht_context *context, const char *path,
                                  const ht_pipeline_options *options, ht_pipeline **out);
HT_API void ht_pipeline_destroy(ht_pipeline **pipeline);
HT_API const ht_pipeline_info *ht_pipeline_get_info(const ht_pipeline *pipeline);

// Use these LoRAs, and no others, from the next picture on; what they change is built anew, weights
// stay as they are. After a failure there are none.
HT_API ht_status ht_pipeline_set_loras(ht_pipeline *pipeline, const ht_lora_file *files,
                                       uint32_t count);

// Width and height as they would be used: 0 replaced, rounded down to the grid. Refuses sizes that
// cannot work, with the memory they would need.
HT_API ht_status ht_pipeline_size(ht_pipeline *pipeline, uint32_t *width, uint32_t *height);

// Frames as they would be used: rounded down to the model's rule (4k + 1), with a notice. 0 and 1 are
// a picture; more are refused by models that make none.
HT_API ht_status ht_pipeline_frames(ht_pipeline *pipeline, uint32_t *frames);

// One picture, or params->batch of them: `images` has as many elements, times the frames of a clip
// (as ht_pipeline_frames gives them), which follow one another. On success they are the
// caller's to clear, and *report (may be NULL) is filled.
HT_API ht_status ht_pipeline_generate(ht_pipeline *pipeline, const ht_generate_params *params,
                                      const ht_callbacks *callbacks, ht_image *images,
                                      ht_report *report);

#ifdef __cplusplus
}
#endif
#endif
