#!/usr/bin/env bash
# The op tests on a software driver that has cooperative matrices, with the kernels for them:
#   matrix.sh BUILD DRIVER      (DRIVER: a folder made by tools/fetch_sid.sh)
# The programs run under the driver's own C library, which is newer than Debian 12's.
set -uo pipefail
build=$(cd -- "$1" && pwd) driver=$(cd -- "$2" && pwd)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

export VK_DRIVER_FILES=$driver/lvp_icd.json HT_TEST_TIER=matrix
export LP_NUM_THREADS=${LP_NUM_THREADS:-0} HALFTONE_CACHE=$build/test-cache
run_one() {
    local start=$SECONDS log
    if log=$("$driver/run" "$build/tests/engine/ops/engine_ops_$1" 2>&1); then
        printf 'passed  %-22s %4d s\n' "$1" $((SECONDS - start))
    else
        printf '%s\nFAILED  %s\n' "$log" "$1"
        return 1
    fi
}
export -f run_one
export driver build
printf '%s\n' test_packed_linear test_packed_conv2d test_linear test_conv2d test_gemm_matrix |
    xargs -P "$(nproc)" -I '{}' bash -c 'run_one {}'
