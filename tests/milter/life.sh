#!/bin/sh
# The life of mxhold-milter: children that die, stop and hang are replaced while nobody who connects is turned away; reload,
# restart and stop; and a snapshot that is not there.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/milter/lib.sh

milter_dir
milter_start

replaced() { # OLD: another child serves
	now=$(child)
	[ -n "$now" ] && [ "$now" != "$1" ] && answers
}

gone() { # PID: ended, waited for or not
	case $(ps -o stat= -p "$1") in '' | Z*) return 0 ;; *) return 1 ;; esac
}

# asked_until FILE: one negotiation after the other, each on a connection of its own, until FILE is there, and one more; how each
# ended, a line for each. (Without the one more, the only one may be the one that the stopped child had taken.)
asked_until() {
	asked_enough=no
	while [ "$asked_enough" = no ]; do
		[ ! -e "$1" ] || asked_enough=yes
		printf '%s\n' negotiate quit | timeout 9 "$client" "$socket" script 2>&1 | sed -n '1s/ .*//;1p'
		sleep 0.02
	done
}

# Who connects waits; what is closed is at most the one connection that the stopped child had taken.
nobody_turned_away() {
	note "negotiations: $(sort "$dir/asked" | uniq -c | xargs)"
	[ "$(grep -c options "$dir/asked")" -gt 0 ] && [ "$(grep -cvx options "$dir/asked")" -le 1 ] && status=0 || status=1
	ok "$status" 'and meanwhile nobody was turned away: who connects waits'
}

# --- privileges

if [ "$(id -u)" -eq 0 ]; then
	is "$(ps -o uid=,gid= -p "$(child)" | xargs)" '64103 64100' 'the child has a user of its own'
	is "$(stat -c '%u:%g %a' "$socket")" '0:64101 660' 'the socket is for root and its group'
fi

# Which threads of the child take SIGTERM: not libmilter's, which would drop all sessions.
takes_sigterm() {
	for thread in "/proc/$1/task"/*; do
		blocked=$(sed -n 's/^SigBlk:.*\(....\)$/\1/p' "$thread/status") # as much as sh can count
		[ $((0x${blocked:-ffff} & 0x4000)) -ne 0 ] || basename "$thread"
	done
}
serving=$(child)
is "$(takes_sigterm "$serving" | xargs)" "$serving" 'the first thread of the child alone takes SIGTERM'

# --- death, standstill

old=$(child)
kill -s KILL "$old"
try 'a killed child is replaced' wait_for 30 replaced "$old"

old=$(child)
asked_until "$dir/enough" >"$dir/asked" &
asking=$!
kill -s STOP "$old"
try 'a stopped child is replaced' wait_for 30 replaced "$old"
: >"$dir/enough"
wait "$asking"
nobody_turned_away
rm "$dir/enough"

old=$(child)
asked_until "$dir/enough" >"$dir/asked" &
asking=$!
kill -s STOP "$milter" "$old"
try 'parent and child stopped: the parent goes on by itself and replaces the child' wait_for 30 replaced "$old"
: >"$dir/enough"
wait "$asking"
nobody_turned_away
rm "$dir/enough"
try 'the stopped child is gone' wait_for 30 gone "$old"

# --- reload and restart under load

old=$(child)
printf '%s\n' negotiate 'mail <a@b>' >"$dir/half"
{
	cat "$dir/half"
	while [ ! -e "$dir/reloaded" ]; do sleep 0.1; done
	printf '%s\n' 'macro R {rcpt_addr} u@ok.example {rcpt_mailer} mxhold' 'rcpt <u@ok.example>' 'body 10' eom quit closed
} | timeout 30 "$client" "$socket" script >"$dir/session" 2>&1 &
session=$!
wait_for 30 grep -q continue "$dir/session"
timeout 40 "$client" "$socket" load -n 30000 -c 8 -k 20 -r u@ok.example >"$dir/load" 2>&1 &
loading=$!
kill -s HUP "$milter"
try 'SIGHUP: a new child' wait_for 30 replaced "$old"
sleep 0.5
: >"$dir/reloaded"
wait "$session" || true
is "$(tail -4 "$dir/session" | tr '\n' ' ')" 'continue continue continue closed ' 'a session that was under way ends with its old child'
status=0
wait "$loading" || status=$?
note "$(cat "$dir/load")"
is "$status" 0 'no message failed under load meanwhile'
try 'the old child is gone' wait_for 30 gone "$old"

printf 'broken\n' >>"$conf"
kill -s HUP "$milter"
try 'a broken configuration is refused at SIGHUP' wait_for 30 grep -q 'event=reload-refused' "$log"
milter_conf
status=0
"$BUILD/bin/mxhold-milter" -n -c "$conf" || status=$?
is "$status" 0 '-n: a good configuration'

older=$milter
timeout 40 "$client" "$socket" load -n 30000 -c 8 -k 20 -r u@ok.example >"$dir/load" 2>&1 &
loading=$!
milter_start
try 'a second instance takes over, and the first ends' wait_for 30 gone "$older"
status=0
wait "$loading" || status=$?
note "$(cat "$dir/load")"
is "$status" 0 'no message failed under load meanwhile'
wait "$older" 2>/dev/null || true
try 'the first has not removed the socket of the second' answers

rm "$socket"
try 'a socket that somebody removed is made again' wait_for 30 answers

# --- the end

milter_stop || true
is "$(ls "$dir/socket")" '' 'SIGTERM removes socket and pid file'

# --- descriptors: libmilter would spin in accept(2) for ever

if [ "$(id -u)" -eq 0 ]; then
	chown 64103:64100 "$dir/socket"
	prlimit --nofile=200 setpriv --reuid 64103 --regid 64100 --clear-groups \
		"$BUILD/bin/mxhold-milter" -f -c "$conf" 2>>"$log" &
	milter=$!
	at_exit "kill -s KILL $milter 2>/dev/null || true"
	wait_for 30 answers
	timeout 30 "$client" "$socket" idle -n 400 -t 6 >"$dir/idle" &
	idle=$!
	try 'more idle connections than descriptors: the child makes room' \
		wait_for 30 grep -q 'event=draining reason="descriptors ran out"' "$log"
	try 'and it answers while they last' wait_for 30 answers
	wait "$idle"
	milter_stop || true
	chown 0:0 "$dir/socket"
fi

# --- the snapshot

milter_start
recipient() {
	say negotiate 'mail <a@b>' "macro R {rcpt_addr} $1 {rcpt_mailer} mxhold" "rcpt <$1>" | tail -1
}
is "$(recipient u@ok.example)" continue 'an authorised domain'
echo 'domain ok.example acme suspended' | "$mksnapshot" -u "$dir/state" -
like "$(recipient u@ok.example)" '^450 4\.7\.1 ' 'suspended now: the next recipient is refused'
mv "$dir/state/snapshot" "$dir/state/away"
sleep 1.1
like "$(recipient u@ok.example)" '^450 4\.3\.0 ' 'no snapshot: 450'
mv "$dir/state/away" "$dir/state/snapshot"
sleep 1.1
like "$(recipient u@big.example)" '^continue' 'and back'
old=$(child)
: >"$dir/state/snapshot/data.mdb"
sleep 1.1
like "$(recipient u@big.example)" '^(450 4\.3\.0 |closed)' 'a snapshot cut to nothing: no recipient passes'
rm -rf "$dir/state/snapshot"
milter_snapshot
try 'a new snapshot serves' wait_for 30 sh -c "printf '%s\n' negotiate 'mail <a@b>' 'macro R {rcpt_addr} u@ok.example {rcpt_mailer} mxhold' 'rcpt <u@ok.example>' | $client $socket script | tail -1 | grep -q continue"
status=0
milter_stop || status=$?
is "$status" 0 'and the daemon stops cleanly'
tap_done
