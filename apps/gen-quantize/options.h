// Options of gen-quantize.
#ifndef HT_QUANTIZE_OPTIONS_H
#define HT_QUANTIZE_OPTIONS_H

#include <stdbool.h>

typedef struct quantize_options {
    const char *model, *output, *recipe, *report;
    bool search, overwrite, quiet, help, version;
    int verbose;
} quantize_options;

// False after a message: exit with 2.
bool quantize_options_parse(int argc, char **argv, quantize_options *options);
void quantize_options_help(void);

#endif
