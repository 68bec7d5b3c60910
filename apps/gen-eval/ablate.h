// What each technique of calibration is worth: the denoiser packed with all of them, and with each one
// left out in turn.
#ifndef HT_EVAL_ABLATE_H
#define HT_EVAL_ABLATE_H

#include "options.h"

#include "common/log.h"

// Pack options->ablate, calibrated by options->calibrate, into DIR/NAME.safetensors for each variant,
// and put the variants into options->names and files, behind the reference. Variants in which nothing
// would change are left out. Returns an exit code.
int eval_ablate(eval_options *options, ht_app_log *log, const volatile int *stop);

#endif
