#!/bin/sh
# What cannot be the SOC's work is held back until one row confirms it; a relay that the authority knows as another one
# does not listen; a standby is followed by polling, behind a pooler too.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

sync_setup 'conf=wal_level = replica' 'conf=max_wal_senders = 5'
pg_sql -c "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 50) i"
daemon_start
wait_for 30 state_is current || true
same "$(domains)" "$(domains_by_sql)" 'followed'
primary="host=$work/pg user=relay_a dbname=postgres"

use() {
	write_conf "$1"
	hup
}
confirm() { pg_sql -c "insert into mxhold.feed_confirmation (note) values ('test')"; }
nothing() { :; }

# --- a read-only standby, and failover to an older copy
pg_copy() {
	mkdir -p "$1"
	chmod 755 "$1"
	chown postgres: "$1"
	pg_run "$pg_bin/pg_basebackup" -h "$work/pg" -U postgres -D "$1/data" -c fast ${2:+"$2"} >/dev/null 2>&1
	echo "unix_socket_directories = '$1'" >>"$1/data/postgresql.conf"
}
pg_copy "$work/pg2" -R
pg_up "$work/pg2"
use "host=$work/pg2 user=relay_a dbname=postgres"
took=$(follows 20) || took=none
ok "$([ "$took" != none ] && echo 0 || echo 1)" "a read-only standby is followed by polling ($took ms)"
polls() { [ "$(status_of state)/$(status_of listening)" = current/false ]; }
try 'current, without listening' wait_for 10 polls
ok "$(log_has 'event=not-listening' && echo 0 || echo 1)" 'and the log says so'

# The standby falls behind and is promoted: an older copy that goes on with a history of its own.
pg_sql -h "$work/pg2" -c 'select pg_wal_replay_pause()' >/dev/null
use "$primary"
follows >/dev/null
follows >/dev/null
older() {
	pg_sql -h "$work/pg2" -c 'select pg_wal_replay_resume()' >/dev/null 2>&1 || true
	use "host=$work/pg3 user=relay_a dbname=postgres"
}
pg_copy "$work/pg3"
follows >/dev/null
follows >/dev/null
pg_up "$work/pg3"
before=$(domains)
older
try 'failover to an older copy: held' wait_for 30 state_is held
like "$(status_of reason)" 'version-backwards|other-history' 'and why'
same "$(domains)" "$before" 'what is authorised stays so'
ok "$(log_has 'event=feed-held.*feed_confirmation' && echo 0 || echo 1)" 'the log names the cure'
reported() { [ "$(pg_sql -h "$work/pg3" -c "select state from mxhold.relay_heartbeat where relay = 'a'")" = held ]; }
try 'the heartbeat says held' wait_for 15 reported
# The copy goes on until its version has passed ours: another history, not an older version.
pg_sql -h "$work/pg3" -c "insert into mxhold.domain (name, customer) values ('h1.example', 'acme')" \
	-c "insert into mxhold.domain (name, customer) values ('h2.example', 'acme')" \
	-c "insert into mxhold.domain (name, customer) values ('h3.example', 'acme')"
other_history() { [ "$(status_of reason)" = other-history ]; }
try 'and goes on being held when its version has passed ours' wait_for 15 other_history
same "$(domains)" "$before" 'still unchanged'
pg_sql -h "$work/pg3" -c "insert into mxhold.feed_confirmation (note) values ('the copy is the authority now')"
try 'one row confirms' wait_for 30 state_is current
same "$(domains)" "$(domains_by_sql -h "$work/pg3")" 'then the copy is followed'
like "$("$dump" "$work/state" a all | grep -c '|retired$')" '^[1-9]' 'and what it lacks is retired'
pg_stop "$work/pg3"
pg_stop "$work/pg2"

# Back to the first one: for it that is a history of another kind, again.
use "$primary"
try 'back to the first: held again' wait_for 30 state_is held
confirm
try 'confirmed' wait_for 30 state_is current

# --- emptied, other epoch, backwards
empty() { pg_sql -c "create table kept as select * from mxhold.domain" -c 'delete from mxhold.domain'; }
refill() {
	pg_sql -c "insert into mxhold.domain (name, customer) select name, customer from kept" -c 'drop table kept'
}
fault 'emptied table' held empty refill
epoch() { pg_sql -c "create table seed as select seed from mxhold.feed_meta" -c 'update mxhold.feed_meta set seed = gen_random_uuid()'; }
epoch_back() { pg_sql -c 'update mxhold.feed_meta set seed = (select seed from seed)' -c 'drop table seed'; }
fault 'another epoch' held epoch epoch_back
backwards() {
	pg_sql -c "create table log as select * from mxhold.commit_log where version >= mxhold.version() - 1" \
		-c "set session_replication_role = replica; delete from mxhold.commit_log where version in (select version from log)"
}
forwards() {
	pg_sql -c "set session_replication_role = replica; insert into mxhold.commit_log select * from log" -c 'drop table log'
}
fault 'version backwards' held backwards forwards

pg_sql -c 'update mxhold.feed_meta set seed = gen_random_uuid()'
wait_for 30 state_is held || true
confirm
try 'another epoch, confirmed: loaded' wait_for 30 state_is current
same "$(domains)" "$(domains_by_sql)" 'with what the tables hold'
empty
try 'emptied again: an old confirmation does not count' wait_for 30 state_is held
confirm
try 'a new one does' wait_for 30 state_is current
same "$(domains)" '' 'then no domain is live'
like "$("$dump" "$work/state" a all | grep -vc '|retired$')" '^0$' 'and every one is retired'
refill
follows >/dev/null
confirm
# A round may have asked for confirmations before this one, and for changes after it: the second one begins later.
follows >/dev/null
follows >/dev/null
empty
try 'a confirmation while all is well releases nothing later' wait_for 30 state_is held
refill
follows >/dev/null

# --- not this relay
unlink_row() { pg_sql -c "update mxhold.relay set login = 'nobody' where name = 'a'"; }
link_row() { pg_sql -c "update mxhold.relay set login = 'relay_a' where name = 'a'"; }
fault 'no relay row for the login' unheard unlink_row link_row
ok "$(log_has 'event=feed-not-heard.*reason=no-relay-row.*cure=' && echo 0 || echo 1)" 'the log names the cure'
other_name() { pg_sql -c "update mxhold.relay set name = 'z' where name = 'a'"; }
name_back() { pg_sql -c "update mxhold.relay set name = 'a' where name = 'z'"; }
fault 'the row has another name' unheard other_name name_back
move() { pg_sql -c "update mxhold.relay set region = 'asia' where name = 'a'"; }
move_back() { pg_sql -c "update mxhold.relay set region = 'europe' where name = 'a'"; }
fault 'another region than the configuration says' unheard move move_back
pg_sql -c "update mxhold.relay set region = 'asia' where name = 'a'"
conf_region=asia
use "$primary"
# moves N: so many full loads for that reason
moves() { state_is current && [ "$(grep -c 'event=loaded reason=relay-or-region-changed' "$work/sync.log")" -ge "$1" ]; }
try 'moved in both: loaded in full' wait_for 30 moves 1
conf_region=europe
move_back
use "$primary"
try 'and back' wait_for 30 moves 2
follows >/dev/null

# --- below the floor. (A debugger holds it: from SIGSTOP it would go on by itself.)
"$BUILD/tests/tools/asker" freeze "$daemon_pid" 60000 &
tracer=$!
others="$others $tracer"
is_held() { grep -q '^State:.t' "/proc/$daemon_pid/status"; }
wait_for 15 is_held || true
pg_sql -c "insert into mxhold.domain (name, customer) values ('floor.example', 'acme')" \
	-c "select mxhold.feed_prune('0')" >/dev/null
pg_sql -c "insert into mxhold.domain (name, customer) values ('above.example', 'acme')" -c "select mxhold.feed_prune('0')" >/dev/null
try 'it was held all the while' is_held
kill "$tracer"
try 'below the floor: loaded in full' wait_for 30 log_has 'event=loaded reason=below-floor'
same "$(domains)" "$(domains_by_sql)" 'with what the tables hold'

# --- a transaction pooler
cat >"$work/pgbouncer.ini" <<INI
[databases]
postgres = host=$work/pg
[pgbouncer]
listen_addr =
unix_socket_dir = $work/pool
listen_port = 6432
auth_type = trust
auth_file = $work/users
pool_mode = transaction
default_pool_size = 2
logfile = $work/pgbouncer.log
INI
mkdir -p "$work/pool"
echo '"relay_a" ""' >"$work/users"
chown -R postgres: "$work/pool" "$work/users"
touch "$work/pgbouncer.log"
chown postgres: "$work/pgbouncer.log"
pg_exec pgbouncer -q "$work/pgbouncer.ini" >/dev/null 2>&1 &
others="$others $!"
wait_for 30 test -S "$work/pool/.s.PGSQL.6432" || true
use "host=$work/pool port=6432 user=relay_a dbname=postgres"
took=$(follows 20) || took=none
ok "$([ "$took" != none ] && echo 0 || echo 1)" "a transaction pooler is followed ($took ms)"
like "$("$ask" "$work/state/control" reload)" '"ok":true' 'a full load through it, too'
same "$(domains)" "$(domains_by_sql)" 'with what the tables hold'

daemon_stop || true
tap_done
