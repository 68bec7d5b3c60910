// Command-line flags from a table.
#include "flags.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ht_parse_size(const char *text, uint64_t *bytes) {
    char *end;
    double value = strtod(text, &end);
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    if (end == text || !isfinite(value) || value < 0 || (*end && !unit)) {
        return false;
    }
    if (unit) {
        value *= pow(1024, (double)(unit - units + 1));
        ++end;
        if (strcmp(end, "") != 0 && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0) {
            return false;
        }
    }
    if (value >= 0x1p63) {
        return false;
    }
    *bytes = (uint64_t)value;
    return true;
}

// Does the list of names, separated by spaces, hold `name`?
static bool listed(const char *list, const char *name, size_t length) {
    while (list && *list) {
        size_t word = strcspn(list, " ");
        if (word == length && strncmp(list, name, length) == 0) {
            return true;
        }
        list += word + (list[word] == ' ');
    }
    return false;
}

bool ht_flag_is(const ht_flag *flag, const char *name, size_t length) {
    return flag->kind != HT_FLAG_GROUP &&
           (listed(flag->name, name, length) || listed(flag->aliases, name, length));
}

static const ht_flag *find(const ht_flag_set *set, const char *name, size_t length) {
    for (size_t i = 0; i < set->count; ++i) {
        if (ht_flag_is(&set->flags[i], name, length)) {
            return &set->flags[i];
        }
    }
    return NULL;
}

static const ht_flag *find_letter(const ht_flag_set *set, char letter) {
    for (size_t i = 0; i < set->count; ++i) {
        if (set->flags[i].letter == letter && letter) {
            return &set->flags[i];
        }
    }
    return NULL;
}

// Insertions, deletions and replacements between two names of at most 63 characters.
static uint32_t distance(const char *a, const char *b) {
    uint32_t row[64];
    size_t la = strlen(a), lb = strlen(b);
    if (la > 63 || lb > 63) {
        return 64;
    }
    for (size_t j = 0; j <= lb; ++j) {
        row[j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= la; ++i) {
        uint32_t corner = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= lb; ++j) {
            uint32_t replace = corner + (a[i - 1] != b[j - 1]);
            uint32_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = replace < shorter ? replace : shorter;
        }
    }
    return row[lb];
}

const ht_flag *ht_flag_nearest(const ht_flag *flags, size_t count, const char *name) {
    const ht_flag *nearest = NULL;
    uint32_t best = 64;
    for (size_t i = 0; i < count; ++i) {
        if (flags[i].kind != HT_FLAG_GROUP && flags[i].kind != HT_FLAG_LATER) {
            uint32_t d = distance(name, flags[i].name);
            nearest = d < best ? &flags[i] : nearest;
            best = d < best ? d : best;
        }
    }
    return nearest && best <= 3 && best < strlen(nearest->name) ? nearest : NULL;
}

static void unknown(const ht_flag_set *set, const char *argument) {
    char name[64];
    snprintf(name, sizeof(name), "%s", argument + strspn(argument, "-"));
    name[strcspn(name, "=")] = 0;
    const ht_flag *nearest = ht_flag_nearest(set->flags, set->count, name);
    if (nearest) {
        fprintf(stderr, "%s: there is no flag '%s'; did you mean --%s?\n", set->program, argument,
                nearest->name);
    } else {
        fprintf(stderr, "%s: there is no flag '%s'; see --help\n", set->program, argument);
    }
}

static bool bad_value(const ht_flag_set *set, const ht_flag *flag, const char *value,
                      const char *expected) {
    fprintf(stderr, "%s: --%s %s: expected %s\n", set->program, flag->name, value, expected);
    return false;
}

static bool store_number(const ht_flag_set *set, const ht_flag *flag, const char *value,
                         void *where) {
    char expected[96], *end;
    bool whole = flag->kind == HT_FLAG_U32;
    double number = strtod(value, &end);
    snprintf(expected, sizeof(expected), "a %snumber from %.10g to %.10g", whole ? "whole " : "",
             flag->min, flag->max);
    if (end == value || *end || !(number >= flag->min && number <= flag->max) ||
        (whole && number != floor(number))) {
        return bad_value(set, flag, value, expected);
    }
    if (whole) {
        *(uint32_t *)where = (uint32_t)number;
    } else {
        *(double *)where = number;
    }
    return true;
}

static bool append(const ht_flag_set *set, const ht_flag *flag, const char *value,
                   ht_flag_list *list) {
    if (list->count == HT_FLAG_LIST_ITEMS) {
        fprintf(stderr, "%s: --%s is given more than %d times\n", set->program, flag->name,
                HT_FLAG_LIST_ITEMS);
        return false;
    }
    list->items[list->count++] = value;
    return true;
}

static bool store(const ht_flag_set *set, const ht_flag *flag, const char *value, void *options) {
    void *where = (char *)options + flag->offset;
    char *end;
    switch (flag->kind) {
    case HT_FLAG_TEXT:
    case HT_FLAG_MAYBE: *(const char **)where = value; return true;
    case HT_FLAG_LIST: return append(set, flag, value, where);
    case HT_FLAG_I64: {
        errno = 0;
        intmax_t number = strtoimax(value, &end, 10);
        if (end == value || *end || errno) {
            return bad_value(set, flag, value, "a whole number");
        }
        *(int64_t *)where = (int64_t)number;
        return true;
    }
    case HT_FLAG_SIZE:
        return ht_parse_size(value, where) ? true
                                           : bad_value(set, flag, value, "a size such as 6G");
    default: return store_number(set, flag, value, where);
    }
}

// One flag with its value, if it takes one; *next moves past what was used.
static bool apply(const ht_flag_set *set, const ht_flag *flag, const char *attached, int argc,
                  char **argv, int *next, void *options) {
    void *where = (char *)options + flag->offset;
    bool plain = flag->kind == HT_FLAG_BOOL || flag->kind == HT_FLAG_COUNT;
    if (flag->kind == HT_FLAG_LATER) {
        fprintf(stderr, "%s: --%s (%s) is not in this version\n", set->program, flag->name,
                flag->help);
        return false;
    }
    if (plain && attached) {
        fprintf(stderr, "%s: --%s takes no value\n", set->program, flag->name);
        return false;
    }
    if (flag->kind == HT_FLAG_BOOL) {
        *(bool *)where = true;
        return true;
    }
    if (flag->kind == HT_FLAG_COUNT) {
        ++*(int *)where;
        return true;
    }
    const char *value = attached;
    if (!value && *next < argc &&
        !(flag->kind == HT_FLAG_MAYBE && argv[*next][0] == '-' && argv[*next][1])) {
        value = argv[(*next)++];
    }
    if (!value && flag->kind == HT_FLAG_MAYBE) {
        value = "";
    }
    if (!value) {
        fprintf(stderr, "%s: --%s needs a value: %s\n", set->program, flag->name, flag->value);
        return false;
    }
    return store(set, flag, value, options);
}

// -v, -o FILE, -oFILE; letters without values may be joined.
static bool apply_letters(const ht_flag_set *set, int argc, char **argv, int *next,
                          const char *argument, void *options) {
    for (const char *letter = argument + 1; *letter; ++letter) {
        const ht_flag *flag = find_letter(set, *letter);
        if (!flag) {
            unknown(set, argument);
            return false;
        }
        bool plain = flag->kind == HT_FLAG_BOOL || flag->kind == HT_FLAG_COUNT;
        const char *attached = !plain && letter[1] ? letter + 1 : NULL;
        if (!apply(set, flag, attached, argc, argv, next, options)) {
            return false;
        }
        if (!plain) {
            return true;
        }
    }
    return true;
}

bool ht_flags_parse(const ht_flag_set *set, int argc, char **argv, void *options) {
    for (int next = 1; next < argc;) {
        const char *argument = argv[next++];
        if (argument[0] != '-' || !argument[1]) {
            if (set->word && set->word(options, argument)) {
                continue;
            }
            fprintf(stderr, "%s: '%s' is not a flag; %s\n", set->program, argument,
                    set->word ? "see --help" : "a prompt goes behind --prompt");
            return false;
        }
        if (argument[1] != '-') {
            if (!apply_letters(set, argc, argv, &next, argument, options)) {
                return false;
            }
            continue;
        }
        size_t length = strcspn(argument + 2, "=");
        const ht_flag *flag = find(set, argument + 2, length);
        if (!flag) {
            unknown(set, argument);
            return false;
        }
        const char *attached = argument[2 + length] ? argument + 3 + length : NULL;
        if (!apply(set, flag, attached, argc, argv, &next, options)) {
            return false;
        }
    }
    return true;
}

void ht_flags_help(const ht_flag_set *set) {
    printf("%s\n", set->usage);
    for (size_t i = 0; i < set->count; ++i) {
        const ht_flag *flag = &set->flags[i];
        if (flag->kind == HT_FLAG_GROUP) {
            printf("\n%s\n", flag->help);
        } else if (flag->kind != HT_FLAG_LATER) {
            char left[64];
            snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", flag->letter ? '-' : ' ',
                     flag->letter ? flag->letter : ' ', flag->letter ? "," : " ", flag->name,
                     flag->value ? " " : "", flag->value ? flag->value : "");
            printf("%-32s %s\n", left, flag->help);
        }
    }
}
