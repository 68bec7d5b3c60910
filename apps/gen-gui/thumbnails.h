// Small pictures of files, kept as freedesktop.org's thumbnail specification says, so that file
// managers and we share them.
#ifndef HT_GUI_THUMBNAILS_H
#define HT_GUI_THUMBNAILS_H

#include <gtk/gtk.h>

enum { GUI_THUMBNAIL_PIXELS = 256 };

// On another thread; `done` is called on the main loop, with NULL when the file is no picture, and
// not at all when cancelled.
void gui_thumbnail_load(const char *path, GCancellable *cancellable,
                        void (*done)(gpointer user, GdkTexture *texture), gpointer user);
// Keep this picture as the thumbnail of a file that cannot be read here: of a clip. Any thread.
void gui_thumbnail_store(const char *path, GdkPixbuf *pixbuf);
// The file is gone: so is its thumbnail.
void gui_thumbnail_forget(const char *path);

#endif
