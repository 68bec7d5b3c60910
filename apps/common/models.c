// Finding models and recipes by name.
#include "models.h"

#include "folder.h"

#include <dirent.h>
#include <glob.h>
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

// What is looked for, and where.
typedef struct kind {
    const char *name, *variable, *home, *install, *source;
    const char *endings[4];         // of the file or folder behind a name
    bool (*is_there)(const char *); // is it what a name may stand for?
} kind;
static bool is_readable(const char *path);
static bool is_model_path(const char *path);
static const kind models = {"model",
                            "HALFTONE_MODELS",
                            "/halftone/models",
                            HT_INSTALL_DATA "/models",
                            HT_SOURCE_ASSETS "/models",
                            {"", ".safetensors", ".gguf"},
                            is_model_path};
static const kind recipes = {"recipe",
                             "HALFTONE_RECIPES",
                             "/halftone/recipes",
                             HT_INSTALL_DATA "/recipes",
                             HT_SOURCE_ASSETS "/recipes",
                             {".json"},
                             is_readable};
static const kind tokenizers = {"tokenizer",
                                "HALFTONE_TOKENIZERS",
                                "/halftone/tokenizers",
                                HT_INSTALL_DATA "/tokenizers",
                                HT_SOURCE_ASSETS "/tokenizers",
                                {""},
                                ht_is_folder};

static void add_environment(folder_list *list, const kind *what) {
    const char *own = getenv(what->variable);
    while (own && *own) {
        char one[PATH_MAX];
        size_t length = strcspn(own, ":");
        snprintf(one, sizeof(one), "%.*s", (int)(length < PATH_MAX ? length : PATH_MAX - 1), own);
        add(list, one, "");
        own += length + (own[length] == ':');
    }
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data) {
        add(list, data, what->home);
    } else if (home) {
        char share[PATH_MAX];
        int length = snprintf(share, sizeof(share), "%s/.local/share", home);
        add(list, length < PATH_MAX ? share : "", what->home);
    }
}

bool ht_program_prefix(char prefix[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", prefix, PATH_MAX - 1);
    if (length <= 0) {
        return false;
    }
    prefix[length] = 0;
    for (int up = 0; up < 2; ++up) {
        char *slash = strrchr(prefix, '/');
        if (slash) {
            *slash = 0;
        }
    }
    return true;
}

static folder_list *search_folders(const kind *what) {
    folder_list *list = calloc(1, sizeof(*list));
    if (!list) {
        return NULL;
    }
    add_environment(list, what);
    char self[PATH_MAX], share[PATH_MAX];
    if (ht_program_prefix(self)) {
        snprintf(share, sizeof(share), "/%s", what->install);
        add(list, self, share);
    }
    add(list, what->source, "");
    return list;
}

static bool is_model(const char *path) {
    char file[PATH_MAX];
    int length = snprintf(file, sizeof(file), "%s/model_index.json", path);
    return length > 0 && length < PATH_MAX && access(file, R_OK) == 0;
}

static bool is_readable(const char *path) {
    return access(path, R_OK) == 0;
}

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcmp(text + length - tail, ending) == 0;
}

// Could this be a model in one file?
static bool is_single_file(const char *path) {
    struct stat info;
    return (ends_with(path, ".safetensors") || ends_with(path, ".gguf")) &&
           stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static bool is_model_path(const char *path) {
    return ht_is_folder(path) || is_single_file(path);
}

static void say_not_found(char *why, size_t why_bytes, const folder_list *list, const kind *what,
                          const char *name) {
    int at = snprintf(why, why_bytes, "there is no %s '%s'; looked in", what->name, name);
    for (size_t i = 0; i < list->count && at > 0 && (size_t)at < why_bytes; ++i) {
        at += snprintf(why + at, why_bytes - (size_t)at, "%s %s", i ? "," : "", list->paths[i]);
    }
}

static bool find_in_folders(const kind *what, const char *name, char *path, size_t path_bytes,
                            char *why, size_t why_bytes) {
    folder_list *list = search_folders(what);
    if (!list) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    bool found = false;
    for (size_t i = 0; i < list->count && !found; ++i) {
        for (size_t e = 0; !found && e < 4 && what->endings[e]; ++e) {
            int length =
                snprintf(path, path_bytes, "%s/%s%s", list->paths[i], name, what->endings[e]);
            found = length > 0 && (size_t)length < path_bytes && what->is_there(path);
        }
    }
    if (!found) {
        say_not_found(why, why_bytes, list, what, name);
    }
    free(list);
    return found;
}

bool ht_model_find(const char *name, char *path, size_t path_bytes, char *why, size_t why_bytes) {
    struct stat info;
    snprintf(path, path_bytes, "%s", name);
    if (stat(name, &info) == 0 && S_ISREG(info.st_mode)) {
        return true;
    }
    if (strchr(name, '/') || is_model(name)) {
        if (!ht_is_folder(name)) {
            snprintf(why, why_bytes, "there is no model '%s'", name);
            return false;
        }
        return true;
    }
    return find_in_folders(&models, name, path, path_bytes, why, why_bytes);
}

bool ht_recipe_path(const char *name, char *path, size_t path_bytes, char *why, size_t why_bytes) {
    size_t tail = strlen(name);
    snprintf(path, path_bytes, "%s", name);
    if (strchr(name, '/') || (tail > 5 && strcmp(name + tail - 5, ".json") == 0)) {
        snprintf(why, why_bytes, "there is no recipe file '%s'", name);
        return is_readable(name);
    }
    return find_in_folders(&recipes, name, path, path_bytes, why, why_bytes);
}

static void describe_file(const char *file, char *text, size_t bytes) {
    json_t *json = json_load_file(file, 0, NULL);
    const char *found = json_string_value(json_object_get(json, "description"));
    snprintf(text, bytes, "%s", found ? found : "");
    json_decref(json);
}

static void describe(const char *path, char *text, size_t bytes) {
    char file[PATH_MAX];
    int length = snprintf(file, sizeof(file), "%s/halftone.json", path);
    describe_file(length > 0 && length < PATH_MAX ? file : "", text, bytes);
}

// A model in one file, under its name without the ending.
static void list_file(char *name, const char *path, ht_model_list_fn each, void *user) {
    struct stat info;
    char text[64] = "";
    if (stat(path, &info) == 0) {
        snprintf(text, sizeof(text), "one file, %.1f GB", (double)info.st_size * 1e-9);
    }
    *strrchr(name, '.') = 0;
    each(user, name, path, text);
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
        } else if (names[i]->d_name[0] != '.' && length < PATH_MAX && is_single_file(path)) {
            list_file(names[i]->d_name, path, each, user);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
}

void ht_model_list(ht_model_list_fn each, void *user) {
    folder_list *list = search_folders(&models);
    for (size_t i = 0; list && i < list->count; ++i) {
        list_folder(list->paths[i], each, user);
    }
    free(list);
}

static void list_recipe_folder(const char *folder, ht_model_list_fn each, void *user) {
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; ++i) {
        char path[PATH_MAX], text[512], *name = names[i]->d_name;
        size_t tail = strlen(name);
        int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (tail > 5 && strcmp(name + tail - 5, ".json") == 0 && length < PATH_MAX) {
            describe_file(path, text, sizeof(text));
            name[tail - 5] = 0;
            each(user, name, path, text);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
}

void ht_recipe_list(ht_model_list_fn each, void *user) {
    folder_list *list = search_folders(&recipes);
    for (size_t i = 0; list && i < list->count; ++i) {
        list_recipe_folder(list->paths[i], each, user);
    }
    free(list);
}

// ---- tokenizers

typedef struct path_list {
    char **paths;
    size_t count;
    bool failed; // out of memory
} path_list;

// Add HEAD/TAIL if a tokenizer is there.
static void add_tokenizer(path_list *list, const char *head, const char *tail) {
    static const char *const files[] = {"vocab.json", "bpe_simple_vocab_16e6.txt.gz",
                                        "bpe_simple_vocab_16e6.txt"};
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); ++i) {
        char folder[PATH_MAX], file[PATH_MAX];
        int length = snprintf(folder, sizeof(folder), "%s%s", head, tail);
        int full = snprintf(file, sizeof(file), "%s%s/%s", head, tail, files[i]);
        if (length <= 0 || full >= PATH_MAX || !is_readable(file)) {
            continue;
        }
        char **larger = realloc(list->paths, (list->count + 2) * sizeof(*larger));
        list->paths = larger ? larger : list->paths;
        char *copy = larger ? strdup(folder) : NULL;
        list->failed = list->failed || !copy;
        if (copy) {
            list->paths[list->count++] = copy;
            list->paths[list->count] = NULL;
        }
        return;
    }
}

// In every folder that a pattern of the shell finds.
static void add_matches(path_list *list, const char *head, const char *pattern) {
    char full[PATH_MAX];
    glob_t found = {0};
    int length = snprintf(full, sizeof(full), "%s%s", head, pattern);
    if (length > 0 && length < PATH_MAX && glob(full, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; ++i) {
            add_tokenizer(list, found.gl_pathv[i], "");
        }
    }
    globfree(&found);
}

static void add_fetched(path_list *list) {
    const char *own = getenv("HF_HOME"), *home = getenv("HOME");
    char head[PATH_MAX] = "";
    int length = own && *own
                     ? snprintf(head, sizeof(head), "%s/hub", own)
                     : snprintf(head, sizeof(head), "%s/.cache/huggingface/hub", home ? home : "");
    if (length > 0 && length < PATH_MAX) {
        add_matches(list, head, "/models--openai--clip-vit-*/snapshots/*");
        add_matches(list, head, "/models--*/snapshots/*/tokenizer");
    }
}

char **ht_tokenizer_folders(const char *model) {
    path_list list = {.paths = calloc(1, sizeof(char *))};
    char beside[PATH_MAX];
    const char *slash = strrchr(model, '/');
    snprintf(beside, sizeof(beside), "%.*s", slash ? (int)(slash - model) : 1, slash ? model : ".");
    add_tokenizer(&list, beside, "/tokenizer");
    add_tokenizer(&list, beside, "");
    const kind *const kinds[] = {&tokenizers, &models};
    for (size_t k = 0; k < 2; ++k) {
        folder_list *folders = search_folders(kinds[k]);
        for (size_t i = 0; folders && i < folders->count; ++i) {
            add_tokenizer(&list, folders->paths[i], "");
            add_matches(&list, folders->paths[i], k == 0 ? "/*" : "/*/tokenizer");
        }
        free(folders);
    }
    add_fetched(&list);
    if (!list.paths || list.failed) {
        ht_tokenizer_folders_free(list.paths);
        return NULL;
    }
    return list.paths;
}

void ht_tokenizer_folders_free(char **folders) {
    for (size_t i = 0; folders && folders[i]; ++i) {
        free(folders[i]);
    }
    free(folders);
}
