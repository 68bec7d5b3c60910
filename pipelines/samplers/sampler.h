// Samplers: from the configuration of a diffusers scheduler to timesteps, noise levels and updates.
// They work on host floats; the latent is small.
#ifndef HALFTONE_PIPELINES_SAMPLER_H
#define HALFTONE_PIPELINES_SAMPLER_H

#include <halftone/context.h>

#include "../random.h"

typedef enum ht_sampler_kind {
    HT_SAMPLER_FLOW_EULER,   // FlowMatchEulerDiscreteScheduler
    HT_SAMPLER_EULER,        // EulerDiscreteScheduler
    HT_SAMPLER_EULER_A,      // EulerAncestralDiscreteScheduler
    HT_SAMPLER_HEUN,         // HeunDiscreteScheduler
    HT_SAMPLER_DDIM,         // DDIMScheduler, CogVideoXDDIMScheduler
    HT_SAMPLER_PNDM,         // PNDMScheduler without Runge-Kutta steps
    HT_SAMPLER_DPMPP_2M,     // DPMSolverMultistepScheduler, dpmsolver++ of order 1 or 2
    HT_SAMPLER_DPMPP_2M_SDE, // the same, sde-dpmsolver++
    HT_SAMPLER_DPMPP_3M,     // DPMSolverMultistepScheduler, dpmsolver++ of order 3
    HT_SAMPLER_DPMPP_3M_SDE, // the same, sde-dpmsolver++
    HT_SAMPLER_DPMPP_SDE,    // DPMSolverSDEScheduler
    HT_SAMPLER_UNIPC,        // UniPCMultistepScheduler
    HT_SAMPLER_LCM,          // LCMScheduler
    HT_SAMPLER_TCD,          // TCDScheduler
    HT_SAMPLER_DPM_TABLE,    // CogVideoXDPMScheduler
    HT_SAMPLER_KINDS,
} ht_sampler_kind;

// What the network predicts.
typedef enum ht_prediction {
    HT_PREDICT_EPSILON,
    HT_PREDICT_V,
    HT_PREDICT_SAMPLE,
    HT_PREDICT_FLOW, // noise - data
} ht_prediction;

typedef enum ht_beta_curve {
    HT_BETA_LINEAR,
    HT_BETA_SCALED_LINEAR,
    HT_BETA_SQUARED_COSINE
} ht_beta_curve;

typedef enum ht_spacing { HT_SPACING_LINSPACE, HT_SPACING_LEADING, HT_SPACING_TRAILING } ht_spacing;

typedef enum ht_sigma_curve {
    HT_SIGMA_DEFAULT, // as the spacing of the timesteps gives them
    HT_SIGMA_KARRAS,
    HT_SIGMA_EXPONENTIAL,
    HT_SIGMA_BETA,    // of Beta(0.6, 0.6)
    HT_SIGMA_UNIFORM, // flow matching only: 1, 1 - 1/N, .., 1/N before the shift
} ht_sigma_curve;

// Fields of scheduler_config.json; what a class does not have is not used by it.
typedef struct ht_sampler_config {
    ht_sampler_kind kind;
    ht_prediction prediction;
    uint32_t train_steps;
    ht_beta_curve beta_curve;
    double beta_start, beta_end;
    double snr_shift; // levels a become a / (s + (1 - s) a) before that; 0: they do not
    bool zero_snr;
    ht_spacing spacing;
    uint32_t steps_offset;
    ht_sigma_curve sigma_curve;
    double sigma_min, sigma_max; // 0: those of the schedule
    bool final_zero;             // the last noise level is 0, else the table's smallest

    bool log_linear;           // euler: noise levels interpolated in their logarithm
    bool continuous_timesteps; // euler with v prediction: the network gets log(sigma) / 4

    double shift; // flow_euler, and multistep with flow noise levels
    bool dynamic_shift, linear_time_shift;
    double base_shift, max_shift;
    uint32_t base_tokens, max_tokens;
    double shift_terminal; // 0: none
    bool stochastic;

    bool alpha_to_one, clip_sample; // ddim, pndm, lcm
    double clip_range;
    double eta;              // ddim, tcd: share of the noise that is fresh, 0..1
    uint32_t original_steps; // lcm, tcd: of the schedule they were distilled on
    double timestep_scaling; // lcm

    uint32_t order; // multistep: 1 to 3
    bool sde;       // dpmpp: along the stochastic equation
    bool bh1;       // unipc: B(h) = h instead of e^h - 1
    bool heun, lower_order_final, euler_at_final, flow_sigmas;
    double lambda_min; // timesteps with less are left out
} ht_sampler_config;

// Read folder/scheduler_config.json. An unknown class, or an option that is not supported, is named.
HT_API ht_status ht_sampler_config_read(ht_context *context, const char *folder,
                                        ht_sampler_config *out);
// The same from JSON text; `name` is for messages.
HT_API ht_status ht_sampler_config_parse(ht_context *context, const char *name, const char *text,
                                         ht_sampler_config *out);
// Choose another sampler or schedule by a name users type ("dpm++2m", "DPM++ 2M Karras", "euler",
// "ddim", "flow_euler"; "karras", "exponential", "normal", "simple", "trailing", ..). NULL keeps.
HT_API ht_status ht_sampler_config_choose(ht_context *context, const char *sampler,
                                          const char *schedule, ht_sampler_config *config);
// Share of fresh noise, where the sampler has a choice.
HT_API ht_status ht_sampler_config_eta(ht_context *context, double eta, ht_sampler_config *config);
// Our name of the sampler and the schedule in a configuration, and A1111's label of the sampler.
HT_API const char *ht_sampler_name(ht_sampler_kind kind);
HT_API const char *ht_sampler_label(ht_sampler_kind kind);
HT_API const char *ht_schedule_name(const ht_sampler_config *config);
// One line for a list: "dpmpp_2m   DPM++ 2M; also dpm++2m, ..."; NULL behind the last.
HT_API const char *ht_sampler_list_line(uint32_t index);
HT_API const char *ht_schedule_list_line(uint32_t index);

typedef struct ht_sampler ht_sampler;

typedef struct ht_sampler_desc {
    const ht_sampler_config *config;
    uint32_t steps;        // of the schedule
    size_t count;          // values of a latent
    const float *sigmas;   // flow_euler: [steps] levels before the shift, or NULL
    uint32_t image_tokens; // for the dynamic shift
    ht_random *random;     // of stochastic steps; must outlive the sampler; may be NULL for others
} ht_sampler_desc;

HT_API ht_status ht_sampler_create(ht_context *context, const ht_sampler_desc *desc,
                                   ht_sampler **out);
HT_API void ht_sampler_destroy(ht_sampler **sampler);

// Evaluations of the network: the steps asked for, or up to twice as many.
HT_API uint32_t ht_sampler_steps(const ht_sampler *sampler);
// Evaluation at which a picture is entered that is to change by `strength`, 0..1; steps() for none.
HT_API uint32_t ht_sampler_first(const ht_sampler *sampler, double strength);
// What the network is told, [steps].
HT_API const float *ht_sampler_timesteps(const ht_sampler *sampler);
// Noise levels, [steps + 1]; NULL for samplers on whole timesteps.
HT_API const float *ht_sampler_sigmas(const ht_sampler *sampler);
// Factor on the initial standard normal noise.
HT_API float ht_sampler_initial_scale(const ht_sampler *sampler);
// What the network gets for sample x.
HT_API void ht_sampler_input(const ht_sampler *sampler, uint32_t step, const float *x,
                             float *input);
// The clean picture that a prediction amounts to.
HT_API void ht_sampler_denoised(const ht_sampler *sampler, uint32_t step, const float *x,
                                const float *prediction, float *clean);
// Move x one step. Steps come in order, from any first one.
HT_API void ht_sampler_step(ht_sampler *sampler, uint32_t step, const float *prediction, float *x);
// Noise a clean latent to the level at which `step` starts.
HT_API void ht_sampler_add_noise(const ht_sampler *sampler, uint32_t step, const float *noise,
                                 float *x);

#endif
