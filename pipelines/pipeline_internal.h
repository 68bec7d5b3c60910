// Inside of a pipeline: its parts and the stages between prompt and picture.
#ifndef HT_PIPELINE_INTERNAL_H
#define HT_PIPELINE_INTERNAL_H

#include "guidance.h"
#include "pipeline.h"
#include "samplers/sampler.h"

#include "autoencoder_cogvideox.h"
#include "autoencoder_wan.h"
#include "clip.h"
#include "clip_vision.h"
#include "cogvideox.h"
#include "controlnet.h"
#include "pixart.h"
#include "t5.h"
#include "text/clip_bpe.h"
#include "text/unigram.h"
#include "unet.h"
#include "wan.h"

// A network's files, open while it is needed.
typedef struct ht_part {
    const char *name; // folder
    char *path;
    char *file; // of the weights, when they are not in that folder
    ht_weights *weights;
    ht_format format;
} ht_part;

enum { PART_TEXT, PART_DENOISER, PART_VAE, PART_TEXT_2, PART_CONTROL, PART_PREVIEW, PART_IMAGE };
enum { HT_MAX_TEXT_LAYERS = 256, HT_MAX_TEXT_ENCODERS = 2, HT_TIME_EXTRAS = 2 };

// Vectors of textual inversion, of all files one after another.
typedef struct ht_embedding {
    char *token;
    uint32_t first, count; // rows
} ht_embedding;
typedef struct ht_embeddings {
    ht_embedding *items;
    uint32_t count, rows;
    float *values[HT_MAX_TEXT_ENCODERS]; // [rows, width]
} ht_embeddings;

// Prompts as the denoiser needs them, kept while they do not change.
typedef struct ht_text_stage {
    char *prompt, *negative; // encoded now; NULL: nothing
    uint32_t clip_skip;      // with which they were
    uint32_t batch;          // 2: [negative, positive]
    uint32_t length;         // T, rows per batch item
    uint32_t tokens[2];      // in use, per batch item
    ht_tensor *ids, *mask;   // [B, T] of the encoder
    ht_tensor *embeds;       // [B, T, D]
    ht_tensor *pooled;       // [B, P] of SDXL, or NULL
    ht_graph *graph;
} ht_text_stage;

// Everything of the denoising loop, per shape.
typedef struct ht_denoise_stage {
    // length: of the text; rows: timesteps; height: of all frames of a latent together
    uint32_t pictures, batch, length, rows, frames, height, width;
    ht_graph *time_graph, *context_graph, *step_graph;
    ht_tensor *timesteps, *extras[HT_TIME_EXTRAS], *table;
    // Of the text; behind them, of the layers that read it, those of the picture.
    ht_tensor *keys[HT_MAX_TEXT_LAYERS], *values[HT_MAX_TEXT_LAYERS];
    ht_tensor *mask; // [B, T] of the cross-attention, or NULL; B: all negatives, then all positives
    ht_tensor *latent, *step, *prediction;
    ht_tensor *group;  // of the step, in the table of attentions; NULL: there is one group
    ht_tensor *scales; // of the activations, this step, or NULL
    float *scale_row;  // on the host
    float *host;       // pixels of the batch, both ways
    bool context_ready;
} ht_denoise_stage;

// A ControlNet beside the denoiser; made and released with its stage, whose tensors it reads.
typedef struct ht_control_stage {
    float strength; // in the step's graph; 0: not in use
    ht_graph *hint_graph, *time_graph, *context_graph, *step_graph;
    ht_tensor *picture, *hint, *table;
    ht_tensor *keys[HT_MAX_TEXT_LAYERS], *values[HT_MAX_TEXT_LAYERS];
    ht_tensor *residuals[HT_CONTROLNET_MAX_RESIDUALS]; // what it adds, of this step
    uint32_t count;
    bool idle; // the residuals are zeros
} ht_control_stage;

// What the stages need to know of a denoiser.
typedef struct ht_denoiser_shape {
    uint32_t in_channels; // the latent's, and of inpainting those of mask and masked latent
    uint32_t out_channels;
    uint32_t sample_size;  // usual latent edge
    uint32_t sample_width; // 0: the same
    uint32_t frames;       // usual, of models that make clips; else 0
    double fps;
    uint32_t multiple;     // latent edges are multiples of it
    uint32_t token_area;   // latent positions per token
    uint32_t text_width;   // D
    uint32_t pooled_width; // P; 0: no pooled text
    uint32_t text_layers;  // that have keys and values of the text
    bool joint_text; // it goes through all layers itself: the keys of the only one, without values
    uint32_t image_layers; // that have those of the initial picture's tokens, too
    uint32_t image_width;  // of such a token
    uint32_t table[2];     // dims of a timestep's row of the table; the second may be 0
    bool masked;           // the text's padding is hidden
    bool wide_range;       // activations leave the range of f16
    bool frames_first;     // latents on the host, and so their noise, are [frames, C, h, w]
    bool table_per_item;   // each item of the batch has rows of its own
    bool embeds_guidance;  // the guidance scale is an input: no second prediction
} ht_denoiser_shape;

// Values of the graph that makes the table of all timesteps.
typedef struct ht_time_values {
    ht_value timesteps;              // [R]
    ht_value extras[HT_TIME_EXTRAS]; // as `extras` of the denoiser fills them; or HT_NO_VALUE
    ht_value pooled;                 // [B, P], or HT_NO_VALUE
} ht_time_values;

// Values of the step's graph.
typedef struct ht_step_values {
    ht_value latent; // [B, frames * h, w, in_channels]
    uint32_t frames;
    ht_value table, step;
    const ht_value *keys, *values;
    const ht_value *image_keys, *image_values; // or NULL
    ht_value mask;           // or HT_NO_VALUE
    const ht_value *control; // what a ControlNet adds, or NULL
    ht_static_scales scales;
} ht_step_values;

struct ht_pipeline;
struct ht_run;

// A kind of denoiser.
typedef struct ht_denoiser {
    // The configuration, from `folder` or, when that is NULL, already there.
    ht_status (*read)(struct ht_pipeline *p, const char *folder, const ht_weights *weights);
    bool folder_only; // models in one file are not read: `folder` is never NULL
    void (*shape)(const struct ht_pipeline *p, ht_denoiser_shape *shape);
    ht_status (*map)(const struct ht_pipeline *p, ht_weight_map *map);
    // Of a layer's keys and values. NULL: all are as wide as the rows of the table (table[1]).
    uint32_t (*layer_width)(const struct ht_pipeline *p, uint32_t layer);
    // Values that time depends on besides the timesteps: *count of `values`, [count] of extra
    // `index` for R rows; `values` may be NULL. 0: no such extra. NULL: there are none.
    size_t (*extras)(const struct ht_run *run, uint32_t index, uint32_t rows, float *values);
    ht_value (*time)(struct ht_pipeline *p, ht_graph *g, const ht_time_values *in);
    void (*context)(struct ht_pipeline *p, ht_graph *g, ht_value text, ht_value *keys,
                    ht_value *values);
    // The same of the picture's tokens [1, T, image_width]; NULL where no layer reads them.
    void (*image)(struct ht_pipeline *p, ht_graph *g, ht_value image, ht_value *keys,
                  ht_value *values);
    // Name of a layer that reads the text: `leaf` is to_k or to_v. NULL: no first token is kept apart.
    void (*text_layer)(const struct ht_pipeline *p, uint32_t layer, const char *leaf,
                       char name[HT_NAME_BYTES]);
    ht_value (*step)(struct ht_pipeline *p, ht_graph *g, const ht_step_values *in);
    uint64_t (*bytes)(const struct ht_pipeline *p, uint64_t height, uint64_t width); // of a step
} ht_denoiser;

// A kind of text encoding.
typedef struct ht_text_encoding {
    ht_status (*read)(struct ht_pipeline *p); // configurations
    // Tokenizers, and do they fit? `folder` is NULL when there is none.
    ht_status (*open)(struct ht_pipeline *p, const char *folder);
    void (*close)(struct ht_pipeline *p);
    ht_status (*map)(const struct ht_pipeline *p, uint32_t part, ht_weight_map *map);
    // texts[batch] -> p->text: length, tokens, embeds, pooled.
    ht_status (*encode)(struct ht_run *run, const char *const *texts, uint32_t batch);
} ht_text_encoding;

// A class of model_index.json and what we have for it.
typedef struct ht_component {
    const char *key;
    const char *classes[4];
} ht_component;

// What a pipeline class is made of.
typedef struct ht_family {
    const char *classes[10]; // of model_index.json
    ht_component components[8];
    ht_component picture; // that a model may have, or null in its place; or none
    const char *absent; // a key of model_index.json whose models cannot be run; or NULL
    const char *parts[HT_REPORT_PARTS]; // folders by PART_..; NULL: there is none
    const ht_text_encoding *text;
    const ht_denoiser *denoiser;
    uint32_t steps; // usual
    float cfg_scale;
} ht_family;
extern const ht_family *const ht_families[];             // ends with NULL
const ht_family *ht_family_find(const char *class_name); // or NULL
extern const ht_text_encoding ht_text_t5, ht_text_t5_padded, ht_text_umt5, ht_text_clip;
extern const ht_denoiser ht_denoiser_cogvideox, ht_denoiser_pixart, ht_denoiser_unet,
    ht_denoiser_wan;

// What a VAE's graph computes: a half, or a piece of it (autoencoder_kl.h).
typedef enum ht_vae_piece {
    VAE_WHOLE,
    VAE_GLOBAL,
    VAE_LOCAL,   // a tile, by the statistics of all
    VAE_MEASURE, // the statistics of a tile that is computed so
    VAE_FIRST    // the statistics of a tile that is computed by its own
} ht_vae_piece;
typedef struct ht_vae_work {
    ht_vae_piece piece;
    bool encoder;
    uint32_t height, width; // of the input
} ht_vae_work;

// The graphs last used: the whole, or both pieces.
enum { VAE_GRAPHS = 2 };
typedef struct ht_vae_graph {
    ht_vae_work work;
    ht_graph *graph;
    ht_tensor *in, *out;
    ht_tensor *statistics; // in, of VAE_LOCAL (with norms) and VAE_MEASURE; else NULL
} ht_vae_graph;

// Half of a video autoencoder at work: its graph for the first piece of clips, and for all others.
typedef struct ht_clip_stage {
    ht_vae_work work; // its size is that of the latents
    uint32_t begins;  // latent frames of the first piece
    ht_clip_memory memory;
    ht_vae_graph pieces[2];
} ht_clip_stage;

// The image encoder, and what it made of the picture that a clip begins with.
typedef struct ht_picture_stage {
    ht_graph *graph;
    ht_tensor *pixels; // [1, edge, edge, 3]
    ht_tensor *tokens; // [1, T, image_width]
} ht_picture_stage;

// An autoencoder at work.
typedef struct ht_vae_stage {
    uint32_t part; // PART_VAE or PART_PREVIEW
    ht_vae_config config;
    ht_format activations;
    ht_vae_graph graphs[VAE_GRAPHS];
    uint32_t next_graph;
    ht_clip_stage clip;
} ht_vae_stage;

struct ht_pipeline {
    ht_context *context;
    ht_pipeline_options options;
    ht_pipeline_info info;
    const ht_family *family;
    ht_denoiser_shape shape;
    ht_t5_config t5;
    ht_clip_config clip[HT_MAX_TEXT_ENCODERS];
    ht_pixart_config dit;
    ht_wan_config wan;
    ht_cogvideox_config cogvideox;
    ht_clip_vision_config vision; // when parts[PART_IMAGE] has a name
    ht_picture_stage picture;
    ht_unet_config unet;
    ht_unet_plan *unet_plan;
    ht_vae_stage vae, preview; // the latter when parts[PART_PREVIEW] has a name
    ht_sampler_config sampler;
    ht_tokenizer *tokenizer;
    ht_clip_tokenizer *clip_tokenizers[HT_MAX_TEXT_ENCODERS];
    const char *clip_pad[HT_MAX_TEXT_ENCODERS]; // entry that fills rows; NULL: the tokenizer's own
    int prediction;                             // ht_prediction that was asked for, or -1
    uint32_t single_steps;                      // usual of a model in one file; 0: its family's
    bool zero_negative;                         // an empty negative prompt is zeros, not a text
    ht_recipe *recipe, *vae_recipe;             // or NULL
    ht_lora *lora;                              // or NULL
    ht_lora_file *lora_files;                   // what it was made of; paths are own copies
    uint32_t n_lora_files;
    ht_scale_table *scales;         // that the packed checkpoint carries, or NULL
    ht_attention_table *attentions; // that the checkpoint carries, or NULL
    ht_attention_choice attention;
    char *cache;     // folder, or NULL
    bool own_recipe; // the one that the packed checkpoint carries
    ht_part parts[HT_REPORT_PARTS];
    ht_embeddings embeddings;
    ht_text_stage text;
    ht_denoise_stage denoise;
    ht_controlnet_config controlnet;
    ht_unet_plan *control_plan;
    ht_control_stage control;
    ht_format activations; // of the denoiser
};

// Of a run that repaints under a mask, or a clip whose first frame is kept.
typedef struct ht_inpaint {
    float *beside; // [1 + C, h, w]: the mask, 1 where it is repainted; latent of what is kept
    float *clean;  // [C, h, w], the picture's latent; NULL: nothing is kept
    float *noise;  // [C, h, w]
    float *pixels; // [H, W, 3]
    ht_image picture, mask; // of the run's size
} ht_inpaint;

// One picture of a run.
typedef struct ht_item {
    uint64_t seed;
    ht_random random;
    ht_sampler *sampler; // of the pass that runs
    float *latent;       // [C, h, w]
    ht_inpaint inpaint;
} ht_item;

// What a run carries along.
typedef struct ht_run {
    ht_pipeline *pipeline;
    const ht_generate_params *params;
    const ht_callbacks *callbacks;
    ht_report *report;
    ht_item items[HT_MAX_BATCH];
    uint32_t count; // of items
    ht_phase phase;
    double start, phase_start;
    uint32_t width, height; // pixels
    uint32_t frames;        // 1: a picture
    uint32_t latent_frames, latent_height, latent_width;
    size_t latent_count;   // values of one latent
    uint32_t steps, first; // of the pass's schedule; where it is entered
    float cfg_scale;
    bool guided;            // two predictions per step
    bool enlarged;          // in the second pass: it starts from the latents that are there
    const float *timesteps; // of the sampler, while it denoises
    float *latents;         // [count, C, h, w], those of the items
    float *condition;       // beside each latent: mask, then latent of the picture; or NULL
    float *work;            // [2 count + 1, C, h, w]
} ht_run;

// Family, configurations and schedule of a model in one file (single_file.c).
ht_status ht_single_file_read(ht_pipeline *p, const char *path);
// Tokenizer of such a model, for the text encoder `index`.
ht_status ht_single_file_tokenizer(ht_pipeline *p, uint32_t index);

double ht_seconds(void);
// "folder/name" in memory of the context, or NULL.
char *ht_path_join(ht_context *context, const char *folder, const char *name);

// text_to_image.c: the parts of ht_pipeline_generate. sample leaves the clean latents in the items;
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

// What its checkpoint must hold; to be cleared.
ht_status ht_part_map(const ht_pipeline *p, uint32_t part, ht_weight_map *map);

// first_token.c: where the checkpoint has them, keys and values of the first token in their places.
ht_status ht_first_token_put(ht_pipeline *p);

// lora_stage.c: forget all LoRAs. Bytes of those of a part.
void ht_lora_stage_release(ht_pipeline *p);
uint64_t ht_lora_stage_bytes(const ht_pipeline *p, uint32_t part);

// weight_cache.c: replace *weights, opened from part->path, by their packed copy for p->recipe, which
// is made first when the cache has none. Without a cache, or when it cannot be written: unchanged.
ht_status ht_weight_cache_open(ht_pipeline *p, const ht_part *part, ht_weights **weights);

// embeddings.c: read the files of the options; the text encoding is open.
ht_status ht_embeddings_open(ht_pipeline *p);
void ht_embeddings_close(ht_pipeline *p);
// The first word of the text that stands for an embedding; *begin and *end in the text. NULL: none.
const ht_embedding *ht_embeddings_find(const ht_pipeline *p, const char *text, size_t *begin,
                                       size_t *end);

// text_stage.c: prompts -> p->text.
ht_status ht_text_encode(ht_run *run);
void ht_text_release(ht_pipeline *p);
// For text_t5.c and text_clip.c: the stage's tensors and graph for another length are made anew.
ht_status ht_text_resize(ht_pipeline *p, uint32_t batch, uint32_t length);
void ht_text_destroy_graph(ht_text_stage *s);
ht_status ht_text_report_cut(ht_run *run, const char *left_out, size_t count, size_t room);

// hires.c: the second pass's size; does it fit the rest?
ht_status ht_hires_check(ht_run *run, uint32_t *width, uint32_t *height);
// The items' latents, enlarged to this size, which becomes the run's.
ht_status ht_hires_enlarge(ht_run *run, uint32_t width, uint32_t height);

// text_to_image.c: latents and work for the run's size; those there were are released.
ht_status ht_run_resize(ht_run *run, uint32_t width, uint32_t height);
ht_status ht_run_decode(ht_run *run, ht_vae_stage *vae, const float *latent, ht_image *image);

// inpaint.c: does the mask fit picture and model?
ht_status ht_inpaint_check(ht_run *run);
// Encode picture and mask, and put into the item's latent what step `first` starts from.
ht_status ht_inpaint_start(ht_run *run, ht_item *item, uint32_t first);
// Before step `next`: around the mask the picture, noised to that level. `work` holds a latent.
void ht_inpaint_step(ht_run *run, ht_item *item, uint32_t next, float *work);
// Around the mask the picture as it was.
void ht_inpaint_paste(ht_run *run, ht_item *item, ht_image *image);
void ht_inpaint_clear(ht_run *run, ht_item *item);

// denoise_stage.c
ht_status ht_denoise_prepare(ht_run *run, const float *timesteps, uint32_t count);
// inputs [count, C, h, w] -> predictions [count, C, h, w], guided
ht_status ht_denoise_predict(ht_run *run, uint32_t step, const float *inputs, float *predictions);
// Items [B, ..] of a value, each for every picture of the batch: [B * pictures, ..].
ht_value ht_denoise_spread(ht_pipeline *p, ht_graph *g, ht_value items);
void ht_denoise_release(ht_pipeline *p);

// control_stage.c: configuration of the ControlNet, when there is one, and does it fit?
ht_status ht_control_read(ht_pipeline *p);
// Can the run be controlled as it asks to be?
ht_status ht_control_check(ht_run *run);
// Is the stage as this run needs it, or must denoiser and ControlNet be built anew?
bool ht_control_same(const ht_run *run);
// Picture, timesteps and text for this run, behind those of the denoiser; the text when it is new.
ht_status ht_control_prepare(ht_run *run, bool new_text);
// What the ControlNet adds at this step; the denoiser's latent and step are written.
ht_status ht_control_run(ht_run *run, uint32_t step);
void ht_control_release(ht_pipeline *p);

// denoise_stage.c: where channel `channel` of frame `frame` is in a latent of the run.
size_t ht_latent_plane(const ht_run *run, uint32_t channel, uint32_t frame);
// Width of the keys and values of a layer.
uint32_t ht_denoise_layer_width(const ht_pipeline *p, uint32_t layer);
// Values of the tensors of `layers` of the text, and back into a graph as inputs.
void ht_denoise_inputs(ht_graph *g, ht_tensor *const *tensors, uint32_t count, ht_value *values);

// vae_open.c: configurations of the VAE and of that of previews. A model in one file (`folder` NULL)
// has that of its own already.
ht_status ht_vae_open(ht_pipeline *p, const char *folder);

// vae_stage.c: would one run of that many latents fit beside what is on the device already?
bool ht_vae_fits(const ht_pipeline *p, const ht_vae_stage *stage, uint32_t height, uint32_t width);
// Latent [C, h, w] as the denoiser has it -> pixels [H, W, 3] in about -1..1.
ht_status ht_vae_stage_decode(ht_run *run, ht_vae_stage *stage, const float *latent, float *pixels);
// pixels [H, W, 3] in -1..1 -> latent, drawn from its distribution
ht_status ht_vae_stage_encode(ht_run *run, ht_random *random, const float *pixels, float *latent);
// Can the VAE encode pictures?
ht_status ht_vae_stage_check(ht_pipeline *p);

// clip.c: latent [C, frames, h, w] (or frames first, as the model has it) -> the frames as pictures, which are the caller's to clear on
// success. `count` of them: all, or 1 for the first alone.
ht_status ht_clip_decode(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                         ht_image *images);
// The latent as [C, frames, h, w], in run->work.
const float *ht_clip_channels_first(ht_run *run, const float *latent);
// One frame of a clip that is being made: of a tiny VAE the one in the middle, else the first.
ht_status ht_clip_preview(ht_run *run, ht_vae_stage *stage, const float *latent, ht_image *image);
void ht_clip_release(ht_clip_stage *clip);
// clip_pieces.c: latent frames of the next piece of a clip that has `all` of them, `done` of which went
// through; and frames that a piece of so many stands for.
uint32_t ht_clip_piece_latents(const ht_vae_config *vae, uint32_t all, uint32_t done);
uint32_t ht_clip_piece_frames(uint32_t latent_frames, bool first);
// Prepare half a VAE, or a piece of that (VAE_WHOLE, VAE_GLOBAL, VAE_LOCAL), for a clip, whose latents have
// work->height x work->width places and whose first piece has `begins` of them; then piece after piece of n latent frames: [n, h, w, C] -> frames
// [.., H, W, 3], or with work->encoder frames -> [n, h, w, 2 C]; between the pieces of a VAE features.
// `clip` is zeroed before its first use.
ht_status ht_clip_restart(ht_clip_stage *clip, const ht_vae_work *work, uint32_t begins);
ht_status ht_clip_run_piece(ht_run *run, ht_vae_stage *stage, ht_clip_stage *clip, bool first,
                            const float *in, float *out);
// clip_tiles.c: would half a VAE fit in one run? And a clip by overlapping tiles. pieces
// [latent_frames]: what goes into each latent frame; `out` gets all frames, or moments.
bool ht_clip_fits(const ht_run *run, const ht_vae_stage *stage);
bool ht_clip_can_tile(const ht_run *run, const ht_vae_stage *stage);
ht_status ht_clip_tiled(ht_run *run, ht_vae_stage *stage, bool encoder, const float *const *pieces,
                        uint32_t latent_frames, float *out);
// clip_picture.c: the image encoder's configuration, when there is one, and does it fit?
ht_status ht_clip_picture_read(ht_pipeline *p, const char *folder);
// Are clips of this model made from a picture?
bool ht_clip_needs_picture(const ht_pipeline *p);
// The initial picture as the model takes it, run->condition and the picture's tokens; or, where it takes
// none, put into the items' latents, which hold noise.
ht_status ht_clip_picture_start(ht_run *run);
void ht_clip_picture_release(ht_pipeline *p);
// Frames of a clip by the rule, from what was asked for; latent frames of a clip; and is the run what
// a video model can do?
uint32_t ht_clip_frames(const ht_pipeline *p, uint32_t asked);
uint32_t ht_clip_latent_frames(uint32_t frames);
ht_status ht_clip_check(ht_run *run);

// vae_tiles.c: the whole by overlapping tiles. `z` [h, w, C] -> pixels; `picture` -> moments
ht_status ht_vae_tiled(ht_pipeline *p, ht_vae_stage *s, bool encoder, const float *in,
                       uint32_t height, uint32_t width, float *out);
// vae_graph.c: one run over [height, width, C_in] on the host. `statistics` [groups, 2] are read by
// VAE_LOCAL with norms and VAE_MEASURE; the measuring ones write them to `out`.
ht_status ht_vae_run(ht_pipeline *p, ht_vae_stage *s, const ht_vae_work *work, const float *in,
                     const float *statistics, float *out);
// The graph and tensors of what graph->work says, planned; after a failure too ht_vae_graph_clear.
ht_status ht_vae_graph_build(ht_pipeline *p, const ht_vae_stage *stage, ht_vae_graph *graph);
void ht_vae_stage_release(ht_vae_stage *stage);
void ht_vae_graph_clear(ht_vae_graph *graph);
uint32_t ht_vae_channels_in(const ht_vae_config *vae, const ht_vae_work *work);
uint32_t ht_vae_channels_out(const ht_vae_config *vae, const ht_vae_work *work);
// Channels that its encoder gives: mean and variance, or of a tiny one the latent.
uint32_t ht_vae_moments(const ht_vae_config *config);

#endif
