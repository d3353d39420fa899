#!/bin/sh
# Runs the suites of tests/suites, or of SUITES_FILE (all, or those named as arguments), and adds up their TAP.
#
# In: BUILD, SAN_BUILD. Out: a line a suite, the failing lines of each, the logs below $BUILD/log, and as the last
# line `N passed, N failed`. A suite that dies, times out, or runs no test counts as one failure.
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
SAN_BUILD=${SAN_BUILD:-build/san}
export BUILD SAN_BUILD
logs=$BUILD/log
mkdir -p "$logs"
passed=0
failed=0

run_suite() {
	name=$1
	limit=$2
	command=$3
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
	passed=$((passed + good))
	failed=$((failed + bad))
	printf '%-28s %5d passed %3d failed %4d s\n' "$name" "$good" "$bad" "$took"
	if [ "$bad" -gt 0 ]; then
		[ -z "$why" ] || printf '    %s\n' "$why"
		grep -A4 '^not ok ' "$log" | head -60 | sed 's/^/    /'
		if [ -n "$why" ]; then
			tail -15 "$log" | sed 's/^/    | /'
		fi
	fi
}

wanted=" $* "
while IFS='|' read -r name limit command; do
	name=$(printf '%s' "$name" | tr -d ' ')
	case $name in '' | '#'*) continue ;; esac
	if [ "$wanted" != "  " ]; then
		case $wanted in *" $name "*) ;; *) continue ;; esac
	fi
	run_suite "$name" "$(printf '%s' "$limit" | tr -d ' ')" "$command"
done <"${SUITES_FILE:-tests/suites}"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
