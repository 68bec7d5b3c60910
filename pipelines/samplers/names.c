// Names of samplers and schedules as users of several programs type them.
#include "sampler.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sampler_names {
    const char *name, *label, *line;
    const char *others[8];
} sampler_names;

static const sampler_names samplers[HT_SAMPLER_KINDS] = {
    [HT_SAMPLER_FLOW_EULER] = {"flow_euler",
                               "Euler",
                               "flow_euler    Euler for flow-matching models; also euler with them",
                               {"flowmatcheuler", "flowmatch"}},
    [HT_SAMPLER_EULER] = {"euler", "Euler", "euler         Euler", {"eulerdiscrete"}},
    [HT_SAMPLER_EULER_A] = {"euler_a",
                            "Euler a",
                            "euler_a       Euler ancestral: fresh noise at every step",
                            {"eulerancestral", "eulerancestraldiscrete"}},
    [HT_SAMPLER_HEUN] = {"heun",
                         "Heun",
                         "heun          Heun: two evaluations a step",
                         {"heundiscrete"}},
    [HT_SAMPLER_DDIM] = {"ddim",
                         "DDIM",
                         "ddim          DDIM; --eta adds noise; also ddim_trailing",
                         {"ddimtrailing"}},
    [HT_SAMPLER_PNDM] = {"pndm",
                         "PLMS",
                         "pndm          PNDM without Runge-Kutta steps; also plms",
                         {"plms"}},
    [HT_SAMPLER_DPMPP_2M] = {"dpmpp_2m",
                             "DPM++ 2M",
                             "dpmpp_2m      DPM++ 2M; also dpm++2m",
                             {"dpm2m", "dpmsolver", "dpmsolvermultistep", "dpmsolver2m"}},
    [HT_SAMPLER_DPMPP_2M_SDE] = {"dpmpp_2m_sde",
                                 "DPM++ 2M SDE",
                                 "dpmpp_2m_sde  DPM++ 2M SDE: fresh noise at every step",
                                 {"dpm2msdegpu"}},
    [HT_SAMPLER_DPMPP_3M] = {"dpmpp_3m", "DPM++ 3M", "dpmpp_3m      DPM++ 3M", {"dpmsolver3m"}},
    [HT_SAMPLER_DPMPP_3M_SDE] = {"dpmpp_3m_sde",
                                 "DPM++ 3M SDE",
                                 "dpmpp_3m_sde  DPM++ 3M SDE: fresh noise at every step",
                                 {"dpm3msdegpu"}},
    [HT_SAMPLER_DPMPP_SDE] =
        {"dpmpp_sde",
         "DPM++ SDE",
         "dpmpp_sde     DPM++ SDE: two evaluations a step, fresh noise in both",
         {"dpmsolversde", "dpmsdegpu"}},
    [HT_SAMPLER_UNIPC] = {"unipc",
                          "UniPC",
                          "unipc         UniPC, order 2; also uni_pc",
                          {"unipcmultistep", "unipcbh2"}},
    [HT_SAMPLER_LCM] = {"lcm",
                        "LCM",
                        "lcm           for models distilled by LCM, few steps",
                        {NULL}},
    [HT_SAMPLER_TCD] = {"tcd",
                        "TCD",
                        "tcd           for models distilled by TCD, few steps; --eta, 0.3",
                        {NULL}},
    [HT_SAMPLER_DPM_TABLE] =
        {"dpm_cogvideox",
         "DPM++ 2M SDE CogVideoX",
         "dpm_cogvideox DPM++ 2M SDE on whole timesteps, as CogVideoX 5B has it",
         {"cogvideoxdpm"}},
};

typedef struct schedule_names {
    const char *name, *line;
    const char *others[8];
} schedule_names;

enum { NORMAL, KARRAS, EXPONENTIAL, BETA, SIMPLE, LINSPACE, LEADING, TRAILING, SCHEDULES };

static const schedule_names schedules[SCHEDULES] = {
    [NORMAL] =
        {"normal",
         "normal       timesteps as the model's scheduler spaces them; also discrete, automatic",
         {"discrete", "default", "automatic", "auto"}},
    [KARRAS] = {"karras", "karras       Karras et al., rho 7", {NULL}},
    [EXPONENTIAL] = {"exponential", "exponential  evenly spaced in the logarithm", {NULL}},
    [BETA] = {"beta", "beta         quantiles of the distribution Beta(0.6, 0.6)", {NULL}},
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
    case BETA: c->sigma_curve = HT_SIGMA_BETA; break;
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

static bool is_multistep(ht_sampler_kind kind) {
    switch (kind) {
    case HT_SAMPLER_DPMPP_2M:
    case HT_SAMPLER_DPMPP_2M_SDE:
    case HT_SAMPLER_DPMPP_3M:
    case HT_SAMPLER_DPMPP_3M_SDE:
    case HT_SAMPLER_UNIPC: return true;
    default: return false;
    }
}

// Of samplers on whole timesteps: they have no noise levels that could follow a curve.
static bool is_on_table(ht_sampler_kind kind) {
    return kind == HT_SAMPLER_DDIM || kind == HT_SAMPLER_PNDM || kind == HT_SAMPLER_LCM ||
           kind == HT_SAMPLER_TCD || kind == HT_SAMPLER_DPM_TABLE;
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
    c->order = kind == HT_SAMPLER_DPMPP_3M || kind == HT_SAMPLER_DPMPP_3M_SDE ? 3 : 2;
    c->sde = kind == HT_SAMPLER_DPMPP_2M_SDE || kind == HT_SAMPLER_DPMPP_3M_SDE;
    c->eta = kind == HT_SAMPLER_TCD ? 0.3 : 0;
    c->lower_order_final = true;
    c->euler_at_final = c->heun = c->bh1 = c->clip_sample = c->stochastic = false;
    c->alpha_to_one = c->alpha_to_one && kind != HT_SAMPLER_PNDM;
    c->lambda_min = -HUGE_VAL;
    c->original_steps = c->original_steps > 0 ? c->original_steps : 50;
    c->timestep_scaling = c->timestep_scaling > 0 ? c->timestep_scaling : 10;
    c->flow_sigmas = flow && is_multistep(kind);
    if (flow && c->beta_end == 0) { // the table is only there for the smallest level
        c->beta_start = 0.0001;
        c->beta_end = 0.02;
    }
    if (is_on_table(kind) || c->flow_sigmas ||
        (kind != HT_SAMPLER_FLOW_EULER && c->sigma_curve == HT_SIGMA_UNIFORM)) {
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

// "a", "a, b", "a, b and c"
static void add_name(char *list, size_t bytes, const char *name, bool last) {
    const char *between = *list == 0 ? "" : last ? " and " : ", ";
    snprintf(list + strlen(list), bytes - strlen(list), "%s%s", between, name);
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
            char known[512] = "";
            for (int i = 0; i < HT_SAMPLER_KINDS; ++i) {
                add_name(known, sizeof(known), samplers[i].name, i + 1 == HT_SAMPLER_KINDS);
            }
            return ht_fail(context, HT_ERR_INVALID, "unknown sampler '%s'; there are %s", sampler,
                           known);
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
            char known[512] = "";
            for (int i = 0; i < SCHEDULES; ++i) {
                add_name(known, sizeof(known), schedules[i].name, i + 1 == SCHEDULES);
            }
            return ht_fail(context, HT_ERR_INVALID, "unknown schedule '%s'; there are %s", schedule,
                           known);
        }
        apply_schedule(found, config);
    }
    return HT_OK;
}

ht_status ht_sampler_config_eta(ht_context *context, double eta, ht_sampler_config *config) {
    if (config->kind != HT_SAMPLER_DDIM && config->kind != HT_SAMPLER_TCD) {
        return ht_fail(context, HT_ERR_INVALID, "sampler %s has no eta; ddim and tcd do",
                       ht_sampler_name(config->kind));
    }
    if (!(eta >= 0 && eta <= 1)) {
        return ht_fail(context, HT_ERR_INVALID, "eta %g, expected 0 to 1", eta);
    }
    config->eta = eta;
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
        [HT_SIGMA_DEFAULT] = "normal",          [HT_SIGMA_KARRAS] = "karras",
        [HT_SIGMA_EXPONENTIAL] = "exponential", [HT_SIGMA_BETA] = "beta",
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
