-- The feed as docs/feed.md fixes it, one transaction a statement.
select no_plan();
create temp table mark (v bigint);
grant all on mark to public;
insert into mark select mxhold.version();
create function pg_temp.since(login text) returns text language sql as $$
	select says(login, format('select coalesce(string_agg(kind || '' '' || key || case when present then '''' else '' gone'' end, '', ''
		order by case kind when ''relay'' then 1 when ''customer'' then 2 else 3 end, key), '''')
		from (select distinct kind, key, present from mxhold.feed_since(%s)) f', (select v from mark)));
$$;
select cmp_ok(mxhold.version(), '>', 0::bigint, 'the set-up has a version');
select is(pg_temp.since('eu1'), '', 'nothing since');
select 'update mark set v = mxhold.version()',
	format('do %L', format('begin if code(''soc'', %L) <> ''00000'' then raise exception ''step %s failed''; end if; end', command, n)),
	format('select is(pg_temp.since(''eu1''), %L, %L)', want, left(command, 90))
from (values
	(1, 'insert into mxhold.domain (name, customer) values (''n.example'', ''acme'')', 'domain n.example'),
	(2, 'update mxhold.domain set note = ''x'' where name = ''n.example''', 'domain n.example'),
	(3, 'update mxhold.domain set note = ''x'' where name = ''n.example''', ''),
	(4, 'update mxhold.domain set note = note', ''),
	(5, 'update mxhold.domain set name = ''m.example'' where name = ''n.example''', 'domain m.example, domain n.example gone'),
	(6, 'delete from mxhold.domain where name = ''m.example''', 'domain m.example gone'),
	(7, 'delete from mxhold.domain where false', ''),
	(8, 'insert into mxhold.domain_region values (''acme.example'', ''asia'')', 'domain acme.example'),
	(9, 'update mxhold.domain_region set region = ''europe'' where domain = ''acme.example''', 'domain acme.example'),
	(10, 'update mxhold.domain_region set domain = ''bolt.example'' where domain = ''acme.example''', 'domain acme.example, domain bolt.example'),
	(11, 'delete from mxhold.domain_region', 'domain bolt.example'),
	(12, 'insert into mxhold.customer_region values (''acme'', ''usa'')', 'customer acme'),
	(13, 'select mxhold.customer_set_regions(''acme'', ''{europe,asia}'')', 'customer acme'),
	(14, 'select mxhold.customer_set_regions(''acme'', ''{asia,europe}'')', ''),
	(15, 'update mxhold.customer set suspended = true where name = ''bolt''', 'customer bolt'),
	(16, 'update mxhold.customer set name = ''bolt2'' where name = ''bolt''', 'customer bolt gone, customer bolt2, domain bolt.example'),
	(17, 'insert into mxhold.customer (name) values (''cee'')', 'customer cee'),
	(18, 'delete from mxhold.customer where name = ''cee''', 'customer cee gone'),
	(19, 'insert into mxhold.relay (name, region, login, names, addresses) values (''as1'', ''asia'', ''as1'', ''{asia.mx.backup.example}'', ''{198.51.100.3}'')', 'relay as1'),
	(20, 'update mxhold.relay set name = ''as2'' where name = ''as1''', 'relay as1 gone, relay as2'),
	(21, 'delete from mxhold.relay where name = ''as2''', 'relay as2 gone'),
	(22, 'update mxhold.region set name = ''eu'' where name = ''europe''', 'relay eu1, customer acme'),
	(23, 'insert into mxhold.region (name) values (''mars'')', ''),
	(24, 'update mxhold.domain set next_hops = ''[203.0.113.5]'' where name = ''acme.example''', 'domain acme.example'),
	(25, 'select mxhold.customer_set_regions(''acme'', ''{asia}'')', 'customer acme, domain acme.example'),
	(26, 'update mxhold.relay set region = ''asia'' where name = ''eu1''', 'relay eu1'),
	(27, 'update mxhold.relay set note = ''x'' where name = ''us1''', 'relay us1'),
	(28, 'with a as (insert into mxhold.domain (name, customer) values (''z.example'', ''acme'') returning 1) select * from a', 'domain z.example'),
	(29, 'insert into mxhold.domain (name, customer) values (''z.example'', ''acme''), (''y.example'', ''acme'') on conflict (name) do update set note = ''again''', 'domain y.example, domain z.example'),
	(30, 'merge into mxhold.domain d using (values (''z.example''), (''w.example'')) v (n) on d.name = v.n when matched then delete when not matched then insert (name, customer) values (v.n, ''acme'')', 'domain w.example, domain z.example gone')
) t (n, command, want) order by n \gexec

-- state
select is(says('eu1', format('select %s from mxhold.feed_state(%s, %L)', what, version, stamp)), want, format('feed_state(%s, %s).%s', version, stamp, what))
from (values
	('relay', '0', '', 'eu1'), ('region', '0', '', 'asia'), ('empty', '0', '', 'false'), ('same_history', '0', '', 'true'), ('floor', '0', '', '0'),
	('same_history', 'null', '', 'true'), ('same_history', '1', 'wrong', 'false'), ('same_history', '999999', 'x', 'false'),
	('read_only', '0', '', 'false'), ('confirmation', '0', '', '0'), ('version = mxhold.version()', '0', '', 'true'),
	('epoch = mxhold.epoch()', '0', '', 'true'), ('server_time is not null', '0', '', 'true')
) t (what, version, stamp, want)
where what !~ 'mxhold\.';
select is((select version from mxhold.feed_state(0, '')), mxhold.version(), 'feed_state.version');
select is((select epoch from mxhold.feed_state(0, '')), mxhold.epoch(), 'feed_state.epoch');
select is((select same_history from mxhold.feed_state(c.version, c.stamp)), true, 'a stamp that is known') from mxhold.commit_log c order by version desc limit 1;
select is((select same_history from mxhold.feed_state(c.version, null)), false, 'no stamp') from mxhold.commit_log c order by version desc limit 1;
select is(says('stray', 'select coalesce(relay, ''none'') || coalesce(region, ''none'') from mxhold.feed_state(0, '''')'), 'nonenone', 'a login without a row is nobody');
select ok((select count(distinct stamp) = count(*) and count(distinct version) = count(*) from mxhold.commit_log), 'versions and stamps are each their own');

-- shape
select code('soc', 'update mxhold.domain set include_subdomains = true, suspended = true, tls_required = true, size_limit = 5, oversize = ''defer'',
	retention = ''2 days'', quota_messages = 6, quota_bytes = 7, when_primary_up = ''defer'', mx_check = false,
	refused = ''keep'', hold_until = ''2030-01-01 00:00:00.2+00'', hold_reason = ''disks, new'', pin_certificate = ''AB:'' || repeat(''cd'', 31), pin_banner = ''mx.acme'' where name = ''acme.example''');
select code('soc', 'insert into mxhold.domain_region values (''acme.example'', ''usa''), (''acme.example'', ''asia'')');
select is(says('eu1', 'select f::text from mxhold.feed_full(''domain'') f where key = ''acme.example'''),
	'(domain,acme.example,t,acme,"asia usa",2731,5,172800,6,7,[203.0.113.5],,'
	|| ',1893456001,"disks, new",ab' || repeat('cd', 31) || ',mx.acme)', 'a domain with everything, told to a permitted relay');
select is(says('us1', 'select f::text from mxhold.feed_full(''domain'') f where key = ''acme.example'''),
	'(domain,acme.example,t,acme,"asia usa",2735,5,172800,6,7,,,'
	|| ',1893456001,"disks, new",ab' || repeat('cd', 31) || ',mx.acme)', '... to another: next hops are withheld, and said to be');
select is(says('stray', 'select f.flags || coalesce(f.next_hops, ''-'') from mxhold.feed_full(''domain'') f where key = ''acme.example'''),
	'2735-', '... to nobody''s login likewise');
select code('soc', 'delete from mxhold.domain_region where region = ''asia''');
select is(says('eu1', 'select coalesce(next_hops, ''-'') from mxhold.feed_full(''domain'') f where key = ''acme.example'''), '-',
	'narrowed to another region: withheld');
select code('soc', 'update mxhold.customer set size_limit = 5, oversize = ''reject'', retention = ''1 hour'', quota_messages = 6, quota_bytes = 7,
	when_primary_up = ''accept'', mx_check = true, refused = ''judge'', suspended = true where name = ''acme''');
select is(says('eu1', 'select f::text from mxhold.feed_full(''customer'') f where key = ''acme'''), '(customer,acme,t,,asia,1362,5,3600,6,7,,,,,,,)', 'a customer with everything');
select is(says('eu1', 'select f::text from mxhold.feed_full(''customer'') f where key = ''bolt2'''), '(customer,bolt2,t,,usa,2,,,,,,,,,,,)', 'a customer with little');
select is(says('eu1', 'select f::text from mxhold.feed_full(''relay'') f where key = ''eu1'''),
	'(relay,eu1,t,,asia,0,,,,,,europe.mx.backup.example,"198.51.100.1 2001:db8:1::1",,,,)', 'a relay');
select is(says('eu1', 'select string_agg(key, '' '') from mxhold.feed_full(''domain'')'),
	(select string_agg(name, ' ' order by name collate "C") from mxhold.domain), 'keys come in bytewise order');
select is(says('eu1', 'select count(*) from mxhold.feed_full(''region'')'), '0', 'no other kinds');
select is(says('eu1', 'select string_agg(f::text, ''|'' order by kind, key) from (select distinct kind, key, present, customer, regions, flags,
	size_limit, retention, quota_messages, quota_bytes, next_hops, names, addresses, hold_until, hold_reason, pin_certificate, pin_banner from mxhold.feed_since(0) where present) f'),
	says('eu1', 'select string_agg(f::text, ''|'' order by kind, key) from (select * from mxhold.feed_full(''relay'') union all select * from mxhold.feed_full(''customer'') union all select * from mxhold.feed_full(''domain'')) f'),
	'everything since 0 is what a full load tells');
-- in parts: whatever the size of a part, its rows and their places are those of the whole, and a version ends with a short part
create function pg_temp.parts(v bigint, size integer) returns text language plpgsql as $$
declare
	told text := '';
	r record;
	at_step integer := 0;
	at_customer text := '';
	at_key text := '';
	n integer;
begin
	loop
		n := 0;
		for r in select * from mxhold.feed_since(v - 1, v, at_step, at_customer, at_key, size, size) loop
			n := n + 1;
			told := told || r.step || ' ' || r.key || case when r.present then ', ' else ' gone, ' end;
			at_step := r.step;
			at_customer := coalesce(r.customer, '');
			at_key := r.key;
		end loop;
		exit when n < size;
	end loop;
	return told;
end
$$;
begin;
select code('soc', 'insert into mxhold.customer (name) values (''part1''), (''part2''), (''part3'')');
select code('soc', 'insert into mxhold.customer_region select name, ''usa'' from mxhold.customer where name ~ ''^part''');
select code('soc', 'insert into mxhold.domain (name, customer, next_hops) select ''p'' || i || ''.example'', ''part'' || 1 + i % 3, ''[203.0.113.5]'' from generate_series(1, 30) i');
commit;
begin;
select code('soc', 'select mxhold.customer_set_regions(name, ''{asia}'') from mxhold.customer where name ~ ''^part''');
select code('soc', 'update mxhold.customer set suspended = true where name in (''part1'', ''part3'')');
select code('soc', 'delete from mxhold.domain where name ~ ''^p[789]''');
select code('soc', 'update mxhold.domain set suspended = true where name ~ ''^p2''');
select code('soc', 'insert into mxhold.domain_region select name, ''asia'' from mxhold.domain where name ~ ''^p[34]''');
select code('soc', 'update mxhold.relay set note = ''parts''');
commit;
select is(pg_temp.parts(mxhold.version(), size), pg_temp.parts(mxhold.version(), 1000), format('in parts of %s: the same', size))
from unnest('{1,2,3,5,7,20,50}'::int[]) size;
select is((select count(*) > 50 and array_agg(distinct step order by step) = '{1,3,4,5,6,7}' from mxhold.feed_since(mxhold.version() - 1)), true, '... of all that a version can tell');
select is((select count(*) from mxhold.feed_since(mxhold.version() - 2, each => 3)), 6::bigint, 'so many of each version');
select is((select array_agg(version order by n) = array_agg(version order by version) from (select version, row_number() over () as n from mxhold.feed_since(0, most => 40)) f), true, 'in the order of versions');
select is((select count(*) from mxhold.feed_since(0, most => 40)), 40::bigint, 'so many of all');
select is((select max(version) from mxhold.feed_since(0, mxhold.version() - 1)), mxhold.version() - 1, 'up to a version');
select code('soc', 'delete from mxhold.domain where name ~ ''^p[0-9]''');
select code('soc', 'delete from mxhold.customer where name ~ ''^part''');
update mark set v = mxhold.version();
-- what is gone
create function pg_temp.gone(login text) returns text language sql as $$
	select says(login, 'select coalesce(string_agg(f::text, '' '' order by key), '''') from mxhold.feed_gone() f where key ~ ''^t[0-9]''');
$$;
select is(says('eu1', 'select string_agg(key, '' '') from mxhold.feed_gone()'),
	(select string_agg(name, ' ' order by name collate "C") from mxhold.tombstone t where not exists (select from mxhold.domain d where d.name = t.name)), 'what the steps above removed is told, in bytewise order');
select is(says('eu1', 'select count(*) from mxhold.feed_gone() where present or kind <> ''domain'''), '0', '... as domains that are not present');
create temp table kept_row as select '(domain,t3.example,f,tomb,"",2048,,,,,,,,9223372036854775807,why,' || repeat('ab', 32) || ',mx)' as t3;
select code('soc', 'insert into mxhold.customer (name) values (''tomb'')');
select code('soc', 'insert into mxhold.customer_region values (''tomb'', ''usa''), (''tomb'', ''asia'')');
select code('soc', 'insert into mxhold.domain (name, customer, next_hops, tls_required, include_subdomains) values
	(''t1.example'', ''tomb'', ''[203.0.113.5]'', true, false), (''t2.example'', ''tomb'', ''[203.0.113.6]'', false, true), (''t3.example'', ''tomb'', null, false, false)');
select code('soc', 'update mxhold.domain set refused = ''keep'', hold_until = ''infinity'', hold_reason = ''why'', pin_certificate = repeat(''ab'', 32), pin_banner = ''mx'' where name = ''t3.example''');
select code('soc', 'insert into mxhold.domain_region values (''t2.example'', ''usa''), (''t3.example'', ''asia'')');
select is(pg_temp.gone('us1'), '', 'nothing is gone while it is there');
select code('soc', 'update mxhold.domain set note = ''x'' where customer = ''tomb''');
select is((select count(*)::int from mxhold.tombstone where name ~ '^t[0-9]'), 0, 'an update without another name buries nothing');
select code('soc', 'update mxhold.domain set name = ''t9.example'' where name = ''t1.example''');
select is(pg_temp.gone('us1'), '(domain,t1.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,)', 'renamed: the old name, as it was');
select code('soc', 'update mxhold.domain set name = ''t1.example'' where name = ''t9.example''');
select is(pg_temp.gone('us1'), '(domain,t9.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,)', 'renamed back: only the other');
select code('soc', 'delete from mxhold.domain where customer = ''tomb''');
select code('soc', 'delete from mxhold.customer where name = ''tomb''');
select is(pg_temp.gone('us1'), '(domain,t1.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,) (domain,t2.example,f,tomb,"",1,,,,,[203.0.113.6],,,,,,) ' || (select t3 from kept_row) || ' (domain,t9.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,)',
	'deleted, and the customer too: as they were, to a relay of a region that was permitted');
select is(pg_temp.gone('eu1'), '(domain,t1.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,) (domain,t2.example,f,tomb,"",5,,,,,,,,,,,) ' || (select t3 from kept_row) || ' (domain,t9.example,f,tomb,"",8,,,,,[203.0.113.5],,,,,,)',
	'... and with next hops withheld from a region that was narrowed away');
select is(pg_temp.gone('stray'), '(domain,t1.example,f,tomb,"",12,,,,,,,,,,,) (domain,t2.example,f,tomb,"",5,,,,,,,,,,,) ' || (select t3 from kept_row) || ' (domain,t9.example,f,tomb,"",12,,,,,,,,,,,)',
	'... and from nobody''s login');
select code('soc', 'insert into mxhold.domain (name, customer) values (''t1.example'', ''acme'')');
select unalike(pg_temp.gone('us1'), '%t1.example%', 'what is there again is not gone');
select code('soc', 'delete from mxhold.domain where name = ''t1.example''');
select alike(pg_temp.gone('us1'), '(domain,t1.example,f,acme,"",0,,,,,,,,,,,)%', 'gone again: as it was last');
create temp table told as select pg_temp.gone('us1') as rows;
select matches((select rows from told), 'example', 'there is something to tell');
update mxhold.region set name = 'america' where name = 'usa';
select is(pg_temp.gone('us1'), (select rows from told), 'a region renamed: its relays are told where the mail of what is gone goes');
update mxhold.region set name = 'usa' where name = 'america';
update mxhold.tombstone set removed_at = now() - interval '31 days' where name = 't2.example';
select mxhold.feed_maintain();
select unalike(pg_temp.gone('us1'), '%t2.example%', 'after 30 days it is forgotten');
select alike(pg_temp.gone('us1'), '%t3.example%', '... the others are not');

create function pg_temp.plan(query text) returns text language plpgsql as $$
declare
	line text;
	plan text := '';
begin
	for line in execute 'explain (costs off) ' || query loop
		plan := plan || line || E'\n';
	end loop;
	return plan;
end
$$;
select unalike(pg_temp.plan('select * from mxhold.feed_full(''domain'')'), '%Function Scan%', 'feed_full is inlined: it streams');
select unalike(pg_temp.plan('select * from mxhold.feed_full(''domain'')'), '%relay_pkey%', '... and reads the one table');

-- SET CONSTRAINTS IMMEDIATE, and rows changed after it
update mark set v = mxhold.version();
begin;
set constraints all immediate;
select code('soc', 'insert into mxhold.domain (name, customer) values (''imm1.example'', ''acme'')');
select code('soc', 'insert into mxhold.domain (name, customer) values (''imm2.example'', ''acme'')');
commit;
select alike(pg_temp.since('eu1'), '%imm1.example, domain imm2.example%', 'rows changed after SET CONSTRAINTS IMMEDIATE are told');

-- numbers of another cluster's transactions (a restored dump) never hide a change
begin;
select mxhold.feed_enter();
update mxhold.commit_log set version = -5, stamp = 'old' where tx = pg_current_xact_id();
update mark set v = mxhold.version();
select code('soc', 'insert into mxhold.domain (name, customer) values (''dump.example'', ''acme'')');
commit;
select cmp_ok(mxhold.version(), '>', (select v from mark), 'a transaction whose number is in the log already gets a version');
select alike(pg_temp.since('eu1'), '%dump.example%', '... and its rows are told');

-- heartbeat, confirmation
select is(code('eu1', 'select mxhold.heartbeat(''e'', 3, ''held'', ''why'', 5, ''s'')'), '00000', 'heartbeat');
select is(code('eu1', 'select mxhold.heartbeat(''e2'', 4, ''ok'', '''', 6, ''s2'')'), '00000', 'heartbeat again');
select results_eq('select relay, epoch, version, state, detail, domains, software from mxhold.relay_heartbeat',
	$$values ('eu1' collate "C", 'e2', 4::bigint, 'ok', '', 6::bigint, 's2')$$, 'one row a relay, of its own login');
select is(code('stray', 'select mxhold.heartbeat(''e'', 3, ''ok'', '''', 5, ''s'')'), '42501', 'a login without a row has no heartbeat');
select is(code('soc', 'insert into mxhold.feed_confirmation (note) values (''restored'')'), '00000', 'confirm');
select is(says('eu1', 'select confirmation > 0 from mxhold.feed_state(0, '''')'), 'true', 'the confirmation is told');
select code('soc', 'insert into mxhold.feed_confirmation (note) values (''elsewhere'')');
update mxhold.feed_confirmation set epoch = 'other' where note = 'elsewhere';
select is((select confirmation from mxhold.feed_state(0, '')), (select max(id) from mxhold.feed_confirmation where epoch = mxhold.epoch()), '... of this epoch only');

-- pruning
create temp table kept as select max(version) as newest from mxhold.commit_log;
select is(mxhold.feed_prune('30 days'), 0::bigint, 'nothing is old');
select is(mxhold.feed_maintain(), 0::bigint, 'nothing is old');
update mxhold.commit_log set at = at - interval '31 days' where version <= (select v from mark);
select is(mxhold.feed_maintain(), (select v from mark), 'the newest old version becomes the floor');
select is((select floor from mxhold.feed_state(0, '')), (select v from mark), '... and is told');
select is((select count(*)::int from mxhold.commit_log where version < (select v from mark)), 0, 'older ones are gone');
select is((select count(*)::int from mxhold.commit_log where version = (select v from mark)), 1, 'the floor itself is kept');
select is((select count(*)::int from mxhold.touched t where not exists (select from mxhold.commit_log c where c.tx = t.tx)), 0, 'nothing touched is left without its transaction');
select throws_ok(format('select * from mxhold.feed_since(%s)', (select v - 1 from mark)), '55000', null, 'below the floor feed_since refuses');
select lives_ok(format('select * from mxhold.feed_since(%s)', (select v from mark)), 'at the floor it answers');
select is((select same_history from mxhold.feed_state((select v - 1 from mark), 'x')), true, 'below the floor there is no quarrel: load in full');
select is((select same_history from mxhold.feed_state((select v from mark), 'x')), false, 'at the floor the stamp counts');
select is(mxhold.feed_prune('-1 hour'), (select newest from kept), 'the newest version stays even if all are old');
select is(mxhold.version(), (select newest from kept), '... as the version');
select is(mxhold.feed_prune('30 days'), (select newest from kept), 'the floor never sinks');
select * from finish();
