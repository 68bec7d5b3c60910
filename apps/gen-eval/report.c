// The results as a table and as JSON.
#include "eval.h"

#include "common/files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENOISER = 1 };

// "-" for what is not defined or infinite.
static const char *figure(char text[16], double value, const char *format) {
    if (isfinite(value)) {
        switch (format[0]) {
        case '1': snprintf(text, 16, "%.1f", value); break;
        case '4': snprintf(text, 16, "%.4f", value); break;
        default: snprintf(text, 16, "%.2f", value); break;
        }
    } else {
        snprintf(text, 16, "-");
    }
    return text;
}

static double mib(uint64_t bytes) {
    return (double)bytes / (1 << 20);
}

static void print_adherence(const eval *e) {
    const ht_judge_config *judge = &e->judge.config;
    const ht_judge_head *kind = &judge->head[0];
    printf("\nadherence by %s, then by attribute (%% right of those demanded)\n%-12s", kind->name,
           "");
    for (uint32_t i = 0; i < kind->count; ++i) {
        printf(" %12s", kind->classes[i]);
    }
    for (uint32_t h = 0; h < judge->heads; ++h) {
        if (judge->head[h].judged && e->recipes[0].head_tries[h] > 0) {
            printf(" %8s", judge->head[h].name);
        }
    }
    putchar('\n');
    for (uint32_t i = 0; i < e->done; ++i) {
        const eval_recipe *r = &e->recipes[i];
        char text[16];
        printf("%-12s", r->name);
        for (uint32_t k = 0; k < kind->count; ++k) {
            double share = r->kind_tries[k] ? 100.0 * r->kind_hits[k] / r->kind_tries[k] : NAN;
            printf(" %12s", figure(text, share, "1"));
        }
        for (uint32_t h = 0; h < judge->heads; ++h) {
            if (judge->head[h].judged && r->head_tries[h] > 0) {
                printf(" %8.1f", 100.0 * r->head_hits[h] / r->head_tries[h]);
            }
        }
        putchar('\n');
    }
}

void eval_table(const eval *e) {
    char a[16], b[16], c[16], d[16], median[16];
    printf("%s, %s: %zu prompts, %u steps, guidance %g, against %s\n\n", e->model_path, e->device,
           e->prompts.count, e->steps, (double)e->cfg_scale, e->recipes[0].name);
    printf("%-12s %8s %8s %8s %8s %9s %11s %10s %10s %9s\n", "recipe", "PSNR dB", "median", "SSIM",
           "SQNR dB", "adherence", "weights MiB", "plan MiB", "peak MiB", "s/step");
    for (uint32_t i = 0; i < e->done; ++i) {
        const eval_recipe *r = &e->recipes[i];
        printf("%-12s %8s %8s %8s %8s %9s %11.2f %10.1f %10.1f %9.3f\n", r->name,
               figure(a, r->psnr, "2"), figure(median, i > 0 ? r->psnr_median : NAN, "2"),
               figure(b, i > 0 ? r->ssim : NAN, "4"), figure(c, r->sqnr, "2"),
               figure(d, e->judging ? r->right * 100 : NAN, "2"),
               mib(r->parts[DENOISER].weight_bytes), mib(r->planned_peak), mib(r->measured_peak),
               r->step_seconds);
    }
    if (e->judging) {
        print_adherence(e);
    }
    printf("\n%s/index.html\n", e->options->output);
}

// JSON has no infinity: null.
static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static const char *class_name(const eval *e, uint32_t head, int index) {
    return index < 0 ? NULL : e->judge.config.head[head].classes[index];
}

static json_t *picture_json(const eval *e, const eval_recipe *r, size_t index) {
    const eval_picture *p = &r->pictures[index];
    const eval_prompt *prompt = &e->prompts.items[index];
    char path[PATH_MAX];
    json_t *json = json_object();
    eval_picture_path(e, r->name, index, true, path);
    json_object_set_new(json, "path", json_string(path));
    json_object_set_new(json, "prompt", json_string(prompt->text));
    json_object_set_new(json, "seed", json_integer((json_int_t)p->seed));
    json_object_set_new(json, "seconds", real(p->seconds));
    if (r != &e->recipes[0]) {
        json_object_set_new(json, "psnr_db", real(p->psnr));
        json_object_set_new(json, "ssim", real(p->ssim));
        json_object_set_new(json, "latent_sqnr_db", real(p->sqnr));
    }
    if (e->judging && prompt->wants) {
        json_t *wrong = json_object();
        for (uint32_t h = 0; h < e->judge.config.heads; ++h) {
            if (prompt->want[h] >= 0 && prompt->want[h] != p->read[h]) {
                json_object_set_new(wrong, e->judge.config.head[h].name,
                                    json_pack("{s:s, s:s}", "want",
                                              class_name(e, h, prompt->want[h]), "read",
                                              class_name(e, h, p->read[h])));
            }
        }
        json_object_set_new(json, "right", json_boolean(p->right));
        json_object_set_new(json, "wrong", wrong);
    }
    return json;
}

static json_t *hits(uint32_t right, uint32_t of) {
    return json_pack("{s:f, s:i, s:i}", "share", of ? (double)right / of : 0.0, "right", (int)right,
                     "of", (int)of);
}

static void add_adherence(const eval *e, const eval_recipe *r, json_t *json) {
    const ht_judge_config *judge = &e->judge.config;
    const ht_judge_head *kind = &judge->head[0];
    char key[HT_JUDGE_NAME + 16];
    json_t *kinds = json_object(), *attributes = json_object();
    for (uint32_t i = 0; i < kind->count; ++i) {
        if (r->kind_tries[i] > 0) {
            json_object_set_new(kinds, kind->classes[i], hits(r->kind_hits[i], r->kind_tries[i]));
        }
    }
    for (uint32_t h = 0; h < judge->heads; ++h) {
        if (r->head_tries[h] > 0) {
            json_object_set_new(attributes, judge->head[h].name,
                                hits(r->head_hits[h], r->head_tries[h]));
        }
    }
    json_object_set_new(json, "adherence", real(r->right));
    snprintf(key, sizeof(key), "adherence_by_%s", kind->name);
    json_object_set_new(json, key, kinds);
    json_object_set_new(json, "attributes", attributes);
}

static json_t *recipe_json(const eval *e, const eval_recipe *r) {
    json_t *json = json_object(), *parts = json_array(), *pictures = json_array();
    json_object_set_new(json, "recipe", json_string(r->name));
    if (r != &e->recipes[0]) {
        json_object_set_new(json, "psnr_db", real(r->psnr));
        json_object_set_new(json, "psnr_mean_db", real(r->psnr_mean));
        json_object_set_new(json, "psnr_median_db", real(r->psnr_median));
        json_object_set_new(json, "same_pictures", json_integer((json_int_t)r->same));
        json_object_set_new(json, "ssim", real(r->ssim));
        json_object_set_new(json, "latent_sqnr_db", real(r->sqnr));
    }
    if (e->judging) {
        add_adherence(e, r, json);
    }
    json_object_set_new(json, "denoiser_weight_bytes",
                        json_integer((json_int_t)r->parts[DENOISER].weight_bytes));
    json_object_set_new(json, "planned_peak_bytes", json_integer((json_int_t)r->planned_peak));
    json_object_set_new(json, "measured_peak_bytes", json_integer((json_int_t)r->measured_peak));
    json_object_set_new(json, "step_seconds_median", real(r->step_seconds));
    json_object_set_new(json, "open_seconds", real(r->open_seconds));
    json_object_set_new(json, "total_seconds", real(r->total_seconds));
    for (size_t i = 0; i < HT_REPORT_PARTS; ++i) {
        if (!r->parts[i].name[0]) {
            continue;
        }
        json_array_append_new(parts,
                              json_pack("{s:s, s:I, s:I}", "name", r->parts[i].name, "weight_bytes",
                                        (json_int_t)r->parts[i].weight_bytes, "activation_bytes",
                                        (json_int_t)r->parts[i].activation_bytes));
    }
    for (size_t i = 0; i < r->made; ++i) {
        json_array_append_new(pictures, picture_json(e, r, i));
    }
    json_object_set_new(json, "parts", parts);
    json_object_set_new(json, "pictures", pictures);
    return json;
}

bool eval_report_write(const eval *e) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory";
    json_t *recipes = json_array();
    for (uint32_t i = 0; i < e->done; ++i) {
        json_array_append_new(recipes, recipe_json(e, &e->recipes[i]));
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:f, s:I, s:s, s:o}", "version", HT_VERSION,
        "model", e->model_path, "device", e->device, "driver", e->driver, "prompts_file",
        e->prompts.path, "reference", e->recipes[0].name, "prompts", (int)e->prompts.count, "steps",
        (int)e->steps, "cfg_scale", (double)e->cfg_scale, "seed", (json_int_t)e->options->seed,
        "ssim_of", "luma, 11x11 Gaussian window", "recipes", recipes);
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) : NULL;
    snprintf(path, sizeof(path), "%s/report.json", e->options->output);
    bool good =
        text && ht_file_write(path, text, strlen(text), e->options->overwrite, why, sizeof(why));
    if (!good) {
        ht_app_say(e->log, HT_LOG_ERROR, "no report: %s", why);
    }
    free(text);
    json_decref(json);
    return good;
}
