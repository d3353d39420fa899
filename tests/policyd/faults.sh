#!/bin/sh
# policyd under faults: child and parent killed and stopped, one by one and together, snapshot truncated, overwritten, removed, sockets
# removed, reload and restart under load. No answer may ever be wrong; connections must not be refused.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/policyd/lib.sh

policyd_set_up
start_policyd "$base/log"

ms() {
	echo $(($(date +%s%N) / 1000000))
}

# load SECONDS [OPTIONS]: a client that connects in a loop; its result is in $base/load.out after `loaded`.
load() {
	"$asker" loop "$base/sock/map" "$@" >"$base/load.out" &
	load_pid=$!
	remember "$load_pid"
}

# loaded TEXT: waits for it. Sets $line.
loaded() {
	wait "$load_pid" || true
	line=$(cat "$base/load.out")
	note "$1: $line"
	is "$(field wrong "$line") $(field refused "$line")" '0 0' "$1: no wrong answer, no refused connection"
}

none_lost() {
	is "$(field lost "$line") $(field temp "$line")" '0 0' "$1: no lost answer"
}

# --- the child ---------------------------------------------------------------------------------

child=$(child_of "$parent")
load 3
sleep 0.5
kill -KILL "$child"
loaded 'child killed under load'
try 'child killed under load: at most the requests that it had taken are lost' test "$(field lost "$line")" -le 2
try 'child killed: there is a new one' wait_for 10 new_child "$parent" "$child"

child=$(child_of "$parent")
load 4
sleep 0.5
before=$(ms)
kill -STOP "$child"
try 'child stopped: there is a new one' wait_for 20 new_child "$parent" "$child"
try 'child stopped: it answers' wait_for 20 answers_right
took=$(($(ms) - before))
try "child stopped: healed after $took ms" test "$took" -lt 8000
try 'child stopped: it is gone' wait_for 10 gone "$child"
loaded 'child stopped under load'

# A child that is alive and does not answer.
child=$(child_of "$parent")
load 8
before=$(ms)
"$asker" freeze "$child" 15000 &
tracer=$!
remember "$tracer"
try 'child hung: there is a new one' wait_for 20 new_child "$parent" "$child"
took=$(($(ms) - before))
try "child hung: replaced after $took ms" test "$took" -lt 9000
loaded 'child hung under load'
kill "$tracer" 2>/dev/null || true
like "$(cat "$base/log")" 'event=child-killed .*reason="no answer"' 'child hung: the log says why'

# --- all of it stopped, as by pkill: the kernel lets the parent go on, and the parent replaces the child ---------

mkdir "$base/postfix"
echo 'compatibility_level = 3.6' >"$base/postfix/main.cf"
# A real client: it would wait 100 s.
postfix_finds() {
	MAIL_CONFIG=$base/postfix timeout 60 postmap -q customer.example "socketmap:unix:$base/sock/map:relay_domains"
}
is "$(postfix_finds)" customer.example 'a real socketmap client finds the domain'
child=$(child_of "$parent")
load 8
sleep 0.5
before=$(ms)
kill -STOP "$parent" "$child"
is "$(postfix_finds)" customer.example 'parent and child stopped: a lookup of Postfix is answered'
took=$(($(ms) - before))
try "parent and child stopped: it waited $took ms" test "$took" -lt 15000
try 'parent and child stopped: there is a new child' wait_for 10 new_child "$parent" "$child"
try 'parent and child stopped: the old one is gone' wait_for 15 gone "$child"
loaded 'parent and child stopped under load'

load 8
count=0
while [ "$count" -lt 20 ]; do
	count=$((count + 1))
	# shellcheck disable=SC2046 # several words, or none
	kill -STOP "$parent" $(child_of "$parent") 2>/dev/null || true
	sleep 0.2
done
loaded 'parent and child stopped 20 times in 4 s'
try 'parent and child stopped 20 times: it answers' wait_for 30 answers_right

load 6
count=0
while [ "$count" -lt 20 ]; do
	count=$((count + 1))
	kill -KILL "$(child_of "$parent")" 2>/dev/null || true
	sleep 0.1
done
loaded 'child killed 20 times in 2 s'
try 'child killed 20 times: it answers' wait_for 15 answers_right

# --- reload, restart ------------------------------------------------------------------------------

load 4
"$asker" loop "$base/sock/policy" 4 >"$base/policy.out" &
policy_pid=$!
remember "$policy_pid"
"$asker" loop "$base/sock/map" 4 -k >"$base/kept.out" &
kept_pid=$!
remember "$kept_pid"
child=$(child_of "$parent")
count=0
while [ "$count" -lt 10 ]; do
	count=$((count + 1))
	sleep 0.3
	kill -HUP "$parent"
done
loaded '10 reloads under load'
none_lost '10 reloads under load'
wait "$policy_pid"
wait "$kept_pid"
for result in policy kept; do
	line=$(cat "$base/$result.out")
	note "$result: $line"
	is "$(field wrong "$line") $(field lost "$line") $(field refused "$line") $(field temp "$line")" '0 0 0 0' \
		"10 reloads under load, client \`$result\`: nothing wrong, lost, refused"
done
try 'reload: old children are gone' wait_for 15 gone "$child"

# A client with half a request keeps the old child for seconds: who connects meanwhile is the new one's, even while that stands still.
python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.send(b"28:relay")
print("sent", flush=True)
time.sleep(60)' "$base/sock/map" >"$base/half.out" &
half=$!
remember "$half"
wait_for 20 grep -q sent "$base/half.out"
sleep 0.3
child=$(child_of "$parent")
kill -HUP "$parent"
try 'reload while a request is half there: there is a new child' wait_for 20 new_child "$parent" "$child"
sleep 1.5
"$asker" freeze "$(child_of "$parent")" 15000 &
tracer=$!
remember "$tracer"
sleep 0.3
slow_question() {
	python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
time.sleep(0.3)
s.send(b"28:relay_domains mxhold.invalid,")
print(s.recv(100).decode())' "$base/sock/map" 2>&1
}
is "$(slow_question)" '9:NOTFOUND ,' 'reload while a request is half there: the old child takes nobody else'
kill "$half" "$tracer" 2>/dev/null || true
try 'reload while a request is half there: the old child is gone' wait_for 20 gone "$child"

sed 's/^region = eu$/region = us/' "$base/conf" >"$base/conf.new"
mv "$base/conf.new" "$base/conf"
kill -HUP "$parent"
ask_rcpt() {
	printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=u@customer.example\nsize=0\n\n' |
		"$asker" raw "$base/sock/policy" -s -w 5000
}
in_wrong_region() {
	ask_rcpt | grep -q '^action=450 4.7.1 '
}
try 'reload: the new region counts' wait_for 15 in_wrong_region
echo 'nonsense' >>"$base/conf"
kill -HUP "$parent"
try 'reload: a bad configuration is refused' wait_for 15 grep -q 'event=reload-refused' "$base/log"
try 'and the old one stays' in_wrong_region
sed -i -e '/^nonsense$/d' -e 's/^region = us$/region = eu/' "$base/conf"
kill -HUP "$parent"
in_right_region() {
	ask_rcpt | grep -q '^action=defer_unauth_destination'
}
try 'reload: and back' wait_for 15 in_right_region

load 6
"$asker" loop "$base/sock/policy" 6 >"$base/policy.out" &
policy_pid=$!
remember "$policy_pid"
count=0
while [ "$count" -lt 4 ]; do
	count=$((count + 1))
	sleep 1
	older=$parent
	start_policyd "$base/log.$count"
	try "restart $count: the older instance ends" wait_for 15 gone "$older"
done
loaded '4 restarts under load'
none_lost '4 restarts under load'
wait "$policy_pid"
line=$(cat "$base/policy.out")
is "$(field wrong "$line") $(field lost "$line") $(field refused "$line") $(field temp "$line")" '0 0 0 0' \
	'4 restarts under load, policy: nothing wrong, lost, refused'
cat "$base"/log.* >>"$base/log"

# --- the parent -------------------------------------------------------------------------------------

child=$(child_of "$parent")
kill -KILL "$parent"
try 'parent killed: the child ends too' wait_for 15 gone "$child"
try 'parent killed: its socket file is left' test -S "$base/sock/map"
start_policyd "$base/log.new"
try 'parent killed: a new one starts over it' answers_right

# A stopped child whose parent is dead is nobody's to kill; it must not keep its clients for ever.
child=$(child_of "$parent")
kill -STOP "$parent" "$child"
kill -KILL "$parent"
start_policyd "$base/log.new2"
try 'stopped, and the parent killed: a new one serves' wait_for 20 answers_right
try 'stopped, and the parent killed: the old child goes on, and ends' wait_for 40 gone "$child"

rm -f "$base/sock/map"
try 'socket file removed: it comes back' wait_for 15 answers_right
rm -rf "$base/sock"
try 'socket directory removed: it comes back' wait_for 15 answers_right
is "$(tr -d '\n' <"$base/sock/policyd.pid")" "$parent" 'socket directory removed: so does the pid file'

# --- the snapshot -----------------------------------------------------------------------------------

data=$base/state/snapshot/data.mdb

restore() {
	rm -rf "$base/state/snapshot"
	build_snapshot
	try "$1: healed with a new snapshot" wait_for 20 answers_right
}
asks_later() {
	map 'relay_domains customer.example' | grep -q '^TEMP ' &&
		map 'transport u@customer.example' | grep -q '^TEMP ' &&
		map 'dns_reply customer.example. 5 IN MX 100 us.mx.backup.example.' | grep -q '^TEMP '
}
policy_later() {
	ask_rcpt | grep -Eq '^action=(DEFER_IF_REJECT 4.3.0|450 4.3.0) '
}

load 4
sleep 0.3
: >"$data"
try 'snapshot truncated to nothing: maps say TEMP' wait_for 15 asks_later
try 'snapshot truncated to nothing: policy says later' wait_for 15 policy_later
loaded 'snapshot truncated under load'
restore 'snapshot truncated to nothing'

load 4
sleep 0.3
truncate -s 20480 "$data"
try 'snapshot cut short: maps say TEMP' wait_for 15 asks_later
loaded 'snapshot cut short under load'
restore 'snapshot cut short'

load 4
sleep 0.3
size=$(stat -c %s "$data")
head -c "$size" /dev/urandom | dd of="$data" conv=notrunc status=none
try 'snapshot overwritten with noise: maps say TEMP' wait_for 20 asks_later
try 'snapshot overwritten with noise: policy says later' wait_for 15 policy_later
loaded 'snapshot overwritten under load'
restore 'snapshot overwritten with noise'

load 3
sleep 0.3
rm -rf "$base/state/snapshot"
try 'snapshot removed: maps say TEMP' wait_for 15 asks_later
loaded 'snapshot removed under load'
restore 'snapshot removed'

# --- the end ------------------------------------------------------------------------------------------

kill -TERM "$parent"
try 'SIGTERM: it ends' wait_for 20 gone "$parent"
is "$(find "$base/sock" -mindepth 1)" '' 'SIGTERM: nothing is left'
status=0
grep -hE 'runtime error|AddressSanitizer: [a-z]|LeakSanitizer' "$base"/log* >&2 || status=$?
is "$status" 1 'no sanitizer complained (of anything but SIGBUS)'
tap_done
