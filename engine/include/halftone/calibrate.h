// Statistics of what layers read, over prompts and steps, and what is derived from them: ranges for
// static activation scales, Gram matrices and sample rows for better rounding of weights. The file
// is safetensors (docs/calibration.md), so that anything can read it.
#ifndef HALFTONE_CALIBRATE_H
#define HALFTONE_CALIBRATE_H

#include <halftone/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HT_HISTOGRAM_BINS = 2048 };

// The graph that a layer belongs to. Those of time and text run once per picture: one step.
typedef enum ht_stats_stage { HT_STATS_TIME, HT_STATS_TEXT, HT_STATS_STEP } ht_stats_stage;

typedef struct ht_stats_desc {
    // Free text kept with the statistics: how they were collected, as a JSON object. A file is only
    // gone on with under the same conditions.
    const char *conditions;
    uint32_t rows; // sample rows kept of each input
    bool gram;
    // Widest Gram matrix of whole rows. A convolution beyond it gets that of its pixels, and what is
    // still wider the diagonal blocks of the largest divisor within it.
    uint32_t gram_width;
    uint32_t gram_rows; // rows of an input that enter per run: all, or so many drawn at random
} ht_stats_desc;
#define HT_STATS_DEFAULTS ((ht_stats_desc){.rows = 128, .gram_width = 1536, .gram_rows = 256})

// Values of one input at one step.
typedef struct ht_step_range {
    double count, least, most, sum, squares;
    double bin; // width of a histogram's bin
} ht_step_range;

// What is known of one input; several layers may read it. Columns of a convolution's row are those
// of its packed weight: tap by tap (row of the kernel, then column), channels last.
typedef struct ht_input_stats {
    const char *name; // of the first layer that reads it
    ht_stats_stage stage;
    uint32_t width;              // K, channels
    uint32_t kernel_h, kernel_w; // 1, 1 of a linear layer
    uint32_t columns;            // width * kernel_h * kernel_w
    uint32_t steps;
    ht_step_range *ranges;       // [steps]
    double *histograms;          // [steps][HT_HISTOGRAM_BINS] of |x|: counts
    float *channel_max;          // [steps][width], of |x|
    // Sum of x x^T over gram_rows rows, all steps alike: [gram_blocks][gram_block][gram_block], along
    // the columns or, with gram_pixels, along the channels of single pixels. NULL: not collected.
    float *gram;
    uint32_t gram_block, gram_blocks;
    bool gram_pixels;
    double gram_rows;
    float *rows;         // [n_rows][columns] samples, as half floats have them
    uint32_t *row_steps; // [n_rows]
    uint32_t n_rows;     // a multiple of steps; fewer are filled while few were seen: zeros
    // Of HT_STATS_TEXT: by position in the text, [tokens]; 0 elsewhere.
    uint32_t tokens;
    double *token_max;   // largest |x|
    double *token_sum;   // sum of the largest |x| of each text, over token_texts
    double token_texts;
    float *first_token;  // [width], of the first text
    double first_spread; // largest |difference| of a text's first token from it
} ht_input_stats;

typedef struct ht_stats ht_stats;

HT_API ht_status ht_stats_create(ht_context *context, const ht_stats_desc *desc, ht_stats **out);
// The whole file, to be read or gone on with.
HT_API ht_status ht_stats_open(ht_context *context, const char *path, ht_stats **out);
HT_API void ht_stats_destroy(ht_stats **stats);

// Where a layer stands in the run of a pipeline.
typedef struct ht_stats_place {
    ht_stats_stage stage;
    uint32_t step, steps; // of this stage
    float timestep;       // of the step, as the denoiser gets it
    uint32_t frames, height, width; // of the latent, in the steps of the denoiser
    // Rows of each item of the batch that count, the others being padding; NULL: all.
    const uint32_t *tokens;
} ht_stats_place;
// Count in what a layer read. Values that are not numbers are refused with the layer's name.
HT_API ht_status ht_stats_add(ht_stats *stats, const ht_layer_run *run,
                              const ht_stats_place *place);
// The prompt is done.
HT_API void ht_stats_end_prompt(ht_stats *stats);
HT_API uint32_t ht_stats_prompts(const ht_stats *stats);
HT_API const char *ht_stats_conditions(const ht_stats *stats);
// Timesteps of the steps, [*count].
HT_API const float *ht_stats_timesteps(const ht_stats *stats, uint32_t *count);

// Replaces the file only when all of it is on the disk.
HT_API ht_status ht_stats_save(const ht_stats *stats, const char *path);

HT_API uint32_t ht_stats_count(const ht_stats *stats); // inputs
HT_API const ht_input_stats *ht_stats_get(const ht_stats *stats, uint32_t index);
// Of the input of a layer (name of its weight without ".weight"), or NULL.
HT_API const ht_input_stats *ht_stats_find(const ht_stats *stats, const char *layer);
// Layers one by one, with their input; false past the last.
HT_API bool ht_stats_layer(const ht_stats *stats, uint32_t index, const char **layer,
                           const ht_input_stats **input);

// ---- what follows from a histogram of |x|; `bin` is a bin's width

// Smallest bound of a bin that at least `share` (0..1) of the values do not exceed; 0 of none.
HT_API double ht_clip_percentile(const double *histogram, double bin, double share);
// Scale of a packed format with one scale a row that loses least, as every value of the histogram
// (as spread evenly over its bin) is divided by it: of the 80 at which the largest code stands for
// 1.00, 0.99, .. 0.21 of `largest`, and *error the sum of squared differences (may be NULL). 0 of a
// histogram without values, or when there is no such format.
HT_API float ht_clip_search(ht_format format, const double *histogram, double bin, double largest,
                            double *error);
// That error of a scale that is given.
HT_API double ht_clip_error(ht_format format, const double *histogram, double bin, float scale);

// ---- static scales

// The scale of each step with the least squared error, [steps] into `scales`; steps that were not
// seen take the largest of the others. False when nothing was seen, or when the format has not one
// scale a row.
HT_API bool ht_calibrate_scales(const ht_input_stats *input, ht_format format, float *scales);

// Sums of squares over the sample rows of what a layer gives.
typedef struct ht_scale_trial {
    double signal;                    // of y = x w^T
    double dynamic_error, fixed_error; // of y' - y: a scale for each row (or pixel), or that of the
                                      // row's step
} ht_scale_trial;
// x packed into `format` either way times the rows of `packed`; against x times those of `w`. Both
// [n, columns].
HT_API ht_status ht_calibrate_try(ht_context *context, const ht_input_stats *input, const float *w,
                                  const float *packed, uint32_t n, ht_format format,
                                  const float *scales, ht_scale_trial *out);

#ifdef __cplusplus
}
#endif
#endif
