#!/bin/sh
# mxholdctl mx check against a real DNS (NSD behind unbound) and a real web server for MTA-STS, in namespaces of its own:
# what is right, each kind of fault, what cannot be told, and the words and lines that it prints.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"

BUILD=${BUILD:-build}
ctl=$BUILD/bin/mxholdctl
work=$(mktemp -d /tmp/mxm.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"

# --- the authority's rows
mkdir "$work/state"
{
	cat <<-'ROWS'
		relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11,2001:db8::11
		relay hk1 hk names=hk.mx.backup.example addresses=192.0.2.12
		relay us1 us names=us.mx.backup.example addresses=192.0.2.13
		customer acme regions=eu,hk
		domain wide.example acme subdomains
		domain apex.example acme subdomains
		domain bare.example acme subdomains unchecked
		domain hop.example acme hops=eu.mx.backup.example
		domain xn--bcher-kva.example acme
	ROWS
	for name in good missing equal first null nodata gone cname literal alias region noaddress dark large \
		fenced fencedhop many turns widening \
		sts stsout stsadd ststest stshtml sts404 stsmoved stswrong stsslow stslong stsgone stsnear; do
		case $name in *hop) echo "domain $name.example acme hops=[198.51.100.25]:25" ;; *) echo "domain $name.example acme" ;; esac
	done
} >"$work/rows"
"$BUILD/tests/tools/mksnapshot" -r eu1 "$work/state" "$work/rows"
cat >"$work/mxhold.conf" <<CONF
[relay]
name = eu1
region = eu
public_addresses = 192.0.2.11
[fence]
allow = 127.0.0.3, 198.51.100.0/24
[paths]
state_dir = $work/state
socket_dir = $work/sock
CONF

# --- the DNS: NSD at 127.0.0.2, unbound before it at 127.0.0.1; what lies below dark.example is at an address without a server
set_of() { # NAME: the set that is right
	printf '%s MX 10 mail.%s\n%s MX 20 eu.mx.backup\n%s MX 20 hk.mx.backup\n%s MX 30 mail.%s\nmail.%s A 198.51.100.25\n' \
		"$1" "$1" "$1" "$1" "$1" "$1" "$1"
}
{
	cat <<-'ZONE'
		$ORIGIN example.
		$TTL 60
		@ SOA ns hostmaster 1 60 60 600 60
		@ NS ns
		ns A 127.0.0.2
		eu.mx.backup A 192.0.2.11
		eu.mx.backup AAAA 2001:db8::11
		hk.mx.backup A 192.0.2.12
		us.mx.backup A 192.0.2.13
		missing MX 10 mail.missing
		sub.bare MX 10 mail.missing
		bare MX 10 mail.missing
		mail.missing A 198.51.100.25
		equal MX 20 mail.equal
		equal MX 20 eu.mx.backup
		equal MX 20 hk.mx.backup
		mail.equal A 198.51.100.25
		first MX 10 eu.mx.backup
		first MX 10 hk.mx.backup
		first MX 20 mail.first
		mail.first A 198.51.100.25
		null MX 0 .
		nodata A 198.51.100.25
		cname CNAME good
		literal MX 10 198.51.100.25.
		alias MX 10 mail.alias
		alias MX 20 relay.alias
		alias MX 20 hk.mx.backup
		alias MX 30 mail.alias
		mail.alias A 198.51.100.25
		relay.alias CNAME eu.mx.backup
		noaddress MX 10 nobody.noaddress
		dark NS ns.dark
		ns.dark A 127.0.0.9
	ZONE
	for name in good wide hop xn--bcher-kva region sts stsout ststest stshtml sts404 stsmoved stswrong stsslow stslong stsgone stsnear; do
		set_of "$name"
	done
	set_of sub.apex
	echo 'apex A 198.51.100.25'
	echo 'region MX 20 us.mx.backup'
	set_of large
	for n in 1 2 3 4 5 6 7 8; do
		host="$n-is-a-host-with-quite-a-long-name-of-at-least-sixty-octets"
		printf 'large MX 15 %s.elsewhere%s\n%s.elsewhere%s A 198.51.100.26\n' "$host" "$n" "$host" "$n"
	done
	for n in $(seq 10 79); do # six more than are read
		printf 'many MX 15 m%s.many\nm%s.many A 198.51.100.26\n' "$n" "$n"
	done
	for n in 1 2 3 4; do # servers answer in turns
		printf 'turns MX 10 t%s.turns\nt%s.turns A 198.51.100.26\n' "$n" "$n"
	done
	for n in 1 2 3 4 5; do
		host="$n-is-a-host-with-quite-a-long-name-of-at-least-sixty-octets"
		printf 'widening MX 15 %s.elsewhere%s\n' "$host" "$n"
	done
	set_of many
	for name in fenced fencedhop; do # no relay may deliver there
		set_of "$name" | sed 's/A 198.51.100.25/A 127.0.0.1/'
		echo "mail.$name A 10.0.0.1"
	done
	printf 'stsadd MX 10 mail.stsadd\nmail.stsadd A 198.51.100.25\n'
	for name in sts stsout stsadd ststest stshtml sts404 stsmoved stswrong stsslow stslong; do
		printf '_mta-sts.%s TXT "v=STSv1; id=1;"\nmta-sts.%s A 127.0.0.3\n' "$name" "$name"
	done
	printf '_mta-sts.stsnear TXT "v=STSv1; id=1;"\nmta-sts.stsnear A 127.0.0.4\nmta-sts.stsnear A 192.0.2.11\n' # a neighbour, and this relay
	printf '_mta-sts.stsgone TXT "v=STSv1; id=1;"\n' # no such web server
} >"$work/example.zone"
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
nsd -d -c "$work/nsd.conf" >"$work/nsd.log" 2>&1 &
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
stub-zone:
	name: "example."
	stub-addr: 127.0.0.2
CONF
unbound -d -c "$work/unbound.conf" >"$work/unbound.log" 2>&1 &
echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf

# --- the web server, with a certificate for all but one of its names
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout "$work/ca.key" \
	-out "$work/ca.crt" 2>>"$work/openssl.log"
names=
for name in sts stsout stsadd ststest stshtml sts404 stsmoved stsslow stslong; do
	names="$names${names:+,}DNS:mta-sts.$name.example"
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=web -keyout "$work/web.key" -out "$work/web.csr" \
	2>>"$work/openssl.log"
printf 'subjectAltName = %s\n' "$names" >"$work/web.ext"
openssl x509 -req -in "$work/web.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
	-extfile "$work/web.ext" -out "$work/web.crt" 2>>"$work/openssl.log"
mount --bind "$work/ca.crt" /etc/ssl/certs/ca-certificates.crt
cat >"$work/web.py" <<'PYTHON'
import http.server, ssl, sys, time

HEAD = "version: STSv1\nmax_age: 86400\n"
POLICY = {
    "sts": HEAD + "mode: enforce\nmx: mail.sts.example\nmx: *.mx.backup.example\n",
    "stsout": HEAD + "mode: enforce\nmx: mail.stsout.example\n",
    "stsadd": HEAD + "mode: enforce\nmx: mail.stsadd.example\n",
    "ststest": HEAD + "mode: testing\nmx: mail.ststest.example\nmx: eu.mx.backup.example\n",
    "stshtml": "<html><body>welcome</body></html>\n",
    "stslong": HEAD + "mode: none\n" + "x: y\n" * 20000,
}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.headers["Host"].split(".")[1]
        if name == "stsslow":
            time.sleep(60)
        if name == "stsmoved":
            self.send_response(302)
            self.send_header("Location", "https://mta-sts.sts.example/.well-known/mta-sts.txt")
            self.end_headers()
            return
        good = name in POLICY and self.path == "/.well-known/mta-sts.txt"
        self.send_response(200 if good else 404)
        self.end_headers()
        if good:
            self.wfile.write(POLICY[name].encode())

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/web.crt", sys.argv[1] + "/web.key")
server = http.server.ThreadingHTTPServer(("127.0.0.3", 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
PYTHON
python3 "$work/web.py" "$work" >"$work/web.log" 2>&1 &

# check [-x] ARGUMENT...: sets $out (both streams) and $code
check() {
	code=0
	out=$(timeout 60 "$ctl" -c "$work/mxhold.conf" mx check "$@" 2>&1) || code=$?
}
ready() { check good.example && [ "$code" -eq 0 ]; }
web_up() { openssl s_client -connect 127.0.0.3:443 </dev/null; }
try 'the DNS is there' wait_for 30 ready
try 'so is the web server' wait_for 30 web_up

# expect CODE ERE TEXT ARGUMENT...: the exit code and a line of what it prints
expect() {
	expect_code=$1 expect_ere=$2 expect_text=$3
	shift 3
	check "$@"
	if [ "$code" -eq "$expect_code" ] && printf '%s\n' "$out" | grep -Eq -- "$expect_ere"; then
		ok 0 "$expect_text"
	else
		ok 1 "$expect_text"
		note "exit code $code, expected $expect_code; looked for: $expect_ere"
		note "$out"
	fi
}

# within SECONDS: since $began
within() {
	took=$(($(date +%s) - began))
	if [ "$took" -le "$1" ]; then ok 0 "within its deadline ($took s)"; else ok 1 "within its deadline ($took s)"; fi
}

# --- as it should be
expect 0 '^good.example: the MX records are as they should be' 'a set that is right' good.example
like "$out" '^    +10 mail.good.example +customer.s server +as expected' 'row by row'
like "$out" '^    +20 eu.mx.backup.example +this relay +as expected' 'this relay in it'
like "$out" 'exempt these relays' 'whom to exempt'
like "$out" '^  192.0.2.11 2001:db8::11 192.0.2.12$' 'the relays of his regions, each address once'
like "$out" '^  ip4:192.0.2.11 ip6:2001:db8::11 ip4:192.0.2.12$' 'as terms of SPF'
like "$out" 'MTA-STS policy: absent' 'no MTA-STS'
case $out in *'Lines for the zone'*) ok 1 'nothing to paste' ;; *) ok 0 'nothing to paste' ;; esac
expect 0 'as they should be' 'in capitals, with a dot' GOOD.Example.
expect 0 'xn--bcher-kva.example' 'an IDN as it is typed' bücher.example
expect 1 'no-such-domain' 'a subdomain of a row counts by itself' sub.wide.example
like "$out" '^sub.wide.example is a name below the row wide.example' 'it is said that it is one'
like "$out" 'row.s own name only .it is not known here whether they name this relay' 'that only the row is watched, of which nothing was read'
expect 0 'as they should be' 'one whose own set is right, below a row whose is not' sub.apex.example
like "$out" 'row.s own name only ' 'the row decides nothing about it'

expect 1 'relay-not-named: .*senders do not find it .rule 8 defers no mail that comes: it judges the row.s own name only' \
	'of a name below a row that names no relay it is not said that its mail is not taken' --no-reread sub.bare.example
like "$out" 'rule 8 defers no mail' 'as the last lines say'
case $out in *'takes no mail'*) ok 1 'nor anywhere else' ;; *) ok 0 'nor anywhere else' ;; esac
expect 1 'relay-not-named: .*senders do not find it .rule 8 defers no mail that comes: mx_check is off' \
	'nor of a row with mx_check off' --no-reread bare.example
case $out in *'takes no mail'*) ok 1 'neither there' ;; *) ok 0 'neither there' ;; esac

# --- faults
expect 1 'relay-not-named: no MX record names this relay \(eu.mx.backup.example\).*: it takes no mail for this domain' 'not named' missing.example
like "$out" '^  \+ +20 eu.mx.backup.example +this relay +not found' 'the row that is missing'
like "$out" '^  missing.example. IN MX 10 mail.missing.example.$' 'the lines to paste: his server first'
like "$out" '^  missing.example. IN MX 20 hk.mx.backup.example.$' 'the relays between'
like "$out" '^  missing.example. IN MX 30 mail.missing.example.$' 'his server last'
expect 1 'equal-preference: .*so mail stays until it expires' 'his server and the relay at one preference' equal.example
like "$out" '^  - +20 mail.equal.example +customer.s server +not expected|^    +20 mail.equal.example' 'it is shown'
expect 1 'primary-not-first' 'the relay stands first' first.example
expect 1 'null-mx: ' 'a null MX' null.example
expect 1 'no-mx: .*own address' 'no MX but an address' nodata.example
like "$out" '^  nodata.example. IN MX 10 nodata.example.$' 'which is proposed as his server'
expect 1 'no-such-domain' 'no such domain' gone.example
like "$out" "NAME-OF-THE-CUSTOMER'S-SERVER" 'nobody knows his server: a line to fill in'
expect 1 'domain-is-alias: .* of good.example' 'an alias' cname.example
expect 1 'target-no-host: .*198.51.100.25' 'an address as target' literal.example
expect 1 'target-is-alias: .*relay.alias.example' 'a target that is an alias' alias.example
like "$out" '^  alias.example. IN MX 20 eu.mx.backup.example.$' 'proposed as what it leads to'
expect 1 'region-not-permitted: us.mx.backup.example' 'a relay of another region' region.example
like "$out" '^  - +20 us.mx.backup.example +relay of another region' 'which is to be removed'
expect 1 'target-without-address: .*nobody.noaddress.example' 'a target without address' noaddress.example
expect 1 'answer-too-large: .*bytes' 'an answer that is too large' large.example
like "$out" 'bytes of DNS answer; . to add' 'of all records'
expect 1 'error +target-fenced: no relay may connect to mail.fenced.example: ' 'a server that no relay may connect to' fenced.example
like "$out" 'target-fenced: .*127.0.0.1 .loopback address.' 'for its one address'
like "$out" 'target-fenced: .*10.0.0.1 .private address.' 'and for the other'
expect 0 'as they should be' 'the row has next hops: these count' fencedhop.example
expect 1 'proposal-too-large: .*would take [0-9]+ bytes' 'lines to paste that are too large' widening.example
case $out in *answer-too-large*) ok 1 'the records are not, yet' ;; *) ok 0 'the records are not, yet' ;; esac
expect 1 'too-many-records: .*than the 64 that are read' 'more records than are read' many.example
case $out in
*relay-missing* | *'Lines for the zone'* | *'not expected'*) ok 1 'nothing is claimed of the others, nothing proposed' && note "$out" ;;
*) ok 0 'nothing is claimed of the others, nothing proposed' ;;
esac
expect 1 '^  turns.example. IN MX 30 t1.turns.example.$' 'of equal servers the first by name comes last again' turns.example
first=$out same=0
for n in 1 2 3 4 5 6; do
	check turns.example
	[ "$out" = "$first" ] || same=1
done
ok "$same" 'at each call the same'
expect 1 'next-hop-refused: .*eu.mx.backup.example: name of a relay' 'a next hop that is a relay' hop.example

# --- MTA-STS
expect 0 'MTA-STS policy: enforce' 'a policy that names the relays' sts.example
expect 1 'error +mta-sts-leaves-relay-out: .*add .mx: eu.mx.backup.example' 'an enforced policy that leaves them out' stsout.example
expect 1 'warning +mta-sts-leaves-relay-out: .*add .mx: eu.mx.backup.example. to it before' 'relays that are to be named: first in the policy' \
	stsadd.example
like "$out" 'warning +mta-sts-leaves-relay-out: .*add .mx: hk.mx.backup.example. to it before' 'each of them'
expect 1 'warning +mta-sts-leaves-relay-out: .*hk.mx.backup.example' 'a policy in testing' ststest.example
expect 1 'mta-sts-broken: .*no version' 'a page that is no policy' stshtml.example
expect 1 'mta-sts-broken: .*answers 404' 'no page' sts404.example
expect 1 'mta-sts-broken: .*answers 302' 'a redirect is not followed' stsmoved.example
expect 1 'mta-sts-broken: ' 'a certificate of another name' stswrong.example
expect 1 'mta-sts-broken: .*longer than 64 KiB' 'a page without end' stslong.example
began=$(date +%s)
expect 75 'mta-sts-unreadable: ' 'a web server that says nothing: it cannot be told' stsslow.example
within 40 # it would answer after 60
expect 75 'mta-sts-unreadable: ' 'no web server' stsgone.example
expect 75 'mta-sts-unreadable: .*no address that a relay may connect to' 'one that the fence keeps relays from is not asked' stsnear.example

# --- what cannot be told, and wrong calls
began=$(date +%s)
expect 75 'dns-unreadable' 'DNS that does not answer: it cannot be told' dark.example
within 40
expect 75 'dns-unreadable' 'a server that is not there' --server 127.0.0.77 good.example
expect 0 'as they should be' 'a server by name' --server 127.0.0.1 good.example
expect 0 'as they should be' 'with its port' --server 127.0.0.1@53 good.example
for server in foo 999.1.1.1 '' 192.0.2.53@x 192.0.2.53@ 192.0.2.53@0 192.0.2.53@65536 192.0.2.53@5x3 192.0.2.53%lo fe80::1% @53; do
	expect 64 "^mxholdctl: --server: $server is no IP address, nor IP@PORT" "no server: '$server'" --server "$server" good.example
done
expect 65 'no row' 'a domain that nobody authorised' stranger.example
expect 65 'no name of a mail domain' 'no domain' 'not a domain'
expect 64 'one domain is wanted' 'two of them' good.example sts.example
mv "$work/state/snapshot" "$work/state/away"
expect 69 'there is no snapshot' 'no snapshot' good.example
mv "$work/state/away" "$work/state/snapshot"

# --- on a terminal of 80 columns
cat >"$work/terminal.py" <<'PYTHON'
import os, pty, sys
said = []
def take(fd):
    data = os.read(fd, 65536)
    said.append(data)
    return data
code = os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], take))
with open(sys.argv[1], "wb") as out:
    out.write(b"".join(said).replace(b"\r\n", b"\n"))
sys.exit(code)
PYTHON
terminals() { python3 -c 'import pty; pty.openpty()'; }
if terminals 2>/dev/null; then names='good missing stsout fenced sub.apex'; else names= && note 'there are no terminals here'; fi
for name in $names; do
	timeout 60 python3 "$work/terminal.py" "$work/said" "$ctl" -c "$work/mxhold.conf" mx check "$name.example" </dev/null >>"$work/tty.log" 2>&1 || :
	is "$(grep -v '^  [^ ]* IN MX ' "$work/said" | awk 'length > 80')" '' "$name: no line is longer"
	like "$(cat "$work/said")" '^The customer.s server should' "$name: all of it"
done
[ -z "$names" ] || like "$(tr -s '\n ' '  ' <"$work/said")" 'row.s own name only \(it is not known here whether they name this relay\); rule 8' 'nothing is lost where a line is broken'

# --- JSON
check --json missing.example
is "$(printf '%s' "$out" | python3 -c '
import json, sys
a = json.load(sys.stdin)
print(a["outcome"], a["relay_is"], a["mta_sts"], a["answer_bytes"] < 512, len(a["found"]), len(a["expected"]), a["spf_terms"][0])
print(a["zone"][0], [f["issue"] for f in a["findings"]])')" "findings not-named absent True 1 4 ip4:192.0.2.11
missing.example. IN MX 10 mail.missing.example. ['relay-not-named', 'relay-missing']" 'as JSON'
is "$code" 1 'with the same exit code'
is "$(printf '%s\n' "$out" | wc -l)" 1 'one line'
check --json many.example
is "$(printf '%s' "$out" | python3 -c '
import json, sys
a = json.load(sys.stdin)
print(a["complete"], len(a["found"]), {r["expected"] for r in a["found"]}, a["expected"], a["zone"])')" 'False 64 {None} [] []' \
	'of a set that was not read as a whole: no proposal'

# --- mxhold-queued, which is to read them anew: never in the way
expect 0 'does not read them anew: mxhold-queued does not answer at .*: No such file' 'it does not run' good.example
case $(timeout 60 "$ctl" -c "$work/mxhold.conf" mx check good.example --no-reread 2>&1) in
*anew*) ok 1 'nor is it asked where it is not to be' ;;
*) ok 0 'nor is it asked where it is not to be' ;;
esac
mkdir "$work/sock"
cat >"$work/desk.py" <<'PYTHON'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
for answer in (b'{"end":true,"error":null}\n', b'{"end":true,"error":"you may look, and not act"}\n', b"nonsense\n", b"", None):
    c = s.accept()[0]
    line = c.makefile().readline()
    with open(sys.argv[2], "a") as heard:
        heard.write(line)
    if answer is None:
        time.sleep(60)
    c.sendall(answer)
    c.close()
PYTHON
python3 "$work/desk.py" "$work/sock/queue-control" "$work/heard" &
desk_up() { [ -S "$work/sock/queue-control" ]; }
try 'one who answers in its place' wait_for 20 desk_up
expect 0 '^mxhold-queued reads them anew now' 'it is asked' good.example
like "$(cat "$work/heard")" '"do": ?"mx".*"domain": ?"good.example"' 'for this domain'
expect 1 'does not read them anew: mxhold-queued: you may look, and not act' 'it refuses: the exit status is of the records' missing.example
expect 0 'does not read them anew: .*no JSON' 'it talks nonsense' good.example
expect 0 'does not read them anew: .*hung up' 'it hangs up' good.example
began=$(date +%s)
expect 0 'does not read them anew: .*no answer in time' 'it is silent' good.example
within 20
check --json --no-reread good.example
is "$(printf '%s' "$out" | python3 -c 'import json, sys; a = json.load(sys.stdin); print(a["reread"], a["reread_problem"] == "", a["row_is"])')" \
	'False True None' 'as JSON'
check --json --no-reread sub.apex.example
is "$(printf '%s' "$out" | python3 -c 'import json, sys; a = json.load(sys.stdin); print(a["row"], a["row_is"])')" \
	'apex.example unknown' 'that of a name below a row'
tap_done
