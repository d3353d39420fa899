#!/bin/sh
# What the overlay does to real mail on a real Postfix with the real daemons: no notice in any case, no 5xx of a primary
# ends a message, strangers and odd commands are refused, nothing is smuggled.
#
# The primary of customer.example and a catcher are tests/tools/primary. The catcher is the instance's relayhost:
# whatever leaves for anybody but the customer ends there. A control at the end shows that it would see a notice.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/postfix-conf/lib.sh
. tests/postfix-conf/lib.sh

lifetime=1h
allow=127.0.0.0/8
hop="[127.0.0.3]:$((port + 1))"
relay_make dedicated
pf_set "$relay" "relayhost=[127.0.0.3]:$((port + 2))" minimal_backoff_time=1s maximal_backoff_time=2s \
	queue_run_delay=1s smtp_tls_security_level=may
relay_daemons

for name in primary catcher; do
	mkdir -p "$relay/$name"
	[ "$name" = primary ] && number=1 || number=2
	"$tools/primary" -c "$relay/$name.ctl" -d "$relay/$name" -l "$relay/$name.ledger" "127.0.0.3:$((port + number))" \
		>"$relay/log/$name.log" 2>&1 &
	daemon_pids="$daemon_pids $!"
	wait_for 30 test -S "$relay/$name.ctl"
done

primary() {
	"$tools/primary" -C "$relay/primary.ctl" "$@" >/dev/null
}

caught() {
	wc -l <"$relay/catcher.ledger" 2>/dev/null || echo 0
}

delivered() {
	grep -c "$1" "$relay/primary.ledger" 2>/dev/null || true
}

# send SENDER RECIPIENT [RCPT-OPTIONS]: one message; prints the reply to its end
send() {
	smtp_talk 'EHLO sender.example' "MAIL FROM:<$1>" "RCPT TO:<$2>${3:+ $3}" DATA "~Subject: test\r\n\r\nbody" '.' | tail -2 | head -1
}

in_log() {
	grep -Eq -- "$1" "$relay/log/mail.log"
}

try 'apply' pfc apply
pf_start "$relay"

# --- it works at all
like "$(send a@b.example one@customer.example 'NOTIFY=SUCCESS,FAILURE,DELAY')" '^250 ' 'mail for a customer is taken'
try 'and delivered' wait_for 40 sh -c "grep -q one@customer.example $relay/primary.ledger"
like "$(send a@b.example postmaster)" '^250 ' '<postmaster> is taken'
try 'and goes to the configured address' wait_for 40 sh -c "grep -q soc@backup.example $relay/catcher.ledger"
control=$(caught)

# --- every 5xx of the primary, at each stage
for stage in banner ehlo mail rcpt data end; do
	primary reset
	primary at "$stage" reply '550 5.1.1 no such user here'
	like "$(send sender@hosted.example "user-$stage@customer.example" 'NOTIFY=SUCCESS,FAILURE,DELAY')" '^250 ' "primary says 550 at $stage: taken"
	try "550 at $stage: deferred" wait_for 40 in_log "to=<user-$stage@customer.example>, relay=127.0.0.3.*dsn=4.*status=(deferred|SOFTBOUNCE)"
done
primary reset
primary at rcpt reply '550 5.1.1 no such user here'
like "$(send '' null@customer.example)" '^250 ' 'the null sender is taken'
try 'null sender: deferred' wait_for 40 in_log 'to=<null@customer.example>, relay=127.0.0.3.*dsn=4'
ok "$(grep -c 'status=bounced' "$relay/log/mail.log" || true)" 'nothing bounced'
primary reset
try 'when the primary is well again, all of it arrives' wait_for 100 queue_empty
[ "$tap_status" -eq 0 ] || note "$(pf_queue "$relay"; grep "/smtp\[\|/qmgr\[" "$relay/log/mail.log" | tail -40)"
is "$(grep -c 'user-.*@customer.example' "$relay/primary.ledger")" 6 'each message once'
is "$(caught)" "$control" 'no notice left the relay'

# --- by MX: the instance's relayhost is not for customers' mail
like "$(send a@b.example by-mx@mxonly.example)" '^250 ' 'a domain without next hops is taken'
try 'its mail goes by its own MX records, which cannot be read here: deferred' wait_for 40 in_log \
	'to=<by-mx@mxonly.example>, relay=none.*status=(deferred|SOFTBOUNCE)'
is "$(caught)" "$control" 'and not to the relayhost'
pf_run "$relay" postsuper -c "$relay/etc" -d ALL >/dev/null 2>&1

# --- who is refused, and how
talk=$(smtp_talk 'EHLO x' 'VRFY postmaster' 'ETRN customer.example' 'MAIL FROM:<a@b.example>' \
	'RCPT TO:<u@foreign.example>' 'RCPT TO:<nobody@relay1.example>' 'RCPT TO:<nobody@[127.0.0.1]>' \
	'RCPT TO:<nobody@[IPv6:::1]>' 'RCPT TO:<u@elsewhere.example>' 'RCPT TO:<u@sub.customer.example>' \
	'RCPT TO:<u%customer.example@relay1.example>' 'RCPT TO:<@relay1.example:u@foreign.example>' 'RCPT TO:<u@customer.example>')
replies=$(printf '%s\n' "$talk" | grep -v '^250-' | cut -c1-3 | tr '\n' ' ')
is "$replies" '220 250 502 554 250 554 554 554 554 450 554 450 554 250 221 ' \
	'VRFY, ETRN, foreign, unknown user, literals, region, subdomain, percent hack, source route, authorised'
[ "$tap_failed" -eq 0 ] || note "$talk"

# --- bytes that Postfix logs as `?`, so that two recipients would be written alike
talk=$(smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<\xd0\xb8\xd0\xb2@customer.example>' \
	'RCPT TO:<\xc0\x80@customer.example>' 'RCPT TO:<"a\x01b"@customer.example>' 'RCPT TO:<a\x7f@customer.example>' \
	'RCPT TO:<\xd0\xb8@elsewhere.example>' 'RCPT TO:<\xd0\xb8@foreign.example>' 'RCPT TO:<"a b"@customer.example>')
is "$(printf '%s\n' "$talk" | sed -n '/^250 2.1.0/,$p' | cut -c1-9 | tr '\n' ',')" \
	'250 2.1.0,553 5.6.7,553 5.6.7,553 5.1.3,553 5.1.3,450 4.7.1,554 5.7.1,250 2.1.5,221 2.0.0,' \
	'8-bit and control bytes in a local part are refused for good, in the domains that are taken here'
[ "$tap_failed" -eq 0 ] || note "$talk"

# --- smuggling
primary reset
before=$(wc -l <"$relay/primary.ledger")
smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<smuggle@customer.example>' DATA \
	'~Subject: one\r\n\r\nbody\n.\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<victim@customer.example>\r\nDATA\r\nSubject: two\r\n\r\nevil' '.' >/dev/null
smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<smuggle@customer.example>' DATA \
	'~Subject: one\r\n\r\nbody\n.\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<victim@customer.example>\r\nDATA\r\nSubject: two\r\n\r\nevil' '.' >/dev/null
try 'what was sent arrives' wait_for 40 sh -c "[ \$(wc -l <$relay/primary.ledger) -ge $((before + 2)) ]"
sleep 1
is "$(grep -c victim@customer.example "$relay/primary.ledger" || true)" 0 'a bare newline smuggles nothing, from mynetworks either'

# --- BDAT
smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<bdat@customer.example>' 'BDAT 17 LAST\r\nSubject: x\r\n\r\nyz' >/dev/null
try 'BDAT is delivered' wait_for 40 grep -q bdat@customer.example "$relay/primary.ledger"

# --- expiry, with notices asked for
primary down
like "$(send sender@hosted.example expire@customer.example NOTIFY=SUCCESS,FAILURE,DELAY)" '^250 ' 'the primary is down: taken'
like "$(send '' expire-null@customer.example)" '^250 ' 'of the null sender too'
pf_run "$relay" sendmail -C "$relay/etc" -bv expire@customer.example >/dev/null 2>&1 || true
printf 'Subject: local\n\nx\n' | pf_run "$relay" sendmail -C "$relay/etc" -f root@relay1.example -N success,failure,delay expire-local@customer.example
# Those two, and expire-local; the report of `-bv` is none of them.
queue_has_all() { [ "$(pf_queue "$relay" | grep -c 'expire[a-z-]*@customer.example')" -ge 3 ]; }
try 'all of it waits' wait_for 40 queue_has_all
sed -i 's/^maximal_queue_lifetime = .*/maximal_queue_lifetime = 1s/; s/^bounce_queue_lifetime = .*/bounce_queue_lifetime = 1s/' "$relay/etc/main.cf"
pf_reload "$relay"
try 'all of it expires' wait_for 60 queue_empty
expired() { [ "$(grep -c 'status=expired' "$relay/log/mail.log")" -ge 3 ]; }
wait_for 15 expired || true # postlogd writes a moment later
is "$(grep -c 'status=expired' "$relay/log/mail.log")" 3 'three messages have expired'
sleep 2
is "$(caught)" "$control" 'no notice left the relay, and none lies in the queue'
primary up
like "$(grep -c 'mxhold-void\|cleanup.*discard' "$relay/log/mail.log" || true)" '^[1-9]' 'the notices that Postfix wrote were discarded'

# --- 5xx without our transport: error(8), local(8)
printf 'Subject: local\n\nx\n' | pf_run "$relay" sendmail -C "$relay/etc" -f sender@hosted.example nobody-here@relay1.example
try 'mail for an unknown local user ends' wait_for 40 queue_empty
sleep 1
is "$(caught)" "$control" 'an unknown local user gives no notice'

# --- the same behind postscreen, and out of the chroot
try 'rollback (the lifetime was edited)' pfc rollback --force
rm -r "$relay/etc/mxhold-saved"
awk -v port=":$port" '
	/^[^# \t]/ && $5 == "y" { $5 = "n" }
	$1 ~ port && $2 == "inet" { $7 = 1; $8 = "postscreen" }
	{ print }
	END {
		print "smtpd pass - - n - - smtpd -o { smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination }"
		print "tlsproxy unix - - n - 0 tlsproxy"
		print "dnsblog unix - - n - 0 dnsblog"
	}' "$relay/etc/master.cf" >"$relay/master.new"
cp "$relay/master.new" "$relay/etc/master.cf"
pf_reload "$relay"
try 'apply behind postscreen, without a chroot' pfc apply
like "$(postconf -c "$relay/etc" -Mf mxhold/unix)" '^mxhold +unix +- +- +n ' 'our transports live where smtp lives'
primary up
talk=$(smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<u@elsewhere.example>' 'RCPT TO:<screened@customer.example>' \
	DATA '~Subject: x\r\n\r\nbody' '.')
like "$talk" '^450 4.7.1 .*region' 'the gate speaks behind postscreen, also where a service had restrictions of its own'
try 'and mail is delivered, through the fence' wait_for 40 grep -q screened@customer.example "$relay/primary.ledger"

# --- the control: without the two options, the catcher sees a notice
sed -i 's/^maximal_queue_lifetime = .*/maximal_queue_lifetime = 1s/; s/^bounce_queue_lifetime = .*/bounce_queue_lifetime = 1s/' "$relay/etc/main.cf"
sed -i '/-o cleanup_service_name=mxhold-void/d; /-o internal_mail_filter_classes/d' "$relay/etc/master.cf"
like "$(pfc status 2>&1 || true)" 'what is applied is not what' 'status tells of the missing options'
pf_reload "$relay"
primary down
like "$(send sender@hosted.example control@customer.example)" '^250 ' 'control: taken'
try 'control: without the overlay on bounce, a notice leaves' wait_for 60 grep -q sender@hosted.example "$relay/catcher.ledger"

tap_done
