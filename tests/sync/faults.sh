#!/bin/sh
# Everything that can happen to PostgreSQL, or on the way to it: each fault leaves the decisions as they were, and heals.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh
alone "$0" "$@"
. tests/sync/lib.sh

port=12000
proxy=$((port + 1))
sync_setup "port=$port" host_auth=scram-sha-256
pg_sql -c "alter role relay_a password 'right-one'; alter role relay_b password 'x'" \
	-c "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 200) i"
echo pass >"$work/mode"
"$BUILD/tests/tools/tcp_proxy" "$proxy" "$port" "$work/mode" &
others="$others $!"
# Does anybody listen at this port?
listens() { ss -Hltn "sport = :$1" | grep -q .; }
wait_for 30 listens "$proxy"
direct="host=127.0.0.1 port=$port user=relay_a password=right-one dbname=postgres"
through="host=localhost port=$proxy user=relay_a password=right-one dbname=postgres"

use() {
	write_conf "$@"
	hup
}

# --- away at the start, with nothing in hand
pg_stop "$work/pg" fast
write_conf "$direct"
daemon_start
try 'PostgreSQL away at the start: unreachable' wait_for 30 state_is unreachable
status=0
domains >/dev/null 2>&1 || status=$?
is "$status" 75 'and without a snapshot nothing is answered'
pg_up "$work/pg"
if took=$(follows 30); then ok 0 "it comes: loaded in $took ms"; else ok 1 'it comes: loaded'; fi
same "$(domains)" "$(domains_by_sql)" 'with what the tables hold'

# --- down, stopped
down() { pg_stop "$work/pg" immediate; }
up() { pg_up "$work/pg"; }
fault 'PostgreSQL down' unreachable down up

# The postmaster first: from then on there are no new ones.
freeze() {
	main=$(pg_pid "$work/pg")
	kill -STOP "$main"
	wait_for 15 grep -q '^State:.T' "/proc/$main/status" || true
	frozen="$main $(pgrep -P "$main" | tr '\n' ' ')"
	for pid in $frozen; do kill -STOP "$pid" 2>/dev/null || true; done
}
thaw() {
	for pid in $frozen; do kill -CONT "$pid" 2>/dev/null || true; done
}
fault 'SIGSTOP of all of PostgreSQL' unreachable freeze thaw

# --- the daemon itself is stopped: nobody watches it, and it goes on all the same
is_stopped() { grep -q '^State:.T' "/proc/$daemon_pid/status"; }
before=$(domains)
kill -STOP "$daemon_pid"
try 'SIGSTOP of the daemon: it stops' wait_for 1 is_stopped
same "$(domains)" "$before" 'SIGSTOP of the daemon: what is authorised stays so'
if took=$(follows 30); then ok 0 "SIGSTOP of the daemon: it goes on by itself, and follows ($took ms)"; else
	ok 1 'SIGSTOP of the daemon: it goes on by itself, and follows'
fi
count=0
while [ "$count" -lt 20 ]; do
	count=$((count + 1))
	kill -STOP "$daemon_pid"
	sleep 0.2
done
if took=$(follows 30); then ok 0 "20 times in 4 s: likewise ($took ms)"; else ok 1 '20 times in 4 s: likewise'; fi
same "$(domains)" "$(domains_by_sql)" 'and holds what the tables hold'

# --- rights and objects
lock_out() {
	pg_sql -c "alter role relay_a password 'another'"
	reset_sessions
}
let_in() { pg_sql -c "alter role relay_a password 'right-one'"; }
fault 'wrong password' unreachable lock_out let_in
if grep -q 'right-one' "$work/sync.log"; then ok 1 'no password in the log'; else ok 0 'no password in the log'; fi

drop_function() { pg_sql -c 'alter function mxhold.feed_state(bigint, text) rename to feed_state_away'; }
put_function() { pg_sql -c 'alter function mxhold.feed_state_away(bigint, text) rename to feed_state'; }
fault 'dropped function' unreachable drop_function put_function

drop_table() { pg_sql -c 'alter table mxhold.commit_log rename to commit_log_away'; }
put_table() { pg_sql -c 'alter table mxhold.commit_log_away rename to commit_log'; }
fault 'dropped table' unreachable drop_table put_table

revoke() { pg_sql -c 'revoke execute on function mxhold.feed_state(bigint, text) from mxhold_relay'; }
grant() { pg_sql -c 'grant execute on function mxhold.feed_state(bigint, text) to mxhold_relay'; }
fault 'revoked grant' unreachable revoke grant

# --- somebody else on the port; nobody who answers
use "$through"
pass() { echo pass >"$work/mode"; }
noise() {
	echo garbage >"$work/mode"
	reset_sessions
}
follows >/dev/null
fault 'a garbage server on the port' unreachable noise pass
mute() {
	echo mute >"$work/mode"
	reset_sessions
}
fault 'a listener that says nothing' unreachable mute pass

# --- in the midst of a load
pg_sql -c "insert into mxhold.domain (name, customer) select 'load' || i || '.example', 'acme' from generate_series(1, 50000) i"
# Not the last of them only: they come in pages.
try '50,000 domains come' wait_for 30 sh -c '. tests/sync/same.sh'
before=$(domains)
cut_load() {
	echo "$1" >"$work/mode"
	reset_sessions
	"$ask" "$work/state/control" reload 40 >"$work/reload" || true
}
cut_load 'cut 700000'
like "$(cat "$work/reload")" '"ok":false' 'a load that is cut off in the midst of COPY fails'
same "$(domains)" "$before" 'and the old set stays active'
pass
if took=$(follows 40); then ok 0 "then it follows again ($took ms)"; else ok 1 'then it follows again'; fi
before=$(domains)
cut_load 'stall 700000'
like "$(cat "$work/reload")" '"ok":false.*no answer in time' 'a load that falls silent ends at its deadline'
same "$(domains)" "$before" 'and the old set stays active'
pass
if took=$(follows 40); then ok 0 "then it follows again ($took ms)"; else ok 1 'then it follows again'; fi
before=$(domains)
echo 'slow 400000' >"$work/mode"
"$ask" "$work/state/control" reload 60 >"$work/reload" &
waiter=$!
loading() { state_is loading; }
try 'a slow server: the status answers in the midst of the load' wait_for 15 loading
same "$(domains)" "$before" 'the old set is active meanwhile'
began=$(now_ms)
status=0
daemon_stop || status=$?
took=$(($(now_ms) - began))
wait "$waiter" || true
ok $((took >= 3000 || status != 0)) "SIGTERM in the midst of it ends it at once ($took ms, status $status)"
same "$(domains)" "$before" 'with the old set active'
pass
daemon_start
wait_for 30 state_is current || true
# From here on the clock is read: a look into the snapshot is to cost little.
pg_sql -c "delete from mxhold.domain where name like 'load%'"
wait_for 30 sh -c '. tests/sync/same.sh' || true

# --- a report database that hangs does not delay the feed
hang=$((port + 2))
echo mute >"$work/mode-report"
"$BUILD/tests/tools/tcp_proxy" "$hang" "$port" "$work/mode-report" &
others="$others $!"
wait_for 30 listens "$hang"
use "$direct" "host=127.0.0.1 port=$hang user=relay_a password=right-one dbname=postgres"
asks() { ss -Htn state established "dport = :$hang" | grep -q .; }
try 'the report database is dialled' wait_for 15 asks
# Who waited for it would wait for the five seconds that a connection may take.
took=$(follows 15) || took=never
ok "$([ "$took" != never ] && [ "$took" -lt 3000 ] && echo 0 || echo 1)" "a hanging report database delays nothing ($took ms)"
oldest=0
looks=0
while [ "$looks" -lt 40 ]; do
	looks=$((looks + 1))
	age=$("$dump" "$work/state" a contact)
	[ "$age" -le "$oldest" ] || oldest=$age
	sleep 0.1
done
ok $((oldest >= 4500)) "and the contact stays fresh (at most $oldest ms old)"
echo pass >"$work/mode-report"
reported() { [ "$(pg_sql -c "select version = mxhold.version() from mxhold.relay_heartbeat where relay = 'a'")" = t ]; }
try 'when it answers again, the heartbeat arrives' wait_for 40 reported

# --- a row lock on the heartbeat: nor does that
psql -XAtq -c begin -c 'select 1 from mxhold.relay_heartbeat for update' -c 'select pg_sleep(600)' >/dev/null 2>&1 &
others="$others $!"
waits() { pg_sql -c "select 1 from pg_stat_activity where usename = 'relay_a' and wait_event_type = 'Lock'" | grep -q 1; }
try 'a heartbeat waits for its locked row' wait_for 15 waits
took=$(follows 15) || took=never
ok "$([ "$took" != never ] && [ "$took" -lt 3000 ] && echo 0 || echo 1)" "a locked heartbeat row delays nothing ($took ms)"

daemon_stop || true
tap_done
