// Lists of what was found, and what each model is.
#include "models.h"

#include "common/models.h"

#include <glib/gi18n.h>
#include <samplers/sampler.h>
#include <string.h>

G_DEFINE_TYPE(GuiChoice, gui_choice, G_TYPE_OBJECT)

enum { PROP_LABEL = 1 };

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec) {
    if (id == PROP_LABEL) {
        g_value_set_string(value, GUI_CHOICE(object)->label);
    } else {
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void finalize(GObject *object) {
    GuiChoice *c = GUI_CHOICE(object);
    char *texts[] = {c->label, c->value, c->detail, c->path, c->error};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); ++i) {
        g_free(texts[i]);
    }
    G_OBJECT_CLASS(gui_choice_parent_class)->finalize(object);
}

static void gui_choice_class_init(GuiChoiceClass *class) {
    GObjectClass *object = G_OBJECT_CLASS(class);
    object->get_property = get_property;
    object->finalize = finalize;
    g_object_class_install_property(
        object, PROP_LABEL,
        g_param_spec_string("label", NULL, NULL, NULL, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void gui_choice_init(GuiChoice *choice) {
    (void)choice;
}

GuiChoice *gui_choice_new(const char *label, const char *value, const char *detail) {
    GuiChoice *choice = g_object_new(GUI_TYPE_CHOICE, NULL);
    choice->label = g_strdup(label);
    choice->value = g_strdup(value);
    choice->detail = g_strdup(detail);
    return choice;
}

static void append(GListStore *list, const char *label, const char *value, const char *detail,
                   const char *path) {
    if (value && gui_choices_find(G_LIST_MODEL(list), value) >= 0) {
        return; // an earlier folder has one of that name
    }
    GuiChoice *choice = gui_choice_new(label, value, detail);
    choice->path = g_strdup(path);
    g_list_store_append(list, choice);
    g_object_unref(choice);
}

// ---- models and recipes

static void add_model(void *user, const char *name, const char *path, const char *description) {
    append(user, name, name, *description ? description : NULL, path);
}

static void add_recipe(void *user, const char *name, const char *path, const char *description) {
    append(user, name, name, description, path);
}

GListStore *gui_models_list(void) {
    GListStore *list = g_list_store_new(GUI_TYPE_CHOICE);
    ht_model_list(add_model, list);
    return list;
}

static int by_label(gconstpointer a, gconstpointer b, gpointer user) {
    (void)user;
    const GuiChoice *x = a, *y = b;
    return strcmp(x->label, y->label);
}

GListStore *gui_recipes_list(void) {
    GListStore *list = g_list_store_new(GUI_TYPE_CHOICE);
    ht_recipe_list(add_recipe, list);
    g_list_store_sort(list, by_label, NULL);
    GuiChoice *own = gui_choice_new(_("As the model is"), NULL,
                                    _("Half floats, or what a packed model was packed with"));
    g_list_store_insert(list, 0, own);
    g_object_unref(own);
    return list;
}

// ---- samplers: lines of "dpmpp_2m   DPM++ 2M; also dpm++2m, ..."

static GListStore *from_lines(const char *(*line_of)(uint32_t)) {
    GListStore *list = g_list_store_new(GUI_TYPE_CHOICE);
    append(list, _("The model’s own"), NULL, NULL, NULL);
    for (uint32_t i = 0; line_of(i); ++i) {
        const char *line = line_of(i);
        const size_t length = strcspn(line, " ");
        const char *rest = line + length + strspn(line + length, " ");
        char *name = g_strndup(line, length);
        char *label = g_strndup(rest, strcspn(rest, ";"));
        append(list, *label ? label : name, name, NULL, NULL);
        g_free(name);
        g_free(label);
    }
    return list;
}

GListStore *gui_samplers_list(void) {
    return from_lines(ht_sampler_list_line);
}

GListStore *gui_schedules_list(void) {
    return from_lines(ht_schedule_list_line);
}

void gui_sampler_names(const char *sampler, const char *schedule, char **our_sampler,
                       char **our_schedule) {
    const ht_context_desc desc = {.host_only = true};
    ht_context *context = NULL;
    *our_sampler = *our_schedule = NULL;
    if (ht_context_create(&desc, &context) == HT_OK) {
        ht_sampler_config config = {0};
        if (sampler && ht_sampler_config_choose(context, sampler, NULL, &config) == HT_OK) {
            *our_sampler = g_strdup(ht_sampler_name(config.kind));
        }
        const gboolean merged = config.sigma_curve != HT_SIGMA_DEFAULT;
        if ((schedule && ht_sampler_config_choose(context, NULL, schedule, &config) == HT_OK) ||
            merged) {
            *our_schedule = g_strdup(ht_schedule_name(&config));
        }
    }
    ht_context_destroy(&context);
}

int gui_choices_find(GListModel *choices, const char *value) {
    const guint count = g_list_model_get_n_items(choices);
    for (guint i = 0; i < count; ++i) {
        GuiChoice *choice = g_list_model_get_item(choices, i);
        char *file = choice->path ? g_path_get_basename(choice->path) : NULL;
        const gboolean same = g_strcmp0(choice->value, value) == 0 ||
                              (value && g_strcmp0(choice->path, value) == 0) ||
                              (value && g_strcmp0(file, value) == 0);
        g_free(file);
        g_object_unref(choice);
        if (same) {
            return (int)i;
        }
    }
    return -1;
}

// ---- what a model is

typedef struct Probe {
    GPtrArray *models; // GuiChoice
    void (*done)(gpointer user, GuiChoice *model);
    gpointer user;
    GCancellable *cancellable;
} Probe;

typedef struct Found {
    Probe *probe; // a reference
    GuiChoice *model;
    ht_pipeline_info info;
    char *error;
} Found;

static void clear_probe(gpointer data) {
    Probe *probe = data;
    g_ptr_array_unref(probe->models);
    g_clear_object(&probe->cancellable);
}

static const char *kind_of(const char *class_name) {
    static const struct {
        const char *part, *name;
    } rows[] = {{"PixArt", "PixArt"},
                {"StableDiffusionXL", "SDXL"},
                {"LatentConsistency", "LCM"},
                {"StableDiffusion", "Stable Diffusion"},
                {"Flux", "FLUX"},
                {"Wan", "Wan"},
                {"CogVideoX", "CogVideoX"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        if (strstr(class_name, rows[i].part)) {
            return rows[i].name;
        }
    }
    return class_name;
}

// "22.1 MB · PixArt · 128 × 128 · 4 steps", and what only some can do.
static char *describe(const ht_pipeline_info *info) {
    char *size = g_format_size(info->file_bytes);
    const char *special = strstr(info->class_name, "Inpaint")      ? _(" · repaints under masks")
                          : strstr(info->class_name, "ControlNet") ? _(" · has a ControlNet")
                                                                   : "";
    char *text = g_strdup_printf(
        ngettext("%s · %s · %u × %u · %u step%s", "%s · %s · %u × %u · %u steps%s", info->steps),
        size, kind_of(info->class_name), info->width, info->height, info->steps, special);
    g_free(size);
    return text;
}

static gboolean deliver(gpointer data) {
    Found *found = data;
    GuiChoice *model = found->model;
    if (!g_cancellable_is_cancelled(found->probe->cancellable)) {
        model->probed = TRUE;
        model->info = found->info;
        g_free(model->detail);
        model->detail = found->error ? g_strdup(found->error) : describe(&found->info);
        g_free(model->error);
        model->error = g_steal_pointer(&found->error);
        found->probe->done(found->probe->user, model);
    }
    g_free(found->error);
    g_object_unref(model);
    g_atomic_rc_box_release_full(found->probe, clear_probe);
    g_free(found);
    return G_SOURCE_REMOVE;
}

static void look_into(Found *found) {
    const ht_context_desc desc = {.host_only = true};
    ht_context *context = NULL;
    ht_pipeline *pipeline = NULL;
    char **tokenizers = ht_tokenizer_folders(found->model->path);
    const ht_pipeline_options options = {.tokenizers = (const char *const *)tokenizers};
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_OK) {
        status = ht_pipeline_open(context, found->model->path, &options, &pipeline);
    }
    if (status == HT_OK) {
        found->info = *ht_pipeline_get_info(pipeline);
    } else {
        found->error = g_strdup(context ? ht_context_message(context) : ht_status_name(status));
    }
    ht_pipeline_destroy(&pipeline);
    ht_context_destroy(&context);
    ht_tokenizer_folders_free(tokenizers);
}

static gpointer probe_all(gpointer data) {
    Probe *probe = data;
    for (guint i = 0; i < probe->models->len; ++i) {
        if (g_cancellable_is_cancelled(probe->cancellable)) {
            break;
        }
        Found *found = g_new0(Found, 1);
        found->model = g_object_ref(g_ptr_array_index(probe->models, i));
        found->probe = g_atomic_rc_box_acquire(probe);
        look_into(found);
        g_idle_add_full(G_PRIORITY_DEFAULT, deliver, found, NULL);
    }
    g_atomic_rc_box_release_full(probe, clear_probe);
    return NULL;
}

void gui_models_probe(GListModel *models, void (*done)(gpointer user, GuiChoice *model),
                      gpointer user, GCancellable *cancellable) {
    Probe *probe = g_atomic_rc_box_new0(Probe);
    probe->models = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < g_list_model_get_n_items(models); ++i) {
        g_ptr_array_add(probe->models, g_list_model_get_item(models, i));
    }
    probe->done = done;
    probe->user = user;
    probe->cancellable = g_object_ref(cancellable);
    g_thread_unref(g_thread_new("models", probe_all, probe));
}
