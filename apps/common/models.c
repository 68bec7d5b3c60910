// Finding models by name.
#include "models.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FOLDERS = 16 };

typedef struct folder_list {
    char paths[MAX_FOLDERS][PATH_MAX];
    size_t count;
} folder_list;

static void add(folder_list *list, const char *head, const char *tail) {
    if (list->count < MAX_FOLDERS && *head) {
        int length = snprintf(list->paths[list->count], PATH_MAX, "%s%s", head, tail);
        list->count += length > 0 && length < PATH_MAX;
    }
}

static void add_environment(folder_list *list) {
    const char *own = getenv("HALFTONE_MODELS");
    while (own && *own) {
        char one[PATH_MAX];
        size_t length = strcspn(own, ":");
        snprintf(one, sizeof(one), "%.*s", (int)(length < PATH_MAX ? length : PATH_MAX - 1), own);
        add(list, one, "");
        own += length + (own[length] == ':');
    }
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data) {
        add(list, data, "/halftone/models");
    } else if (home) {
        add(list, home, "/.local/share/halftone/models");
    }
}

static folder_list *search_folders(void) {
    folder_list *list = calloc(1, sizeof(*list));
    if (!list) {
        return NULL;
    }
    add_environment(list);
    // Beside the program, so that an installation can be moved.
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = 0;
        for (int up = 0; up < 2; ++up) {
            char *slash = strrchr(self, '/');
            if (slash) {
                *slash = 0;
            }
        }
        add(list, self, "/" HT_INSTALL_MODELS);
    }
    add(list, HT_SOURCE_MODELS, "");
    return list;
}

static bool is_model(const char *path) {
    char file[PATH_MAX];
    int length = snprintf(file, sizeof(file), "%s/model_index.json", path);
    return length > 0 && length < PATH_MAX && access(file, R_OK) == 0;
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool fail(char *why, size_t why_bytes, const folder_list *list, const char *name) {
    int at = snprintf(why, why_bytes, "there is no model '%s'; looked in", name);
    for (size_t i = 0; i < list->count && at > 0 && (size_t)at < why_bytes; ++i) {
        at += snprintf(why + at, why_bytes - (size_t)at, "%s %s", i ? "," : "", list->paths[i]);
    }
    return false;
}

bool ht_model_find(const char *name, char *path, size_t path_bytes, char *why, size_t why_bytes) {
    struct stat info;
    snprintf(path, path_bytes, "%s", name);
    if (stat(name, &info) == 0 && S_ISREG(info.st_mode)) {
        snprintf(why, why_bytes,
                 "'%s' is a file; single-file models are not in this version, a folder in the "
                 "diffusers layout is",
                 name);
        return false;
    }
    if (strchr(name, '/') || is_model(name)) {
        if (!is_folder(name)) {
            snprintf(why, why_bytes, "there is no model folder '%s'", name);
            return false;
        }
        return true;
    }
    folder_list *list = search_folders();
    if (!list) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    bool found = false;
    for (size_t i = 0; i < list->count && !found; ++i) {
        int length = snprintf(path, path_bytes, "%s/%s", list->paths[i], name);
        found = length > 0 && (size_t)length < path_bytes && is_folder(path);
    }
    if (!found) {
        fail(why, why_bytes, list, name);
    }
    free(list);
    return found;
}

static void describe(const char *path, char *text, size_t bytes) {
    char file[PATH_MAX];
    int length = snprintf(file, sizeof(file), "%s/halftone.json", path);
    json_t *json = length > 0 && length < PATH_MAX ? json_load_file(file, 0, NULL) : NULL;
    const char *found = json_string_value(json_object_get(json, "description"));
    snprintf(text, bytes, "%s", found ? found : "");
    json_decref(json);
}

static void list_folder(const char *folder, ht_model_list_fn each, void *user) {
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; ++i) {
        char path[PATH_MAX], text[512];
        int length = snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && length > 0 && length < PATH_MAX && is_model(path)) {
            describe(path, text, sizeof(text));
            each(user, names[i]->d_name, path, text);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
}

void ht_model_list(ht_model_list_fn each, void *user) {
    folder_list *list = search_folders();
    for (size_t i = 0; list && i < list->count; ++i) {
        list_folder(list->paths[i], each, user);
    }
    free(list);
}
