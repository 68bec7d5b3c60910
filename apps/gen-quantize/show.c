// Statistics for people: a table of inputs, and a plot of their ranges over the steps.
#include "quantize.h"

#include "common/files.h"

#include <halftone/calibrate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const stages[] = {"time", "text", "step"};
static const double SHARE = 0.999;

static double size_at(const ht_input_stats *s, uint32_t step) {
    return fmax(-s->ranges[step].least, s->ranges[step].most);
}

static double percentile_at(const ht_input_stats *s, uint32_t step) {
    return ht_clip_percentile(s->histograms + (size_t)step * HT_HISTOGRAM_BINS, s->ranges[step].bin,
                              SHARE);
}

// Largest channel against the middle one: how uneven the channels are.
static double channel_ratio(const ht_input_stats *s) {
    double most = 0, sum = 0;
    for (uint32_t k = 0; k < s->width; ++k) {
        double size = 0;
        for (uint32_t i = 0; i < s->steps; ++i) {
            size = fmax(size, (double)s->channel_max[(size_t)i * s->width + k]);
        }
        most = fmax(most, size);
        sum += size;
    }
    return sum > 0 ? most * s->width / sum : 0;
}

static void print_row(const char *layer, const ht_input_stats *s) {
    const uint32_t last = s->steps - 1;
    char kernel[32] = "";
    if (s->kernel_h * s->kernel_w > 1) {
        snprintf(kernel, sizeof(kernel), " %ux%u", s->kernel_h, s->kernel_w);
    }
    printf("%-52s %s %6u%-4s %9.3g %9.3g %9.3g %9.3g %6.1f%s%s\n", layer, stages[s->stage], s->width,
           kernel, size_at(s, 0), percentile_at(s, 0), size_at(s, last), percentile_at(s, last),
           channel_ratio(s), strcmp(layer, s->name) ? "  = " : "",
           strcmp(layer, s->name) ? s->name : "");
}

// Tokens whose size stands out, of the texts that cross-attention reads.
static void print_tokens(const ht_input_stats *s) {
    double middle = 0;
    uint32_t used = 0;
    for (uint32_t t = 0; t < s->tokens; ++t) {
        middle += s->token_sum[t] / s->token_texts;
        used += s->token_sum[t] > 0;
    }
    middle = used ? middle / used : 0;
    printf("text read by %s: %u positions in use, largest value of a token %.3g on average;"
           " by position:",
           s->name, used, middle);
    uint32_t shown = 0;
    for (uint32_t t = 0; t < s->tokens; ++t) {
        if (s->token_sum[t] / s->token_texts > 2 * middle) {
            printf(" %u: %.3g", t, s->token_sum[t] / s->token_texts);
            ++shown;
        }
    }
    printf("%s\n  first token: %.3g, differs between texts by %.2g at most\n",
           shown ? "" : " none is twice that", s->token_sum[0] / s->token_texts, s->first_spread);
}

static void print_table(const ht_stats *stats) {
    const char *layer;
    const ht_input_stats *s;
    uint32_t steps;
    ht_stats_timesteps(stats, &steps);
    printf("%u prompts, %u steps; %s\n\n", ht_stats_prompts(stats), steps,
           ht_stats_conditions(stats));
    printf("%-52s %s %6s%-4s %9s %9s %9s %9s %6s\n", "layer", "in  ", "width", "", "max first",
           "99.9 %", "max last", "99.9 %", "uneven");
    for (uint32_t i = 0; ht_stats_layer(stats, i, &layer, &s); ++i) {
        print_row(layer, s);
    }
    printf("\nuneven: largest channel / mean of the channels' maxima\n");
    for (uint32_t i = 0; i < ht_stats_count(stats); ++i) {
        s = ht_stats_get(stats, i);
        if (s->tokens > 0 && s->token_texts > 0) {
            print_tokens(s);
            break;
        }
    }
}

// ---- plot

enum { WIDTH = 900, HEIGHT = 560, LEFT = 60, TOP = 40, INNER_W = 820, INNER_H = 460 };

typedef struct frame {
    double low, high; // decades
    uint32_t steps;
} frame;

static double plot_x(const frame *f, uint32_t step) {
    return LEFT + (f->steps > 1 ? (double)step * INNER_W / (f->steps - 1) : INNER_W / 2.0);
}

static double plot_y(const frame *f, double value) {
    const double decade = log10(fmax(value, 1e-30));
    return TOP + INNER_H * (f->high - fmin(fmax(decade, f->low), f->high)) / (f->high - f->low);
}

static frame fit(const ht_stats *stats) {
    frame f = {.low = 30, .high = -30};
    ht_stats_timesteps(stats, &f.steps);
    for (uint32_t i = 0; i < ht_stats_count(stats); ++i) {
        const ht_input_stats *s = ht_stats_get(stats, i);
        for (uint32_t step = 0; s->stage == HT_STATS_STEP && step < s->steps; ++step) {
            const double value = percentile_at(s, step);
            if (value > 0) {
                f.low = fmin(f.low, floor(log10(value)));
                f.high = fmax(f.high, ceil(log10(value)));
            }
        }
    }
    if (!(f.high > f.low)) {
        f.low = fmin(f.low, 0);
        f.high = f.low + 1;
    }
    return f;
}

static void plot_axes(FILE *out, const ht_stats *stats, const frame *f) {
    uint32_t count;
    const float *timesteps = ht_stats_timesteps(stats, &count);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"20\">99.9 %% of |x| below, per layer input, over the timesteps</text>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    for (double decade = f->low; decade <= f->high; ++decade) {
        const double y = plot_y(f, pow(10, decade));
        fprintf(out,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%g</text>\n",
                LEFT, y, LEFT + INNER_W, LEFT - 6, y + 4, pow(10, decade));
    }
    for (uint32_t i = 0; i < count; i += count / 16 + 1) {
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n", plot_x(f, i),
                TOP + INNER_H + 20, (double)timesteps[i]);
    }
}

static void plot_lines(FILE *out, const ht_stats *stats, const frame *f) {
    static const char *const colors[] = {"#1b6ca8", "#c0392b", "#27803b", "#8e44ad",
                                         "#b9770e", "#34495e", "#16a085", "#7f3f1f"};
    for (uint32_t i = 0; i < ht_stats_count(stats); ++i) {
        const ht_input_stats *s = ht_stats_get(stats, i);
        if (s->stage != HT_STATS_STEP) {
            continue;
        }
        fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" opacity=\"0.7\" points=\"",
                colors[i % (sizeof(colors) / sizeof(*colors))]);
        for (uint32_t step = 0; step < s->steps; ++step) {
            fprintf(out, "%.1f,%.1f ", plot_x(f, step), plot_y(f, percentile_at(s, step)));
        }
        fprintf(out, "\"><title>%s</title></polyline>\n", s->name); // names are plain ASCII here
    }
    fputs("</svg>\n", out);
}

static bool write_plot(const quantize_options *o, const ht_stats *stats, ht_app_log *log) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory";
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    const frame f = fit(stats);
    if (out) {
        plot_axes(out, stats, &f);
        plot_lines(out, stats, &f);
    }
    snprintf(path, sizeof(path), "%s.svg", o->show_stats);
    const bool good = out && fclose(out) == 0 && text &&
                      ht_file_write(o->plot ? o->plot : path, text, bytes, true, why, sizeof(why));
    free(text);
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
    } else if (!o->quiet) {
        fprintf(stderr, "ranges over timesteps: %s\n", o->plot ? o->plot : path);
    }
    return good;
}

bool quantize_show(const quantize_options *options, ht_app_log *log) {
    const ht_context_desc desc = {
        .host_only = true,
        .log = {.write = ht_app_log_write, .user = log, .level = log->level}};
    ht_context *context = NULL;
    ht_stats *stats = NULL;
    const bool good = ht_context_create(&desc, &context) == HT_OK &&
                      ht_stats_open(context, options->show_stats, &stats) == HT_OK;
    if (good) {
        print_table(stats);
    }
    const bool plotted = good && write_plot(options, stats, log);
    ht_stats_destroy(&stats);
    ht_context_destroy(&context);
    return plotted;
}
