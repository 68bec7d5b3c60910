// Settings in a key file.
#include "settings.h"

#include <string.h>

struct GuiSettings {
    GKeyFile *file;
    char *path;
    gboolean changed;
};

GuiSettings *gui_settings_new(void) {
    GuiSettings *s = g_new0(GuiSettings, 1);
    s->file = g_key_file_new();
    s->path = g_build_filename(g_get_user_config_dir(), "halftone", "gui.ini", NULL);
    g_key_file_load_from_file(s->file, s->path, G_KEY_FILE_KEEP_COMMENTS, NULL);
    return s;
}

void gui_settings_save(GuiSettings *s) {
    if (!s->changed) {
        return;
    }
    GError *error = NULL;
    char *folder = g_path_get_dirname(s->path);
    g_mkdir_with_parents(folder, 0700);
    if (!g_key_file_save_to_file(s->file, s->path, &error)) {
        g_printerr("gen-gui: settings are not kept: %s\n", error->message);
        g_clear_error(&error);
    }
    s->changed = FALSE;
    g_free(folder);
}

void gui_settings_free(GuiSettings *s) {
    gui_settings_save(s);
    g_key_file_unref(s->file);
    g_free(s->path);
    g_free(s);
}

char *gui_settings_text(GuiSettings *s, const char *group, const char *key, const char *fallback) {
    char *value = g_key_file_get_string(s->file, group, key, NULL);
    return value ? value : g_strdup(fallback);
}

double gui_settings_number(GuiSettings *s, const char *group, const char *key, double fallback) {
    GError *error = NULL;
    double value = g_key_file_get_double(s->file, group, key, &error);
    if (error) {
        g_error_free(error);
        return fallback;
    }
    return value;
}

gboolean gui_settings_flag(GuiSettings *s, const char *group, const char *key, gboolean fallback) {
    GError *error = NULL;
    gboolean value = g_key_file_get_boolean(s->file, group, key, &error);
    if (error) {
        g_error_free(error);
        return fallback;
    }
    return value;
}

void gui_settings_set_text(GuiSettings *s, const char *group, const char *key, const char *value) {
    if (value) {
        g_key_file_set_string(s->file, group, key, value);
    } else {
        g_key_file_remove_key(s->file, group, key, NULL);
    }
    s->changed = TRUE;
}

void gui_settings_set_number(GuiSettings *s, const char *group, const char *key, double value) {
    g_key_file_set_double(s->file, group, key, value);
    s->changed = TRUE;
}

void gui_settings_set_flag(GuiSettings *s, const char *group, const char *key, gboolean value) {
    g_key_file_set_boolean(s->file, group, key, value);
    s->changed = TRUE;
}

char *gui_settings_output_folder(GuiSettings *s) {
    char *own = gui_settings_text(s, "output", "folder", NULL);
    if (own && *own) {
        return own;
    }
    g_free(own);
    const char *pictures = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES);
    return pictures ? g_build_filename(pictures, "halftone", NULL)
                    : g_build_filename(g_get_home_dir(), "Pictures", "halftone", NULL);
}

char *gui_settings_lora_folder(GuiSettings *s) {
    char *own = gui_settings_text(s, "input", "loras", NULL);
    if (own && *own) {
        return own;
    }
    g_free(own);
    return g_build_filename(g_get_user_data_dir(), "halftone", "loras", NULL);
}

// ---- known files, the last used first

enum { MOST_KNOWN = 200 };

void gui_settings_remember(GuiSettings *s, const char *path) {
    char **old = g_key_file_get_string_list(s->file, "input", "files", NULL, NULL);
    GPtrArray *list = g_ptr_array_new();
    g_ptr_array_add(list, (char *)path);
    for (char **at = old; at && *at && list->len < MOST_KNOWN; ++at) {
        if (strcmp(*at, path) != 0) {
            g_ptr_array_add(list, *at);
        }
    }
    g_key_file_set_string_list(s->file, "input", "files", (const char *const *)list->pdata,
                               list->len);
    s->changed = TRUE;
    g_ptr_array_unref(list);
    g_strfreev(old);
}

char *gui_settings_find(GuiSettings *s, const char *name) {
    char **known = g_key_file_get_string_list(s->file, "input", "files", NULL, NULL);
    char *folder = gui_settings_lora_folder(s), *found = NULL;
    for (char **at = known; at && *at && !found; ++at) {
        char *base = g_path_get_basename(*at);
        if (strcmp(base, name) == 0 && g_file_test(*at, G_FILE_TEST_EXISTS)) {
            found = g_strdup(*at);
        }
        g_free(base);
    }
    if (!found && !strchr(name, '/') && strcmp(name, "..") != 0) {
        found = g_build_filename(folder, name, NULL);
        if (!g_file_test(found, G_FILE_TEST_EXISTS)) {
            g_clear_pointer(&found, g_free);
        }
    }
    g_free(folder);
    g_strfreev(known);
    return found;
}
