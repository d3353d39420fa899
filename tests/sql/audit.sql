-- The audit: every change of every table, with who, old and new.
begin;
select no_plan();
create temp table mark as select max(id) as id from mxhold.audit;
create function pg_temp.seen() returns text language plpgsql as $$
declare
	got text;
begin
	select coalesce(string_agg(a.tab || ' ' || a.op || ' ' || a.key, ', ' order by a.tab, a.op, a.key), '') into got
	from mxhold.audit a where a.id > (select m.id from mark m);
	update mark set id = (select max(a.id) from mxhold.audit a);
	return got;
end
$$;
create function pg_temp.step(command text) returns text language plpgsql as $$
declare
	got text := code('soc', command);
begin
	return case when got = '00000' then pg_temp.seen() else got end;
end
$$;
select is(pg_temp.step(command), want, left(command, 90)) from (values
	(1, 'insert into mxhold.domain (name, customer) values (''B.example.'', ''acme''), (''a.example'', ''acme'')', 'domain insert a.example, domain insert b.example'),
	(2, 'update mxhold.domain set note = ''x'' where name = ''a.example''', 'domain update a.example'),
	(3, 'update mxhold.domain set note = note', ''),
	(4, 'update mxhold.domain set name = ''c.example'' where name = ''b.example''', 'domain update c.example'),
	(5, 'insert into mxhold.domain_region values (''a.example'', ''usa'')', 'domain_region insert a.example/usa'),
	(6, 'delete from mxhold.domain where name in (''a.example'', ''c.example'')', 'domain delete a.example, domain delete c.example, domain_region delete a.example/usa'),
	(7, 'insert into mxhold.customer (name) values (''dee'')', 'customer insert dee'),
	(8, 'insert into mxhold.customer_region values (''dee'', ''usa'')', 'customer_region insert dee/usa'),
	(9, 'update mxhold.customer set name = ''dee2'' where name = ''dee''', 'customer update dee2, customer_region update dee2/usa'),
	(10, 'delete from mxhold.customer where name = ''dee2''', 'customer delete dee2, customer_region delete dee2/usa'),
	(11, 'insert into mxhold.region (name) values (''mars'')', 'region insert mars'),
	(12, 'update mxhold.region set note = ''red'' where name = ''mars''', 'region update mars'),
	(13, 'delete from mxhold.region where name = ''mars''', 'region delete mars'),
	(14, 'insert into mxhold.fence_allow values (''10.0.0.0/8'')', 'fence_allow insert 10.0.0.0/8'),
	(15, 'delete from mxhold.fence_allow', 'fence_allow delete 10.0.0.0/8'),
	(16, 'update mxhold.relay set note = ''x'' where name = ''us1''', 'relay update us1'),
	(17, 'delete from mxhold.relay where name = ''us1''', 'relay delete us1'),
	(18, 'insert into mxhold.domain (name, customer) values (''bad name'', ''acme'')', '23514'),
	(19, 'insert into mxhold.domain (name, customer) values (''acme.example'', ''acme'') on conflict do nothing', ''),
	(20, 'insert into mxhold.domain (name, customer) values (''acme.example'', ''acme'') on conflict (name) do update set note = ''z''', 'domain update acme.example'),
	(21, 'set local role mxhold_soc; update mxhold.domain set note = ''y'' where name = ''acme.example''', 'domain update acme.example')
) t (n, command, want) order by n;
select alike(pg_temp.step('insert into mxhold.feed_confirmation (note) values (''x'')'), 'feed_confirmation insert %', 'a confirmation');
select is((select string_agg(distinct by, ' ') from mxhold.audit), 'soc', 'by: session_user, whatever the role');
select is((select count(*)::int from mxhold.audit where tx is null or at is null), 0, 'transaction and time');

-- Many renames in one statement, each old row beside its new one, also where names are swapped.
select code('soc', 'insert into mxhold.domain (name, customer, note) select ''s'' || i || ''.example'', ''acme'', i::text from generate_series(1, 500) i');
update mark set id = (select max(id) from mxhold.audit);
select is(code('soc', 'update mxhold.domain set name = ''t'' || substr(name, 2) where name ~ ''^s[0-9]+\.example$'''), '00000', '500 renames');
select is((select count(*)::int from mxhold.audit a, mark m where a.id > m.id and a.old ->> 'note' = a.new ->> 'note'
	and substr(a.old ->> 'name', 2) = substr(a.new ->> 'name', 2) and a.key = a.new ->> 'name'), 500, '... paired, old with new');
select is((select new ? 'next_hops' from mxhold.audit where key = 't1.example' and op = 'update'), false, 'empty columns are left out');
select is((select old ->> 'customer' from mxhold.audit where tab = 'domain' and op = 'delete' and key = 'a.example'), 'acme', 'a deleted row is kept');
select is((select new ->> 'suspended' from mxhold.audit where tab = 'domain' and op = 'insert' and key = 'a.example'), 'false', 'a new row is kept');
select is((select created_by || updated_by from mxhold.domain where name = 't1.example'), 'socsoc', 'the row says who, too');
select is(code('soc', 'update mxhold.domain set created_by = ''forged'', updated_by = ''forged'', tx = ''1'', note = ''f'' where name = ''t1.example'''), '00000', 'forging who');
select is((select created_by || updated_by || (tx = pg_current_xact_id())::text from mxhold.domain where name = 't1.example'), 'socsoctrue', '... is in vain');
select * from finish();
rollback;
