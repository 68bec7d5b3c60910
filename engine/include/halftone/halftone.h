// All public headers of the engine.
#ifndef HALFTONE_H
#define HALFTONE_H

#include <halftone/attention.h>
#include <halftone/bench.h>
#include <halftone/calibrate.h>
#include <halftone/context.h>
#include <halftone/graph.h>
#include <halftone/grid.h>
#include <halftone/ops.h>
#include <halftone/quantize.h>
#include <halftone/status.h>
#include <halftone/tensor.h>
#include <halftone/weights.h>

#endif
