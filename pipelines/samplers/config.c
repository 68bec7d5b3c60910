// Reading scheduler_config.json.
#include "sampler.h"

#include "common/config.h"

#include <math.h>
#include <string.h>

// A value of a short list of texts.
typedef struct choice {
    const char *text;
    int value;
} choice;

static const choice classes[] = {
    {"FlowMatchEulerDiscreteScheduler", HT_SAMPLER_FLOW_EULER},
    {"EulerDiscreteScheduler", HT_SAMPLER_EULER},
    {"EulerAncestralDiscreteScheduler", HT_SAMPLER_EULER_A},
    {"HeunDiscreteScheduler", HT_SAMPLER_HEUN},
    {"DDIMScheduler", HT_SAMPLER_DDIM},
    {"PNDMScheduler", HT_SAMPLER_PNDM},
    {"DPMSolverMultistepScheduler", HT_SAMPLER_DPMPP_2M},
    {"DPMSolverSDEScheduler", HT_SAMPLER_DPMPP_SDE},
    {"UniPCMultistepScheduler", HT_SAMPLER_UNIPC},
    {"LCMScheduler", HT_SAMPLER_LCM},
    {"TCDScheduler", HT_SAMPLER_TCD},
    {"CogVideoXDDIMScheduler", HT_SAMPLER_DDIM},
    {"CogVideoXDPMScheduler", HT_SAMPLER_DPM_TABLE},
    {NULL, 0},
};
static const choice predictions[] = {
    {"epsilon", HT_PREDICT_EPSILON},
    {"v_prediction", HT_PREDICT_V},
    {"sample", HT_PREDICT_SAMPLE},
    {"flow_prediction", HT_PREDICT_FLOW},
    {NULL, 0},
};
static const choice curves[] = {
    {"linear", HT_BETA_LINEAR},
    {"scaled_linear", HT_BETA_SCALED_LINEAR},
    {"squaredcos_cap_v2", HT_BETA_SQUARED_COSINE},
    {NULL, 0},
};
static const choice spacings[] = {
    {"linspace", HT_SPACING_LINSPACE},
    {"leading", HT_SPACING_LEADING},
    {"trailing", HT_SPACING_TRAILING},
    {NULL, 0},
};

static int choose(ht_config *json, const char *key, const choice *choices, const char *fallback) {
    const char *text = ht_config_text(json, key, fallback);
    for (uint32_t i = 0; json->status == HT_OK && choices[i].text; ++i) {
        if (strcmp(choices[i].text, text) == 0) {
            return choices[i].value;
        }
    }
    if (json->status == HT_OK) {
        char known[512] = "";
        for (uint32_t i = 0; choices[i].text; ++i) {
            strncat(known, i ? ", " : "", sizeof(known) - strlen(known) - 1);
            strncat(known, choices[i].text, sizeof(known) - strlen(known) - 1);
        }
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"%s\" is '%s'; supported: %s", json->path, key, text, known);
    }
    return choices[0].value;
}

// An option that would change the result and that is not there.
static void refuse(ht_config *json, const char *key, const char *only) {
    const char *text = only ? ht_config_text(json, key, only) : "true";
    bool wrong = only ? strcmp(text, only) != 0 : ht_config_bool(json, key, false);
    if (json->status == HT_OK && wrong) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"%s\" = %s is not supported", json->path, key, text);
    }
}

static void read_tables(ht_config *json, ht_sampler_config *c) {
    c->beta_curve = (ht_beta_curve)choose(json, "beta_schedule", curves, "linear");
    c->beta_start = ht_config_real(json, "beta_start", 0.0001, 1e-12, 0.999);
    c->beta_end = ht_config_real(json, "beta_end", 0.02, 1e-12, 0.999);
    c->zero_snr = ht_config_bool(json, "rescale_betas_zero_snr", false);
    c->steps_offset = ht_config_u32(json, "steps_offset", 0, 0, 1000);
    bool leading =
        c->kind == HT_SAMPLER_DDIM || c->kind == HT_SAMPLER_PNDM || c->kind == HT_SAMPLER_DPM_TABLE;
    const char *spacing = leading ? "leading" : "linspace";
    c->spacing = (ht_spacing)choose(json, "timestep_spacing", spacings, spacing);
    if (ht_config_has(json, "trained_betas")) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"trained_betas\" is not supported", json->path);
    }
    refuse(json, "thresholding", NULL);
    const char *final = ht_config_text(json, "final_sigmas_type", "zero");
    c->final_zero = strcmp(final, "sigma_min") != 0;
    if (c->final_zero) {
        refuse(json, "final_sigmas_type", "zero");
    }
}

static void read_flow(ht_config *json, ht_sampler_config *c) {
    c->prediction = HT_PREDICT_FLOW;
    c->shift = ht_config_real(json, "shift", 1.0, 1e-3, 1e3);
    c->dynamic_shift = ht_config_bool(json, "use_dynamic_shifting", false);
    c->base_shift = ht_config_real(json, "base_shift", 0.5, -100, 100);
    c->max_shift = ht_config_real(json, "max_shift", 1.15, -100, 100);
    c->base_tokens = ht_config_u32(json, "base_image_seq_len", 256, 1, 1 << 24);
    c->max_tokens = ht_config_u32(json, "max_image_seq_len", 4096, 1, 1 << 24);
    c->shift_terminal = ht_config_real(json, "shift_terminal", 0, 0, 0.999);
    c->stochastic = ht_config_bool(json, "stochastic_sampling", false);
    c->linear_time_shift =
        strcmp(ht_config_text(json, "time_shift_type", "exponential"), "linear") == 0;
    refuse(json, "invert_sigmas", NULL);
    if (json->status == HT_OK && c->base_tokens == c->max_tokens) {
        json->status = ht_fail(json->context, HT_ERR_IO,
                               "'%s': base_image_seq_len and max_image_seq_len are both %u",
                               json->path, c->base_tokens);
    }
}

// Fields of both multistep classes.
static void read_multistep(ht_config *json, ht_sampler_config *c) {
    c->order = ht_config_u32(json, "solver_order", 2, 1, 3);
    c->lower_order_final = ht_config_bool(json, "lower_order_final", true);
    c->flow_sigmas = ht_config_bool(json, "use_flow_sigmas", false);
    c->shift = ht_config_real(json, "flow_shift", 1.0, 1e-3, 1e3);
    refuse(json, "use_dynamic_shifting", NULL);
}

static void read_dpmpp(ht_config *json, ht_sampler_config *c) {
    read_multistep(json, c);
    c->euler_at_final = ht_config_bool(json, "euler_at_final", false);
    c->lambda_min = ht_config_real(json, "lambda_min_clipped", -HUGE_VAL, -1e6, 1e6);
    c->heun = strcmp(ht_config_text(json, "solver_type", "midpoint"), "heun") == 0;
    if (!c->heun) {
        refuse(json, "solver_type", "midpoint");
    }
    c->sde = strcmp(ht_config_text(json, "algorithm_type", "dpmsolver++"), "sde-dpmsolver++") == 0;
    if (!c->sde) {
        refuse(json, "algorithm_type", "dpmsolver++");
    }
    refuse(json, "use_lu_lambdas", NULL);
    c->kind = c->order == 3 ? (c->sde ? HT_SAMPLER_DPMPP_3M_SDE : HT_SAMPLER_DPMPP_3M)
                            : (c->sde ? HT_SAMPLER_DPMPP_2M_SDE : HT_SAMPLER_DPMPP_2M);
}

enum { MAX_LIST = 64 };

static void read_unipc(ht_config *json, ht_sampler_config *c) {
    read_multistep(json, c);
    c->lambda_min = -HUGE_VAL;
    c->bh1 = strcmp(ht_config_text(json, "solver_type", "bh2"), "bh1") == 0;
    if (json->status == HT_OK && !ht_config_bool(json, "predict_x0", true)) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"predict_x0\" = false is not supported", json->path);
    }
    uint32_t steps[MAX_LIST];
    if (ht_config_is_list(json, "disable_corrector") &&
        ht_config_u32_list(json, "disable_corrector", steps, MAX_LIST, 0, 100000) > 0) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"disable_corrector\" is not supported", json->path);
    }
}

static void read_table_class(ht_config *json, ht_sampler_config *c) {
    c->original_steps = ht_config_u32(json, "original_inference_steps", 50, 1, c->train_steps);
    c->timestep_scaling = ht_config_real(json, "timestep_scaling", 10.0, 1e-3, 1e6);
    c->alpha_to_one = ht_config_bool(json, "set_alpha_to_one", c->kind != HT_SAMPLER_PNDM);
    if (strncmp(ht_config_text(json, "_class_name", ""), "CogVideoX", 9) == 0) {
        c->snr_shift = ht_config_real(json, "snr_shift_scale", 3.0, 1e-3, 1e3);
    } else if (c->kind == HT_SAMPLER_DDIM || c->kind == HT_SAMPLER_LCM) {
        c->clip_sample = ht_config_bool(json, "clip_sample", true);
        c->clip_range = ht_config_real(json, "clip_sample_range", 1.0, 0, 1e6);
    }
    if (c->kind == HT_SAMPLER_PNDM && !ht_config_bool(json, "skip_prk_steps", false)) {
        ht_log(json->context, HT_LOG_INFO, "'%s': the Runge-Kutta steps of PNDM are left out",
               json->path);
    }
}

static void read_all(ht_config *json, ht_sampler_config *c) {
    c->kind = (ht_sampler_kind)choose(json, "_class_name", classes, "(none)");
    c->train_steps = ht_config_u32(json, "num_train_timesteps", 1000, 2, 100000);
    c->prediction = (ht_prediction)choose(json, "prediction_type", predictions, "epsilon");
    bool karras = ht_config_bool(json, "use_karras_sigmas", false);
    bool exponential = ht_config_bool(json, "use_exponential_sigmas", false);
    bool beta = ht_config_bool(json, "use_beta_sigmas", false);
    c->sigma_curve = karras        ? HT_SIGMA_KARRAS
                     : exponential ? HT_SIGMA_EXPONENTIAL
                     : beta        ? HT_SIGMA_BETA
                                   : HT_SIGMA_DEFAULT;
    c->sigma_min = ht_config_real(json, "sigma_min", 0, 0, 1e6);
    c->sigma_max = ht_config_real(json, "sigma_max", 0, 0, 1e6);
    c->final_zero = true;
    if (c->kind == HT_SAMPLER_FLOW_EULER) {
        read_flow(json, c);
        return;
    }
    read_tables(json, c);
    if (c->kind == HT_SAMPLER_DPMPP_2M) {
        read_dpmpp(json, c);
    } else if (c->kind == HT_SAMPLER_UNIPC) {
        read_unipc(json, c);
    } else if (c->kind == HT_SAMPLER_DDIM || c->kind == HT_SAMPLER_PNDM ||
               c->kind == HT_SAMPLER_LCM || c->kind == HT_SAMPLER_TCD ||
               c->kind == HT_SAMPLER_DPM_TABLE) {
        read_table_class(json, c);
        c->eta = c->kind == HT_SAMPLER_TCD ? 0.3 : 0;
    } else {
        const char *way = ht_config_text(json, "interpolation_type", "linear");
        c->log_linear = strcmp(way, "log_linear") == 0;
        if (!c->log_linear) {
            refuse(json, "interpolation_type", "linear");
        }
        const char *type = ht_config_text(json, "timestep_type", "discrete");
        c->continuous_timesteps = strcmp(type, "continuous") == 0 && c->prediction == HT_PREDICT_V;
    }
}

static ht_status read_json(ht_config *json, ht_sampler_config *out) {
    *out = (ht_sampler_config){.order = 2, .lower_order_final = true, .shift = 1.0};
    read_all(json, out);
    ht_status status = json->status;
    ht_config_close(json);
    return status;
}

ht_status ht_sampler_config_read(ht_context *context, const char *folder, ht_sampler_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "scheduler_config.json", &json);
    return status == HT_OK ? read_json(&json, out) : status;
}

ht_status ht_sampler_config_parse(ht_context *context, const char *name, const char *text,
                                  ht_sampler_config *out) {
    ht_config json;
    ht_status status = ht_config_parse(context, name, text, &json);
    return status == HT_OK ? read_json(&json, out) : status;
}
