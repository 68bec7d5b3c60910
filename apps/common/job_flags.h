// Rows of a table of flags for the fields of a job, in the job's order. No include guard: a part of
// an initialiser. HT_JOB_OPTIONS is the struct of options, with an ht_job `job`.
#define HT_JOB_GROUP(heading) {.kind = HT_FLAG_GROUP, .help = heading},
#define HT_JOB_LATER(flag, what) {.name = flag, .kind = HT_FLAG_LATER, .help = what},
#define HT_JOB_FIELD(scope, member, type, preset, flag, more, short_name, low, high, of, text)     \
    {.name = flag,                                                                                 \
     .aliases = more,                                                                              \
     .letter = short_name,                                                                         \
     .kind = HT_FLAG_##type,                                                                       \
     .offset = offsetof(HT_JOB_OPTIONS, job.member),                                               \
     .min = low,                                                                                   \
     .max = high,                                                                                  \
     .value = of,                                                                                  \
     .help = text},
#include "job_fields.def"
#undef HT_JOB_FIELD
#undef HT_JOB_LATER
#undef HT_JOB_GROUP
#undef HT_JOB_OPTIONS
