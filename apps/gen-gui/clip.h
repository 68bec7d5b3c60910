// A clip of the disk as textures.
#ifndef HT_GUI_CLIP_H
#define HT_GUI_CLIP_H

#include <gtk/gtk.h>

// Of GdkTexture, with frames a second; or NULL with a sentence. Not called once it is cancelled.
typedef void (*GuiClipLoaded)(gpointer user, GPtrArray *frames, double fps, const char *why);

// Decodes on another thread.
void gui_clip_load(const char *path, GCancellable *cancellable, GuiClipLoaded loaded, gpointer user);

#endif
