#!/bin/sh
# `make soak`: what takes hours, as suites of tests/run.sh: the same TAP, the same logs below $BUILD/log, the same last line
# `N passed, N failed`. Arguments: names of suites, default all.
#
# In: BUILD (all is built, the fuzzers too), and
#   SOAK_HOURS     how long faults go on, and fuzzing, each (default 1; also 0.05)
#   SOAK_DOMAINS   domains of the full load (default 10,000,000: some 10 GB on disk for a while)
#   SOAK_BULK      domains of the acts on many rows (default 1,000,000)
#   SOAK_MESSAGES  messages through the milter (default 1,000,000)
#   SOAK_HELD      messages that are held (default 100,000, for a tenth as many domains)
#   SOAK_ROWS      rows of the spool that are shipped (default 1,000,000)
# shellcheck disable=SC2016 # $BUILD is for the suite's own shell
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
seconds=$(awk -v h="${SOAK_HOURS:-1}" 'BEGIN { printf "%d", h * 3600 }')
domains=${SOAK_DOMAINS:-10000000}
bulk=${SOAK_BULK:-1000000}
messages=${SOAK_MESSAGES:-1000000}
held=${SOAK_HELD:-100000}
rows=${SOAK_ROWS:-1000000}
fuzz_names=$(find tests/fuzz -name 'fuzz_*.c' | sed 's,.*/fuzz_\(.*\)\.c$,\1,' | sort | tr '\n' ' ')
# shellcheck disable=SC2086
fuzz_each=$((seconds / $(set -- $fuzz_names && echo $#) + 5))

mkdir -p "$BUILD"
SUITES_FILE=$BUILD/soak.suites
JOBS=1
export SUITES_FILE JOBS
# The limits grow with the sizes: what hangs is found, what is only slow is not.
cat >"$SUITES_FILE.new" <<LIST
soak-load   | $((900 + domains / 1000)) | SIZE=$domains sh tests/soak_load.sh
soak-valgrind | 1200 | sh tests/valgrind.sh \$BUILD/tests
soak-bulk   | $((900 + bulk / 200)) | SIZE=$bulk LIMIT_MS=${SOAK_LIMIT_MS:-2000} sh tests/sql/bulk.sh
soak-large  | $((900 + bulk / 100)) | SIZE=$bulk LARGE_PATIENCE=$((120 + bulk / 1000)) sh tests/sync/large.sh
soak-milter | $((300 + messages / 100)) | sh tests/milter/memory.sh $messages
soak-faults | $((seconds + 900)) | LAB_SECONDS=$seconds LAB_SIZE=\${LAB_SIZE:-8g} sh tests/lab/faults.sh
soak-queue  | $((seconds + 900)) | LAB_ROUNDS=2 sh tests/lab/queue-faults.sh
soak-held   | $((900 + held / 50)) | MESSAGES=$held DOMAINS=$((held / 10)) sh tests/queued/scale.sh
soak-blackhole | 1200 | MESSAGES=10000 DOMAINS=10000 PRIMARIES=10000 SWALLOW=100 FIRST=15 BACK=6 sh tests/queued/scale.sh
soak-ship   | $((600 + rows / 250)) | sh tests/sync/journal-large.sh $rows
soak-fuzz   | $((seconds * 2 + 600)) | sh tests/fuzz/run.sh \$BUILD/fuzz $fuzz_each $fuzz_names
LIST
mv "$SUITES_FILE.new" "$SUITES_FILE"
exec sh tests/run.sh "$@"
