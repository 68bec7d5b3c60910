// Making a sampler from its configuration, and the thin front of its operations.
#include "sampler_internal.h"

#include <string.h>

static const ht_sampler_ops *const table[HT_SAMPLER_KINDS] = {
    [HT_SAMPLER_FLOW_EULER] = &ht_sampler_flow_euler,
    [HT_SAMPLER_EULER] = &ht_sampler_euler,
    [HT_SAMPLER_EULER_A] = &ht_sampler_euler_a,
    [HT_SAMPLER_HEUN] = &ht_sampler_heun,
    [HT_SAMPLER_DDIM] = &ht_sampler_ddim,
    [HT_SAMPLER_PNDM] = &ht_sampler_pndm,
    [HT_SAMPLER_DPMPP_2M] = &ht_sampler_dpmpp,
    [HT_SAMPLER_DPMPP_2M_SDE] = &ht_sampler_dpmpp,
    [HT_SAMPLER_DPMPP_3M] = &ht_sampler_dpmpp,
    [HT_SAMPLER_DPMPP_3M_SDE] = &ht_sampler_dpmpp,
    [HT_SAMPLER_DPMPP_SDE] = &ht_sampler_dpmpp_sde,
    [HT_SAMPLER_UNIPC] = &ht_sampler_unipc,
    [HT_SAMPLER_LCM] = &ht_sampler_lcm,
    [HT_SAMPLER_TCD] = &ht_sampler_tcd,
    [HT_SAMPLER_DPM_TABLE] = &ht_sampler_dpm_table,
};

static uint32_t evaluations(const ht_sampler_ops *ops, uint32_t steps) {
    return ops->evaluations ? ops->evaluations(steps) : ops->twice ? 2 * steps - 1 : steps;
}

static ht_status check(ht_context *context, const ht_sampler_desc *desc) {
    const ht_sampler_config *c = desc->config;
    const ht_sampler_ops *ops = table[c->kind];
    const uint32_t most = ops->distilled ? c->original_steps
                          : ops->twice   ? c->train_steps / 2
                                         : c->train_steps;
    if (desc->steps == 0 || desc->steps > most) {
        return ht_fail(context, HT_ERR_INVALID, "%u steps, expected 1 to %u with sampler %s",
                       desc->steps, most, ht_sampler_name(c->kind));
    }
    bool flow = c->prediction == HT_PREDICT_FLOW;
    bool takes_flow = c->kind == HT_SAMPLER_FLOW_EULER || c->flow_sigmas;
    if (flow != takes_flow) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "sampler %s does not fit this model, which predicts %s",
                       ht_sampler_name(c->kind), flow ? "a flow" : "noise, not a flow");
    }
    const bool whole =
        c->kind == HT_SAMPLER_DDIM || c->kind == HT_SAMPLER_TCD || c->kind == HT_SAMPLER_DPM_TABLE;
    if (whole && c->zero_snr && c->prediction == HT_PREDICT_EPSILON) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "zero terminal SNR needs a model that does not predict noise");
    }
    if (c->sigma_curve == HT_SIGMA_UNIFORM && c->kind != HT_SAMPLER_FLOW_EULER) {
        return ht_fail(context, HT_ERR_UNSUPPORTED, "schedule %s needs sampler %s",
                       ht_schedule_name(c), ht_sampler_name(HT_SAMPLER_FLOW_EULER));
    }
    if (!(ops->curves && !c->flow_sigmas) && c->sigma_curve != HT_SIGMA_DEFAULT) {
        return ht_fail(context, HT_ERR_UNSUPPORTED, "sampler %s has no schedule %s%s",
                       ht_sampler_name(c->kind), ht_schedule_name(c),
                       c->flow_sigmas ? " with models that predict a flow" : "");
    }
    if ((c->stochastic || c->sde || c->eta > 0 || ops->draws) && !desc->random) {
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
    s->noise = ht_alloc(s->context, s->count * sizeof(float));
    s->alphas_cumprod = tables ? ht_alloc(s->context, c->train_steps * sizeof(float)) : NULL;
    bool all = s->timesteps && s->sigmas && s->clean && s->noise;
    for (uint32_t i = 0; i < s->ops->kept; ++i) {
        s->kept[i] = ht_alloc(s->context, s->count * sizeof(float));
        all = all && s->kept[i];
    }
    return all && (s->alphas_cumprod || !tables) ? HT_OK : HT_ERR_NO_MEMORY;
}

// Two equal levels in a row would divide by zero; only the last step may stand still.
static ht_status check_levels(const ht_sampler *s) {
    for (uint32_t i = 0; i < s->steps && s->ops->levels; ++i) {
        bool again = s->ops->twice && i % 2 == 1;
        bool still = (again || i + 1 == s->steps) && s->sigmas[i + 1] == s->sigmas[i];
        if (!(s->sigmas[i + 1] < s->sigmas[i]) && !still) {
            return ht_fail(s->context, HT_ERR_INVALID,
                           "sampler %s cannot make %u different steps of this schedule",
                           ht_sampler_name(s->config.kind), s->asked);
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
        .asked = desc->steps,
        .steps = evaluations(table[desc->config->kind], desc->steps),
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
        for (uint32_t i = 0; i < HT_SAMPLER_KEPT; ++i) {
            ht_free(context, s->kept[i]);
        }
        ht_free(context, s->noise);
        ht_free(context, s);
        *sampler = NULL;
    }
}

uint32_t ht_sampler_steps(const ht_sampler *s) {
    return s->steps;
}

uint32_t ht_sampler_first(const ht_sampler *s, double strength) {
    const double part = (double)s->asked * strength;
    const uint32_t left = part < s->asked ? (uint32_t)part : s->asked;
    const uint32_t skipped = s->asked - left;
    return left == 0 ? s->steps : s->ops->twice ? 2 * skipped : skipped;
}

void ht_sampler_keep(ht_sampler *s) {
    const uint32_t last = s->ops->kept - 1;
    float *oldest = s->kept[last];
    for (uint32_t i = last; i > 0; --i) {
        s->kept[i] = s->kept[i - 1];
    }
    s->kept[0] = s->clean;
    s->clean = oldest;
    s->n_kept += s->n_kept <= last;
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
