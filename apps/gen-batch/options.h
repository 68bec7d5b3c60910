// Options of gen-batch.
#ifndef HT_BATCH_OPTIONS_H
#define HT_BATCH_OPTIONS_H

#include "common/job.h"

typedef struct batch_options {
    ht_job job;           // defaults of all jobs: the program's, then flags
    const char *words[2]; // what is no flag: JOBS, or "merge" and the folder
    uint32_t n_words;
    bool merge;
    const char *jobs;   // NULL with merge
    const char *output; // folder
    const char *name;   // pattern
    const char *wildcards;
    bool literal;
    const char *shard_text;
    uint32_t shard, shards; // from 1; 0 of 0: not one of several
    bool retry, dry_run, contact_sheet, no_metadata;
    const char *device;
    uint64_t max_memory;
    uint64_t weights_budget;
    bool no_cache, quiet, help, version;
    int verbose;
} batch_options;

// Defaults, then argv, then Slurm's variables. False after a message: exit with 2.
bool batch_options_parse(int argc, char **argv, batch_options *options);
// The defaults that a file of jobs begins with come before the flags: `defaults` from the file is
// replaced by what argv says. False after a message.
bool batch_options_override(int argc, char **argv, ht_job *defaults);
void batch_options_help(void);

#endif
