#!/bin/sh
# lab-hop: no relay hands mail to another, or into a special network, whatever the DNS says. Each odd MX set of lab.zone is
# a customer's domain; a message for it must reach the primary, or stay in the queue, and never come to the other relay,
# whose log and whose kernel's count of accepted connections prove it. No message ends as a bounce.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

# What must become of a message: primary (delivered there), held (stays in the queue) | domain | what is odd
table() {
	cat <<-'TABLE'
		primary;customer;as it should be: server, relays, server
		held;hop-best-self;the best MX is this relay: what is worse does not count
		held;hop-equal;both relays are best, at one preference
		held;hop-other-better;the other relay is better, this one stands between
		held;hop-equal-all;server and both relays at one preference: Postfix strikes what is not better than itself
		primary;hop-absent;this relay is not in the set, the other one is best
		held;hop-absent-worse;this relay is not in the set, the server is down, the other relay is next
		held;hop-clouds;only relays
		held;hop-only-other;only the other relay
		held;hop-only-self;only this relay
		primary;hop-cname;a CNAME for the other relay, then the server
		primary;hop-alias-a;a name of the customer's with the other relay's addresses, then the server
		held;hop-alias-only;only such a name
		primary;hop-case;the other relay in another case
		primary;hop-mixed;one name with the other relay's address and the server's
		held;hop-null;null MX
		held;hop-dangling;an MX that does not exist
		held;hop-loopback;an MX with loopback addresses
		held;hop-private;an MX with private, shared and link-local addresses
		held;hop-mapped;an MX with the other relay's address mapped into IPv6
		held;hop-docs;an MX in a special network that is not allowed
		held;hop-a-other;no MX, and the A record is the other relay's
		primary;hop-a-primary;no MX, and the A record is the server's
		held;hop-servfail;the MX cannot be looked up: SERVFAIL
		held;broken;the domain cannot be looked up: SERVFAIL
		held;hop-empty;neither MX nor A
		held;hop-nowhere;NXDOMAIN
		held;hop-nat;the best MX is this relay behind NAT, at an address that it does not have
		primary;hop-hops;next hops in the row: the server's address
		primary;hop-hops-two;next hops in the row: the first is down
		held;hop-tls;the row requires TLS, the server has none
		tls;hop-encrypted;the row requires TLS, the server has it
	TABLE
}

authorise() {
	lab_soc "
	insert into mxhold.customer (name) values ('acme');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk')"
	table | while IFS=';' read -r _ domain _; do
		printf "insert into mxhold.domain (name, customer) values ('%s.example', 'acme');\n" "$domain"
	done | lab_psql soc
	lab_soc "
	update mxhold.domain set next_hops = '[198.51.100.27]:25' where name = 'hop-hops.example';
	update mxhold.domain set next_hops = '[198.51.100.99]:25, [198.51.100.28]:25' where name = 'hop-hops-two.example';
	update mxhold.domain set tls_required = true where name = 'hop-tls.example';
	update mxhold.domain set tls_required = true, next_hops = '[198.51.100.30]:25' where name = 'hop-encrypted.example'"
}

# shellcheck disable=SC2317
all_settled() {
	# Every message of the table was tried: it left, or has a reason.
	[ "$(lab_queue eu | grep -vc delay_reason)" -eq 0 ]
}

# shellcheck disable=SC2317
has_left() {
	lab_arrived "	hop-$1	" || grep -rqs "X-Ledger-Id: hop-$1$" "$LAB/tls/mail"
}

# The reason why it is held. (There is none while it is tried again.)
noted() {
	lab_deferred eu "x@$1.example" >"$LAB/reason" && [ -s "$LAB/reason" ]
}

check_table() {
	while IFS=';' read -r want domain text; do
		# What is to leave may have to wait for its second try.
		[ "$want" = held ] || wait_for 30 has_left "$domain" || true
		if [ "$want" = held ]; then wait_for 30 noted "$domain" || true; else noted "$domain" || true; fi
		where=lost
		if lab_arrived "	hop-$domain	"; then where=primary; fi
		if grep -rqs "X-Ledger-Id: hop-$domain$" "$LAB/tls/mail"; then where=tls; fi
		reason=$(cat "$LAB/reason")
		[ -z "$reason" ] || where="$where held"
		case $where in primary) ;; 'lost held') where=held ;; esac
		is "$where" "$want" "$text ($domain.example)"
		[ -z "$reason" ] || note "$reason"
	done
}

try_table() {
	while IFS=';' read -r _ domain _; do
		reply=$(lab_send eu "x@$domain.example" "hop-$domain")
		case $reply in 250*) ;; *) ok 1 "$domain.example: $reply" ;; esac
	done
}

counts() {
	printf 'hk=%s nat=%s sender=%s' "$(lab_accepted hk)" "$(lab_accepted nat)" "$(lab_accepted sender)"
}

# A server that speaks TLS: one more Postfix. Its certificate is its own: what counts is that the line is encrypted.
# shellcheck disable=SC2016
tls_server() {
	lab_host tls 198.51.100.30
	PF_EXEC=$(lab_words tls) pf_create "$LAB/tls" tls.customer.example
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tls.customer.example \
		-keyout "$LAB/tls/etc/key.pem" -out "$LAB/tls/etc/cert.pem" 2>>"$LAB/log/openssl.log"
	lab_pf tls pf_set "smtpd_tls_cert_file=$LAB/tls/etc/cert.pem" "smtpd_tls_key_file=$LAB/tls/etc/key.pem" \
		smtpd_tls_security_level=encrypt smtpd_tls_loglevel=1 'mydestination=$myhostname,hop-encrypted.example' \
		local_recipient_maps= luser_relay=root
	lab_pf tls pf_start
}

# While policyd is away, the fence does not answer: nothing may leave.
policyd_away() {
	lab_primary down
	like "$(lab_send eu x@hop-only-other.example away-1)" '^250 ' 'a message for a domain with only the other relay'
	like "$(lab_send eu x@hop-absent.example away-2)" '^250 ' 'and one for a domain where it is best'
	wait_for 30 lab_is_deferred eu x@hop-absent.example || true
	lab_unkeep eu.policyd
	lab_primary up
	lab_flush eu
	sleep 3
	is "$(lab_arrived 'away-' && echo came || echo held)" held 'policyd away: mail stays in the queue'
	lab_keep eu.policyd eu "$lab_bin/mxhold-policyd" -f -c "$LAB/eu/mxhold.conf"
	sleep 1
	lab_flush eu
	try 'policyd is back: what has a primary is delivered' wait_for 60 lab_arrived away-2
}

bounced() {
	grep -hE 'status=(bounced|expired)' "$LAB"/*/log/mail.log || true
}

table >"$LAB/table"
# This relay is behind NAT for one more published name.
LAB_EU_ADDRESSES=192.0.2.11,192.0.2.211,2001:db8::11,2001:db8::211
export LAB_EU_ADDRESSES
lab_hosts
lab_authority
lab_soc "update mxhold.relay set names = '{europe.mx.backup.example,nat.mx.backup.example}' where name = 'eu1'"
authorise
lab_primary_start
lab_server natcatcher nat 192.0.2.211:25 '[2001:db8::211]:25'
lab_catcher_start
tls_server
LAB_POSTFIX='proxy_interfaces=192.0.2.211,2001:db8::211' lab_relay eu
lab_relay hk
try 'both relays are in step with the authority' wait_for 60 lab_in_step
before=$(counts)
try_table <"$LAB/table"
wait_for 30 all_settled || note 'some messages were not tried yet'
# Twice: caches, and what deferred mail does at its next try.
lab_flush eu
sleep 2
wait_for 30 all_settled || true
check_table <"$LAB/table"
like "$(grep -c 'TLS connection established from' "$LAB/tls/log/mail.log")" '^[1-9]' 'the log of the TLS server shows an encrypted line'
policyd_away
is "$(counts)" "$before" 'no connection came to the other relay, behind the NAT, or to a network that is not allowed'
is "$(grep -Ec 'connect from [^[]*\[(192\.0\.2\.11|2001:db8::11)\]' "$LAB/hk/log/mail.log" || true)" 0 'the log of the other relay knows of none'
is "$(bounced)" '' 'no message bounced'
is "$(wc -l <"$LAB/catcher/ledger")" 0 'no notice came to the sender'
# The same at the other end: the relay in Hong Kong must not hand anything to Europe.
before=$(lab_accepted eu)
for domain in hop-best-self hop-only-self hop-clouds customer; do
	like "$(lab_send hk "x@$domain.example" "hk-$domain")" '^250 ' "Hong Kong takes $domain.example"
done
try 'Hong Kong delivers to the server' wait_for 60 lab_arrived hk-customer
wait_for 30 lab_is_deferred hk x@hop-only-self.example || true
lab_flush hk
sleep 2
is "$(lab_accepted eu)" "$before" 'Hong Kong hands nothing to Europe'
lab_done
