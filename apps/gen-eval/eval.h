// What the files of gen-eval share.
#ifndef HT_EVAL_H
#define HT_EVAL_H

#include "options.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/progress.h"

#include <judge.h>
#include <limits.h>
#include <pipeline.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELLED = 130 };

// assets.c: a file that comes with the program, as "judge/scenes-judge.json". False when the path
// is too long; the file may be missing.
bool eval_asset(const char *name, char path[PATH_MAX]);

// One prompt, and the class that each head of the judge must read (-1: not demanded).
typedef struct eval_prompt {
    char *text;
    bool wants;
    int want[HT_JUDGE_MAX_HEADS];
} eval_prompt;

typedef struct eval_prompts {
    eval_prompt *items;
    size_t count, wanting; // all, and those that demand something
    char path[PATH_MAX];
} eval_prompts;
// False after a message. With `judge` NULL what is demanded is passed over.
bool eval_prompts_read(const eval_options *options, const ht_judge_config *judge, ht_app_log *log,
                       eval_prompts *out);
void eval_prompts_free(eval_prompts *prompts);

typedef struct eval eval;

// judging.c: the judge, ready to look at pictures.
typedef struct eval_judge {
    ht_judge_config config;
    char path[PATH_MAX];
    ht_context *context;
    ht_weights *weights;
    ht_graph *graph;
    ht_tensor *in, *out;
} eval_judge;
// The configuration alone; then the network on the device. False after a message.
bool eval_judge_find(const eval *e, eval_judge *judge);
ht_status eval_judge_open(eval_judge *judge, const eval_options *options, ht_app_log *log);
// The most likely class per head. `image` has so many frames, one below the other.
ht_status eval_judge_look(eval_judge *judge, const ht_image *image, uint32_t frames,
                          int read[HT_JUDGE_MAX_HEADS]);
void eval_judge_close(eval_judge *judge);

// One picture against what it should be. Undefined figures are NaN, equal ones infinite.
typedef struct eval_picture {
    uint64_t seed;
    uint32_t width, height;
    double seconds, mse, psnr, ssim, sqnr;
    int read[HT_JUDGE_MAX_HEADS]; // by the judge; -1: it did not look
    bool right;                   // everything demanded is there
} eval_picture;

typedef struct eval_part {
    char name[32];
    uint64_t weight_bytes, activation_bytes;
} eval_part;

// One recipe's results.
typedef struct eval_recipe {
    char name[EVAL_NAME];
    const char *file; // of packed weights; "": none
    eval_picture *pictures;
    size_t made, same; // same: byte for byte the reference's
    double psnr;       // of the squared error of all pictures together
    double psnr_mean;  // over those that differ
    double psnr_median; // over all
    double ssim, sqnr; // means (of sqnr over finite ones)
    double right;      // share of the prompts that demand something
    uint32_t steps;
    double step_seconds, open_seconds, total_seconds; // the first: median
    uint64_t planned_peak, measured_peak;
    eval_part parts[HT_REPORT_PARTS];
    // hits and tries: per head of the judge, and per class of its first head (layout, motion)
    uint32_t head_hits[HT_JUDGE_MAX_HEADS], head_tries[HT_JUDGE_MAX_HEADS];
    uint32_t kind_hits[HT_JUDGE_MAX_CLASSES], kind_tries[HT_JUDGE_MAX_CLASSES];
} eval_recipe;

struct eval {
    const eval_options *options;
    ht_app_log *log;
    const volatile int *stop;
    ht_app_progress progress;
    eval_prompts prompts;
    eval_judge judge;
    bool judging;
    char model_path[PATH_MAX];
    char device[256], driver[256];
    uint32_t steps;
    uint32_t frames; // of each clip; 1: pictures
    float cfg_scale;
    float **latents; // of the reference, per prompt
    size_t latent_count;
    eval_recipe recipes[EVAL_MAX_RECIPES];
    uint32_t done; // recipes
};

// DIR/recipe/0007.png, of a clip all frames, one below the other; `relative`: without DIR. False when the path is too long.
bool eval_picture_path(const eval *e, const char *recipe, size_t index, bool relative,
                       char path[PATH_MAX]);
// run.c: everything behind the options; an exit code.
int eval_run(const eval_options *options, ht_app_log *log, const volatile int *stop);
// layers.c: the error of each layer, for --layers; an exit code.
int eval_layers(const eval_options *options, ht_app_log *log, const volatile int *stop);
// prepare.c: everything that can be refused before the first picture.
bool eval_prepare(eval *e);
// report.c
void eval_table(const eval *e);
bool eval_report_write(const eval *e);
// page.c
bool eval_page_write(const eval *e);

#endif
