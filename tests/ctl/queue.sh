#!/bin/sh
# ctl-queue: mxholdctl queue and primary with a real mxhold-queued, mxhold-helper, mxhold-policyd and Postfix: what is shown,
# holds of domains and messages that outlive a restart, dropping, who may, what hostile clients of the control socket do, and
# alerts with their command. In: BUILD. As root, in namespaces of its own, where the primary has its address.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"
. tests/lib/postfix.sh

BUILD=${BUILD:-build}
work=$(mktemp -d /tmp/mxcq.XXXXXX)
pf=$work/pf
cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		for file in queued helper policyd; do
			tail -15 "$work/$file.log" 2>/dev/null | sed "s/^/# $file: /"
		done
		tail -15 "$pf/log/mail.log" 2>/dev/null | sed 's/^/# mail.log: /'
	fi
	pf_stop "$pf" || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$work"

has_ended() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"
}

mxholdctl() {
	timeout 60 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" "$@"
}

# as UID COMMAND...: in the group of the daemons.
as() {
	as_uid=$1
	shift
	setpriv --reuid "$as_uid" --regid 64100 --clear-groups "$@"
}

# code COMMAND...: prints its exit status; what it says is in $work/said.
code() {
	code_status=0
	"$@" >"$work/said" 2>&1 </dev/null || code_status=$?
	echo "$code_status"
}

# field DOMAIN NAME: of `queue list --json`.
field() {
	mxholdctl queue list --json | python3 -c '
import json, sys
for line in sys.stdin:
    o = json.loads(line)
    if o["domain"] == sys.argv[1]:
        print(o[sys.argv[2]])' "$1" "$2"
}

field_is() {
	[ "$(field "$1" "$2")" = "$3" ]
}

# --- the scene
ip addr add 203.0.113.25/32 dev lo
mkdir "$work/sock" "$work/store"
PF_CHROOT=n pf_create "$pf" eu.mx.example 127.0.0.1:10825
printf 'mxhold unix - - n - - smtp\n' >>"$pf/etc/master.cf"
pf_set "$pf" enable_long_queue_ids=yes inet_interfaces=127.0.0.1 inet_protocols=ipv4 mydestination= \
	"relay_domains=customer.example other.example upper.example soc.example" "transport_maps=socketmap:unix:$work/sock/map:transport" \
	fast_flush_domains=static:all "command_directory=$work/commands" minimal_backoff_time=600s smtp_dns_support_level=enabled \
	smtp_data_done_timeout=30s
# A postsuper that fails while there is $work/broken.
mkdir -m 755 "$work/commands"
ln -s /usr/sbin/post* "$work/commands/"
rm "$work/commands/postsuper"
cat >"$work/commands/postsuper" <<POSTSUPER
#!/bin/sh
[ ! -e $work/broken ] || exit 1
exec /usr/sbin/postsuper "\$@"
POSTSUPER
chmod 755 "$work/commands/postsuper"
cat >"$work/rows" <<'ROWS'
relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11
customer acme regions=eu
domain customer.example acme hops=[203.0.113.25]
domain other.example acme hops=[203.0.113.25] subdomains
domain upper.example acme hops=[203.0.113.25] subdomains
domain soc.example acme hops=[203.0.113.25] hold=86400
ROWS
relay_state "$work/state"
cat >"$work/alert" <<ALERT
#!/bin/sh
# Of several at once each adds its line by one write.
line=\$(cat)
printf '%s\\n' "\$line" >>$work/alerts
ALERT
chmod 755 "$work/alert"
: >"$work/alerts"
chown 64104 "$work/alerts"
RELAY_POSTFIX=$pf/etc RELAY_LOG=$pf/log/mail.log RELAY_SOCKETS=postfix relay_conf \
	'[queue]' 'probe_interval = 1s' 'quota_messages = 20' '[alert]' "command = $work/alert"

start() {
	"$BUILD/bin/mxhold-$1" -f -c "$work/mxhold.conf" 2>>"$work/$1.log" &
	eval "$1_pid=$!"
}

answers() {
	mxholdctl primary status
}

lists() { # PATTERN
	mxholdctl queue list | grep -Eq -- "$1"
}

queued_pid=
stop_queued() {
	kill -TERM "$queued_pid"
	wait_for 60 has_ended "$queued_pid"
}

submit() { # SUBJECT RECIPIENT...
	subject=$1
	shift
	printf 'Subject: %s\nX-Ledger-Id: %s\n\ntext\n' "$subject" "$subject" |
		pf_run "$pf" sendmail -C "$pf/etc" -f sender@example.org "$@"
}

is "$(code mxholdctl queue list)" 69 'without mxhold-queued and without a state there is nothing to list'
is "$(code mxholdctl queue hold customer.example --forever)" 69 'and nobody to hold anything'
for words in 'queue --help' 'queue list --help' 'queue show --help' 'queue alerts --help' 'queue hold --help' 'queue release --help' \
	'queue flush --help' 'queue drop --help' 'primary --help' 'primary status --help' 'primary probe --help' \
	'primary watch --help'; do
	# shellcheck disable=SC2086
	is "$(code mxholdctl $words)" 0 "$words"
done
start policyd
start helper
pf_start "$pf"
start queued
ok "$(wait_for 60 answers && echo 0 || echo 1)" 'mxhold-queued answers'
wait_for 30 test -S "$work/sock/map"
is "$(stat -c '%U %g %a' "$work/sock/queue-control")" 'root 64100 660' 'its socket is root'\''s, for the group'

# --- looking
submit one anna@customer.example
submit two bert@customer.example
submit both carl@customer.example dora@other.example
submit three emil@other.example
ok "$(wait_for 60 field_is customer.example messages 3 && echo 0 || echo 1)" 'list counts the messages of a domain'
ok "$(wait_for 60 field_is other.example messages 2 && echo 0 || echo 1)" 'and those of another'
ok "$(wait_for 60 field_is customer.example primary down && echo 0 || echo 1)" 'its primary is down'
like "$(mxholdctl queue list)" '^DOMAIN +MESSAGES +BYTES +OLDEST +PRIMARY +HOLD +NEXT' 'list has a heading'
try 'and says it all in a line' wait_for 20 lists \
	'^customer.example +3 +[0-9.K]+ +[0-9hms]+ +down [0-9hms]+ +- +probe in [0-9]+s'
ok "$(wait_for 30 grep -q '"alert":"outage","domain":"customer.example"' "$work/alerts" && echo 0 || echo 1)" \
	'the command was told of the outage'
like "$(grep customer "$work/alerts")" \
	'"alert":"outage","domain":"customer.example","relay":"eu1","region":"eu",.*"ended":false,"duration":null' 'as JSON'
tells_attempts() { mxholdctl queue show customer.example | grep -q 'attempt.*Connection refused'; }
wait_for 30 tells_attempts || true # a probe may have found the primary down first
shown=$(mxholdctl queue show customer.example)
like "$shown" '<sender@example.org> -> <anna@customer.example>' 'show has the recipients'
like "$shown" 'attempt.* at .*203.0.113.25.*Connection refused|attempt.*: .*Connection refused' 'and what became of the attempts'
like "$shown" '\[203.0.113.25\]:25 down' 'and the primary'
alerts=$(mxholdctl queue alerts)
like "$(mxholdctl queue show --help)" 'show DOMAIN . ID .--limit NUMBER.' 'the usage of show has its option'
like "$alerts" '^ALERT +DOMAIN +LEVEL +SINCE +FOR +TEXT' 'alerts has a heading'
like "$alerts" '^outage +customer.example +- +20[-0-9]+ [0-9:]+ +[0-9ms]+  mail is held, the primary is down' 'and each that stands'
like "$(mxholdctl queue alerts --json)" '"alert": ?"outage", ?"domain": ?"customer.example", ?"level": ?0' 'as JSON too'
domains=$(mxholdctl primary status | sed -n 's/^\([^ ].*\): down .*/\1/p')
is "$domains" "$(printf '%s\n' "$domains" | LC_ALL=C sort)" 'primary status is in the order of names'
id=$(printf '%s\n' "$shown" | sed -n 's/^\([0-9A-Za-z]*\)  .*<anna@.*/\1/p')
both=$(printf '%s\n' "$shown" | sed -n 's/^\([0-9A-Za-z]*\)  .*<carl@.*/\1/p')
is "$(mxholdctl queue show "$both" --json | grep -c '"queue_id"')" 2 'show ID has each recipient of a message'
is "$(code mxholdctl queue show --limit 1 customer.example)" 0 'show can be bounded'
like "$(cat "$work/said")" 'and more' 'and says that there is more'
is "$(code mxholdctl queue show nothing.example)" 65 'show of what is not there'
is "$(code mxholdctl queue show ABCDEFGH)" 65 'of a message that is not there'
is "$(code mxholdctl queue show '../x')" 65 'of what is neither'
is "$(code mxholdctl primary status customer.example)" 75 'primary status: it is down'
is "$(code mxholdctl primary probe customer.example)" 75 'primary probe: it is down'
like "$(cat "$work/said")" 'customer.example: down' 'and it says so'
is "$(code mxholdctl primary probe nothing.example)" 65 'what is not watched is not probed'

# --- holding a domain
is "$(code mxholdctl queue hold customer.example)" 64 'a hold needs an end, or a word that there is none'
is "$(code mxholdctl queue hold customer.example --for 2)" 64 'a time needs its unit'
is "$(code mxholdctl queue hold customer.example --until '2001-01-01 00:00')" 64 'an end in the past'
for far in '--until 253402300800' '--until 9223372036854775806' '--until 9223372036854775807' \
	'--until 99999999999999999999' '--for 3000000d'; do
	# shellcheck disable=SC2086
	is "$(code mxholdctl queue hold customer.example $far)" 64 "an end beyond all bounds: $far"
	like "$(cat "$work/said")" 'after the year 9999: see --forever' 'and it says so'
done
is "$(code mxholdctl queue hold nobody.example --for 1h)" 65 'a domain without a row'
is "$(code mxholdctl queue hold customer.example --for 2h --reason 'new server' --silent)" 0 'a domain is held'
is "$(field customer.example hold)" operator 'list has it'
like "$(mxholdctl queue list)" 'customer.example .*operator till 20.*waits for the end of the hold' 'for people too'
like "$(mxholdctl queue show customer.example)" 'held by [^ ]+\(uid=0\) till 20.*, silent: new server' 'show says who, until when and why'
cat >"$work/ask.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
q = b"transport anna@customer.example"
s.send(b"%d:%s," % (len(q), q))
sys.exit(b"OK retry:4" not in s.recv(1000))
PY
try 'Postfix is told to keep it' wait_for 20 python3 "$work/ask.py" "$work/sock/map"
stop_queued
like "$(mxholdctl queue list 2>&1)" 'does not run; what it knew [0-9]+[sm].* ago' 'without mxhold-queued list tells from the state'
like "$(mxholdctl queue list 2>/dev/null)" 'customer.example +3 .*operator till' 'with the hold'
start queued
wait_for 60 answers
is "$(field customer.example hold)" operator 'the hold outlives a restart'
kill -KILL "$(ps -o pid= --ppid "$queued_pid" | tr -d ' ')"
sleep 0.3
wait_for 60 answers
is "$(field customer.example hold)" operator 'and a kill'
is "$(code mxholdctl queue flush customer.example)" 65 'what is on hold is not flushed'
is "$(cat "$work/said")" 'mxholdctl: mxhold-queued: an operator holds it: release it first' 'since an operator holds it'
is "$(code mxholdctl queue release customer.example)" 0 'it is released'
is "$(field customer.example hold)" none 'and not on hold'
is "$(code mxholdctl queue release customer.example)" 65 'what is not on hold is not released'
is "$(code mxholdctl queue flush customer.example)" 0 'flush'
stop_queued
start queued
wait_for 60 answers
is "$(field customer.example hold)" none 'a hold that was released does not come back'

is "$(code mxholdctl queue flush nothing.other.example)" 65 'where nothing is held there is nothing to flush'
is "$(cat "$work/said")" 'mxholdctl: mxhold-queued: nothing is held for it' 'it says so'
is "$(code mxholdctl queue flush nobody.example)" 65 'nor of a domain without a row'
is "$(cat "$work/said")" 'mxholdctl: mxhold-queued: no row speaks for this domain, and nothing is held for it' 'which is said'
submit soc hans@soc.example
ok "$(wait_for 60 field_is soc.example hold soc && echo 0 || echo 1)" 'what the SOC holds'
is "$(code mxholdctl queue flush soc.example)" 65 'is not flushed'
like "$(cat "$work/said")" 'the SOC holds it until 20[-0-9]+ [0-9:]+Z, by its row: only that row, in SQL, can end it' 'since the SOC holds it'
is "$(code mxholdctl queue hold soc.example --for 1h)" 0 'an operator holds it too'
is "$(code mxholdctl queue flush soc.example)" 65 'still'
like "$(cat "$work/said")" 'the SOC holds it until 20' 'it is the SOC: a release would not do'
is "$(code mxholdctl queue release soc.example)" 0 'it is released'
is "$(code mxholdctl queue drop soc.example --yes)" 0 'and dropped'

# --- a single message
is "$(code mxholdctl queue hold "$id" --reason test)" 0 'a message is held'
like "$(pf_queue "$pf" | grep "$id")" '"queue_name": "hold"' 'Postfix has it on hold'
is "$(code mxholdctl queue hold "$id" --for 1h)" 64 'a message has no end of its hold'
tells_hold() { mxholdctl queue show "$id" | grep -q '^ *on hold until it is released'; }
try 'show says so' wait_for 30 tells_hold
is "$(mxholdctl queue show customer.example --json | grep -c '"on_hold":true')" 1 'as JSON, of one message'
is "$(field customer.example on_hold)" 1 'list counts it'
like "$(mxholdctl queue list)" '^customer.example +3 .* 1 message ' 'for people too'
is "$(code mxholdctl queue flush customer.example)" 0 'flush leaves it where it is'
is "$(cat "$work/said")" '1 message stays on hold until it is released by its id' 'and says so'
is "$(code mxholdctl queue release customer.example)" 65 'the domain is not on hold'
like "$(cat "$work/said")" 'messages of it are on hold: release these by their ids' 'what is, it says'
is "$(code mxholdctl queue release "$id")" 0 'it is released'
tells_no_hold() { ! tells_hold; }
try 'and shown so' wait_for 30 tells_no_hold
is "$(pf_queue "$pf" | grep "$id" | grep -c '"hold"' || true)" 0 'Postfix has it no more on hold'

# --- who may
is "$(code as 64102 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue list)" 0 'another daemon may look'
is "$(code as 64102 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue hold customer.example --forever)" 69 'and not act'
is "$(code setpriv --reuid 65534 --regid 65534 --clear-groups "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue list)" 69 \
	'others may not even look'
like "$(cat "$work/said")" 'no permission' 'and are told so'
is "$(grep -c 'does not run' "$work/said" || true)" 0 'and nothing else'

# --- hostile clients
python3 - "$work/sock/queue-control" >"$work/hostile" <<'PY'
import os, socket, sys
path, crowd = sys.argv[1], []
def dial(patience=20):
    s = socket.socket(socket.AF_UNIX); s.settimeout(patience); s.connect(path); return s
def answer(data, patience=20):
    s = dial(patience)
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    got = b''
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            got += more
    except OSError:
        pass
    return got
bad = [b'\n', b'null\n', b'[]\n', b'{\n', b'{"do":1}\n', b'{"do":"what"}\n', b'{"do":"list","do":"list"}\n',
       b'{"do":"hold","domain":"customer.example"}\n', b'{"do":"hold","domain":"customer.example","until":1}\n',
       b'{"do":"hold","domain":"customer.example","until":"x"}\n', b'{"do":"show"}\n', b'{"do":"show","id":"ALL"}\n',
       b'{"do":"drop","id":"../../x"}\n', b'{"do":"drop","domain":"."}\n', b'{"do":"drop"}\n',
       b'{"do":"show","domain":"a\\u0000.example"}\n', b'{"do":"list","x":1}\n', b'\xff\xfe\n', b'{"do":"list"\x00}\n',
       b'{"do":"show","domain":"a.example","id":"ABCDEF"}\n', b'[' * 8000 + b'\n', b'{"do":"list","limit":-1}\n']
for line in bad:
    got = answer(line)
    if b'"end":true,"error":"' not in got:
        print('taken', line[:60], got[:200])
if b'too long' not in answer(b'A' * 1000000):
    print('a line without end')
answer(os.urandom(100000), 4)
answer((b'{"do":"list"}\n') * 20000, 4) # what it does not read puts off the rest
if answer(b'{"do":"ping"}\n' * 100).count(b'"error":null') != 100:
    print('a hundred requests on one connection')
for n in range(200):
    s = dial()
    if n % 2:
        s.send(b'{"do":')
    crowd.append(s)
for n in range(20):
    s = dial(); s.send(b'{"do":"watch"}\n'); crowd.append(s)
if b'"error":null' not in answer(b'{"do":"ping"}\n'):
    print('behind a crowd')
PY
is "$(cat "$work/hostile")" '' 'hostile clients are refused, and nobody else is kept waiting'
is "$(field customer.example messages)" 3 'nothing has changed'

# --- without the helper
acts() {
	grep -Ec 'event=operator do=(drop|hold) ' "$work/queued.log" || true
}
before=$(acts)
# shellcheck disable=SC2154 # start() assigned it
kill -TERM "$helper_pid"
wait_for 30 has_ended "$helper_pid"
for words in 'drop customer.example --yes' "drop $id --yes" "hold $id"; do
	# shellcheck disable=SC2086
	is "$(code mxholdctl queue $words)" 75 "without the helper: queue ${words%% *}"
	like "$(cat "$work/said")" 'the helper at .*/helper: .*: is mxhold-helper running\?' 'which says why, and what to do'
done
is "$(acts)" "$before" 'what was not done is not recorded'
is "$(field customer.example messages)" 3 'nothing was removed'
python3 -c '
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666); s.listen(8)
time.sleep(60)' "$work/sock/helper.mute" &
mute_pid=$!
wait_for 20 test -S "$work/sock/helper.mute"
mv "$work/sock/helper.mute" "$work/sock/helper"
is "$(code mxholdctl queue drop "$id" --yes)" 75 'a helper that does not answer'
like "$(cat "$work/said")" 'nothing is removed: the helper did not answer in time' 'is not waited for long'
kill "$mute_pid"
rm "$work/sock/helper"
is "$(acts)" "$before" 'nor is that recorded'
start helper
wait_for 30 test -S "$work/sock/helper"

# --- dropping
is "$(code mxholdctl queue drop customer.example)" 75 'drop asks, and without a terminal does nothing'
like "$(cat "$work/said")" '2 messages \([0-9]+ bytes\) would be removed' 'it says how many would go'
like "$(cat "$work/said")" '1 more stays' 'and how many would not'
is "$(field customer.example messages)" 3 'nothing was removed'
is "$(code mxholdctl queue drop nothing.example --yes)" 65 'where nothing is held there is nothing to drop'
is "$(code env SUDO_USER=alice "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue drop customer.example --yes --reason gone)" 0 \
	'with --yes it drops'
like "$(cat "$work/said")" '2 messages are being removed' 'two of them'
like "$(cat "$work/said")" '1 more stay' 'the one that another domain shares stays'
ok "$(wait_for 60 field_is customer.example messages 1 && echo 0 || echo 1)" 'they are gone'
is "$(pf_queue "$pf" | grep -c .)" 2 'from Postfix too'
cat >"$work/yes.py" <<'PY'
# yes.py COMMAND...: on a terminal; when it asks, $MEANWHILE is run, and the answer is y.
import os, pty, subprocess, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while True:
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    asked = b'[y/N]' in said
    said += more
    if b'[y/N]' in said and not asked:
        subprocess.run(['sh', '-c', os.environ['MEANWHILE']], check=True, stdin=subprocess.DEVNULL)
        os.write(fd, b'y\n')
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
submit asked anna@customer.example
ok "$(wait_for 60 field_is customer.example messages 2 && echo 0 || echo 1)" 'one more, besides the shared one'
# It is known before the answer is given.
cat >"$work/meanwhile" <<MEANWHILE
printf 'Subject: later\n\ntext\n' | MAIL_CONFIG=$pf/etc sendmail -C $pf/etc -f sender@example.org later@customer.example
n=0
until $BUILD/bin/mxholdctl -c $work/mxhold.conf queue show customer.example | grep -q '<later@'; do
	n=\$((n + 1)) && [ \$n -lt 300 ] && sleep 0.2
done
MEANWHILE
dropped=$(MEANWHILE="sh $work/meanwhile" timeout 120 python3 "$work/yes.py" "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" \
	queue drop customer.example </dev/null || echo "failed: $?")
like "$dropped" 'Remove 1 message \([0-9]+ bytes\) of customer.example for good' 'on a terminal drop asks'
like "$dropped" '1 message is being removed' 'and removes what it asked about'
no_asked() { ! mxholdctl queue show customer.example | grep -q '<anna@'; }
try 'which goes' wait_for 60 no_asked
is "$(field customer.example messages)" 2 'what came between question and answer stays'
later=$(mxholdctl queue show customer.example | sed -n 's/^\([0-9A-Za-z]*\)  .*<later@.*/\1/p')
is "$(code mxholdctl queue drop "$later" --yes)" 0 'until it is named'
ok "$(wait_for 60 field_is customer.example messages 1 && echo 0 || echo 1)" 'and gone'
is "$(grep "event=operator do=hold .*queue_id=$id" "$work/queued.log" | grep -c 'domain=customer.example')" 1 'an act on a message has its domain'
like "$(grep 'event=operator do=drop' "$work/queued.log")" 'by=.?alice\(uid=0\)' 'the log says who'
like "$(grep 'event=doing' "$work/helper.log")" 'why=removed by=alice\(uid=0\)' 'and the helper'\''s'
is "$(code mxholdctl queue drop "$both" --yes)" 0 'by its id the shared one goes'
ok "$(wait_for 60 field_is other.example messages 1 && echo 0 || echo 1)" 'for both domains'
last=$(mxholdctl queue show other.example --json | sed -n 's/.*"queue_id":"\([0-9A-Za-z]*\)".*/\1/p')

# --- subdomains are apart
submit sub gerd@a.other.example
ok "$(wait_for 60 field_is a.other.example messages 1 && echo 0 || echo 1)" 'a subdomain has held mail'
is "$(code mxholdctl queue hold other.example --for 1h)" 0 'a domain is held'
is "$(cat "$work/said")" 'subdomains are apart: 1 of them has held mail (1 message): a.other.example' 'it says that its subdomains are not'
is "$(field a.other.example hold)" none 'nor are they'
is "$(code mxholdctl queue release other.example)" 0 'it is released'
is "$(code mxholdctl queue drop other.example)" 75 'drop asks'
like "$(cat "$work/said")" 'subdomains are apart: 1 of them has held mail .1 message.: a.other.example' 'and says so too'
is "$(code mxholdctl queue hold nothing.other.example --for 1h)" 0 'of a domain below nothing is to be said'
is "$(cat "$work/said")" '' 'nor is it'
is "$(code mxholdctl queue release nothing.other.example)" 0 'it is released'
is "$(code mxholdctl queue drop a.other.example --yes)" 0 'the subdomain is dropped by its name'
ok "$(wait_for 60 field_is a.other.example messages '' && echo 0 || echo 1)" 'and gone'

submit below gerd@a.upper.example
ok "$(wait_for 60 field_is a.upper.example messages 1 && echo 0 || echo 1)" 'a domain whose subdomain alone has held mail'
is "$(code mxholdctl queue drop upper.example --yes)" 65 'nothing is to be dropped'
is "$(cat "$work/said")" 'subdomains are apart: 1 of them has held mail (1 message): a.upper.example
mxholdctl: mxhold-queued: nothing is held for it' 'but it says where there is'
is "$(code mxholdctl --json queue drop upper.example --yes)" 65 'so it does'
like "$(cat "$work/said")" '^[{]"apart": ?1, ?"apart_messages": ?1, ?"subdomains": ?."a.upper.example".}' 'as JSON'
submit deeper gerd@b.c.upper.example
ok "$(wait_for 60 field_is b.c.upper.example messages 1 && echo 0 || echo 1)" 'one below a name that has no row, and no mail'
is "$(code mxholdctl queue drop c.upper.example --yes)" 65 'nothing of that name is to be dropped'
is "$(cat "$work/said")" 'subdomains are apart: 1 of them has held mail (1 message): b.c.upper.example
mxholdctl: mxhold-queued: nothing is held for it' 'and where there is some is said of it as well'
is "$(code mxholdctl queue drop b.c.upper.example --yes)" 0 'it is dropped'
is "$(code mxholdctl queue drop a.upper.example --yes)" 0 'the subdomain is dropped'

is "$(printf '{"do":"mx","domain":"other.example"}\n{"do":"status"}\n{"do":"alerts"}\n' |
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read()); s.shutdown(socket.SHUT_WR)
got = b""
while True:
    more = s.recv(65536)
    if not more: break
    got += more
print(got.count(b"\"end\":true,\"error\":null"), b"caught_up" in got, b"\"alert\":\"outage\"" in got)' "$work/sock/queue-control")" \
	'3 True True' 'mx, status and alerts are answered on one connection'

# --- the helper fails after a drop was taken
submit late emil@other.example
ok "$(wait_for 60 field_is other.example messages 2 && echo 0 || echo 1)" 'one more message'
late=$(mxholdctl queue show other.example --json | sed -n 's/.*"queue_id":"\([0-9A-Za-z]*\)".*/\1/p' |
	grep -vxF "$(printf '%s\n' "$last")")
: >"$work/broken"
is "$(code env SUDO_USER=alice "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue drop "$late" --yes)" 0 'it is to be removed'
try 'the helper could not' wait_for 30 grep -q "event=not-taken-out queue_id=$late" "$work/queued.log"
stop_queued
start queued
wait_for 60 answers
is "$(field other.example messages)" 2 'it is still there'
rm "$work/broken"
ok "$(wait_for 90 field_is other.example messages 1 && echo 0 || echo 1)" 'it is removed when the helper can, also after a restart'
like "$("$BUILD/tests/collect" "$work/mxhold.conf" rows | grep "^$late ")" ' removed .* by=alice\(uid=0\)' 'in the name of who dropped it'

# --- a quota that is reached no more after a restart, when nothing is held of its row
smtp-source -s 2 -m 20 -f sender@example.org -t u@customer.example -l 300 127.0.0.1:10825
ok "$(wait_for 60 grep -q '"alert":"quota","domain":"customer.example"' "$work/alerts" && echo 0 || echo 1)" 'a quota is reached'
stop_queued
pf_queue "$pf" | sed -n '/customer.example/s/.*"queue_id": "\([0-9A-Za-z]*\)".*/\1/p' |
	pf_run "$pf" postsuper -c "$pf/etc" -d - 2>/dev/null
start queued
ok "$(wait_for 60 grep -q '"alert":"quota","domain":"customer.example".*"ended":true' "$work/alerts" && echo 0 || echo 1)" \
	'its end is told after a restart'

# --- many at once
smtp-source -s 4 -m 200 -f sender@example.org -t u@customer.example -l 300 127.0.0.1:10825
ok "$(wait_for 60 field_is customer.example messages 200 && echo 0 || echo 1)" '200 messages'
is "$(code mxholdctl queue drop customer.example --yes)" 0 'are dropped'
is "$(code mxholdctl queue hold "$last")" 0 'another message is held meanwhile'
ok "$(wait_for 15 field_is customer.example messages '' && echo 0 || echo 1)" 'they have left within 15 s'
is "$(code mxholdctl queue release "$last")" 0 'and the other one is released'

# --- watching
is "$(code mxholdctl primary watch nobody.example)" 65 'of a domain that is not known there is nothing to watch'
is "$(cat "$work/said")" 'mxholdctl: mxhold-queued: no row speaks for this domain, and nothing is held for it' 'it says so'
code_of_watch() { # DOMAIN: 124 where it waits
	timeout 3 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" primary watch "$1"
}
is "$(code code_of_watch upper.example)" 124 'one with a row is waited for, though nothing is held for it'
is "$(code code_of_watch new.upper.example)" 124 'so is one below such a row'

# --- the primary comes back
mxholdctl primary watch other.example >"$work/watched" 2>&1 &
watches() { grep -q " 03 .*/queue-control" /proc/net/unix; } # taken by mxhold-queued
try 'primary watch is there' wait_for 30 watches
"$BUILD/tests/tools/primary" -c "$work/control" -d "$work/store" -l "$work/ledger" 203.0.113.25:25 >"$work/primary.log" 2>&1 &
ok "$(wait_for 60 grep -q '"alert":"outage","domain":"other.example".*"ended":true' "$work/alerts" && echo 0 || echo 1)" \
	'the end of the outage is told, with its duration'
like "$(grep 'other.example.*"ended":true' "$work/alerts")" '"duration":[0-9]+' 'in seconds'
ok "$(wait_for 60 grep -q . "$work/ledger" && echo 0 || echo 1)" 'the primary gets the message'
is "$(grep -c . "$work/ledger")" 1 'once'
try 'primary watch has seen it' wait_for 20 grep -q 'other.example: up' "$work/watched"
is "$(code mxholdctl queue list)" 0 'list with nothing to list'

# --- dropped while the primary keeps smtp(8) waiting: what that says later changes nothing
"$BUILD/tests/tools/primary" -C "$work/control" at end stall >/dev/null
submit stalled fritz@other.example
tells_stalled() { mxholdctl queue show other.example | grep -q '<fritz@'; }
try 'a message that the primary does not answer is shown' wait_for 60 tells_stalled
stalled=$(mxholdctl queue show other.example | sed -n 's/^\([0-9A-Za-z]*\)  .*<fritz@.*/\1/p')
is "$(code mxholdctl queue drop "$stalled" --yes)" 0 'it is dropped'
ok "$(wait_for 60 grep -q "postsuper.* $stalled: removed" "$pf/log/mail.log" && echo 0 || echo 1)" 'and removed'
ok "$(wait_for 90 grep -q " $stalled: to=<fritz@other.example>.*status=deferred" "$pf/log/mail.log" && echo 0 || echo 1)" \
	'then its delivery fails'
sleep 3 # that line is read
is "$(field other.example messages)" '' 'it is not held anew'
like "$("$BUILD/tests/collect" "$work/mxhold.conf" rows | grep "^$stalled ")" ' removed .* by=[^ ]+\(uid=0\)' 'nor is its row another'
stop_queued
is "$(grep -l 'Sanitizer' "$work"/*.log || true)" '' 'no sanitizer has complained'
tap_done
