#!/bin/sh
# lab-smtp: hostile and odd SMTP: smuggling in every spelling of a line end, BDAT, ETRN, VRFY, commands ahead of their time,
# long lines, NUL. What counts is what comes out at the primary, and that nothing of ours dies.
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

daemons() {
	for daemon in sync policyd milter; do
		lab_pid "eu.$daemon"
		pgrep -P "$(lab_pid "eu.$daemon")" || true
	done
}

# --- smuggling -----------------------------------------------------------------------------------------------------

# Each end of data is sent within a message and followed by a whole second transaction from another sender.
smuggle() {
	mark=$1
	ending=$2
	lab_talk eu 'EHLO s.out.example' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' DATA \
		"!send X-Ledger-Id: outer-$mark\\r\\n\\r\\nfirst$ending""MAIL FROM:<admin@customer.example>\\r\\nRCPT TO:<victim@customer.example>\\r\\nDATA\\r\\nX-Ledger-Id: inner-$mark\\r\\n\\r\\nsmuggled\\r\\n.\\r\\n" \
		'!read' '!quiet 200' QUIT >"$LAB/log/smuggle-$mark.log"
	wait_for 40 lab_queue_empty eu || true
	is "$(grep -c 'admin@customer.example' "$LAB/primary/ledger" || true)" 0 "smuggling by $mark: no second message"
}

smuggling() {
	smuggle LF.LF '\n.\n'
	smuggle LF.CRLF '\n.\r\n'
	smuggle CRLF.LF '\r\n.\n'
	smuggle CR.CR '\r.\r'
	smuggle CR.CRLF '\r.\r\n'
	smuggle CRLF.CR '\r\n.\r'
	smuggle LF.CR '\n.\r'
	smuggle CR.LF '\r.\n'
	smuggle CRLF.CRCRLF '\r\n.\r\r\n'
	smuggle CRLFNUL.CRLF '\r\n\0.\r\n'
	smuggle CRLF.NULCRLF '\r\n.\0\r\n'
	# What comes out must be one message for the primary as well: its server takes only CRLF as a line's end.
	is "$(grep -lE '^(MAIL FROM|RCPT TO)' "$LAB"/primary/store/* 2>/dev/null | wc -l | tr -d ' ')" \
		"$(grep -c outer- "$LAB/primary/ledger" || true)" 'each carried what it was to smuggle as its text'
}

# --- BDAT -------------------------------------------------------------------------------------------------------------

bdat() {
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' \
		'!send BDAT 24\r\nX-Ledger-Id: bdat-1\r\n\r\nA' '!read' '!send BDAT 4 LAST\r\nB\r\n\n' '!read' QUIT)
	like "$(printf '%s\n' "$reply" | sed -n 7p)" '^250 ' 'BDAT in two chunks is taken'
	try 'and delivered' wait_for 40 lab_arrived bdat-1
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@nowhere.example>' \
		'!send BDAT 5 LAST\r\nabcde' '!read' QUIT)
	like "$(printf '%s\n' "$reply" | sed -n 5p)" '^5' 'BDAT without a recipient is refused'
	like "$(LAB_PATIENCE=10 lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' \
		'!send BDAT 99999999999999999999999 LAST\r\n' '!read' '!reset' | sed -n 5p)" '^[45]' 'BDAT with an absurd size is refused'
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' \
		'!send BDAT 43\r\nX-Ledger-Id: bdat-2\r\n\r\nMAIL FROM:<a@b.c>\r\n.' '!read' '!send BDAT 0 LAST\r\n' '!read' QUIT)
	like "$(printf '%s\n' "$reply" | sed -n 7p)" '^250 ' 'BDAT with commands as content is taken'
	try 'and delivered as one message' wait_for 40 lab_arrived bdat-2
	lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' \
		'!send BDAT 1000\r\nX-Ledger-Id: bdat-3\r\n\r\nabc' '!reset' >/dev/null
}

# --- commands ----------------------------------------------------------------------------------------------------------

commands() {
	like "$(lab_talk eu 'EHLO s' 'VRFY x@customer.example' | sed -n 2p)" '^502 ' 'VRFY is off'
	like "$(lab_talk eu 'EHLO s' 'EXPN all' | sed -n 2p)" '^50[02] ' 'EXPN is off'
	lab_primary down
	lab_send eu etrn@customer.example etrn-1 >/dev/null
	wait_for 40 lab_is_deferred eu etrn@customer.example || true
	like "$(lab_talk eu 'EHLO s' 'ETRN customer.example' | sed -n 2p)" '^5' 'ETRN is refused'
	like "$(lab_talk eu 'EHLO s' 'ETRN @customer.example' | sed -n 2p)" '^5' 'ETRN for subdomains, too'
	like "$(lab_talk eu 'EHLO s' 'ETRN #customer.example' | sed -n 2p)" '^5' 'and for a queue'
	lab_primary up
	lab_flush eu
	ehlo=$(lab_talk eu 'EHLO s' | sed -n 1p)
	is "$(printf '%s' "$ehlo" | grep -Ec 'VRFY|SMTPUTF8')" 0 'neither VRFY nor SMTPUTF8 is offered'
	like "$ehlo" SIZE 'SIZE is'
	like "$(lab_talk eu 'EHLO s' 'MAIL FROM:<s@out.example> SMTPUTF8' | sed -n 2p)" '^5' 'SMTPUTF8 is refused'
	reply=$(lab_talk eu 'EHLO s' '!send MAIL FROM:<e@out.example>\r\nRCPT TO:<x@customer.example>\r\nDATA\r\nX-Ledger-Id: early\r\n\r\nearly\r\n.\r\nQUIT\r\n' '!read' '!read' '!read' '!read')
	wait_for 40 lab_queue_empty eu || true
	is "$(grep -c '	early	' "$LAB/primary/ledger" || true)" 0 'content before the reply to DATA does not get in'
	note "$reply"
	like "$(lab_talk eu '!send EHLO s\r\nMAIL FROM:<e@out.example>\r\n' '!read' '!quiet 1000' | sed -n 2,3p | tail -1)" '^(5|\(closed|250|503|\(nothing)' \
		'a client that talks before EHLO is answered'
	lab_talk eu 'EHLO s' 'MAIL FROM:<s@out.example>' 'RCPT TO:<x@customer.example>' RSET DATA QUIT >"$LAB/log/rset.log"
	like "$(sed -n 5p "$LAB/log/rset.log")" '^503 ' 'after RSET there is no recipient'
}

# --- bytes ----------------------------------------------------------------------------------------------------------------

bytes() {
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' DATA \
		'!send X-Ledger-Id: nul\r\n\r\na\0b\r\n.\r\n' '!read' QUIT | sed -n 6p)
	like "$reply" '^(250|5)' 'NUL in the content is answered'
	note "$reply"
	lab_send eu x@customer.example lines >/dev/null
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' DATA \
		'!send X-Ledger-Id: longline\r\n\r\n' '!long 500000' '!send \r\n.\r\n' '!read' QUIT | sed -n 8p)
	like "$reply" '^250 ' 'one line of 500,000 bytes is taken'
	try 'and delivered' wait_for 40 lab_arrived longline
	is "$(wc -c <"$(awk -F'\t' '$2 == "longline" { print $7 }' "$LAB/primary/ledger")" | awk '{ print ($1 > 500000) }')" 1 \
		'whole'
	is "$(awk 'length > 100000 { n++ } END { print n + 0 }' "$(awk -F'\t' '$2 == "longline" { print $7 }' "$LAB/primary/ledger")")" \
		1 'and in one line: signatures stay good'
	like "$(lab_talk eu '!long 200000' '!send \r\n' '!read' 'EHLO s' | tail -1)" '^(250|\(closed|\(silence|5)' \
		'a command of 200,000 bytes does no harm'
	like "$(lab_talk eu 'EHLO s' '!send MAIL FROM:<a\0b@out.example>\r\n' '!read' QUIT | sed -n 3p)" '^(250|5)' 'NUL in a command is answered'
	like "$(lab_talk eu 'EHLO s' 'MAIL FROM:<s@out.example>' '!send RCPT TO:<x@customer.example\0.evil.example>\r\n' '!read' QUIT | sed -n 4p)" \
		'^(250|[45])' 'NUL in a recipient is answered'
	reply=$(lab_talk eu 'EHLO s' 'MAIL FROM:<s@out.example>' 'RCPT TO:<x@b\xc3\xbccher.example>' | sed -n 3p)
	like "$reply" '^[45]' 'a recipient with bytes that no domain has is not taken'
	like "$(lab_talk eu 'EHLO s' 'MAIL FROM:<s@out.example>' '!send RCPT TO:<x@customer.example\nX: y>\r\n' '!read' QUIT | sed -n 4p)" \
		'^(250|[45])' 'a bare newline in a recipient is answered'
	is "$(grep -c 'policyd.*event=child-ended\|policyd.*event=child-killed' "$LAB/log/eu.policyd.log" || true)" 0 'policyd'"'"'s child lived through it'
}

# shellcheck disable=SC2317
all_many() {
	[ "$(grep -c '	many	' "$LAB/primary/ledger")" -ge 300 ]
}

# Many recipients, most of them foreign; and the limit of recipients of one transaction.
recipients() {
	{
		printf 'EHLO s\nMAIL FROM:<sender@out.example>\n'
		seq 1 300 | sed 's/.*/RCPT TO:<x&@customer.example>/'
		printf 'DATA\n!send X-Ledger-Id: many\\r\\n\\r\\nhello\\r\\n.\\r\\n\n!read\nQUIT\n'
	} | lab_in sender timeout 60 "$lab_tools/dialogue" 192.0.2.11 25 >"$LAB/log/many.log"
	is "$(grep -c '^250 2.1.5' "$LAB/log/many.log")" 300 '300 recipients in one transaction are taken'
	# In several transactions at once, 50 recipients each.
	try 'and delivered' wait_for 60 all_many
	wait_for 20 lab_queue_empty eu || true
	is "$(grep -c '	many	' "$LAB/primary/ledger")" 300 'each once'
}

# transaction NAME REFUSED: so many recipients of a suspended domain, then one who is authorised; all replies go to the log.
transaction() {
	{
		printf 'EHLO s\nMAIL FROM:<sender@out.example>\n'
		seq 1 "$2" | sed 's/.*/RCPT TO:<x&@suspended.example>/'
		printf 'RCPT TO:<x@customer.example>\nDATA\n!send X-Ledger-Id: %s\\r\\n\\r\\nhello\\r\\n.\\r\\n\n!read\nQUIT\n' "$1"
	} | lab_in sender timeout 60 "$lab_tools/dialogue" -t 30 192.0.2.11 25 >"$LAB/log/$1.log"
}

# Postfix disconnects whoever errs too often, and what was taken before is lost with the transaction.
refused() {
	for n in 30 899; do
		transaction "refused-$n" "$n"
		is "$(grep -c '^450 4.7.1' "$LAB/log/refused-$n.log")" "$n" "$n recipients of a suspended domain are refused"
		like "$(tail -2 "$LAB/log/refused-$n.log" | head -1)" '^250 ' 'and the message to the one who is authorised is taken'
		try 'and delivered' wait_for 40 lab_arrived "	refused-$n	"
	done
	is "$(lab_pf eu pf_run postconf -hx smtpd_hard_error_limit)" 1100 'a transaction of 1,000 recipients gets through'
	is "$(lab_pf eu pf_run postconf -hx -o stress=yes smtpd_hard_error_limit)" 1 'in overload, one error is enough'
}

# header ID SENT...: a message whose header is what dialogue is told to send; what was stored of it goes to $LAB/stored-ID.
header() {
	id=$1
	shift
	lab_talk eu 'EHLO s' 'MAIL FROM:<sender@out.example>' 'RCPT TO:<x@customer.example>' DATA \
		"!send X-Ledger-Id: $id\\r\\nFrom: sender@out.example\\r\\nDate: Thu, 1 Jan 2026 00:00:00 +0000\\r\\nMessage-ID: <$id@out.example>\\r\\n" \
		"$@" '!send End: of the header\r\n\r\nhello\r\n.\r\n' '!read' QUIT >"$LAB/log/header-$id.log"
	like "$(tail -2 "$LAB/log/header-$id.log" | head -1)" '^250 ' "$id: taken"
	try "$id: delivered" wait_for 40 lab_arrived "	$id	"
	stored=$(awk -F'\t' -v id="$id" '$2 == id { print $7 }' "$LAB/primary/ledger")
	sed -n '/^Long: /,/^End: /p;/^To:/,/^End: /p' "$stored" | tr -d '\r' | sed '$d' >"$LAB/stored-$id"
}

# Long headers come out byte for byte: in one line, folded, and with addresses in them. What is longer than 60,000 bytes
# is cut by Postfix, as docs/postmaster.md says: this shows where.
headers() {
	header long-line '!send Long: ' '!long 50000' '!send \r\n'
	is "$(wc -c <"$LAB/stored-long-line" | tr -d ' ')" 50007 'one header of 50,000 bytes in one line: not a byte less'
	for id in folded addresses; do
		case $id in
		folded) more=' a folded line & of a long header that goes on and on and on' ;;
		addresses) more=' "Nobody" <user-&@a-domain-of-some-length.example>,' ;;
		esac
		set -- "!send $([ $id = folded ] && echo Long: begin || echo To:)\\r\\n"
		for n in $(seq 1 9); do
			set -- "$@" "!send $(seq "${n}000" "${n}099" | sed "s/.*/ $more\\\\r\\\\n/" | tr -d '\n')"
		done
		[ $id = folded ] || set -- "$@" '!send  last@other.example\r\n'
		header "$id" "$@"
		for n in "$@"; do printf '%b' "${n#!send }"; done | tr -d '\r' >"$LAB/sent-$id"
		like "$(wc -c <"$LAB/sent-$id" | tr -d ' ')" '^5[0-9]{4}$' "$id: more than 50,000 bytes"
		try "$id: bytes at the primary are the bytes sent" cmp "$LAB/sent-$id" "$LAB/stored-$id"
	done
	header cut '!send Long: ' '!long 300000' '!send \r\n'
	is "$(wc -c <"$LAB/stored-cut" | tr -d ' ')" 60001 'one header of 300,000 bytes: 60,000 of them, as documented'
}

lab_hosts
lab_authority
lab_soc "insert into mxhold.customer (name) values ('acme');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu');
	insert into mxhold.domain (name, customer) values ('customer.example', 'acme');
	insert into mxhold.domain (name, customer, suspended) values ('suspended.example', 'acme', true)"
lab_primary_start
lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step
daemons >"$LAB/before"
smuggling
bdat
commands
bytes
headers
recipients
refused
try 'the queue is empty in the end' wait_for 40 lab_queue_empty eu
is "$(daemons)" "$(cat "$LAB/before")" 'all daemons are the same processes as before'
like "$(lab_send eu x@customer.example end)" '^250 ' 'and mail is taken'
try 'and delivered' wait_for 40 lab_arrived '	end	'
lab_done
