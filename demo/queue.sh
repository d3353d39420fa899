# queue: what the demo shows of the queue: what is held and why while a primary is down, how mail leaves when he is back, the
# journal in SQL, and the check of a domain's MX records; to be sourced by inside.sh.
#
#   queue_journal            the regional journal in the demo's PostgreSQL, and a login that reads it
#   queue_down               for step 2: the operator looks at what is held, and at the primary
#   queue_up                 for step 5: brings the primary up; $queue_first: after how many seconds he had the first message
#   step_journal, step_mx    steps 7 and 8
#
# In: the hosts and words of inside.sh, $demo_id and $demo_late (queue ids of steps 2 and 6). Out: the narration.
# shellcheck shell=sh

# Only mxhold-queued can be it that lets mail go early: by itself Postfix tries again after 5 minutes, its default.
# shellcheck disable=SC2034 # for inside.sh
queue_patience='queue_run_delay=300s minimal_backoff_time=300s maximal_backoff_time=4000s'

queue_journal() {
	lab_journal
	lab_rows 'create role reader login in role mxhold_journal_reader'
}

# journal SQL: as somebody of the region who may read the journal types it.
journal() {
	show_command 'journal=>' "$1"
	said=$(printf '%s\n' "$1" | demo_env auth psql -X -U reader -d journal -v ON_ERROR_STOP=1 -P footer=off 2>&1 3>&-) ||
		show_failed 'the statement is accepted' 'no error' "$said"
	show_output "$said"
}

# --- while the primary is down ------------------------------------------------------------------------------------------

# The primary of customer.example as the relay sees him, in one word.
queue_primary() {
	lab_ctl eu queue list --json 2>/dev/null | sed -n 's/.*"domain":"customer.example".*"primary":"\([a-z-]*\)".*/\1/p'
}

queue_primary_is() {
	[ "$(queue_primary)" = "$1" ]
}

queue_counts() {
	lab_ctl eu queue list --json 2>/dev/null | grep -q "\"domain\":\"customer.example\".*\"messages\":$1,"
}

queue_down() {
	tell '' 'mxhold-queued has seen it in the log, and looks whether his server is back, every 5 seconds:'
	wait_shown 60 queue_primary_is down || true
	wait_shown 20 queue_counts 1 || true
	on eu "mxholdctl -c $LAB/eu/mxhold.conf queue list | sed 's/   */  /g'"
	check 'what is held, why, and what happens next' '^customer\.example +1 .* down .* probe in ' "$said"
	on eu "mxholdctl -c $LAB/eu/mxhold.conf primary status"
	check "the customer's server as the relay sees it, with what was tried last" '198\.51\.100\.25.* down' "$said"
	check_that 'an alert was raised (here its program appends it to a file)' wait_shown 40 grep -q \
		'"alert":"outage","domain":"customer.example".*"ended":false' "$LAB/eu/alerts"
	show_output "$(tail -n 1 "$LAB/eu/alerts")"
}

# --- the primary is back ------------------------------------------------------------------------------------------------

# Seconds from $queue_began to the first message at the primary since, with one decimal; nothing while there is none.
queue_first_after() {
	awk -v began="$queue_began" '$1 >= began { printf "%.1f\n", $1 - began; exit }' "$LAB/primary/ledger" 2>/dev/null
}

queue_has_first() {
	[ -n "$(queue_first_after)" ]
}

# All have been tried once, and put off: nothing is on its way that would be delivered without a flush.
queue_put_off() {
	! queue_files | grep -Eqv "^$LAB/eu/spool/defer(red)?/"
}

queue_up() {
	wait_shown 60 queue_put_off || true
	on eu 'postconf queue_run_delay minimal_backoff_time'
	check_is 'Postfix by itself would try again after 5 minutes at the earliest' \
		"$(printf 'queue_run_delay = 300s\nminimal_backoff_time = 300s')" "$said"
	tell '' 'From here on nobody gives a command on the relay.'
	check_is 'nothing has arrived so far' '' "$(cat "$LAB/primary/ledger")"
	queue_began=$(date +%s.%N)
	background lab_primary up
	show_progress "the customer's server is up"
	wait_shown 60 queue_has_first || true
	queue_first=$(queue_first_after)
	check "his first message is there within 15 seconds: after ${queue_first:-never} s" '^([0-9]|1[0-4])\.[0-9]$' "$queue_first"
}

# How many messages had the primary when mxhold-queued let the rest of the domain go? Nothing if it never did.
queue_before_flush() {
	queue_flushed=$(sed -n 's/^\([^ ]*\) .*event=flush domain=customer\.example .*/\1/p' "$LAB/log/eu.queued.log" | head -n 1)
	[ -n "$queue_flushed" ] || return 0
	awk -v at="$(date -d "$queue_flushed" +%s.%N)" '$1 < at { n++ } END { print n + 0 }' "$LAB/primary/ledger"
}

# What mxhold-queued did, from its log.
queue_did() {
	on eu "grep -E 'event=(primary|flush) .*customer.example' $LAB/log/eu.queued.log | tail -n 3"
	check 'it was mxhold-queued, which saw the server come back' 'event=primary .*state=up' "$said"
	check 'and then let the mail of the domain go' 'event=flush' "$said"
	check_is 'before that it had sent one message ahead, as a proof' 1 "$(queue_before_flush)"
}

# --- 7: the journal -----------------------------------------------------------------------------------------------------

# Shipped: the row of the last message has its end.
queue_has_row() {
	[ "$(lab_rows "select outcome from mxhold_journal.message where queue_id = '$1'")" = "$2" ]
}

# shellcheck disable=SC2154 # inside.sh sets both ids
step_journal() {
	show_step 7 'What became of each message: the journal' 'a row a recipient, from acceptance to its end'
	tell 'Each region has a journal of its own, a PostgreSQL database. What became of the contract (step 2)?'
	wait_shown 60 queue_has_row "$demo_late" expired || true
	journal "select accepted_at, relay, queue_id, client, sender, recipient, size, first_attempt,
  last_attempt, attempts, outcome, outcome_at, primary_server, reply
from mxhold_journal.message where queue_id = '$demo_id' \\gx"
	check 'when and from whom it was accepted' 'client +\| 203\.0\.113\.9' "$said"
	check 'how often it was tried: at the outage, and when the server was back' 'attempts +\| ([2-9]|[1-9][0-9]+)$' "$said"
	check 'its outcome' 'outcome +\| delivered' "$said"
	check "and the customer's server with its last reply" 'reply +\| .*250 ' "$said"
	journal "select outcome, count(*) from mxhold_journal.message group by outcome order by 1;"
	check 'all others have their end too: 123 were delivered' '^ delivered +\| +123$' "$said"
	check 'and one expired (step 6); none is unaccounted for' '^ expired +\| +1$' "$said"
	check_is 'these are all rows: nothing that was refused is among them, nothing is there twice' 124 \
		"$(lab_rows 'select count(*) from mxhold_journal.message')"
	journal "select at, alert, domain, detail -> 'ended' as ended, detail -> 'duration' as seconds
from mxhold_journal.event
where event = 'alert' and domain = 'customer.example' order by at;"
	check 'alerts are in it as well: the outage' 'outage .*customer\.example .* false ' "$said"
	check 'and its end, with its duration' 'outage .*customer\.example .* true +\| [0-9]' "$said"
	tell '    (In step 4 this database was away twice: the relay kept the rows, and shipped them later.)'
	show_seen '123 delivered, 1 expired, 0 unaccounted for'
}

# --- 8: MX records ------------------------------------------------------------------------------------------------------

step_mx() {
	show_step 8 "Are the customer's MX records right?" 'row by row, with the lines to paste'
	on eu "mxholdctl -c $LAB/eu/mxhold.conf mx check customer.example"
	check 'they are as they should be' '^customer\.example: the MX records are as they should be' "$said"
	check 'row by row' '^ +20 hongkong\.mx\.backup\.example .*as expected' "$said"
	check 'with the addresses that his server should let pass' '^ +192\.0\.2\.11 .*192\.0\.2\.12' "$said"
	tell '' 'Customer "asia" has left out his own server at the end:'
	on hk "mxholdctl -c $LAB/hk/mxhold.conf mx check asia.example"
	check 'what is missing is marked' '^ *\+ +30 mail\.asia\.example' "$said"
	check 'with the line for his zone' '^ +asia\.example\. IN MX 30 mail\.asia\.example\.$' "$said"
	show_seen 'one right, one with the missing line'
}
