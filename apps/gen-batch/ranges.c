// Ranges of numbers, as in A1111's X/Y/Z plot.
#include "batch.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 100000 };

static void skip_spaces(const char **text) {
    *text += strspn(*text, " \t");
}

static bool read_number(const char **text, double *out) {
    char *end;
    skip_spaces(text);
    if (!isdigit((unsigned char)**text) && **text != '.' && **text != '-') {
        return false; // strtod would take "nan", "inf" and "0x1p3" too
    }
    *out = strtod(*text, &end);
    const bool good =
        end > *text && fabs(*out) < 1e15 && !memchr(*text, 'x', (size_t)(end - *text));
    *text = end;
    return good;
}

static bool add(json_t *list, double value, bool whole) {
    const bool fits = json_array_size(list) < MAX_VALUES && (!whole || value == floor(value));
    return fits && json_array_append_new(list, whole ? json_integer((json_int_t)value)
                                                     : json_real(value)) == 0;
}

// From, to, and how: by a step, or so many evenly spaced.
static bool add_range(json_t *list, double from, double to, const char **text, bool whole) {
    double number = 1;
    bool good = true;
    skip_spaces(text);
    const char kind = **text;
    if (kind == '(' || kind == '[') {
        ++*text;
        *text += kind == '(' && **text == '+';
        good = read_number(text, &number) && **text == (kind == '(' ? ')' : ']');
        *text += good;
    }
    if (kind == '[') {
        const long count = (long)number;
        good = good && count >= 1 && count <= MAX_VALUES && (double)count == number;
        for (long i = 0; good && i < count; ++i) {
            const double x =
                count > 1 ? from + (to - from) * (double)i / (double)(count - 1) : from;
            good = add(list, whole ? floor(x + 0.5) : x, whole);
        }
        return good;
    }
    good = good && number != 0;
    const double step = from <= to ? fabs(number) : -fabs(number);
    const double count = good ? floor((to - from) / step + 1e-9) : -1;
    good = good && count < MAX_VALUES;
    for (double i = 0; good && i <= count; ++i) {
        good = add(list, from + step * i, whole);
    }
    return good;
}

json_t *batch_range(const char *text, bool whole, char *why, size_t why_bytes) {
    json_t *list = json_array();
    const char *at = text;
    bool good = list != NULL;
    do {
        double from, to;
        good = good && read_number(&at, &from);
        skip_spaces(&at);
        if (good && *at == '-') {
            ++at;
            good = read_number(&at, &to) && add_range(list, from, to, &at, whole);
        } else if (good) {
            good = add(list, from, whole);
        }
        skip_spaces(&at);
    } while (good && *at++ == ',');
    good = good && !at[-1];
    if (!good) {
        snprintf(why, why_bytes,
                 "expected numbers and ranges as 1-5, 8, 10-20 (+5), 0-1 [5], found \"%.80s\"",
                 text);
        json_decref(list);
        return NULL;
    }
    return list;
}
