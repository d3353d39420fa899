#!/bin/sh
# lab-notice: no 5xx of a primary ends a message, at whatever stage; and no notice of any kind leaves a relay: not at
# expiry, not for a null sender or a sender in a hosted domain, not for NOTIFY=, BDAT, SMTPUTF8 or local mail. The catcher
# is the sender's own server: first it is shown that mail from the relay can reach it, then it must stay empty.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

lab_myself() {
	lab_pf eu pf_run sendmail -C "$LAB/eu/etc" "$@"
}

# --- no 5xx of the primary ends a message --------------------------------------------------------------------------

stages() {
	cat <<-'STAGES'
		banner;554 5.7.1 not you
		ehlo;550 5.7.1 not with this name
		mail;550 5.1.8 sender refused
		rcpt;550 5.1.1 User unknown
		rcpt;554 5.7.1 Relay access denied
		rcpt;521 5.3.2 this host takes no mail
		rcpt;556 5.1.10 null MX
		data;554 5.7.1 no data from you
		end;554 5.6.0 content refused
		end;552 5.3.4 too big
		starttls;554 5.7.0 no TLS today
	STAGES
}

try_stages() {
	count=0
	while IFS=';' read -r stage text; do
		count=$((count + 1))
		lab_primary reset
		lab_primary at "$stage" reply "$text"
		[ "$stage" != starttls ] || lab_primary at rcpt reply '550 5.1.1 neither in the clear'
		lab_send eu "stage$count@customer.example" "stage-$count" >/dev/null
		wait_for 30 lab_is_deferred eu "stage$count@customer.example" || true
		# A second try: the answer of a cached session, too.
		lab_flush eu
		sleep 0.7
		try "$stage \"$text\": the message stays" wait_for 30 lab_is_deferred eu "stage$count@customer.example"
	done
	printf '%s\n' "$count" >"$LAB/count"
}

stages_delivered() {
	count=$(cat "$LAB/count")
	lab_primary reset
	lab_flush eu
	while [ "$count" -gt 0 ]; do
		wait_for 60 lab_arrived "	stage-$count	" && state=delivered || state=missing
		is "$state" delivered "the primary is well again: message $count is delivered"
		count=$((count - 1))
	done
}

# What does the catcher see? Without mxhold's settings a notice would come: the way is open.
way_is_open() {
	printf 'Subject: control\nX-Ledger-Id: control\n\nhello\n' | lab_myself -f operator@mx.example sender@out.example
	try 'control: mail from this relay can reach the sender'"'"'s server' wait_for 40 lab_arrived control catcher
	: >"$LAB/catcher/ledger"
}

# --- everything that asks for a notice -------------------------------------------------------------------------------

provoke() {
	lab_primary reset
	lab_primary at rcpt reply '550 5.1.1 User unknown'
	lab_send eu plain@customer.example n-plain
	lab_send eu null@customer.example n-null '' ''
	lab_send eu hosted@customer.example n-hosted '' sender@hosted.example
	lab_send eu self@customer.example n-self '' someone@customer.example
	lab_send eu notify@customer.example n-notify 'RET=FULL ENVID=abc' sender@out.example 'NOTIFY=SUCCESS,FAILURE,DELAY'
	lab_send eu never@customer.example n-never '' sender@out.example NOTIFY=NEVER
	lab_send eu '"quo ted"@customer.example' n-quoted '' sender@out.example NOTIFY=SUCCESS,FAILURE
	lab_send eu orcpt@customer.example n-orcpt '' sender@out.example 'NOTIFY=FAILURE ORCPT=rfc822;x@out.example'
	lab_send eu owner@nosuch.example n-foreign '' sender@out.example 'NOTIFY=FAILURE'
	lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example> SMTPUTF8' 'RCPT TO:<utf@customer.example>' DATA QUIT
	lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<bdat@customer.example> NOTIFY=FAILURE,DELAY' \
		'!send BDAT 12 LAST\r\nSubject: b\r\n' '!read' QUIT
	printf 'Subject: local\n\nx\n' | lab_myself -f sender@out.example -N success,failure,delay local@customer.example
	printf 'Subject: local\n\nx\n' | lab_myself -f sender@out.example -N failure nosuch@nowhere.example
	printf 'Subject: local\n\nx\n' | lab_myself -f sender@out.example nosuch@europe.mx.backup.example
	printf 'Subject: local\n\nx\n' | lab_myself -f sender@out.example -bv customer@customer.example
	# Protocol errors and policy refusals are what notify_classes would report to the postmaster.
	lab_talk eu 'EHLO s' 'FOO' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@nowhere.example>' 'DATA' QUIT
	lab_talk eu 'EHLO s' '!send MAIL FROM:<a@out.example>\r\nRCPT TO:<x@customer.example>\r\nBDAT 5 LAST\r\n12' '!reset'
}

# NOTIFY=SUCCESS on a message that is delivered: Postfix would report "relayed" itself.
success() {
	lab_primary reset
	lab_send eu success@customer.example n-success '' sender@out.example NOTIFY=SUCCESS
	try 'a message with NOTIFY=SUCCESS is delivered' wait_for 40 lab_arrived n-success
}

shorten_lifetime() {
	sed -i 's/^queue_lifetime = .*/queue_lifetime = 8s/' "$LAB/eu/mxhold.conf"
	try 'a shorter queue_lifetime is applied' lab_apply eu
}

more_domain() {
	printf 'hosted.example.\tMX\t10 mail.out.example.\n'
}

more_domain >"$LAB/more.zone"
# The sender's network is allowed as well: what keeps notices in must not be the fence.
LAB_FENCE='198.51.100.0/24, 2001:db8:51::/48, 203.0.113.0/24, 2001:db8:113::/48'
lab_hosts
lab_authority
lab_soc "insert into mxhold.customer (name) values ('acme');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu');
	insert into mxhold.domain (name, customer) values ('customer.example', 'acme'), ('hosted.example', 'acme')"
lab_primary_start
lab_catcher_start
lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step
way_is_open
success
stages >"$LAB/stages"
try_stages <"$LAB/stages"
stages_delivered
shorten_lifetime
provoke >"$LAB/log/provoke.log" 2>&1
try 'all that is undeliverable has expired: the queue is empty' wait_for 90 lab_queue_empty eu
sleep 1
try 'messages did expire' wait_for 10 lab_logged eu 'status=expired'
is "$(grep -c 'status=bounced' "$LAB/eu/log/mail.log" || true)" 0 'none bounced before'
is "$(cat "$LAB/catcher/ledger")" '' 'no notice came to the sender'"'"'s server'
like "$(lab_server_do catcher count)" '^connections=1 ' 'no connection came to it but the control'
is "$(grep -c 'to=<sender@out.example>.*status=sent (2' "$LAB/eu/log/mail.log")" 1 'the log knows of no mail to the sender but the control'
is "$(grep -c 'to=<.*@hosted.example>.*status=' "$LAB/eu/log/mail.log" || true)" 0 'nor of mail to the sender in a hosted domain'
is "$(grep -Ec '	<(double-bounce@[^>]*|MAILER-DAEMON@[^>]*)>	' "$LAB/primary/ledger" || true)" 0 'nor did one come to the primary'
lab_done
