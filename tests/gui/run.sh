#!/usr/bin/env bash
# The window's test on a display, a message bus and a home folder of its own.
# run.sh BUILD [FILTER]; HT_GUI_SHOTS=DIR keeps pictures of the window.
set -euo pipefail
build=$1
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
temp=$(mktemp -d)
display=''
finish() {
    [[ -z $display ]] || kill "$display" 2>/dev/null || true
    rm -rf -- "$temp"
}
trap finish EXIT

exec 3>"$temp/number"
Xvfb -displayfd 3 -screen 0 1280x860x24 -nolisten tcp -noreset >"$temp/xvfb.log" 2>&1 &
display=$!
exec 3>&-
for _ in $(seq 100); do
    [[ -s $temp/number ]] && break
    sleep 0.1
done
[[ -s $temp/number ]] || { cat "$temp/xvfb.log"; echo 'Xvfb did not start'; exit 1; }

DISPLAY=:$(<"$temp/number")
export DISPLAY GDK_BACKEND=x11 GSK_RENDERER=cairo LC_ALL=C.UTF-8
unset GTK_THEME WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS
export HOME=$temp/home XDG_RUNTIME_DIR=$temp/run
export XDG_CONFIG_HOME=$HOME/.config XDG_CACHE_HOME=$HOME/.cache XDG_DATA_HOME=$HOME/.local/share
mkdir -p "$HOME" "$XDG_CONFIG_HOME/gtk-4.0" "$XDG_DATA_HOME"
mkdir -m 700 "$XDG_RUNTIME_DIR"
# A model of clips and one with a ControlNet beside those of the source tree.
mkdir "$temp/models"
ln -s "$PWD/tests/data/models/tiny-wan" "$PWD/tests/data/models/tiny-sd-control" "$temp/models/"
export HALFTONE_MODELS=$temp/models
# As in ctest: many small dispatches are started faster without worker threads.
export LP_NUM_THREADS=${LP_NUM_THREADS:-0}
# Kernels stay compiled between runs.
export MESA_SHADER_CACHE_DIR=$build/gui-shaders HALFTONE_CACHE=$build/test-cache
printf '[Settings]\ngtk-enable-animations=0\ngtk-font-name=Cantarell 11\n' \
    >"$XDG_CONFIG_HOME/gtk-4.0/settings.ini"
dbus-run-session -- "$build/tests/gui/test_gui" "${@:2}"
