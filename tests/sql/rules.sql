-- Next hops, and whose a name is, within one session. (What concurrent sessions may break: concurrency.sh.)
begin;
select no_plan();

select is(mxhold.next_hops_normal(given), want, 'next hops ' || quote_literal(given))
from (values
	('mail.acme.example', 'mail.acme.example'), ('Mail.Acme.Example.:25', 'mail.acme.example:25'), ('[Mail.acme.example]:025', '[mail.acme.example]:25'),
	('[203.0.113.5]', '[203.0.113.5]'), ('[203.0.113.5]:2525', '[203.0.113.5]:2525'),
	('[IPv6:2001:DB8::0:5]:25', '[2001:db8::5]:25'), ('[2001:db8::5]', '[2001:db8::5]'),
	(' a.example ,b.example:26,	[203.0.113.5]', 'a.example, b.example:26, [203.0.113.5]'), ('', null), ('  ', null)
) t (given, want);
select is(code('soc', format('update mxhold.domain set next_hops = %L where name = ''acme.example''', hops)), want,
	'next hops ' || quote_literal(left(hops, 40)) || ' give ' || want)
from (values
	('[203.0.113.5]:25, mail.acme.example', '00000'), ('[192.0.43.7]', '00000'), ('[2001:470::1]:25', '00000'),
	(null, '00000'), ('', '00000'), ('a.example,b.example,c.example,d.example,e.example,f.example,g.example,h.example', '00000'),
	('a.example,b.example,c.example,d.example,e.example,f.example,g.example,h.example,i.example', '23514'),
	(',', '23514'), ('a.example,', '23514'), ('a.example b.example', '23514'), ('host', '23514'), ('a_b.example', '23514'),
	('a.example:0', '23514'), ('a.example:65536', '23514'), ('a.example:smtp', '23514'), ('a.example:', '23514'), ('[a.example', '23514'),
	('203.0.113.5', '23514'), ('2001:db8::5', '23514'), ('[203.0.113.256]', '23514'), ('[203.0.113]', '23514'), ('[1.2.3]', '23514'),
	('[203.0.113.0/24]', '23514'), ('[2001:db8::/32]', '23514'), ('[2001:zz::1]', '23514'), ('mäil.example', '23514'),
	('smtp:[203.0.113.5]', '23514'), ('0x7f.0x1', '23514'), ('[0x7f.0x1]', '23514'),
	('[' || repeat(repeat('a', 60) || '.', 4) || 'example]', '00000'), ('[' || repeat(repeat('a', 60) || '.', 5) || 'example]', '23514'),
	('[127.0.0.1]:25', '23514'), ('[10.20.1.1]', '23514'), ('[192.168.1.1]', '23514'), ('[172.31.0.1]', '23514'), ('[100.64.0.1]', '23514'),
	('[169.254.1.1]', '23514'), ('[0.0.0.0]', '23514'), ('[224.0.0.1]', '23514'), ('[255.255.255.255]', '23514'), ('[198.18.0.1]', '23514'),
	('[192.0.0.8]', '23514'), ('[192.0.0.9]', '00000'), ('[::1]', '23514'), ('[::]', '23514'), ('[::ffff:203.0.113.5]', '23514'),
	('[fe80::1]', '23514'), ('[fd00::1]', '23514'), ('[ff02::1]', '23514'), ('[64:ff9b::1]', '23514'), ('[2002::1]', '23514'),
	('[2001:0:1::1]', '23514'), ('[3fff::1]', '00000'), ('[100::1]', '23514'),
	('[198.51.100.1]', '23514'), ('[198.51.100.2]:25', '23514'), ('[2001:db8:1::1]', '23514'), ('europe.mx.backup.example', '23514'),
	('[USA.mx.backup.example.]:25', '23514'), ('mail.acme.example, usa.mx.backup.example', '23514')
) t (hops, want);
select is(code('soc', 'insert into mxhold.fence_allow (network) values (''10.20.0.0/16'')'), '00000', 'a network is permitted');
select is(code('soc', 'update mxhold.domain set next_hops = ''[10.20.1.1]'' where name = ''acme.example'''), '00000', '... and then its addresses are next hops');
select is(code('soc', 'update mxhold.domain set next_hops = ''[10.21.1.1]'' where name = ''acme.example'''), '23514', '... others are not');
select is(code('soc', 'insert into mxhold.fence_allow (network) values (''198.51.100.0/24'')'), '00000', 'a network that holds a relay');
select is(code('soc', 'update mxhold.domain set next_hops = ''[198.51.100.1]'' where name = ''acme.example'''), '23514', '... permits no relay');
select is(code('soc', 'update mxhold.relay set addresses = addresses || ''10.20.1.1''::inet where name = ''us1'''), '00000',
	'a relay may gain an address that is a next hop (a warning tells)');

-- core/ip.c has the same table
select is(mxhold.address_class(address::inet), class, address || ' is ' || class) from (values
	('8.8.8.8', 'global'), ('2600::1', 'global'), ('192.0.2.1', 'documentation'), ('2001:db8::1', 'documentation'),
	('4000::1', 'reserved'), ('2001:20::1', 'global'), ('::ffff:8.8.8.8', 'ipv4-mapped'), ('239.1.1.1', 'multicast')) t (address, class);

select is(mxhold.parents('a.b.c.example'), array['b.c.example', 'c.example'], 'parents, nearest first');
select is(mxhold.parents('c.example'), '{}', 'no parents but the top-level domain');

-- whose a name is
select is(code('soc', 'update mxhold.domain set include_subdomains = true where name = ''acme.example'''), '00000', 'acme takes all below');
select is(code('soc', format('insert into mxhold.domain (name, customer) values (%L, %L)', name, customer)), want,
	name || ' for ' || customer || ' gives ' || want)
from (values ('x.acme.example', 'bolt', '23P01'), ('x.y.z.acme.example', 'bolt', '23P01'), ('x.acme.example', 'acme', '00000'),
	('xacme.example', 'bolt', '00000'), ('acme.example.com', 'bolt', '00000'), ('acme-x.example', 'bolt', '00000'),
	('sub.bolt.example', 'acme', '00000')) t (name, customer, want);
select is(code('soc', 'update mxhold.domain set customer = ''bolt'' where name = ''x.acme.example'''), '23P01', 'nor by moving a row below');
select is(code('soc', 'update mxhold.domain set name = ''y.acme.example'' where name = ''bolt.example'''), '23P01', 'nor by renaming one');
select is(code('soc', 'update mxhold.domain set include_subdomains = true where name = ''bolt.example'''), '23P01', 'nobody takes all above another''s');
select is(code('soc', 'insert into mxhold.domain (name, customer, include_subdomains) values (''example.com'', ''acme'', true)'), '23P01', 'nor by a new row');
select is(code('soc', 'insert into mxhold.domain (name, customer, include_subdomains) values (''e.test'', ''acme'', true), (''a.e.test'', ''bolt'', false)'),
	'23P01', 'nor both in one statement');
select is(code('soc', 'insert into mxhold.domain (name, customer, include_subdomains) values (''e.test'', ''acme'', true), (''a.e.test'', ''acme'', true)'),
	'00000', 'one customer may nest');
select alike((told('soc', 'insert into mxhold.domain (name, customer) values (''q.acme.example'', ''bolt'')')).message,
	'%q.acme.example%bolt%acme.example%acme%', 'the error names both');
select is(code('soc', 'update mxhold.domain set customer = ''bolt'' where name in (''acme.example'', ''x.acme.example'')'), '00000', 'a whole tree moves at once');
select is(code('soc', 'update mxhold.customer set name = ''bolt-ltd'' where name = ''bolt'''), '00000', 'a customer with trees is renamed');
select is((select count(*)::int from mxhold.domain where customer = 'bolt-ltd'), 6, '... with all his domains');
select is(code('soc', 'delete from mxhold.domain where name = ''acme.example'''), '00000', 'the tree''s top goes');
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''z.acme.example'', ''acme'')'), '00000', '... and its names are free');

select is(code('soc', format('insert into mxhold.domain (name, customer, include_subdomains) values (%L, ''acme'', %L)', name, below)), want,
	'a relay''s name: ' || name || ' ' || below || ' gives ' || want)
from (values ('europe.mx.backup.example', false, '23P01'), ('backup.example', true, '23P01'), ('backup.example', false, '00000'),
	('x.europe.mx.backup.example', true, '00000')) t (name, below, want);
select is(code('soc', 'update mxhold.domain set include_subdomains = true where name = ''backup.example'''), '23P01', 'nor later');
select is(code('soc', 'update mxhold.relay set names = ''{z.acme.example}'' where name = ''us1'''), '23P01', 'a relay takes no customer''s domain as its name');
select is(code('soc', 'insert into mxhold.relay (name, region, login, names, addresses) values (''us2'', ''usa'', ''us2'', ''{mx.e.test}'', ''{198.51.100.3}'')'),
	'23P01', 'nor a name below one with include_subdomains');
select is(code('soc', 'update mxhold.relay set names = ''{mx.backup.example}'' where name = ''us1'''), '00000', 'but one below one without');

-- who and when: nobody says it but the database
select is(code('soc', format('insert into mxhold.%s (%s, created_at, created_by) values (%s, ''2001-01-01'', ''boss'')', tab, key, val)),
	'00000', tab || ': made in another''s name')
from (values ('region', 'name', '''moon'''), ('customer_region', 'customer, region', '''acme'', ''moon'''),
	('domain_region', 'domain, region', '''z.acme.example'', ''moon'''), ('fence_allow', 'network', '''10.77.0.0/16'''),
	('customer', 'name', '''zed'''), ('domain', 'name, customer', '''zed.example'', ''zed''')) t (tab, key, val);
select is(code('soc', format('update mxhold.%I set created_at = ''2001-01-01'', created_by = ''boss''', tab)), '00000', tab || ': or changed')
from unnest(array['region', 'customer_region', 'domain_region', 'fence_allow', 'customer', 'domain']) t (tab);
select is(code('soc', 'insert into mxhold.feed_confirmation (note, epoch, version, at, by) values (''x'', ''e'', 9, ''2001-01-01'', ''boss'')'),
	'00000', 'feed_confirmation: made in another''s name');
select is((by, at > '2002-01-01')::text, '(soc,t)', tab || ' tells who made it, and when')
from (select 'region', created_by, created_at from mxhold.region where name = 'moon'
	union all select 'customer_region', created_by, created_at from mxhold.customer_region where region = 'moon'
	union all select 'domain_region', created_by, created_at from mxhold.domain_region where region = 'moon'
	union all select 'fence_allow', created_by, created_at from mxhold.fence_allow where network = '10.77.0.0/16'
	union all select 'customer', created_by, created_at from mxhold.customer where name = 'zed'
	union all select 'domain', created_by, created_at from mxhold.domain where name = 'zed.example'
	union all select 'feed_confirmation', f.by, f.at from mxhold.feed_confirmation f) t (tab, by, at);
select is((select epoch from mxhold.feed_confirmation), mxhold.epoch(), 'and a confirmation, which database');
select is((select version from mxhold.feed_confirmation), mxhold.version(), '... and its version');

select throws_ok(format('truncate mxhold.%I cascade', t), '0A000', null, 'TRUNCATE ' || t || ' is refused, also to the owner')
from unnest(array['region', 'customer', 'customer_region', 'domain', 'domain_region', 'relay', 'fence_allow', 'feed_confirmation', 'audit']) t;
select * from finish();
rollback;
