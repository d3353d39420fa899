#!/bin/sh
# lab-rules: the rules of the decision (docs/decisions.md) by SMTP, on the whole relay: Postfix, policyd, milter, sync and
# PostgreSQL. Each line of the table is one recipient and the reply that he must get. Then the same through one smtpd
# process, before and after a change of the tables.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

authorise() {
	lab_soc "
	insert into mxhold.customer (name) values ('acme'), ('asia'), ('nowhere'), ('small');
	insert into mxhold.customer (name, suspended) values ('paused', true);
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk'), ('asia', 'hk'),
		('paused', 'eu'), ('small', 'eu');
	insert into mxhold.domain (name, customer) values ('customer.example', 'acme'), ('hkonly.example', 'asia'),
		('narrowed.example', 'acme'), ('gone.example', 'acme'), ('noregion.example', 'nowhere'),
		('paused.example', 'paused'), ('xn--bcher-kva.example', 'acme');
	insert into mxhold.domain (name, customer, include_subdomains) values ('sub.example', 'acme', true);
	insert into mxhold.domain (name, customer, suspended) values ('suspended.example', 'acme', true);
	insert into mxhold.domain (name, customer, size_limit, oversize) values ('small.example', 'small', 10000, null),
		('soft.example', 'small', 10000, 'defer');
	insert into mxhold.domain_region (domain, region) values ('narrowed.example', 'hk')"
}

# --- the table: expected reply (an ERE); recipient; parameters of MAIL; what it is ----------------------------------

table() {
	cat <<-'TABLE'
		^250 ;x@customer.example;;12: authorised
		^250 ;X.y+z@CUSTOMER.Example;;12: another case
		^250 ;x@customer.example.;;12: a trailing dot
		^250 ;"x y"@customer.example;;12: a quoted local part
		^250 ;x@xn--bcher-kva.example;;12: IDN as an A-label
		^250 ;x@XN--Bcher-KVA.example;;12: IDN as an A-label in another case
		^250 ;x@sub.example;;12: a row with include_subdomains
		^250 ;x@a.sub.example;;12: its subdomain
		^250 ;x@a.b.sub.example;;12: and a deeper one
		^554 5.7.1;x@deep.customer.example;;4: a subdomain where the row does not say so
		^554 5.7.1;x@notsub.example;;4: a name that only ends alike
		^554 5.7.1;x@example;;4: a top-level domain
		^554 5.7.1;x@nowhere.example;;4: a foreign domain
		^554 5.7.1;x@nowhere.example;SIZE=99999999;4: a foreign domain, also with a large SIZE
		^554 5.7.1;x%other.example@nowhere.example;;4: a percent hack without a domain of ours
		^450 4.7.1;x@gone.example;;5: retired
		^450 4.7.1;x@suspended.example;;6: the domain is suspended
		^450 4.7.1;x@paused.example;;6: the customer is suspended
		^450 4.7.1;x@hkonly.example;;7: another region
		^450 4.7.1;x@narrowed.example;;7: narrowed to another region by the domain
		^450 4.7.1;x@noregion.example;;7: a customer without a region
		^450 4.1.3;x%customer.example@nowhere.example;;0: percent hack to a domain of ours
		^450 4.1.3;x%hkonly.example@nowhere.example;;0: percent hack to another region's domain
		^450 4.1.3;x%nowhere.example@customer.example;;0: percent hack through a domain of ours
		^450 4.1.3;customer.example!x@nowhere.example;;0: bang path
		^450 4.1.3;nowhere.example!x@customer.example;;0: bang path at a domain of ours
		^450 4.1.3;"x@customer.example"@nowhere.example;;0: an @ in quotes
		^450 4.1.3;"x@nowhere.example"@customer.example;;0: an @ in quotes at a domain of ours
		^450 4.1.3;"x%nowhere.example"@customer.example;;0: a percent in quotes
		^450 4.1.3;"nowhere.example!x"@customer.example;;0: a bang in quotes
		^450 4.1.3;x@customer.example@nowhere.example;;0: two of @
		^450 4.1.3;customer.example!x;;0: bang path without @
		^450 4.1.3;x%customer.example;;0: percent without @
		^(450|501|550|553|554) ;@customer.example;;an empty local part
		^(450|501|550|553|554) ;""@customer.example;;an empty local part in quotes
		^250 ;postmaster;;postmaster without a domain
		^250 ;postmaster@europe.mx.backup.example;;postmaster of the relay
		^550 5.1.1;nosuch@europe.mx.backup.example;;an unknown user of the relay's own name
		^550 5.1.1;nosuch@[192.0.2.11];;an unknown user of the relay's own address
		^550 5.1.1;nosuch@[127.0.0.1];;an unknown user of a loopback address
		^550 5.1.1;nosuch@[IPv6:2001:db8::11];;an unknown user of the relay's own IPv6 address
		^5[0-9][0-9] ;x@[203.0.113.9];;somebody else's address literal
		^250 ;x@customer.example;SIZE=10485760;11: SIZE at the limit
		^250 ;x@customer.example;SIZE=10487808;11: SIZE at the limit and the slack
		^552 5.3.4;x@customer.example;SIZE=10487809;11: one byte more
		^552 5.3.4;x@customer.example;SIZE=157286400;11: as much as Postfix itself would take
		^250 ;x@small.example;SIZE=12048;11: a domain with a limit of its own
		^552 5.3.4;x@small.example;SIZE=12049;11: one byte more
		^452 4.3.4;x@soft.example;SIZE=12049;11: one byte more, where the row says defer
		^450 4.7.1;x@hkonly.example;SIZE=99999999;7 before 11
	TABLE
}

run_table() {
	while IFS=';' read -r want recipient parameters text; do
		like "$(lab_rcpt eu "$recipient" "$parameters")" "$want" "$text: <$recipient> $parameters"
	done
}

# A U-label by bytes: whatever is said, what is taken must reach the server.
u_label() {
	reply=$(lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<sender@out.example>' \
		'!send RCPT TO:<x@b\xc3\xbccher.example>\r\n' '!read' DATA '!send X-Ledger-Id: u-label\r\n\r\nhi\r\n.\r\n' '!read' QUIT)
	note "$(printf '%s\n' "$reply" | sed -n 4p)"
	case $(printf '%s\n' "$reply" | sed -n 4p) in
	250*) try 'a U-label in UTF-8 is taken, and delivered' wait_for 40 lab_arrived u-label ;;
	*) like "$(printf '%s\n' "$reply" | sed -n 4p)" '^[45]' 'a U-label in UTF-8 is not taken: the sender knows at once' ;;
	esac
}

# --- sizes that nobody declares -----------------------------------------------------------------------------------------

# send_bytes RECIPIENT BYTES DATA|BDAT: the last reply. BYTES is the whole content, headers and line ends included.
send_bytes() {
	case $3 in
	DATA) lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<sender@out.example>' "RCPT TO:<$1>" DATA \
		'!send Subject: s\r\n\r\n' "!fill $(($2 - 14))" '!send .\r\n' '!read' QUIT | sed -n 8p ;;
	BDAT) lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<sender@out.example>' "RCPT TO:<$1>" \
		'!send BDAT 14\r\nSubject: s\r\n\r\n' '!read' "!send BDAT $(($2 - 14)) LAST\\r\\n" "!fill $(($2 - 14))" \
		'!read' QUIT | sed -n 8p ;;
	esac
}

sizes() {
	for way in DATA BDAT; do
		like "$(send_bytes x@small.example 10000 $way)" '^250 ' "$way: as many bytes as the limit"
		like "$(send_bytes x@small.example 10001 $way)" '^552 5.3.4' "$way: one byte more"
		like "$(send_bytes x@soft.example 10001 $way)" '^452 4.3.4' "$way: one byte more, where the row says defer"
		like "$(send_bytes x@customer.example 10485760 $way)" '^250 ' "$way: 10 MB"
		like "$(send_bytes x@customer.example 10485761 $way)" '^552 5.3.4' "$way: 10 MB and a byte"
	done
	reply=$(lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<s@out.example>' 'RCPT TO:<x@customer.example>' \
		'RCPT TO:<x@small.example>' QUIT | sed -n 4p)
	like "$reply" '^452 4.5.3' 'a recipient with a smaller limit, SIZE unknown: in a transaction of his own'
	reply=$(lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<s@out.example> SIZE=5000' 'RCPT TO:<x@customer.example>' \
		'RCPT TO:<x@small.example>' QUIT | sed -n 4p)
	like "$reply" '^250 ' 'with a SIZE that fits both: in one transaction'
}

# --- who runs as whom ----------------------------------------------------------------------------------------------------

uid_of() {
	sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}

users() {
	is "$(uid_of "$(lab_pid eu.sync)")" 64101 'sync runs as its user'
	for daemon in policyd:64102 milter:64103; do
		pid=$(pgrep -P "$(lab_pid "eu.${daemon%:*}")" | head -1)
		is "$(uid_of "$pid")" "${daemon#*:}" "${daemon%:*}: the child that serves runs as its user"
		is "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' "/proc/$pid/status")" 1 'and cannot gain privileges'
		is "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$pid/status")" 0000000000000000 'and has no capability'
	done
	is "$(stat -c '%U:%G %a' "$LAB/eu/spool/mxhold/policy")" 'root:postfix 660' 'the sockets belong to root and to group postfix'
	is "$(stat -c '%u:%g %a' "$LAB/eu/state/snapshot/data.mdb")" '64101:64100 640' 'the snapshot is written by sync alone'
}

# Mail for the relay's own postmaster goes to the operator.
postmaster() {
	for recipient in postmaster postmaster@europe.mx.backup.example abuse@europe.mx.backup.example; do
		id=pm-$(printf '%s' "$recipient" | tr -c 'a-z\n' -)
		like "$(lab_send eu "$recipient" "$id")" '^250 ' "<$recipient> is taken"
		try "and comes to the operator" wait_for 40 lab_arrived "$id	<sender@out.example>	<operator@primary.example>"
	done
}

# --- one and the same smtpd process ----------------------------------------------------------------------------------------

# The session stays open, so it is one process, with whatever it has cached.
ask() {
	lab_say "$1" 'MAIL FROM:<sender@out.example>' >/dev/null
	lab_say "$1" "RCPT TO:<$2>"
	lab_say "$1" RSET >/dev/null
}

one_process() {
	lab_open one eu
	lab_say one 'EHLO sender.out.example' >/dev/null
	like "$(ask one x@late.example)" '^554 5.7.1' 'open session: a domain that is not ours yet'
	lab_soc_now "insert into mxhold.domain (name, customer) values ('late.example', 'acme')"
	reply=$(ask one x@late.example)
	like "$reply" '^(250|4[0-9][0-9]) ' 'open session: just authorised, the recipient refused before gets no 5xx'
	note "$reply"
	like "$(ask one y@late.example)" '^250 ' 'open session: another recipient there is taken at once'
	lab_soc_now "update mxhold.domain set suspended = true where name = 'late.example'"
	like "$(ask one y@late.example)" '^450 4.7.1' 'open session: suspended, the recipient taken before is deferred'
	lab_soc_now "update mxhold.domain set suspended = false where name = 'late.example'"
	like "$(ask one y@late.example)" '^250 ' 'open session: resumed'
	lab_soc_now "select mxhold.customer_set_regions('acme', '{hk}')"
	like "$(ask one y@late.example)" '^450 4.7.1' 'open session: the region is withdrawn'
	lab_soc_now "select mxhold.customer_set_regions('acme', '{eu,hk}')"
	like "$(ask one y@late.example)" '^250 ' 'open session: the region is back'
	lab_soc_now "delete from mxhold.domain where name = 'late.example'"
	like "$(ask one y@late.example)" '^450 4.7.1' 'open session: the domain is removed'
	lab_soc_now "insert into mxhold.domain (name, customer) values ('late.example', 'acme')"
	like "$(ask one y@late.example)" '^250 ' 'open session: the removal was a mistake, and is undone'
	lab_close one
}

# --- a transaction that began before a change ---------------------------------------------------------------------------------

transaction_across() {
	lab_open across eu
	lab_say across 'EHLO sender.out.example' >/dev/null
	lab_say across 'MAIL FROM:<sender@out.example>' >/dev/null
	like "$(lab_say across 'RCPT TO:<z@late.example>')" '^250 ' 'a recipient is taken'
	lab_soc_now "update mxhold.domain set suspended = true where name = 'late.example'"
	lab_say across DATA >/dev/null
	lab_say across '!send X-Ledger-Id: across\r\n\r\nhello\r\n.\r\n' >/dev/null
	reply=$(lab_say across '!read')
	like "$reply" '^(250|4[0-9][0-9]) ' 'the domain is suspended before the data: no 5xx'
	note "$reply"
	lab_soc_now "update mxhold.domain set suspended = false where name = 'late.example'"
	lab_close across
}

# --- the authority is away ----------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2317
unknown_waits() {
	case $(lab_rcpt eu x@nowhere.example) in "450 4.7.1"*) ;; *) return 1 ;; esac
}

authority_away() {
	lab_pg pg_stop "$LAB/pg" fast
	sleep 11
	wait_for 20 unknown_waits || true
	like "$(lab_rcpt eu x@customer.example)" '^250 ' '6: without the authority, what is authorised stays so'
	like "$(lab_rcpt eu x@nowhere.example)" '^450 4.7.1' '3: without the authority, what is unknown waits'
	like "$(lab_rcpt eu x@hkonly.example)" '^450 4.7.1' '7: without the authority, regions hold'
	like "$(lab_rcpt eu postmaster)" '^250 ' 'without the authority, postmaster is taken'
	like "$(lab_rcpt eu nosuch@europe.mx.backup.example)" '^[45]50 ' 'without the authority, nobody is not'
	lab_pg pg_start "$LAB/pg" port=5432 bind=192.0.2.5 host_auth=scram-sha-256
	lab_soc "insert into mxhold.domain (name, customer) values ('after.example', 'acme')"
	try 'the authority is back: the relay is in step' wait_for 60 lab_in_step
	like "$(lab_rcpt eu x@after.example)" '^250 ' 'a domain that came since is taken'
	like "$(lab_rcpt eu x@nowhere.example)" '^554 5.7.1' '4: what is unknown is refused again'
}

snapshot_away() {
	lab_unkeep eu.sync
	mv "$LAB/eu/state/snapshot" "$LAB/eu/state/elsewhere"
	sleep 1.5
	like "$(lab_rcpt eu x@customer.example)" '^4' '2: no snapshot: later'
	like "$(lab_rcpt eu x@nowhere.example)" '^4' '2: no snapshot: a foreign domain is not refused for good'
	mv "$LAB/eu/state/elsewhere" "$LAB/eu/state/snapshot"
	sleep 1.5
	# To another address: an smtpd remembers how one resolved, also that it could not be told.
	like "$(lab_rcpt eu back@customer.example)" '^250 ' 'the snapshot is back'
	lab_keep eu.sync eu "$lab_bin/mxhold-sync" -f -c "$LAB/eu/mxhold.conf"
	wait_for 30 lab_in_step || true
}

lab_hosts
lab_authority
authorise
lab_primary_start
# Longer than a busy machine may keep sync waiting: an unknown domain is to be known as such.
LAB_STALE=10s lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step
lab_soc_now "delete from mxhold.domain where name = 'gone.example'"
table >"$LAB/table"
run_table <"$LAB/table"
like "$(LAB_FROM=hk lab_rcpt eu x@customer.example)" '^450 4.7.1' '1: the client is another relay of the fleet'
like "$(LAB_FROM=hk lab_rcpt eu x@nowhere.example)" '^(450|554) ' '1: another relay of the fleet, a foreign domain'
like "$(LAB_FROM=eu lab_rcpt eu x@customer.example)" '^450 4.7.1' '1: the client is this relay itself, by its public address'
u_label
users
postmaster
sizes
one_process
transaction_across
authority_away
snapshot_away
lab_done
