-- The journal's roles and rules, by deeds; for a database with the schema, relay_a (relay a), stray (no relay) and reader. Leaves nothing.
begin;
create function public.told(login text, command text) returns text language plpgsql as $$
begin
	execute format('set local session authorization %I', login);
	begin
		execute command;
		reset session authorization;
		return '00000';
	exception when others then
		reset session authorization;
		return sqlstate;
	end;
end
$$;
create sequence public.n;
create function public.is(got text, want text, what text) returns text language sql as $$
	select case when got is not distinct from want then 'ok ' else 'not ok ' end || nextval('public.n') || ' - ' || what
		|| case when got is not distinct from want then '' else ': ' || coalesce(got, 'null') || ', not ' || coalesce(want, 'null') end;
$$;
set local search_path = public, pg_catalog;
select is(told('relay_a', 'select mxhold_journal.taken(''s'')'), '00000', 'a relay asks what is here');
select is(told('relay_a', 'select mxhold_journal.take(''[]'', ''s'', 0)'), '00000', 'it ships');
select is(told('relay_a', 'select mxhold_journal.maintain(21)'), '00000', 'it keeps house');
select is(told('relay_a', 'select mxhold_journal.maintain(0)'), '23514', 'not below a day');
select is(told('relay_a', 'select * from mxhold_journal.message'), '42501', 'it reads nothing');
select is(told('relay_a', 'select * from mxhold_journal.event'), '42501', '... and no events');
select is(told('relay_a', 'delete from mxhold_journal.message'), '42501', 'it deletes nothing');
select is(told('relay_a', 'insert into mxhold_journal.relay (name, region, login) values (''b'', ''europe'', ''relay_a'')'), '42501', 'it makes itself no other relay');
select is(told('relay_a', 'select mxhold_journal.day_make(current_date)'), '42501', 'it makes no days');
select is(told('relay_a', 'select mxhold_journal.take_events(null, ''[]'')'), '42501', 'it calls no part alone');
select is(told('stray', 'select mxhold_journal.take(''[]'', ''s'', 0)'), '42501', 'a login without a row ships nothing');
select is(told('stray', 'select mxhold_journal.taken(''s'')'), '42501', '... asks nothing');
select is(told('stray', 'select mxhold_journal.maintain(1)'), '42501', '... and drops nothing');
select is(told('reader', 'select * from mxhold_journal.message'), '00000', 'a reader reads messages');
select is(told('reader', 'select * from mxhold_journal.event'), '00000', '... and events');
select is(told('reader', 'update mxhold_journal.message set outcome = ''delivered'''), '42501', 'and changes nothing');
select is(told('reader', 'select mxhold_journal.take(''[]'', ''s'', 0)'), '42501', '... and ships nothing');
create function public.shipped(spool text, seq int, outcome text, sender text, client text) returns text language sql as $$
	select told('relay_a', format('select mxhold_journal.take(%L, %L, %s)', jsonb_build_array(jsonb_build_object('kind', 'message',
		'queue_id', '4jXBsQ0XlFzps', 'recipient', 'a@c.example', 'domain', 'c.example', 'sender', sender, 'client', client, 'size', 285,
		'accepted_at', (extract(epoch from now()) * 1000000)::bigint, 'attempts', 1, 'outcome', outcome, 'seq', seq)), spool, seq))
$$;
create function public.origin() returns text language sql as $$
	select string_agg(concat_ws(' ', outcome, sender, client), ';') from mxhold_journal.message where queue_id = '4jXBsQ0XlFzps'
$$;
select is(shipped('s', 1, 'held', 's@out.example', '203.0.113.9'), '00000', 'a row is shipped');
select is(shipped('t', 1, 'delivered', '', ''), '00000', '... and from another spool, which knows no client');
select is(origin(), 'delivered s@out.example 203.0.113.9', 'what was known of sender and client stays');
select is(shipped('t', 2, 'delivered', 'r@out.example', '203.0.113.10'), '00000', 'a later row knows another one');
select is(origin(), 'delivered r@out.example 203.0.113.10', 'that counts');
create function public.tried(spool text, seq int, first timestamptz, last timestamptz, attempts int) returns text language sql as $$
	select told('relay_a', format('select mxhold_journal.take(%L, %L, %s)', jsonb_build_array(jsonb_build_object('kind', 'message',
		'queue_id', '4jXBsQ0XlFztt', 'recipient', 'a@c.example', 'domain', 'c.example', 'sender', '', 'client', '', 'size', 285,
		'accepted_at', (extract(epoch from now()) * 1000000)::bigint,
		'first_attempt', coalesce((extract(epoch from first) * 1000000)::bigint, 0),
		'last_attempt', coalesce((extract(epoch from last) * 1000000)::bigint, 0), 'attempts', attempts, 'outcome', 'held', 'seq', seq)), spool, seq))
$$;
create function public.attempts() returns text language sql set timezone = 'UTC' as $$
	select concat_ws(' ', attempts, first_attempt::time, last_attempt::time) from mxhold_journal.message where queue_id = '4jXBsQ0XlFztt'
$$;
select is(tried('s', 3, '2026-11-01 10:00Z', '2026-11-01 11:00Z', 5), '00000', 'a row with attempts is shipped');
select is(tried('t', 3, null, null, 0), '00000', '... and from another spool, which knows none');
select is(attempts(), '5 10:00:00 11:00:00', 'they are not forgotten');
select is(tried('t', 4, '2026-11-01 12:00Z', '2026-11-01 12:00Z', 1), '00000', 'it knows a later one');
select is(attempts(), '5 10:00:00 12:00:00', 'the first attempt stays, and how many there were at least');
select is(tried('t', 5, '2026-11-01 12:00Z', '2026-11-01 17:00Z', 6), '00000', 'it knows more');
select is(attempts(), '6 10:00:00 17:00:00', 'that counts');
select is((select count(*)::text from pg_proc p where p.pronamespace = 'mxhold_journal'::regnamespace and p.prosecdef and p.proconfig::text not like '%search_path=pg_catalog, mxhold_journal, pg_temp%'), '0', 'functions pin their search_path');
select is((select count(*)::text from pg_proc p where p.pronamespace = 'mxhold_journal'::regnamespace and obj_description(p.oid, 'pg_proc') is null), '0', 'each function has its comment');
select is((select count(*)::text from pg_class c where c.relnamespace = 'mxhold_journal'::regnamespace and c.relkind in ('r', 'p') and obj_description(c.oid, 'pg_class') is null), '0', 'each table too');
select is((select count(*)::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 where c.oid::regclass::text in ('mxhold_journal.message', 'mxhold_journal.event', 'mxhold_journal.relay') and col_description(c.oid, a.attnum) is null), '0', 'and each column');
select is((select string_agg(distinct pg_get_userbyid(c.relowner), ' ') from pg_class c where c.relnamespace = 'mxhold_journal'::regnamespace), 'mxhold_journal_owner', 'one owner');
rollback;
