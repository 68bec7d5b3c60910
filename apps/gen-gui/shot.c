// A picture of the gallery.
#include "shot.h"

#include "thumbnails.h"

#include <glib/gstdio.h>

G_DEFINE_TYPE(GuiShot, gui_shot, G_TYPE_OBJECT)

static void stop_loading(GuiShot *shot) {
    if (shot->loading) {
        g_cancellable_cancel(shot->loading);
    }
    g_clear_object(&shot->loading);
}

static void loaded(gpointer user, GdkTexture *texture) {
    GuiShot *shot = user;
    g_clear_object(&shot->loading);
    g_set_object(&shot->thumbnail, texture);
    if (shot->shown) {
        gtk_picture_set_paintable(shot->shown, texture ? GDK_PAINTABLE(texture) : NULL);
    }
}

void gui_shot_bind(GuiShot *shot, GtkPicture *picture) {
    shot->shown = picture;
    gtk_picture_set_paintable(picture, shot->thumbnail ? GDK_PAINTABLE(shot->thumbnail) : NULL);
    if (!shot->thumbnail && !shot->loading) {
        shot->loading = g_cancellable_new();
        gui_thumbnail_load(shot->path, shot->loading, loaded, shot);
    }
}

// Thumbnails out of sight are given back: a folder may have thousands.
void gui_shot_unbind(GuiShot *shot, GtkPicture *picture) {
    stop_loading(shot);
    shot->shown = NULL;
    g_clear_object(&shot->thumbnail);
    gtk_picture_set_paintable(picture, NULL);
}

static void finalize(GObject *object) {
    GuiShot *shot = GUI_SHOT(object);
    stop_loading(shot);
    g_clear_object(&shot->thumbnail);
    g_free(shot->path);
    G_OBJECT_CLASS(gui_shot_parent_class)->finalize(object);
}

static void gui_shot_class_init(GuiShotClass *class) {
    G_OBJECT_CLASS(class)->finalize = finalize;
}

static void gui_shot_init(GuiShot *shot) {
    (void)shot;
}

GuiShot *gui_shot_new(const char *path) {
    GuiShot *shot = g_object_new(GUI_TYPE_SHOT, NULL);
    GStatBuf info;
    shot->path = g_strdup(path);
    if (g_stat(path, &info) == 0) {
        shot->time = (gint64)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
    }
    return shot;
}
