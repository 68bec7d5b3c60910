#!/usr/bin/env bash
# Rules about the source tree that no compiler checks. check.sh RULE ROOT BUILD; prints each offence.
# 77 means that the rule needs a tool this machine lacks.
set -uo pipefail
rule=$1 root=$2 build=$3
cd -- "$root" || exit 1
offences=0

offend() {
    printf '%s\n' "$*"
    offences=$((offences + 1))
}

# Files of the project whose names match the patterns: those tracked, or without git all but builds.
sources() {
    local patterns=("$@") names=() pattern
    if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory='*' ls-files -- "${patterns[@]}"
    else
        for pattern in "${patterns[@]}"; do names+=(-o -path "./$pattern"); done
        find . \( -name 'build*' -o -name .git \) -prune -o -type f \( "${names[@]:1}" \) -print |
            sed 's|^\./||'
    fi
}

rule_length() {
    local names
    mapfile -t names < <(sources '*.c' '*.h' '*.comp' '*.glsl' '*.py' '*.sh' '*.cmake' 'ht')
    while IFS= read -r line; do offend "$line"; done < <(awk '
        function ceiling(kind, usual) { return (kind, name) in limit ? limit[kind, name] : usual }
        function finish_file() {
            most = ceiling("file", name ~ /\.(comp|glsl)$/ ? 300 : 600)
            if (lines > most)
                printf "%s: %d lines, at most %d\n", name, lines, most
        }
        FILENAME ~ /exceptions\.txt$/ { limit[$1, $2] = $3; next }
        FNR == 1 {
            finish_file()
            name = FILENAME
            inside = 0
            has_functions = name ~ /\.(c|h|comp)$/
        }
        { lines = FNR }
        !has_functions { next }
        !inside && /\) *\{$|^\{$/ { inside = 1; start = FNR; if (!/^\{/) title = $0 }
        !inside && /^[a-z].*\(/   { title = $0 }
        inside && /^\}/ {
            inside = 0
            if (FNR - start + 1 > ceiling("function", 80))
                printf "%s:%d: function of %d lines, at most %d: %s\n", name, start,
                       FNR - start + 1, ceiling("function", 80), title
        }
        END { finish_file() }' tests/style/exceptions.txt "${names[@]}")
}

# Library folders never print, stop the program, or read the environment.
rule_library() {
    local calls='v?f?printf|puts|fputs|putchar|perror|abort|exit|_Exit|quick_exit|getenv|setenv|system'
    while IFS= read -r line; do offend "$line"; done < <(
        sources 'engine/*.[ch]' 'models/*.[ch]' 'pipelines/*.[ch]' |
            xargs grep -HnE "(^|[^A-Za-z0-9_])($calls)[[:space:]]*\(|(^|[^A-Za-z0-9_])(stdout|stderr)" |
            grep -vE '^[^:]*:[0-9]+:[[:space:]]*//')
}

# Nothing that ties the tree to one person's machine, and nothing left to do.
rule_words() {
    local paths='(^|[^A-Za-z0-9_.$}/])/(root|work|home/[a-z]+|Users/[A-Za-z]+)' todo='TO''DO|FIX''ME|XX''X'
    while IFS= read -r line; do offend "$line"; done < <(
        sources '*.c' '*.h' '*.comp' '*.glsl' '*.def' '*.py' '*.sh' '*.cmake' '*.txt' '*.md' '*.json' \
            '*.in' '*.1' 'ht' '.ci/run' | grep -v '^tests/data/' |
            xargs -d '\n' grep -nIE "$paths(/|\$|[^a-z])|(^|[^A-Za-z])($todo)([^A-Za-z]|\$)" |
            cut -c 1-200)
}

# Each public header stands alone, in C and in C++.
rule_headers() {
    local header cc=${CC:-cc} cxx=''
    for candidate in c++ g++ clang++; do
        command -v "$candidate" >/dev/null && cxx=$candidate && break
    done
    while IFS= read -r header; do
        grep -q HT_API "$header" || [[ $header == engine/include/* ]] || continue
        printf '#include "%s"\n' "$root/$header" |
            "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iengine/include -Imodels \
                -Ipipelines -x c - || offend "$header: does not compile alone as C"
        [[ -z $cxx ]] || printf '#include "%s"\n' "$root/$header" |
            "$cxx" -std=c++11 -Wall -Wextra -Werror -fsyntax-only -Iengine/include -Imodels \
                -Ipipelines -x c++ - || offend "$header: does not compile alone as C++"
    done < <(sources 'engine/include/halftone/*.h' 'models/*.h' 'pipelines/*.h')
    [[ -n $cxx ]] || { echo 'no C++ compiler: only C was checked'; ((offences)) || exit 77; }
}

# A folder can include what its arrow allows and nothing else; the include paths are CMake's.
rule_layering() {
    local target header verdict paths includes=() cc=${CC:-cc}
    while read -r target header verdict; do
        paths=$(sed -n "s/^$target //p" "$build/include_paths.txt")
        [[ -n $paths ]] || { offend "$target: no such target"; continue; }
        mapfile -d ';' -t includes < <(printf '%s' "$paths")
        if printf '#include <%s>\n' "$header" |
            "$cc" -std=c11 -fsyntax-only "${includes[@]/#/-I}" -x c - 2>/dev/null; then
            [[ $verdict == may ]] || offend "$target can include $header, and must not"
        else
            [[ $verdict != may ]] || offend "$target cannot include $header, and should"
        fi
    done <tests/style/layering.txt
}

# Every source file is named in a CMakeLists.txt of its folder or one above; so is every test.
rule_registered() {
    local name folder stem found
    while IFS= read -r name; do
        folder=${name%/*} found=''
        stem=${name##*/}
        while :; do
            if [[ -f $folder/CMakeLists.txt ]]; then
                grep -qE "(^|[^A-Za-z0-9_])${stem%.c}(\.c)?([^A-Za-z0-9_]|\$)" \
                    "$folder/CMakeLists.txt" && found=1 && break
            fi
            [[ $folder == */* ]] || break
            folder=${folder%/*}
        done
        [[ -n $found ]] || offend "$name: named in no CMakeLists.txt"
    done < <(sources 'engine/*.c' 'models/*.c' 'pipelines/*.c' 'apps/*.c' 'tests/*.c' 'tools/*.c')
}

# Every flag of the programs is in the manual and in their man pages.
rule_docs() {
    local program flag
    while read -r program flag; do
        grep -qE -- "--$flag([^a-z-]|\$)" docs/cli.md || offend "docs/cli.md: no --$flag"
        sed 's/\\-/-/g' "docs/man/$program.1" | grep -E -- "--$flag([^a-z-]|\$)" > /dev/null ||
            offend "docs/man/$program.1: no --$flag"
    done < <(for program in gen/options gen-batch/options gen-bench/main gen-quantize/options; do
        sed -nE "s|^ *\{\"([a-z0-9-]+)\",.*HT_FLAG_.*|${program%/*} \1|p" "apps/$program.c"
    done
    tr '\n' ' ' <apps/common/job_fields.def |
        grep -oE 'HT_JOB_FIELD\([A-Z]+, [a-z0-9_]+, [A-Z0-9]+, [^,]+, +"[a-z0-9-]+"' |
        sed -E 's/.*"([a-z0-9-]+)"$/gen \1/')
}

# Rows of kernels.def are unique, and every shader has one.
rule_kernels() {
    local name
    while IFS= read -r name; do offend "kernels.def: $name is there twice"; done < <(
        sed -n 's/^HT_KERNEL(\([a-z0-9_]*\),.*/\1/p' shaders/kernels.def | sort | uniq -d)
    while IFS= read -r name; do
        grep -qE "^HT_KERNEL\([a-z0-9_]+, $(basename "$name" .comp), " shaders/kernels.def ||
            offend "$name: has no row in kernels.def"
    done < <(sources 'shaders/*.comp')
}

# The SPIR-V of every kernel is valid.
rule_spirv() {
    local name source defines define glslang arguments
    command -v spirv-val >/dev/null || { echo 'no spirv-val'; exit 77; }
    glslang=$(command -v glslangValidator || command -v glslang)
    temp=$(mktemp -d) && trap 'rm -rf -- "$temp"' EXIT
    while IFS='|' read -r name source defines; do
        [[ -f shaders/prebuilt/$name.spv ]] && continue # rule_prebuilt
        arguments=()
        for define in $defines; do arguments+=("-D$define"); done
        if ! "$glslang" --quiet -V --target-env vulkan1.3 -Ishaders -Ishaders/include \
            "${arguments[@]}" -o "$temp/kernel.spv" "shaders/$source.comp" ||
            ! spirv-val --target-env vulkan1.3 --scalar-block-layout "$temp/kernel.spv"; then
            offend "$name: not valid"
        fi
    done < <(sed -nE 's/^HT_KERNEL\(([a-z0-9_]+), ([a-z0-9_]+), "([^"]*)"\)$/\1|\2|\3/p' \
        shaders/kernels.def)
}

# SPIR-V that is kept is what its sources give, and valid where a new enough spirv-val is there.
rule_prebuilt() {
    local line compiler=$root/build/sid-compiler
    line=$(tools/prebuild_shaders.sh --check) || offend "$line"
    if [[ -x $compiler/run ]]; then
        line=$(tools/prebuild_shaders.sh --validate "$compiler") || offend "$line"
    else
        echo 'NOT VALIDATED: shaders/prebuilt needs the spirv-val of tools/prebuild_shaders.sh'
    fi
}

"rule_$rule"
((offences == 0)) || { echo "$offences offence(s) against the rule '$rule'"; exit 1; }
