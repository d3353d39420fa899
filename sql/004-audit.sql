-- 004-audit: who changed what.
--
-- In: every write to a table of the SOC. Out: one row a changed row, with the login, the old and the new row. Written a
-- statement at a time, so that a bulk load pays little; nobody but the owner of the schema can change or remove it.

begin;
set local role mxhold_owner;

create table mxhold.audit (
	id        bigint           not null generated always as identity,
	at        timestamptz      not null default clock_timestamp(),
	by        text             not null default session_user,
	client    inet             default inet_client_addr(),
	tx        xid8             not null default pg_current_xact_id(),
	tab       text             not null,
	op        text             not null,
	key       text collate "C" not null,
	old       jsonb,
	new       jsonb,
	constraint audit_pkey primary key (id),
	constraint audit_op_value check (op in ('insert', 'update', 'delete'))
);
create index audit_key_idx on mxhold.audit (key);
create index audit_at_idx on mxhold.audit using brin (at);
comment on table mxhold.audit is 'Every change of the SOC''s tables';
comment on column mxhold.audit.id is 'Counts up';
comment on column mxhold.audit.at is 'When';
comment on column mxhold.audit.by is 'Login (session_user: SET ROLE does not hide it)';
comment on column mxhold.audit.client is 'Address that it came from; null: unix socket';
comment on column mxhold.audit.tx is 'Transaction';
comment on column mxhold.audit.tab is 'Table';
comment on column mxhold.audit.op is 'insert, update or delete';
comment on column mxhold.audit.key is 'Key of the row (the new one of a renamed row), parts with a slash between';
comment on column mxhold.audit.old is 'The row before, without its empty columns';
comment on column mxhold.audit.new is 'The row after, without its empty columns';

-- TG_ARGV[0]: an expression for the key, over a row named r. Old and new rows of an UPDATE are paired by their order:
-- PostgreSQL adds both to the transition tables at once (AfterTriggerSaveEvent), and a renamed row has no other bond.
create function mxhold.audit_statement() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
begin
	if tg_op = 'INSERT' then
		execute format('insert into mxhold.audit (tab, op, key, new)
			select %L, ''insert'', %s, jsonb_strip_nulls(to_jsonb(r)) from new_rows r', tg_table_name, tg_argv[0]);
	elsif tg_op = 'DELETE' then
		execute format('insert into mxhold.audit (tab, op, key, old)
			select %L, ''delete'', %s, jsonb_strip_nulls(to_jsonb(r)) from old_rows r', tg_table_name, tg_argv[0]);
	else
		execute format('insert into mxhold.audit (tab, op, key, old, new)
			select %L, ''update'', %s, jsonb_strip_nulls(to_jsonb(o.r)), jsonb_strip_nulls(to_jsonb(n.r))
			from (select r, row_number() over () as i from old_rows r) o
			join (select r, row_number() over () as i from new_rows r) n using (i)
			where o.r is distinct from n.r', tg_table_name, replace(tg_argv[0], 'r.', '(n.r).'));
	end if;
	return null;
end
$$;
comment on function mxhold.audit_statement() is 'Trigger: writes the changed rows of a statement to the audit';

do $$
declare
	t record;
begin
	for t in select * from (values
		('region', 'r.name'), ('customer', 'r.name'), ('domain', 'r.name'), ('relay', 'r.name'),
		('customer_region', 'r.customer || ''/'' || r.region'), ('domain_region', 'r.domain || ''/'' || r.region'),
		('fence_allow', 'r.network::text'), ('feed_confirmation', 'r.id::text')) v (tab, key)
	loop
		execute format('create trigger audit_insert after insert on mxhold.%I referencing new table as new_rows
			for each statement execute function mxhold.audit_statement(%L)', t.tab, t.key);
		execute format('create trigger audit_update after update on mxhold.%I
			referencing old table as old_rows new table as new_rows
			for each statement execute function mxhold.audit_statement(%L)', t.tab, t.key);
		execute format('create trigger audit_delete after delete on mxhold.%I referencing old table as old_rows
			for each statement execute function mxhold.audit_statement(%L)', t.tab, t.key);
	end loop;
	for t in select * from (values ('region'), ('fence_allow'), ('feed_confirmation'), ('audit')) v (tab) loop
		execute format('create trigger refuse_truncate before truncate on mxhold.%I
			for each statement execute function mxhold.refuse_truncate()', t.tab);
	end loop;
end
$$;

insert into mxhold.migration (name) values ('004-audit');

commit;
