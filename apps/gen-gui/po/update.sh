#!/usr/bin/env bash
# Collects the texts of the window into halftone.pot and merges them into every translation.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
rm -f po/halftone.pot
xgettext --from-code=UTF-8 --package-name=halftone --no-location --keyword=_ --keyword=ngettext:1,2 \
    --add-comments -o po/halftone.pot ./*.c
xgettext --from-code=UTF-8 --package-name=halftone --no-location --join-existing -o po/halftone.pot ui/*.ui
# Help of gen's flags, which the window shows as tooltips.
xgettext --from-code=UTF-8 --package-name=halftone --no-location --join-existing --language=C --keyword \
    --keyword=HT_JOB_FIELD:11 -o po/halftone.pot ../common/job_fields.def
for language in po/*.po; do
    msgmerge --quiet --no-fuzzy-matching --update --backup=none "$language" po/halftone.pot
done
