#!/bin/sh
# lab-queue-faults: mail is taken, held, refused and released while mxhold-queued is killed and stopped at random moments, the
# log is rotated by renaming and by copying and truncating, the helper is dead, the state is removed and overwritten, the disk of
# the spool is full, and PostgreSQL is away during all of it. In the end the sender's ledger, the regional journal and the
# primary's ledger agree: each recipient once. Then mxhold-queued stays stopped: the relay goes on taking and delivering, and
# what it had held is let go.
#
# In: LAB_ROUNDS (default 2): how often through the list of faults; LAB_SEED: for the moments.
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes
rounds=${LAB_ROUNDS:-2}
seed=${LAB_SEED:-$(date +%s)}
domains=10

authorise() {
	lab_soc "insert into mxhold.customer (name, mx_check) values ('acme', false);
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu');
		insert into mxhold.domain (name, customer, next_hops)
		select format('d%s.example', n), 'acme', format('[198.51.100.%s]:25', 25 + n % 2) from generate_series(0, $domains - 1) n"
}

# A moment of up to a second and a half.
moment() {
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	sleep "$((seed / 65536 % 2)).$((seed / 7 % 10))"
}

both() {
	lab_server_do p25 "$@" >/dev/null
	lab_server_do p26 "$@" >/dev/null
}

# --- faults ---------------------------------------------------------------------------------------------------------------

child() {
	pgrep -P "$(lab_pid eu.queued)" | head -1
}

child_killed() { kill -9 "$(child)"; }
all_killed() { kill -9 "$(lab_pid eu.queued)" "$(child)"; }
parent_killed() { kill -9 "$(lab_pid eu.queued)"; }
child_frozen() {
	frozen=$(child)
	kill -s STOP "$frozen"
	sleep 1
	kill -s CONT "$frozen" 2>/dev/null || true
}
child_stopped() { kill -s STOP "$(child)"; }
helper_killed() { kill -9 "$(lab_pid eu.helper)" "$(pgrep -P "$(lab_pid eu.helper)" | head -1)"; }
log_moved() {
	rotated=$((${rotated:-0} + 1))
	number=$rotated
	while [ "$number" -gt 0 ]; do
		[ ! -f "$LAB/eu/log/mail.log.$number" ] || mv "$LAB/eu/log/mail.log.$number" "$LAB/eu/log/mail.log.$((number + 1))"
		number=$((number - 1))
	done
	mv "$LAB/eu/log/mail.log" "$LAB/eu/log/mail.log.1"
	# As logrotate's `create` does: postlogd would make one that only root may read.
	(umask 022 && : >"$LAB/eu/log/mail.log")
}
log_renamed() {
	log_moved
	lab_pf eu pf_reload
}
log_renamed_twice() {
	frozen=$(child)
	kill -s STOP "$frozen"
	log_renamed
	sleep 0.3
	log_renamed
	kill -s CONT "$frozen" 2>/dev/null || true
}
# Postfix goes on in the old file for a while; the new one is empty.
log_renamed_untold() {
	log_moved
	all_killed
	wait_for 10 lab_queued_answers eu
	sleep 0.5
	lab_pf eu pf_reload
}
# What logrotate does with `copytruncate`, `dateext` and `dateformat -%Y%m%d-%s`; a line that comes in between would be lost, so
# Postfix writes none meanwhile.
log_truncated() {
	logger=$(pgrep -f "postlogd.*" | while read -r pid; do
		[ "$(readlink "/proc/$pid/cwd")" = "$LAB/eu/spool" ] && echo "$pid"
	done || true)
	for pid in $logger; do kill -s STOP "$pid" || true; done
	for pid in $logger; do wait_for 5 stands "$pid" || true; done
	cp -p "$LAB/eu/log/mail.log" "$LAB/eu/log/mail.log-$(date +%Y%m%d-%s)"
	: >"$LAB/eu/log/mail.log"
	for pid in $logger; do kill -s CONT "$pid" || true; done
}
stands() { # PID: it is stopped, or gone
	case $(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) in '' | T* | t* | Z*) ;; *) return 1 ;; esac
}
log_renamed_unseen() {
	all_killed
	log_renamed
}
# One recipient of each message is delivered at once, the other one has no line yet.
killed_between() {
	lab_server_do p26 at mail stall
	sleep 2
	child_killed
	sleep 0.5
	lab_server_do p26 reset
}
state_removed() { rm -rf "$LAB/eu/state/queued/state"; }
state_garbage() { dd if=/dev/urandom of="$LAB/eu/state/queued/state/data.mdb" bs=4096 count=20 conv=notrunc status=none; }
spool_full() {
	dd if=/dev/zero of="$LAB/eu/state/filler" bs=1M status=none 2>/dev/null || true
	sleep 2
	rm -f "$LAB/eu/state/filler"
}
# Its sessions are cut off between two messages: one whose 250 is lost on the way would rightly come twice.
down_and_up() {
	both at mail reply '450 4.3.2 going down'
	sleep 1
	both down
	both at mail ok
	sleep 1
	both up
}
forgets_users() {
	both at rcpt reply '550 5.1.1 User unknown'
	sleep 1
	both reset
}

faults='child_killed log_renamed all_killed log_truncated child_frozen killed_between parent_killed log_renamed_twice
log_renamed_untold helper_killed log_renamed_unseen state_removed child_stopped state_garbage spool_full down_and_up forgets_users'

# --- the proof ---------------------------------------------------------------------------------------------------------------

# Where a message has two recipients, each is another primary's.
load() { # NAME MESSAGES RATE [RECIPIENTS A MESSAGE]
	awk -v n="$(($2 * ${4:-1}))" -v d="$domains" -v p="$1" 'BEGIN {
		for (i = 0; i < n; i++) printf "m %s%d@d%d.example\n", p, i, i % d }' >"$LAB/$1.addresses"
	# shellcheck disable=SC2046
	$(lab_words sender) "$lab_tools/sender" -s 192.0.2.11:25 -r "$LAB/$1.addresses" -l "$LAB/$1.ledger" -n "$2" -q "$3" -k "${4:-1}" \
		-m 4 -g 30 -i "$1" >"$LAB/$1.summary" 2>&1 &
	load_pid=$!
}

# The recipients of the ledger on stdin that got 250 at the end.
taken() {
	awk -F'\t' '$6 == "end" && $7 == 250 { gsub(/[<>]/, "", $3); print $3 }'
}

sent() {
	cat "$LAB"/*.ledger | taken | sort
}

open_rows() {
	lab_rows "select count(*) from mxhold_journal.message where outcome = 'held'"
}

all_written() {
	[ "$(lab_rows 'select count(*) from mxhold_journal.message')" -ge "$(sent | wc -l)" ] && [ "$(open_rows)" -eq 0 ]
}

# For whoever studies a run that failed.
keep_evidence() {
	mkdir -p "$LAB/log/evidence"
	cp "$LAB"/*.ledger "$LAB"/eu/log/mail.log* "$LAB/log/evidence"
	for server in p25 p26; do cp "$LAB/$server/ledger" "$LAB/log/evidence/$server"; done
	lab_rows 'select * from mxhold_journal.message order by queue_id' >"$LAB/log/evidence/journal"
	lab_rows 'select * from mxhold_journal.event' >"$LAB/log/evidence/events"
}

agree() {
	keep_evidence
	sent >"$LAB/sent"
	cat "$LAB/p25/ledger" "$LAB/p26/ledger" | cut -f4 | tr -d '<>' | sort >"$LAB/arrived"
	lab_rows 'select recipient from mxhold_journal.message' | sort >"$LAB/journal"
	like "$(wc -l <"$LAB/sent")" '^[1-9][0-9]{2,}$' 'many messages were taken'
	is "$(comm -3 "$LAB/sent" "$LAB/arrived")" '' 'each came to the primary, once'
	is "$(comm -3 "$LAB/sent" "$LAB/journal")" '' 'the journal has each of them once, and nobody else'
	is "$(lab_rows "select outcome, count(*) from mxhold_journal.message group by 1")" "delivered|$(wc -l <"$LAB/sent")" \
		'all with the outcome that they had: delivered'
	is "$(lab_rows "select count(*) from mxhold_journal.message where sender is distinct from 'sender@out.example' or
		client is distinct from '203.0.113.9' or outcome_at is null or primary_server is null or code is distinct from '2.0.0'")" 0 \
		'with sender, client, time, primary and code'
}

lab_pg_away() { lab_pg pg_stop "$LAB/pg" immediate; }
lab_pg_back() { lab_pg pg_start "$LAB/pg" port=5432 bind=192.0.2.5 host_auth=scram-sha-256; }

# --- the whole -----------------------------------------------------------------------------------------------------------------

mkdir -p "$LAB/eu/state"
mount -t tmpfs -o size=64m,mode=0750,uid=64101,gid=64100 state "$LAB/eu/state"
lab_hosts
lab_authority
lab_journal
authorise
for n in 25 26; do lab_server "p$n" primary "198.51.100.$n:25"; done
LAB_STALE=60s lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step
lab_pg_away
both down
note "seed $seed"
load held 150 0
wait "$load_pid" || true
load steady $((rounds * 250)) 8 2
round=0
while [ "$round" -lt "$rounds" ]; do
	for fault in $faults; do
		"$fault" >>"$LAB/log/faults.log" 2>&1 || note "$fault: the fault itself failed, status $?"
		try "after $fault mxhold-queued answers" wait_for 40 lab_queued_answers eu
		case $round-$fault in 0-log_truncated) both up ;; esac
		moment
	done
	round=$((round + 1))
done
for stage in mail rcpt; do both at "$stage" ok; done
both up
wait "$load_pid" || true
sed 's/^/# /' "$LAB/steady.summary"
lab_flush eu
try 'the queue is empty' wait_for 100 lab_queue_empty eu
try 'while PostgreSQL is away mxhold-queued answers' lab_queued_answers eu
lab_pg_back
try 'PostgreSQL is back: the journal gets all of it' wait_for 100 all_written
agree
is "$(lab_rows "select count(*) from mxhold_journal.event where alert = 'unaccounted'")" 0 'nothing was unaccounted'

# --- without mxhold-queued --------------------------------------------------------------------------------------------------------

both down
load last 20 0
wait "$load_pid" || true
lab_ctl eu queue hold d1.example --for 8s >/dev/null
lab_unkeep eu.queued KILL
lab_unkeep eu.helper KILL
lab_ctl eu queue list >"$LAB/list" 2>/dev/null || true
like "$(cat "$LAB/list")" 'd1\.example' 'mxhold-queued is dead: what it knew can be read'
load without 20 0
wait "$load_pid" || true
is "$(taken <"$LAB/without.ledger" | wc -l)" 20 'the relay takes mail, and holds it'
both up
try 'it delivers all of it, as Postfix does, and what was held when the hold has ended' wait_for 90 lab_queue_empty eu
lab_keep eu.helper eu "$lab_bin/mxhold-helper" -f -c "$LAB/eu/mxhold.conf"
lab_keep eu.queued eu "$lab_bin/mxhold-queued" -f -c "$LAB/eu/mxhold.conf"
try 'there again, mxhold-queued reads what it has missed' wait_for 90 all_written
agree
lab_done
