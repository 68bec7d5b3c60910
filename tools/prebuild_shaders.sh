#!/usr/bin/env bash
# Makes shaders/prebuilt/ again: the SPIR-V of kernels that Debian 12's shader compiler cannot compile,
# and the manifest that says from which sources. Takes glslang and spirv-val of Debian sid, unpacked
# under build/ (tools/fetch_sid.sh).
#   prebuild_shaders.sh            compile what is stale
#   prebuild_shaders.sh --check    only say what is stale; exit 1 when something is
#   prebuild_shaders.sh --validate DIR   with the tools in DIR: every module is valid
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
manifest=shaders/prebuilt/manifest.txt
kernels=(bench_matrix_e4m3 bench_matrix_f16 bench_matrix_s8 gemm_matrix_e4m3 gemm_matrix_f16 gemm_matrix_s8)

# Hash of files without comments and spacing, so that only what the compiler sees counts.
hash_of() {
    sed -e 's|[[:space:]]*//.*$||' -- "$@" | tr -s '[:space:]' ' ' | sha256sum | cut -d ' ' -f 1
}

# Row of the manifest: kernel, hash of the module, hash of the sources, sources.
is_fresh() {
    local name=$1 row module_hash source_hash sources
    row=$(grep "^$name " "$manifest" 2>/dev/null) || return 1
    read -r _ module_hash source_hash sources <<<"$row"
    # shellcheck disable=SC2086
    [[ -f shaders/prebuilt/$name.spv &&
        $(sha256sum <"shaders/prebuilt/$name.spv" | cut -d ' ' -f 1) == "$module_hash" &&
        $(hash_of $sources <(grep "^HT_KERNEL($name," shaders/kernels.def)) == "$source_hash" ]]
}

compile() {
    local name=$1 tools=$2 row defines=() define temp
    temp=$(mktemp -d)
    row=$(grep "^HT_KERNEL($name," shaders/kernels.def)
    [[ $row =~ ^HT_KERNEL\([a-z0-9_]+,\ ([a-z0-9_]+),\ \"([^\"]*)\"\) ]]
    for define in ${BASH_REMATCH[2]}; do defines+=("-D$define"); done
    "$tools/run" "$tools/tree/usr/bin/glslang" --quiet -V -g0 --target-env vulkan1.3 -Ishaders \
        -Ishaders/include "${defines[@]}" --depfile "$temp/depends" \
        -o "shaders/prebuilt/$name.spv" "shaders/${BASH_REMATCH[1]}.comp"
    local sources
    sources=$(sed 's/^[^:]*: *//' "$temp/depends" | tr ' ' '\n' | sed -E '/^$/d; s|[^/]+/\.\./||g' |
        sort -u | tr '\n' ' ')
    rm -rf -- "$temp"
    # shellcheck disable=SC2086
    echo "$name $(sha256sum <"shaders/prebuilt/$name.spv" | cut -d ' ' -f 1)" \
        "$(hash_of $sources <(echo "$row")) ${sources% }"
}

validate() {
    local name
    for name in "${kernels[@]}"; do
        "$1/run" "$1/tree/usr/bin/spirv-val" --target-env vulkan1.3 --scalar-block-layout \
            "shaders/prebuilt/$name.spv" || { echo "$name: not valid"; return 1; }
    done
}

if [[ ${1:-} == --validate ]]; then
    validate "$2"
    exit
fi
stale=()
for name in "${kernels[@]}"; do
    is_fresh "$name" || stale+=("$name")
done
((${#stale[@]} > 0)) || exit 0
if [[ ${1:-} == --check ]]; then
    echo "shaders/prebuilt is older than its sources: ${stale[*]}; run tools/prebuild_shaders.sh"
    exit 1
fi
tools=build/sid-compiler
tools/fetch_sid.sh "$tools" glslang-tools spirv-tools >&2
tools=$PWD/$tools
{
    echo '# kernel, SHA-256 of the module, SHA-256 of its sources without comments, sources'
    for name in "${kernels[@]}"; do compile "$name" "$tools"; done
} >"$manifest.new"
validate "$tools"
mv -- "$manifest.new" "$manifest"
