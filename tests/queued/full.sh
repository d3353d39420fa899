#!/bin/sh
# queued-full: the spool is full because nobody ships: the log is read no further, an alert says so, and nothing is lost:
# once it is shipped, all rows are there. Where there is no journal to ship to, the oldest rows make room instead.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
BUILD=${BUILD:-build}
collect=${COLLECT:-$BUILD/tests/collect}
messages=${MESSAGES:-60000}
dir=$(mktemp -d /tmp/mxf.XXXXXX)
collect_pid=

cleanup() {
	[ -z "$collect_pid" ] || kill -9 "$collect_pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

await() { # SECONDS COMMAND...
	await_left=$(($1 * 5))
	shift
	until "$@"; do
		await_left=$((await_left - 1))
		[ "$await_left" -gt 0 ] || return 1
		sleep 0.2
	done
}

mkdir "$dir/state" "$dir/etc"
cat >"$dir/conf" <<-CONF
	[relay]
	name = eu1
	region = eu
	[paths]
	state_dir = $dir/state
	postfix_config_dir = $dir/etc
	maillog = $dir/mail.log
	[journal]
	conninfo = host=journal.example
	[queue]
	spool_size = 16777216
CONF
awk -v n="$messages" 'BEGIN {
	for (i = 1; i <= n; i++) {
		printf "Nov  1 02:03:04 eu postfix/qmgr[1]: %06d: from=<s@out.example>, size=285, nrcpt=1 (queue active)\n", i
		printf "Nov  1 02:03:04 eu postfix/smtp[1]: %06d: to=<a%d@one.example>, relay=m[203.0.113.5]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 ok)\n", i, i
		printf "Nov  1 02:03:04 eu postfix/qmgr[1]: %06d: removed\n", i
	}
}' >"$dir/mail.log"
"$collect" "$dir/conf" 300 >"$dir/out" 2>&1 &
collect_pid=$!

is_full() { grep -q 'alert .* raised .*full' "$dir/out"; }
# The alert may come before: at four fifths, of a machine that is slow to get there.
takes_nothing() { grep -q 'spool-not-writable' "$dir/out"; }
ok "$(await 60 is_full && echo 0 || echo 1)" 'the spool fills, and an alert says so'
ok "$(await 60 takes_nothing && echo 0 || echo 1)" 'so does the log, when nothing more goes in'
first=$("$collect" "$dir/conf" rows | wc -l)
sleep 1
is "$("$collect" "$dir/conf" rows | wc -l)" "$first" 'the log is read no further'
ok "$([ "$first" -gt 1000 ] && [ "$first" -lt "$messages" ] && echo 0 || echo 1)" 'it is full before the end of the log'

shipped() {
	"$collect" "$dir/conf" ship | cut -d' ' -f1 >>"$dir/shipped"
	[ "$(wc -l <"$dir/shipped")" -ge "$messages" ]
}
ok "$(await 60 shipped && echo 0 || echo 1)" 'shipped, it goes on to the end of the log'
is "$(sort -u "$dir/shipped" | wc -l)" "$messages" 'each row came'
is "$(sort "$dir/shipped" | uniq -d | wc -l)" 0 'once'
kill "$collect_pid"
status=0
wait "$collect_pid" || status=$?
collect_pid=
is "$status" 0 'SIGTERM ends it'

# --- no journal
mkdir "$dir/alone"
sed -e '/^\[journal\]/d' -e '/^conninfo/d' -e "s,^state_dir.*,state_dir = $dir/alone," "$dir/conf" >"$dir/alone.conf"
"$collect" "$dir/alone.conf" 300 >"$dir/out" 2>&1 &
collect_pid=$!
read_all() { "$collect" "$dir/alone.conf" rows | grep -q "a$messages@one.example"; }
ok "$(await 60 read_all && echo 0 || echo 1)" 'without a journal: the log is read to its end'
like "$(cat "$dir/out")" 'journal-dropped .*no ' 'the oldest rows made room, as the log says'
kill "$collect_pid"
wait "$collect_pid" || true
collect_pid=
tap_done
