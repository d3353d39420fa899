# lib: a private Postfix and a private mxhold-helper for the tests; to be sourced from the repository's root after
# tap.sh and postfix.sh. It makes a temporary directory $base and removes it on exit with all that was started.
# shellcheck shell=sh

BUILD=${BUILD:-build}
helper_bin=$BUILD/bin/mxhold-helper
control_ask=$BUILD/tests/tools/control_ask
base=
helper=
queued_uid=64104
other_uid=64102
group=64100

has_ended() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"
}

helper_cleanup() {
	for pid in $helper; do
		kill -CONT "$pid" 2>/dev/null || true
		kill -TERM "$pid" 2>/dev/null || true
	done
	[ -z "$base" ] || pf_stop "$base/pf" || true
	for pid in $helper; do
		wait_for 20 has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
	done
	[ -z "$base" ] || rm -rf "$base"
}

helper_set_up() {
	base=$(mktemp -d /tmp/mxhold-he.XXXXXX)
	trap helper_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$base"
	mkdir "$base/state" "$base/sock"
	cat >"$base/conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		[paths]
		state_dir = $base/state
		socket_dir = $base/sock
		postfix_config_dir = $base/pf/etc
		[users]
		group = $group
		socket_group = 64105
		sync = 64101
		policyd = $other_uid
		milter = 64103
		queued = $queued_uid
	CONF
}

# What is put into the queue stays there: nothing is delivered.
helper_postfix() {
	pf_create "$base/pf" mx.example 127.0.0.1:10897
	pf_set "$base/pf" enable_long_queue_ids=yes default_transport=retry:waiting
	pf_start "$base/pf"
}

serves() {
	[ "$(printf 'ping\n' | ask_as 0 2>/dev/null)" = ok ]
}

# start_helper: starts one in the foreground and waits until it serves. Adds to $helper; $parent is the last one.
start_helper() {
	"$helper_bin" -f -c "$base/conf" 2>>"$base/log" &
	parent=$!
	helper="$helper $parent"
	wait_for 30 serves
}

# The serving child: the last one that was started. (The one before may be there for a moment.)
child_of() {
	tr ' ' '\n' 2>/dev/null <"/proc/$1/task/$1/children" | grep . | tail -1
}

# ask_as UID [SECONDS]: sends what comes on stdin, and prints the answer.
ask_as() {
	if [ "$1" -eq 0 ]; then
		timeout "${2:-60}" "$control_ask" "$base/sock/helper" -
	else
		timeout "${2:-60}" setpriv --reuid "$1" --regid "$group" --clear-groups \
			"$control_ask" "$base/sock/helper" -
	fi
}

# request LINE: as mxhold-queued would.
request() {
	printf '%s\n' "$1" | ask_as "$queued_uid"
}

ids_in() {
	pf_queue "$base/pf" | grep "\"queue_name\": \"$1\"" | sed 's/.*"queue_id": "\([^"]*\)".*/\1/' | sort
}

# put_message: puts one into the queue, waits until it is deferred, and prints its id.
put_message() {
	ids_in deferred >"$base/before"
	printf 'Subject: test\n\nbody\n' | pf_run "$base/pf" sendmail -C "$base/pf/etc" -f sender@example.org rcpt@customer.example
	wait_for 30 new_message || return 1
	new_message
}

new_message() {
	ids_in deferred | comm -13 "$base/before" - | grep .
}

# queue_of ID: the name of the queue that it is in; nothing when it is gone.
queue_of() {
	pf_queue "$base/pf" | grep "\"queue_id\": \"$1\"" | sed 's/.*"queue_name": "\([^"]*\)".*/\1/'
}
