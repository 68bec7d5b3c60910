// The page "Gallery": the pictures of the results' folder, newest first.
#ifndef HT_GUI_GALLERY_H
#define HT_GUI_GALLERY_H

#include <adwaita.h>

#define GUI_TYPE_GALLERY (gui_gallery_get_type())
G_DECLARE_FINAL_TYPE(GuiGallery, gui_gallery, GUI, GALLERY, AdwBin)

// Signal "shown" (path): a picture was opened by a double click or Enter.
// Shows this folder and follows what happens in it.
void gui_gallery_set_folder(GuiGallery *gallery, const char *folder);

#endif
