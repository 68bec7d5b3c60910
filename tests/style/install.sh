#!/usr/bin/env bash
# Installs into a folder of its own (with a space in its name), moves it, and uses what is there:
# pkg-config, the library, gen and its models, the man page. install.sh CMAKE BUILD PROGRAM.C
set -euo pipefail
cmake=$1 build=$2 program=$3
temp=$(mktemp -d)
trap 'rm -rf -- "$temp"' EXIT

"$cmake" --install "$build" --prefix "$temp/first place" >/dev/null
prefix="$temp/prefix"
mv -- "$temp/first place" "$prefix" # nothing installed may remember where it was

library=$(find "$prefix" -name libhalftone.so -printf '%h\n')
export PKG_CONFIG_PATH=$library/pkgconfig
read -r -a flags <<<"$(pkg-config --cflags --libs halftone)"
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror "$program" -o "$temp/program" "${flags[@]}"
LD_LIBRARY_PATH=$library "$temp/program"

cd -- "$temp" # the program must find its models without the source tree around
"$prefix/bin/gen" --help >/dev/null
models=$("$prefix/bin/gen" --list-models)
for folder in "$prefix"/share/halftone/models/*/; do
    name=$(basename "$folder")
    [[ $models == *"$prefix/share/halftone/models/$name"* ]] || {
        echo "gen --list-models does not find the installed $name"
        exit 1
    }
done
[[ -f $prefix/share/man/man1/gen.1 ]]
if [[ -x $prefix/bin/gen-gui ]]; then # where GTK is
    for file in applications/org.halftone.GenGui.desktop metainfo/org.halftone.GenGui.metainfo.xml \
        icons/hicolor/scalable/apps/org.halftone.GenGui.svg man/man1/gen-gui.1; do
        [[ -f $prefix/share/$file ]] || { echo "share/$file is not installed"; exit 1; }
    done
    for tool in 'desktop-file-validate applications/org.halftone.GenGui.desktop' \
        'appstreamcli validate --no-net metainfo/org.halftone.GenGui.metainfo.xml'; do
        read -r -a words <<<"$tool"
        ! command -v "${words[0]}" >/dev/null ||
            "${words[@]::${#words[@]}-1}" "$prefix/share/${words[-1]}" >/dev/null
    done
fi
