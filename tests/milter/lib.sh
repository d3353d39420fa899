# milter: what the tests of mxhold-milter share; to be sourced after tests/lib/tap.sh, in the repository's root.
#
#   milter_dir            makes $dir (private, removed at exit), $conf, and a snapshot: ok.example (10 MB), soft.example
#                         (10 MB, defers), big.example (20 MB), far.example (another region), off.example (suspended)
#   milter_conf WORD...   writes $conf; a WORD such as `dedicated = yes` goes into [relay]
#   milter_start          starts the daemon (user 64103, group 64100 when root): $milter is its pid, $log its log
#   milter_stop           SIGTERM, and waits
#   child                 pid of the serving child
#   say LINE...           a script for milter_client, one line an argument; prints the replies
# shellcheck shell=sh

BUILD=${BUILD:-build}
client=$BUILD/tests/tools/milter_client
mksnapshot=$BUILD/tests/tools/mksnapshot
milter=
cleanups=

# at_exit COMMAND: run when the script ends, the newest first.
at_exit() {
	cleanups="$1; $cleanups"
}

milter_cleanup() {
	eval "$cleanups"
}

milter_snapshot() {
	"$mksnapshot" -g 64100 "$dir/state" - <<-ROWS
		relay relay1 eu names=eu.mx.example addresses=198.51.100.1
		relay relay2 us names=us.mx.example addresses=198.51.100.2
		customer acme regions=eu
		customer far regions=us
		domain ok.example acme
		domain soft.example acme oversize=defer
		domain big.example acme size=20971520
		domain far.example far
		domain off.example acme suspended
	ROWS
}

# shellcheck disable=SC2120
milter_conf() {
	{
		printf '[relay]\nname = relay1\nregion = eu\npostmaster = root@example.com\n'
		[ $# -eq 0 ] || printf '%s\n' "$@"
		printf '[authority]\nconninfo = host=/nowhere\nstale_after = 1h\n'
		printf '[paths]\nstate_dir = %s/state\nsocket_dir = %s/socket\n' "$dir" "$dir"
		printf '[users]\ngroup = 64100\nsocket_group = 64101\nmilter = 64103\n'
	} >"$conf"
}

milter_dir() {
	dir=$(mktemp -d /tmp/mxm.XXXXXX)
	at_exit "rm -rf '$dir'"
	trap milter_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$dir"
	conf=$dir/mxhold.conf
	log=$dir/log
	socket=$dir/socket/milter
	mkdir -p "$dir/state"
	chmod 755 "$dir/state"
	# shellcheck disable=SC2119
	milter_conf
	milter_snapshot
}

answers() {
	[ "$(echo negotiate | timeout 5 "$client" "$socket" script 2>/dev/null | cut -d' ' -f1)" = options ]
}

milter_start() {
	"$BUILD/bin/mxhold-milter" -f -c "$conf" 2>>"$log" &
	milter=$!
	at_exit "kill -s KILL $milter 2>/dev/null || true"
	wait_for 30 answers || {
		note "mxhold-milter does not answer:"
		note "$(tail -20 "$log")"
		return 1
	}
}

milter_stop() {
	kill -TERM "$milter" 2>/dev/null || true
	wait "$milter" 2>/dev/null || return $?
}

# The newest child of the daemon: the last one that was started, not the one with the highest number.
child() {
	tr ' ' '\n' 2>/dev/null <"/proc/$milter/task/$milter/children" | grep . | tail -1
}

say() {
	printf '%s\n' "$@" | timeout 60 "$client" "$socket" script
}
