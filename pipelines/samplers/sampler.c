// Making a sampler from its configuration, and the thin front of its operations.
#include "sampler_internal.h"

#include <string.h>

static const ht_sampler_ops *const table[HT_SAMPLER_KINDS] = {
    [HT_SAMPLER_FLOW_EULER] = &ht_sampler_flow_euler,
    [HT_SAMPLER_EULER] = &ht_sampler_euler,
    [HT_SAMPLER_DDIM] = &ht_sampler_ddim,
    [HT_SAMPLER_DPMPP_2M] = &ht_sampler_dpmpp_2m,
    [HT_SAMPLER_EULER_A] = &ht_sampler_euler_a,
    [HT_SAMPLER_LCM] = &ht_sampler_lcm,
};

static ht_status check(ht_context *context, const ht_sampler_desc *desc) {
    const ht_sampler_config *c = desc->config;
    if (desc->steps == 0 || desc->steps > c->train_steps) {
        return ht_fail(context, HT_ERR_INVALID, "%u steps, expected 1 to %u", desc->steps,
                       c->train_steps);
    }
    bool flow = c->prediction == HT_PREDICT_FLOW;
    bool takes_flow = c->kind == HT_SAMPLER_FLOW_EULER || c->flow_sigmas;
    if (flow != takes_flow) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "sampler %s does not fit this model, which predicts %s",
                       ht_sampler_name(c->kind), flow ? "a flow" : "noise, not a flow");
    }
    if (c->kind == HT_SAMPLER_DDIM && c->zero_snr && c->prediction == HT_PREDICT_EPSILON) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "zero terminal SNR needs a model that does not predict noise");
    }
    if (c->sigma_curve == HT_SIGMA_UNIFORM && c->kind != HT_SAMPLER_FLOW_EULER) {
        return ht_fail(context, HT_ERR_UNSUPPORTED, "schedule %s needs sampler %s",
                       ht_schedule_name(c), ht_sampler_name(HT_SAMPLER_FLOW_EULER));
    }
    bool curved = table[c->kind]->levels && c->kind != HT_SAMPLER_EULER_A;
    if (!curved && c->sigma_curve != HT_SIGMA_DEFAULT) {
        return ht_fail(context, HT_ERR_UNSUPPORTED, "sampler %s has no schedule %s",
                       ht_sampler_name(c->kind), ht_schedule_name(c));
    }
    if (c->kind == HT_SAMPLER_LCM && desc->steps > c->original_steps) {
        return ht_fail(context, HT_ERR_INVALID, "%u steps, expected 1 to %u with sampler lcm",
                       desc->steps, c->original_steps);
    }
    if ((c->stochastic || table[c->kind]->draws) && !desc->random) {
        return ht_fail(context, HT_ERR_INVALID, "a stochastic sampler needs a generator");
    }
    return HT_OK;
}

static ht_status allocate(ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    bool tables = c->kind != HT_SAMPLER_FLOW_EULER;
    s->timesteps = ht_alloc(s->context, s->steps * sizeof(float));
    s->sigmas = ht_alloc(s->context, (s->steps + 1) * sizeof(float));
    s->clean = ht_alloc(s->context, s->count * sizeof(float));
    s->previous = ht_alloc(s->context, s->count * sizeof(float));
    s->noise = ht_alloc(s->context, s->count * sizeof(float));
    s->alphas_cumprod = tables ? ht_alloc(s->context, c->train_steps * sizeof(float)) : NULL;
    bool all = s->timesteps && s->sigmas && s->clean && s->previous && s->noise;
    return all && (s->alphas_cumprod || !tables) ? HT_OK : HT_ERR_NO_MEMORY;
}

// Two equal levels in a row would divide by zero; only the last step may stand still.
static ht_status check_levels(const ht_sampler *s) {
    for (uint32_t i = 0; i < s->steps && s->ops->levels; ++i) {
        bool still = i + 1 == s->steps && s->sigmas[i + 1] == s->sigmas[i];
        if (!(s->sigmas[i + 1] < s->sigmas[i]) && !still) {
            return ht_fail(s->context, HT_ERR_INVALID,
                           "sampler %s cannot make %u different steps of this schedule",
                           ht_sampler_name(s->config.kind), s->steps);
        }
    }
    return HT_OK;
}

ht_status ht_sampler_create(ht_context *context, const ht_sampler_desc *desc, ht_sampler **out) {
    *out = NULL;
    ht_status status = check(context, desc);
    if (status != HT_OK) {
        return status;
    }
    ht_sampler *s = ht_alloc(context, sizeof(*s));
    if (!s) {
        return HT_ERR_NO_MEMORY;
    }
    *s = (ht_sampler){
        .context = context,
        .ops = table[desc->config->kind],
        .config = *desc->config,
        .steps = desc->steps,
        .count = desc->count,
        .given = desc->sigmas,
        .image_tokens = desc->image_tokens,
        .random = desc->random,
        .initial_scale = 1.0f,
    };
    status = allocate(s);
    if (status == HT_OK) {
        if (s->alphas_cumprod) {
            ht_schedule_alphas_cumprod(&s->config, s->alphas_cumprod);
        }
        status = s->ops->plan(s);
        s->given = NULL;
        status = status == HT_OK ? check_levels(s) : status;
    }
    if (status != HT_OK) {
        ht_sampler_destroy(&s);
    }
    *out = s;
    return status;
}

void ht_sampler_destroy(ht_sampler **sampler) {
    if (*sampler) {
        ht_sampler *s = *sampler;
        ht_context *context = s->context;
        ht_free(context, s->timesteps);
        ht_free(context, s->sigmas);
        ht_free(context, s->alphas_cumprod);
        ht_free(context, s->clean);
        ht_free(context, s->previous);
        ht_free(context, s->noise);
        ht_free(context, s);
        *sampler = NULL;
    }
}

uint32_t ht_sampler_steps(const ht_sampler *s) {
    return s->steps;
}

const float *ht_sampler_timesteps(const ht_sampler *s) {
    return s->timesteps;
}

const float *ht_sampler_sigmas(const ht_sampler *s) {
    return s->ops->levels ? s->sigmas : NULL;
}

float ht_sampler_initial_scale(const ht_sampler *s) {
    return s->initial_scale;
}

void ht_sampler_input(const ht_sampler *s, uint32_t step, const float *x, float *input) {
    if (s->ops->input) {
        s->ops->input(s, step, x, input);
    } else if (input != x) {
        memcpy(input, x, s->count * sizeof(*x));
    }
}

void ht_sampler_denoised(const ht_sampler *s, uint32_t step, const float *x,
                         const float *prediction, float *clean) {
    s->ops->denoised(s, step, x, prediction, clean);
}

void ht_sampler_step(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    s->ops->step(s, step, prediction, x);
}

void ht_sampler_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    s->ops->add_noise(s, step, noise, x);
}
