#!/bin/sh
# The same history, or another: a dump restored elsewhere, an older copy that has gone on, a hot standby.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/pg.sh
dir=$(mktemp -d /tmp/mxcp.XXXXXX)
trap 'pg_stop "$dir/standby"; pg_stop "$dir/old"; pg_stop "$dir/main"; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$dir"
mkdir "$dir/main" "$dir/standby" "$dir/old"

pg_start "$dir/main" 'conf=wal_level = replica' 'conf=hot_standby_feedback = on'
pg_migrate postgres
pg_sql -f tests/sql/lib/setup.psql

# state HOST COLUMN VERSION STAMP [DATABASE], as the relay asks
state() {
	pg_sql -h "$1" -U eu1 -d "${5:-postgres}" -c "select $2 from mxhold.feed_state($3, '$4')"
}
soc() {
	pg_sql -h "$1" -U soc -c "$2" 2>&1
}
epoch=$(state "$dir/main" epoch 0 '')

# --- an older copy of the whole cluster, that goes on by itself ----------------------------------------------------------
copy() {
	pg_run timeout 60 "$pg_bin/pg_basebackup" -h "$dir/main" -U postgres -D "$1/data" -c fast "$2" >/dev/null 2>&1
}
for node in standby old; do
	chmod 755 "$dir/$node"
	[ "$(id -u)" -ne 0 ] || chown postgres: "$dir/$node"
done
try 'an older copy is taken' copy "$dir/old" -Xstream
soc "$dir/main" "insert into mxhold.domain (name, customer) values ('after.example', 'acme')"
version=$(state "$dir/main" version 0 '')
stamp=$(state "$dir/main" stamp 0 '')
is "$(state "$dir/main" same_history "$version" "$stamp")" t 'the authority knows its own version and stamp'

sed -i "s#$dir/main#$dir/old#" "$dir/old/data/postgresql.conf"
pg_start "$dir/old"
is "$(state "$dir/old" epoch 0 '')" "$epoch" 'the older copy has the same epoch (the same cluster, the same database)'
is "$(state "$dir/old" "version < $version" 0 '')" t '... a lower version'
is "$(state "$dir/old" same_history "$version" "$stamp")" f '... and does not know the newest'
soc "$dir/old" "insert into mxhold.domain (name, customer) values ('instead.example', 'acme')"
soc "$dir/old" "insert into mxhold.domain (name, customer) values ('more.example', 'acme')"
is "$(state "$dir/old" "version > $version" 0 '')" t 'gone on, its version is higher'
is "$(state "$dir/old" same_history "$version" "$stamp")" f '... but the stamp betrays it'
pg_stop "$dir/old"

# --- dump and restore ------------------------------------------------------------------------------------------------------
PGHOST=$dir/main
pg_sql -c 'create database restored'
pg_run "$pg_bin/pg_dump" -h "$dir/main" -U postgres -Fc -n mxhold -f "$dir/main/dump" postgres
try 'a dump restores' pg_run "$pg_bin/pg_restore" -h "$dir/main" -U postgres -d restored --exit-on-error "$dir/main/dump"
like "$(state "$dir/main" epoch 0 '' restored)" '^[0-9a-f-]{36}$' 'the restored database has an epoch'
is "$([ "$(state "$dir/main" epoch 0 '' restored)" != "$epoch" ] && echo other)" other '... another one'
is "$(state "$dir/main" epoch 0 '')" "$epoch" '... and the first keeps its own'
is "$(state "$dir/main" same_history "$version" "$stamp" restored)" t 'it has the same versions'
compare="select md5(string_agg(f::text, '|' order by kind, key)) from (select * from mxhold.feed_full('relay')
	union all select * from mxhold.feed_full('customer') union all select * from mxhold.feed_full('domain')) f"
is "$(pg_sql -U eu1 -d restored -c "$compare")" "$(pg_sql -U eu1 -c "$compare")" '... and tells the same'
is "$(pg_sql -U soc -d restored -c "insert into mxhold.domain (name, customer) values ('new.example', 'acme')" 2>&1)" '' 'the SOC goes on there'
is "$(pg_sql -U eu1 -d restored -c "select string_agg(key, ' ') from mxhold.feed_since($version)")" new.example '... and the feed too'
is "$(pg_sql -U soc -d restored -c "insert into mxhold.domain (name, customer) values ('bad name', 'acme')" -v VERBOSITY=sqlstate 2>&1 | cut -c1-6)" \
	ERROR: '... and the constraints'
is "$(pg_sql -U soc -d restored -c "select old is null and new ->> 'name' = 'new.example' from mxhold.audit order by id desc limit 1")" t '... and the audit'

# --- hot standby -------------------------------------------------------------------------------------------------------------
try 'a standby is made' copy "$dir/standby" -R
sed -i "s#$dir/main'#$dir/standby'#" "$dir/standby/data/postgresql.conf"
pg_start "$dir/standby"
caught_up() {
	[ "$(state "$dir/standby" version 0 '')" = "$(state "$dir/main" version 0 '')" ]
}
soc "$dir/main" "insert into mxhold.domain (name, customer) values ('replicated.example', 'acme')"
try 'the standby follows' wait_for 20 caught_up
is "$(state "$dir/standby" read_only 0 '')" t 'it says that it is read-only'
is "$(state "$dir/main" read_only 0 '')" f '... and the primary that it is not'
is "$(state "$dir/standby" epoch 0 '')" "$epoch" 'the same epoch'
is "$(state "$dir/standby" same_history "$version" "$stamp")" t 'the same history'
is "$(pg_sql -h "$dir/standby" -U eu1 -c "select string_agg(key, ' ') from mxhold.feed_since($version)")" replicated.example 'feed_since works there'
is "$(pg_sql -h "$dir/standby" -U eu1 -c "$compare")" "$(pg_sql -h "$dir/main" -U eu1 -c "$compare")" 'feed_full tells the same'
is "$(pg_sql -h "$dir/standby" -U watch -c "select state from mxhold.domain_status where domain = 'replicated.example'")" red 'domain_status works there'
is "$(pg_sql -h "$dir/standby" -U eu1 -v VERBOSITY=sqlstate -c "select mxhold.heartbeat('e', 1, 'ok', '', 1, 'x')" 2>&1 | cut -c1-13)" \
	'ERROR:  25006' 'a heartbeat is refused there'
pg_stop "$dir/main" fast
pg_run timeout 60 "$pg_bin/pg_ctl" promote -D "$dir/standby/data" -w >/dev/null
is "$(state "$dir/standby" 'epoch, read_only' 0 '')" "$epoch|f" 'promoted, it is the same authority'
is "$(soc "$dir/standby" "insert into mxhold.domain (name, customer) values ('promoted.example', 'acme')")" '' '... and the SOC goes on there'
is "$(pg_sql -h "$dir/standby" -U eu1 -c "select string_agg(key, ' ' order by key) from mxhold.feed_since($version)")" 'promoted.example replicated.example' \
	'... and so does the feed'
tap_done
