#!/bin/sh
# What becomes of mxhold-queued's stores while it serves: taken away, overwritten, and so large that proving them lasts. No
# row is lost that the log still tells of, nobody has to restart anything, and policyd refuses nobody for it.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"

BUILD=${BUILD:-build}
work=$(mktemp -d /tmp/mxst.XXXXXX)
cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -25 "$work/queued.log" "$work/first.log" 2>/dev/null | sed 's/^/# queued: /'
	fi
	umount -l "$work/first/queued" "$work/small" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$work"

mkdir "$work/sock" "$work/postfix"
cat >"$work/rows" <<'ROWS'
relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11
customer acme regions=eu
domain customer.example acme hops=[203.0.113.25]
ROWS
relay_state "$work/state"
: >"$work/maillog"
# shellcheck disable=SC2119 # no lines of its own
relay_conf
stores=$work/state/queued
queued_pid=
policyd_pid=

start() {
	"$BUILD/bin/mxhold-$1" -f -c "$work/mxhold.conf" 2>>"$work/$1.log" &
	eval "$1_pid=$!"
}

# deferred ID: a line of Postfix for a recipient of customer.example.
deferred() {
	printf '%s relay postfix/mxhold/smtp[1]: %s: to=<%s@customer.example>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred (connect to x: refused)\n' \
		"$(LC_ALL=C date '+%b %e %H:%M:%S')" "$1" "$1" >>"$work/maillog"
}

messages() {
	timeout 20 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue list --json 2>/dev/null |
		sed -n 's/.*"domain":"customer.example".*"messages":\([0-9]*\).*/\1/p'
}

holds() {
	[ "$(messages)" = "$1" ]
}

# in_spool ID: has the spool that is there a row of it?
in_spool() {
	grep -q "\"queue_id\":\"$1\"" "$stores/spool/data.mdb"
}

# answer: what policyd says to a recipient; the asker ends when it has the answer.
answer() {
	printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\nsender=a@b.example\nrecipient=u@customer.example\n\n' |
		timeout 20 "$BUILD/tests/tools/asker" raw "$work/sock/policy" -s -w 10000 2>/dev/null | grep action=
}

# overwrite FILE BYTES: with noise, in its place.
overwrite() {
	head -c "$2" /dev/urandom | dd of="$1" conv=notrunc status=none
}

start policyd
start queued
deferred 4Bcdfg0000zB1
ok "$(wait_for 60 holds 1 && echo 0 || echo 1)" 'a message is held'
ok "$(wait_for 30 in_spool 4Bcdfg0000zB1 && echo 0 || echo 1)" 'and is in the spool'

rm -rf "$stores/spool"
deferred 4Bcdfg0000zB2
ok "$(wait_for 60 in_spool 4Bcdfg0000zB2 && echo 0 || echo 1)" 'a spool that was taken away is made anew'
ok "$(wait_for 30 in_spool 4Bcdfg0000zB1 && echo 0 || echo 1)" 'with what the log tells of before'
ok "$(wait_for 30 holds 2 && echo 0 || echo 1)" 'both messages are held'

overwrite "$stores/spool/data.mdb" 131072
deferred 4Bcdfg0000zB3
aside() { test -d "$stores/spool.damaged.1" && in_spool 4Bcdfg0000zB3; }
ok "$(wait_for 60 aside && echo 0 || echo 1)" 'one that was overwritten is set aside, and made anew'
told_aside() { grep -q 'event=alert alert=spool-damaged .*set aside' "$work/queued.log"; }
ok "$(wait_for 30 told_aside && echo 0 || echo 1)" 'an alert says so'
ok "$(wait_for 30 holds 3 && echo 0 || echo 1)" 'three messages are held'

overwrite "$stores/spool/lock.mdb" 4096
deferred 4Bcdfg0000zB4
ok "$(wait_for 60 in_spool 4Bcdfg0000zB4 && echo 0 || echo 1)" 'an overwritten lock.mdb is replaced'
ok "$(wait_for 30 holds 4 && echo 0 || echo 1)" 'four messages are held'
is "$(find "$stores" -name 'spool.damaged*' | wc -l)" 1 'what was sound is not set aside for it'

overwrite "$stores/state/data.mdb" 65536
is "$(answer)" 'action=defer_unauth_destination' 'a state that was overwritten refuses nobody'
overwrite "$stores/state/lock.mdb" 4096
is "$(answer)" 'action=defer_unauth_destination' 'nor its lock.mdb'
deferred 4Bcdfg0000zB5
ok "$(wait_for 60 holds 5 && echo 0 || echo 1)" 'and mxhold-queued goes on'

# --- one byte of one row
grep -abo '"queue_id":"4Bcdfg0000zB4"' "$stores/spool/data.mdb" | while IFS=: read -r place _; do
	printf '#' | dd of="$stores/spool/data.mdb" bs=1 seek="$((place + 1))" conv=notrunc status=none
done
aside_again() { test -d "$stores/spool.damaged.2" && in_spool 4Bcdfg0000zB4 && in_spool 4Bcdfg0000zB5; }
ok "$(wait_for 90 aside_again && echo 0 || echo 1)" 'a spool with one damaged row is set aside while it serves, and made anew from the log'
ok "$(wait_for 30 holds 5 && echo 0 || echo 1)" 'all messages are held'

# --- an operator restores them as root, while it serves
# restore NAME: in the place of the store a copy that only root may use.
restore() {
	cp -R "$stores/$1" "$stores/$1.restored"
	chown -R 0:0 "$stores/$1.restored"
	chmod -R go-rwx "$stores/$1.restored"
	rm -rf "${stores:?}/$1"
	mv "$stores/$1.restored" "$stores/$1"
}
# of_queued NAME: are folder and files the user's again?
of_queued() {
	[ -z "$(find "$stores/$1" "$stores/$1.lock" ! -user 64104)" ]
}
cut_denied() { grep -o "event=store-denied path=$stores/[a-z./]* error=\"Permission denied\"" "$work/queued.log" | tail -1; }
restore spool
deferred 4Bcdfg0000zB6
ok "$(wait_for 60 in_spool 4Bcdfg0000zB6 && of_queued spool && echo 0 || echo 1)" 'a spool that root restored is given over to the next process'
ok "$(wait_for 30 holds 6 && echo 0 || echo 1)" 'which goes on with it'
is "$(find "$stores" -name 'spool.damaged*' | wc -l)" 2 'and sets nothing aside'
restore state
ok "$(wait_for 60 of_queued state && echo 0 || echo 1)" 'a process that meets a state of root ends, and the next one is given it'
is "$(cut_denied)" "event=store-denied path=$stores/state error=\"Permission denied\"" 'the log names it'
deferred 4Bcdfg0000zB7
ok "$(wait_for 60 holds 7 && echo 0 || echo 1)" 'and mxhold-queued goes on'

# --- neither file nor folder: to open it could wait for ever
rm "$stores/spool/data.mdb"
mkfifo "$stores/spool/data.mdb"
aside_pipe() { test -p "$stores/spool.damaged.3/data.mdb" && in_spool 4Bcdfg0000zB7; }
ok "$(wait_for 60 aside_pipe && echo 0 || echo 1)" 'a spool whose data.mdb is a pipe is set aside, and made anew'
: >"$work/roots"
chmod 600 "$work/roots"
rm "$stores/spool/data.mdb"
ln -s "$work/roots" "$stores/spool/data.mdb"
aside_link() { test -L "$stores/spool.damaged.4/data.mdb" && in_spool 4Bcdfg0000zB7; }
ok "$(wait_for 60 aside_link && echo 0 || echo 1)" 'so is one whose data.mdb is a link'
is "$(stat -c '%u %a %s' "$work/roots")" '0 600 0' 'and nothing becomes of the file behind it'
kill -TERM "$queued_pid"
wait "$queued_pid" || true
rm -r "$stores/state" "$stores/spool/lock.mdb"
mkfifo "$stores/state" "$stores/spool/lock.mdb"
start queued
ok "$(wait_for 60 holds 7 && echo 0 || echo 1)" 'pipes for the state and a lock.mdb keep it from nothing'
ok "$(test -d "$stores/state" && of_queued state && echo 0 || echo 1)" 'the state is made anew'
is "$(find "$stores" -name 'spool.damaged*' | wc -l)" 4 'the spool is not set aside for its lock.mdb'

chown 0:0 "$work/state/policyd" "$work/state/policyd/senders"
pkill -KILL -P "$policyd_pid"
memory_given() { [ "$(stat -c %u "$work/state/policyd" "$work/state/policyd/senders" | sort -u)" = 64102 ]; }
ok "$(wait_for 30 memory_given && echo 0 || echo 1)" "policyd's next child is given its folder, and senders"

# --- proving it lasts longer than the parent waits for an answer
kill -TERM "$queued_pid"
wait "$queued_pid" || true
"$BUILD/tests/tools/mkqueue" "$work/state" 64100 rows 100000 1 100
chown -R 64104:64100 "$stores"
before=$(grep -c 'event=child-killed' "$work/queued.log" || true)
start queued
# proving: the process that has the spool open while nobody serves.
proving() {
	for process in $(ps -o pid= --ppid "$(ps -o pid= --ppid "$queued_pid" | tr -d ' ' | head -1)"); do
		if grep -q "$stores/spool/data.mdb" "/proc/$process/maps" 2>/dev/null && kill -STOP "$process" 2>/dev/null; then
			return 0
		fi
	done
	return 1
}
if wait_for 10 proving; then
	sleep 13
	is "$(grep -c 'event=child-killed' "$work/queued.log" || true)" "$before" 'who proves for long is not killed for it'
	kill -CONT "$process"
else
	note 'the proof was over at once'
fi
ok "$(wait_for 60 holds 7 && echo 0 || echo 1)" 'and serves then'
kill -TERM "$queued_pid" "$policyd_pid"
wait "$queued_pid" "$policyd_pid" || true

# --- the disk is full, while the alert of a spool that was set aside stands
mkdir "$work/small"
mount -t tmpfs -o size=8m none "$work/small"
relay_state "$work/small"
sed -i "s,^state_dir = .*,state_dir = $work/small," "$work/mxhold.conf"
stores=$work/small/queued
mv "$work/queued.log" "$work/queued-before.log"
start queued
ok "$(wait_for 60 holds 7 && echo 0 || echo 1)" 'on a small disk'
ok "$(wait_for 30 in_spool 4Bcdfg0000zB5 && echo 0 || echo 1)" 'there is a spool'
kill -KILL "$queued_pid"
wait "$queued_pid" 2>/dev/null || true
overwrite "$stores/spool/data.mdb" 65536
start queued
ok "$(wait_for 60 told_aside && echo 0 || echo 1)" 'that is damaged'
dd if=/dev/zero of="$work/small/filler" bs=64k status=none 2>/dev/null || true
for i in $(seq 100 999); do
	deferred "4Bcdfg0000z$i"
done
told_full() { grep -q 'event=alert alert=spool .*cannot be written: [^;]*No space left on device.* make room' "$work/queued.log"; }
ok "$(wait_for 60 told_full && echo 0 || echo 1)" 'a full disk is told as what it is, also while the other alert stands'
sleep 8
most=$(grep -c 'event=state-unusable' "$work/queued.log" || true)
ok "$([ "$most" -le 3 ] && echo 0 || echo 1)" 'that the state cannot be written is not told each second'
rm "$work/small/filler"
ok "$(wait_for 60 holds 907 && echo 0 || echo 1)" 'with room again the log is read on'
ended() { grep -q "event=alert-ended alert=$1 " "$work/queued.log"; }
ok "$(wait_for 60 ended spool && echo 0 || echo 1)" 'and this alert ends'
ok "$(ended spool-damaged && echo 1 || echo 0)" 'the other one stands'
kill -TERM "$queued_pid"
wait "$queued_pid" || true

# --- the log cannot be read
mv "$work/maillog" "$work/away"
start queued
told_log() { grep -q 'event=alert alert=log .*No such file' "$work/queued.log"; }
ok "$(wait_for 60 told_log && echo 0 || echo 1)" 'an alert says that there is no log'
mv "$work/away" "$work/maillog"
ok "$(wait_for 30 ended log && echo 0 || echo 1)" 'and ends with it'
kill -TERM "$queued_pid"
wait "$queued_pid" || true
# --- they cannot be opened: who asks is told so, and why
cat >"$work/told" <<TOLD
#!/bin/sh
cat >>"$work/alerts"
echo >>"$work/alerts"
TOLD
chmod 755 "$work/told"
: >"$work/alerts"
chown 64104 "$work/alerts"
printf '[alert]\ncommand = %s\n' "$work/told" >>"$work/mxhold.conf"
conf=$work/mxhold.conf

# --- a first start where the disk is full: beside all that follows, for its alert takes its time
relay_state "$work/first"
mkdir "$work/first/queued" "$work/first-sock"
mount -t tmpfs -o size=256k none "$work/first/queued"
dd if=/dev/zero of="$work/first/queued/filler" bs=4k status=none 2>/dev/null || true
sed -e "s,^state_dir = .*,state_dir = $work/first," -e "s,^socket_dir = .*,socket_dir = $work/first-sock," \
	-e "s,^command = .*,command = $work/first-told," "$work/mxhold.conf" >"$work/first.conf"
sed "s,$work/alerts,$work/first-alerts," "$work/told" >"$work/first-told"
chmod 755 "$work/first-told"
: >"$work/first-alerts"
chown 64104 "$work/first-alerts"
"$BUILD/bin/mxhold-queued" -f -c "$work/first.conf" 2>"$work/first.log" &
first_pid=$!

start queued
ok "$(wait_for 60 holds 907 && echo 0 || echo 1)" 'it serves'
# told TEXT COMMAND...: the command ends soon, as one that cannot be had, with that for its words.
told() {
	text=$1
	shift
	status=0
	began=$(date +%s)
	timeout 20 "$BUILD/bin/mxholdctl" -c "$conf" "$@" >"$work/out" 2>&1 || status=$?
	is "$status $([ $(($(date +%s) - began)) -le 5 ] && echo soon || echo late)" '69 soon' "$* ends soon"
	like "$(cat "$work/out")" "mxhold-queued: it cannot $text; it serves by itself when that is mended" 'and says why'
}
again() {
	kill -KILL "$(child)"
}
child() {
	pgrep -P "$queued_pid" | head -1
}
mount --bind "$work/small" "$work/small"
mount -o remount,bind,ro "$work/small"
again
told 'open its stores: .*: Read-only file system' queue list
told 'open its stores: .*: Read-only file system' primary probe customer.example
raised() { grep -q '"alert":"spool".*cannot be opened: .*Read-only file system.*"ended":false' "$work/alerts"; }
ok "$(wait_for 60 raised && echo 0 || echo 1)" '[alert] command is told'
umount "$work/small"
ok "$(wait_for 60 holds 907 && echo 0 || echo 1)" 'when it can be written again, it serves'
ended_told() { grep -q '"alert":"spool".*"ended":true' "$work/alerts"; }
ok "$(wait_for 30 ended_told && echo 0 || echo 1)" 'and the command is told of the end'

rm "$stores/spool.lock"
mkfifo "$stores/spool.lock"
before=$(grep -c 'event=child-died' "$work/queued.log" || true)
again
told 'open its stores: .*/spool.lock: Permission denied' queue list
died=$(grep -c 'event=child-died' "$work/queued.log" || true)
ok "$([ "$died" -le $((before + 1)) ] && echo 0 || echo 1)" 'a pipe that nobody gives it makes it start no process after the other'
rm "$stores/spool.lock"
ok "$(wait_for 60 holds 907 && echo 0 || echo 1)" 'without the pipe it serves'

mv "$stores/spool" "$stores/elsewhere"
ln -s nowhere "$stores/spool"
again
told 'open its stores: .*/spool.*' queue list
rm "$stores/spool"
mv "$stores/elsewhere" "$stores/spool"
ok "$(wait_for 60 holds 907 && echo 0 || echo 1)" 'without the link it serves'
kill -TERM "$queued_pid"
wait "$queued_pid" || true

# --- on the full disk of the first start
conf=$work/first.conf
told "open its stores: $work/first/queued/state/lock.mdb: No space left on device" queue list
told "open its stores: $work/first/queued/state/lock.mdb: No space left on device" primary status
told_first() { grep -q "\"alert\":\"spool\".*cannot be opened: $work/first/queued/state/lock.mdb: No space.*\"ended\":$1" "$work/first-alerts"; }
ok "$(wait_for 60 told_first false && echo 0 || echo 1)" '[alert] command is told of the full disk'
is "$(grep -c 'event=child-died' "$work/first.log" || true)" 0 'no process has died of it'
rm "$work/first/queued/filler"
mount -o remount,size=8m "$work/first/queued"
first_lists() { timeout 20 "$BUILD/bin/mxholdctl" -c "$work/first.conf" queue alerts; }
ok "$(wait_for 30 first_lists && echo 0 || echo 1)" 'with room it serves'
ok "$(wait_for 30 told_first true && echo 0 || echo 1)" 'and the command is told of the end'

# --- it is full again, and they can be opened: the state cannot be written
kill -TERM "$first_pid"
wait "$first_pid" || true
dd if=/dev/zero of="$work/first/queued/filler" bs=4k status=none 2>/dev/null || true
"$BUILD/bin/mxhold-queued" -f -c "$work/first.conf" 2>>"$work/first.log" &
first_pid=$!
conf=$work/mxhold.conf

# --- the same where it is so when the parent starts
# mended TEXT: it serves, without a new start, and ends.
mended() {
	ok "$(wait_for 30 holds 907 && echo 0 || echo 1)" "$1"
	kill -TERM "$queued_pid"
	status=0
	wait "$queued_pid" || status=$?
	is "$status" 0 'by the same process'
}
begin() {
	start queued
	wait_for 10 test -S "$work/sock/queue-control"
}
mount --bind "$stores" "$stores"
mount -o remount,bind,ro "$stores"
begin
told "open its stores: $stores/state.lock: Read-only file system" queue list
umount "$stores"
mended 'started on a read-only file system, it serves when that can be written'

mount --bind "$stores/spool/data.mdb" "$stores/spool/data.mdb"
mount -o remount,bind,ro "$stores/spool/data.mdb"
begin
told "open its stores: $stores/spool: Read-only file system" primary status
umount "$stores/spool/data.mdb"
mended 'so it is where one file is read-only'

mv "$stores" "$work/small/away"
: >"$stores"
begin
told "open its stores: $stores: Not a directory" queue list
rm "$stores"
mv "$work/small/away" "$stores"
mended 'so it is where a file lies in place of the folder'

mv "$stores" "$work/small/away"
ln -s nowhere "$stores"
begin
told "open its stores: $stores: Not a directory" queue list
rm "$stores"
made() { [ "$(stat -c '%u %a' "$stores" "$stores/spool" "$stores/state" | sort -u)" = '64104 750' ]; }
ok "$(wait_for 30 made && echo 0 || echo 1)" 'where there was a link, folders are made and given'
mended 'and it serves, with what the log tells'
rm -r "$work/small/away"

rm -r "$stores/state"
: >"$stores/state"
rm "$stores/spool/lock.mdb"
dd if=/dev/zero of="$work/small/filler" bs=4k status=none 2>/dev/null || true
begin
told "open its stores: $stores/.*: No space left on device" queue list
rm "$work/small/filler"
mended 'on a full disk without state and lock.mdb it serves when there is room'

# --- what became of the state that cannot be written
told_state() { grep -q "\"alert\":\"spool\".*the state cannot be written: .*\"ended\":$1" "$work/first-alerts"; }
ok "$(wait_for 60 told_state false && echo 0 || echo 1)" 'that the state cannot be written is an alert'
rm "$work/first/queued/filler"
ok "$(wait_for 30 told_state true && echo 0 || echo 1)" 'and ends when there is room'

# --- its processes die at once, of whatever: who asks is told by the parent
while kill -0 "$first_pid" 2>/dev/null; do
	pkill -KILL -P "$first_pid" || true
	sleep 0.02
done &
conf=$work/first.conf
told 'serve: its processes die again and again, and its log says of what' queue alerts
kill -TERM "$first_pid"
wait "$first_pid" || true
wait $!
is "$(grep -l 'Sanitizer' "$work"/*.log || true)" '' 'no sanitizer has complained'
tap_done
