// The page on which pictures appear.
#include "stage.h"

#include "canvas.h"
#include "clip.h"
#include "reveal.h"

#include "common/infotext.h"
#include "common/video.h"

#include <glib/gi18n.h>
#include <inttypes.h>

struct _GuiStage {
    AdwBin parent_instance;
    GtkStack *stack;
    GuiCanvas *canvas;
    GtkRevealer *progress_revealer, *caption_revealer;
    GtkLabel *phase, *figures, *caption;
    GtkProgressBar *bar;
    GtkToggleButton *pause;
    GtkActionable *use, *start, *open, *copy, *trash;
    GuiJob *job; // that runs
    char *path;
    GCancellable *loading; // of a clip
};

G_DEFINE_TYPE(GuiStage, gui_stage, ADW_TYPE_BIN)

const char *gui_stage_path(GuiStage *s) {
    return s->path;
}

static void set_path(GuiStage *s, const char *path) {
    const struct {
        GtkActionable *button;
        const char *action;
    } rows[] = {{s->use, "win.use-settings"},
                {s->start, "win.start-from"},
                {s->open, "win.open-picture"},
                {s->copy, "win.copy-picture"},
                {s->trash, "win.trash-picture"}};
    char *copy = g_strdup(path);
    g_free(s->path);
    s->path = copy;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        gtk_actionable_set_action_target(rows[i].button, "s", path ? path : "");
        gtk_actionable_set_action_name(rows[i].button, rows[i].action);
    }
}

static void show_texture(GuiStage *s, GdkTexture *texture) {
    gtk_widget_set_visible(GTK_WIDGET(s->pause), FALSE);
    gui_canvas_set_texture(s->canvas, texture);
    gtk_stack_set_visible_child_name(s->stack, texture ? "picture" : "empty");
}

static void show_progress(GuiStage *s, GuiJob *job) {
    char *phase = gui_job_phase_text(job), *figures = gui_job_figures(job);
    gtk_label_set_text(s->phase, phase);
    gtk_label_set_text(s->figures, figures);
    gtk_progress_bar_set_fraction(s->bar, gui_job_fraction(job));
    g_free(phase);
    g_free(figures);
}

static void stop_loading(GuiStage *s) {
    if (s->loading) {
        g_cancellable_cancel(s->loading);
    }
    g_clear_object(&s->loading);
}

static void job_changed(GuiJob *job, GuiStage *s) {
    if (job->state != GUI_JOB_RUNNING) {
        return;
    }
    show_progress(s, job);
    if (job->preview && !job->unlisted) {
        stop_loading(s);
        show_texture(s, job->preview);
    }
}

static void show_clip(GuiStage *s, GPtrArray *frames, double fps) {
    gtk_stack_set_visible_child_name(s->stack, "picture");
    gtk_widget_set_visible(GTK_WIDGET(s->pause), TRUE);
    gtk_toggle_button_set_active(s->pause, FALSE);
    gui_canvas_set_clip(s->canvas, frames, fps);
}

static void show_caption(GuiStage *s, GuiJob *job) {
    const GuiResult *last = g_ptr_array_index(job->results, job->results->len - 1);
    char *caption = gui_job_caption(job);
    gtk_label_set_text(s->caption, caption);
    set_path(s, last->path);
    show_texture(s, last->texture);
    stop_loading(s);
    if (last->frames) {
        show_clip(s, last->frames, last->fps);
    }
    g_free(caption);
}

static void pause_toggled(GuiStage *s) {
    gui_canvas_set_paused(s->canvas, gtk_toggle_button_get_active(s->pause));
}

static void job_result(GuiJob *job, GuiStage *s) {
    if (!job->unlisted) {
        show_caption(s, job);
    }
}

static void started(GuiEngine *engine, GuiJob *job, GuiStage *s) {
    (void)engine;
    g_set_object(&s->job, job);
    g_signal_connect(job, "changed", G_CALLBACK(job_changed), s);
    g_signal_connect(job, "result", G_CALLBACK(job_result), s);
    gui_reveal(s->progress_revealer, TRUE);
    gui_reveal(s->caption_revealer, FALSE);
    show_progress(s, job);
}

static void ended(GuiEngine *engine, GuiJob *job, GuiStage *s) {
    (void)engine;
    g_signal_handlers_disconnect_by_data(job, s);
    g_clear_object(&s->job);
    gui_reveal(s->progress_revealer, FALSE);
    if (job->results->len > 0 && !job->unlisted) {
        show_caption(s, job);
    } else if (job->state != GUI_JOB_DONE && s->path) { // back to the last one that is whole
        char *path = g_strdup(s->path);
        gui_stage_show(s, path);
        g_free(path);
    } else if (!s->path) {
        show_texture(s, NULL);
    }
    gui_reveal(s->caption_revealer, s->path != NULL);
}

void gui_stage_follow(GuiStage *s, GuiEngine *engine) {
    g_signal_connect_object(engine, "started", G_CALLBACK(started), s, 0);
    g_signal_connect_object(engine, "ended", G_CALLBACK(ended), s, 0);
}

// "128 × 128 · seed 42 · w4a8"
static char *describe_file(const char *path, GdkTexture *texture) {
    ht_infotext info;
    char why[512];
    GString *text = g_string_new(NULL);
    g_string_printf(text, "%d × %d", gdk_texture_get_width(texture),
                    gdk_texture_get_height(texture));
    if (ht_infotext_read(path, &info, why, sizeof(why))) {
        if (info.job.seed >= 0) {
            g_string_append_printf(text, _(" · seed %" PRIu64), (uint64_t)info.job.seed);
        }
        if (info.job.recipe) {
            g_string_append_printf(text, " · %s", info.job.recipe);
        }
        ht_infotext_free(&info);
    }
    return g_string_free(text, FALSE);
}

static void clip_loaded(gpointer user, GPtrArray *frames, double fps, const char *why) {
    GuiStage *s = user;
    g_clear_object(&s->loading);
    if (!frames) {
        gtk_widget_activate_action(GTK_WIDGET(s), "win.tell", "s", why);
        return;
    }
    GdkTexture *first = g_ptr_array_index(frames, 0);
    char *caption = g_strdup_printf(ngettext("%d × %d · %u frame · %g a second",
                                             "%d × %d · %u frames · %g a second", frames->len),
                                    gdk_texture_get_width(first), gdk_texture_get_height(first),
                                    frames->len, fps);
    gtk_label_set_text(s->caption, caption);
    g_free(caption);
    show_clip(s, frames, fps);
}

static void load_clip(GuiStage *s, const char *path) {
    char *name = g_path_get_basename(path);
    gtk_label_set_text(s->caption, name);
    g_free(name);
    set_path(s, path);
    show_texture(s, NULL);
    gui_reveal(s->caption_revealer, s->job == NULL);
    s->loading = g_cancellable_new();
    gui_clip_load(path, s->loading, clip_loaded, s);
}

void gui_stage_show(GuiStage *s, const char *path) {
    stop_loading(s);
    if (ht_video_is(path)) {
        load_clip(s, path);
        return;
    }
    GdkTexture *texture = gdk_texture_new_from_filename(path, NULL);
    if (!texture) {
        gui_stage_forget(s, path);
        return;
    }
    char *caption = describe_file(path, texture);
    gtk_label_set_text(s->caption, caption);
    set_path(s, path);
    show_texture(s, texture);
    gui_reveal(s->caption_revealer, s->job == NULL);
    g_free(caption);
    g_object_unref(texture);
}

void gui_stage_forget(GuiStage *s, const char *path) {
    if (g_strcmp0(s->path, path) == 0) {
        stop_loading(s);
        set_path(s, NULL);
        gui_reveal(s->caption_revealer, FALSE);
        show_texture(s, s->job ? s->job->preview : NULL);
    }
}

static void dispose(GObject *object) {
    GuiStage *s = GUI_STAGE(object);
    if (s->job) {
        g_signal_handlers_disconnect_by_data(s->job, s);
    }
    stop_loading(s);
    g_clear_object(&s->job);
    g_clear_pointer(&s->path, g_free);
    G_OBJECT_CLASS(gui_stage_parent_class)->dispose(object);
}

static void gui_stage_class_init(GuiStageClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(GUI_TYPE_CANVAS);
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/stage.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiStage, name)
    CHILD(stack);
    CHILD(canvas);
    CHILD(progress_revealer);
    CHILD(caption_revealer);
    CHILD(phase);
    CHILD(figures);
    CHILD(caption);
    CHILD(bar);
    CHILD(pause);
    CHILD(use);
    CHILD(start);
    CHILD(open);
    CHILD(copy);
    CHILD(trash);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, pause_toggled);
}

static void gui_stage_init(GuiStage *s) {
    gtk_widget_init_template(GTK_WIDGET(s));
    set_path(s, NULL);
}
