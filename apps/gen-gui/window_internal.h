// What the files of the window share.
#ifndef HT_GUI_WINDOW_INTERNAL_H
#define HT_GUI_WINDOW_INTERNAL_H

#include "compare.h"
#include "form.h"
#include "gallery.h"
#include "queue.h"
#include "stage.h"
#include "window.h"

struct _GuiWindow {
    AdwApplicationWindow parent_instance;
    AdwFlap *flap;
    AdwToastOverlay *toasts;
    AdwViewStack *stack;
    AdwViewStackPage *queue_page;
    GtkRevealer *error_revealer;
    GtkLabel *error_label;
    GuiForm *form;
    GuiStage *stage;
    GuiQueue *queue;
    GuiGallery *gallery;
    GuiCompare *compare;
    GuiSettings *settings;
    GuiEngine *engine;
    AdwToast *toast; // that is shown, as long as it lives
    gboolean closing;
};

// window_actions.c: installs the window's actions and keys.
void gui_window_install_actions(GtkWidgetClass *widget);
// Short news, and a sentence that stays until it is closed.
void gui_window_toast(GuiWindow *window, const char *text);
void gui_window_tell(GuiWindow *window, const char *sentence);
// Preferences into the engine and the gallery.
void gui_window_apply_settings(GuiWindow *window);

#endif
