-- Every constraint of every table: what it lets in, and what it refuses.
begin;
select no_plan();

-- name, SQLSTATE of `insert into mxhold.domain` with it
select is(code('soc', format('insert into mxhold.domain (name, customer) values (%L, ''acme'')', name)), want,
	'domain ' || quote_literal(replace(left(name, 30), E'\n', '|')) || ' gives ' || want)
from (values
	('a.example', '00000'), ('Foo.Example.', '00000'), ('  blank.example	', '00000'), ('xn--bcher-kva.example', '00000'),
	('a-b.c--d.example', '00000'), ('1.example', '00000'), ('0x1.example', '00000'), ('x.1example', '00000'),
	(repeat('a', 63) || '.example', '00000'), (repeat('a', 64) || '.example', '23514'),
	(repeat('a', 63) || '.' || repeat('b', 63) || '.' || repeat('c', 63) || '.' || repeat('d', 61), '00000'),
	(repeat('a', 63) || '.' || repeat('b', 63) || '.' || repeat('c', 63) || '.' || repeat('d', 62), '23514'),
	('', '23514'), ('.', '23514'), ('example', '23514'), ('example.', '23514'), ('a..example', '23514'), ('.a.example', '23514'),
	('a.example..', '23514'), ('-a.example', '23514'), ('a-.example', '23514'), ('a.-example', '23514'),
	('a.example-', '23514'), ('a_b.example', '23514'), ('a b.example', '23514'), ('a@b.example', '23514'),
	('*.example', '23514'), ('192.0.2.1', '23514'), ('[192.0.2.1]', '23514'), ('2001:db8::1', '23514'), ('a.0x7f', '23514'),
	('a.123', '23514'), ('a.example/x', '23514'), (E'a.example\nb.example', '23514'), ('bücher.example', '23514'),
	('acme.example', '23505'), ('ACME.example.', '23505'), ('bolt.example', '23505')
) t (name, want);
select is(code('soc', 'insert into mxhold.domain (name, customer) values (null, ''acme'')'), '23502', 'domain null');
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''n.example'', null)'), '23502', 'customer null');
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''n.example'', ''none'')'), '23503', 'unknown customer');
select alike((told('soc', 'insert into mxhold.domain (name, customer) values (''bücher.example'', ''acme'')')).message,
	'%not ASCII%', 'a U-label is told what it is');
select alike((told('soc', 'insert into mxhold.domain (name, customer) values (''bolt.example'', ''acme'')')).message,
	'%domain_belongs_to_one_customer%', 'a taken domain says so');

-- column, value, SQLSTATE: the limits of customer and domain are the same
select is(code('soc', format('update mxhold.%I set %I = %s where name like ''acme%%''', tab, col, val)), want,
	format('%s.%s = %s gives %s', tab, col, val, want))
from (values ('customer'), ('domain')) tabs (tab), (values
	('size_limit', '0', '23514'), ('size_limit', '1', '00000'), ('size_limit', '104857600', '00000'),
	('size_limit', '104857601', '23514'), ('size_limit', 'null', '00000'),
	('oversize', '''reject''', '00000'), ('oversize', '''defer''', '00000'), ('oversize', '''drop''', '23514'),
	('oversize', 'null', '00000'), ('retention', '''1 hour''', '00000'), ('retention', '''59 minutes''', '23514'),
	('retention', '''30 days''', '00000'), ('retention', '''31 days''', '23514'),
	('quota_messages', '1', '00000'), ('quota_messages', '0', '23514'), ('quota_messages', '-1', '23514'),
	('quota_bytes', '1', '00000'), ('quota_bytes', '0', '23514'),
	('when_primary_up', '''accept''', '00000'), ('when_primary_up', '''defer''', '00000'),
	('when_primary_up', '''maybe''', '23514'), ('mx_check', 'false', '00000'), ('mx_check', 'true', '00000'),
	('refused', '''judge''', '00000'), ('refused', '''keep''', '00000'), ('refused', '''drop''', '23514'), ('refused', 'null', '00000'),
	('suspended', 'null', '23502')
) v (col, val, want);

-- what domains alone have: column, value, SQLSTATE, what it becomes
select is(t.got, t.want, format('domain.%s = %s gives %s', t.col, left(t.val, 40), left(t.want, 40))) from (
	select v.*, case code when '00000' then says('soc', format('select coalesce(%I::text, ''none'') from mxhold.domain where name = ''acme.example''', v.col))
		else code end as got
	from (values
		('hold_until', '''infinity''', 'infinity'), ('hold_until', '''2030-01-01 00:00:00+00''', '2030-01-01 00:00:00+00'), ('hold_until', '''-infinity''', '23514'),
		('hold_until', '''1999-12-31 23:59:59+00''', '23514'), ('hold_until', 'null', 'none'),
		('hold_reason', '''  disks ''', 'disks'), ('hold_reason', '''''', 'none'), ('hold_reason', 'repeat(''x'', 128)', repeat('x', 128)),
		('hold_reason', 'repeat(''x'', 129)', '23514'), ('hold_reason', 'repeat(''ü'', 65)', '23514'), ('hold_reason', 'E''a\nb''', '23514'), ('hold_reason', 'E''a\x7fb''', '23514'),
		('pin_certificate', '''AB:'' || repeat(''Cd:'', 30) || ''EF''', 'ab' || repeat('cd', 30) || 'ef'), ('pin_certificate', 'repeat(''ab '', 32)', repeat('ab', 32)),
		('pin_certificate', 'repeat(''a'', 63)', '23514'), ('pin_certificate', 'repeat(''a'', 65)', '23514'), ('pin_certificate', 'repeat(''g'', 64)', '23514'),
		('pin_certificate', ''' : ''', 'none'), ('pin_certificate', 'null', 'none'),
		-- as openssl prints it
		('pin_certificate', '''SHA2-256(stdin)= '' || repeat(''Ab'', 32)', repeat('ab', 32)),
		('pin_certificate', '''(stdin)= '' || repeat(''ab'', 32) || E''\n''', repeat('ab', 32)),
		('pin_certificate', '''SHA256(key.der)= '' || repeat(''ab:'', 31) || ''ab''', repeat('ab', 32)),
		('pin_certificate', 'repeat(''ab'', 32) || '' *stdin''', repeat('ab', 32)),
		-- of the certificate, not of its key; by another algorithm
		('pin_certificate', '''sha256 Fingerprint='' || repeat(''ab'', 32)', '23514'),
		('pin_certificate', '''SHA1(stdin)= '' || repeat(''ab'', 20)', '23514'),
		('pin_certificate', '''SHA3-256(stdin)= '' || repeat(''ab'', 32)', '23514'),
		('pin_banner', ''' mx.acme.example ESMTP ''', 'mx.acme.example ESMTP'), ('pin_banner', 'repeat(''x'', 256)', repeat('x', 256)),
		('pin_banner', '''220 mx.acme.example ESMTP''', 'mx.acme.example ESMTP'),
		('pin_banner', ''' 220-mx.acme.example''', 'mx.acme.example'), ('pin_banner', '''220mx.acme.example''', '220mx.acme.example'),
		('pin_banner', '''220 ''', '23514'), ('pin_banner', '''220-''', '23514'),
		('pin_banner', 'repeat(''x'', 257)', '23514'), ('pin_banner', 'E''a\rb''', '23514'), ('pin_banner', '''''', 'none')
	) v (col, val, want)
	cross join lateral code('soc', format('update mxhold.domain set %I = %s where name = ''acme.example''', v.col, v.val)) code offset 0
) t;
select alike((told('soc', 'update mxhold.domain set pin_certificate = ''ab'' where name = ''acme.example''')).hint,
	'%64 hexadecimal digits%', 'what is no pin is told what one is');

select is(code('soc', format('insert into mxhold.customer (name) values (%L)', name)), want,
	'customer ' || quote_literal(left(name, 20)) || ' gives ' || want)
from (values ('a', '00000'), ('a.b_c-d', '00000'), ('0', '00000'), ('', '23514'), ('Acme', '23514'), ('-a', '23514'), ('.a', '23514'),
	('a b', '23514'), (repeat('a', 64), '00000'), (repeat('a', 65), '23514'), ('acme', '23505')) t (name, want);
select is(code('soc', 'delete from mxhold.customer where name = ''acme'''), '23503', 'a customer with domains stays');

select is(code('soc', format('insert into mxhold.region (name) values (%L)', name)), want,
	'region ' || quote_literal(left(name, 20)) || ' gives ' || want)
from (values ('north-1', '00000'), ('', '23514'), ('North', '23514'), ('a b', '23514'), (repeat('a', 32), '00000'),
	(repeat('a', 33), '23514'), ('europe', '23505')) t (name, want);
select is(code('soc', 'delete from mxhold.region where name = ''europe'''), '23503', 'a region in use stays');
select is(code('soc', 'insert into mxhold.region select ''r'' || i from generate_series(1, 30) i'), '54000', 'at most 30 regions');

select is(code('soc', 'insert into mxhold.customer_region values (''acme'', ''mars'')'), '23503', 'customer_region: unknown region');
select is(code('soc', 'insert into mxhold.customer_region values (''none'', ''usa'')'), '23503', 'customer_region: unknown customer');
select is(code('soc', 'insert into mxhold.customer_region values (''acme'', ''europe'')'), '23505', 'customer_region: once');
select is(code('soc', 'insert into mxhold.domain_region values (''acme.example'', ''mars'')'), '23503', 'domain_region: unknown region');
select is(code('soc', 'insert into mxhold.domain_region values (''none.example'', ''usa'')'), '23503', 'domain_region: unknown domain');
select is(code('soc', 'insert into mxhold.domain_region values (''ACME.example.'', ''usa'')'), '00000', 'domain_region: folds the name');
select is(code('soc', 'insert into mxhold.domain_region values (''acme.example'', ''usa'')'), '23505', 'domain_region: once');

select is(code('soc', format('insert into mxhold.relay (name, region, login, names, addresses) values (%s)', row)), want,
	'relay (' || left(row, 60) || ') gives ' || want)
from (values
	('''eu2'', ''europe'', ''eu2'', ''{Two.backup.example.,two.backup.example}'', ''{198.51.100.9}''', '00000'),
	('''eu2'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{198.51.100.9}''', '23505'),
	('''eu3'', ''europe'', ''eu1'', ''{a.backup.example}'', ''{198.51.100.9}''', '23505'),
	('''eu3'', ''mars'', ''eu3'', ''{a.backup.example}'', ''{198.51.100.9}''', '23503'),
	('''EU3'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', '''', ''{a.backup.example}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', null, ''{a.backup.example}'', ''{198.51.100.9}''', '23502'),
	('''eu3'', ''europe'', ''eu3'', ''{}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{host}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a_b.example}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example,NULL}'', ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{198.51.100.0/24}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{2001:db8::/64}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example}'', ''{198.51.100.9,NULL}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', array(select ''n'' || i || ''.'' || repeat(''x'', 60) || ''.example'' from generate_series(1, 40) i), ''{198.51.100.9}''', '23514'),
	('''eu3'', ''europe'', ''eu3'', ''{a.backup.example}'', array(select ''10.0.0.0''::inet + i from generate_series(1, 300) i)', '23514')
) t (row, want);
select is((select names from mxhold.relay where name = 'eu2'), '{two.backup.example}', 'relay: names are folded, once each');

select is(code('soc', 'insert into mxhold.fence_allow values (''10.20.0.0/16'')'), '00000', 'fence_allow takes a network');
select is(code('soc', 'insert into mxhold.fence_allow values (''10.20.0.0/16'')'), '23505', 'fence_allow: once');
select is(code('soc', 'insert into mxhold.feed_confirmation (note) values ('''')'), '23514', 'a confirmation says why');
select is(code('soc', 'insert into mxhold.feed_confirmation (note) values (null)'), '23502', 'a confirmation says why');
select is(code('postgres', 'insert into mxhold.feed_meta default values'), '23505', 'feed_meta has one row');
select is(code('postgres', 'insert into mxhold.feed_meta (single) values (false)'), '23514', 'feed_meta has one row');
select is(code('postgres', 'insert into mxhold.touched values (''1'', ''region'', ''x'')'), '23514', 'touched: only kinds of the feed');
select is(code('postgres', 'insert into mxhold.audit (tab, op, key) values (''x'', ''select'', ''x'')'), '23514', 'audit: only changes');
select is(code('eu1', format('select mxhold.heartbeat(%s)', args)), want, 'heartbeat(' || left(args, 50) || ') gives ' || want)
from (values ('''e'', 1, ''ok'', '''', 0, ''x''', '00000'), ('''e'', 1, ''fine'', '''', 0, ''x''', '23514'),
	('''e'', -1, ''ok'', '''', 0, ''x''', '23514'), ('''e'', 1, ''ok'', '''', -1, ''x''', '23514'),
	('''e'', 1, ''ok'', repeat(''x'', 1001), 0, ''x''', '23514'), ('''e'', 1, ''ok'', '''', 0, repeat(''x'', 101)', '23514'),
	('''e'', 1, ''ok'', '''', 0, ''x'', array_fill(''d''::text, ''{100}'')', '00000'),
	('''e'', 1, ''ok'', '''', 0, ''x'', array_fill(''d''::text, ''{101}'')', '23514'),
	('''e'', 1, ''ok'', '''', 0, ''x'', array[repeat(''x'', 50001)]', '23514'),
	('''e'', 1, ''ok'', '''', 0, ''x'', array[null]::text[]', '23514'), ('''e'', 1, ''ok'', '''', 0, ''x'', null', '23502'),
	('repeat(''e'', 65), 1, ''ok'', '''', 0, ''x''', '23514'), ('null, 1, ''ok'', '''', 0, ''x''', '23502')) t (args, want);

-- ON CONFLICT, RETURNING and multi-row inserts behave as on any table.
select is(says('soc', 'insert into mxhold.domain (name, customer) values (''Ret.Example.'', ''acme'') returning name'), 'ret.example',
	'RETURNING shows the normal form');
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''BOLT.example'', ''acme'') on conflict do nothing'), '00000',
	'ON CONFLICT DO NOTHING');
select is((select customer from mxhold.domain where name = 'bolt.example'), 'bolt', '... does nothing');
select is(says('soc', 'insert into mxhold.domain (name, customer, note) values (''bolt.example'', ''bolt'', ''n''), (''bolt2.example'', ''bolt'', ''n'')
	on conflict (name) do update set note = excluded.note returning note'), 'n', 'ON CONFLICT DO UPDATE');
select * from finish();
rollback;
