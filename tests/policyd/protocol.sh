#!/bin/sh
# policyd at its sockets: several requests in one read, bytes one by one, garbage, slow readers, limits.
#
# RSS_MAX: how many KiB the child may take (a sanitized build takes more).
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/policyd/lib.sh

policyd_set_up
start_policyd "$base/log"
child=$(child_of "$parent")

is "$(map 'relay_domains customer.example')" 'OK customer.example' 'the map answers'
is "$(stat -c '%a' "$base/sock/map") $(stat -c '%a' "$base/sock/policy")" '660 660' 'sockets have mode 0660'
if [ "$(id -u)" -eq 0 ]; then
	is "$(stat -c '%u:%g' "$base/sock/map")" '0:64105' 'sockets belong to root and the socket group'
	is "$(stat -c '%u:%g' "/proc/$child")" '64102:64100' 'the child has dropped root'
	is "$(sed -n 's/^Groups:[[:blank:]]*//p' "/proc/$child/status" | sed 's/ *$//')" '64100 64105' \
		'the child has no other groups'
fi

# --- order, pieces ----------------------------------------------------------------------------

rcpt() {
	printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\n'
	printf 'recipient=%s\ninstance=1.2.3\nsize=%s\n\n' "$1" "${2:-0}"
}

expected=$(printf 'action=defer_unauth_destination\n\naction=DUNNO\n\naction=defer_unauth_destination\n\nx')
got=$({ rcpt u@customer.example; rcpt u@nobody.example; rcpt U@CUSTOMER.example.; } |
	"$asker" raw "$base/sock/policy" -s -w 10000; echo x)
is "$got" "$expected" 'three policy requests in one read are answered in order'

got=$({ rcpt u@customer.example; rcpt u@nobody.example; rcpt U@CUSTOMER.example.; } |
	"$asker" raw "$base/sock/policy" -b 1 -s -w 10000; echo x)
is "$got" "$expected" 'the same byte by byte'

got=$({ rcpt "$(printf '\320\270')@customer.example"; rcpt "$(printf 'a\001b')@customer.example"; rcpt "$(printf '\320\270')@nobody.example"; } |
	"$asker" raw "$base/sock/policy" -s -w 10000 | sed -n 's/^action=\([^ ]* *[^ ]*\).*/\1/p' | tr '\n' ',')
is "$got" '553 5.6.7,553 5.1.3,DUNNO,' '8-bit and control bytes in a local part are refused, and none of our business elsewhere'

got=$(printf '30:relay_domains customer.example,11:transport *,30:relay_domains customer.example,' |
	"$asker" raw "$base/sock/map" -s -w 10000)
is "$got" '19:OK customer.example,9:NOTFOUND ,19:OK customer.example,' 'three map requests in one read'
got=$(printf '30:relay_domains customer.example,11:transport *,' | "$asker" raw "$base/sock/map" -b 1 -s -w 10000)
is "$got" '19:OK customer.example,9:NOTFOUND ,' 'map requests byte by byte'

got=$({ rcpt u@customer.example; printf 'request=smtpd_access_policy\nprotocol_st'; } |
	"$asker" raw "$base/sock/policy" -s -w 10000; echo x)
is "$got" "$(printf 'action=defer_unauth_destination\n\nx')" \
	'a client that ends within its second request gets the first answer'

# --- what is no request ------------------------------------------------------------------------

closes() { # TEXT SOCKET, after $base/in was written: it must close without a byte, at once
	closes_before=$(date +%s%N)
	closes_got=$("$asker" raw "$base/sock/$2" -w 5000 <"$base/in" | od -An -c)
	closes_ms=$((($(date +%s%N) - closes_before) / 1000000))
	is "$closes_got" '' "$1: no reply"
	try "$1: closed at once ($closes_ms ms)" test "$closes_ms" -lt 4000
}

printf 'hello\n\n' >"$base/in"
closes 'policy, a line without =' policy
printf '\n' >"$base/in"
closes 'policy, an empty request' policy
printf 'request=smtpd_access_policy\nrecipient=a@b.example\nrecipient=c@d.example\n\n' >"$base/in"
closes 'policy, an attribute twice' policy
head -c 20000 /dev/zero | tr '\0' 'a' >"$base/in"
closes 'policy, 20,000 bytes without an end' policy
head -c 20000 /dev/urandom >"$base/in"
closes 'policy, noise' policy
printf 'GET / HTTP/1.0\r\n\r\n' >"$base/in"
closes 'map, HTTP' map
printf '05:hello,' >"$base/in"
closes 'map, a leading zero' map
printf '5:hello;' >"$base/in"
closes 'map, no comma' map
printf '99999999999999999999:' >"$base/in"
closes 'map, an endless length' map
printf '90000:' >"$base/in"
closes 'map, a request over our limit' map
head -c 20000 /dev/urandom >"$base/in"
closes 'map, noise' map
head -c 20000 /dev/zero >"$base/in"
closes 'map, zeros' map

is "$(map 'nonsense x')" 'TEMP no map of that name' 'an unknown map is a TEMP, never a PERM'
is "$(map 'relay_domains')" 'TEMP not a request' 'a request without a key is a TEMP'
is "$(child_of "$parent")" "$child" 'all that has not cost the child its life'

# --- many requests at once, and nobody reads -------------------------------------------------------

for socket in policy map; do
	line=$("$asker" pipeline "$base/sock/$socket" 100000)
	result=$(printf '%s\n' "$line" | tail -1)
	is "$(field answers "$result") $(field wrong "$result") $(field lost "$result")" '100000 0 0' \
		"$socket: 100,000 requests sent before the first answer is read: all answered, in order"
	note "$line"
done
rss=$(sed -n 's/^VmRSS:[[:blank:]]*\([0-9]*\) kB/\1/p' "/proc/$child/status")
try "and in bounded memory ($rss KiB resident)" test "$rss" -lt "${RSS_MAX:-65536}"

# A client that pipelines without end must not hold up another one. Now and then the machine does: of three floods one counts.
status=1
flawless=0
for _ in 1 2 3; do
	"$asker" pipeline "$base/sock/map" 2000000 >"$base/flood.out" &
	flood=$!
	remember "$flood"
	sleep 0.7
	line=$("$asker" loop "$base/sock/map" 2)
	note "$line"
	[ "$(field answers "$line")" -le 100 ] || [ "$(field max_ms "$line")" -ge 500 ] || status=0
	wait "$flood" || true
	result=$(tail -1 "$base/flood.out")
	[ "$(field wrong "$result") $(field lost "$result")" = '0 0' ] || flawless=1
	[ "$status" -ne 0 ] || break
done
ok "$status" 'beside a client that floods, another one is served'
ok "$flawless" 'and the flood itself is answered'

# --- the log -------------------------------------------------------------------------------------------

is "$(grep -c 'event=decision.*domain=customer.example.*client=203.0.113.9' "$base/log")" 7 \
	'each decision left a line'
like "$(cat "$base/log")" 'event=log-left-out permits=[0-9]+' 'a flood is cut short in the log, and counted'
lines=$(wc -l <"$base/log")
try "the log stays short ($lines lines)" test "$lines" -lt 20000

# --- configuration -----------------------------------------------------------------------------------

status=0
printf '[relay]\nname = x\nnonsense = 1\n' >"$base/bad"
errors=$("$policyd_bin" -n -c "$base/bad" 2>&1) || status=$?
is "$status" 78 'a bad configuration exits 78'
like "$errors" "$base/bad:3:" 'and is shown with file and line'
try 'a good one passes' "$policyd_bin" -n -c "$base/conf"

kill "$parent"
wait "$parent" || true
is "$(find "$base/sock" -mindepth 1)" '' 'after SIGTERM nothing is left in the socket directory'
tap_done
