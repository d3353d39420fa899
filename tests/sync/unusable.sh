#!/bin/sh
# Rows that SQL admits and the relay cannot use: they stop nothing, mail that may be theirs is deferred and never refused,
# and the SOC sees them by name, also after a restart; a line that is no row stops the reading.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

sync_setup
bad_name=xn--zzzzzz.example
pg_sql -c "insert into mxhold.domain (name, customer, next_hops) values ('$bad_name', 'acme', null),
	('one.example', 'acme', '[203.0.113.5]:25'), ('two.example', 'acme', null)"

beat() { pg_sql -c "select $1 from mxhold.relay_heartbeat where relay = 'a'"; }
beat_is() { [ "$(beat "$1")" = "$2" ]; }
status_is() { [ "$(pg_sql -c "select state || ': ' || reason from mxhold.domain_status where domain = '$1'")" = "$2" ]; }
red="red: relay a cannot use domain $bad_name: the name holds an xn-- label that is no valid A-label"
shown() { domains | grep "^$1|" || true; }

# --- a name that cannot be used, in a full load
daemon_start
try 'a full load with a name that cannot be used: current' wait_for 30 state_is current
try 'the others are there' has two.example
try 'that one is not' has_not "$bad_name"
try 'the log says so' log_has "event=row-not-usable kind=domain key=$bad_name .*effect=\"passed over\""
try 'domain_status shows it red, with the reason' wait_for 15 status_is "$bad_name" "$red"
try 'and the others green' status_is two.example 'green: on all relays of europe'
is "$(beat detail)" 'rows that it cannot use: 1' 'the heartbeat counts it'
like "$(status_line)" '"unusable_rows":1' 'and so does the status'

# --- in changes
pg_sql -c "insert into mxhold.domain (name, customer) values ('xn--i-7iq.ws', 'acme'), ('three.example', 'acme')"
try 'a change with such a name: the others are applied' wait_for 15 has three.example
try 'and it is told too' wait_for 15 beat_is 'cardinality(unusable)' 2
pg_sql -c "delete from mxhold.domain where name = 'xn--i-7iq.ws'"
try 'it is gone: it is told no more' wait_for 15 beat_is 'cardinality(unusable)' 1

# --- restarts
daemon_stop || true
daemon_start
wait_for 30 state_is current || true
pg_sql -c "insert into mxhold.domain (name, customer) values ('four.example', 'acme')"
wait_for 15 has four.example || true
sleep 1.5 # a poll: one more heartbeat
is "$(beat unusable | grep -c "$bad_name")" 1 'after a restart it is still told'
daemon_stop KILL 2>/dev/null || true
head -c 4000 /dev/urandom >"$work/state/unusable"
daemon_start
wait_for 30 state_is current || true
like "$(status_line)" '"reason":"asked".*"differing":0' 'with garbage for a list, it compares'
try 'and finds it again' wait_for 15 beat_is 'cardinality(unusable)' 1
daemon_stop || true
rm -f "$work/state/unusable"
mkfifo "$work/state/unusable"
daemon_start
try 'with a FIFO for a list, it does too' wait_for 30 state_is current
try 'and the same is told' wait_for 15 beat_is 'cardinality(unusable)' 1

# --- records that cannot be used: an authority that is newer, with a flag that nobody here knows
# new_view domain|customer COLUMN EXPRESSION: the feed then tells EXPRESSION in place of COLUMN.
columns='kind key present customer regions flags size_limit retention quota_messages quota_bytes next_hops names addresses hold_until hold_reason pin_certificate pin_banner'
new_view() {
	list=$(for column in $columns; do
		[ "$column" = "$2" ] && echo "case when kind = '$1' then $3 else $column end as $column" || echo "$column"
	done | paste -sd,)
	pg_sql -c 'alter view mxhold.feed_now rename to feed_now_true' -c "create view mxhold.feed_now as select $list from mxhold.feed_now_true" \
		-c 'alter view mxhold.feed_now owner to mxhold_owner' -c 'grant select on mxhold.feed_now to mxhold_relay'
}
old_view() { pg_sql -c 'drop view mxhold.feed_now' -c 'alter view mxhold.feed_now_true rename to feed_now'; }
unknown_flag() { new_view "$1" flags "flags + case when key = '$2' then 4096 else 0 end"; }
unknown_flag domain one.example
pg_sql -c "update mxhold.domain set note = 'x' where name in ('one.example', 'two.example')"
flagged='red: relay a cannot use domain one.example: flags are no number, contradict each other, or hold one that is not known here'
try 'a record that cannot be used: domain_status shows it red' wait_for 15 status_is one.example "$flagged"
is "$(shown one.example)" 'one.example|||1|0|0|0|0|[203.0.113.5]:25' 'nobody can tell whose it is; its next hops stay'
pg_sql -c "insert into mxhold.domain (name, customer) values ('five.example', 'acme')"
try 'others are applied' wait_for 15 has five.example
like "$("$ask" "$work/state/control" reload)" '"ok":true,"detail":"[0-9]+ rows, 0 differing, ' 'a full load holds the same'
is "$(shown one.example)" 'one.example|||1|0|0|0|0|[203.0.113.5]:25' 'also of that row'
verdict() { "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" domain check "$1" 2>&1 || true; }
like "$(verdict u@one.example)" '450 4\.3\.0' 'mail for it is deferred'
like "$(verdict u@sub.one.example)" '450 4\.3\.0' 'and for the names below'
like "$(verdict u@sub.two.example)" 'not-ours' 'but not for those of others'
old_view
pg_sql -c "update mxhold.domain set note = 'y' where name = 'one.example'"
try 'when it can be used again, it is' wait_for 15 status_is one.example 'green: on all relays of europe'
same "$(domains)" "$(domains_by_sql | grep -v "^$bad_name|")" 'the snapshot holds what the tables hold'

unknown_flag customer acme
pg_sql -c "update mxhold.customer set note = 'x' where name = 'acme'"
try 'a customer that cannot be used: his domains are red' wait_for 15 status_is two.example \
	'red: relay a cannot use customer acme: flags are no number, contradict each other, or hold one that is not known here'
is "$("$dump" "$work/state" a customers)" 'acme|missing' 'nothing can be told of them'
like "$(verdict u@two.example)" '450 4\.3\.0' 'mail for them is deferred'
like "$("$ask" "$work/state/control" reload)" '"ok":true' 'a full load is done'
is "$("$dump" "$work/state" a customers)" 'acme|missing' 'nor after it'
old_view
pg_sql -c "update mxhold.customer set note = 'y' where name = 'acme'"
try 'when he can be used again, he is' wait_for 15 status_is two.example 'green: on all relays of europe'
same "$("$dump" "$work/state" a customers)" "$(customers_by_sql)" 'with what the tables hold'

# --- many at once: bounded
pg_sql -c "insert into mxhold.domain (name, customer) select 'xn--zzzzz' || i || '.example', 'acme' from generate_series(1000, 3000) i"
# They come in pages, and each may be told of.
wait_for 30 beat_is detail 'rows that it cannot use: 2002' || true
is "$(beat detail)" 'rows that it cannot use: 2002' 'two thousand at once: all are counted'
is "$(beat 'cardinality(unusable)')" 100 'and 100 are told'
lines=$(grep -c 'event=row-not-usable.*xn--zzzzz[0-9]' "$work/sync.log")
ok $((lines > 40)) "the log is bounded ($lines lines)"
pg_sql -c "delete from mxhold.domain where name like 'xn--%'"
"$ask" "$work/state/control" reload >/dev/null
try 'when all are gone, all is well' wait_for 15 beat_is "detail || unusable::text" '{}'

# --- what is no row
new_view domain present 'null::boolean'
before=$(domains)
"$ask" "$work/state/control" reload >"$work/reload"
like "$(cat "$work/reload")" '"ok":false.*cannot be read: present is neither' 'a line that is no row fails the reading'
same "$(domains)" "$before" 'and nothing of it is applied'
old_view
if took=$(follows 30); then ok 0 "then it follows again ($took ms)"; else ok 1 'then it follows again'; fi
daemon_stop || true
tap_done
