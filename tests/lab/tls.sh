#!/bin/sh
# lab-tls: a row that requires TLS is delivered over TLS or waits; every other one uses TLS where it is offered, and goes
# without where it is not; the relay itself offers STARTTLS where it has a certificate. No notice in any case.
#
# The servers: `tls` is one more Postfix, which speaks TLS as soon as it is told to; `plain`, `refuse` and `garble` are
# tests/tools/primary.c: one does not offer STARTTLS, one answers it with 454, one with 220 and then no TLS.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$2" \
		-keyout "$LAB/$1.key" -out "$LAB/$1.crt" 2>>"$LAB/log/openssl.log"
}

# It does not offer DSN: what the sender wants to hear would be the relay's to tell.
# shellcheck disable=SC2016
tls_server() {
	lab_host tls 198.51.100.30
	certificate tls tls.customer.example
	PF_EXEC=$(lab_words tls) pf_create "$LAB/tls" tls.customer.example
	lab_pf tls pf_set "smtpd_tls_cert_file=$LAB/tls.crt" "smtpd_tls_key_file=$LAB/tls.key" \
		smtpd_tls_security_level=none smtpd_tls_loglevel=1 smtpd_tls_received_header=yes \
		'mydestination=$myhostname,must-tls.example,may-tls.example' local_recipient_maps= luser_relay=root smtpd_discard_ehlo_keywords=dsn
	lab_pf tls pf_start
}

authorise() {
	lab_soc "insert into mxhold.customer (name) values ('acme');
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk')"
	for server in tls:30 plain:25 refuse:26 garble:27; do
		lab_soc "insert into mxhold.domain (name, customer, tls_required, next_hops, mx_check) values
			('must-${server%:*}.example', 'acme', true, '[198.51.100.${server#*:}]:25', false),
			('may-${server%:*}.example', 'acme', false, '[198.51.100.${server#*:}]:25', false)"
	done
}

# send ID-DOMAIN: a message whose sender wants to hear of everything
send() {
	like "$(lab_send eu "x@$1.example" "$1" 'RET=FULL ENVID=tls' sender@out.example NOTIFY=SUCCESS,FAILURE,DELAY)" '^250 ' "$1: taken"
}

# waits DOMAIN REASON
waits() {
	try "$1: tried" wait_for 40 lab_is_deferred eu "x@$1.example"
	try "$1: waits, for the right reason" wait_for 20 lab_because eu "x@$1.example" "$2"
	note "$(lab_deferred eu "x@$1.example")"
}

# The local delivery of `tls` writes a mailbox; Postfix notes there whether the line was encrypted.
# shellcheck disable=SC2317 # called by name
in_mailbox() {
	grep -Eqs "X-Ledger-Id: $1\$" "$LAB/tls/mail"/*
}
# shellcheck disable=SC2317 # called by name
encrypted() {
	awk -v id="$1" '/^From /{ tls = 0 } /using TLS/ { tls = 1 } $0 == "X-Ledger-Id: " id { found = tls } END { exit !found }' \
		"$LAB/tls/mail"/*
}
# shellcheck disable=SC2317 # called by name
none_of_tls() {
	[ "$(lab_queue eu | grep -c 'x@m[a-z]*-tls.example')" -eq 0 ]
}

lab_hosts
lab_authority
authorise
lab_server plain primary 198.51.100.25:25
lab_server refuse primary 198.51.100.26:25
lab_server garble primary 198.51.100.27:25
lab_server_do refuse at starttls reply '454 4.7.0 TLS is not available' >/dev/null
lab_server_do garble at starttls reply '220 2.0.0 go ahead' >/dev/null
lab_catcher_start
tls_server
certificate eu europe.mx.backup.example
LAB_POSTFIX="smtpd_tls_cert_file=$LAB/eu.crt smtpd_tls_key_file=$LAB/eu.key smtp_tls_loglevel=1 smtp_starttls_timeout=3s" lab_relay eu
lab_relay hk
try 'both relays are in step with the authority' wait_for 60 lab_in_step

# --- towards the primary: no TLS yet
for domain in must-tls must-plain must-refuse must-garble may-plain may-refuse may-garble; do send "$domain"; done
waits must-tls '4\.7\.4|TLS is required'
waits must-plain 'TLS is required, but was not offered'
try 'must-plain: logged as 4.7.4' wait_for 20 lab_logged eu 'to=<x@must-plain.example>.*dsn=4\.7\.4.*status=deferred'
waits must-refuse 'TLS is not available|4\.7'
waits must-garble 'TLS|handshake|4\.7\.5'
try 'may-plain: delivered without' wait_for 60 lab_arrived may-plain plain
try 'may-refuse: delivered without' wait_for 60 lab_arrived may-refuse refuse
try 'may-garble: delivered without' wait_for 60 lab_arrived may-garble garble
lab_flush eu
sleep 3
for server in plain refuse garble; do
	is "$(grep -c "must-$server" "$LAB/$server/ledger" || true)" 0 "must-$server: nothing came in clear"
	try "must-$server: it is in the queue" wait_for 10 lab_queued eu "x@must-$server.example"
done
is "$(grep -c 'X-Ledger-Id: must-tls' "$LAB/tls/mail"/* 2>/dev/null || true)" '' 'must-tls: nothing came in clear'

# --- with Postfix's own times, too: smtp(8) goes without TLS only with what is older than its minimal_backoff_time
lab_pf eu pf_set minimal_backoff_time=300s maximal_backoff_time=4000s
lab_pf eu pf_reload
like "$(lab_send eu late@may-garble.example late-garble)" '^250 ' 'late-garble: taken'
# shellcheck disable=SC2317 # called by name
late_arrives() {
	lab_flush eu
	sleep 1
	lab_arrived late-garble garble
}
try 'late-garble: delivered without, at its second try or third' wait_for 30 late_arrives
lab_pf eu pf_set minimal_backoff_time=2s maximal_backoff_time=4s
lab_pf eu pf_reload

# --- the primary speaks TLS now
lab_pf tls pf_set smtpd_tls_security_level=may
lab_pf tls pf_reload
lab_flush eu
try 'must-tls: delivered as soon as TLS is offered' wait_for 60 in_mailbox must-tls
try 'must-tls: over TLS' encrypted must-tls
send may-tls
try 'may-tls: delivered' wait_for 60 in_mailbox may-tls
try 'may-tls: over TLS, as it is offered' encrypted may-tls
try 'both are gone from the queue' wait_for 20 none_of_tls
# An inherited policy must not weaken what a row requires.
lab_pf eu pf_set 'smtp_tls_policy_maps=static:none'
lab_pf eu pf_reload
lab_flush eu
sleep 4
is "$(grep -c must-plain "$LAB/plain/ledger" || true)" 0 'must-plain: a TLS policy of the instance does not weaken it'
try 'must-plain: it is in the queue' wait_for 10 lab_queued eu x@must-plain.example

# --- the row changes its mind: the mail that waits is delivered
lab_soc_now "update mxhold.domain set tls_required = false where name = 'must-plain.example'"
lab_flush eu
sleep 1
# shellcheck disable=SC2317 # called by name
resent() {
	lab_flush eu
	sleep 2
	lab_arrived must-plain plain
}
try 'must-plain: delivered when the row requires TLS no more' wait_for 25 resent

# --- towards senders
ehlo() {
	lab_talk "$1" 'EHLO sender.out.example' QUIT
}
like "$(ehlo eu)" 'STARTTLS' 'a relay with a certificate offers STARTTLS'
is "$(ehlo hk | grep -c STARTTLS || true)" 0 'one without does not'
# Each command after the reply to the one before.
lab_in sender timeout 120 python3 - >"$LAB/log/by-tls" 2>&1 <<'PYTHON' || true
import smtplib, ssl
session = smtplib.SMTP('192.0.2.11', 25, 'sender.out.example', timeout=60)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
def tell(reply):
    print(reply[0], reply[1].decode(), flush=True)
session.ehlo()
session.starttls(context=context)
print('TLS:', session.sock.version())
tell(session.ehlo())
tell(session.mail('sender@out.example'))
tell(session.rcpt('x@foreign.example'))
tell(session.rcpt('y@may-plain.example'))
tell(session.data('Subject: x\r\nX-Ledger-Id: by-tls\r\n\r\nx\r\n'))
session.quit()
PYTHON
like "$(cat "$LAB/log/by-tls")" '^TLS: TLSv1' 'the relay speaks TLS'
like "$(cat "$LAB/log/by-tls")" '^554 5\.7\.1 <x@foreign.example>' 'over TLS: a foreign domain is refused'
try 'over TLS: a customer'"'"'s mail is taken and delivered' wait_for 60 lab_arrived by-tls plain

is "$(grep -hE 'status=(bounced|expired)' "$LAB/eu/log/mail.log" || true)" '' 'no message bounced'
is "$(wc -l <"$LAB/catcher/ledger")" 0 'no notice came to the sender'
lab_done
