#!/bin/sh
# lab-hold: while the primary is away its mail is held, and shown in the queue; back, it gets everything, the relay's disk
# keeps nothing, and the log still says date, time, sender and recipient. A domain that is removed, moved to another region
# or suspended while its mail is held is still delivered, to its own primary, behind the fence, by its next hops.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

authorise() {
	lab_soc "
	insert into mxhold.customer (name) values ('acme'), ('leaving');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk'), ('leaving', 'eu');
	insert into mxhold.domain (name, customer, next_hops) values ('customer.example', 'acme', null),
		('removed.example', 'acme', '[198.51.100.27]:25'), ('moved.example', 'acme', '[198.51.100.28]:25'),
		('paused.example', 'acme', '[198.51.100.29]:25'), ('left.example', 'leaving', '[198.51.100.26]:25'),
		('hop-absent.example', 'acme', null), ('changed.example', 'acme', '[198.51.100.99]:25');
	insert into mxhold.domain (name, customer, include_subdomains) values ('sub.example', 'acme', true)"
}

withdraw() {
	lab_soc_now "
	delete from mxhold.domain where name in ('removed.example', 'hop-absent.example', 'left.example');
	delete from mxhold.customer where name = 'leaving';
	insert into mxhold.domain_region (domain, region) values ('moved.example', 'hk');
	update mxhold.domain set suspended = true where name = 'paused.example';
	update mxhold.domain set include_subdomains = false where name = 'sub.example';
	update mxhold.domain set next_hops = '[198.51.100.28]:25' where name = 'changed.example'"
}

domains='customer removed moved paused left hop-absent a.sub changed'

spool_files() {
	find "$LAB/eu/spool/incoming" "$LAB/eu/spool/active" "$LAB/eu/spool/deferred" "$LAB/eu/spool/hold" \
		"$LAB/eu/spool/bounce" "$LAB/eu/spool/defer" "$LAB/eu/spool/trace" "$LAB/eu/spool/corrupt" -type f
}

# What a restart of everything leaves of it.
restart_all() {
	for daemon in sync policyd milter; do lab_unkeep "eu.$daemon"; done
	lab_pf eu pf_stop
	lab_pf eu pf_start
	lab_daemons eu
}

lab_hosts
lab_authority
authorise
lab_primary_start
lab_relay eu
lab_relay hk
try 'the relays are in step with the authority' wait_for 60 lab_in_step
lab_primary down
for domain in $domains; do
	like "$(lab_send eu "user@$domain.example" "hold-$domain")" '^250 ' "the primary is down: $domain.example is taken"
done
lab_talk eu 'EHLO s' 'MAIL FROM:<big@out.example>' 'RCPT TO:<one@customer.example>' 'RCPT TO:<two@customer.example>' DATA \
	'!send X-Ledger-Id: big\r\n\r\n' '!fill 2000000' '!send .\r\n' '!read' QUIT >/dev/null
wait_for 40 lab_is_deferred eu user@changed.example || true
# A listing can miss a message that moves from one part of the queue to another.
# shellcheck disable=SC2317
shown() {
	lab_queue eu | grep -F "user@$1.example" | grep -Fq '"sender": "sender@out.example"'
}
for domain in $domains; do
	try "the queue shows sender and recipient for $domain.example" wait_for 10 shown "$domain"
done
like "$(lab_pf eu pf_run mailq -C "$LAB/eu/etc" | grep -c 'sender@out.example')" '^[1-9]' 'mailq shows the messages too'

withdraw
for domain in removed moved paused left hop-absent a.sub; do
	like "$(lab_rcpt eu "new@$domain.example")" '^450 4.7.1' "withdrawn: nothing new for $domain.example"
done
restart_all
try 'after a restart of everything the daemons are there' wait_for 60 lab_has_snapshot eu

hk_before=$(lab_accepted hk)
lab_primary up
lab_flush eu
for domain in $domains; do
	try "the primary is up: the held message for $domain.example is delivered" wait_for 60 lab_arrived "	hold-$domain	"
done
try 'and the large one' wait_for 60 lab_arrived 'big	<big@out.example>	<two@customer.example>'
try 'the queue is empty' wait_for 40 lab_queue_empty eu
is "$(spool_files)" '' 'nothing of a message is left on the disk of the relay'
is "$(cut -f2 "$LAB/primary/ledger" | grep -v big | sort | uniq -d)" '' 'no message came twice'
is "$(lab_accepted hk)" "$hk_before" 'nothing went to the other relay'
for domain in $domains; do
	wait_for 10 lab_logged eu "to=<user@$domain.example>.*status=sent" || true
	id=$(sed -n "s/.* \\([0-9A-Za-z]*\\): to=<user@$domain.example>.*status=sent.*/\\1/p" "$LAB/eu/log/mail.log" | head -1)
	like "$(grep "$id: from=<" "$LAB/eu/log/mail.log" | head -1)" '^[A-Z][a-z]{2} +[0-9]+ [0-9:]{8} .*from=<sender@out.example>, size=' \
		"the log tells date, time and sender of $domain.example"
	like "$(grep "$id: to=<" "$LAB/eu/log/mail.log" | tail -1)" "^[A-Z][a-z]{2} +[0-9]+ [0-9:]{8} .*to=<user@$domain.example>.*status=sent" \
		"and date, time, recipient and outcome"
done
lab_done
