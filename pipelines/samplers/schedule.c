// Noise tables and spacings shared by the samplers.
#include "sampler_internal.h"

#include <math.h>

// As torch.linspace does in f32: from both ends towards the middle.
static float linspace_f32(float start, float end, uint32_t count, uint32_t i) {
    float step = (end - start) / (float)(count - 1);
    return i < count / 2 ? start + step * (float)i : end - step * (float)(count - 1 - i);
}

static double cosine_level(double u) {
    double c = cos((u + 0.008) / 1.008 * 1.5707963267948966);
    return c * c;
}

static float beta_at(const ht_sampler_config *c, uint32_t i) {
    uint32_t n = c->train_steps;
    if (n == 1) {
        return (float)c->beta_start;
    }
    if (c->beta_curve == HT_BETA_LINEAR) {
        return linspace_f32((float)c->beta_start, (float)c->beta_end, n, i);
    }
    if (c->beta_curve == HT_BETA_SCALED_LINEAR) {
        float root = linspace_f32((float)sqrt(c->beta_start), (float)sqrt(c->beta_end), n, i);
        return root * root;
    }
    double beta = 1 - cosine_level((i + 1.0) / n) / cosine_level((double)i / n);
    return (float)(beta < 0.999 ? beta : 0.999);
}

// Shift and scale the square roots so that the last level has no signal left.
static void rescale_zero_snr(float *alphas_cumprod, uint32_t n) {
    float first = sqrtf(alphas_cumprod[0]), last = sqrtf(alphas_cumprod[n - 1]);
    float scale = first / (first - last);
    float before = 1, product_before = 1;
    double product = 1;
    for (uint32_t i = 0; i < n; ++i) {
        float root = (sqrtf(alphas_cumprod[i]) - last) * scale;
        float square = root * root;
        // The reference goes through betas and multiplies up again; its rounding is kept.
        float alpha = i == 0 ? square : square / before;
        float beta = 1.0f - alpha;
        before = square;
        product *= 1.0f - beta;
        product_before = (float)product;
        alphas_cumprod[i] = product_before;
    }
}

// Square root of level i, the ratio of signal to noise shifted; *product is that of the levels so far.
static double shifted_signal(const ht_sampler_config *c, uint32_t i, double *product) {
    const double low = sqrt(c->beta_start), high = sqrt(c->beta_end);
    const double root = low + (high - low) * i / (c->train_steps - 1.0);
    *product *= 1 - (c->beta_curve == HT_BETA_SCALED_LINEAR ? root * root : beta_at(c, i));
    return sqrt(*product / (c->snr_shift + (1 - c->snr_shift) * *product));
}

// As CogVideoX's classes do, in f64; the levels themselves, not their betas, are rescaled.
static void shifted_alphas_cumprod(const ht_sampler_config *c, float *alphas_cumprod) {
    double product = 1, first = 0, last = 0;
    for (uint32_t i = 0; i < c->train_steps; ++i) {
        last = shifted_signal(c, i, &product);
        first = i == 0 ? last : first;
    }
    const double end = c->zero_snr ? last : 0, scale = c->zero_snr ? first / (first - last) : 1;
    product = 1;
    for (uint32_t i = 0; i < c->train_steps; ++i) {
        const double signal = (shifted_signal(c, i, &product) - end) * scale;
        alphas_cumprod[i] = (float)(signal * signal);
    }
}

static void plain_alphas_cumprod(const ht_sampler_config *c, float *alphas_cumprod) {
    double product = 1;
    for (uint32_t i = 0; i < c->train_steps; ++i) {
        product *= 1.0f - beta_at(c, i);
        alphas_cumprod[i] = (float)product;
    }
    if (c->zero_snr) {
        rescale_zero_snr(alphas_cumprod, c->train_steps);
    }
}

void ht_schedule_alphas_cumprod(const ht_sampler_config *config, float *alphas_cumprod) {
    const ht_sampler_kind kind = config->kind;
    const bool starts_without_signal =
        kind == HT_SAMPLER_DDIM || kind == HT_SAMPLER_TCD || kind == HT_SAMPLER_DPM_TABLE;
    if (config->snr_shift > 0) {
        shifted_alphas_cumprod(config, alphas_cumprod);
    } else {
        plain_alphas_cumprod(config, alphas_cumprod);
    }
    if (config->zero_snr && !starts_without_signal) { // so that the first level is not infinite
        alphas_cumprod[config->train_steps - 1] = 0x1p-24f;
    }
}

double ht_schedule_sigma(const ht_sampler *s, uint32_t timestep) {
    float a = s->alphas_cumprod[timestep];
    return sqrtf((1.0f - a) / a);
}

double ht_schedule_interpolate(const ht_sampler *s, double timestep) {
    uint32_t last = s->config.train_steps - 1;
    if (timestep <= 0) {
        return ht_schedule_sigma(s, 0);
    }
    if (timestep >= last) {
        return ht_schedule_sigma(s, last);
    }
    uint32_t low = (uint32_t)timestep;
    double a = ht_schedule_sigma(s, low), b = ht_schedule_sigma(s, low + 1);
    return a + (b - a) * (timestep - low);
}

void ht_schedule_space(const ht_sampler_config *config, uint32_t steps, uint32_t last,
                       bool multistep, bool round_linspace, double *timesteps) {
    // The multistep classes space N + 1 points and drop the smallest.
    uint32_t points = steps + (multistep ? 1 : 0);
    double train = config->train_steps, ratio = train / steps;
    uint32_t whole = (multistep ? last : config->train_steps) / points;
    for (uint32_t i = 0; i < steps; ++i) {
        uint32_t from_end = points - 1 - i;
        double t = 0;
        switch (config->spacing) {
        case HT_SPACING_LINSPACE:
            t = points > 1 ? from_end * ((last - 1.0) / (points - 1)) : 0;
            t = round_linspace ? rint(t) : t;
            break;
        case HT_SPACING_LEADING: t = (double)from_end * whole + config->steps_offset; break;
        case HT_SPACING_TRAILING: t = rint(last - i * ratio) - 1; break;
        }
        timesteps[i] = t;
    }
}

double ht_schedule_timestep(const ht_sampler *s, double sigma) {
    double level = log(sigma > 1e-10 ? sigma : 1e-10);
    uint32_t low = 0, last = s->config.train_steps - 1;
    for (uint32_t i = 0; i < last && level >= logf((float)ht_schedule_sigma(s, i)); ++i) {
        low = i;
    }
    double a = logf((float)ht_schedule_sigma(s, low));
    double b = logf((float)ht_schedule_sigma(s, low + 1));
    double w = (a - level) / (a - b);
    w = w < 0 ? 0 : w > 1 ? 1 : w;
    return (1 - w) * low + w * (low + 1);
}
