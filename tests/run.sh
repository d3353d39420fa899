#!/bin/sh
# Runs the suites of tests/suites, or of SUITES_FILE (all, or those named as arguments), and adds up their TAP.
#
# In: BUILD, SAN_BUILD; JOBS, how many suites may run at once (default 3: most of them wait for most of their time);
# PATIENCE, how many times as long as the list says each may take (default 3: its seconds are those of a quiet machine).
# Those that may take longest start first. Out: a line a suite as it ends, the failing lines of each, the logs below
# $BUILD/log, and as the last line `N passed, N failed`. A suite that dies, takes longer than it may, or runs no test
# counts as one failure.
# usage: run.sh [SUITE...]
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
SAN_BUILD=${SAN_BUILD:-build/san}
SUITES_FILE=${SUITES_FILE:-tests/suites}
JOBS=${JOBS:-3}
PATIENCE=${PATIENCE:-3}
export BUILD SAN_BUILD SUITES_FILE JOBS PATIENCE
logs=$BUILD/log
mkdir -p "$logs"

# suites: prints NAME|LIMIT|COMMAND, a line a suite, without comments.
suites() {
	sed -e '/^#/d' -e '/^[[:space:]]*$/d' -e 's/[[:space:]]*|[[:space:]]*/|/' -e 's/[[:space:]]*|[[:space:]]*/|/2' \
		"$SUITES_FILE"
}

# run_suite NAME: one suite, from the list.
run_suite() {
	name=$1
	line=$(suites | grep "^[!]*$name|")
	limit=$(($(printf '%s' "$line" | cut -d '|' -f 2) * PATIENCE))
	command=$(printf '%s' "$line" | cut -d '|' -f 3-)
	log=$logs/$name.log
	started=$(date +%s)
	status=0
	timeout --kill-after=20 "$limit" sh -c "$command" >"$log" 2>&1 </dev/null || status=$?
	took=$(($(date +%s) - started))
	good=$(grep -c '^ok ' "$log" || true)
	bad=$(grep -c '^not ok ' "$log" || true)
	why=
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		why="took longer than $limit s"
	elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		why="exit status $status"
	elif [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
		why='ran no test'
	fi
	[ -z "$why" ] || bad=$((bad + 1))
	echo "$good $bad" >"$logs/$name.count"
	{
		printf '%-24s %5d passed %3d failed %4d s\n' "$name" "$good" "$bad" "$took"
		[ -z "$why" ] || printf '    %s\n' "$why"
		grep -A4 '^not ok ' "$log" | head -60 | sed 's/^/    /' || true
		[ -z "$why" ] || tail -15 "$log" | sed 's/^/    | /'
	} >"$logs/$name.result"
	cat "$logs/$name.result"
}

if [ "${1:-}" = --one ]; then
	run_suite "$2"
	exit 0
fi

for name in "$@"; do
	if ! suites | grep -q "^[!]*$name|"; then
		echo "run.sh: there is no suite $name; see $SUITES_FILE" >&2
		exit 64
	fi
done
wanted=" $* "
together=
alone=
for name in $(suites | sort -s -t '|' -k 2,2nr | cut -d '|' -f 1); do
	case $wanted in "  " | *" ${name#!} "*) ;; *) continue ;; esac
	case $name in
	!*) alone="$alone ${name#!}" ;;
	*) together="$together $name" ;;
	esac
done

# shellcheck disable=SC2086
{
	[ -z "$together" ] || printf '%s\n' $together | xargs -P "$JOBS" -n 1 sh tests/run.sh --one || true
	[ -z "$alone" ] || printf '%s\n' $alone | xargs -P 1 -n 1 sh tests/run.sh --one || true
}

passed=0
failed=0
for name in $together $alone; do
	good=0
	bad=1 # no count: the suite could not even be started
	if [ -s "$logs/$name.count" ]; then
		read -r good bad <"$logs/$name.count"
		rm "$logs/$name.count"
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
