#!/bin/sh
# Shipping to the regional journal, and the figures of the queue to the authority: each row once and as it was last, whatever
# becomes of the journal's server, the spool or the shipper meanwhile; and the feed never waits for any of it.
# usage: journal.sh [ROWS]   (so many wait while the feed's latency is measured)
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh
alone "$0" "$@"
. tests/sync/lib.sh

many=${1:-20000}
tool=$BUILD/tests/tools/mkqueue
ctl=$BUILD/bin/mxholdctl
# A neighbour that is there by name only: what is sent to it is never answered.
ip link add hole type veth peer name deep
ip link set deep up
ip addr add 192.0.2.1/24 dev hole
ip link set hole up
ip neigh add 192.0.2.99 lladdr 02:00:00:00:00:99 dev hole

journal_conf() {
	write_conf "host=$work/pg user=relay_a dbname=postgres"
	printf '[journal]\nconninfo = %s\nretention_days = 21\n' "$1" >>"$work/mxhold.conf"
}
spool() { "$tool" "$work/state" 64100 "$@"; }
j() { pg_sql -h "$work/pgj" -p 5433 "$@"; }
messages() { j -c 'select count(*) from mxhold_journal.message'; }
messages_are() { [ "$(messages)" = "$1" ]; }
# A member of the status' journal or figures object, without quotes.
shipping() {
	status_line | sed "s/.*\"${2:-journal}\":{\([^}]*\)}.*/\1/" | grep -o "\"$1\":\(\"[^\"]*\"\|[^,]*\)" | sed 's/^[^:]*://; s/"//g'
}
shipping_is() { [ "$(shipping "$1")" = "$2" ]; }
shipping_like() { shipping "$1" | grep -Eq -- "$2"; }
# The feed is followed sooner than a connection or a statement that hangs is given up (5 s), and heartbeats come.
feed_is_quick() {
	if quick_took=$(follows 15) && [ "$quick_took" -lt 4500 ]; then ok 0 "$1: the feed is followed ($quick_took ms)"; else
		ok 1 "$1: the feed is followed (${quick_took:-never} ms)"
	fi
	quick_since=$(pg_sql -c 'select clock_timestamp()')
	try "$1: heartbeats go on" wait_for 5 beats_since "$quick_since"
}
beats_since() { [ "$(pg_sql -c "select at > '$1' from mxhold.relay_heartbeat where relay = 'a'")" = t ]; }

# --- the schema
sync_setup
install -d -m 0750 -g 64100 "$work/state/queued" # as mxhold-queued makes it when it starts
pg_start "$work/pgj" port=5433 bind=127.0.0.1
PGHOST=$work/pg
PGPORT=5432
export PGHOST PGPORT
to_journal="host=$work/pgj port=5433 dbname=postgres"
run_db() { "$ctl" -d "$to_journal" db "$1" --journal --dir sql/journal; }
status=0
run_db status >"$work/out" 2>&1 || status=$?
is "$status" 75 'db status --journal: pending'
try 'db migrate --journal' run_db migrate
try 'again: nothing to do' run_db migrate
like "$(run_db status)" '^001-journal +applied' 'db status --journal: applied'
j <<-'SQL'
	create role relay_a login in role mxhold_journal_relay;
	create role stray login in role mxhold_journal_relay;
	create role reader login in role mxhold_journal_reader;
	insert into mxhold_journal.relay (name, region, login) values ('a', 'europe', 'relay_a');
SQL
j -f tests/sql/journal/roles.sql >"$work/roles" 2>&1 || true
sed 's/^ *//' "$work/roles" | grep -E '^(not )?ok' >"$work/roles.tap" || true
is "$(grep -c '^ok' "$work/roles.tap") $(grep -c '^not ok' "$work/roles.tap")" "$(grep -c '^select is(' tests/sql/journal/roles.sql) 0" 'roles and functions by deeds'
[ "$(grep -c '^not ok' "$work/roles.tap")" -eq 0 ] || note "$(cat "$work/roles")"

# --- shipping
spool rows 1200 0 60
spool row 4XrT0000001 held@acme.example held 1 "$(($(date +%s) - 3600))"
pg_sql -c "insert into mxhold.domain (name, customer) values ('one.example', 'acme')"
journal_conf "$to_journal user=relay_a"
daemon_start
wait_for 30 state_is current || true
try 'all rows are shipped' wait_for 60 messages_are 1201
is "$(j -c "select relay || ' ' || region || ' ' || domain || ' ' || sender || ' ' || client || ' ' || size || ' ' || attempts || ' ' || outcome || ' ' || primary_server || ' ' || code
	from mxhold_journal.message where queue_id = 'id000000007'")" 'a europe d7.example Sender@out.example 192.0.2.7 2000 1 delivered mx.example[203.0.113.5]:25 2.0.0' 'a row as it was told'
is "$(j -c "select outcome || coalesce(outcome_at::text, '-') from mxhold_journal.message where recipient = 'held@acme.example'")" held- 'one that is held has no end'
try 'the status says so' wait_for 30 shipping_is state current
is "$(shipping behind)" 0 'nothing is left'
like "$("$ctl" -c "$work/mxhold.conf" sync status)" 'journal\.behind +0' 'mxholdctl shows it'
noted() { [ "$(spool shipped)" = "$1" ]; }
try 'shipped is noted' wait_for 15 noted 1201
is "$(j -U reader -c 'select sum(n) from (select count(*) as n from mxhold_journal.message group by tableoid) t')" 1201 'the reader reads'
is "$(j -c "select count(*) from mxhold_journal.message_other")" 0 'each is in the partition of its day'
try 'the days to come have theirs' wait_for 30 sh -c "psql -XAtqc \"select to_regclass('mxhold_journal.message_' || to_char(now() at time zone 'UTC' + interval '2 days', 'YYYYMMDD')) is not null\" -h $work/pgj -p 5433 | grep -q t"

# --- a later image replaces, an earlier one does not; twice changes nothing
at=$(j -c "select extract(epoch from accepted_at)::bigint from mxhold_journal.message where queue_id = '4XrT0000001'")
spool row 4XrT0000001 held@acme.example delivered 5 "$at"
outcome_is() { [ "$(j -c "select outcome || attempts from mxhold_journal.message where queue_id = '4XrT0000001'")" = "$1" ]; }
try 'a later image replaces the row' wait_for 30 outcome_is delivered5
spool row 4XrT0000002 held@acme.example held 2 "$at"
wait_for 30 messages_are 1202 || true
image() { j -c "select md5(string_agg(m::text, '|' order by queue_id, recipient)) from mxhold_journal.message m"; }
before=$(image)
daemon_stop || true
rm -f "$work/state/shipped"
daemon_start
try 'without the note of what was shipped, all is shipped again' wait_for 60 sh -c "grep -q '\"shipped\":1202' <<X
\$($ask $work/state/control status 4)
X"
is "$(image)" "$before" 'and nothing changes'
try 'and noted again' wait_for 15 noted 1203
j -U relay_a -c "select mxhold_journal.take(jsonb_build_array(jsonb_build_object('kind', 'message', 'queue_id', '4XrT0000001', 'recipient', 'held@acme.example',
	'domain', 'acme.example', 'sender', '', 'client', '', 'size', 1, 'accepted_at', $at::bigint * 1000000, 'attempts', 1, 'outcome', 'held', 'seq', 1201)),
	(select spool from (select mxhold_journal.taken('x')) t cross join (select '$(cut -d' ' -f2 "$work/state/shipped")' as spool) s), 1)" >/dev/null
is "$(image)" "$before" 'an earlier image changes nothing'

# --- events
# psql shows notices after each command.
mkfifo "$work/listener"
j -U postgres <"$work/listener" >"$work/notices" 2>&1 &
listener=$!
others="$others $listener"
exec 7>"$work/listener"
listens() { # WORD: what it has said comes before
	printf 'select 1;\n\\echo %s\n' "$1" >&7
	wait_for 30 grep -qx "$1" "$work/notices"
}
printf 'listen mxhold_alert;\n' >&7
try 'somebody listens' listens ready
notified() { listens looked && grep -q 'Asynchronous notification' "$work/notices"; }
spool raw '!event/1' '{"kind":"event","id":"e1","at":1763800000000000,"event":"alert","alert":"outage","domain":"acme.example","level":0,"text":"the primary is down","since":1763800000000000,"ended":false,"duration":null}'
spool raw '!event/2' '{"kind":"event","id":"e2","at":1763800001000000,"event":"drop","domain":"acme.example","queue_id":"","by":"anna","text":"12 messages","until":null}'
events_are() { [ "$(j -c "select string_agg(event || ' ' || coalesce(alert, '-') || ' ' || coalesce(by, '-') || ' ' || text, '; ' order by id) from mxhold_journal.event")" = "$1" ]; }
try 'alerts and acts are in the journal' wait_for 30 events_are 'alert outage - the primary is down; drop - anna 12 messages'
wait_for 15 notified || true
listens end || true
exec 7>&-
wait "$listener" || true
like "$(cat "$work/notices")" 'mxhold_alert.*"the primary is down"' 'an alert is notified'
is "$(grep -c 'Asynchronous notification' "$work/notices")" 1 'and only that'

# --- rows that PostgreSQL cannot take
spool raw bad1 '{"kind":"message","queue_id":'
spool row 4XrT0000003 after@acme.example delivered 1 "$at"
spool raw bad2 '{"kind":"message","queue_id":"bad2","recipient":"x@y.example","domain":"y.example","sender":"","client":"","size":1,"accepted_at":1,"attempts":1,"outcome":"lost in space"}'
spool raw bad3 'no object at all'
spool row 4XrT0000004 after@acme.example delivered 1 "$at"
try 'a row that cannot be taken stops no other' wait_for 60 messages_are 1204
try 'it is counted' wait_for 30 shipping_is refused 2
like "$(cat "$work/sync.log")" 'event=journal-row-refused .*lost in space' 'and is in the log as it is'
try 'and all is well again' wait_for 30 shipping_is state current

# --- the queue's figures
queue_is() { [ "$(pg_sql -c "select coalesce(string_agg(domain || ' ' || messages || ' ' || primary_state || ' ' || coalesce(hold, '-'), '; ' order by domain), '') from mxhold.queue where relay = 'a'")" = "$1" ]; }
spool state one.example 3 2 421 0
spool state quiet.example 0 1 220 0
spool state stranger.example 0 5 0 3
try 'what is held is reported' wait_for 40 queue_is 'one.example 3 down -; stranger.example 0 wrong-host wrong-host'
is "$(pg_sql -c "select messages || ' ' || primary_state || ' ' || customer || relays::text from mxhold.held where domain = 'one.example'")" '3 down acme{"a: 3 (421)"}' 'and seen by the SOC'
spool state one.example 0 1 220 0
spool state stranger.example 9 5 0 3
try 'changes are' wait_for 40 queue_is 'stranger.example 9 wrong-host wrong-host'
is "$(pg_sql -c "select count(*) from mxhold.queue q where q::text like '%words%'")" 0 'without the words of the primary'
spool states 10000 2
try 'ten thousand domains' wait_for 40 sh -c "psql -XAtqc 'select count(*) from mxhold.queue' | grep -q 10001"
feed_is_quick 'ten thousand domains'
# Nobody writes the state any more: whoever tells it, and when, it is as of when it was written.
sleep 12
daemon_stop || true
daemon_start
told() { shipping told_at figures | grep -q '^[0-9]'; }
try 'a new process tells everything' wait_for 40 told
is "$(pg_sql -c "select clock_timestamp() - told_at > interval '12 seconds' from mxhold.queue_told where relay = 'a'")" t 'as of when it was true'

# --- the journal's server is away, in every way, with many rows waiting
ship_pid() { pgrep -P "$daemon_pid" mxhold-ship; }
children() { pg_run ps -o pid= --ppid "$(pg_pid "$work/pgj")"; }
have=$(messages)
away() {
	$2
	spool rows "$many" "$3" "$4"
	try "$1: rows wait" wait_for 40 shipping_like behind '^[1-9]'
	feed_is_quick "$1"
	try "$1: the status says that it is behind" wait_for 40 shipping_like state 'failing|behind'
	$5
	have=$((have + many))
	if wait_for 100 messages_are "$have"; then ok 0 "$1: all is caught up"; else
		ok 1 "$1: all is caught up ($(messages) of $have)"
		note "$(status_line)"
		note "$(tail -5 "$work/sync.log")"
	fi
}
# The postmaster first: from then on there are no new children.
stop_server() {
	pids=$(pg_pid "$work/pgj")
	kill -STOP "$pids"
	wait_for 15 grep -q '^State:.T' "/proc/$pids/status" || true
	pids="$pids $(children | xargs)"
	# shellcheck disable=SC2086
	kill -STOP $pids 2>/dev/null || true # a worker may have ended by itself
}
go_on() {
	# shellcheck disable=SC2086
	kill -CONT $pids 2>/dev/null || true
}
away 'stopped server' stop_server 1000000 60 go_on
shut() { pg_stop "$work/pgj" fast; }
up() { pg_up "$work/pgj"; }
many=3000
away 'server that is down' shut 2000000 200000 up
vanish() {
	journal_conf "host=192.0.2.99 user=relay_a dbname=postgres"
	hup
}
appear() {
	journal_conf "$to_journal user=relay_a"
	hup
}
away 'blackholed server' vanish 3000000 300000 appear
is "$(j -c "select count(distinct tableoid) >= 3 from mxhold_journal.message")" t 'rows of several days are in several partitions'
lock_it() {
	j -c 'begin' -c 'lock table mxhold_journal.message in access exclusive mode' -c 'select pg_sleep(600)' >/dev/null 2>&1 &
	others="$others $!"
	wait_for 15 somebody_sleeps || true
}
somebody_sleeps() { j -c "select 1 from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'" | grep -q 1; }
sleeper_ends() { j -c "select pg_terminate_backend(pid, 10000) from pg_stat_activity where query = 'select pg_sleep(600)'" >/dev/null; }
away 'somebody locks the table' lock_it 4000000 60 sleeper_ends
# While it catches up, the feed is as quick.
many=${1:-20000}
spool rows "$many" 5000000 60
feed_is_quick 'while it catches up'
have=$((have + many))
began=$(now_ms)
try 'all of it' wait_for 120 messages_are "$have"
note "$many rows: the rest took $(($(now_ms) - began)) ms"

# --- the journal is restored from an older copy
pg_dump -h "$work/pgj" -p 5433 -Fc postgres >"$work/copy"
spool rows 700 6000000 60
wait_for 60 messages_are $((have + 700)) || true
# The relay is kept out until all of it is there.
j -d template1 -c 'alter role relay_a nologin' -c "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = 'postgres'" \
	-c 'alter database postgres rename to newer' -c 'create database postgres' >/dev/null
pg_restore -h "$work/pgj" -p 5433 -d postgres "$work/copy"
j -c 'alter role relay_a login'
spool row 4XrT0000009 later@acme.example delivered 1 "$at"
have=$((have + 701))
if wait_for 100 messages_are "$have"; then ok 0 'an older copy gets again what it has not'; else
	ok 1 "an older copy gets again what it has not ($(messages) of $have)"
	note "$(status_line)"
fi
like "$(cat "$work/sync.log")" 'event=journal-behind ' 'and the log says so'

# --- the shipper itself
kill -9 "$(ship_pid)"
spool rows 100 7000000 60
have=$((have + 100))
try 'a shipper that was killed is replaced' wait_for 60 messages_are "$have"
kill -STOP "$(ship_pid)"
spool rows 100 7100000 60
have=$((have + 100))
try 'one that was stopped goes on' wait_for 60 messages_are "$have"
feed_is_quick 'meanwhile'

# --- retention
j -c "select mxhold_journal.day_make((now() - interval '40 days')::date), mxhold_journal.day_make((now() - interval '20 days')::date)" >/dev/null
old=$(j -c "select mxhold_journal.day_name((now() at time zone 'UTC' - interval '40 days')::date)")
kept=$(j -c "select mxhold_journal.day_name((now() at time zone 'UTC' - interval '20 days')::date)")
j -c 'begin' -c 'select count(*) from mxhold_journal.message' -c 'select pg_sleep(600)' >/dev/null 2>&1 &
others="$others $!"
try 'somebody reads for long' wait_for 15 somebody_sleeps
began=$(now_ms)
left=$(j -U relay_a -c 'select mxhold_journal.maintain(21)')
took=$(($(now_ms) - began))
is "$left $((took < 10000))" '1 1' "a long reader is not waited for: the old day is left ($took ms)"
sleeper_ends
is "$(j -U relay_a -c 'select mxhold_journal.maintain(21)')" 0 'later it is dropped'
is "$(j -c "select to_regclass('mxhold_journal.$old') is null, to_regclass('mxhold_journal.$kept') is null")" 't|f' 'the old day is gone, the other is there'
is "$(messages)" "$have" 'and nothing else'

# --- who may not write, and a spool that is broken
journal_conf "$to_journal user=stray"
hup
try 'a login without a row is told so' wait_for 30 shipping_like last_error 'no relay has the login stray'
journal_conf "$to_journal user=relay_a"
hup
try 'and with one it goes on' wait_for 40 shipping_is state current
# One byte of one row, while nothing can be shipped.
journal_conf "$to_journal user=stray"
hup
wait_for 30 shipping_like last_error 'no relay has the login stray' || true
last=$(cut -d' ' -f1 "$work/state/shipped")
spool row 4XrT0000020 before@acme.example delivered 1 "$at"
spool raw '!event/bad' '{"kind":"event","id":"e9","at":1763800000000000,"event":"alert","alert":"outage","domain":"to-be-damaged.example"}'
spool row 4XrT0000021 after@acme.example delivered 1 "$at"
grep -abo 'to-be-damaged' "$work/state/queued/spool/data.mdb" | while IFS=: read -r place _; do
	printf '#' | dd of="$work/state/queued/spool/data.mdb" bs=1 seek="$place" conv=notrunc status=none
done
journal_conf "$to_journal user=relay_a"
hup
try 'what is in front of a damaged row is shipped' wait_for 40 messages_are $((have + 1))
try 'the status tells of the row' wait_for 15 shipping_like spool_error 'damaged'
sleep 4
is "$(shipping state)" spool-not-readable 'and goes on to tell'
is "$(messages) $(cut -d' ' -f1 "$work/state/shipped")" "$((have + 1)) $((last + 1))" 'neither it nor what follows counts as shipped'
rm -rf "$work/state/queued/spool"
spool row 4XrT0000021 after@acme.example delivered 1 "$at"
have=$((have + 2))
try 'from a spool that was made anew the rest is shipped' wait_for 90 messages_are "$have"
try 'and the status is as it was' wait_for 30 shipping_is state current
head -c 70000 /dev/urandom >"$work/state/queued/spool/data.mdb"
try 'a spool that is garbage: the status says so' wait_for 40 shipping_is state spool-not-readable
feed_is_quick 'a spool that is garbage'
rm -rf "$work/state/queued/spool"
spool rows 5000 8000000 60
truncate -s 40960 "$work/state/queued/spool/data.mdb"
try 'one that was cut off: the status says so' wait_for 60 shipping_like spool_error 'broken|opened|damaged'
feed_is_quick 'a spool that was cut off'
spool state one.example 77 2 421 0
told_77() { [ "$(pg_sql -c "select messages from mxhold.queue where domain = 'one.example'")" = 77 ]; }
try 'and the figures are reported all the same' wait_for 40 told_77
have=$(messages) # some of those that were cut off may have been shipped before
rm -rf "$work/state/queued/spool"
spool row 4XrT0000010 new@acme.example delivered 1 "$at"
try 'a new spool begins anew' wait_for 90 messages_are $((have + 1))
status=0
daemon_stop || status=$?
is "$status" 0 'SIGTERM ends it with 0'
no_shipper() { ! pgrep -f "mxhold-sync.*$work" >/dev/null; }
try 'and the shipper with it' wait_for 15 no_shipper
tap_done
