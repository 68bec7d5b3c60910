// Pictures of a folder as a grid.
#include "gallery.h"

#include "shot.h"
#include "thumbnails.h"

#include "common/infotext.h"
#include "common/video.h"

#include <glib/gi18n.h>

struct _GuiGallery {
    AdwBin parent_instance;
    GtkStack *stack;
    GtkGridView *grid;
    GtkLabel *facts;
    GMenuModel *picture_menu;
    GtkWidget *popover;
    GListStore *shots; // GuiShot, newest first
    GtkSingleSelection *selection;
    GFileMonitor *monitor;
    char *folder;
};

G_DEFINE_TYPE(GuiGallery, gui_gallery, ADW_TYPE_BIN)

static const char *const ACTIONS[] = {"use-settings", "start-from", "open-picture", "copy-picture",
                                      "trash-picture"};

// ---- the list

static int newest_first(gconstpointer a, gconstpointer b, gpointer user) {
    (void)user;
    const GuiShot *x = a, *y = b;
    const int by_time = (x->time < y->time) - (x->time > y->time);
    return by_time ? by_time : g_strcmp0(y->path, x->path);
}

static int find_shot(GuiGallery *g, const char *path) {
    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(g->shots)); ++i) {
        GuiShot *shot = g_list_model_get_item(G_LIST_MODEL(g->shots), i);
        g_object_unref(shot);
        if (g_strcmp0(shot->path, path) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void show_page(GuiGallery *g) {
    const guint count = g_list_model_get_n_items(G_LIST_MODEL(g->shots));
    gtk_stack_set_visible_child_name(g->stack, count > 0 ? "pictures" : "empty");
}

static void add(GuiGallery *g, const char *path) {
    GuiShot *shot = find_shot(g, path) < 0 ? gui_shot_new(path) : NULL;
    if (shot) {
        g_list_store_insert_sorted(g->shots, shot, newest_first, NULL);
        g_object_unref(shot);
    }
}

static void drop(GuiGallery *g, const char *path) {
    const int place = find_shot(g, path);
    if (place >= 0) {
        g_list_store_remove(g->shots, (guint)place);
        gui_thumbnail_forget(path);
    }
}

static gboolean is_picture(const char *name) {
    return name[0] != '.' && (g_str_has_suffix(name, ".png") || g_str_has_suffix(name, ".jpg") ||
                              g_str_has_suffix(name, ".jpeg") || ht_video_is(name));
}

static void happened(GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event,
                     GuiGallery *g) {
    (void)monitor;
    char *path = g_file_get_path(file), *name = g_file_get_basename(file);
    char *to = other ? g_file_get_path(other) : NULL,
         *to_name = to ? g_path_get_basename(to) : NULL;
    if (event == G_FILE_MONITOR_EVENT_DELETED || event == G_FILE_MONITOR_EVENT_MOVED_OUT ||
        event == G_FILE_MONITOR_EVENT_RENAMED) {
        drop(g, path);
    } else if (is_picture(name) &&
               (event == G_FILE_MONITOR_EVENT_CREATED || event == G_FILE_MONITOR_EVENT_MOVED_IN)) {
        add(g, path);
    }
    if (to && is_picture(to_name) && event == G_FILE_MONITOR_EVENT_RENAMED) {
        add(g, to);
    }
    show_page(g);
    g_free(path);
    g_free(name);
    g_free(to);
    g_free(to_name);
}

void gui_gallery_set_folder(GuiGallery *g, const char *folder) {
    if (g_strcmp0(g->folder, folder) == 0) {
        return;
    }
    g_free(g->folder);
    g->folder = g_strdup(folder);
    g_list_store_remove_all(g->shots);
    g_mkdir_with_parents(folder, 0755);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (is_picture(name)) {
            char *path = g_build_filename(folder, name, NULL);
            GuiShot *shot = gui_shot_new(path);
            g_list_store_append(g->shots, shot);
            g_object_unref(shot);
            g_free(path);
        }
    }
    g_clear_pointer(&dir, g_dir_close);
    g_list_store_sort(g->shots, newest_first, NULL);
    GFile *file = g_file_new_for_path(folder);
    g_clear_object(&g->monitor);
    g->monitor = g_file_monitor_directory(file, G_FILE_MONITOR_WATCH_MOVES, NULL, NULL);
    if (g->monitor) {
        g_signal_connect(g->monitor, "changed", G_CALLBACK(happened), g);
    }
    g_object_unref(file);
    show_page(g);
}

// ---- selection and actions

static GuiShot *selected(GuiGallery *g) {
    return gtk_single_selection_get_selected_item(g->selection);
}

static void selection_changed(GuiGallery *g) {
    GuiShot *shot = selected(g);
    ht_infotext info;
    char why[512];
    char *name = shot ? g_path_get_basename(shot->path) : NULL;
    const char *text = name ? name : "";
    const gboolean known = shot && ht_infotext_read(shot->path, &info, why, sizeof(why));
    gtk_label_set_text(g->facts, known ? info.job.prompt : text);
    gtk_widget_set_tooltip_text(GTK_WIDGET(g->facts), known ? info.job.prompt : NULL);
    if (known) {
        ht_infotext_free(&info);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(ACTIONS); ++i) {
        char *action = g_strdup_printf("gallery.%s", ACTIONS[i]);
        gtk_widget_action_set_enabled(GTK_WIDGET(g), action, shot != NULL);
        g_free(action);
    }
    g_free(name);
}

// The window's action of the same name, on the selected picture.
static void act(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiShot *shot = selected(GUI_GALLERY(widget));
    (void)parameter;
    if (shot) {
        char *action = g_strdup_printf("win.%s", strchr(name, '.') + 1);
        gtk_widget_activate_action(widget, action, "s", shot->path);
        g_free(action);
    }
}

static void activated(GtkGridView *grid, guint position, GuiGallery *g) {
    (void)grid;
    GuiShot *shot = g_list_model_get_item(G_LIST_MODEL(g->shots), position);
    g_signal_emit_by_name(g, "shown", shot->path);
    g_object_unref(shot);
}

static void show_menu(GuiGallery *g, double x, double y) {
    if (!g->popover) {
        g->popover = gtk_popover_menu_new_from_model(g->picture_menu);
        gtk_popover_set_has_arrow(GTK_POPOVER(g->popover), FALSE);
        gtk_widget_set_halign(g->popover, GTK_ALIGN_START);
        gtk_widget_set_parent(g->popover, GTK_WIDGET(g));
    }
    const GdkRectangle at = {(int)x, (int)y, 1, 1};
    gtk_popover_set_pointing_to(GTK_POPOVER(g->popover), &at);
    gtk_popover_popup(GTK_POPOVER(g->popover));
}

static void right_clicked(GtkGestureClick *gesture, int n, double x, double y, GuiGallery *g) {
    (void)n;
    GtkWidget *cell = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(gesture));
    GtkListItem *item = g_object_get_data(G_OBJECT(cell), "item");
    double to_x, to_y;
    gtk_single_selection_set_selected(g->selection, gtk_list_item_get_position(item));
    gtk_widget_translate_coordinates(cell, GTK_WIDGET(g), x, y, &to_x, &to_y);
    show_menu(g, to_x, to_y);
}

// ---- cells

static GdkContentProvider *drag_prepare(GtkDragSource *source, double x, double y,
                                        GtkListItem *item) {
    GuiShot *shot = gtk_list_item_get_item(item);
    (void)x;
    (void)y;
    if (!shot) {
        return NULL;
    }
    if (shot->thumbnail) {
        gtk_drag_source_set_icon(source, GDK_PAINTABLE(shot->thumbnail), 0, 0);
    }
    GFile *file = g_file_new_for_path(shot->path);
    GdkContentProvider *provider = gdk_content_provider_new_typed(G_TYPE_FILE, file);
    g_object_unref(file);
    return provider;
}

static void setup(GtkSignalListItemFactory *factory, GtkListItem *item, GuiGallery *g) {
    (void)factory;
    GtkWidget *picture = gtk_picture_new();
    gtk_picture_set_can_shrink(GTK_PICTURE(picture), TRUE);
    gtk_widget_set_size_request(picture, 144, 144);
    gtk_widget_add_css_class(picture, "thumbnail");
    g_object_set_data(G_OBJECT(picture), "item", item);
    GtkDragSource *source = gtk_drag_source_new();
    g_signal_connect(source, "prepare", G_CALLBACK(drag_prepare), item);
    gtk_widget_add_controller(picture, GTK_EVENT_CONTROLLER(source));
    GtkGesture *click = gtk_gesture_click_new();
    gtk_gesture_single_set_button(GTK_GESTURE_SINGLE(click), GDK_BUTTON_SECONDARY);
    g_signal_connect(click, "pressed", G_CALLBACK(right_clicked), g);
    gtk_widget_add_controller(picture, GTK_EVENT_CONTROLLER(click));
    gtk_list_item_set_child(item, picture);
}

static void bind(GtkSignalListItemFactory *factory, GtkListItem *item, GuiGallery *g) {
    (void)factory;
    (void)g;
    GuiShot *shot = gtk_list_item_get_item(item);
    GtkWidget *picture = gtk_list_item_get_child(item);
    char *name = g_path_get_basename(shot->path);
    gtk_picture_set_alternative_text(GTK_PICTURE(picture), name);
    // The cell around it takes the focus.
    GtkWidget *const named[] = {picture, gtk_widget_get_parent(picture)};
    for (size_t i = 0; i < G_N_ELEMENTS(named); ++i) {
        if (named[i]) {
            gtk_accessible_update_property(GTK_ACCESSIBLE(named[i]), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                           name, -1);
        }
    }
    gui_shot_bind(shot, GTK_PICTURE(picture));
    g_free(name);
}

static void unbind(GtkSignalListItemFactory *factory, GtkListItem *item, GuiGallery *g) {
    (void)factory;
    (void)g;
    gui_shot_unbind(gtk_list_item_get_item(item), GTK_PICTURE(gtk_list_item_get_child(item)));
}

// ---- object

// Cells and thumbnails cost nothing before the page is looked at.
static void first_seen(GuiGallery *g) {
    if (!gtk_grid_view_get_model(g->grid)) {
        gtk_grid_view_set_model(g->grid, GTK_SELECTION_MODEL(g->selection));
    }
}

static void size_allocate(GtkWidget *widget, int width, int height, int baseline) {
    GuiGallery *g = GUI_GALLERY(widget);
    GTK_WIDGET_CLASS(gui_gallery_parent_class)->size_allocate(widget, width, height, baseline);
    if (g->popover) {
        gtk_popover_present(GTK_POPOVER(g->popover));
    }
}

static void dispose(GObject *object) {
    GuiGallery *g = GUI_GALLERY(object);
    g_clear_object(&g->monitor);
    g_clear_pointer(&g->popover, gtk_widget_unparent);
    g_clear_object(&g->selection);
    g_clear_object(&g->shots);
    g_clear_pointer(&g->folder, g_free);
    G_OBJECT_CLASS(gui_gallery_parent_class)->dispose(object);
}

static void gui_gallery_class_init(GuiGalleryClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    widget->size_allocate = size_allocate;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/gallery.ui");
    gtk_widget_class_bind_template_child(widget, GuiGallery, stack);
    gtk_widget_class_bind_template_child(widget, GuiGallery, grid);
    gtk_widget_class_bind_template_child(widget, GuiGallery, facts);
    gtk_widget_class_bind_template_child(widget, GuiGallery, picture_menu);
    gtk_widget_class_bind_template_callback(widget, activated);
    for (size_t i = 0; i < G_N_ELEMENTS(ACTIONS); ++i) {
        char *name = g_strdup_printf("gallery.%s", ACTIONS[i]);
        gtk_widget_class_install_action(widget, name, NULL, act);
        g_free(name);
    }
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Delete, 0, "gallery.trash-picture", NULL);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_c, GDK_CONTROL_MASK, "gallery.copy-picture",
                                        NULL);
    g_signal_new("shown", GUI_TYPE_GALLERY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                 G_TYPE_STRING);
}

static void gui_gallery_init(GuiGallery *g) {
    gtk_widget_init_template(GTK_WIDGET(g));
    g->shots = g_list_store_new(GUI_TYPE_SHOT);
    g->selection = gtk_single_selection_new(g_object_ref(G_LIST_MODEL(g->shots)));
    gtk_single_selection_set_autoselect(g->selection, FALSE);
    gtk_single_selection_set_can_unselect(g->selection, TRUE);
    g_signal_connect_object(g->selection, "notify::selected-item", G_CALLBACK(selection_changed), g,
                            G_CONNECT_SWAPPED);
    GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
    g_signal_connect(factory, "setup", G_CALLBACK(setup), g);
    g_signal_connect(factory, "bind", G_CALLBACK(bind), g);
    g_signal_connect(factory, "unbind", G_CALLBACK(unbind), g);
    gtk_grid_view_set_factory(g->grid, factory);
    g_signal_connect(g, "map", G_CALLBACK(first_seen), NULL);
    g_object_unref(factory);
    selection_changed(g);
}
