// Settings of a PNG into the form.
#include "form_internal.h"

#include "common/infotext.h"

#include <math.h>

gboolean gui_form_read_png(GuiForm *f, const char *path, char *why, size_t why_bytes) {
    ht_infotext info;
    if (!ht_infotext_read(path, &info, why, why_bytes)) {
        return FALSE;
    }
    // What the file does not say stays as it is.
    char reason[256], *own = gui_form_text(f->prompt);
    GuiJob *now = gui_form_job(f, reason, sizeof(reason));
    GuiChoice *model = gui_form_model(f);
    ht_job job = now ? now->spec : ht_job_defaults;
    job.prompt = info.prompt ? info.prompt : own;
    job.negative_prompt = info.negative;
    job.model = info.model ? info.model : model ? model->value : job.model;
    job.recipe = info.recipe && g_strcmp0(info.recipe, "fp16") != 0 ? info.recipe : NULL;
    job.sampler = info.sampler;
    job.schedule = info.schedule;
    job.steps = info.steps > 0 ? info.steps : job.steps;
    job.width = info.width > 0 ? info.width : job.width;
    job.height = info.height > 0 ? info.height : job.height;
    job.cfg_scale = isnan(info.cfg_scale) ? job.cfg_scale : info.cfg_scale;
    job.strength = isnan(info.strength) ? job.strength : info.strength;
    job.seed = info.has_seed && info.seed <= INT64_MAX ? (int64_t)info.seed : -1;
    job.batch_count = 1;
    const gboolean all = gui_form_set_job(f, &job, why, why_bytes);
    g_clear_object(&now);
    ht_infotext_free(&info);
    g_free(own);
    return all;
}
