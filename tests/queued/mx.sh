#!/bin/sh
# mxhold-queued reads MX records from a real DNS (NSD behind unbound), as a user of its own below a directory of another's,
# and mxhold-policyd refuses by rule 8 what they do not name, and takes it again: never on a first look, never for DNS that
# does not answer, and not when mxhold-queued is dead for longer than a fact counts.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"

BUILD=${BUILD:-build}
ctl=$BUILD/bin/mxholdctl
work=$(mktemp -d /tmp/mxq.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"
ip addr add 192.0.2.11/32 dev lo

mkdir "$work/sock"
cat >"$work/rows" <<'ROWS'
relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11
customer acme regions=eu
domain good.example acme
domain missing.example acme
domain dark.example acme
domain fenced.example acme
domain stopped.example acme suspended
domain sts.example acme
domain stsout.example acme
domain stsslow.example acme
domain stsnear.example acme
domain stsself.example acme
ROWS
relay_state "$work/state"
: >"$work/maillog"
relay_conf '[fence]' 'allow = 127.0.0.3, 198.51.100.0/24'

cat >"$work/example.zone" <<'ZONE'
$ORIGIN example.
$TTL 1
@ SOA ns hostmaster 1 60 60 600 1
@ NS ns
ns A 127.0.0.2
eu.mx.backup A 192.0.2.11
good MX 10 mail.good
good MX 20 eu.mx.backup
good MX 30 mail.good
mail.good A 198.51.100.25
missing MX 10 mail.missing
mail.missing A 198.51.100.26
_mta-sts.missing TXT "v=STSv1; id=1;"
fenced MX 10 mail.fenced
fenced MX 20 eu.mx.backup
fenced MX 30 mail.fenced
mail.fenced A 10.0.0.1
dark NS ns.dark
ns.dark A 127.0.0.9
ZONE
for name in sts stsout stsslow stsnear stsself; do
	printf '%s MX 10 mail.%s\n%s MX 20 eu.mx.backup\n%s MX 30 mail.%s\nmail.%s A 198.51.100.25\n' \
		"$name" "$name" "$name" "$name" "$name" "$name"
	printf '_mta-sts.%s TXT "v=STSv1; id=1;"\n' "$name"
done >>"$work/example.zone"
# stsnear's is in a network that is no relay's business, stsself's is the relay itself
printf 'mta-sts.%s A %s\n' sts 127.0.0.3 stsout 127.0.0.3 stsslow 127.0.0.3 stsnear 127.0.0.4 stsself 192.0.2.11 >>"$work/example.zone"
cat >"$work/nsd.conf" <<CONF
server:
	ip-address: 127.0.0.2
	username: ""
	chroot: ""
	zonesdir: "$work"
	database: ""
	pidfile: ""
	xfrdfile: "$work/xfrd"
	xfrdir: "$work"
	zonelistfile: "$work/zones"
remote-control:
	control-enable: no
zone:
	name: "example."
	zonefile: "example.zone"
CONF
nsd_start() {
	nsd -d -c "$work/nsd.conf" >>"$work/nsd.log" 2>&1 &
	nsd_pid=$!
}
nsd_start
cat >"$work/unbound.conf" <<CONF
server:
	interface: 127.0.0.1
	username: ""
	chroot: ""
	pidfile: ""
	use-syslog: no
	logfile: ""
	do-not-query-localhost: no
	module-config: "iterator"
	do-ip6: no
	cache-max-ttl: 1
	cache-max-negative-ttl: 1
stub-zone:
	name: "example."
	stub-addr: 127.0.0.2
CONF
unbound -d -c "$work/unbound.conf" >"$work/unbound.log" 2>&1 &

# --- the web server of MTA-STS policies: it writes down whom it was asked for, and never answers for stsslow
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout "$work/ca.key" \
	-out "$work/ca.crt" 2>>"$work/openssl.log"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=web -keyout "$work/web.key" -out "$work/web.csr" \
	2>>"$work/openssl.log"
printf 'subjectAltName = DNS:mta-sts.sts.example, DNS:mta-sts.stsout.example, DNS:mta-sts.stsslow.example, DNS:mta-sts.stsnear.example, DNS:mta-sts.stsself.example\n' \
	>"$work/web.ext"
openssl x509 -req -in "$work/web.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
	-extfile "$work/web.ext" -out "$work/web.crt" 2>>"$work/openssl.log"
mount --bind "$work/ca.crt" /etc/ssl/certs/ca-certificates.crt
cat >"$work/web.py" <<'PYTHON'
import http.server, ssl, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.headers["Host"].split(".")[1]
        with open(sys.argv[1] + "/asked", "a") as asked:
            asked.write(name + self.path + "\n")
        if name == "stsslow":
            time.sleep(60)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"version: STSv1\nmode: enforce\nmax_age: 86400\nmx: mail.%s.example\n" % name.encode())
        if name == "sts":
            self.wfile.write(b"mx: *.mx.backup.example\n")

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/web.crt", sys.argv[1] + "/web.key")
server = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
PYTHON
: >"$work/asked"
python3 "$work/web.py" "$work" >"$work/web.log" 2>&1 &
web_up() { openssl s_client -connect 127.0.0.3:443 </dev/null >/dev/null 2>&1; }
try 'the web server is there' wait_for 30 web_up
echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf
# A row whose first reading finds no DNS is left alone for half a minute.
try 'so is the DNS' wait_for 30 getent hosts mail.good.example

"$BUILD/bin/mxhold-policyd" -f -c "$work/mxhold.conf" 2>"$work/policyd.log" &
policyd_up() { [ -S "$work/sock/policy" ]; }
try 'policyd is there' wait_for 30 policyd_up
queued_start() {
	"$BUILD/bin/mxhold-queued" -f -c "$work/mxhold.conf" 2>>"$work/queued.log" &
	queued_pid=$!
}
began=$(date +%s)
queued_start

# answer DOMAIN: what policyd says to a recipient there; the asker ends when it has the answer
answer() {
	printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\nsender=a@b.example\nrecipient=u@%s\n\n' "$1" |
		timeout 20 "$BUILD/tests/tools/asker" raw "$work/sock/policy" -s -w 10000 2>/dev/null
}
# fact DOMAIN: what the state says of its MX records, as it counts now
fact() {
	timeout 20 "$ctl" -c "$work/mxhold.conf" domain check "$1" --json |
		python3 -c 'import json, sys; q = json.load(sys.stdin).get("queue"); print(q["mx"] if q else "none")'
}
# within SECONDS COMMAND...: until it succeeds
within() {
	within_left=$(($1 * 2))
	shift
	while ! "$@"; do
		within_left=$((within_left - 1))
		[ "$within_left" -gt 0 ] || return 1
		sleep 0.5
	done
}
says() { answer "$1" | grep -q -- "$2"; }
fact_is() { [ "$(fact "$1")" = "$2" ]; }
test_of() { # TEXT COMMAND...
	test_text=$1
	shift
	if "$@"; then
		ok 0 "$test_text"
	else
		ok 1 "$test_text"
		tail -n 15 "$work/queued.log" | sed 's/^/# queued: /'
		tail -n 5 "$work/policyd.log" | sed 's/^/# policyd: /'
	fi
}

test_of 'policyd answers' within 30 says good.example 'action=defer_unauth_destination'
test_of 'a domain that names this relay is read' within 40 fact_is good.example named
# The second look comes 5 s after the first, which a slow machine may have spent in coming here.
taken_at_first() { says missing.example 'action=defer_unauth_destination' || [ $(($(date +%s) - began)) -ge 5 ]; }
test_of 'what does not is taken until it was looked at twice' taken_at_first
test_of 'then it is known' within 40 fact_is missing.example 'not named'
test_of 'and refused for now, by rule 8' within 20 says missing.example 'action=450 4.7.1 This host is not a mail exchanger'
test_of 'the other is taken' says good.example 'action=defer_unauth_destination'
test_of 'DNS that does not answer refuses nothing' says dark.example 'action=defer_unauth_destination'

# --- MTA-STS: the watch reads policies too, and what they lack does not keep it from the rest
alerted() { grep -q "event=alert alert=mx domain=$1 .*$2" "$work/queued.log"; }
asked_for() { grep -q "^$1/.well-known/mta-sts.txt$" "$work/asked"; }
test_of 'an alert tells of the domain that is not named' within 20 alerted missing.example ''
test_of 'and of one whose server no relay may connect to' within 30 alerted fenced.example '10.0.0.1 .private address'
test_of 'an MTA-STS policy that leaves the relay out: an alert' within 30 alerted stsout.example 'leaves eu.mx.backup.example out'
test_of 'a good policy was read as well' within 30 asked_for sts
test_of 'with it the domain is as it should be' within 30 fact_is sts.example named
if alerted sts.example ''; then ok 1 'and raises no alert'; else ok 0 'and raises no alert'; fi
test_of 'a policy that hangs: the rest is judged' within 60 fact_is stsslow.example named
test_of 'it was asked for' asked_for stsslow
test_of 'a policy beyond the fence: the rest is judged' within 30 fact_is stsnear.example named
if asked_for stsnear; then ok 1 'it is not fetched'; else ok 0 'it is not fetched'; fi
test_of 'nor may a customer have us ask our own web server' within 30 fact_is stsself.example named
if asked_for stsself; then ok 1 'it is not asked'; else ok 0 'it is not asked'; fi


# --- a row that is gone is not read any more, and its alert ends all the same
printf 'delete domain stsout.example\n' |
	"$BUILD/tests/tools/mksnapshot" -u -r eu1 -g 64100 "$work/state" -
ended() { grep -q "event=alert-ended alert=mx domain=$1 " "$work/queued.log"; }
test_of 'the alert of a row that was deleted ends' within 40 ended stsout.example
if ended missing.example; then ok 1 'that of another stands'; else ok 0 'that of another stands'; fi

stores=$work/state/queued
is "$(stat -c '%a %u %g' "$stores")" '750 64104 64100' 'what mxhold-queued keeps lies in a folder of its own user'
is "$(stat -c '%a %u %g' "$stores/state")" '750 64104 64100' 'the state too'
is "$(stat -c '%a %u:%g' "$work/sock/queue-ask")" '660 0:64100' 'policyd may ask'
is "$(stat -c '%a %u' "$work/state/policyd")" '700 64102' 'and has a directory of its own'

# --- LMDB's lock: without it the next reader takes itself for the only user, and a commit may be lost
# has_lock FOLDER: does the process that writes there (the parent does not) hold a lock on its lock.mdb?
has_lock() { # STORE
	lock_of=$(stat -c %i "$stores/$1/lock.mdb")
	for child in $(pgrep -P "$queued_pid"); do
		! grep -Eq "POSIX .* $child [0-9a-f:]+:$lock_of " /proc/locks || return 0
	done
	return 1
}
test_of 'LMDB has its lock on the state' has_lock state
test_of 'and on the spool' has_lock spool
readers() { # as many as there may be, while the writer commits
	for _ in 1 2 3 4 5 6 7 8; do
		fact good.example >/dev/null
		timeout 20 "$ctl" -c "$work/mxhold.conf" queue list >/dev/null 2>&1 || true
	done
}
readers
kill -HUP "$queued_pid"
sleep 1
test_of 'and on the state after readers and SIGHUP' within 30 has_lock state
test_of 'and on the spool' within 30 has_lock spool

# --- queued dies, and comes again
kill -KILL "$queued_pid"
wait "$queued_pid" 2>/dev/null || true
test_of 'mxhold-queued killed: what it knew counts for its time' within 10 says missing.example 'action=450 4.7.1 '
queued_start
test_of 'a new one goes on from there' within 40 fact_is missing.example 'not named'

# --- the state is damaged, or goes away: nothing is refused for it, and it is made anew
head -c 65536 /dev/urandom | dd of="$stores/state/data.mdb" conv=notrunc 2>/dev/null
test_of 'a damaged state refuses nothing' within 10 says missing.example 'action=defer_unauth_destination'
test_of 'policyd lives' says good.example 'action=defer_unauth_destination'
test_of 'it is made anew, and the fact comes back' within 60 fact_is missing.example 'not named'
rm -f "$stores/state/data.mdb" "$stores/state/lock.mdb"
test_of 'files that are removed: nothing is refused' within 10 says missing.example 'action=defer_unauth_destination'
test_of 'and it is made anew' within 60 fact_is missing.example 'not named'
test_of 'LMDB has its lock on the new one' within 30 has_lock state

# --- the spool is damaged: its user sets it aside, below a directory of another's, and goes on
kill -KILL "$queued_pid"
wait "$queued_pid" 2>/dev/null || true
head -c 65536 /dev/urandom | dd of="$stores/spool/data.mdb" conv=notrunc 2>/dev/null
queued_start
is_aside() { [ -f "$stores/spool.damaged.1/data.mdb" ] && has_lock spool; }
test_of 'a damaged spool is set aside and made anew' within 60 is_aside
told_aside() { grep -q 'event=alert alert=spool-damaged' "$work/queued.log"; }
test_of 'an alert says so' within 30 told_aside
test_of 'LMDB has its lock on the state' within 30 has_lock state

# --- the customer mends his zone; garbage on the socket does no harm
head -c 300 /dev/urandom | timeout 20 python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in (sys.stdin.buffer.read(), b"", b"\n", b"x" * 60000, b"good.example\n", b"nobody.example\n", b"primary \n", b"primary good.example\n", b"primary nobody.example\n", b"a\0b.example\n"):
    s.sendto(text, sys.argv[1])' "$work/sock/queue-ask"
# demand DOMAIN: an operator wants it read now; prints the answer's last line
demand() {
	timeout 20 python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"do\":\"mx\",\"domain\":\"%s\"}\n" % sys.argv[2].encode())
print(s.makefile().readline().strip())' "$work/sock/queue-control" "$1"
}
demanded() { demand "$1" | grep -q '"error": *null'; }
# The alert that stood before went with the spool.
alerted_again() { # it was read at least once more
	demanded missing.example && sleep 1 && [ "$(grep -c 'event=alert alert=mx domain=missing.example' "$work/queued.log")" -gt "$alerts" ]
}
alerts=$(grep -c 'event=alert alert=mx domain=missing.example' "$work/queued.log")
test_of 'what is wrong is told again' within 60 alerted_again
sed -i 's/^missing MX 10 mail.missing$/&\nmissing MX 20 eu.mx.backup\nmissing MX 30 mail.missing/; s/hostmaster 1 /hostmaster 2 /' \
	"$work/example.zone"
kill -TERM "$nsd_pid"
wait "$nsd_pid" 2>/dev/null || true
nsd_gone() { [ -z "$(ss -Hltn src 127.0.0.2)" ]; } # the process that was started is not the last one that listens
test_of 'the name server has ended' within 20 nsd_gone
nsd_start
test_of 'a reading on demand' within 20 demanded missing.example
mended() { # what was read before the server was there again tells nothing: once more
	"$ctl" -c "$work/mxhold.conf" mx check missing.example >"$work/checked" 2>&1 || true
	grep -q '^mxhold-queued reads them anew now' "$work/checked" && sleep 1 && fact_is missing.example named
}
refuses() { demand "$1" | grep -q '"error": *"its MX records are not read'; }
test_of 'none for a domain that nobody authorised' within 20 refuses nobody.example
test_of 'nor for one that takes no mail' within 20 refuses stopped.example
test_of 'mxholdctl mx check has the mended zone read: named' within 60 mended
test_of 'the alert ends, though its MTA-STS policy cannot be read' within 30 ended missing.example
test_of 'and taken' within 20 says missing.example 'action=defer_unauth_destination'
test_of 'mxhold-queued is still the one that was started' kill -0 "$queued_pid"
tap_done
