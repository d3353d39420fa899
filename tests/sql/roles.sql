-- Who may do what: every role against every table, view and function; and the hardening of functions.
begin;
select no_plan();
create temp table may (role text, object text, rights text);
insert into may values
	('mxhold_soc', 'region', 'SELECT INSERT UPDATE DELETE'), ('mxhold_soc', 'customer', 'SELECT INSERT UPDATE DELETE'),
	('mxhold_soc', 'customer_region', 'SELECT INSERT UPDATE DELETE'), ('mxhold_soc', 'domain', 'SELECT INSERT UPDATE DELETE'),
	('mxhold_soc', 'domain_region', 'SELECT INSERT UPDATE DELETE'), ('mxhold_soc', 'relay', 'SELECT INSERT UPDATE DELETE'),
	('mxhold_soc', 'fence_allow', 'SELECT INSERT UPDATE DELETE'), ('mxhold_soc', 'feed_confirmation', 'SELECT INSERT'),
	('mxhold_soc', 'audit', 'SELECT'), ('mxhold_soc', 'migration', 'SELECT'), ('mxhold_soc', 'relay_heartbeat', 'SELECT'),
	('mxhold_soc', 'domain_status', 'SELECT'), ('mxhold_soc', 'relay_status', 'SELECT'),
	('mxhold_soc', 'queue', 'SELECT'), ('mxhold_soc', 'queue_told', 'SELECT'), ('mxhold_soc', 'held', 'SELECT'),
	('mxhold_status', 'queue', 'SELECT'), ('mxhold_status', 'queue_told', 'SELECT'), ('mxhold_status', 'held', 'SELECT'),
	('mxhold_relay', 'feed_now', 'SELECT'),
	('mxhold_status', 'domain_status', 'SELECT'), ('mxhold_status', 'relay_status', 'SELECT');
select is(
	(select coalesce(string_agg(p, ' ' order by n), '') from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
		with ordinality x (p, n) where has_table_privilege(r.role, c.oid, p)),
	coalesce((select m.rights from may m where m.role = r.role and m.object = c.relname), ''),
	format('%s on %s', r.role, c.relname))
from pg_class c, unnest(array['mxhold_soc', 'mxhold_relay', 'mxhold_status', 'public']) r (role)
where c.relnamespace = 'mxhold'::regnamespace and c.relkind in ('r', 'v') and r.role <> 'public'
order by 1;
select is(has_sequence_privilege(r.role, c.oid, 'USAGE, SELECT, UPDATE'), false, format('%s on sequence %s', r.role, c.relname))
from pg_class c, unnest(array['mxhold_soc', 'mxhold_relay', 'mxhold_status']) r (role)
where c.relnamespace = 'mxhold'::regnamespace and c.relkind = 'S';

create temp table run (name text, roles text);
insert into run values ('feed_state', 'mxhold_relay'), ('feed_full', 'mxhold_relay'), ('feed_since', 'mxhold_relay'), ('feed_gone', 'mxhold_relay'), ('heartbeat', 'mxhold_relay'),
	('feed_maintain', 'mxhold_relay'), ('epoch', 'mxhold_soc mxhold_status'), ('version', 'mxhold_soc mxhold_status'),
	('customer_set_regions', 'mxhold_soc'), ('is_full_name', 'mxhold_soc'), ('name_normal', 'mxhold_soc'), ('parents', 'mxhold_soc mxhold_status'),
	('feed_time', 'mxhold_relay'), ('queue_report', 'mxhold_relay'),
	('address_class', 'mxhold_soc'), ('address_parse', 'mxhold_soc'), ('next_hop_normal', 'mxhold_soc'), ('next_hop_host', 'mxhold_soc'),
	('next_hops_normal', 'mxhold_soc'), ('next_hops_check', 'mxhold_soc'),
	('pin_certificate_normal', 'mxhold_soc'), ('pin_banner_normal', 'mxhold_soc');
select is(
	(select coalesce(string_agg(r, ' ' order by n), '') from unnest(array['mxhold_soc', 'mxhold_relay', 'mxhold_status']) with ordinality x (r, n)
		where has_function_privilege(r, p.oid, 'EXECUTE')),
	coalesce((select roles from run where name = p.proname), ''), format('who may run %s', p.proname))
from pg_proc p where p.pronamespace = 'mxhold'::regnamespace order by p.proname;
select is((select count(*)::int from pg_proc p where p.pronamespace = 'mxhold'::regnamespace and has_function_privilege('nobody', p.oid, 'EXECUTE')), 0,
	'nobody else runs any');
select ok(p.proconfig::text like '%search_path=pg_catalog, mxhold, pg_temp%', format('%s pins its search_path, pg_temp last', p.proname))
from pg_proc p where p.pronamespace = 'mxhold'::regnamespace and p.prosecdef order by p.proname;
select ok(not has_schema_privilege(r, 'mxhold', 'CREATE'), r || ' creates nothing in the schema')
from unnest(array['mxhold_soc', 'mxhold_relay', 'mxhold_status', 'nobody']) r;
select ok(not has_schema_privilege('nobody', 'mxhold', 'USAGE'), 'nobody else enters it');
select is((select string_agg(distinct pg_get_userbyid(c.relowner), ' ') from pg_class c where c.relnamespace = 'mxhold'::regnamespace), 'mxhold_owner', 'one owner of tables');
select is((select string_agg(distinct pg_get_userbyid(p.proowner), ' ') from pg_proc p where p.pronamespace = 'mxhold'::regnamespace), 'mxhold_owner', 'one owner of functions');
select is((select count(*)::int from pg_roles where rolname ~ '^mxhold_' and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)),
	0, 'roles without login or powers');

-- the same by deeds
select is(code(login, command), want, format('%s: %s gives %s', login, left(command, 80), want)) from (values
	('soc', 'insert into mxhold.domain (name, customer) values (''r.example'', ''acme'')', '00000'),
	('soc', 'update mxhold.domain set note = ''x'' where name = ''r.example''', '00000'),
	('soc', 'delete from mxhold.domain where name = ''r.example''', '00000'),
	('soc', 'truncate mxhold.domain cascade', '42501'), ('soc', 'drop table mxhold.domain', '42501'),
	('soc', 'alter table mxhold.domain disable trigger all', '42501'), ('soc', 'delete from mxhold.audit', '42501'),
	('soc', 'update mxhold.audit set by = ''x''', '42501'), ('soc', 'insert into mxhold.audit (tab, op, key) values (''x'', ''insert'', ''x'')', '42501'),
	('soc', 'truncate mxhold.audit', '42501'), ('soc', 'select * from mxhold.commit_log', '42501'), ('soc', 'select * from mxhold.touched', '42501'),
	('soc', 'lock table mxhold.feed_lock in access share mode', '42501'), ('soc', 'select nextval(''mxhold.feed_version'')', '42501'),
	('soc', 'update mxhold.feed_confirmation set note = ''x''', '42501'), ('soc', 'delete from mxhold.feed_confirmation', '42501'),
	('soc', 'insert into mxhold.relay_heartbeat select', '42501'), ('soc', 'select mxhold.feed_prune(''0 s'')', '42501'),
	('soc', 'select mxhold.feed_enter()', '42501'), ('soc', 'set role mxhold_owner', '42501'), ('soc', 'select * from mxhold.feed_meta', '42501'),
	('soc', 'set session_replication_role = replica', '42501'), ('soc', 'select * from mxhold.feed_full(''domain'')', '42501'),
	('eu1', 'select * from mxhold.feed_state(0, '''')', '00000'), ('eu1', 'select * from mxhold.feed_since(0)', '00000'),
	('eu1', 'select * from mxhold.feed_full(''domain'')', '00000'), ('eu1', 'select mxhold.feed_maintain()', '00000'),
	('eu1', 'select mxhold.feed_prune(''0 s'')', '42501'), ('eu1', 'select * from mxhold.domain', '42501'), ('eu1', 'select * from mxhold.relay', '42501'),
	('eu1', 'select * from mxhold.customer', '42501'), ('eu1', 'insert into mxhold.domain (name, customer) values (''r.example'', ''acme'')', '42501'),
	('eu1', 'update mxhold.feed_now set key = ''x''', '55000'), ('eu1', 'insert into mxhold.feed_confirmation (note) values (''x'')', '42501'),
	('eu1', 'update mxhold.relay_heartbeat set version = 1', '42501'), ('eu1', 'select * from mxhold.audit', '42501'),
	('eu1', 'select * from mxhold.domain_status', '42501'), ('eu1', 'select mxhold.customer_set_regions(''acme'', ''{usa}'')', '42501'),
	('soc', 'select * from mxhold.held', '00000'), ('soc', 'delete from mxhold.queue', '42501'), ('soc', 'select mxhold.queue_report(''[]'')', '42501'),
	('eu1', 'select mxhold.queue_report(''[]'')', '00000'), ('eu1', 'select * from mxhold.held', '42501'), ('eu1', 'delete from mxhold.queue', '42501'),
	('watch', 'select * from mxhold.held', '00000'), ('watch', 'select * from mxhold.queue', '00000'),
	('watch', 'select * from mxhold.domain_status', '00000'), ('watch', 'select * from mxhold.relay_status', '00000'),
	('watch', 'select * from mxhold.domain', '42501'), ('watch', 'select * from mxhold.feed_state(0, '''')', '42501'),
	('watch', 'delete from mxhold.domain_status', '55000'),
	('nobody', 'select * from mxhold.domain_status', '42501'), ('nobody', 'select mxhold.epoch()', '42501')
) t (login, command, want);
-- a search_path of one's own, with operators that lie, changes no check
create schema trick;
grant all on schema trick to public;
create function trick.yes(text, text) returns boolean language sql as 'select true';
create operator trick.~ (leftarg = text, rightarg = text, function = trick.yes);
create operator trick.!~ (leftarg = text, rightarg = text, function = trick.yes);
grant execute on function trick.yes(text, text) to public;
select set_config('search_path', 'trick, pg_catalog, public', true);
select is(code('soc', 'insert into mxhold.domain (name, customer) values (''not a domain'', ''acme'')'), '23514', 'nor does a search_path with other operators');
select * from finish();
rollback;
