-- Everything says what it is; constraints are named; the migrations have their rows.
begin;
select no_plan();
select ok(obj_description(c.oid, 'pg_class') <> '', 'comment on ' || c.relname)
from pg_class c where c.relnamespace = 'mxhold'::regnamespace and c.relkind in ('r', 'v') order by c.relname;
select ok(obj_description(c.oid, 'pg_class') <> '', 'comment on sequence ' || c.relname)
from pg_class c where c.relnamespace = 'mxhold'::regnamespace and c.relkind = 'S'
	and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i') order by c.relname;
select ok(col_description(c.oid, a.attnum) <> '', format('comment on %s.%s', c.relname, a.attname))
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'mxhold'::regnamespace and c.relkind in ('r', 'v') order by c.relname, a.attnum;
select ok(obj_description(p.oid, 'pg_proc') <> '', 'comment on ' || p.proname)
from pg_proc p where p.pronamespace = 'mxhold'::regnamespace order by p.proname;
select is((select count(*)::int from pg_constraint n where n.connamespace = 'mxhold'::regnamespace and n.conname ~ '_check[0-9]*$'), 0, 'no constraint was named by chance');
select results_eq('select name from mxhold.migration order by name', $$values ('001-base'), ('002-rules'), ('003-feed'), ('004-audit'), ('005-queue'), ('006-views'), ('007-roles')$$, 'migrations');
select is((select count(*)::int from mxhold.migration where checksum is not null or applied_by <> session_user), 0, 'by plain psql: no checksum, and by whom');
select * from finish();
rollback;
