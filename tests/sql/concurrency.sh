#!/bin/sh
# What only several sessions can show: idle transactions block nobody, names cannot be taken in a race, and a reader that
# polls while 20 writers work misses nothing.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/pg.sh
. tests/sql/lib/session.sh
writers=${WRITERS:-20}
changes=${CHANGES:-500} # of each writer
dir=$(mktemp -d /tmp/mxcc.XXXXXX)
trap 'session_close; pg_stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pg_start "$dir" 'conf=deadlock_timeout = 100ms'
pg_migrate postgres
pg_sql -f tests/sql/lib/setup.psql
mkdir "$dir/s"

soc() {
	PGOPTIONS='-c statement_timeout=20s -c lock_timeout=10s' pg_sql -U soc -v VERBOSITY=sqlstate -c "$1" 2>&1
}

# --- idle transactions ----------------------------------------------------------------------------------------------

session_open a "$dir/s" soc
session_open b "$dir/s" soc
is "$(session_do a "begin; insert into mxhold.domain (name, customer) values ('idle.example', 'acme');
	update mxhold.customer set note = 'idle' where name = 'acme';
	insert into mxhold.customer_region values ('acme', 'asia'); delete from mxhold.domain where name = 'bolt.example';")" '' \
	'a transaction writes to several tables and stays idle'
is "$(soc "insert into mxhold.domain (name, customer) values ('other.example', 'acme')")" '' 'idle: another inserts a domain of the same customer'
is "$(soc "insert into mxhold.customer_region values ('acme', 'usa')")" '' 'idle: another gives the same customer a region'
is "$(soc "update mxhold.domain set note = 'x' where name = 'acme.example'")" '' 'idle: another updates a domain'
is "$(soc "delete from mxhold.domain where name = 'other.example'")" '' 'idle: another deletes one'
is "$(soc "insert into mxhold.relay (name, region, login, names, addresses)
	values ('as1', 'asia', 'as1', '{asia.mx.backup.example}', '{198.51.100.3}')")" '' 'idle: another adds a relay'
is "$(soc "copy mxhold.domain (name, customer) from program 'true'" || true)" 'ERROR:  42501' 'the SOC runs no programs'
is "$(pg_sql -U eu1 -c "select count(*) from mxhold.feed_since(0) where key = 'idle.example'")" 0 'idle: readers see none of it'
before=$(pg_sql -c 'select mxhold.version()')
is "$(session_do a 'commit;')" '' 'the idle transaction commits'
is "$(pg_sql -U eu1 -c "select string_agg(key || ' ' || present, ', ' order by kind, key) from (select distinct kind, key, present from mxhold.feed_since($before)) f")" \
	'acme true, bolt.example false, idle.example true' 'a reader that was ahead of it is told all of it'
is "$(session_do a "begin; insert into mxhold.domain (name, customer) values ('lost.example', 'acme'); rollback;")" '' 'a rolled back transaction'
is "$(pg_sql -c 'select mxhold.version()')" "$((before + 1))" '... has no version'
is "$(session_do a "begin; savepoint s; insert into mxhold.domain (name, customer) values ('sp1.example', 'acme'); rollback to s;
	insert into mxhold.domain (name, customer) values ('sp2.example', 'acme'); commit;")" '' 'a savepoint rolled back'
is "$(pg_sql -U eu1 -c "select string_agg(key, ' ') from mxhold.feed_since($before + 1)")" sp2.example '... only the rest is told'
is "$(session_do a "begin; insert into mxhold.domain (name, customer) values ('im1.example', 'acme'); savepoint s; set constraints all immediate;
	insert into mxhold.domain (name, customer) values ('im2.example', 'acme'); rollback to s;
	insert into mxhold.domain (name, customer) values ('im3.example', 'acme');")" '' 'SET CONSTRAINTS IMMEDIATE inside a savepoint that is rolled back'
is "$(soc "insert into mxhold.domain (name, customer) values ('im4.example', 'acme')")" '' '... releases the lock'
before=$(pg_sql -c 'select mxhold.version()')
is "$(session_do a 'commit;')" '' '... and the transaction commits'
is "$(pg_sql -U eu1 -c "select string_agg(key, ' ') from mxhold.feed_since($before)")" 'im1.example im3.example' '... later than the other, in full'

# One notice a transaction.
is "$(session_do b 'listen mxhold_feed;')" '' 'listening'
soc "begin; insert into mxhold.domain (name, customer) values ('nt1.example', 'acme');
	insert into mxhold.domain (name, customer) values ('nt2.example', 'acme'); commit;"
like "$(session_do b 'select 1;')" '^1 Asynchronous notification "mxhold_feed" with payload "[0-9]+" received from server process with PID [0-9]+\.$' \
	'one notice a transaction, with its version'
session_do b 'unlisten *;' >/dev/null

# A NOTICE a statement, naming the customers.
pg_sql -U soc -c "insert into mxhold.customer (name) values ('bare'), ('bare2')"
is "$(pg_sql -U soc -c "insert into mxhold.domain (name, customer) values ('b1.example', 'bare'), ('b2.example', 'bare'), ('b3.example', 'bare2'),
	('b4.example', 'acme')" 2>&1 | head -n 1)" 'NOTICE:  no relay takes mail for these domains yet: customer bare, bare2 has no region' \
	'customers without a region are named, once a statement'
is "$(pg_sql -U soc -c "insert into mxhold.domain (name, customer) values ('b5.example', 'acme')" 2>&1)" '' '... others are not'
pg_sql -U soc -c "update mxhold.domain set next_hops = '[203.0.113.77]:25' where name = 'b4.example'"
like "$(pg_sql -U soc -c "update mxhold.relay set addresses = addresses || '203.0.113.77'::inet where name = 'us1'" 2>&1)" \
	'WARNING:  relay us1 is a next hop of 1 domain.*b4\.example' 'a relay that gains the address of a next hop: a warning names the domain'

# --- races for a name -------------------------------------------------------------------------------------------------

n=0
# race ISOLATION SQL-OF-A SQL-OF-B ANSWER-TO-B TEXT: A writes, B writes (seeing nothing of A), A commits, B commits.
race() {
	n=$((n + 1))
	a=$(printf '%s' "$2" | sed "s/@/r$n.example/g")
	b=$(printf '%s' "$3" | sed "s/@/r$n.example/g")
	got=$(session_do a "begin isolation level $1; select 1; $a")$(session_do b "begin isolation level $1; select 1; $b")
	got="$got $(session_do a 'commit;') $(session_do b 'commit;')"
	is "$got" "11  $4" "race, $1: $5"
	pg_sql -U soc -c "delete from mxhold.domain where name like '%r$n.example'; delete from mxhold.relay where name = 'race'"
}
tree="insert into mxhold.domain (name, customer, include_subdomains) values ('@', 'acme', true);"
below="insert into mxhold.domain (name, customer) values ('x.y.@', 'bolt');"
mine="insert into mxhold.domain (name, customer) values ('x.y.@', 'acme');"
plain="insert into mxhold.domain (name, customer) values ('plain-@', 'bolt');"
relay="insert into mxhold.relay (name, region, login, names, addresses) values ('race', 'usa', 'race', '{mx.@}', '{198.51.100.4}');"
race 'read committed' "$tree" "$below" 'ERROR:  23P01' 'a subdomain after the tree'
race 'read committed' "$below" "$tree" 'ERROR:  23P01' 'a tree after the subdomain'
race 'read committed' "$tree" "$mine" '' 'a subdomain of the same customer'
race 'read committed' "$tree" "$plain" '' 'another name'
race 'read committed' "$relay" "$tree" 'ERROR:  23P01' 'a tree above a new relay'
race 'read committed' "$tree" "$relay" 'ERROR:  23P01' 'a relay below a new tree'
race 'repeatable read' "$tree" "$below" 'ERROR:  40001' 'a subdomain after the tree'
race 'repeatable read' "$below" "$tree" 'ERROR:  40001' 'a tree after the subdomain'
race 'repeatable read' "$plain" "$below" '' 'plain domains disturb each other never'
race 'repeatable read' "$tree" "$relay" 'ERROR:  40001' 'a relay below a new tree'
race 'serializable' "$tree" "$below" 'ERROR:  40001' 'a subdomain after the tree'
pg_sql -c "select nextval('mxhold.feed_claim'), nextval('mxhold.feed_version') from generate_series(1, 32)" >/dev/null
is "$(session_do a "begin isolation level repeatable read; select 1; $(printf '%s' "$tree" | sed 's/@/gap.example/g') commit;")" 1 \
	'numbers lost in a crash do not count as somebody'\''s commit'
is "$(pg_sql -c "select count(*) from mxhold.commit_log where version < 0 or tx >= '9223372036854775808'")" 0 '... and leave nothing behind'
session_close

# --- 20 writers and a reader --------------------------------------------------------------------------------------------

pg_sql -c "grant create on database postgres to eu1"
pg_sql -U eu1 <<'SQL'
create schema reader;
create table reader.seen (kind text, key text, line text, primary key (kind, key));
create table reader.facts (polls bigint, changes bigint);
insert into reader.facts values (0, 0);
-- What sync does: state, then the changes since the version it has, until all writers have ended.
create procedure reader.follow() language plpgsql as $$
declare
	have bigint := 0;
	now_at bigint;
	told bigint;
	last boolean;
begin
	loop
		last := not exists (select from pg_stat_activity where application_name = 'writer');
		commit;
		select version into now_at from mxhold.feed_state(have, '');
		delete from reader.seen s using mxhold.feed_since(have) f where s.kind = f.kind and s.key = f.key and not f.present;
		commit;
		insert into reader.seen select distinct f.kind, f.key, (f.kind, f.key, f.present, f.customer, f.regions, f.flags, f.size_limit,
			f.retention, f.quota_messages, f.quota_bytes, f.next_hops, f.names, f.addresses, f.hold_until, f.hold_reason,
			f.pin_certificate, f.pin_banner)::text from mxhold.feed_since(have) f where f.present
		on conflict (kind, key) do update set line = excluded.line;
		get diagnostics told = row_count;
		-- A key that went between the two reads is told again at the next turn: its version is above now_at.
		have := now_at;
		update reader.facts set polls = polls + 1, changes = changes + told;
		commit;
		exit when last;
	end loop;
end
$$;
SQL

# One writer's script: names from a small set, so that writers meet; a third of it in transactions that end in every way.
writer_script() {
	awk -v seed="$1" -v changes="$changes" '
	function r(n) { return int(rand() * n) }
	function name() { return "w" r(400) ".example" }
	function one(   k) {
		k = r(20)
		if (k < 7) return "insert into mxhold.domain (name, customer) values (\047" name() "\047, \047c" r(9) "\047) on conflict do nothing;"
		if (k < 10) return "delete from mxhold.domain where name = \047" name() "\047;"
		if (k < 13) return "update mxhold.domain set suspended = not suspended where name = \047" name() "\047;"
		if (k < 14) return "update mxhold.domain set name = \047x" r(400) ".example\047 where name = \047" name() "\047;"
		if (k < 15) return "update mxhold.domain set next_hops = \047[203.0.113." r(200) "]\047 where name = \047" name() "\047;"
		if (k < 16) return "insert into mxhold.domain_region values (\047" name() "\047, \047europe\047) on conflict do nothing;"
		if (k < 17) return "delete from mxhold.domain_region where domain = \047" name() "\047;"
		if (k < 18) return "select mxhold.customer_set_regions(\047c" r(9) "\047, \047{" (r(2) ? "europe" : "usa,asia") "}\047);"
		if (k < 19) return "update mxhold.customer set suspended = not suspended where name = \047c" r(9) "\047;"
		return "delete from mxhold.domain where name like \047x" r(400) ".%\047;"
	}
	BEGIN {
		srand(seed)
		while (done < changes) {
			k = r(12)
			if (k == 0) { print "begin;", one(), one(), "select pg_sleep(" rand() / 20 ");", one(), "commit;"; done += 3 }
			else if (k == 1) { print "begin;", one(), one(), "rollback;"; done += 2 }
			else if (k == 2) { print "begin;", one(), "savepoint s;", one(), "rollback to s;", one(), "commit;"; done += 3 }
			else if (k == 3) { print "begin isolation level repeatable read;", one(), one(), "commit;"; done += 2 }
			else if (k == 4) { print "begin; set constraints all immediate;", one(), one(), "commit;"; done += 2 }
			else { print one(); done++ }
		}
	}'
}
pg_sql -U soc -c "insert into mxhold.customer (name) select 'c' || i from generate_series(0, 8) i"
i=0
while [ "$i" -lt "$writers" ]; do
	i=$((i + 1))
	writer_script "$i" >"$dir/w$i.sql"
done
begun=$(date +%s)
pids=
i=0
while [ "$i" -lt "$writers" ]; do
	i=$((i + 1))
	PGAPPNAME=writer timeout 400 psql -XAtq -U soc -f "$dir/w$i.sql" >/dev/null 2>"$dir/w$i.err" &
	pids="$pids $!"
done
wait_for 30 sh -c "[ \"\$(psql -XAtqc \"select count(*) > 0 from pg_stat_activity where application_name = 'writer'\")\" = t ]" || true
status=0
timeout 420 psql -XAtq -v ON_ERROR_STOP=1 -U eu1 -c 'call reader.follow()' || status=$?
for pid in $pids; do
	wait "$pid" || status=$?
done
is "$status" 0 'writers and reader ran to their end'
note "$writers writers, $((writers * changes)) changes, $(($(date +%s) - begun)) s, $(pg_sql -c "select polls || ' polls, ' || changes || ' keys told' from reader.facts")"
note "errors of writers (conflicts that were refused): $(cat "$dir"/w*.err | grep -o 'ERROR:.*' | sed 's/[0-9].*//; s/".*//' | sort | uniq -c | sort -rn | head -5 | tr '\n' ';')"
difference='select count(*) from (
	(select kind, key, line from reader.seen except select kind, key, f::text from full_feed f)
	union all (select kind, key, f::text from full_feed f except select kind, key, line from reader.seen)) d'
pg_sql -U eu1 -c "create temp view full_feed as select * from mxhold.feed_full('relay') union all select * from mxhold.feed_full('customer')
	union all select * from mxhold.feed_full('domain'); $difference" >"$dir/difference"
is "$(cat "$dir/difference")" 0 'the reader'\''s view is what the tables hold'
like "$(pg_sql -c 'select count(*) from mxhold.domain')" '^[1-9][0-9]+$' '... and they hold something'
is "$(pg_sql -c 'select polls > 20 and changes > 1000 from reader.facts')" t 'the reader polled while they wrote'
is "$(pg_sql -c 'select count(*) from mxhold.commit_log where version is null')" 0 'every commit has its version'
is "$(pg_sql -c "select count(*) from (select a.version from mxhold.commit_log a join mxhold.commit_log b on b.version = a.version + 1 where b.at < a.at) x")" 0 \
	'later versions were committed later'
tap_done
