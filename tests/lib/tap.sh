# tap: helpers for tests in shell; to be sourced. Each prints TAP on stdout and counts failures.
# shellcheck shell=sh

tap_count=0
tap_failed=0

# ok STATUS TEXT: STATUS 0 is a pass.
ok() {
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		printf 'ok %d - %s\n' "$tap_count" "$2"
	else
		tap_failed=$((tap_failed + 1))
		printf 'not ok %d - %s\n' "$tap_count" "$2"
	fi
}

# note TEXT...: a comment in the output, also of several lines.
note() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

# is GOT EXPECTED TEXT
is() {
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		note "got:      $1"
		note "expected: $2"
	fi
}

# like GOT ERE TEXT
like() {
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		ok 0 "$3"
	else
		ok 1 "$3"
		note "got:           $1"
		note "expected like: $2"
	fi
}

# try TEXT COMMAND...: passes when the command does; its output is shown when it does not.
try() {
	tap_text=$1
	shift
	tap_status=0
	tap_output=$("$@" 2>&1) || tap_status=$?
	ok "$tap_status" "$tap_text"
	[ "$tap_status" -eq 0 ] || note "$tap_output"
}

# wait_for SECONDS COMMAND...: runs it every 0.1 s until it succeeds.
wait_for() {
	tap_tries=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tap_tries=$((tap_tries - 1))
		[ "$tap_tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# The last line of a test script.
tap_done() {
	printf '1..%d\n' "$tap_count"
	[ "$tap_failed" -eq 0 ]
}
