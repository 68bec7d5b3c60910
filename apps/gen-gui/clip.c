// A clip of the disk as textures.
#include "clip.h"

#include "common/video.h"

#include <stdlib.h>

// Of all frames together.
static const uint64_t MOST_BYTES = 384u << 20;

typedef struct Load {
    char *path;
    GuiClipLoaded loaded;
    gpointer user;
    ht_video_clip clip;
    char why[1024];
} Load;

static void free_load(gpointer data) {
    Load *load = data;
    ht_video_clip_free(&load->clip);
    g_free(load->path);
    g_free(load);
}

static bool go_on(void *user) {
    return !g_cancellable_is_cancelled(user);
}

static void decode(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
    Load *load = data;
    (void)source;
    g_task_return_boolean(task, ht_video_decode(load->path, MOST_BYTES, go_on, cancellable,
                                                &load->clip, load->why, sizeof(load->why)));
}

// Takes the pixels over.
static GPtrArray *to_textures(ht_video_clip *clip) {
    GPtrArray *frames = g_ptr_array_new_with_free_func(g_object_unref);
    for (size_t i = 0; i < clip->count; ++i) {
        ht_image *image = &clip->frames[i];
        const gsize stride = (gsize)image->width * 3;
        GBytes *bytes =
            g_bytes_new_with_free_func(image->rgb, stride * image->height, free, image->rgb);
        image->rgb = NULL;
        g_ptr_array_add(frames, gdk_memory_texture_new((int)image->width, (int)image->height,
                                                       GDK_MEMORY_R8G8B8, bytes, stride));
        g_bytes_unref(bytes);
    }
    return frames;
}

static void decoded(GObject *source, GAsyncResult *result, gpointer user) {
    GTask *task = G_TASK(result);
    Load *load = g_task_get_task_data(task);
    GError *error = NULL;
    (void)source;
    (void)user;
    const gboolean good = g_task_propagate_boolean(task, &error);
    if (error) { // cancelled
        g_error_free(error);
        return;
    }
    GPtrArray *frames = good ? to_textures(&load->clip) : NULL;
    load->loaded(load->user, frames, load->clip.fps, load->why);
    g_clear_pointer(&frames, g_ptr_array_unref);
}

void gui_clip_load(const char *path, GCancellable *cancellable, GuiClipLoaded loaded,
                   gpointer user) {
    Load *load = g_new0(Load, 1);
    load->path = g_strdup(path);
    load->loaded = loaded;
    load->user = user;
    GTask *task = g_task_new(NULL, cancellable, decoded, NULL);
    g_task_set_task_data(task, load, free_load);
    g_task_run_in_thread(task, decode);
    g_object_unref(task);
}
