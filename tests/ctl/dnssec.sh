#!/bin/sh
# DNSSEC, with a root of the test's own (NSD), signed: what is secure is said to be so, what fails is "cannot tell" and never
# "not named"; without an anchor nobody looks; and an anchor that the servers' root does not fit is not used, unless the
# configuration names it.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"

BUILD=${BUILD:-build}
work=$(mktemp -d /tmp/mxd.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"

mkdir "$work/sock" "$work/postfix" "$work/other" "$work/dns"
: >"$work/maillog"
cat >"$work/rows" <<'ROWS'
relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11
customer acme regions=eu
domain good.example acme
domain bad.example acme
ROWS
relay_state "$work/state"
for name in good bad; do
	printf '%s.example. MX 10 mail.%s.example.\n%s.example. MX 20 eu.mx.backup.example.\n%s.example. MX 30 mail.%s.example.\n' \
		"$name" "$name" "$name" "$name" "$name"
	printf 'mail.%s.example. A 198.51.100.25\n' "$name"
done >"$work/records"
cat >>"$work/records" <<'RECORDS'
. SOA ns.example. hostmaster.example. 1 60 60 600 5
. NS ns.example.
ns.example. A 127.0.0.2
eu.mx.backup.example. A 192.0.2.11
RECORDS
python3 tests/lib/sign_zone.py "$work" bad.example. <"$work/records" >"$work/root.zone"
python3 tests/lib/sign_zone.py "$work/other" - <"$work/records" >/dev/null # a key that is not theirs
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
	name: "."
	zonefile: "root.zone"
CONF
nsd -d -c "$work/nsd.conf" >"$work/nsd.log" 2>&1 &
echo 'nameserver 127.0.0.2' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf

# configure [ANCHOR]
configure() {
	relay_conf '[fence]' 'allow = 198.51.100.0/24' '[queue]' "${1:+trust_anchor = $1}"
}
# check DOMAIN: the exit code, what DNSSEC says, the outcome, and what is found
check() {
	check_code=0
	timeout 60 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" mx check --json "$1" >"$work/out" 2>"$work/err" || check_code=$?
	python3 -c '
import json, sys
a = json.load(open(sys.argv[1]))
print(sys.argv[2], a["dnssec"], a["outcome"], a["relay_is"], *[f["issue"] for f in a["findings"]])' "$work/out" "$check_code" 2>&1
}

configure none
ready() { [ "$(check good.example)" = '0 unchecked good named' ]; }
wait_for 30 ready || true
is "$(check good.example)" '0 unchecked good named' 'no anchor: nobody looks'
is "$(check bad.example)" '0 unchecked good named' 'at bad signatures neither'
configure "$work/root.key"
is "$(check good.example)" '0 secure good named' 'an anchor: what is signed well is secure'
is "$(check bad.example)" '75 bogus cannot-tell unknown dnssec-bogus mta-sts-unreadable' 'what is not, is bogus, and cannot be told'
configure "$work/other/root.key"
is "$(check good.example)" '75 bogus cannot-tell unknown dnssec-bogus mta-sts-unreadable' 'an anchor that is not theirs, by the configuration: all is bogus'
configure "$work/nothing.key"
is "$(check good.example)" '0 unchecked good named' 'an anchor that cannot be read: nobody looks'
like "$(cat "$work/err")" 'nothing.key cannot be read' 'and it is said'
configure relative.key
check good.example >/dev/null || true
like "$(cat "$work/err")" 'trust_anchor = relative.key: must be none, or an absolute path' 'a path that is none'

# --- the default: the file of the system, where the servers' root fits it
configure
is "$(check good.example)" '0 unchecked good named' 'by default, without the file: nobody looks'
mount --bind "$work/dns" /usr/share 2>/dev/null
mkdir /usr/share/dns
cp "$work/other/root.key" /usr/share/dns/root.key
began=$(date +%s)
is "$(check good.example)" '0 unchecked good named' 'with another root than the servers have: a private network, nobody looks'
took=$(($(date +%s) - began))
try "which is found out within seconds ($took)" test "$took" -le 15
cp "$work/root.key" /usr/share/dns/root.key
is "$(check good.example)" '0 secure good named' 'with the same: it is checked'
is "$(check bad.example)" '75 bogus cannot-tell unknown dnssec-bogus mta-sts-unreadable' 'to the same end'

# --- mxhold-queued
"$BUILD/bin/mxhold-queued" -f -c "$work/mxhold.conf" 2>"$work/queued.log" &
queued_pid=$!
fact() {
	timeout 20 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" domain check "$1" --json 2>/dev/null |
		python3 -c 'import json, sys; q = json.load(sys.stdin).get("queue"); print(q["mx"] if q else "none")'
}
checked() { grep -q 'event=dnssec checked=yes' "$work/queued.log"; }
try 'mxhold-queued proves it, and says so' wait_for 60 checked
named() { [ "$(fact good.example)" = named ]; }
try 'it goes on reading MX records' wait_for 60 named
kill -TERM "$queued_pid"
wait "$queued_pid" || true
rm -rf "$work/state/queued"
configure "$work/root.key"
"$BUILD/bin/mxhold-queued" -f -c "$work/mxhold.conf" 2>"$work/queued.log" &
queued_pid=$!
try 'with an anchor of its own from the start' wait_for 60 named
sleep 3
case $(fact bad.example) in named | 'not named') ok 1 'what is bogus stays unknown' ;; *) ok 0 'what is bogus stays unknown' ;; esac
case $(cat "$work/queued.log") in *'alert=mx'*) ok 1 'and raises no alert' ;; *) ok 0 'and raises no alert' ;; esac
kill -TERM "$queued_pid"
wait "$queued_pid" || true
tap_done
