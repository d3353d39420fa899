#!/bin/sh
# lab-queue-rules: what is decided about single domains and messages, with real Postfix: the quota (452, others go on), rule 10
# (a sender who can reach the primary is told to, and is taken when he keeps trying), the operator's hold and the SOC's, unknown
# users taken out after two tries where the primary is well, on a domain with hardly any mail too, kept where the row or the
# primary's health says so, none lost to a primary that knows nobody now and then, a queue file that somebody removed, retention
# by domain, each recipient of what Postfix's own rules throw away, and that each alert has an end.
#
# A row's retention is an hour at least, and none counts in the first ten minutes of mxhold-queued: on the relay hk its clock,
# and only its, runs ten times as fast, and the relay's default, for domains whose row does not say, is two minutes.
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes

authorise() {
	lab_soc "insert into mxhold.customer (name, mx_check) values ('acme', false);
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk');
		insert into mxhold.domain (name, customer, next_hops) select d || '.example', 'acme', format('[198.51.100.%s]:25', a)
		from (values ('refuse', 25), ('keep', 25), ('held', 25), ('soc', 25), ('up', 26), ('quiet', 25), ('still', 25), ('forgetful', 27),
			('quota', 28), ('bytes', 28), ('free', 28), ('lost', 28), ('short', 29), ('long', 29)) v (d, a);
		insert into mxhold.domain (name, customer, next_hops) values ('mute.example', 'acme', '[198.51.100.29]:2525'),
			('small.example', 'acme', '[198.51.100.27]:2525'), ('moment.example', 'acme', '[198.51.100.26]:2525');
		update mxhold.domain set refused = 'keep' where name = 'keep.example';
		update mxhold.domain set when_primary_up = 'defer' where name in ('up.example', 'quiet.example');
		update mxhold.domain set quota_messages = 5 where name = 'quota.example';
		update mxhold.domain set quota_bytes = 3000000 where name = 'bytes.example';
		update mxhold.domain set retention = '1 day' where name = 'long.example'"
}

start_primaries() {
	for n in 25 26 27 28 29; do lab_server "p$n" primary "198.51.100.$n:25"; done
	lab_server pmute primary 198.51.100.29:2525
	lab_server psmall primary 198.51.100.27:2525
	lab_server pmoment primary 198.51.100.26:2525
	for n in 26 28 29; do tell "$n" down; done
	tell mute at banner stall
	tell 25 at rcpt unknown ghost
	tell 27 at rcpt reply '550 5.1.1 User unknown'
	tell small at rcpt reply '550 5.1.1 User unknown'
}

tell() { # PRIMARY COMMAND...
	told=$1
	shift
	lab_server_do "p$told" "$@" >/dev/null
}

came() { # PRIMARY ID
	grep -q "	$2	" "$LAB/p$1/ledger"
}

send() { # RECIPIENT ID
	like "$(lab_send eu "$1" "$2")" '^250 ' "$1 is taken"
}

field_is() { # RELAY DOMAIN NAME VALUE
	lab_ctl "$1" queue list --json | grep "\"domain\":\"$2\"" | grep -Eq "\"$3\":\"?$4[\",}]"
}

outcome() { # RECIPIENT
	lab_rows "select outcome || ' ' || coalesce(code, '-') from mxhold_journal.message where recipient = '$1'"
}

outcome_is() {
	[ "$(outcome "$1")" = "$2" ]
}

alerts_are() { # ALERT DOMAIN BEGUN ENDED
	[ "$(lab_rows "select count(*) filter (where not (detail ->> 'ended')::boolean) || ' ' ||
		count(*) filter (where (detail ->> 'ended')::boolean)
		from mxhold_journal.event where alert = '$1' and domain = '$2'")" = "$3 $4" ]
}

queue_id() { # RECIPIENT
	lab_queue eu | sed -n "s/.*\"queue_id\": \"\\([^\"]*\\)\".*\"address\": \"$1\".*/\\1/p" | head -1
}

is_queued_as() { # RECIPIENT: sets $id
	id=$(queue_id "$1")
	[ -n "$id" ]
}

# As if somebody had removed its file; it may move from one part of the queue to another meanwhile.
file_removed() {
	find "$LAB/eu/spool/deferred" "$LAB/eu/spool/defer" "$LAB/eu/spool/active" -name "$1" -delete
	[ -z "$(find "$LAB/eu/spool/deferred" "$LAB/eu/spool/active" -name "$1")" ]
}

# Does policyd send what is for the domain to retry(8)?
held_by_map() {
	lab_in eu timeout 5 postmap -c "$LAB/eu/etc" -q "user@$1" "socketmap:unix:$LAB/eu/spool/mxhold/map:transport" | grep -q '^retry:'
}

over_quota() {
	case $(lab_rcpt eu "$1" "${2-}") in "452 4.2.2"*) ;; *) return 1 ;; esac
}

under_quota() {
	case $(lab_rcpt eu "$1") in "250"*) ;; *) return 1 ;; esac
}

tries() { # RECIPIENT
	grep "to=<$1>" "$LAB/eu/log/mail.log" | grep -c ' said: 550 '
}

was_tried() { # RECIPIENT COUNT
	[ "$(tries "$1")" -ge "$2" ]
}

# How long after its last refusal was a message taken out?
left_after() { # ID RECIPIENT
	refused=$(grep "to=<$2>" "$LAB/eu/log/mail.log" | grep ' said: 550 ' | tail -n 1 | cut -c 1-15)
	removed=$(grep "postsuper.* $1: removed" "$LAB/eu/log/mail.log" | cut -c 1-15)
	echo "$(($(date -d "$removed" +%s) - $(date -d "$refused" +%s)))"
}

# --- the scene ------------------------------------------------------------------------------------------------------------

lab_hosts
lab_authority
lab_journal
authorise
start_primaries
LAB_POSTFIX='smtp_helo_timeout=200s' LAB_QUEUE='unknown_user_interval = 3s;sender_retry = 3s' lab_relay eu
cat >"$LAB/fast" <<-FAST
	#!/bin/sh
	export LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) FAKETIME='+0 x10'
	exec "\$@"
FAST
chmod 0755 "$LAB/fast"
LAB_QUEUED_AS="$LAB/fast" LAB_QUEUE='retention = 120s' lab_relay hk
try 'the relays are in step with the authority' wait_for 60 lab_in_step

# --- what takes its time begins first ------------------------------------------------------------------------------------

for domain in short long; do
	like "$(lab_send hk "user@$domain.example" "$domain")" '^250 ' "hk holds mail for $domain.example"
done
send one@lost.example lost1
send two@lost.example lost2
send ghost1@refuse.example ghost1
send ghost2@keep.example ghost2
send ghost3@still.example ghost3
for n in 1 2 3; do
	send "user$n@forgetful.example" "forgetful$n"
	send "user$n@small.example" "small$n"
done
send both@up.example up1
try 'what waits is counted' wait_for 60 field_is eu lost.example messages 2
id=
wait_for 10 is_queued_as one@lost.example || true
like "$id" '^[0-9A-Za-z]{10,}$' 'a message of two waits'
try 'its file is removed' wait_for 10 file_removed "$id"
sleep 0.5
wait_for 10 file_removed "$id" || true

# --- a primary that takes connections and is silent: the first attempt lasts for minutes, and no line says for whom ------------

send user@mute.example mute1
try 'what is being tried for long is counted' wait_for 60 field_is eu mute.example messages 1
try 'and is in the journal' wait_for 60 outcome_is user@mute.example 'held -'
like "$(lab_queue eu | grep mute.example)" '"queue_name": "active"' 'while it is still being tried'
is "$(grep -c 'to=<user@mute.example>' "$LAB/eu/log/mail.log" || true)" 0 'and the log has no line of it'

# --- quota ------------------------------------------------------------------------------------------------------------------

for n in 1 2 3 4 5; do lab_send eu "u$n@quota.example" "quota$n" >/dev/null; done
lab_talk eu 'EHLO s' 'MAIL FROM:<big@out.example>' 'RCPT TO:<u@bytes.example>' DATA '!send X-Ledger-Id: bytes1\r\n\r\n' \
	'!fill 3100000' '!send .\r\n' '!read' QUIT >/dev/null
try 'over its number of messages: 452 4.2.2' wait_for 40 over_quota u6@quota.example
try 'over its bytes: 452 4.2.2' wait_for 40 over_quota u2@bytes.example
send u1@free.example free1
try 'an alert says so' wait_for 40 alerts_are quota quota.example 1 0

# --- what the relay's own rules throw away -----------------------------------------------------------------------------------

printf '/^X-Bad:/ DISCARD not wanted here\n' >"$LAB/eu/etc/header_checks"
lab_pf eu pf_set "header_checks = regexp:$LAB/eu/etc/header_checks"
lab_pf eu pf_reload
throw_away() { # NAME: a message to three recipients, which header_checks discard
	lab_talk eu 'EHLO s' "MAIL FROM:<$1@out.example>" "RCPT TO:<$1.One@free.example>" "RCPT TO:<$1.two@lost.example>" \
		"RCPT TO:<$1.three@free.example>" DATA '!send X-Bad: x\r\n\r\nx\r\n.\r\n' '!read' QUIT | grep '^250.*queued as'
}
thrown_away() { # NAME
	[ "$(lab_rows "select string_agg(recipient || ' ' || outcome || ' ' || outcome_by || ' ' || sender, ',' order by recipient collate \"C\")
		from mxhold_journal.message where recipient like '$1.%'")" = \
		"$1.One@free.example removed postfix: discard $1@out.example,$1.three@free.example removed postfix: discard $1@out.example,$1.two@lost.example removed postfix: discard $1@out.example" ]
}
like "$(throw_away bad)" '^250 ' 'a message that header_checks discard gets 250'
try 'and each of its recipients a row in the journal' wait_for 30 thrown_away bad
# Before it has written down what it was told: its child, which the parent replaces, and further below both.
like "$(throw_away hasty)" '^250 ' 'another one'
pkill -KILL -P "$(lab_pid eu.queued)"
try 'its child was killed at once: each has a row all the same' wait_for 30 thrown_away hasty

# --- rule 10 ------------------------------------------------------------------------------------------------------------------

tell 26 up
try 'the held message for up.example is delivered' wait_for 60 came 26 up1
refused_up() { case $(lab_rcpt eu "$1@up.example" '' "$2@out.example") in "450 4.3.2"*) ;; *) return 1 ;; esac; }
taken_up() { case $(lab_rcpt eu "$1@up.example" '' "$2@out.example") in "250"*) ;; *) return 1 ;; esac; }
try 'the primary is up: who could reach it is sent there, 450 4.3.2' wait_for 40 refused_up x first
sleep 3
ok "$(taken_up x first && echo 0 || echo 1)" 'who keeps trying is taken'
ok "$(refused_up x second && echo 0 || echo 1)" 'another sender is not'
ok "$(refused_up y first && echo 0 || echo 1)" 'nor is he, for another recipient'
like "$(lab_rcpt eu x@quiet.example '' first@out.example)" '^250 ' 'of a domain that had no outage the first recipient is taken'
refused_quiet() { case $(lab_rcpt eu x@quiet.example '' second@out.example) in "450 4.3.2"*) ;; *) return 1 ;; esac; }
try 'and asked about: soon others are sent to its primary, 450 4.3.2' wait_for 20 refused_quiet
like "$(lab_send eu user@refuse.example accept1)" '^250 ' 'a domain without that setting takes mail, though its primary is up'

# --- holds ---------------------------------------------------------------------------------------------------------------------

lab_ctl eu queue hold held.example --forever --reason 'new disks' >/dev/null
lab_soc_now "update mxhold.domain set hold_until = 'infinity', hold_reason = 'they move' where name = 'soc.example'"
try "the operator's hold is known where Postfix asks" wait_for 20 held_by_map held.example
try "so is the SOC's" wait_for 20 held_by_map soc.example
send user@held.example held1
send user@soc.example soc1
try "the operator's hold holds" wait_for 30 lab_is_deferred eu user@held.example
try "so does the SOC's" wait_for 30 lab_is_deferred eu user@soc.example
try 'the queue says why' wait_for 20 lab_because eu user@held.example '^4\.3\.2|^mail.*4\.3\.2|held|hold'
like "$(lab_ctl eu queue show soc.example)" 'held by the SOC until its row is changed: they move' 'show says why the SOC holds it'
sleep 4
is "$(came 25 held1 || came 25 soc1 || echo nothing)" nothing 'though the primary is up nothing is delivered'
like "$(throw_away last)" '^250 ' 'another message is thrown away'
lab_unkeep eu.queued KILL
like "$(throw_away unseen)" '^250 ' 'mxhold-queued is dead: another message is thrown away'
lab_keep eu.queued eu "$lab_bin/mxhold-queued" -f -c "$LAB/eu/mxhold.conf"
try 'mxhold-queued was killed, and is there again' wait_for 40 lab_queued_answers eu
try "it knows the operator's hold" wait_for 20 field_is eu held.example hold operator
try 'and knows whom the other was for' wait_for 30 thrown_away unseen
try 'and whom the one before it' wait_for 30 thrown_away last
release() { lab_ctl eu queue release held.example >/dev/null 2>&1; } # the old child may have answered a moment longer
try 'it takes the release' wait_for 20 release
lab_soc_now "update mxhold.domain set hold_until = null where name = 'soc.example'"
released=$(date +%s)
try 'released, the one is delivered' wait_for 80 came 25 held1
try 'and the other' wait_for 80 came 25 soc1
note "$(($(date +%s) - released)) s after the release (qmgr keeps a resolver's answer for 30 s)"

# --- refusals ---------------------------------------------------------------------------------------------------------------------

# The primary takes other mail of the domain now and then.
ghost_is_out() {
	lab_send eu user@refuse.example healthy >/dev/null
	lab_send eu user@keep.example healthy >/dev/null
	sleep 1
	outcome_is ghost1@refuse.example 'refused 5.1.1'
}
try 'an unknown user of a primary that is well is taken out, as refused' wait_for 10 ghost_is_out || true
wait_for 10 ghost_is_out || wait_for 10 ghost_is_out || wait_for 10 ghost_is_out || true
is "$(outcome ghost1@refuse.example)" 'refused 5.1.1' 'the journal says so'
like "$(lab_rows "select reply from mxhold_journal.message where recipient = 'ghost1@refuse.example'")" 'User unknown' \
	"with the primary's words"
like "$(tries ghost1@refuse.example)" '^([2-9]|[1-9][0-9]+)$' 'it was tried at least twice'
try 'where the row says keep it is kept' wait_for 10 lab_queued eu ghost2@keep.example
is "$(outcome ghost3@still.example)" 'held 5.1.1' 'an unknown user of a domain without other mail stays'
id=
is_queued_as ghost3@still.example
send user@still.example still1
try 'its primary takes one message, and nothing after it: taken out, as refused' \
	wait_for 60 outcome_is ghost3@still.example 'refused 5.1.1'
like "$(lab_rows "select reply from mxhold_journal.message where recipient = 'ghost3@still.example'")" 'User unknown' \
	"with the primary's words"
is "$(lab_rows "select count(*) from mxhold_journal.message where recipient = 'ghost3@still.example'")" 1 'in one row'
like "$(left_after "$id" ghost3@still.example)" '^[0-9]$' 'at once, when it was refused again'
for n in 1 2 3; do
	try 'a primary that knows nobody is not believed' wait_for 10 lab_queued eu "user$n@forgetful.example"
	like "$(tries "user$n@forgetful.example")" '^([2-9]|[1-9][0-9]+)$' 'though it said so more than once'
done
is "$(field_is eu forgetful.example hold breaker && echo held || echo free)" free 'but a message counts for the breaker once'
# Another knows nobody, is mended, and knows nobody again: the mail that it took then proves nothing of later refusals.
for n in 1 2 3; do try 'what it refused is held' wait_for 10 lab_queued eu "user$n@small.example"; done
tell small reset
for n in 1 2 3; do try "mended: small$n is delivered" wait_for 60 came small "small$n"; done
tell small at rcpt reply '550 5.1.1 User unknown'
for n in 4 5 6; do send "user$n@small.example" "small$n"; done
for n in 4 5 6; do
	try "it knows nobody again, and says so of user$n four times" wait_for 40 was_tried "user$n@small.example" 4
done
sleep 3
for n in 4 5 6; do try 'and is not believed' wait_for 5 lab_queued eu "user$n@small.example"; done
is "$(field_is eu small.example hold breaker && echo held || echo free)" free 'though its breaker is closed'
tell small reset
for n in 4 5 6; do try "mended again: small$n is delivered" wait_for 60 came small "small$n"; done
small_delivered() {
	[ "$(lab_rows "select string_agg(distinct outcome, ' ') || ' ' || count(*) from mxhold_journal.message
		where recipient like '%@small.example'")" = 'delivered 6' ]
}
try 'none was lost' wait_for 60 small_delivered
# One that knows nobody but for moments: what is in them goes to it at once, with the first other message that it takes.
tell moment at rcpt reply '550 5.1.1 User unknown'
for n in 1 2 3; do
	tell moment at rcpt reply '550 5.1.1 User unknown'
	send "user$n@moment.example" "moment$n"
	try "moment $n: it knows nobody" wait_for 20 was_tried "user$n@moment.example" 1
	sleep 4
	tell moment at rcpt unknown ghost
	send "other$n@moment.example" "other$n"
	try 'for a moment it takes another message' wait_for 5 came moment "other$n"
	sleep 2
	tell moment at rcpt reply '550 5.1.1 User unknown'
	try 'and has been given what it refused before' wait_for 1 came moment "moment$n"
done
tell moment at rcpt unknown ghost
send ghost4@moment.example ghost4
try 'well again: an unknown user is refused' wait_for 20 was_tried ghost4@moment.example 1
for n in 4 5 6 7 8; do
	lab_send eu "other$n@moment.example" "other$n" >/dev/null
	sleep 1
done
try 'and is taken out while others are delivered' wait_for 60 outcome_is ghost4@moment.example 'refused 5.1.1'
is "$(lab_rows "select count(*) from mxhold_journal.message where recipient like 'user%@moment.example' and outcome <> 'delivered'")" 0 \
	'nobody who exists was'
for n in 4 5 6 7 8 9 10 11 12 13; do send "user$n@forgetful.example" "forgetful$n"; done
try 'ten more that it does not know: its breaker holds the domain' wait_for 60 field_is eu forgetful.example hold breaker

# --- retention, and what somebody took away ------------------------------------------------------------------------------------------

try 'hk: past its retention a message leaves as expired' wait_for 100 outcome_is user@short.example 'expired 4.4.1'
is "$(lab_rows "select count(distinct detail ->> 'level') from mxhold_journal.event where alert = 'retention'
	and domain = 'short.example' and not (detail ->> 'ended')::boolean and detail ->> 'level' in ('50', '80', '95')")" \
	"$(lab_rows "select count(*) from mxhold_journal.event where alert = 'retention' and domain = 'short.example'
	and not (detail ->> 'ended')::boolean")" 'each level of its retention was told once'
like "$(lab_rows "select string_agg(detail ->> 'level', ' ' order by id) from mxhold_journal.event where alert = 'retention'
	and domain = 'short.example'")" '95' 'the last one too'
try 'what another row keeps longer is still there' wait_for 10 lab_queued hk '@long.example'
is "$(lab_queue hk | grep -c '@short.example' || true)" 0 'and is gone from the queue'
try 'a queue file that somebody removed is unaccounted' wait_for 120 outcome_is one@lost.example 'unaccounted 4.4.1'
is "$(outcome two@lost.example)" 'held 4.4.1' 'its neighbour is held'
unaccounted_told() { [ "$(lab_rows "select count(*) from mxhold_journal.event where alert = 'unaccounted'")" -gt 0 ]; }
try 'and an alert says so' wait_for 20 unaccounted_told

# --- the end of all this --------------------------------------------------------------------------------------------------------------

tell 28 up
tell 27 reset
tell 29 up
tell mute reset
tell mute down
tell mute up
# Where its minute was just over it is trying a message by itself, and takes no release until it knows what became of that.
mended() {
	lab_ctl eu queue release forgetful.example || grep -q '	forgetful' "$LAB/p27/ledger"
}
try 'its breaker is told that it is mended' wait_for 90 mended
for id in lost2 quota1 quota5 bytes1 free1 forgetful1 forgetful2 forgetful3 forgetful4 forgetful13; do
	case $id in forgetful*) at=27 ;; *) at=28 ;; esac
	try "the primary is well: $id is delivered" wait_for 90 came "$at" "$id"
done
all_delivered() {
	[ "$(lab_rows "select count(*) from mxhold_journal.message
		where recipient like '%@forgetful.example' and outcome = 'delivered'")" = 13 ]
}
try 'and none of those that it refused before was taken out' wait_for 60 all_delivered
try 'the silent primary speaks: delivered' wait_for 90 came mute mute1
try 'and its one row in the journal says so' wait_for 60 outcome_is user@mute.example 'delivered 2.0.0'
try 'under its quota a domain takes mail again' wait_for 60 under_quota u6@quota.example
try 'the alert of the quota has its end' wait_for 60 alerts_are quota quota.example 1 1
try 'each outage has its end' wait_for 60 alerts_are outage lost.example 1 1
is "$(lab_rows "select count(*) from mxhold_journal.message where outcome = 'delivered' and recipient like 'ghost%'")" 0 \
	'no ghost was delivered'
lab_done
