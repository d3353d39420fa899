#!/bin/sh
# lab-strangers: who learns of a stranger in a pinned primary's place where a probe alone would not see what smtp(8) sees? One of two
# servers is the stranger, and the other takes all mail (pinned by certificate, next hops; by banner, two MX hosts): mail goes, an
# alert names him, and ends when he is gone. And smtp(8) does not find the pin though the probe does (a ninth banner at one next
# hop; a setting that takes TLS away; an overlay without the service mxhold-pin): an alert with Postfix's words, until mail is delivered.
# But a full mailbox at the first of two servers of which the second is away is neither.
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes

# Nine rows with banners of their own at one next hop: policyd hands out eight, in the order of their names.
nine() {
	for n in 1 2 3 4 5 6 7 8; do printf "('p%d.example', 'acme', '[198.51.100.35]:25', null, 'other%d.example'), " "$n" "$n"; done
	printf "('p9.example', 'acme', '[198.51.100.35]:25', null, 'primary.example ESMTP true')"
}

authorise() {
	lab_soc "insert into mxhold.customer (name, mx_check) values ('acme', false);
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu');
		insert into mxhold.domain (name, customer, next_hops, pin_certificate, pin_banner) values
		('cert.example', 'acme', '[198.51.100.31]:25, [198.51.100.32]:25', '$(lab_pin true)', null),
		('tls.example', 'acme', '[198.51.100.32]:25', '$(lab_pin true)', null),
		('banner.example', 'acme', null, null, 'primary.example ESMTP true'),
		('full.example', 'acme', '[198.51.100.36]:25, [198.51.100.37]:25', null, null),
		$(nine)"
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

listens() { # NAME
	grep -q '	listening	' "$LAB/$1.ledger"
}

serve_all() {
	serve cert1 31 "$(face cert1 true true)" "$(face s-cert1 true other)"
	serve cert2 32 "$(face cert2 true true)" "$(face s-cert2 true other)"
	serve banner1 33 "$(face banner1 true)" "$(face s-banner1 another)"
	serve banner2 34 "$(face banner2 true)" "$(face s-banner2 another)"
	serve nine 35 "$(face nine true)" "$(face s-nine true)"
	for name in cert1 cert2 banner1 banner2 nine; do wait_for 20 listens "$name" || die "$name does not listen"; done
}

strangers_come() {
	for name in cert1 banner1; do kill -s USR1 "$(cat "$LAB/run/$name.pid")"; done
}

true_ones_come() {
	for name in cert1 banner1; do kill -s USR2 "$(cat "$LAB/run/$name.pid")"; done
}

taken() { # RECIPIENT NAME...: did these servers take it?
	recipient=$1
	shift
	for name in "$@"; do cat "$LAB/$name.ledger"; done | grep -q "	taken	$recipient\$"
}

# --- mail, and what is known of it --------------------------------------------------------------------------------------------

send() { # RECIPIENT
	like "$(lab_send eu "$1" "$1")" '^250 ' "a message to $1 is taken"
}

# alerts DOMAIN KIND: how many began, how many ended
alerts() {
	lab_rows "select count(*) filter (where not (detail ->> 'ended')::boolean) || ' ' ||
		count(*) filter (where (detail ->> 'ended')::boolean)
		from mxhold_journal.event where alert = '$2' and domain = '$1'"
}

alerts_are() { # DOMAIN KIND 'BEGUN ENDED'
	[ "$(alerts "$1" "$2")" = "$3" ]
}

alert_text() { # DOMAIN KIND: of the last one that was raised
	lab_rows "select detail ->> 'text' from mxhold_journal.event where alert = '$2' and domain = '$1'
		and not (detail ->> 'ended')::boolean order by at desc limit 1"
}

shown() { # DOMAIN PATTERN: by `primary status`
	lab_ctl eu primary status "$1" | grep -q "$2"
}

not_watched() { # DOMAIN
	! lab_ctl eu primary status | grep -q "^$1:"
}

lines() { # PATTERN
	grep -cE -- "$1" "$LAB/eu/log/mail.log" || true
}

# --- the scene ----------------------------------------------------------------------------------------------------------------

printf 'banner.example.\tMX\t10 one.banner.example.\nbanner.example.\tMX\t20 two.banner.example.\none.banner.example.\tA\t198.51.100.33\ntwo.banner.example.\tA\t198.51.100.34\n' \
	>"$LAB/more.zone"
lab_hosts
lab_authority
lab_journal
lab_key true
lab_key other
authorise
for n in 1 2 3 4 5 6 7; do lab_in primary ip addr add "198.51.100.3$n/32" dev eth0; done
serve_all
lab_server full primary 198.51.100.36:25
lab_server_do full at rcpt reply '452 4.2.2 Mailbox full' >/dev/null
lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step

# --- one of two is the stranger, and no mail waits ------------------------------------------------------------------------------

send a@cert.example
send a@banner.example
try 'the first of two takes it' wait_for 20 taken a@cert.example cert1
try 'in each case' wait_for 20 taken a@banner.example banner1
strangers_come
for domain in cert banner; do
	send "b@$domain.example"
	try "$domain.example: the second of two takes it" wait_for 20 taken "b@$domain.example" "${domain}2"
	try "$domain.example: an alert is raised" wait_for 30 alerts_are "$domain.example" wrong-host '1 0'
done
like "$(alert_text cert.example wrong-host)" '^198\.51\.100\.31\[198\.51\.100\.31\]:25 is not the pinned primary, .* goes to another' 'it names the stranger'
like "$(alert_text banner.example wrong-host)" '^one\.banner\.example\[198\.51\.100\.33\]:25 is not the pinned primary, .* goes to another' 'each'
for domain in cert banner; do
	try "$domain.example is up, and passes a stranger by" wait_for 10 shown "$domain.example" "^$domain.example: up .*passes a stranger by, at "
	try "$domain.example: the stranger's server is told as what it is" wait_for 10 shown "$domain.example" '^    .* wrong-host for '
done
for n in 1 2 3; do
	for domain in cert banner; do send "c$n@$domain.example"; done
	sleep 3
done
for domain in cert banner; do
	for n in 1 2 3; do try "$domain.example: its mail goes on" wait_for 20 taken "c$n@$domain.example" "${domain}2"; done
	is "$(alerts "$domain.example" wrong-host)" '1 0' "$domain.example: the alert stands, and is not told again"
	is "$(alerts "$domain.example" outage)" '0 0' "$domain.example: no outage"
done
is "$(lines 'dsn=4\.3\.2.*held by')" 0 'and nothing was held'

lab_unkeep eu.queued KILL
lab_keep eu.queued eu "$lab_bin/mxhold-queued" -f -c "$LAB/eu/mxhold.conf"
try 'mxhold-queued begins anew' wait_for 30 lab_queued_answers eu
for domain in cert banner; do
	try "$domain.example: it looks at the stranger again" wait_for 30 shown "$domain.example" "^$domain.example: up .*passes a stranger by, at "
	is "$(alerts "$domain.example" wrong-host)" '1 0' "$domain.example: the alert stands, and is not told again"
done

true_ones_come
for domain in cert banner; do
	try "$domain.example: he is gone, the alert ends, without any mail" wait_for 40 alerts_are "$domain.example" wrong-host '1 1'
done
is "$(cat "$LAB/s-cert1.ledger" "$LAB/s-banner1.ledger" | cut -f2 | grep -cx MAIL || true)" 0 'no stranger was told of a message'

# --- a ninth banner at one next hop -----------------------------------------------------------------------------------------------

send a@p9.example
try 'policyd leaves one of nine pins out' wait_for 20 grep -q 'event=pins-left-out' "$LAB/log/eu.policyd.log"
try 'an alert is raised' wait_for 60 alerts_are p9.example wrong-host '1 0'
like "$(alert_text p9.example wrong-host)" 'mail waits \(421 4\.7\.5 .*\): .*pins-left-out' 'with the words of smtp(8), and where to look'
try 'the state tells it' wait_for 10 shown p9.example '^p9.example: wrong-host .*Postfix says: 421 4\.7\.5 '
is "$(lab_ctl eu queue show p9.example --json | grep -c '"hold":"wrong-host"' || true)" 0 'it is not held: each try may be the good one'
lab_soc "update mxhold.domain set pin_banner = null where name = 'p8.example'"
try 'one pin less: it is delivered' wait_for 90 taken a@p9.example nine
try 'and the alert ends' wait_for 20 alerts_are p9.example wrong-host '1 1'

# --- a setting that takes TLS away ------------------------------------------------------------------------------------------------

cp "$LAB/eu/etc/master.cf" "$LAB/eu/whole.cf"
lab_in eu postconf -c "$LAB/eu/etc" -P mxhold-pin/unix/smtp_discard_ehlo_keywords=starttls
lab_pf eu pf_reload
send e@tls.example
try 'Postfix does without TLS: an alert is raised' wait_for 90 alerts_are tls.example wrong-host '1 0'
like "$(alert_text tls.example wrong-host)" 'mail waits \(TLS is required, but was not offered .*\): .*mxholdctl postfix status' 'with its words'
cat "$LAB/eu/whole.cf" >"$LAB/eu/etc/master.cf"
lab_pf eu pf_reload
try 'it is delivered' wait_for 90 taken e@tls.example cert2
try 'and the alert ends' wait_for 20 alerts_are tls.example wrong-host '1 1'

# --- an overlay without mxhold-pin ------------------------------------------------------------------------------------------------

cp "$LAB/eu/etc/master.cf" "$LAB/eu/whole.cf"
lab_in eu postconf -c "$LAB/eu/etc" -MX mxhold-pin/unix
lab_pf eu pf_reload
send d@cert.example
send a@full.example
try 'Postfix has no such service' wait_for 30 grep -q 'to=<d@cert.example>.*status=deferred (mail transport unavailable)' "$LAB/eu/log/mail.log"
try 'an alert is raised' wait_for 150 alerts_are cert.example outage '1 0'
like "$(alert_text cert.example outage)" 'primary is up, but Postfix does not reach it \(see mxholdctl postfix status\): mail transport unavailable' \
	'it says what Postfix says'
# As long as that took, the other one's mailbox was full. What Postfix says last of each try is that it did not reach the second server.
try 'the first of two servers answers 452, the second is away' \
	test "$(lines 'to=<a@full.example>.*status=deferred \(connect to .*198.51.100.37.*refused')" -ge 3
is "$(alerts full.example outage)" '0 0' 'that is no outage'
try 'nor does the state say so' shown full.example '^full.example: up for [^:]*; next probe'
lab_server_do full reset >/dev/null
try 'there is room again: it is delivered' wait_for 60 lab_arrived '	a@full.example	' full
try 'who asks is told' wait_for 10 shown cert.example '^cert.example: up .*Postfix says: mail transport unavailable'
cat "$LAB/eu/whole.cf" >"$LAB/eu/etc/master.cf"
lab_pf eu pf_reload
try 'the service is there again: it is delivered' wait_for 150 taken d@cert.example cert1
try 'and the alert ends' wait_for 20 alerts_are cert.example outage '1 1'

try 'the queue is empty' wait_for 30 lab_queue_empty eu
for domain in cert.example banner.example p9.example tls.example; do
	try "$domain is watched no more" wait_for 120 not_watched "$domain"
done
is "$(lines 'status=(bounced|expired)')" 0 'nothing bounced or expired'
is "$(cat "$LAB"/log/eu.*.log | grep -c -e Sanitizer -e event=child-died || true)" 0 'and no daemon died of it'
lab_done
