#!/usr/bin/env bash
# Runs a resolver. Versions that do not go together fail; an index that cannot be reached is said.
set -uo pipefail
errors=$("$@" 2>&1 >/dev/null) && exit 0
echo "$errors" >&2
if grep -qiE 'failed to fetch|error sending request|could not connect|network|dns|timed out' <<<"$errors" &&
    ! grep -qiE 'no solution|unsatisfiable|incompatible' <<<"$errors"; then
    echo "the package index cannot be reached from here: not checked" >&2
    exit 0
fi
exit 1
