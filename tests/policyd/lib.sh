# lib: a private policyd for the component tests; to be sourced from the repository's root after tap.sh.
# shellcheck shell=sh
#
# It makes a temporary directory $base with state/, sock/, conf and log, and removes it on exit with all
# that was started. As root it runs policyd under a user of its own, by number.

BUILD=${BUILD:-build}
policyd_bin=$BUILD/bin/mxhold-policyd
asker=$BUILD/tests/tools/asker
mksnapshot=$BUILD/tests/tools/mksnapshot
base=
started=

# remember PID: it is ended with us, at the latest.
remember() {
	started="$started $1"
}

policyd_cleanup() {
	for pid in $started; do
		kill -CONT "$pid" 2>/dev/null || true
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in $started; do
		policyd_tries=50
		while [ "$policyd_tries" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
			policyd_tries=$((policyd_tries - 1))
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
	done
	[ -z "$base" ] || rm -rf "$base"
}

policyd_set_up() {
	base=$(mktemp -d /tmp/mxhold-pd.XXXXXX)
	trap policyd_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$base"
	mkdir "$base/state" "$base/sock"
	cat >"$base/conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		[authority]
		stale_after = 1d
		[paths]
		state_dir = $base/state
		socket_dir = $base/sock
		[users]
		group = 64100
		socket_group = 64105
		sync = 64101
		policyd = 64102
		milter = 64103
	CONF
	cat >"$base/rows" <<-ROWS
		relay relay1 eu names=eu.mx.backup.example addresses=192.0.2.10
		relay relay2 us names=us.mx.backup.example addresses=198.51.100.10
		customer acme regions=eu
		domain customer.example acme
	ROWS
	build_snapshot
}

build_snapshot() {
	if [ "$(id -u)" -eq 0 ]; then
		chgrp 64100 "$base/state"
		"$mksnapshot" -g 64100 "$base/state" "$base/rows"
	else
		"$mksnapshot" "$base/state" "$base/rows"
	fi
}

# start_policyd [LOG]: starts one in the foreground mode and waits until it serves. Sets $parent.
start_policyd() {
	policyd_log=${1:-$base/log}
	"$policyd_bin" -f -c "$base/conf" 2>>"$policyd_log" &
	parent=$!
	remember "$parent"
	wait_for 30 grep -q event=serving "$policyd_log"
}

# child_of PARENT: the pid of its newest child.
child_of() {
	tr ' ' '\n' <"/proc/$1/task/$1/children" | grep . | tail -1
}

# map KEY...: the reply of the map socket to one request, without its frame.
map() {
	printf '%d:%s,' "${#1}" "$1" | "$asker" raw "$base/sock/map" -s -w 5000 | sed 's/^[0-9]*://; s/,$//'
}

# field NAME TEXT: the value of NAME=... in a line of key=value.
field() {
	printf '%s\n' "$2" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# gone PID: it has ended (whoever started it may not have asked for its status yet).
gone() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# new_child PARENT OLD: the parent has a child that is not OLD.
new_child() {
	policyd_new=$(child_of "$1") && [ -n "$policyd_new" ] && [ "$policyd_new" != "$2" ]
}

answers_right() {
	[ "$(map 'relay_domains customer.example')" = 'OK customer.example' ]
}
