// One job: everything that says what is to be drawn and how. Read from flags or from JSON, both from
// the table job_fields.def; job_run.h makes its pictures, job_output.h writes them.
#ifndef HT_APP_JOB_H
#define HT_APP_JOB_H

#include "flags.h"
#include "log.h"

#include <pipeline.h>

struct json_t;

enum { HT_MAX_LORA_SCALE = 1000 }; // of a LoRA, with either sign

// C types of the kinds of fields.
typedef bool ht_job_type_BOOL;
typedef const char *ht_job_type_TEXT;
typedef uint32_t ht_job_type_U32;
typedef int64_t ht_job_type_I64;
typedef double ht_job_type_REAL;
typedef ht_flag_list ht_job_type_LIST;

// Plain data. Texts belong to whoever made them: argv, a JSON value that must live as long, or the
// job itself after ht_job_copy.
typedef struct ht_job {
#define HT_JOB_GROUP(heading)
#define HT_JOB_LATER(name, what)
#define HT_JOB_FIELD(scope, member, kind, preset, ...) ht_job_type_##kind member;
#include "job_fields.def"
#undef HT_JOB_FIELD
#undef HT_JOB_LATER
#undef HT_JOB_GROUP
} ht_job;

// All defaults; copy it.
extern const ht_job ht_job_defaults;

// Rows of a program's table of flags whose options have an ht_job `job`:
//   static const ht_flag flags[] = {
//   #define HT_JOB_OPTIONS my_options
//   #include "common/job_flags.h"
//       ... own rows
//   };

typedef enum ht_job_scope { HT_JOB_SCOPE_PICTURE, HT_JOB_SCOPE_MODEL } ht_job_scope;

// The fields as a table; `offset` is into ht_job. Rows of kind GROUP and LATER hold no value.
extern const ht_flag ht_job_fields[];
extern const size_t ht_job_field_count;
ht_job_scope ht_job_field_scope(size_t index);
// By its JSON key ("cfg_scale", "guidance_scale"); NULL when there is none.
const ht_flag *ht_job_field_find(const char *key);
// The JSON key of a field.
void ht_job_field_key(const ht_flag *field, char key[64]);

// Does it name a file or folder (or, a LIST, several, each with more behind a colon)?
bool ht_job_field_is_path(const ht_flag *field);

// Is this a flag as --w4a8, short for --recipe w4a8?
bool ht_job_is_short_recipe(const ht_flag *field);

// Make short forms plain (--w4a8 is --recipe w4a8, --hires is --hires-scale 2) and refuse what
// contradicts itself. To be called once after reading; `need_prompt`: false where prompts come from
// elsewhere. False with a sentence in `why`.
bool ht_job_finish(ht_job *job, bool need_prompt, char *why, size_t why_bytes);

// Overwrite the field `key` from JSON: numbers, texts, true or false, lists of texts. Texts stay the
// property of `value`. null: back to the default. False with a sentence that names the key.
bool ht_job_set_json(ht_job *job, const char *key, const struct json_t *value, char *why,
                     size_t why_bytes);
// All members of an object; unknown ones are refused. What the object says about the recipe (or the
// second pass) replaces all that `job` had said about it.
bool ht_job_read_json(ht_job *job, const struct json_t *object, char *why, size_t why_bytes);
// What `said` has other than the defaults replaces what `job` has, alternatives included: first all
// forms of what is said, then `said` is to be read into it again.
void ht_job_make_room(ht_job *job, const ht_job *said);
// An object with the fields that are not as in ht_job_defaults; NULL: out of memory, or a text is not
// UTF-8. ht_job_read_json reads it back.
struct json_t *ht_job_json(const ht_job *job);

// The value of one field; NULL: out of memory, or a text is not UTF-8.
struct json_t *ht_job_field_json(const ht_job *job, const ht_flag *field);

// A job with texts of its own, to be released with ht_job_clear. False: out of memory.
bool ht_job_copy(const ht_job *job, ht_job *out);
void ht_job_clear(ht_job *job);

// Do both say the same in one field of the table?
bool ht_job_same_field(const ht_job *a, const ht_job *b, const ht_flag *field);
// Do both, finished, want the same model opened in the same way?
bool ht_job_same_model(const ht_job *a, const ht_job *b);

// The seed asked for, or a random one of 32 bits for a negative one.
uint64_t ht_job_first_seed(int64_t asked);

#endif
