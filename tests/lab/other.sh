#!/bin/sh
# lab-other: a relay that also carries other mail. Its own domains reach their mailboxes, its own users' mail goes out from
# mynetworks, its own unknown users get their 550 and its own bounces and aliases work as before, while customers' mail is
# behind the gate and the fence. Then all of it is taken back, and the files are as they were, byte for byte.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUICK=no # rollback wants the files as apply left them

zone() {
	cat <<-'ZONE'
		own.example.	MX	10 europe.mx.backup.example.
		own.example.	MX	20 hongkong.mx.backup.example.
		static.example.	MX	10 mail.customer.example.
	ZONE
}

# What the shared host did before there was mxhold. A pattern table of own domains stands before our map.
own_settings() {
	printf '%s\n' 'mydestination=europe.mx.backup.example,localhost,own.example' 'mynetworks=127.0.0.0/8,203.0.113.10/32' \
		'relay_domains=static.example' 'local_recipient_maps=inline:{{alice=1},{team=1},{root=1},{postmaster=1}}' \
		'alias_maps=inline:{{team=root}}' "virtual_alias_domains=virtual.example" \
		'virtual_alias_maps=inline:{{info@virtual.example=root}}' | tr '\n' ' '
}

# shellcheck disable=SC2317
mailbox_has() {
	grep -rqs "X-Ledger-Id: $1" "$LAB/eu/mail"
}

# Mail of the shared host, in the three ways that it takes.
own_mail() {
	like "$(lab_rcpt eu nobody-here@own.example)" '^550 5.1.1' "$1: an unknown user of an own domain gets 550"
	like "$(lab_send eu root@own.example "$1-local")" '^250 ' "$1: a user of an own domain is taken"
	try "$1: and reaches his mailbox" wait_for 40 mailbox_has "$1-local"
	like "$(lab_send eu team@own.example "$1-alias")" '^250 ' "$1: an alias is taken"
	try "$1: and reaches its mailbox" wait_for 40 mailbox_has "$1-alias"
	like "$(lab_send eu info@virtual.example "$1-virtual")" '^250 ' "$1: a virtual alias is taken"
	try "$1: and reaches its mailbox" wait_for 40 mailbox_has "$1-virtual"
	like "$(lab_send eu x@static.example "$1-static")" '^250 ' "$1: an own relay domain is taken"
	try "$1: and is delivered" wait_for 40 lab_arrived "$1-static"
	like "$(LAB_FROM=client lab_send eu someone@out.example "$1-out" '' alice@own.example)" '^250 ' \
		"$1: a client of mynetworks sends mail out"
	try "$1: and it arrives" wait_for 40 lab_arrived "$1-out" catcher
	like "$(lab_rcpt eu someone@out.example)" '^454|^554' "$1: a stranger cannot"
}

sums() {
	(cd "$LAB/eu/etc" && find . -type f ! -path './mxhold/*' -exec sha256sum {} + | sort)
}

zone >"$LAB/more.zone"
lab_hosts
lab_host client 203.0.113.10
lab_authority
lab_soc "insert into mxhold.customer (name) values ('acme');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk');
	insert into mxhold.domain (name, customer) values ('customer.example', 'acme')"
lab_primary_start
lab_catcher_start
lab_postfix eu
# shellcheck disable=SC2046
lab_pf eu pf_set $(own_settings)
lab_relay_conf eu shared
lab_pf eu pf_start
before=$(sums)
own_mail before
like "$(lab_rcpt eu x@customer.example)" '^[45]54 ' 'before: a customer is unknown here'

lab_daemons eu
try 'the daemons are ready' wait_for 60 lab_has_snapshot eu
lab_apply eu >"$LAB/log/refused.log" 2>&1 && refused=no || refused=yes
is "$refused" yes 'without --shared, apply refuses an instance that carries other mail'
is "$(sums)" "$before" 'and has changed nothing'
try 'with --shared it is applied' lab_apply eu --shared
sleep 1
own_mail after
like "$(lab_rcpt eu x@customer.example)" '^250 ' 'after: a customer is served'
like "$(LAB_FROM=client lab_rcpt eu x@customer.example)" '^250 ' 'after: also for a client of mynetworks'
lab_soc_now "update mxhold.domain set suspended = true where name = 'customer.example'"
like "$(LAB_FROM=client lab_rcpt eu x@customer.example)" '^450 4.7.1' 'after: the gate stands before mynetworks'
lab_soc_now "update mxhold.domain set suspended = false where name = 'customer.example'"
lab_send eu x@customer.example customer-1 >/dev/null
try 'after: customers'"'"' mail is delivered' wait_for 40 lab_arrived customer-1
try 'after: and logged' wait_for 20 lab_logged eu 'to=<x@customer.example>.*status=sent'

# The gate is away: own mail that was served before must not be refused for good.
lab_unkeep eu.policyd
for recipient in root@own.example x@static.example x@customer.example info@virtual.example nobody-here@own.example; do
	like "$(lab_rcpt eu "$recipient")" '^[24]|^550 5.1.1' "policyd away: $recipient gets no new 5xx"
done
lab_keep eu.policyd eu "$lab_bin/mxhold-policyd" -f -c "$LAB/eu/mxhold.conf"
sleep 1

try 'rollback' lab_ctl eu postfix rollback --overlay "$lab_top/postfix-conf/overlay.conf"
is "$(sums)" "$before" 'the files are as they were, byte for byte'
sleep 1
own_mail again
like "$(lab_rcpt eu x@customer.example)" '^[45]54 ' 'again: a customer is unknown here'
lab_done
