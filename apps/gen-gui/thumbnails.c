// Cached thumbnails.
#include "thumbnails.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

typedef struct Request {
    char *path;
    void (*done)(gpointer user, GdkTexture *texture);
    gpointer user;
} Request;

static void free_request(gpointer data) {
    Request *request = data;
    g_free(request->path);
    g_free(request);
}

// ~/.cache/thumbnails/large/MD5 OF THE URI.png
static char *cache_path(const char *path) {
    char *uri = g_filename_to_uri(path, NULL, NULL);
    char *sum = uri ? g_compute_checksum_for_string(G_CHECKSUM_MD5, uri, -1) : NULL;
    char *name = g_strdup_printf("%s.png", sum ? sum : "none");
    char *out = g_build_filename(g_get_user_cache_dir(), "thumbnails", "large", name, NULL);
    g_free(uri);
    g_free(sum);
    g_free(name);
    return out;
}

static GdkPixbuf *read_cached(const char *cached, const char *stamp) {
    GdkPixbuf *pixbuf = gdk_pixbuf_new_from_file(cached, NULL);
    if (pixbuf && g_strcmp0(gdk_pixbuf_get_option(pixbuf, "tEXt::Thumb::MTime"), stamp) != 0) {
        g_clear_object(&pixbuf);
    }
    return pixbuf;
}

static void write_cached(GdkPixbuf *pixbuf, const char *path, const char *cached,
                         const char *stamp) {
    char *folder = g_path_get_dirname(cached), *uri = g_filename_to_uri(path, NULL, NULL);
    char *temporary = g_strdup_printf("%s.%d-%p", cached, (int)getpid(), (void *)pixbuf);
    g_mkdir_with_parents(folder, 0700);
    if (uri && gdk_pixbuf_save(pixbuf, temporary, "png", NULL, "tEXt::Thumb::URI", uri,
                               "tEXt::Thumb::MTime", stamp, "tEXt::Software", "halftone", NULL)) {
        g_chmod(temporary, 0600);
        g_rename(temporary, cached);
    }
    g_free(temporary);
    g_free(uri);
    g_free(folder);
}

void gui_thumbnail_store(const char *path, GdkPixbuf *pixbuf) {
    GStatBuf info;
    if (g_stat(path, &info) == 0) {
        char *stamp = g_strdup_printf("%" G_GINT64_FORMAT, (gint64)info.st_mtime);
        char *cached = cache_path(path);
        write_cached(pixbuf, path, cached, stamp);
        g_free(cached);
        g_free(stamp);
    }
}

static GdkTexture *load(const char *path) {
    GStatBuf info;
    if (g_stat(path, &info) != 0) {
        return NULL;
    }
    char *stamp = g_strdup_printf("%" G_GINT64_FORMAT, (gint64)info.st_mtime);
    char *cached = cache_path(path);
    GdkPixbuf *pixbuf = read_cached(cached, stamp);
    if (!pixbuf) {
        int width, height;
        gdk_pixbuf_get_file_info(path, &width, &height);
        const int limit = GUI_THUMBNAIL_PIXELS; // smaller pictures stay as they are
        pixbuf = MAX(width, height) > limit
                     ? gdk_pixbuf_new_from_file_at_size(path, limit, limit, NULL)
                     : gdk_pixbuf_new_from_file(path, NULL);
        if (pixbuf) {
            write_cached(pixbuf, path, cached, stamp);
        }
    }
    GdkTexture *texture = pixbuf ? gdk_texture_new_for_pixbuf(pixbuf) : NULL;
    g_clear_object(&pixbuf);
    g_free(cached);
    g_free(stamp);
    return texture;
}

static void work(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
    (void)source;
    (void)cancellable;
    const Request *request = data;
    g_task_return_pointer(task, load(request->path), g_object_unref);
}

static void finish(GObject *source, GAsyncResult *result, gpointer data) {
    (void)source;
    (void)data;
    GTask *task = G_TASK(result);
    const Request *request = g_task_get_task_data(task);
    GError *error = NULL;
    GdkTexture *texture = g_task_propagate_pointer(task, &error);
    if (!error) {
        request->done(request->user, texture);
    }
    g_clear_object(&texture);
    g_clear_error(&error);
}

void gui_thumbnail_load(const char *path, GCancellable *cancellable,
                        void (*done)(gpointer user, GdkTexture *texture), gpointer user) {
    Request *request = g_new0(Request, 1);
    request->path = g_strdup(path);
    request->done = done;
    request->user = user;
    GTask *task = g_task_new(NULL, cancellable, finish, NULL);
    g_task_set_task_data(task, request, free_request);
    g_task_run_in_thread(task, work);
    g_object_unref(task);
}

void gui_thumbnail_forget(const char *path) {
    char *cached = cache_path(path);
    g_unlink(cached);
    g_free(cached);
}
