// gen-bench: how fast the kernels are on a device, at the shapes of real networks.
#include "bench.h"

#include "common/files.h"
#include "common/flags.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct options {
    const char *filter, *device, *json, *tier, *weights, *activations;
    bool quick, fp32, list, help, version;
    int verbose;
    double seconds;
} options;

#define AT(field) .offset = offsetof(options, field)

static const ht_flag flags[] = {
    {"filter", NULL, 'f', HT_FLAG_TEXT, AT(filter), .value = "TEXT",
     .help = "only cases whose name or op contains this"},
    {"quick", NULL, 'q', HT_FLAG_BOOL, AT(quick), .help = "a few cases, fewer repeats"},
    {"seconds", NULL, 0, HT_FLAG_REAL, AT(seconds), 0, 3600, "X",
     "time to repeat each case for (1; 0.3 with --quick)"},
    {"fp32", NULL, 0, HT_FLAG_BOOL, AT(fp32), .help = "f32 activations instead of f16"},
    {"weights", NULL, 'w', HT_FLAG_TEXT, AT(weights), .value = "FORMAT",
     .help = "linear and conv2d only, with weights in this packed format (gen --list-formats)"},
    {"activations", NULL, 'a', HT_FLAG_TEXT, AT(activations), .value = "FORMAT",
     .help = "and activations in this one (with --weights)"},
    {"list", NULL, 0, HT_FLAG_BOOL, AT(list), .help = "name the cases"},
    {"json", NULL, 0, HT_FLAG_MAYBE, AT(json), .value = "[FILE]",
     .help = "JSON instead of the table, on stdout or into a file"},
    {"device", NULL, 'd', HT_FLAG_TEXT, AT(device), .value = "N|NAME",
     .help = "by number or part of the name"},
    {"tier", NULL, 0, HT_FLAG_TEXT, AT(tier), .value = "NAME",
     .help = "kernels to use: portable, cpu, dot or matrix (chosen by the device)"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose), .help = "more messages"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},
};

static const ht_flag_set flag_set = {.program = "gen-bench",
                                     .usage = "gen-bench [--quick] [--filter TEXT] [--json [FILE]]",
                                     .flags = flags,
                                     .count = sizeof flags / sizeof flags[0]};

static bool wanted(const options *o, const bench_case *c) {
    if (o->weights != NULL &&
        (c->w != HT_FORMAT_NONE || (c->op != BENCH_LINEAR && c->op != BENCH_CONV2D))) {
        return false;
    }
    if (o->filter != NULL) {
        return strstr(c->name, o->filter) != NULL ||
               strstr(bench_op_name(c->op), o->filter) != NULL;
    }
    return c->quick || !o->quick;
}

static bool any_wanted(const options *o) {
    for (size_t i = 0; i < bench_case_count; i++) {
        if (wanted(o, &bench_cases[i])) {
            return true;
        }
    }
    return false;
}

static void list_cases(void) {
    char shape[64];
    for (size_t i = 0; i < bench_case_count; i++) {
        printf("%-24s %-11s %s\n", bench_cases[i].name, bench_op_name(bench_cases[i].op),
               bench_shape(&bench_cases[i], shape, sizeof shape));
    }
}

// A packed format by its name, NONE without a name. False after a message.
static bool format_of(const char *name, const char *flag, ht_app_log *log, ht_format *format) {
    *format = name != NULL ? ht_format_find(name) : HT_FORMAT_NONE;
    if (name != NULL && !ht_format_is_packed(*format)) {
        ht_app_say(log, HT_LOG_ERROR, "--%s: '%s' is no packed format; see gen --list-formats",
                   flag, name);
        return false;
    }
    return true;
}

// Measure into `results`; a case that does not fit the device is left out with a warning.
static ht_status measure_all(ht_context *context, const options *o,
                             const ht_bench_ceilings *ceilings, ht_app_log *log, bench_case *cases,
                             bench_result *results, size_t *count) {
    const bench_settings settings = {.format = o->fp32 ? HT_FORMAT_F32 : HT_FORMAT_F16,
                                     .seconds = o->seconds >= 0.0 ? o->seconds
                                                : o->quick        ? 0.3
                                                                  : 1.0};
    ht_status status = HT_OK;
    for (size_t i = 0; i < bench_case_count && status == HT_OK; i++) {
        if (!wanted(o, &bench_cases[i])) {
            continue;
        }
        cases[i] = bench_cases[i];
        if (o->weights != NULL) {
            cases[i].w = ht_format_find(o->weights);
            cases[i].x = o->activations != NULL ? ht_format_find(o->activations) : HT_FORMAT_NONE;
        }
        status = bench_measure(context, &cases[i], &settings, &results[*count]);
        if (status == HT_OK && o->json == NULL) {
            bench_print(&results[*count], ceilings);
        }
        if (status == HT_OK) {
            (*count)++;
        } else if (status == HT_ERR_NO_MEMORY) {
            ht_app_say(log, HT_LOG_WARN, "%s is left out", bench_cases[i].name);
            status = HT_OK;
        }
    }
    return status;
}

static bool write_json(const options *o, ht_context *context, const ht_bench_ceilings *ceilings,
                       const bench_result *results, size_t count, ht_app_log *log) {
    char why[512];
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL) {
        return false;
    }
    bench_print_json(memory, context, ceilings, results, count);
    bool good = fclose(memory) == 0;
    if (good) {
        good =
            ht_file_write(o->json[0] != '\0' ? o->json : "-", text, bytes, true, why, sizeof why);
        if (!good) {
            ht_app_say(log, HT_LOG_ERROR, "%s", why);
        }
    }
    free(text);
    return good;
}

static int run(const options *o, ht_app_log *log, ht_tier tier) {
    const ht_context_desc desc = {
        .device = o->device,
        .tier = tier,
        .log = {.write = ht_app_log_write, .user = log, .level = log->level}};
    ht_context *context = NULL;
    ht_bench_ceilings ceilings;
    bench_result *results = calloc(bench_case_count, sizeof *results);
    bench_case *cases = calloc(bench_case_count, sizeof *cases); // with the formats asked for
    size_t count = 0;
    ht_status status =
        results != NULL && cases != NULL ? ht_context_create(&desc, &context) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_bench_measure(context, &ceilings);
    }
    if (status == HT_OK && o->json == NULL) {
        printf("%s, %s\n", ht_context_device(context)->name, ht_context_device(context)->driver);
        bench_print(NULL, &ceilings);
    }
    if (status == HT_OK) {
        status = measure_all(context, o, &ceilings, log, cases, results, &count);
    }
    if (status == HT_OK && o->json != NULL &&
        !write_json(o, context, &ceilings, results, count, log)) {
        status = HT_ERR_IO;
    }
    ht_context_destroy(&context);
    free(results);
    free(cases);
    return status == HT_OK ? EXIT_GOOD : EXIT_FAILED;
}

int main(int argc, char **argv) {
    options o = {.seconds = -1.0};
    ht_tier tier = HT_TIER_AUTO;
    if (!ht_flags_parse(&flag_set, argc, argv, &o)) {
        return EXIT_USAGE;
    }
    if (o.help) {
        ht_flags_help(&flag_set);
        return EXIT_GOOD;
    }
    if (o.version) {
        printf("halftone %s\n", HT_VERSION);
        return EXIT_GOOD;
    }
    if (o.list) {
        list_cases();
        return EXIT_GOOD;
    }
    ht_app_log log = {.program = "gen-bench", .level = o.verbose > 0 ? HT_LOG_DEBUG : HT_LOG_WARN};
    if (o.tier != NULL && !ht_tier_find(o.tier, &tier)) {
        ht_app_say(&log, HT_LOG_ERROR, "--tier is portable, cpu, dot or matrix, not '%s'", o.tier);
        return EXIT_USAGE;
    }
    ht_format packed;
    if (!format_of(o.weights, "weights", &log, &packed) ||
        !format_of(o.activations, "activations", &log, &packed)) {
        return EXIT_USAGE;
    }
    if (o.activations != NULL && o.weights == NULL) {
        ht_app_say(&log, HT_LOG_ERROR, "--activations need --weights: both are packed then");
        return EXIT_USAGE;
    }
    if (!any_wanted(&o)) {
        ht_app_say(&log, HT_LOG_ERROR, "no case has '%s' in its name; see --list", o.filter);
        return EXIT_USAGE;
    }
    return run(&o, &log, tier);
}
