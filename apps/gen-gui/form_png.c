// Settings of a PNG into the form.
#include "form_internal.h"

#include "common/infotext.h"
#include "common/job_parts.h"

#include <glib/gi18n.h>

// A picture names files without their folders: those that were used here before are found again. FALSE:
// there is none of that name.
static gboolean locate(GuiForm *f, const char *name, GPtrArray *texts, const char **path) {
    float scale;
    const size_t length = ht_job_lora_path(name, &scale);
    char *file = g_strndup(name, length), *found = gui_settings_find(f->settings, file);
    *path = found ? g_strconcat(found, name + length, NULL) : NULL;
    if (found) {
        g_ptr_array_add(texts, (char *)*path);
    }
    g_free(file);
    g_free(found);
    return *path != NULL;
}

// All files that the form has a place for. Those that are not here are left out, and the last one named in
// `missing`.
static void locate_all(GuiForm *f, ht_job *job, GPtrArray *texts, char **missing) {
    const char **const fields[] = {&job->init_image, &job->mask, &job->control,
                                   &job->control_image};
    const char *path;
    ht_flag_list found = {.count = 0};
    for (size_t i = 0; i < G_N_ELEMENTS(fields); ++i) {
        const char *name = *fields[i];
        if (name && !locate(f, name, texts, fields[i])) {
            g_free(*missing);
            *missing = g_strdup(name);
        }
    }
    for (uint32_t i = 0; i < job->loras.count; ++i) {
        if (locate(f, job->loras.items[i], texts, &path)) {
            found.items[found.count++] = path;
        } else {
            g_free(*missing);
            *missing = g_strdup(job->loras.items[i]);
        }
    }
    job->loras = found;
}

// What other programs do not say stays as it is; ours say everything.
static void fill_gaps(GuiForm *f, const ht_infotext *info, const ht_job *now, ht_job *job) {
    const gboolean ours = g_strcmp0(info->source, "halftone") == 0;
    GuiChoice *model = gui_form_model(f);
    job->prompt = job->prompt ? job->prompt : now->prompt;
    job->model = job->model ? job->model : model ? model->value : now->model;
    job->recipe = g_strcmp0(job->recipe, "fp16") != 0 ? job->recipe : NULL;
    job->steps = job->steps > 0 ? job->steps : now->steps;
    job->width = job->width > 0 ? job->width : now->width;
    job->height = job->height > 0 ? job->height : now->height;
    job->cfg_scale = job->cfg_scale >= 0 ? job->cfg_scale : now->cfg_scale;
    job->strength = job->strength >= 0 ? job->strength : now->strength;
    job->batch_count = 1;
    if (!ours) {
        job->init_image = now->init_image;
        job->mask = now->mask;
    }
}

gboolean gui_form_read_png(GuiForm *f, const char *path, char *why, size_t why_bytes) {
    ht_infotext info;
    if (!ht_infotext_read(path, &info, why, why_bytes)) {
        return FALSE;
    }
    char reason[256], *own = gui_form_text(f->prompt), *missing = NULL;
    GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
    GuiJob *form = gui_form_job(f, reason, sizeof(reason));
    ht_job now = form ? form->spec : ht_job_defaults, job = info.job; // borrows its texts
    now.prompt = own;
    locate_all(f, &job, texts, &missing);
    fill_gaps(f, &info, &now, &job);
    gboolean all = gui_form_set_job(f, &job, why, why_bytes);
    if (all && missing) {
        g_snprintf(why, why_bytes,
                   _("The picture was made with “%s”, which is not known here: it is left out."),
                   missing);
        all = FALSE;
    }
    g_free(missing);
    g_ptr_array_unref(texts);
    g_clear_object(&form);
    ht_infotext_free(&info);
    g_free(own);
    return all;
}

void gui_form_remember_files(GuiForm *f, const ht_job *job) {
    const char *const paths[] = {job->init_image, job->mask, job->control, job->control_image};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); ++i) {
        if (paths[i]) {
            gui_settings_remember(f->settings, paths[i]);
        }
    }
    for (uint32_t i = 0; i < job->loras.count; ++i) {
        float scale;
        char *path = g_strdup(job->loras.items[i]);
        path[ht_job_lora_path(path, &scale)] = 0;
        gui_settings_remember(f->settings, path);
        g_free(path);
    }
}
