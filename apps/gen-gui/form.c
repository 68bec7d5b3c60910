// The form: its widgets, the lists behind them, and what is remembered.
#include "form_internal.h"

#include "fields.h"
#include "wheel.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

G_DEFINE_TYPE(GuiForm, gui_form, ADW_TYPE_BIN)

static const ht_pipeline_info UNKNOWN = {
    .width = 512, .height = 512, .steps = 20, .grid = 8, .cfg_scale = 7};

static const double USUAL_FPS = 16;

// ---- texts

char *gui_form_text(GtkTextView *view) {
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(view);
    GtkTextIter start, end;
    gtk_text_buffer_get_bounds(buffer, &start, &end);
    return gtk_text_buffer_get_text(buffer, &start, &end, FALSE);
}

static void text_changed(GtkTextBuffer *buffer, GtkWidget *hint) {
    gtk_widget_set_visible(hint, gtk_text_buffer_get_char_count(buffer) == 0);
}

static void bind_hint(GtkTextView *view, GtkLabel *hint) {
    g_signal_connect(gtk_text_view_get_buffer(view), "changed", G_CALLBACK(text_changed), hint);
}

// ---- lists

static GuiChoice *chosen(AdwComboRow *row) {
    return adw_combo_row_get_selected_item(row);
}

GuiChoice *gui_form_model(GuiForm *f) {
    return chosen(f->model_row);
}

GListModel *gui_form_models(GuiForm *f) {
    return G_LIST_MODEL(f->models);
}

GListModel *gui_form_recipes(GuiForm *f) {
    return G_LIST_MODEL(f->recipes);
}

static void use_defaults(GuiForm *f, const ht_pipeline_info *info) {
    const guint place = adw_combo_row_get_selected(f->size_row);
    gui_form_fill_sizes(f, info);
    gui_form_set_size(f, f->widths[place < f->n_sizes ? place : 0],
                      f->heights[place < f->n_sizes ? place : 0]);
    gtk_spin_button_set_value(f->steps_spin, info->steps);
    gtk_spin_button_set_value(f->cfg_spin, info->cfg_scale);
    gtk_spin_button_set_value(f->frames_spin, MAX(info->frames, 1));
    gtk_spin_button_set_value(f->fps_spin, info->fps > 0 ? info->fps : USUAL_FPS);
    f->want_defaults = FALSE;
}

static void show_model(GuiForm *f) {
    GuiChoice *model = chosen(f->model_row);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(f->model_row),
                                model && model->detail ? model->detail : "");
    if (!model || !model->probed || model->error) {
        return;
    }
    gtk_widget_set_visible(f->clip_group, model->info.frames > 0);
    gui_form_show_abilities(f, &model->info);
    if (f->want_defaults) {
        use_defaults(f, &model->info);
    } else {
        uint32_t width, height;
        gui_form_get_size(f, &width, &height);
        gui_form_fill_sizes(f, &model->info);
        gui_form_set_size(f, width, height);
    }
}

static void model_chosen(GuiForm *f) {
    if (!f->filling) {
        f->want_defaults = TRUE;
        show_model(f);
    }
}

static void recipe_chosen(GuiForm *f) {
    GuiChoice *recipe = chosen(f->recipe_row);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(f->recipe_row),
                                recipe && recipe->detail ? recipe->detail : "");
}

static void attention_chosen(GuiForm *f) {
    if (f->attentions) {
        gui_form_attention_chosen(f);
    }
}

static void size_chosen(GuiForm *f) {
    if (!f->filling) {
        gui_form_size_chosen(f);
    }
}

static void sampler_chosen(GuiForm *f) {
    GuiChoice *sampler = chosen(f->sampler_row), *schedule = chosen(f->schedule_row);
    char *text = NULL;
    if (sampler && schedule) {
        text = sampler->value && schedule->value
                   ? g_strdup_printf("%s, %s", sampler->label, schedule->label)
                   : g_strdup(sampler->value ? sampler->label : schedule->label);
    }
    adw_expander_row_set_subtitle(f->sampler_expander, text ? text : "");
    g_free(text);
}

static void on_probed(gpointer user, GuiChoice *model) {
    GuiForm *f = user;
    if (model == chosen(f->model_row)) {
        show_model(f);
    }
}

void gui_form_find_models(GuiForm *f, const char *choose) {
    GListStore *found = gui_models_list();
    GuiChoice *old = chosen(f->model_row);
    char *wanted = g_strdup(choose ? choose : old ? old->value : "scenes-dit");
    g_cancellable_cancel(f->probing);
    g_clear_object(&f->probing);
    f->probing = g_cancellable_new();
    f->filling = choose == NULL;
    g_set_object(&f->models, found);
    adw_combo_row_set_model(f->model_row, G_LIST_MODEL(found));
    const int place = gui_choices_find(G_LIST_MODEL(found), wanted);
    adw_combo_row_set_selected(f->model_row, (guint)MAX(place, 0));
    f->filling = FALSE;
    show_model(f);
    gui_models_probe(G_LIST_MODEL(found), on_probed, f, f->probing);
    g_free(wanted);
    g_object_unref(found);
}

// ---- seed

static void seed_typed(GuiForm *f) {
    if (!f->filling) { // who types a seed wants it
        const char *text = gtk_editable_get_text(GTK_EDITABLE(f->seed_row));
        gtk_toggle_button_set_active(f->seed_lock, *text != 0);
    }
}

static void write_seed(GuiForm *f, uint64_t seed) {
    char *text = g_strdup_printf("%" PRIu64, seed);
    f->filling = TRUE;
    gtk_editable_set_text(GTK_EDITABLE(f->seed_row), text);
    f->filling = FALSE;
    g_free(text);
}

void gui_form_show_seed(GuiForm *f, uint64_t seed) {
    if (!gtk_toggle_button_get_active(f->seed_lock)) {
        write_seed(f, seed);
    }
}

void gui_form_new_seed(GuiForm *f) {
    write_seed(f, g_random_int());
    gtk_toggle_button_set_active(f->seed_lock, TRUE);
}

// ---- a job

// Controls whose number is a field of every job.
static const struct {
    const char *key;
    size_t spin; // in GuiForm
} numbers[] = {
    {"steps", offsetof(GuiForm, steps_spin)},
    {"cfg_scale", offsetof(GuiForm, cfg_spin)},
    {"batch_count", offsetof(GuiForm, count_spin)},
};

static GtkWidget *spin_of(GuiForm *f, size_t i) {
    return *(GtkWidget **)((char *)f + numbers[i].spin);
}

static gboolean read_seed(GuiForm *f, int64_t *seed, char *why, size_t why_bytes) {
    const char *text = gtk_editable_get_text(GTK_EDITABLE(f->seed_row));
    guint64 value = 0;
    *seed = -1;
    if (!gtk_toggle_button_get_active(f->seed_lock) || !*text) {
        return TRUE;
    }
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL)) {
        g_snprintf(why, why_bytes, _("The seed “%s” is not a whole number of at most 18 digits."),
                   text);
        return FALSE;
    }
    *seed = (int64_t)value;
    return TRUE;
}

GuiJob *gui_form_job(GuiForm *f, char *why, size_t why_bytes) {
    GuiChoice *model = chosen(f->model_row), *recipe = chosen(f->recipe_row);
    GuiChoice *sampler = chosen(f->sampler_row), *schedule = chosen(f->schedule_row);
    ht_job job = ht_job_defaults;
    if (!model) {
        g_snprintf(why, why_bytes, "%s", _("There is no model; put one into the models folder."));
        return NULL;
    }
    if (!read_seed(f, &job.seed, why, why_bytes)) {
        return NULL;
    }
    char *prompt = gui_form_text(f->prompt), *negative = gui_form_text(f->negative);
    job.prompt = g_strstrip(prompt);
    job.negative_prompt = *g_strstrip(negative) ? negative : NULL;
    job.model = model->value;
    job.recipe = recipe ? recipe->value : NULL;
    job.sampler = sampler ? sampler->value : NULL;
    job.schedule = schedule ? schedule->value : NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); ++i) {
        gui_field_read(spin_of(f, i), numbers[i].key, &job);
    }
    if (model->probed && model->info.frames > 0) {
        const int frames = gtk_spin_button_get_value_as_int(f->frames_spin);
        job.frames = frames > 1 ? (uint32_t)frames : 0;
        job.fps = frames > 1 ? gtk_spin_button_get_value(f->fps_spin) : 0;
    }
    gui_form_get_size(f, &job.width, &job.height);
    gui_form_read_more(f, &job);
    const gboolean no_pictures = model->probed && !model->error && !model->info.takes_pictures &&
                                 !model->info.begins_with_picture;
    job.init_image = no_pictures ? NULL : gui_start_path(f->start);
    if (job.init_image) {
        job.strength = gui_start_strength(f->start);
        job.mask = gui_start_mask(f->start);
    }
    GuiJob *out = NULL;
    if (!*prompt) {
        g_snprintf(why, why_bytes, "%s", _("Write what the picture shows first."));
    } else if (ht_job_finish(&job, TRUE, why, why_bytes)) {
        out = gui_job_new(&job);
    }
    g_free(prompt);
    g_free(negative);
    return out;
}

static void choose(AdwComboRow *row, GListStore *list, const char *value) {
    const int place = gui_choices_find(G_LIST_MODEL(list), value);
    adw_combo_row_set_selected(row, (guint)MAX(place, 0));
}

static void set_samplers(GuiForm *f, const ht_job *job) {
    char *sampler, *schedule;
    gui_sampler_names(job->sampler, job->schedule, &sampler, &schedule);
    choose(f->sampler_row, f->samplers, sampler);
    choose(f->schedule_row, f->schedules, schedule);
    g_free(sampler);
    g_free(schedule);
}

static gboolean set_model(GuiForm *f, const ht_job *job, char *why, size_t why_bytes) {
    const int model = gui_choices_find(G_LIST_MODEL(f->models), job->model);
    const int recipe = gui_choices_find(G_LIST_MODEL(f->recipes), job->recipe);
    if (model >= 0) {
        adw_combo_row_set_selected(f->model_row, (guint)model);
    }
    if (recipe >= 0) {
        adw_combo_row_set_selected(f->recipe_row, (guint)recipe);
    }
    if (model < 0) {
        g_snprintf(why, why_bytes, _("The model “%s” is not here: another one stays chosen."),
                   job->model);
    } else if (recipe < 0) {
        g_snprintf(why, why_bytes, _("There are no number formats “%s” here."), job->recipe);
    }
    return model >= 0 && recipe >= 0;
}

gboolean gui_form_set_job(GuiForm *f, const ht_job *job, char *why, size_t why_bytes) {
    f->filling = TRUE;
    const gboolean found = set_model(f, job, why, why_bytes);
    gtk_text_buffer_set_text(gtk_text_view_get_buffer(f->prompt), job->prompt ? job->prompt : "",
                             -1);
    gtk_text_buffer_set_text(gtk_text_view_get_buffer(f->negative),
                             job->negative_prompt ? job->negative_prompt : "", -1);
    f->want_defaults = job->width == 0 || job->height == 0;
    show_model(f);
    if (!f->want_defaults) {
        gui_form_set_size(f, job->width, job->height);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); ++i) {
        gui_field_write(spin_of(f, i), numbers[i].key, job);
    }
    if (job->frames > 0) {
        gtk_spin_button_set_value(f->frames_spin, job->frames);
        gtk_spin_button_set_value(f->fps_spin, job->fps > 0 ? job->fps : USUAL_FPS);
    }
    set_samplers(f, job);
    gui_start_set(f->start, job->init_image, job->strength, job->mask);
    gui_form_write_more(f, job);
    if (job->seed >= 0) {
        write_seed(f, (uint64_t)job->seed);
    }
    gtk_toggle_button_set_active(f->seed_lock, job->seed >= 0);
    f->filling = FALSE;
    return found;
}

void gui_form_set_start(GuiForm *f, const char *path) {
    gui_start_set(f->start, path, -1, NULL);
}

void gui_form_focus_prompt(GuiForm *f) {
    gtk_widget_grab_focus(GTK_WIDGET(f->prompt));
}

void gui_form_apply_settings(GuiForm *f) {
    g_free(f->lora_folder);
    f->lora_folder = gui_settings_lora_folder(f->settings);
}

// ---- remembered as the JSON of a job

void gui_form_save(GuiForm *f, GuiSettings *settings) {
    char why[256];
    GuiJob *job = gui_form_job(f, why, sizeof(why));
    json_t *json = job ? ht_job_json(&job->spec) : NULL;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text) {
        gui_settings_set_text(settings, "form", "job", text);
    }
    free(text);
    json_decref(json);
    g_clear_object(&job);
}

static void restore(GuiForm *f, GuiSettings *settings) {
    char *text = gui_settings_text(settings, "form", "job", NULL);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    ht_job job = ht_job_defaults;
    char why[512];
    if (json && ht_job_read_json(&job, json, why, sizeof(why))) {
        gui_form_set_job(f, &job, why, sizeof(why));
    }
    json_decref(json);
    g_free(text);
}

void gui_form_load(GuiForm *f, GuiSettings *settings) {
    f->settings = settings;
    gui_form_apply_settings(f);
    gui_form_fill_sizes(f, &UNKNOWN);
    f->want_defaults = TRUE;
    gui_form_find_models(f, NULL);
    restore(f, settings);
}

// ---- object

static void fill_list(AdwComboRow *row, GListStore **list, GListStore *from) {
    *list = from;
    GtkExpression *label = gtk_property_expression_new(GUI_TYPE_CHOICE, NULL, "label");
    adw_combo_row_set_expression(row, label);
    adw_combo_row_set_model(row, G_LIST_MODEL(from));
    gtk_expression_unref(label);
}

static void dispose(GObject *object) {
    GuiForm *f = GUI_FORM(object);
    if (f->probing) {
        g_cancellable_cancel(f->probing);
    }
    g_clear_object(&f->probing);
    g_clear_object(&f->models);
    g_clear_object(&f->recipes);
    g_clear_object(&f->samplers);
    g_clear_object(&f->schedules);
    g_clear_object(&f->attentions);
    g_clear_object(&f->upscalers);
    g_clear_pointer(&f->lora_folder, g_free);
    G_OBJECT_CLASS(gui_form_parent_class)->dispose(object);
}

static void gui_form_class_init(GuiFormClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(GUI_TYPE_START);
    g_type_ensure(GUI_TYPE_LORAS);
    g_type_ensure(GUI_TYPE_CONTROL);
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/form.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiForm, name)
    CHILD(prompt);
    CHILD(negative);
    CHILD(prompt_hint);
    CHILD(negative_hint);
    CHILD(model_row);
    CHILD(recipe_row);
    CHILD(size_row);
    CHILD(custom_row);
    CHILD(width_spin);
    CHILD(height_spin);
    CHILD(steps_spin);
    CHILD(cfg_spin);
    CHILD(count_spin);
    CHILD(clip_group);
    CHILD(frames_spin);
    CHILD(fps_spin);
    CHILD(seed_row);
    CHILD(seed_lock);
    CHILD(sampler_expander);
    CHILD(sampler_row);
    CHILD(schedule_row);
    CHILD(start);
    CHILD(attention_row);
    CHILD(density_row);
    CHILD(density_spin);
    CHILD(hires_expander);
    CHILD(hires_scale_spin);
    CHILD(hires_steps_spin);
    CHILD(hires_strength_spin);
    CHILD(hires_upscaler_row);
    CHILD(loras);
    CHILD(control);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, model_chosen);
    gtk_widget_class_bind_template_callback(widget, recipe_chosen);
    gtk_widget_class_bind_template_callback(widget, attention_chosen);
    gtk_widget_class_bind_template_callback(widget, size_chosen);
    gtk_widget_class_bind_template_callback(widget, sampler_chosen);
    gtk_widget_class_bind_template_callback(widget, seed_typed);
}

static void gui_form_init(GuiForm *f) {
    gtk_widget_init_template(GTK_WIDGET(f));
    f->filling = TRUE;
    fill_list(f->model_row, &f->models, g_list_store_new(GUI_TYPE_CHOICE));
    fill_list(f->recipe_row, &f->recipes, gui_recipes_list());
    fill_list(f->sampler_row, &f->samplers, gui_samplers_list());
    fill_list(f->schedule_row, &f->schedules, gui_schedules_list());
    bind_hint(f->prompt, f->prompt_hint);
    bind_hint(f->negative, f->negative_hint);
    gtk_accessible_update_property(
        GTK_ACCESSIBLE(gtk_editable_get_delegate(GTK_EDITABLE(f->seed_row))),
        GTK_ACCESSIBLE_PROPERTY_LABEL, _("Seed"), -1);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); ++i) {
        gui_field_bind(spin_of(f, i), numbers[i].key, FALSE);
    }
    gui_field_bind(GTK_WIDGET(f->frames_spin), "frames", FALSE);
    gui_field_bind(GTK_WIDGET(f->fps_spin), "fps", FALSE);
    gtk_spin_button_set_value(f->fps_spin, USUAL_FPS);
    gui_form_init_more(f);
    GtkSpinButton *const spins[] = {f->width_spin, f->height_spin, f->steps_spin, f->cfg_spin,
                                    f->count_spin, f->frames_spin, f->fps_spin};
    for (size_t i = 0; i < G_N_ELEMENTS(spins); ++i) {
        gui_ignore_wheel(GTK_WIDGET(spins[i]));
    }
    f->filling = FALSE;
    recipe_chosen(f);
}
