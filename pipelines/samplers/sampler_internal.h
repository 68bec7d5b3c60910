// What the files of this folder share.
#ifndef HT_SAMPLER_INTERNAL_H
#define HT_SAMPLER_INTERNAL_H

#include "sampler.h"

typedef struct ht_sampler_ops {
    bool draws;                       // noise, at every step
    bool levels;                      // has noise levels (sigmas)
    ht_status (*plan)(ht_sampler *s); // timesteps, sigmas, initial_scale
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
    uint32_t steps;
    size_t count;
    const float *given; // [steps] or NULL, during creation only
    uint32_t image_tokens;
    ht_random *random;
    float *timesteps;      // [steps]
    float *sigmas;         // [steps + 1]
    float *alphas_cumprod; // [train_steps]; NULL for flow matching
    float initial_scale;
    float *clean;    // [count], of this step
    float *previous; // [count], clean of the step before
    float *noise;    // [count], of stochastic steps
    bool has_previous;
};

extern const ht_sampler_ops ht_sampler_flow_euler;
extern const ht_sampler_ops ht_sampler_euler;
extern const ht_sampler_ops ht_sampler_ddim;
extern const ht_sampler_ops ht_sampler_dpmpp_2m;
extern const ht_sampler_ops ht_sampler_euler_a;
extern const ht_sampler_ops ht_sampler_lcm;

// ddim.c: of a sample at the level alphas_cumprod = `level`: clean = clean[0] x + clean[1] prediction,
// and the noise likewise, before clipping.
void ht_ddim_factors(const ht_sampler *s, float level, float clean[2], float epsilon[2]);

// schedule.c: products of 1 - beta, in the precision the reference has them.
void ht_schedule_alphas_cumprod(const ht_sampler_config *config, float *alphas_cumprod);
double ht_schedule_sigma(const ht_sampler *s, uint32_t timestep);
// Integer-spaced timesteps, first the largest. `points` and `drop_last` of linspace and leading
// differ between the classes.
void ht_schedule_space(const ht_sampler_config *config, uint32_t steps, uint32_t last,
                       bool multistep, bool round_linspace, double *timesteps);
// Replace sigmas [steps] by a Karras or exponential curve between two levels.
void ht_schedule_curve(ht_sigma_curve curve, double max, double min, uint32_t steps,
                       double *sigmas);
// Timestep of a noise level, by interpolation of the logarithms.
double ht_schedule_timestep(const ht_sampler *s, double sigma);
// The table at a fractional timestep, linearly.
double ht_schedule_interpolate(const ht_sampler *s, double timestep);

#endif
