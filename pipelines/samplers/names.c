// Names of samplers and schedules as users of several programs type them.
#include "sampler.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

typedef struct sampler_names {
    const char *name, *label, *line;
    const char *others[8];
} sampler_names;

static const sampler_names samplers[HT_SAMPLER_KINDS] = {
    [HT_SAMPLER_FLOW_EULER] = {"flow_euler",
                               "Euler",
                               "flow_euler  Euler for flow-matching models; also euler with them",
                               {"flowmatcheuler", "flowmatch"}},
    [HT_SAMPLER_EULER] = {"euler", "Euler", "euler       Euler", {"eulerdiscrete"}},
    [HT_SAMPLER_DDIM] = {"ddim", "DDIM", "ddim        DDIM; also ddim_trailing", {"ddimtrailing"}},
    [HT_SAMPLER_DPMPP_2M] = {"dpmpp_2m",
                             "DPM++ 2M",
                             "dpmpp_2m    DPM++ 2M; also dpm++2m",
                             {"dpm2m", "dpmsolver", "dpmsolvermultistep", "dpmsolver2m"}},
    [HT_SAMPLER_EULER_A] = {"euler_a",
                            "Euler a",
                            "euler_a     Euler ancestral: fresh noise at every step",
                            {"eulerancestral", "eulerancestraldiscrete"}},
    [HT_SAMPLER_LCM] = {"lcm", "LCM", "lcm         for models distilled by LCM, few steps", {NULL}},
};

typedef struct schedule_names {
    const char *name, *line;
    const char *others[8];
} schedule_names;

enum { NORMAL, KARRAS, EXPONENTIAL, SIMPLE, LINSPACE, LEADING, TRAILING, SCHEDULES };

static const schedule_names schedules[SCHEDULES] = {
    [NORMAL] =
        {"normal",
         "normal       timesteps as the model's scheduler spaces them; also discrete, automatic",
         {"discrete", "default", "automatic", "auto"}},
    [KARRAS] = {"karras", "karras       Karras et al., rho 7", {NULL}},
    [EXPONENTIAL] = {"exponential", "exponential  evenly spaced in the logarithm", {NULL}},
    [SIMPLE] = {"simple",
                "simple       flow models: 1, 1 - 1/N, .., 1/N before the shift",
                {"uniform"}},
    [LINSPACE] = {"linspace", "linspace     timesteps from both ends", {NULL}},
    [LEADING] = {"leading", "leading      timesteps from 0 upwards", {"ddimuniform"}},
    [TRAILING] = {"trailing", "trailing     timesteps from the top downwards", {"sgmuniform"}},
};

// Letters and digits in lower case; "pp" as in dpmpp is what "++" leaves out.
static void simplify(const char *text, char *out, size_t bytes) {
    size_t n = 0;
    for (; *text && n + 1 < bytes; ++text) {
        if (isalnum((unsigned char)*text)) {
            out[n++] = (char)tolower((unsigned char)*text);
        }
    }
    out[n] = 0;
    if (strncmp(out, "dpmpp", 5) == 0) {
        memmove(out + 3, out + 5, strlen(out + 5) + 1);
    }
}

static bool matches(const char *name, const char *const others[8], const char *plain) {
    char own[64];
    simplify(name, own, sizeof(own));
    if (strcmp(own, plain) == 0) {
        return true;
    }
    for (uint32_t i = 0; i < 8 && others[i]; ++i) {
        if (strcmp(others[i], plain) == 0) {
            return true;
        }
    }
    return false;
}

static int find_sampler(const char *plain) {
    for (int i = 0; i < HT_SAMPLER_KINDS; ++i) {
        if (matches(samplers[i].name, samplers[i].others, plain)) {
            return i;
        }
    }
    return -1;
}

static int find_schedule(const char *plain) {
    for (int i = 0; i < SCHEDULES; ++i) {
        if (matches(schedules[i].name, schedules[i].others, plain)) {
            return i;
        }
    }
    return -1;
}

static void apply_schedule(int schedule, ht_sampler_config *c) {
    switch (schedule) {
    case KARRAS: c->sigma_curve = HT_SIGMA_KARRAS; break;
    case EXPONENTIAL: c->sigma_curve = HT_SIGMA_EXPONENTIAL; break;
    case SIMPLE: c->sigma_curve = HT_SIGMA_UNIFORM; break;
    case NORMAL: c->sigma_curve = HT_SIGMA_DEFAULT; break;
    default:
        c->sigma_curve = HT_SIGMA_DEFAULT;
        c->spacing = schedule == LINSPACE  ? HT_SPACING_LINSPACE
                     : schedule == LEADING ? HT_SPACING_LEADING
                                           : HT_SPACING_TRAILING;
        break;
    }
}

// Another class with the same training: its own fields take their defaults.
static void apply_sampler(ht_sampler_kind kind, ht_sampler_config *c) {
    bool flow = c->prediction == HT_PREDICT_FLOW;
    if (flow && kind == HT_SAMPLER_EULER) {
        kind = HT_SAMPLER_FLOW_EULER;
    }
    if (kind == c->kind) {
        return;
    }
    c->kind = kind;
    c->final_zero = true;
    c->order = 2;
    c->lower_order_final = true;
    c->euler_at_final = c->heun = c->clip_sample = c->stochastic = false;
    c->lambda_min = -HUGE_VAL;
    c->original_steps = c->original_steps > 0 ? c->original_steps : 50;
    c->timestep_scaling = c->timestep_scaling > 0 ? c->timestep_scaling : 10;
    if (kind == HT_SAMPLER_EULER_A || kind == HT_SAMPLER_LCM) {
        c->sigma_curve = HT_SIGMA_DEFAULT;
    }
    c->flow_sigmas = flow && kind == HT_SAMPLER_DPMPP_2M;
    if (flow && c->beta_end == 0) { // the table is only there for the smallest level
        c->beta_start = 0.0001;
        c->beta_end = 0.02;
    }
    if (kind != HT_SAMPLER_FLOW_EULER && c->sigma_curve == HT_SIGMA_UNIFORM) {
        c->sigma_curve = HT_SIGMA_DEFAULT;
    }
}

// "DPM++ 2M Karras": the schedule behind the sampler, as older files have it.
static int split_schedule(char *plain) {
    size_t length = strlen(plain);
    for (int i = 0; i < SCHEDULES; ++i) {
        size_t tail = strlen(schedules[i].name);
        if (length > tail && strcmp(plain + length - tail, schedules[i].name) == 0) {
            plain[length - tail] = 0;
            return i;
        }
    }
    return -1;
}

ht_status ht_sampler_config_choose(ht_context *context, const char *sampler, const char *schedule,
                                   ht_sampler_config *config) {
    char plain[64];
    if (sampler) {
        simplify(sampler, plain, sizeof(plain));
        int kind = find_sampler(plain), trailing = -1;
        if (kind < 0) {
            trailing = split_schedule(plain);
            kind = find_sampler(plain);
        } else if (strcmp(plain, "ddimtrailing") == 0) {
            trailing = TRAILING;
        }
        if (kind < 0) {
            return ht_fail(context, HT_ERR_INVALID,
                           "unknown sampler '%s'; there are flow_euler, euler, euler_a, ddim, "
                           "dpmpp_2m and lcm",
                           sampler);
        }
        apply_sampler((ht_sampler_kind)kind, config);
        if (trailing >= 0) {
            apply_schedule(trailing, config);
        }
    }
    if (schedule) {
        simplify(schedule, plain, sizeof(plain));
        int found = find_schedule(plain);
        if (found < 0) {
            return ht_fail(context, HT_ERR_INVALID,
                           "unknown schedule '%s'; there are normal, karras, exponential, simple, "
                           "linspace, leading and trailing",
                           schedule);
        }
        apply_schedule(found, config);
    }
    return HT_OK;
}

const char *ht_sampler_name(ht_sampler_kind kind) {
    return samplers[kind].name;
}

const char *ht_sampler_label(ht_sampler_kind kind) {
    return samplers[kind].label;
}

const char *ht_schedule_name(const ht_sampler_config *config) {
    static const char *const names[] = {
        [HT_SIGMA_DEFAULT] = "normal",
        [HT_SIGMA_KARRAS] = "karras",
        [HT_SIGMA_EXPONENTIAL] = "exponential",
        [HT_SIGMA_UNIFORM] = "simple",
    };
    return names[config->sigma_curve];
}

const char *ht_sampler_list_line(uint32_t index) {
    return index < HT_SAMPLER_KINDS ? samplers[index].line : NULL;
}

const char *ht_schedule_list_line(uint32_t index) {
    return index < SCHEDULES ? schedules[index].line : NULL;
}
