// A job of the queue, and how it is told in words.
#include "job.h"

#include <glib/gi18n.h>
#include <inttypes.h>

G_DEFINE_TYPE(GuiJob, gui_job, G_TYPE_OBJECT)

enum { SIGNAL_CHANGED, SIGNAL_RESULT, SIGNALS };
static guint signals[SIGNALS];

void gui_result_free(gpointer data) {
    GuiResult *result = data;
    g_free(result->path);
    g_clear_object(&result->texture);
    g_clear_pointer(&result->frames, g_ptr_array_unref);
    g_free(result);
}

static void finalize(GObject *object) {
    GuiJob *job = GUI_JOB(object);
    ht_job_clear(&job->spec);
    g_clear_object(&job->preview);
    g_ptr_array_unref(job->results);
    g_free(job->device);
    g_free(job->error);
    G_OBJECT_CLASS(gui_job_parent_class)->finalize(object);
}

static void gui_job_class_init(GuiJobClass *class) {
    G_OBJECT_CLASS(class)->finalize = finalize;
    signals[SIGNAL_CHANGED] = g_signal_new("changed", GUI_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL,
                                           NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_RESULT] = g_signal_new("result", GUI_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                          NULL, G_TYPE_NONE, 0);
}

static void gui_job_init(GuiJob *job) {
    job->results = g_ptr_array_new_with_free_func(gui_result_free);
}

GuiJob *gui_job_new(const ht_job *spec) {
    GuiJob *job = g_object_new(GUI_TYPE_JOB, NULL);
    if (!ht_job_copy(spec, &job->spec)) {
        g_clear_object(&job);
    }
    return job;
}

void gui_job_changed(GuiJob *job) {
    g_signal_emit(job, signals[SIGNAL_CHANGED], 0);
}

// Only the last one's pixels are kept: a job may have hundreds of pictures, and all are on the disk.
void gui_job_add_result(GuiJob *job, GuiResult *result) {
    if (job->results->len > 0) {
        GuiResult *last = g_ptr_array_index(job->results, job->results->len - 1);
        g_clear_object(&last->texture);
        g_clear_pointer(&last->frames, g_ptr_array_unref);
    }
    g_ptr_array_add(job->results, result);
    g_set_object(&job->preview, result->texture);
    g_signal_emit(job, signals[SIGNAL_RESULT], 0);
}

double gui_job_fraction(const GuiJob *job) {
    const GuiProgress *p = &job->progress;
    if (job->state == GUI_JOB_DONE) {
        return 1;
    }
    if (job->state != GUI_JOB_RUNNING || p->count == 0) {
        return 0;
    }
    // Of one picture: a tenth for what comes before the steps and a tenth for decoding.
    double part = p->phase < HT_PHASE_SAMPLE    ? 0.02
                  : p->phase == HT_PHASE_DECODE ? 0.9
                  : p->steps > 0                ? 0.1 + 0.8 * p->step / p->steps
                                                : 0.1;
    return (p->index + part) / p->count;
}

static const char *phase_name(ht_phase phase) {
    switch (phase) {
    case HT_PHASE_LOAD: return _("Loading the model");
    case HT_PHASE_TEXT: return _("Reading the prompt");
    case HT_PHASE_PICTURE: return _("Reading the picture");
    case HT_PHASE_SAMPLE: return _("Drawing");
    default: return _("Developing");
    }
}

char *gui_job_phase_text(const GuiJob *job) {
    const GuiProgress *p = &job->progress;
    char *step = p->phase == HT_PHASE_SAMPLE && p->steps > 0
                     ? g_strdup_printf(_("Step %u of %u"), MIN(p->step + 1, p->steps), p->steps)
                     : g_strdup(phase_name(p->phase));
    if (p->count > 1) {
        char *all = g_strdup_printf(_("Picture %u of %u · %s"), p->index + 1, p->count, step);
        g_free(step);
        return all;
    }
    return step;
}

static void add_part(GString *text, char *part) {
    if (text->len > 0) {
        g_string_append(text, " · ");
    }
    g_string_append(text, part);
    g_free(part);
}

static char *size_text(uint64_t bytes) {
    return g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
}

char *gui_job_figures(const GuiJob *job) {
    const GuiProgress *p = &job->progress;
    GString *text = g_string_new(NULL);
    if (p->phase == HT_PHASE_SAMPLE && p->step > 0 && p->seconds > 0) {
        const double rate = p->step / p->seconds, left = (p->steps - p->step) / rate;
        add_part(text, rate >= 1 ? g_strdup_printf(_("%.1f it/s"), rate)
                                 : g_strdup_printf(_("%.1f s/it"), 1 / rate));
        add_part(text, left >= 90 ? g_strdup_printf(_("%.0f min left"), left / 60)
                                  : g_strdup_printf(_("%.0f s left"), left));
    }
    if (p->device_bytes > 0) {
        char *size = size_text(p->device_bytes);
        add_part(text, g_strdup_printf(_("%s on the device"), size));
        g_free(size);
    }
    return g_string_free(text, FALSE);
}

char *gui_recipe_name(const char *recipe) {
    if (!recipe || !*recipe) {
        return g_strdup("fp16");
    }
    char *name = g_path_get_basename(recipe);
    if (g_str_has_suffix(name, ".json")) {
        name[strlen(name) - 5] = 0;
    }
    return name;
}

char *gui_job_caption(const GuiJob *job) {
    const ht_report *r = &job->report;
    if (job->results->len == 0) {
        return g_strdup("");
    }
    const GuiResult *last = g_ptr_array_index(job->results, job->results->len - 1);
    char *recipe = gui_recipe_name(*r->recipe ? r->recipe : job->spec.recipe);
    char *text = g_strdup_printf(_("%u × %u · seed %" PRIu64 " · %s · %.2f s"), r->width, r->height,
                                 last->seed, recipe, r->total_seconds);
    g_free(recipe);
    return text;
}

char *gui_job_summary(const GuiJob *job) {
    const ht_job *spec = &job->spec;
    GString *text = g_string_new(NULL);
    char *model = g_path_get_basename(spec->model);
    add_part(text, model);
    if (spec->recipe) {
        add_part(text, gui_recipe_name(spec->recipe));
    }
    if (spec->steps > 0) {
        add_part(text, g_strdup_printf(ngettext("%u step", "%u steps", spec->steps), spec->steps));
    }
    if (spec->frames > 1) {
        add_part(text,
                 g_strdup_printf(ngettext("%u frame", "%u frames", spec->frames), spec->frames));
    }
    if (spec->batch_count > 1) {
        add_part(text, g_strdup_printf(ngettext("%u picture", "%u pictures", spec->batch_count),
                                       spec->batch_count));
    }
    return g_string_free(text, FALSE);
}
