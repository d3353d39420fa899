#!/bin/sh
# lab-pins: nothing leaves the relay for a stranger who takes the place of a pinned primary, from one session to the next, while
# mail comes all the time, and also while mxhold-queued is away. Three domains: one pinned by its certificate, one by its banner
# (and found by MX), one by its certificate with two next hops. In their place come, without any outage: one with another key, one with another
# banner, one without STARTTLS (at the first of the two). What a stranger is told stands in his ledger, command by command.
#
# In: LAB_RATE (messages a second for each domain, default 10).
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes
rate=${LAB_RATE:-10}

authorise() {
	lab_soc "insert into mxhold.customer (name, mx_check) values ('acme', false);
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu');
		insert into mxhold.domain (name, customer, next_hops, pin_certificate, pin_banner) values
		('cert.example', 'acme', '[198.51.100.31]:25', '$(lab_pin true)', null),
		('banner.example', 'acme', null, null, '220 primary.example ESMTP true'),
		('two.example', 'acme', '[198.51.100.33]:25, [198.51.100.34]:25', '$(lab_pin true)', null)"
}

# --- primaries and strangers -----------------------------------------------------------------------------------------------

face() { # NAME BANNER [KEY]
	printf '%s' "$LAB/$1.ledger,primary.example ESMTP $2${3:+,$LAB/$3.pem,$LAB/$3.key}"
}

# serve NAME ADDRESS FACE OTHER-FACE: see tests/lib/pinned_primary.py.
serve() {
	# shellcheck disable=SC2046
	$(lab_words primary) python3 "$lab_top/tests/lib/pinned_primary.py" "198.51.100.$2" "$3" "$4" >>"$LAB/log/$1.log" 2>&1 &
	printf '%s\n' "$!" >"$LAB/run/$1.pid"
}

serve_all() {
	serve cert 31 "$(face cert true true)" "$(face s-cert true other)"
	serve banner 32 "$(face banner true)" "$(face s-banner another)"
	serve two1 33 "$(face two1 true true)" "$(face s-two true)"
	serve two2 34 "$(face two2 true true)" "$(face s-two true)"
	for name in cert banner two1 two2; do wait_for 20 listens "$name" || die "$name does not listen"; done
}

listens() { # NAME
	grep -q '	listening	' "$LAB/$1.ledger"
}

# In their place, from the next session on.
strangers_come() {
	for name in cert banner two1; do kill -s USR1 "$(cat "$LAB/run/$name.pid")"; done
}

true_ones_come() {
	for name in cert banner two1; do kill -s USR2 "$(cat "$LAB/run/$name.pid")"; done
}

# told WORD NAME...: how often were these servers told it?
told() {
	word=$1
	shift
	for name in "$@"; do cat "$LAB/$name.ledger"; done | cut -f2 | grep -cx "$word" || true
}

strangers_told() { # WORD
	told "$1" s-cert s-banner s-two
}

# --- mail -------------------------------------------------------------------------------------------------------------------

# load NAME SECONDS: to each of the domains, in the background.
load() {
	count=$((3 * rate * $2))
	awk -v n="$count" -v p="$1" 'BEGIN { split("cert banner two", d, " "); for (i = 0; i < n; i++) printf "m %s%d@%s.example\n", p, i, d[i % 3 + 1] }' \
		>"$LAB/$1.addresses"
	# shellcheck disable=SC2046
	$(lab_words sender) "$lab_tools/sender" -s 192.0.2.11:25 -r "$LAB/$1.addresses" -l "$LAB/$1.sender" -n "$count" \
		-q $((3 * rate)) -m 10 -g 60 -i "$1" >"$LAB/$1.summary" 2>&1 &
	load_pid=$!
}

to_later() {
	printf 'm later@%s.example\n' cert banner
}

load_ends() {
	wait "$load_pid" || true
	sed 's/^/# /' "$LAB/$1.summary"
}

sent() {
	cat "$LAB"/*.sender | awk -F'\t' '$6 == "end" && $7 == 250 { gsub(/[<>]/, "", $3); print $3 }' | sort
}

taken() {
	for name in cert banner two1 two2; do cat "$LAB/$name.ledger"; done | awk -F'\t' '$2 == "taken" { print $3 }' | sort
}

# What smtp(8) says of the strangers, for recipients whose names begin so. Those who are held are not tried.
met() { # DOMAIN PREFIX WORDS
	grep -E "/smtp\\[.* to=<$2[0-9]+@$1\\.example>.* dsn=4\\.7\\.5, status=deferred" "$LAB/eu/log/mail.log" | grep -c "$3" || true
}

has_met() {
	[ "$(met "$@")" -gt 0 ]
}

came_to_two2() { # HOW-MANY
	[ "$(told taken two2)" -gt "$1" ]
}

# --- what is known ----------------------------------------------------------------------------------------------------------

is_up() { # DOMAIN
	lab_ctl eu queue list --json | grep "\"domain\":\"$1.example\"" | grep -q '"primary":"up"'
}

is_held() { # DOMAIN: and its state says why
	lab_ctl eu queue list --json | grep "\"domain\":\"$1.example\"" | grep '"primary":"wrong-host"' | grep -q '"hold":"wrong-host"'
}

alerts_are() { # DOMAIN BEGUN ENDED
	[ "$(lab_rows "select count(*) filter (where not (detail ->> 'ended')::boolean) || ' ' ||
		count(*) filter (where (detail ->> 'ended')::boolean)
		from mxhold_journal.event where alert = 'wrong-host' and domain = '$1.example'")" = "$2 $3" ]
}

# How long after the stranger came was it told? By its own time.
alerted_after() { # DOMAIN
	lab_rows "select round((extract(epoch from at) - $(awk '$2 == "comes" { print $1; exit }' "$LAB/s-$1.ledger"))::numeric, 1)
		from mxhold_journal.event where alert = 'wrong-host' and domain = '$1.example' order by at limit 1"
}

words_are() { # DOMAIN WORDS
	lab_ctl eu queue show "$1.example" --json | grep -q "$2"
}

all_is_there() {
	lab_queue_empty eu && [ "$(sent | wc -l)" -eq "$(taken | wc -l)" ]
}

all_of_two_is_there() {
	[ "$(sent | grep -c '@two\.')" -eq "$(taken | grep -c '@two\.')" ]
}

check_ledgers() {
	is "$(strangers_told MAIL)" 0 'no stranger was told of a message'
	is "$(strangers_told taken)" 0 'or was given one'
	is "$(sent | uniq | wc -l)" "$(cat "$LAB"/*.addresses | wc -l)" 'the sender got 250 for each recipient'
	is "$(taken | comm -3 - "$LAB/sent")" '' 'each of them came to the true primaries, once, and nobody else'
}

# --- the scene ----------------------------------------------------------------------------------------------------------------

printf 'banner.example.\tMX\t10 mail.banner.example.\nmail.banner.example.\tA\t198.51.100.32\n' >"$LAB/more.zone"
lab_hosts
lab_authority
lab_journal
lab_key true
lab_key other
authorise
for n in 1 2 3 4; do lab_in primary ip addr add "198.51.100.3$n/32" dev eth0; done
serve_all
lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step

# --- they come while mail flows -----------------------------------------------------------------------------------------------

load a 2
load_ends a
sent >"$LAB/sent"
try 'mail of pinned domains is delivered' wait_for 30 all_is_there
is "$(told taken two2)" 0 'by the first of two next hops, where that is up'
is "$(lab_ctl eu queue list --json | grep -c wrong-host || true)" 0 'and nobody is taken for a stranger'

# One message stays, so that they are probed: by and by, being up.
to_later >"$LAB/l.addresses"
lab_in sender "$lab_tools/sender" -s 192.0.2.11:25 -r "$LAB/l.addresses" -l "$LAB/l.sender" -n 2 -i l >/dev/null
for domain in cert banner; do try "$domain.example is up" wait_for 30 is_up "$domain"; done

load b 12
sleep 2
strangers_come
try 'smtp(8) meets the one with another key' wait_for 20 has_met cert b 'Server certificate not verified'
try 'and the one with another banner' wait_for 20 has_met banner b 'refused to talk to me: 421 4.7.5 '
for domain in cert banner; do try "$domain.example is known to have a stranger, and held" wait_for 20 is_held "$domain"; done
load_ends b
for domain in cert banner; do
	try "$domain.example: the alert was raised, once" wait_for 30 alerts_are "$domain" 1 0
	after=$(alerted_after "$domain")
	ok "$(awk -v s="$after" 'BEGIN { exit !(s >= 0 && s <= 5) }' && echo 0 || echo 1)" "$domain.example: $after s after he came, with the next probe up to 12 s away"
done
try 'who asks is told why' words_are cert 'not the pinned certificate'
try 'of each of them' words_are banner 'not the pinned banner'
try 'two.example: the stranger is passed by, the other server of two gets all mail' wait_for 30 all_of_two_is_there
try 'two.example: and that is told' wait_for 30 alerts_are two 1 0
is "$(strangers_told MAIL)" 0 'no stranger was told of a message'
true_ones_come
try 'the true ones are back: all is delivered' wait_for 90 all_is_there
for domain in cert banner two; do
	try "$domain.example: the alert has ended" wait_for 30 alerts_are "$domain" 1 1
done
sent >"$LAB/sent"
check_ledgers

# --- the same without mxhold-queued ---------------------------------------------------------------------------------------------

lab_unkeep eu.queued KILL
before=$(told taken two2)
load c 8
sleep 2
strangers_come
try 'mxhold-queued is away: smtp(8) meets them as before' wait_for 20 has_met cert c 'Server certificate not verified'
try 'each' wait_for 20 has_met banner c 'refused to talk to me: 421 4.7.5 '
try 'the second of two next hops gets what the first may not have' wait_for 20 came_to_two2 "$before"
load_ends c
true_ones_come
try 'the true ones are back: all is delivered, by Postfix alone' wait_for 90 all_is_there
sent >"$LAB/sent"
check_ledgers
# --- another policyd: nobody has told it which row a next hop is of -----------------------------------------------------------------

lab_unkeep eu.policyd
lab_keep eu.policyd eu "$lab_bin/mxhold-policyd" -f -c "$LAB/eu/mxhold.conf"
try 'mxhold-policyd answers again' wait_for 30 lab_has_snapshot eu
policy() { # NEXT-HOP
	lab_in eu postmap -q "$1" "socketmap:unix:$LAB/eu/spool/mxhold/map:pins"
}
like "$(policy '[198.51.100.34]:25')" '^fingerprint match=([0-9a-f]{2}:){31}[0-9a-f]{2}$' 'it knows by the rows'

# --- the row pins another: the stranger of before is the primary ----------------------------------------------------------------------

strangers_come
load d 2
load_ends d
try 'strangers once more: mail waits' wait_for 20 has_met cert d 'Server certificate not verified'
is "$(strangers_told MAIL)" 0 'no stranger was told of a message'
lab_soc "update mxhold.domain set pin_certificate = '$(lab_pin other)' where name = 'cert.example';
	update mxhold.domain set pin_banner = 'primary.example ESMTP another' where name = 'banner.example'"
try 'who is pinned now gets it' wait_for 90 lab_queue_empty eu
is "$(strangers_told taken)" "$(sent | grep -c '^d.*@\(cert\|banner\)\.')" 'all of it'

is "$(grep -cE 'status=(bounced|expired)' "$LAB/eu/log/mail.log" || true)" 0 'nothing bounced or expired'
is "$(cat "$LAB"/log/eu.*.log | grep -c -e Sanitizer -e event=child-died || true)" 0 'and no daemon died of it'
lab_done
