#!/bin/sh
# The SOC's guide: every SQL block of docs/soc.md is run as it stands, in order, by the one who would type it.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/pg.sh
dir=$(mktemp -d /tmp/mxgd.XXXXXX)
trap 'pg_stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pg_start "$dir"
pg_migrate postgres
awk -v dir="$dir" '/^```sql$/ { n++; file = sprintf("%s/block%02d.sql", dir, n); next } /^```$/ { file = ""; next } file != "" { print > file }' docs/soc.md
for block in "$dir"/block*.sql; do
	user=anna
	[ "$block" != "$dir/block01.sql" ] || user=postgres
	try "$(head -n 1 "$block")" pg_sql -U "$user" -f "$block"
done
is "$(pg_sql -c "select string_agg(name || ' ' || customer, ', ' order by name) from mxhold.domain")" \
	'example.com acme, example.org acme' 'it leads to what it says'
is "$(pg_sql -U monitor -c "select mx_records[2] from mxhold.domain_status where domain = 'example.com'")" '20 europe.mx.backup.example.' \
	'the MX records are there'
is "$(pg_sql -U relay-eu1 -c "select key from mxhold.feed_full('relay')" | tr '\n' ' ')" 'eu1 us1 ' 'the relay reads the feed'
# The journal stands on a server of its own: there, blocks `sql region` are run.
pg_sql -c 'drop owned by "relay-eu1"' -c 'drop role "relay-eu1"' -c 'create database region'
pg_sql -d region -f sql/journal/001-journal.sql
awk -v dir="$dir" '/^```sql region$/ { n++; file = sprintf("%s/region%02d.sql", dir, n); next } /^```$/ { file = ""; next } file != "" { print > file }' docs/soc.md
user=postgres
for block in "$dir"/region*.sql; do
	try "region: $(head -n 1 "$block")" pg_sql -U "$user" -d region -f "$block"
	user=berta
done
is "$(pg_sql -d region -U relay-eu1 -c "select mxhold_journal.taken('x')")" 0 'the relay may ship'
tap_done
