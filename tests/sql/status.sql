-- domain_status and relay_status: each colour, and why.
select no_plan();
create function pg_temp.beat(login text, behind bigint default 0, held boolean default false, age interval default '0',
	unusable text[] default '{}') returns void language plpgsql as $$
begin
	perform says(login, format('select mxhold.heartbeat(epoch, version - %s, %L, %L, 1, ''t'', %L) from mxhold.feed_state(0, '''')', behind,
		case when held then 'held' else 'ok' end, case when held then 'empty feed'
			when unusable <> '{}' then format('rows that it cannot use: %s', cardinality(unusable)) else '' end, unusable));
	update mxhold.relay_heartbeat h set at = h.at - age from mxhold.relay r where r.name = h.relay and r.login = beat.login;
end
$$;
create function pg_temp.status(domain text) returns text language sql as $$
	select says('watch', format('select state || '': '' || reason from mxhold.domain_status where domain = %L', domain));
$$;
create function pg_temp.relay(relay text) returns text language sql as $$
	select says('watch', format('select state || '': '' || reason from mxhold.relay_status where relay = %L', relay));
$$;
create function pg_temp.soc(command text) returns void language plpgsql as $$
begin
	if code('soc', command) <> '00000' then
		raise exception 'failed: %', command;
	end if;
end
$$;
select is(pg_temp.relay('eu1'), 'red: was never heard', 'a relay that was never heard');
select is(pg_temp.status('acme.example'), 'red: no relay has it yet: eu1', 'a new domain');
select pg_temp.beat('eu1');
select is(pg_temp.relay('eu1'), 'green: has everything', 'a relay that is up to date');
select is(pg_temp.status('acme.example'), 'green: on all relays of europe', 'confirmed');
select is(says('soc', 'select mx_records::text from mxhold.domain_status where domain = ''acme.example'''),
	'{"10 <your server>","20 europe.mx.backup.example.","30 <your server>"}', 'the MX records: primary first and last');
select is(says('soc', 'select regions::text || confirmed::text || waiting::text from mxhold.domain_status where domain = ''acme.example'''), '{europe}{eu1}{}', 'lists');
select pg_temp.soc('update mxhold.domain set note = ''x'' where name = ''acme.example''');
select is(pg_temp.relay('eu1'), 'yellow: is behind', 'a relay behind');
select is((select behind > 0 and lag > '0' and newest = applied + behind from mxhold.relay_status where relay = 'eu1'), true, '... by how much');
select is(pg_temp.status('acme.example'), 'red: no relay has it yet: eu1', 'a changed domain waits');
select pg_temp.beat('eu1');
select pg_temp.soc('update mxhold.domain set note = ''y'' where name = ''bolt.example''');
select is(pg_temp.status('acme.example'), 'green: on all relays of europe', 'a change of another domain does not matter');
select pg_temp.beat('eu1', held => true);
select is(pg_temp.relay('eu1'), 'red: holds back: empty feed', 'a relay that holds back');
select is(pg_temp.status('acme.example'), 'red: no relay that has it is well (see relay_status): eu1', '... and its domains');
select pg_temp.beat('eu1', age => '2 minutes');
select alike(pg_temp.relay('eu1'), 'red: was last heard at %', 'a silent relay');
select alike(pg_temp.status('acme.example'), 'red: no relay that has it is well%', '... and its domains');
update mxhold.relay_heartbeat set at = now(), epoch = 'other';
select alike(pg_temp.relay('eu1'), 'red: follows another database%', 'a relay of another epoch');
select is(pg_temp.status('acme.example'), 'red: no relay has it yet: eu1', '... has nothing of this one');
select pg_temp.beat('eu1');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{europe,usa}'')');
select is(pg_temp.status('acme.example'), 'red: no relay has it yet: eu1, us1', 'a region more waits for both');
select pg_temp.beat('eu1');
select is(pg_temp.status('acme.example'), 'yellow: not yet on us1', '... one has it');
select pg_temp.beat('us1');
select is(pg_temp.status('acme.example'), 'green: on all relays of europe, usa', '... both have it');
select is(says('soc', 'select mx_records::text from mxhold.domain_status where domain = ''acme.example'''),
	'{"10 <your server>","20 europe.mx.backup.example.","20 usa.mx.backup.example.","30 <your server>"}', 'both at one preference');
select pg_temp.beat('us1', age => '2 minutes');
select is(pg_temp.status('acme.example'), 'yellow: not well (see relay_status): us1', 'one of two is silent');
select pg_temp.soc('insert into mxhold.domain_region values (''acme.example'', ''europe'')');
select is(pg_temp.status('acme.example'), 'red: no relay has it yet: eu1', 'narrowing waits');
select pg_temp.beat('eu1');
select is(pg_temp.status('acme.example'), 'green: on all relays of europe', '... and leaves one region');
select pg_temp.soc('update mxhold.domain_region set region = ''asia''');
select is(pg_temp.status('acme.example'), 'red: domain_region leaves no region of those that the customer permits', 'narrowed to nothing: it never widens');
select is((select mx_records from mxhold.domain_status where domain = 'acme.example'), '{}', '... no MX records then');
select pg_temp.soc('delete from mxhold.domain_region');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{asia}'')');
select is(pg_temp.status('acme.example'), 'red: no relay stands in asia', 'a region without relays');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{asia,europe}'')');
select pg_temp.beat('eu1');
select is(pg_temp.status('acme.example'), 'yellow: no relay stands in asia', 'one region of two without relays');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{}'')');
select is(pg_temp.status('acme.example'), 'red: customer acme has no region', 'a customer without a region');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{europe}'')');
select pg_temp.soc('update mxhold.domain set suspended = true where name = ''acme.example''');
select is(pg_temp.status('acme.example'), 'red: the domain is suspended: relays defer its mail', 'a suspended domain');
select pg_temp.soc('update mxhold.customer set suspended = true where name = ''acme''');
select is(pg_temp.status('acme.example'), 'red: customer acme is suspended: relays defer its mail', 'a suspended customer');
select pg_temp.soc('update mxhold.customer set suspended = false where name = ''acme''');
select pg_temp.soc('update mxhold.domain set suspended = false where name = ''acme.example''');
select pg_temp.beat('eu1');
update mxhold.commit_log set at = at - interval '31 days';
select is(mxhold.feed_maintain() > 0, true, 'what is old is pruned');
select is(pg_temp.status('acme.example'), 'green: on all relays of europe', 'a change that was pruned is long applied');
begin;
select pg_temp.soc('insert into mxhold.domain (name, customer) values (''open.example'', ''acme'')');
select is(pg_temp.status('open.example'), 'red: no relay has it yet: eu1', 'before commit nobody has it');
rollback;

-- rows that a relay cannot use
select pg_temp.soc('insert into mxhold.domain (name, customer) values (''xn--zzzzzz.example'', ''acme''), (''xn--zzzzzz.example.org'', ''acme'')');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{europe,usa}'')');
select pg_temp.beat('eu1', unusable => '{domain xn--zzzzzz.example: no A-label}');
select is(pg_temp.relay('eu1'), 'yellow: rows that it cannot use: 1, such as domain xn--zzzzzz.example: no A-label', 'a relay that cannot use a row');
select is(pg_temp.status('xn--zzzzzz.example'), 'red: relay eu1 cannot use domain xn--zzzzzz.example: no A-label', 'a name that a relay cannot use, and another relay does not have yet');
select pg_temp.beat('us1');
select is(pg_temp.status('xn--zzzzzz.example'), 'yellow: relay eu1 cannot use domain xn--zzzzzz.example: no A-label', '... and another can');
select is(says('soc', 'select confirmed::text || waiting::text from mxhold.domain_status where domain = ''xn--zzzzzz.example'''), '{us1}{eu1}', '... in lists');
select pg_temp.beat('us1', unusable => '{"customer acme: x","domain xn--zzzzzz.example: no A-label"}');
select is(pg_temp.status('xn--zzzzzz.example'), 'red: relay eu1 cannot use domain xn--zzzzzz.example: no A-label', '... and no relay can');
select is(pg_temp.status('xn--zzzzzz.example.org'), 'yellow: relay us1 cannot use customer acme: x', 'a customer that a relay cannot use');
select pg_temp.beat('us1', unusable => '{domain xn--zzzzzz.example: no A-label}');
select is(pg_temp.status('xn--zzzzzz.example.org'), 'green: on all relays of europe, usa', 'the others are as they were, also one whose name begins with it');
select pg_temp.soc('update mxhold.domain set note = ''x'' where name = ''xn--zzzzzz.example''');
select is(pg_temp.status('xn--zzzzzz.example'), 'red: no relay has it yet: eu1, us1', 'a change of it waits: nobody has tried it');
select pg_temp.soc('delete from mxhold.domain where name like ''xn--%''');
select pg_temp.soc('select mxhold.customer_set_regions(''acme'', ''{europe}'')');
select pg_temp.beat('eu1');
select pg_temp.beat('us1');
select is(pg_temp.relay('eu1'), 'green: has everything', 'when the row is gone, all is well');

-- mxhold-queued is silent, and mxhold-sync is not
select code('eu1', 'select mxhold.queue_report(''[]'')');
select is(pg_temp.relay('eu1'), 'green: has everything', 'a relay that tells of its queue');
select code('eu1', 'select mxhold.queue_report(''[]'', age => 120)');
select alike(pg_temp.relay('eu1'), 'yellow: its mxhold-queued is silent: what it holds is known as of %', '... what was true long ago');
select pg_temp.beat('eu1', age => '2 minutes');
select alike(pg_temp.relay('eu1'), 'red: was last heard at %', '... and is silent itself');
select pg_temp.beat('eu1');
select code('eu1', 'select mxhold.queue_report(''[]'', age => 0)');
select is(pg_temp.relay('eu1'), 'green: has everything', '... and well again');

select is((select count(*)::int from mxhold.relay_status), 2, 'every relay has a row');
select is((select count(*)::int from mxhold.domain_status), (select count(*)::int from mxhold.domain), 'every domain has a row');

-- told at insert
select is(code('soc', 'insert into mxhold.customer (name) values (''bare''), (''bare2'')'), '00000', 'customers without a region');
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''b1.example'', ''bare''), (''b2.example'', ''bare''), (''b3.example'', ''bare2''), (''b4.example'', ''acme'')'),
	'00000', 'their domains are taken (test of the NOTICE: concurrency.sh)');
select is(pg_temp.status('b1.example'), 'red: customer bare has no region', '... and red');
select * from finish();
