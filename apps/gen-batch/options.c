// Options of gen-batch: one table for parsing and help.
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) .offset = offsetof(batch_options, field)
#define GROUP(text)                                                                                \
    { .kind = HT_FLAG_GROUP, .help = text }

static const ht_flag flags[] = {
    GROUP("Jobs and results"),
    {"output", NULL, 'o', HT_FLAG_TEXT, AT(output), .value = "DIR",
     .help = "folder of the results; made when it is not there"},
    {"name", NULL, 0, HT_FLAG_TEXT, AT(name), .value = "PATTERN",
     .help = "names of pictures, with [number], [seed] or any field ([number]-[seed])"},
    {"wildcards", NULL, 0, HT_FLAG_TEXT, AT(wildcards), .value = "DIR",
     .help = "folder of NAME.txt for __NAME__ in prompts"},
    {"literal", NULL, 0, HT_FLAG_BOOL, AT(literal),
     .help = "{a|b} and __NAME__ in prompts are plain text"},
    {"retry", NULL, 0, HT_FLAG_BOOL, AT(retry), .help = "do jobs again that failed before"},
    {"dry-run", NULL, 0, HT_FLAG_BOOL, AT(dry_run),
     .help = "print every job as it would be done, as JSON lines, and check its files"},
    {"contact-sheet", NULL, 0, HT_FLAG_BOOL, AT(contact_sheet),
     .help = "make contact-sheet.png of all pictures in the folder"},
    {"shard", NULL, 0, HT_FLAG_TEXT, AT(shard_text), .value = "I/N",
     .help = "do the I-th of N parts (in a Slurm array: its tasks); then gen-batch merge DIR"},
    {"no-metadata", "disable-image-metadata", 0, HT_FLAG_BOOL, AT(no_metadata),
     .help = "do not write prompt and settings into the PNGs"},

#define HT_DEVICE_OPTIONS batch_options
#include "common/device_flags.h"

    GROUP("Program"),
    {"quiet", NULL, 'q', HT_FLAG_BOOL, AT(quiet), .help = "errors only"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose), .help = "more messages"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},

    GROUP("Defaults of all jobs, as for gen:"),
#define HT_JOB_OPTIONS batch_options
#include "common/job_flags.h"
};

static bool take_word(void *user, const char *text) {
    batch_options *o = user;
    if (o->n_words == 2 || (o->n_words == 1 && strcmp(o->words[0], "merge") != 0)) {
        return false;
    }
    o->words[o->n_words++] = text;
    return true;
}

static const ht_flag_set set = {
    .program = "gen-batch",
    .usage = "usage: gen-batch JOBS.jsonl -o DIR [flags]\n"
             "       gen-batch merge DIR\n"
             "Makes the pictures of a file of jobs; started again, it goes on where it was.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
    .word = take_word,
};

static bool refuse(const char *sentence) {
    fprintf(stderr, "gen-batch: %s\n", sentence);
    return false;
}

// "2/4"
static bool read_shard(batch_options *o) {
    char end;
    unsigned part, parts;
    if (strchr(o->shard_text, '-') || sscanf(o->shard_text, "%u/%u%c", &part, &parts, &end) != 2 ||
        part < 1 || part > parts || parts > 100000) {
        fprintf(stderr, "gen-batch: --shard %s: expected I/N with I from 1 to N, as 2/4\n",
                o->shard_text);
        return false;
    }
    o->shard = part;
    o->shards = parts;
    return true;
}

static bool number_of(const char *name, long *out) {
    const char *text = getenv(name);
    char *end;
    const long number = text ? strtol(text, &end, 10) : 0;
    if (!text || !*text || *end || labs(number) > 1 << 30) {
        return false;
    }
    *out = number;
    return true;
}

// The tasks of a Slurm array are the parts, when their numbers are evenly spaced.
static bool shard_of_slurm(batch_options *o) {
    long id, min, max, count, step = 1;
    if (!number_of("SLURM_ARRAY_TASK_ID", &id)) {
        return true;
    }
    if (!number_of("SLURM_ARRAY_TASK_MIN", &min) || !number_of("SLURM_ARRAY_TASK_MAX", &max) ||
        !number_of("SLURM_ARRAY_TASK_COUNT", &count)) {
        return refuse("SLURM_ARRAY_TASK_ID is set, but not the array's MIN, MAX and COUNT: which "
                      "part is this? Give --shard");
    }
    number_of("SLURM_ARRAY_TASK_STEP", &step);
    if (step < 1 || id < min || id > max || (id - min) % step != 0 ||
        (max - min) / step + 1 != count) {
        return refuse("the numbers of this Slurm array are not evenly spaced: which part is this? "
                      "Give --shard");
    }
    o->shard = (uint32_t)((id - min) / step + 1);
    o->shards = (uint32_t)count;
    return true;
}

static bool check(batch_options *o) {
    o->merge = o->n_words > 0 && strcmp(o->words[0], "merge") == 0;
    if (o->n_words == 0) {
        return refuse("there is no file of jobs; see --help");
    }
    if (o->merge) {
        o->output = o->output ? o->output : o->n_words > 1 ? o->words[1] : NULL;
        return o->output || refuse("merge needs the folder of the results");
    }
    o->jobs = o->words[0];
    if (!o->output) {
        return refuse("--output says into which folder the results go");
    }
    if (o->job.prompt) {
        return refuse("prompts are in the file of jobs, not behind --prompt");
    }
    if (o->literal && o->wildcards) {
        return refuse("--literal and --wildcards exclude each other");
    }
    return o->shard_text ? read_shard(o) : shard_of_slurm(o);
}

// "out/" is "out": paths are printed with a slash of their own.
static void cut_slashes(batch_options *o) {
    size_t length = o->output ? strlen(o->output) : 0;
    while (length > 1 && o->output[length - 1] == '/') {
        ((char *)o->output)[--length] = 0; // argv's
    }
}

bool batch_options_parse(int argc, char **argv, batch_options *options) {
    *options = (batch_options){.job = ht_job_defaults, .name = "[number]-[seed]"};
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    if (options->help || options->version) {
        return true;
    }
    const bool good = check(options);
    cut_slashes(options);
    return good;
}

bool batch_options_override(int argc, char **argv, ht_job *defaults) {
    batch_options said = {.job = ht_job_defaults}, over = {.job = *defaults};
    if (!ht_flags_parse(&set, argc, argv, &said)) {
        return false;
    }
    ht_job_make_room(&over.job, &said.job);
    const bool good = ht_flags_parse(&set, argc, argv, &over);
    *defaults = over.job;
    return good;
}

void batch_options_help(void) {
    ht_flags_help(&set);
}
