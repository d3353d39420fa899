#!/bin/sh
# Static checks: clang-format, cppcheck, clang-tidy, shellcheck, mandoc. Exit status 1 when any of them complains.
# The output is TAP, so that the checks count as a suite of `make check`.
set -eu

cd "$(dirname "$0")/.."
. tests/lib/tap.sh

sources=$(find core sync policyd milter queued helper ctl tests bench -name '*.c' | sort)
headers=$(find core sync policyd milter queued helper ctl tests bench -name '*.h' | sort)
programs=$(find core sync policyd milter queued helper ctl -name '*.c' | sort)
scripts=$(find make tests demo bench .ci -name '*.sh' -o -path './.ci/run' | sort)

# tidy_each FILE...: one call a file. In one call for all, clang-tidy 14 carries what its analyzer knows of a va_list from
# one file into the next, and finds faults that are not there.
tidy_each() {
	printf '%s\n' "$@" | xargs -P "$(nproc)" -I FILE clang-tidy --quiet FILE -- -std=c11 -I. -I/usr/include/postgresql \
		-D_GNU_SOURCE '-DMXHOLD_VERSION="lint"'
}

# shellcheck disable=SC2086
{
	try 'clang-format' clang-format --dry-run --Werror $sources $headers
	try 'shellcheck' shellcheck -x $scripts .ci/run
	try 'cppcheck' cppcheck -q --std=c11 --inline-suppr --error-exitcode=1 -j 2 \
		--enable=warning,portability,performance --suppress=missingIncludeSystem \
		--suppress=normalCheckLevelMaxBranches -D_GNU_SOURCE -DMXHOLD_VERSION='"lint"' -I. $sources
	try 'clang-tidy' tidy_each $programs
}
for page in docs/man/*.[1-8]; do
	try "mandoc: ${page##*/}" mandoc -T lint -W warning "$page"
done
tap_done
