// The prompts of a call: one, or the lines of a file.
#include "gen.h"

#include "common/files.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 64 << 20 };

// Cut the text into lines; comments and empty lines do not count. Returns how many.
static size_t split(char *text, const char **lines) {
    size_t count = 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        if (end) {
            *end = 0;
        }
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r') {
            line[length - 1] = 0;
        }
        const char *begin = line + strspn(line, " \t");
        if (*begin && *begin != '#') {
            lines[count++] = begin;
        }
        line = end ? end + 1 : NULL;
    }
    return count;
}

static size_t count_lines(const char *text) {
    size_t count = 1;
    for (; *text; ++text) {
        count += *text == '\n';
    }
    return count;
}

bool gen_prompts_read(const gen_options *options, ht_app_log *log, gen_prompts *out) {
    char why[512];
    *out = (gen_prompts){0};
    if (options->prompt_file) {
        out->text = ht_file_read_text(options->prompt_file, MAX_FILE_BYTES, why, sizeof(why));
        if (!out->text) {
            ht_app_say(log, HT_LOG_ERROR, "%s", why);
            return false;
        }
    }
    size_t room = out->text ? count_lines(out->text) : 1;
    out->lines = calloc(room, sizeof(*out->lines));
    if (!out->lines) {
        ht_app_say(log, HT_LOG_ERROR, "out of memory");
        gen_prompts_free(out);
        return false;
    }
    if (out->text) {
        out->count = split(out->text, out->lines);
    } else {
        out->lines[0] = options->prompt;
        out->count = 1;
    }
    if (out->count == 0) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' holds no prompt", options->prompt_file);
        gen_prompts_free(out);
        return false;
    }
    return true;
}

void gen_prompts_free(gen_prompts *prompts) {
    free(prompts->text);
    free(prompts->lines);
    *prompts = (gen_prompts){0};
}
