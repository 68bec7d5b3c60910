// Answers of --list-devices and the like.
#include "gen.h"

#include "common/models.h"

#include <halftone/grid.h>

#include <samplers/sampler.h>
#include <stdio.h>

enum { MAX_DEVICES = 32 };

static const char *type_name(ht_device_type type) {
    switch (type) {
    case HT_DEVICE_CPU: return "CPU";
    case HT_DEVICE_INTEGRATED: return "integrated GPU";
    case HT_DEVICE_DISCRETE: return "GPU";
    default: return "other";
    }
}

static int list_devices(ht_app_log *log) {
    static ht_device_info infos[MAX_DEVICES];
    uint32_t count = MAX_DEVICES;
    ht_context *context;
    ht_context_desc desc = {.host_only = true,
                            .log = {.write = ht_app_log_write, .user = log, .level = log->level}};
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_OK) {
        status = ht_device_list(context, infos, &count);
    }
    ht_context_destroy(&context);
    if (status != HT_OK) {
        return EXIT_FAILED;
    }
    for (uint32_t i = 0; i < count && i < MAX_DEVICES; ++i) {
        printf("%u  %s (%s), %.1f GiB%s%s\n", i, infos[i].name, type_name(infos[i].type),
               (double)infos[i].memory_bytes / (1 << 30),
               infos[i].usable ? "" : "; not usable: ", infos[i].why_not);
    }
    if (count == 0) {
        ht_app_say(log, HT_LOG_ERROR,
                   "there is no Vulkan device; the package mesa-vulkan-drivers brings one");
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

// Bits of a value with its share of the scales, and how many values have one scale: from the layout
// of a long row.
static void list_formats(void) {
    static const char *const scales[] = {"", "four bits", "byte", "", "f16", "", "", "", "f32"};
    puts("name         bits   values per scale  scale");
    ht_format format;
    for (size_t i = 0; (format = ht_format_at(i)); ++i) {
        ht_tensor_desc desc = {.format = format, .rank = 2, .dims = {4096, 4096}};
        if (ht_format_is_stack(format)) {
            printf("%-12s %-6s %-17s %s\n", ht_format_name(format), "1.1+", "a block",
                   "f16 factors of low rank");
        }
        if (!ht_format_is_packed(format)) {
            continue;
        }
        ht_packed_layout layout;
        ht_packed_layout_of(&desc, &layout);
        char group[32] = "row";
        if (ht_format_group(format) != 0) {
            snprintf(group, sizeof(group), "%u", ht_format_group(format));
        } else if (layout.groups > 1) {
            snprintf(group, sizeof(group), "row, one of %u", layout.groups);
        }
        printf("%-12s %-6.4g %-17s %s%s%s\n", ht_format_name(format),
               (double)layout.bytes * 8 / (double)ht_desc_count(&desc), group,
               scales[layout.scale_row_bytes * 2 / layout.groups],
               layout.zeros_offset != layout.outer_offset ? ", zero point" : "",
               layout.outers == 0   ? ""
               : layout.outers == 1 ? ", one f32 for the tensor"
                                    : ", one f32 a row");
    }
}

static void show_model(void *user, const char *name, const char *path, const char *description) {
    ++*(size_t *)user;
    printf("%-16s %s\n", name, path);
    if (*description) {
        printf("%-16s %s\n", "", description);
    }
}

int gen_list(const gen_options *options, ht_app_log *log) {
    int code = EXIT_GOOD;
    if (options->list_devices) {
        code = list_devices(log);
    }
    if (options->list_models) {
        size_t count = 0;
        ht_model_list(show_model, &count);
        if (count == 0) {
            ht_app_say(log, HT_LOG_ERROR, "there are no models");
            code = EXIT_FAILED;
        }
    }
    if (options->list_recipes) {
        size_t count = 0;
        ht_recipe_list(show_model, &count);
        if (count == 0) {
            ht_app_say(log, HT_LOG_ERROR, "there are no recipes");
            code = EXIT_FAILED;
        }
    }
    if (options->list_formats) {
        list_formats();
    }
    if (options->list_samplers) {
        const char *line;
        puts("samplers:");
        for (uint32_t i = 0; (line = ht_sampler_list_line(i)); ++i) {
            printf("  %s\n", line);
        }
        puts("schedules:");
        for (uint32_t i = 0; (line = ht_schedule_list_line(i)); ++i) {
            printf("  %s\n", line);
        }
    }
    return code;
}
