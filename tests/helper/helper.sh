#!/bin/sh
# mxhold-helper with a real Postfix: what it does, whom it does it for, and what hostile, slow, many and unlucky clients
# make of it. As root. In: $BUILD. Out: TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/postfix.sh
. tests/helper/lib.sh

helper_set_up
helper_postfix
start_helper

# --- what it is for
id=$(put_message)
is "$(request "hold $id operator alice")" ok 'a message is held'
is "$(queue_of "$id")" hold 'it is on hold'
is "$(request "hold $id operator alice")" gone 'a held one cannot be held'
is "$(request "release $id operator alice")" ok 'it is released'
like "$(queue_of "$id")" 'deferred|active|incoming' 'it is not on hold'
is "$(request "delete $id refused -")" ok 'it is deleted'
is "$(queue_of "$id")" '' 'it is gone'
is "$(request "delete $id refused -")" gone 'what is gone is told to be gone'
is "$(printf 'delete %s refused -\n' "$id" | ask_as 0)" gone 'root may ask'
like "$(grep 'event=doing do=delete' "$base/log" | head -1)" \
	"queue_id=$id why=refused by=- uid=$queued_uid" 'the log says what, why, for whom'
first=$(grep -n "event=doing do=delete queue_id=$id" "$base/log" | head -1 | cut -d : -f 1)
then=$(grep -n "event=done do=delete queue_id=$id" "$base/log" | head -1 | cut -d : -f 1)
ok "$([ "$first" -lt "$then" ] && echo 0 || echo 1)" 'it was logged before it was done'

# --- who may
keep=$(put_message)
like "$(printf 'delete %s operator eve\n' "$keep" | ask_as "$other_uid")" '^failed you may not' 'another daemon is refused'
like "$(tail -3 "$base/log")" "event=request-refused.*uid=$other_uid" 'and it is logged'
is "$(stat -c '%U %g %a' "$base/sock/helper")" "root $group 660" 'the socket is root'\''s, for the group alone'
status=0
printf 'ping\n' | setpriv --reuid 65534 --regid 65534 --clear-groups "$control_ask" "$base/sock/helper" - \
	>/dev/null 2>&1 || status=$?
is "$status" 69 'nobody else can connect'

# --- what it must not be talked into
sed "s/KEEP/$keep/g" >"$base/bad" <<'BAD'
delete ALL operator alice
delete - operator alice
delete ../../etc/passwd operator alice
delete KEEP/../KEEP operator alice
delete  KEEP operator alice
delete KEEP operator
delete KEEP operator alice more
delete KEEP operator alice 
DELETE KEEP operator alice
delete KEEP Operator alice
delete -dKEEP operator alice
delete KEEP;id operator alice
delete KEEP operator al	ice
requeue KEEP operator alice

ping ping
ping 
BAD
bad=0
while IFS= read -r line; do
	case $(request "$line") in "failed that is no request") ;; *)
		bad=$((bad + 1))
		note "taken: $line"
		;;
	esac
done <"$base/bad"
is "$bad" 0 "$(wc -l <"$base/bad") lines that are no requests are refused"
like "$(printf 'delete %s\000 operator alice\n' "$keep" | ask_as "$queued_uid")" '^failed that is no' 'a NUL byte'
like "$(head -c 1048576 /dev/zero | tr '\0' A | ask_as "$queued_uid" 2>/dev/null)" '^failed that is no' '1 MB without a line feed'
like "$(head -c 100000 /dev/urandom | ask_as "$queued_uid" 2>/dev/null || true)" '^(failed .*)?$' 'noise'
is "$(queue_of "$keep")" deferred 'the message is where it was'
is "$(request 'delete ABCDEF operator alice')" gone 'an id that nobody has'

# --- slow ones, and many
python3 - "$base/sock/helper" "$queued_uid" "$group" >"$base/crowd" <<'PY' &
import os, socket, sys, time
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
crowd = []
for n in range(500):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    if n % 2:
        s.send(b'delete AB')
    crowd.append(s)
print('there', flush=True)
time.sleep(8)
PY
crowd=$!
wait_for 20 grep -q there "$base/crowd"
before=$(child_of "$parent")
id=$(put_message)
began=$(date +%s%N)
is "$(request "delete $id operator alice")" ok 'behind 500 silent connections a request is served'
took=$((($(date +%s%N) - began) / 1000000))
ok "$([ "$took" -lt 3000 ] && echo 0 || echo 1)" "within 3 s ($took ms)"
wait "$crowd"
is "$(child_of "$parent")" "$before" 'the child was not replaced for it'
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	put_message >/dev/null
done
pf_queue "$base/pf" | sed 's/.*"queue_id": "\([^"]*\)".*/\1/' | grep -v "$keep" >"$base/ids"
asked=$(wc -l <"$base/ids")
while read -r n; do
	request "delete $n expired -" >>"$base/answers" &
	pids="${pids-} $!"
done <"$base/ids"
# shellcheck disable=SC2086
wait $pids
is "$(grep -c '^ok$' "$base/answers")" "$asked" "$asked requests at once are all carried out"

# --- misfortune
cat >"$base/slow" <<SLOW
#!/bin/sh
echo \$\$ >$base/slow.pid
exec sleep 300
SLOW
chmod 755 "$base/slow"
child=$(child_of "$parent")
kill -STOP "$child"
is "$(request "hold $keep operator alice")" ok 'a stopped child is replaced, and the request served'
kill -KILL "$(child_of "$parent")"
is "$(request "release $keep operator alice")" ok 'a killed one as well'
rm "$base/sock/helper"
ok "$(wait_for 30 serves && echo 0 || echo 1)" 'a socket that was removed is made again'
older=$parent
start_helper
ok "$(wait_for 30 has_ended "$older" && echo 0 || echo 1)" 'a second instance takes over from the first'
ok "$(serves && echo 0 || echo 1)" 'and serves'
mkdir "$base/bin"
cp "$base/slow" "$base/bin/postsuper"
pf_set "$base/pf" "command_directory=$base/bin"
child=$(child_of "$parent")
kill -HUP "$parent"
ok "$(wait_for 30 grep -q 'event=reloaded' "$base/log" && echo 0 || echo 1)" 'SIGHUP is taken'
ok "$(wait_for 30 has_ended "$child" && echo 0 || echo 1)" 'the child is replaced by one with the new settings'
request "delete $keep operator alice" >"$base/late" &
late=$!
wait_for 30 test -s "$base/slow.pid"
ok "$(serves && echo 0 || echo 1)" 'while postsuper hangs, others are answered'
kill -KILL "$(cat "$base/slow.pid")"
wait "$late"
like "$(cat "$base/late")" '^failed postsuper died of signal 9' 'a postsuper that dies is told'
chmod 777 "$base/bin/postsuper"
child=$(child_of "$parent")
kill -HUP "$parent"
wait_for 30 has_ended "$child"
like "$(request "delete $keep operator alice")" '^failed postsuper is not to be found' 'one that others may write to is not run'
is "$(queue_of "$keep" | grep -c .)" 1 'the message is still there'

# --- what it has given up
child=$(child_of "$parent")
like "$(grep NoNewPrivs "/proc/$child/status")" '1$' 'no new privileges'
like "$(grep CapBnd "/proc/$child/status")" '00000000000000e6$' 'five capabilities are left'
kill -TERM "$parent"
ok "$(wait_for 30 has_ended "$parent" && echo 0 || echo 1)" 'SIGTERM ends it'
ok "$([ ! -e "$base/sock/helper" ] && echo 0 || echo 1)" 'and its socket is removed'
status=0
setpriv --reuid "$queued_uid" --regid "$group" --clear-groups "$helper_bin" -f -c "$base/conf" 2>/dev/null || status=$?
ok "$([ "$status" -ne 0 ] && echo 0 || echo 1)" 'not as root it does not start'
tap_done
