// What the files of this folder share.
#ifndef HT_SAMPLER_INTERNAL_H
#define HT_SAMPLER_INTERNAL_H

#include "sampler.h"

enum { HT_SAMPLER_KEPT = 4 };

typedef struct ht_sampler_ops {
    bool draws;     // noise, at every step
    bool levels;    // has noise levels (sigmas)
    bool curves;    // and they can follow Karras' and other curves
    bool twice;     // evaluates each step but the last twice
    bool distilled; // on a subset of the original_steps timesteps
    bool takes_eta;
    uint32_t kept;                           // latents kept between steps
    uint32_t (*evaluations)(uint32_t steps); // of the network; NULL: one each, or as `twice` says
    ht_status (*plan)(ht_sampler *s);        // timesteps, sigmas, initial_scale
    void (*input)(const ht_sampler *s, uint32_t step, const float *x, float *input); // or NULL
    void (*denoised)(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean);
    void (*step)(ht_sampler *s, uint32_t step, const float *prediction, float *x);
    void (*add_noise)(const ht_sampler *s, uint32_t step, const float *noise, float *x);
} ht_sampler_ops;

struct ht_sampler {
    ht_context *context;
    const ht_sampler_ops *ops;
    ht_sampler_config config;
    uint32_t asked; // steps of the schedule
    uint32_t steps; // evaluations of the network
    size_t count;
    const float *given; // [steps] or NULL, during creation only
    uint32_t image_tokens;
    ht_random *random;
    float *timesteps;      // [steps]
    float *sigmas;         // [steps + 1]
    float *alphas_cumprod; // [train_steps]; NULL for flow matching
    float initial_scale;
    float *clean;                 // [count], of this step
    float *noise;                 // [count], of stochastic steps
    float *kept[HT_SAMPLER_KEPT]; // [count] each, of the steps before
    uint32_t n_kept, done, last_order;
};

extern const ht_sampler_ops ht_sampler_flow_euler;
extern const ht_sampler_ops ht_sampler_euler;
extern const ht_sampler_ops ht_sampler_euler_a;
extern const ht_sampler_ops ht_sampler_heun;
extern const ht_sampler_ops ht_sampler_ddim;
extern const ht_sampler_ops ht_sampler_pndm;
extern const ht_sampler_ops ht_sampler_dpmpp;
extern const ht_sampler_ops ht_sampler_dpmpp_sde;
extern const ht_sampler_ops ht_sampler_unipc;
extern const ht_sampler_ops ht_sampler_lcm;
extern const ht_sampler_ops ht_sampler_tcd;
extern const ht_sampler_ops ht_sampler_dpm_table;

// sampler.c: `clean` becomes kept[0], kept[0] becomes kept[1], ..; n_kept counts up to ops->kept.
void ht_sampler_keep(ht_sampler *s);

// table.c: of samplers on whole timesteps. Levels are alphas_cumprod; before timestep 0 there is the
// one the configuration says.
float ht_table_level(const ht_sampler *s, uint32_t step);
float ht_table_level_at(const ht_sampler *s, int64_t timestep);
ht_status ht_table_plan(const ht_sampler *s, uint32_t count, float *timesteps);
// Of a sample at a level: clean = clean[0] x + clean[1] prediction, and the noise likewise.
void ht_table_factors(const ht_sampler *s, float level, float clean[2], float epsilon[2]);
void ht_table_denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                       float *clean);
void ht_table_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x);

// lcm.c: evenly many of the timesteps of the schedule a model was distilled on.
ht_status ht_distilled_plan(ht_sampler *s);

// euler.c: of samplers along x = data + sigma * noise. Plans `asked` steps; `twice` then repeats all
// levels but the first and the last for the second evaluation.
ht_status ht_euler_plan(ht_sampler *s);
void ht_euler_twice(ht_sampler *s);
void ht_euler_input(const ht_sampler *s, uint32_t step, const float *x, float *out);
void ht_euler_input_at(const ht_sampler *s, float sigma, const float *x, float *out);
void ht_euler_denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                       float *clean);
void ht_euler_denoised_at(const ht_sampler *s, float sigma, const float *x, const float *prediction,
                          float *clean);
void ht_euler_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x);

// multistep.c: of samplers along the logarithm of the signal-to-noise ratio.
typedef struct ht_level {
    double alpha, sigma, lambda; // x = alpha data + sigma noise; lambda = ln(alpha / sigma)
} ht_level;
ht_level ht_multistep_level(const ht_sampler *s, uint32_t step);
ht_status ht_multistep_plan(ht_sampler *s);
void ht_multistep_denoised(const ht_sampler *s, uint32_t step, const float *x,
                           const float *prediction, float *clean);
void ht_multistep_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x);

// schedule.c: products of 1 - beta, in the precision the reference has them.
void ht_schedule_alphas_cumprod(const ht_sampler_config *config, float *alphas_cumprod);
double ht_schedule_sigma(const ht_sampler *s, uint32_t timestep);
// Integer-spaced timesteps, first the largest. `points` and `drop_last` of linspace and leading
// differ between the classes.
void ht_schedule_space(const ht_sampler_config *config, uint32_t steps, uint32_t last,
                       bool multistep, bool round_linspace, double *timesteps);
// Replace sigmas [steps] by a Karras, exponential or beta curve between two levels.
void ht_schedule_curve(ht_sigma_curve curve, double max, double min, uint32_t steps,
                       double *sigmas);
// Timestep of a noise level, by interpolation of the logarithms.
double ht_schedule_timestep(const ht_sampler *s, double sigma);
// The table at a fractional timestep, linearly.
double ht_schedule_interpolate(const ht_sampler *s, double timestep);

#endif
