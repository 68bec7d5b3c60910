#!/usr/bin/env bash
# Unpacks packages of Debian sid, with what they depend on, into a folder. Nothing is installed and no
# root is needed: apt works on lists and a cache of its own. For the newest software Vulkan driver and
# shader compiler, which Debian 12 lacks; their programs run under the loader that comes with them:
#   fetch_sid.sh DIR PACKAGE…
#   DIR/run PROGRAM…           (DIR/run DIR/tree/usr/bin/glslang …)
# A folder that already has the packages is left as it is. Signatures are checked.
set -euo pipefail

(($# >= 2)) || { echo "usage: fetch_sid.sh DIR PACKAGE…" >&2; exit 2; }
mkdir -p -- "$1"
folder=$(cd -- "$1" && pwd)
shift
packages=$(printf '%s\n' "$@" | sort)
[[ -f $folder/packages && $(<"$folder/packages") == "$packages" ]] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    { echo 'fetch_sid.sh: needs apt-get and dpkg-deb' >&2; exit 1; }
[[ $(dpkg --print-architecture) == amd64 ]] || { echo 'fetch_sid.sh: only for amd64' >&2; exit 1; }

rm -rf -- "$folder/tree" "$folder/packages"
mkdir -p -- "$folder"/{lists/partial,cache/archives/partial,tree}
: >"$folder/status"
# The mirror that the machine uses for Debian.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
    2>/dev/null | grep -v security | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
    "${mirror:-http://deb.debian.org/debian/} sid main" >"$folder/sid.list"
cat >"$folder/apt.conf" <<END
Dir::Etc::SourceList "$folder/sid.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$folder/lists";
Dir::State::Status "$folder/status";
Dir::Cache "$folder/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "15";
END
export APT_CONFIG=$folder/apt.conf
# An unreachable mirror is only a warning to apt-get update.
limit=''
command -v timeout >/dev/null && limit='timeout 300'
$limit apt-get -q -o APT::Update::Error-Mode=any update
# shellcheck disable=SC2086  # one word a package
$limit apt-get -q -y --download-only install $packages
for package in "$folder"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$folder/tree"
done
rm -rf -- "$folder/cache" "$folder/lists"

libraries=$folder/tree/usr/lib/x86_64-linux-gnu
cat >"$folder/run" <<END
#!/bin/sh
exec '$libraries/ld-linux-x86-64.so.2' --library-path '$libraries:/usr/lib/x86_64-linux-gnu' "\$@"
END
chmod +x -- "$folder/run"
for driver in "$folder"/tree/usr/share/vulkan/icd.d/lvp_icd*.json; do
    [[ -f $driver ]] && sed "s|\"library_path\": \"|&$libraries/|" "$driver" >"$folder/lvp_icd.json"
done
printf '%s\n' "$packages" >"$folder/packages"
