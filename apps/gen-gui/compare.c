// One picture in two number formats.
#include "compare.h"

#include "canvas.h"
#include "models.h"

#include <glib/gi18n.h>
#include <math.h>
#include <stdlib.h>

enum { DENOISER = 1, SIDES = 2 }; // place among the parts of a report

struct _GuiCompare {
    AdwBin parent_instance;
    GtkStack *stack;
    GuiCanvas *canvas;
    GtkDropDown *left_choice, *right_choice;
    GtkWidget *button, *facts;
    GtkLabel *left_name, *left_facts, *right_name, *right_facts, *likeness;
    GuiJob *jobs[SIDES];
};

G_DEFINE_TYPE(GuiCompare, gui_compare, ADW_TYPE_BIN)

double gui_texture_psnr(GdkTexture *a, GdkTexture *b) {
    const int width = gdk_texture_get_width(a), height = gdk_texture_get_height(a);
    if (width != gdk_texture_get_width(b) || height != gdk_texture_get_height(b)) {
        return NAN;
    }
    const size_t stride = (size_t)width * 4, bytes = stride * (size_t)height;
    guchar *x = g_malloc(bytes), *y = g_malloc(bytes);
    gdk_texture_download(a, x, stride);
    gdk_texture_download(b, y, stride);
    double sum = 0;
    for (size_t i = 0; i < bytes; ++i) { // alpha is 255 in both
        const double difference = (double)x[i] - y[i];
        sum += difference * difference;
    }
    g_free(x);
    g_free(y);
    const double mean = sum / ((double)width * height * 3);
    return mean > 0 ? 10 * log10(255.0 * 255.0 / mean) : INFINITY;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_step(const ht_report *r) {
    const uint32_t count = MIN(r->steps, HT_MAX_STEPS);
    double *times = g_memdup2(r->step_seconds, sizeof(double) * MAX(count, 1));
    qsort(times, count, sizeof(double), by_size);
    const double median = count > 0 ? times[count / 2] : 0;
    g_free(times);
    return median;
}

// "3.0 MiB of weights · 0.12 s a step"
static char *describe(const GuiJob *job) {
    const ht_report *r = &job->report;
    if (job->state == GUI_JOB_FAILED || job->state == GUI_JOB_CANCELLED) {
        return g_strdup(job->error ? job->error : _("cancelled"));
    }
    if (job->results->len == 0) {
        return job->state == GUI_JOB_RUNNING ? gui_job_phase_text(job) : g_strdup(_("waits"));
    }
    char *size = g_format_size_full(r->parts[DENOISER].device_bytes, G_FORMAT_SIZE_IEC_UNITS);
    char *text = g_strdup_printf(_("%s of weights · %.3f s a step"), size, median_step(r));
    g_free(size);
    return text;
}

static GdkTexture *texture_of(const GuiJob *job) {
    return job && job->results->len > 0 ? ((GuiResult *)job->results->pdata[0])->texture : NULL;
}

static void show_side(const GuiJob *job, GtkLabel *name, GtkLabel *facts) {
    char *recipe = gui_recipe_name(*job->report.recipe ? job->report.recipe : job->spec.recipe);
    char *text = describe(job);
    gtk_label_set_text(name, recipe);
    gtk_label_set_text(facts, text);
    g_free(text);
    g_free(recipe);
}

static void show(GuiCompare *c) {
    GdkTexture *left = texture_of(c->jobs[0]), *right = texture_of(c->jobs[1]);
    GdkTexture *preview = c->jobs[0]->preview;
    show_side(c->jobs[0], c->left_name, c->left_facts);
    show_side(c->jobs[1], c->right_name, c->right_facts);
    gtk_widget_set_visible(c->facts, TRUE);
    gui_canvas_set_texture(c->canvas, left ? left : preview);
    gui_canvas_set_other(c->canvas, left ? (right ? right : c->jobs[1]->preview) : NULL);
    gtk_stack_set_visible_child_name(c->stack, left || preview ? "pictures" : "empty");
    char *text = NULL;
    if (left && right) {
        const double psnr = gui_texture_psnr(left, right);
        text = isinf(psnr)   ? g_strdup(_("no difference"))
               : isnan(psnr) ? g_strdup("")
                             : g_strdup_printf(_("%.1f dB PSNR"), psnr);
    }
    gtk_label_set_text(c->likeness, text ? text : "");
    g_free(text);
    const gboolean busy = c->jobs[0]->state < GUI_JOB_DONE || c->jobs[1]->state < GUI_JOB_DONE;
    gtk_widget_set_sensitive(c->button, !busy);
}

static void forget(GuiCompare *c) {
    for (int i = 0; i < SIDES; ++i) {
        if (c->jobs[i]) {
            g_signal_handlers_disconnect_by_data(c->jobs[i], c);
        }
        g_clear_object(&c->jobs[i]);
    }
}

void gui_compare_run(GuiCompare *c, GuiEngine *engine, const GuiJob *job) {
    GtkDropDown *const choices[SIDES] = {c->left_choice, c->right_choice};
    ht_job spec = job->spec;
    forget(c);
    spec.batch_count = 1;
    spec.seed = (int64_t)ht_job_first_seed(spec.seed);
    for (int i = 0; i < SIDES; ++i) {
        GuiChoice *choice = gtk_drop_down_get_selected_item(choices[i]);
        spec.recipe = choice ? choice->value : NULL;
        c->jobs[i] = gui_job_new(&spec);
        c->jobs[i]->unlisted = TRUE;
        g_signal_connect_swapped(c->jobs[i], "changed", G_CALLBACK(show), c);
    }
    show(c);
    gui_canvas_set_split(c->canvas, 0.5);
    for (int i = 0; i < SIDES; ++i) {
        gui_engine_add(engine, c->jobs[i]);
    }
}

static void clicked(GuiCompare *c) {
    g_signal_emit_by_name(c, "wanted");
}

// ---- choices

static void set_list(GtkDropDown *choice, GListModel *recipes) {
    GtkExpression *label = gtk_property_expression_new(GUI_TYPE_CHOICE, NULL, "label");
    gtk_drop_down_set_expression(choice, label);
    gtk_drop_down_set_model(choice, recipes);
    gtk_expression_unref(label);
}

void gui_compare_set_recipes(GuiCompare *c, GListModel *recipes) {
    set_list(c->left_choice, recipes);
    set_list(c->right_choice, recipes);
}

static void load_one(GtkDropDown *choice, GuiSettings *settings, const char *key,
                     const char *fallback) {
    char *value = gui_settings_text(settings, "compare", key, fallback);
    const int place = gui_choices_find(gtk_drop_down_get_model(choice), *value ? value : NULL);
    gtk_drop_down_set_selected(choice, (guint)MAX(place, 0));
    g_free(value);
}

static void save_one(GtkDropDown *choice, GuiSettings *settings, const char *key) {
    GuiChoice *chosen = gtk_drop_down_get_selected_item(choice);
    gui_settings_set_text(settings, "compare", key, chosen && chosen->value ? chosen->value : "");
}

void gui_compare_load(GuiCompare *c, GuiSettings *settings) {
    load_one(c->left_choice, settings, "left", "fp16");
    load_one(c->right_choice, settings, "right", "w4a8");
}

void gui_compare_save(GuiCompare *c, GuiSettings *settings) {
    save_one(c->left_choice, settings, "left");
    save_one(c->right_choice, settings, "right");
}

// ---- object

static void dispose(GObject *object) {
    forget(GUI_COMPARE(object));
    G_OBJECT_CLASS(gui_compare_parent_class)->dispose(object);
}

static void gui_compare_class_init(GuiCompareClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(GUI_TYPE_CANVAS);
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/compare.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiCompare, name)
    CHILD(stack);
    CHILD(canvas);
    CHILD(left_choice);
    CHILD(right_choice);
    CHILD(button);
    CHILD(facts);
    CHILD(left_name);
    CHILD(left_facts);
    CHILD(right_name);
    CHILD(right_facts);
    CHILD(likeness);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, clicked);
    g_signal_new("wanted", GUI_TYPE_COMPARE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                 0);
}

static void gui_compare_init(GuiCompare *c) {
    gtk_widget_init_template(GTK_WIDGET(c));
}
