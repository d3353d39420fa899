#!/bin/sh
# Acts on many rows stop nobody: a COPY of SIZE domains, and a region change of a customer who has them all, while another
# session goes on committing; its longest wait is measured. SIZE: 100,000, or a million and more in `make soak`.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/pg.sh
size=${SIZE:-100000}
limit=${LIMIT_MS:-500} # the longest that a single look may take, or a commit of another beside what takes less than 2.5 s
dir=$(mktemp -d /tmp/mxbk.XXXXXX)
trap 'pg_stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pg_start "$dir"
pg_migrate postgres
pg_sql -f tests/sql/lib/setup.psql
pg_sql <<'SQL'
create schema probe;
create table probe.facts (commits bigint, longest interval, stop boolean);
create table probe.times (what text primary key, took interval);
insert into probe.facts values (0, '0', false);
-- Inserts, changes and deletes a domain of another customer, over and over, and keeps the longest turn.
create procedure probe.work() language plpgsql as $$
declare
	begun timestamptz;
	took interval;
	n bigint := 0;
	done boolean := false;
begin
	while not done loop
		begun := clock_timestamp();
		insert into mxhold.domain (name, customer) values ('probe' || n || '.example', 'bolt');
		commit;
		update mxhold.domain set suspended = true where name = 'probe' || n || '.example';
		commit;
		delete from mxhold.domain where name = 'probe' || n || '.example';
		commit;
		took := clock_timestamp() - begun;
		n := n + 1;
		update probe.facts set commits = commits + 3, longest = greatest(longest, took) returning stop into done;
		commit;
	end loop;
end
$$;
grant usage on schema probe to soc;
grant all on all tables in schema probe to soc;
SQL
awk -v n="$size" 'BEGIN { for (i = 0; i < n; i++) printf "d%08d.example\tacme\n", (i * 7919) % 100000007 }' >"$dir/rows"

millis() {
	date +%s%3N
}
# busy TEXT COMMAND...: runs it while the other session works.
busy() {
	text=$1
	shift
	pg_sql -c "update probe.facts set commits = 0, longest = '0', stop = false"
	timeout 900 psql -XAtq -U soc -c 'call probe.work()' >"$dir/probe.out" 2>&1 &
	pid=$!
	sleep 0.3
	before=$(millis)
	try "$text" "$@"
	took=$(($(millis) - before))
	pg_sql -c 'update probe.facts set stop = true'
	wait "$pid" || note "$(cat "$dir/probe.out")"
	facts=$(pg_sql -F ' ' -c "select commits, ceil(extract(epoch from longest) * 1000) from probe.facts")
	longest=${facts#* }
	note "$took ms; meanwhile ${facts% *} commits of another session, the longest three took $longest ms"
	may=$((took / 5 > limit ? took / 5 : limit)) # a busy machine slows both
	is "$([ "$longest" -le "$may" ] && [ "${facts% *}" -gt 3 ] && echo short)" short '... and others went on committing'
}

note "$size domains, bare COPY into a table with one index: $(
	pg_sql -c 'create table probe.bare (name text collate "C" primary key, customer text)'
	begun=$(millis)
	pg_sql -c "\\copy probe.bare from $dir/rows"
	echo $(($(millis) - begun))
) ms"
busy "COPY of $size domains" pg_sql -U soc -c "\\copy mxhold.domain (name, customer) from $dir/rows"
is "$(pg_sql -c "select count(*) from mxhold.audit where op = 'insert' and tab = 'domain' and new ->> 'customer' = 'acme' and key like 'd%'")" "$size" \
	'every row is in the audit'
version=$(pg_sql -c "select max(c.version) - 1 from mxhold.commit_log c join mxhold.domain d on d.tx = c.tx where d.name = (select max(name) from mxhold.domain)")
begun=$(millis)
is "$(pg_sql -U eu1 -c "copy (select * from mxhold.feed_since($version)) to stdout" | grep -c '^domain	d')" "$size" 'feed_since tells them all'
note "feed_since: $(($(millis) - begun)) ms"
begun=$(millis)
is "$(pg_sql -U eu1 -c "copy (select * from mxhold.feed_full('domain')) to stdout" | LC_ALL=C sort -c -k 2,2 -t '	' 2>&1)" '' 'feed_full tells them in order'
note "feed_full with the check of its order: $(($(millis) - begun)) ms"
busy 'a region more for a customer who has them all' pg_sql -U soc -c "select mxhold.customer_set_regions('acme', '{europe,usa}')"
busy 'next hops for a tenth of them' pg_sql -U soc -c "update mxhold.domain set next_hops = '[203.0.113.5]:25' where customer = 'acme' and name like 'd%0.example'"
version=$(pg_sql -c 'select mxhold.version()')
busy 'a region less for a customer' pg_sql -U soc -c "select mxhold.customer_set_regions('acme', '{europe}')"
is "$(pg_sql -U us1 -c "copy (select * from mxhold.feed_since($version)) to stdout" | awk -F '\t' '$1 == "domain" && $6 == 4 && $11 == "\\N" && $2 ~ /^d/' | wc -l)" \
	"$(pg_sql -c "select count(*) from mxhold.domain where next_hops is not null")" '... and the relays of that region are told to forget them'
busy 'a customer with all of them is renamed' pg_sql -U soc -c "update mxhold.customer set name = 'acme-ltd' where name = 'acme'"
begun=$(millis)
is "$(pg_sql -U watch -c "select state from mxhold.domain_status where domain = 'd00000000.example'")" red 'domain_status of one domain'
took=$(($(millis) - begun))
is "$([ "$took" -lt "$limit" ] && echo fast)" fast "... at once ($took ms)"
begun=$(millis)
pg_sql -U eu1 -c "select * from mxhold.feed_since((select max(version) from mxhold.feed_state(0, '')))" >/dev/null
took=$(($(millis) - begun))
is "$([ "$took" -lt "$limit" ] && echo fast)" fast "feed_since of nothing costs nothing, without statistics too ($took ms)"
busy 'all of them are deleted' pg_sql -U soc -c "delete from mxhold.domain where customer = 'acme-ltd'"
tap_done
