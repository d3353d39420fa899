-- What relays report of their queues: whose it is, what changes and what vanishes, and what the SOC sees of it.
begin;
select no_plan();
create function pg_temp.told(login text, rows text, rest text default '') returns text language sql as $$
	select code(login, format('select mxhold.queue_report(%L%s)', rows, rest));
$$;
-- One row of a report: domain, messages, bytes, primary.
create function pg_temp.one(domain text, messages integer, bytes integer default 100, primary_state text default 'down') returns text language sql as $$
	select format('{"domain":"%s","messages":%s,"bytes":%s,"oldest":1700000000,"primary":"%s","since":1700000100,"code":421,"hold":null,"until":0}',
		domain, messages, bytes, primary_state);
$$;
create function pg_temp.has(relay text) returns text language sql as $$
	select coalesce(string_agg(domain || ' ' || messages, ', ' order by domain), '') from mxhold.queue q where q.relay = $1;
$$;
select is(pg_temp.told('stray', '[]'), '42501', 'a login without a row reports nothing');
select is(pg_temp.told('eu1', '[' || pg_temp.one('acme.example', 3) || ',' || pg_temp.one('bolt.example', 1) || ']'), '00000', 'a relay reports');
select is(pg_temp.told('us1', '[' || pg_temp.one('acme.example', 4, 1000, 'up') || ']'), '00000', 'and another');
select is(pg_temp.has('eu1') || '; ' || pg_temp.has('us1'), 'acme.example 3, bolt.example 1; acme.example 4', 'each has its own rows');
select is((select (oldest_at, primary_state, primary_since, primary_code, hold, hold_until)::text from mxhold.queue where relay = 'eu1' and domain = 'acme.example'),
	'("2023-11-14 22:13:20+00",down,"2023-11-14 22:15:00+00",421,,)', 'a row as it was told');
select is((select messages || ' ' || bytes || ' ' || primary_state || ' ' || relays::text from mxhold.held where domain = 'acme.example'),
	'7 1100 down, up {"eu1: 3 (421)","us1: 4 (421)"}', 'held: over all relays');
select is((select oldest_at from mxhold.held where domain = 'acme.example'), '2023-11-14 22:13:20+00', 'the oldest');
select cmp_ok((select oldest_age from mxhold.held where domain = 'acme.example'), '>', interval '1 year', 'and its age');
select is(says('watch', 'select customer from mxhold.held where domain = ''acme.example'''), 'acme', 'whose it is; a monitor may look');

select pg_temp.told('eu1', '[' || pg_temp.one('acme.example', 2) || ']');
select is(pg_temp.has('eu1'), 'acme.example 2, bolt.example 1', 'a change leaves the others alone');
create temp table before as select updated_at from mxhold.queue where relay = 'eu1' and domain = 'acme.example';
select pg_temp.told('eu1', '[' || pg_temp.one('acme.example', 2) || ']');
select is((select updated_at from mxhold.queue where relay = 'eu1' and domain = 'acme.example'), (select updated_at from before), 'what has not changed is not written');
select pg_temp.told('eu1', '[{"domain":"bolt.example"}]');
select is(pg_temp.has('eu1') || '; ' || pg_temp.has('us1'), 'acme.example 2; acme.example 4', 'what is gone is gone, of this relay');
select pg_temp.told('eu1', '[' || pg_temp.one('a.example', 1) || ',' || pg_temp.one('m.example', 1) || ',' || pg_temp.one('z.example', 1) || ']');
select pg_temp.told('eu1', '[' || pg_temp.one('b.example', 9) || ',' || pg_temp.one('m.example', 5) || ']', ', true, ''a.example'', ''m.example''');
select is(pg_temp.has('eu1'), 'a.example 1, b.example 9, m.example 5, z.example 1', 'a whole part: what it does not name is gone, and nothing beside it');
select pg_temp.told('eu1', '[]', ', true, ''m.example''');
select is(pg_temp.has('eu1'), 'a.example 1, b.example 9, m.example 5', 'a last part reaches to the end');
select pg_temp.told('eu1', '[]', ', true');
select is(pg_temp.has('eu1') || '; ' || pg_temp.has('us1'), '; acme.example 4', 'a whole report of nothing, of this relay');
select is((select count(*)::int from mxhold.queue_told), 2, 'when each has told is known');

select pg_temp.told('eu1', '[{"domain":"acme.example","messages":0,"bytes":0,"oldest":0,"primary":"wrong-host","since":0,"code":0,"hold":"operator","until":9223372036854775807}]');
select is((select (oldest_at, primary_since, primary_code, hold, hold_until)::text from mxhold.queue where relay = 'eu1'), '(,,,operator,infinity)', 'nothing is null, for ever is infinity');
select is((select hold || ' ' || hold_until from mxhold.held where domain = 'acme.example'), 'operator infinity', 'an operator''s hold is seen');
select code('soc', 'update mxhold.domain set hold_until = now() + interval ''1 hour'', hold_reason = ''disks'', include_subdomains = true where name = ''acme.example''');
select is((select hold from mxhold.held where domain = 'acme.example'), 'maintenance', 'a declared maintenance comes first');
select is(says('soc', 'select reason from mxhold.domain_status where domain = ''acme.example''') ~ 'mail waits until .* \(disks\)$', true, 'domain_status says it too');
select code('soc', 'update mxhold.domain set hold_until = now() - interval ''1 hour'' where name = ''acme.example''');
select is((select hold from mxhold.held where domain = 'acme.example'), 'operator', 'until it is over');
select pg_temp.told('us1', '[' || pg_temp.one('deep.sub.acme.example', 1) || ',' || pg_temp.one('sub.bolt.example', 1) || ']');
select is((select string_agg(domain || ' ' || coalesce(customer, 'nobody'), ', ' order by domain) from mxhold.held), 'acme.example acme, deep.sub.acme.example acme, sub.bolt.example nobody',
	'names below a domain with include_subdomains are its customer''s');

select is(pg_temp.told('eu1', rows), want, 'refused: ' || left(rows, 60)) from (values
	('{}', '22023'), ('[1]', '22023'), ('[{"domain":"a.example","messages":-1,"bytes":0,"primary":"up"}]', '23514'),
	('[{"domain":"a.example","messages":1,"bytes":0,"primary":"sick"}]', '23514'), ('[{"domain":"","messages":1,"bytes":0,"primary":"up"}]', '23514'),
	('[{"messages":1,"bytes":0,"primary":"up"}]', '23502'), ('[{"domain":"a.example","messages":1,"bytes":0,"primary":"up","hold":"me"}]', '23514'),
	('[{"domain":"a.example","messages":"x","bytes":0,"primary":"up"}]', '22P02'), ('[{"domain":"a.example","messages":1,"bytes":0,"primary":"up","code":1}]', '23514')
) v (rows, want);
select is(pg_temp.told('eu1', '[]', ', true'), '00000', 'and it goes on');
select code('soc', 'delete from mxhold.relay where name = ''us1''');
select is((select count(*)::int from mxhold.queue) + (select count(*)::int from mxhold.queue_told where relay = 'us1'), 0, 'a relay that is removed takes its rows along');

-- As of when it is: not when it is told, but when it was true.
create function pg_temp.told_ago(relay text) returns numeric language sql as $$
	select round(extract(epoch from clock_timestamp() - t.told_at)) from mxhold.queue_told t where t.relay = $1;
$$;
select pg_temp.told('eu1', '[' || pg_temp.one('acme.example', 2) || ']', ', age => 3000');
select ok(pg_temp.told_ago('eu1') between 3000 and 3060, 'figures that were true a while ago');
select ok((select clock_timestamp() - told_at from mxhold.held where domain = 'acme.example') between '3000 s' and '3060 s', 'held says so');
select pg_temp.told('eu1', '[]', ', age => 0');
select ok(pg_temp.told_ago('eu1') between 0 and 60, 'and are true again');
select pg_temp.told('eu1', '[]', ', age => -3000');
select ok(pg_temp.told_ago('eu1') between 0 and 60, 'nothing is of the future');
select pg_temp.told('eu1', '[{"domain":"acme.example"}]');

-- Ten thousand domains at once, over two relays.
select lives_ok($$select says('eu1', format('select mxhold.queue_report(%L, true)', (select '[' || string_agg(pg_temp.one('d' || i || '.example', 1), ',') || ']' from generate_series(1, 10000) i)))$$, 'ten thousand domains');
select is((select count(*)::int from mxhold.held), 10000, 'are all seen');
select * from finish();
rollback;
