#!/bin/sh
# Runs every Check program in a folder and prints their results as one TAP stream.
# usage: run-unit.sh FOLDER [WRAPPER...]   (a wrapper such as valgrind)
set -eu

folder=$1
shift
# Check's own limits, for a machine with more to do: 4 s for a test that names none.
CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-20}
CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-3}
export CK_DEFAULT_TIMEOUT CK_TIMEOUT_MULTIPLIER
count=0
failed=0
out=$(mktemp)
tap=$(mktemp)
trap 'rm -f "$out" "$tap"' EXIT

for program in "$folder"/test_*; do
	[ -x "$program" ] || continue
	name=${program##*/}
	status=0
	: >"$tap"
	CK_TAP_LOG_FILE_NAME=$tap CK_VERBOSITY=silent "$@" "$program" >"$out" 2>&1 || status=$?
	while IFS= read -r line; do
		case $line in
		ok\ * | not\ ok\ *)
			count=$((count + 1))
			word=ok
			case $line in not*)
				word='not ok'
				failed=$((failed + 1))
				;;
			esac
			printf '%s %d - %s: %s\n' "$word" "$count" "$name" "${line#*- }"
			;;
		esac
	done <"$tap"
	if [ "$status" -ne 0 ] && ! grep -q '^not ok' "$tap"; then
		count=$((count + 1))
		failed=$((failed + 1))
		printf 'not ok %d - %s: exit status %d\n' "$count" "$name" "$status"
	fi
	[ "$status" -eq 0 ] || sed 's/^/# /' "$out" | tail -40
done
printf '1..%d\n' "$count"
[ "$failed" -eq 0 ]
