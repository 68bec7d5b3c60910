#!/usr/bin/env bash
# ./ht: help, unknown commands, exit codes; and shellcheck over every script where it is installed.
set -euo pipefail
root=$1
cd / # it must not matter where it is called from

"$root/ht" help | grep -q 'usage: ./ht COMMAND'
"$root/ht" | grep -q 'usage: ./ht COMMAND'
if "$root/ht" no-such-command 2>/dev/null; then
    echo 'an unknown command must fail'
    exit 1
fi
if command -v shellcheck >/dev/null; then
    shellcheck "$root/ht" "$root/.ci/run" "$root"/tests/style/*.sh
else
    echo 'no shellcheck: scripts were not checked'
fi
