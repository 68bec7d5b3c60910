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
    uint32_t turns;
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
    {"weights", NULL, 'w', HT_FLAG_TEXT, AT(weights), .value = "FORMATS",
     .help = "linear and conv2d only, with weights in these formats: packed ones "
             "(gen --list-formats), float, or all; separated by commas"},
    {"activations", NULL, 'a', HT_FLAG_TEXT, AT(activations), .value = "FORMATS",
     .help = "and activations in these (with --weights); every pair that there is"},
    {"turns", NULL, 0, HT_FLAG_U32, AT(turns), 1, 1000, "N",
     "measure all cases in turn, N times, for --seconds each; shows each against its shape's first"},
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

static void list_cases(void) {
    char shape[64];
    for (size_t i = 0; i < bench_case_count; i++) {
        printf("%-24s %-11s %s\n", bench_cases[i].name, bench_op_name(bench_cases[i].op),
               bench_shape(&bench_cases[i], shape, sizeof shape));
    }
}

// The formats that a flag names. False after a message.
static bool read_formats(const char *names, const char *flag, ht_app_log *log,
                         bench_formats *formats) {
    char wrong[64];
    if (bench_formats_read(names, formats, wrong, sizeof wrong)) {
        return true;
    }
    ht_app_say(log, HT_LOG_ERROR,
               "--%s: '%s' is no packed format, nor float or all; see gen --list-formats", flag,
               wrong);
    return false;
}

// A status after which the others are measured all the same.
static ht_status left_out(ht_status status, const bench_case *c, ht_app_log *log) {
    if (status != HT_ERR_NO_MEMORY) {
        return status;
    }
    ht_app_say(log, HT_LOG_WARN, "%s is left out", c->name);
    return HT_OK;
}

// Measure into `results`; a case that does not fit the device is left out with a warning.
static ht_status measure_all(ht_context *context, const bench_settings *settings, bool print,
                             const ht_bench_ceilings *ceilings, ht_app_log *log,
                             const bench_case *rows, size_t n_rows, bench_result *results,
                             size_t *count) {
    ht_status status = HT_OK;
    for (size_t i = 0; i < n_rows && status == HT_OK; i++) {
        status = bench_measure(context, &rows[i], settings, &results[*count]);
        if (status != HT_OK) {
            status = left_out(status, &rows[i], log);
            continue;
        }
        if (print) {
            bench_print(&results[*count], ceilings);
        }
        (*count)++;
    }
    return status;
}

// The same with all of them ready at once, in turn.
static ht_status measure_in_turns(ht_context *context, const bench_settings *settings, uint32_t turns,
                                  ht_app_log *log, const bench_case *rows, size_t n_rows,
                                  bench_result *results, size_t *count) {
    bench_fixture **ready = calloc(n_rows, sizeof *ready);
    ht_status status = ready != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    for (size_t i = 0; i < n_rows && status == HT_OK; i++) {
        status = left_out(bench_open(context, &rows[i], settings, &ready[i]), &rows[i], log);
    }
    for (uint32_t turn = 0; turn < turns && status == HT_OK; turn++) {
        for (size_t i = 0; i < n_rows && status == HT_OK; i++) {
            status = ready[i] != NULL ? bench_turn(ready[i], settings->seconds) : HT_OK;
        }
    }
    const bench_fixture *base = NULL;
    for (size_t i = 0; ready != NULL && i < n_rows; i++) {
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0) {
            base = ready[i];
        }
        if (status == HT_OK && ready[i] != NULL) {
            bench_summary(ready[i], base, &results[(*count)++]);
        }
    }
    for (size_t i = 0; ready != NULL && i < n_rows; i++) {
        bench_close(&ready[i]);
    }
    free(ready);
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

static ht_status measure(ht_context *context, const options *o, ht_app_log *log,
                         const bench_case *rows, size_t n_rows, bench_result *results) {
    const double usual = o->turns > 0 ? 0.02 : o->quick ? 0.3 : 1.0;
    const bench_settings settings = {.format = o->fp32 ? HT_FORMAT_F32 : HT_FORMAT_F16,
                                     .seconds = o->seconds >= 0.0 ? o->seconds : usual};
    const bool print = o->json == NULL;
    ht_bench_ceilings ceilings;
    size_t count = 0;
    ht_status status = ht_bench_measure(context, &ceilings);
    if (status == HT_OK && print) {
        printf("%s, %s\n", ht_context_device(context)->name, ht_context_device(context)->driver);
        bench_print(NULL, &ceilings);
    }
    if (status == HT_OK && o->turns > 0) {
        status = measure_in_turns(context, &settings, o->turns, log, rows, n_rows, results, &count);
        for (size_t i = 0; i < count && print; i++) {
            bench_print(&results[i], &ceilings);
        }
    } else if (status == HT_OK) {
        status = measure_all(context, &settings, print, &ceilings, log, rows, n_rows, results,
                             &count);
    }
    if (status == HT_OK && !print &&
        !write_json(o, context, &ceilings, results, count, log)) {
        status = HT_ERR_IO;
    }
    return status;
}

static int run(const options *o, ht_app_log *log, ht_tier tier, const bench_case *rows,
               size_t n_rows) {
    const ht_context_desc desc = {
        .device = o->device,
        .tier = tier,
        .log = {.write = ht_app_log_write, .user = log, .level = log->level}};
    ht_context *context = NULL;
    bench_result *results = calloc(n_rows, sizeof *results);
    ht_status status = results != NULL ? ht_context_create(&desc, &context) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = measure(context, o, log, rows, n_rows, results);
    }
    ht_context_destroy(&context);
    free(results);
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
    bench_formats weights, activations;
    if (!read_formats(o.weights, "weights", &log, &weights) ||
        !read_formats(o.activations, "activations", &log, &activations)) {
        return EXIT_USAGE;
    }
    if (o.activations != NULL && o.weights == NULL) {
        ht_app_say(&log, HT_LOG_ERROR, "--activations need --weights: both are packed then");
        return EXIT_USAGE;
    }
    size_t n_rows;
    bench_case *rows = bench_rows(&weights, &activations, o.filter, o.quick, &n_rows);
    int code = EXIT_USAGE;
    if (rows == NULL) {
        ht_app_say(&log, HT_LOG_ERROR, "no memory left");
    } else if (n_rows == 0) {
        ht_app_say(&log, HT_LOG_ERROR, "no case has '%s' in its name; see --list",
                   o.filter != NULL ? o.filter : "");
    } else {
        code = run(&o, &log, tier, rows, n_rows);
    }
    free(rows);
    return code;
}
