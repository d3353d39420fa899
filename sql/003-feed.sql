-- 003-feed: how the tables reach the relays (docs/feed.md).
--
-- In: writes to domain, customer, customer_region, domain_region, relay. Out: one version a transaction, in commit
-- order; the present state of every key, in full or since a version; the confirmations. Rows are marked with their
-- transaction, and the transaction gets its version at commit, under a lock that is held only then: nobody waits for an
-- idle transaction, and no reader can see a version whose predecessors are still under way.

begin;
set local role mxhold_owner;

create table mxhold.feed_meta (
	seed  uuid   not null default gen_random_uuid(),
	floor bigint not null default 0,
	single boolean not null default true,
	constraint feed_meta_pkey primary key (single),
	constraint feed_meta_one_row check (single)
);
insert into mxhold.feed_meta default values;
comment on table mxhold.feed_meta is 'One row: what the feed knows of itself';
comment on column mxhold.feed_meta.seed is 'Random name of this history; mxhold.epoch() hashes it with the cluster and the database';
comment on column mxhold.feed_meta.floor is 'Lowest version from which changes can still be told';
comment on column mxhold.feed_meta.single is 'Holds the table at one row';

create table mxhold.feed_lock ();
comment on table mxhold.feed_lock is 'Empty; locked at commit by transactions that changed the feed, so that commit order is version order. Nobody is granted anything on it, so nobody else can hold the lock';

create sequence mxhold.feed_version as bigint;
comment on sequence mxhold.feed_version is 'Versions of the feed; gaps are harmless';
create sequence mxhold.feed_claim as bigint;
comment on sequence mxhold.feed_claim is 'Numbers commits that wrote include_subdomains rows or relays';

create table mxhold.commit_log (
	tx      xid8   not null,
	base    bigint not null,
	version bigint,
	claim   bigint,
	stamp   text,
	at      timestamptz,
	constraint commit_log_pkey primary key (tx),
	constraint commit_log_version_key unique (version),
	constraint commit_log_claim_key unique (claim)
);
comment on table mxhold.commit_log is 'Transactions that changed the feed';
comment on column mxhold.commit_log.tx is 'The transaction, as in the rows that it wrote';
comment on column mxhold.commit_log.base is 'Newest version that it could see before its first change';
comment on column mxhold.commit_log.version is 'Given at commit; nobody else ever sees it null';
comment on column mxhold.commit_log.claim is 'A number too where it wrote include_subdomains rows or relays, which forbid names to others';
comment on column mxhold.commit_log.stamp is 'Random; tells this history from another that reached the same version';
comment on column mxhold.commit_log.at is 'When it was committed';

create table mxhold.touched (
	tx   xid8             not null,
	kind text collate "C" not null,
	key  text collate "C" not null,
	constraint touched_pkey primary key (tx, kind, key),
	constraint touched_kind_value check (kind in ('relay', 'customer', 'domain'))
);
create index touched_key_idx on mxhold.touched (kind, key);
comment on table mxhold.touched is 'Keys that a transaction changed without a row of theirs to mark: deleted, renamed, or changed in a child table';
comment on column mxhold.touched.tx is 'The transaction';
comment on column mxhold.touched.kind is 'relay, customer or domain';
comment on column mxhold.touched.key is 'Name of the row';

create table mxhold.tombstone (
	name               text collate "C" not null,
	customer           text collate "C" not null,
	regions            text[]           not null,
	next_hops          text,
	include_subdomains boolean          not null,
	tls_required       boolean          not null,
	refused            text,
	hold_until         timestamptz,
	hold_reason        text,
	pin_certificate    text,
	pin_banner         text,
	removed_at         timestamptz      not null default clock_timestamp(),
	tx                 xid8             not null default pg_current_xact_id(),
	constraint tombstone_pkey primary key (name)
);
comment on table mxhold.tombstone is 'Domains that were deleted or renamed away, as they were last: relays may hold mail for them. Means nothing while a domain has that name';
comment on column mxhold.tombstone.name is 'Name of the domain';
comment on column mxhold.tombstone.customer is 'Whose it was; he may be gone too';
comment on column mxhold.tombstone.regions is 'Where its mail could be held when it was removed';
comment on column mxhold.tombstone.next_hops is 'As in domain';
comment on column mxhold.tombstone.include_subdomains is 'As in domain';
comment on column mxhold.tombstone.tls_required is 'As in domain';
comment on column mxhold.tombstone.refused is 'As in domain';
comment on column mxhold.tombstone.hold_until is 'As in domain';
comment on column mxhold.tombstone.hold_reason is 'As in domain';
comment on column mxhold.tombstone.pin_certificate is 'As in domain';
comment on column mxhold.tombstone.pin_banner is 'As in domain';
comment on column mxhold.tombstone.removed_at is 'When; feed_maintain forgets what is older than 30 days';
comment on column mxhold.tombstone.tx is 'The transaction that removed it';

-- With the name: a reader takes a large transaction in parts, each from where the last one ended.
create index domain_tx_idx on mxhold.domain (tx, name);
create index domain_include_tx_idx on mxhold.domain (tx) where include_subdomains;
create index customer_tx_idx on mxhold.customer (tx, name);
create index relay_tx_idx on mxhold.relay (tx, name);

-- --- writing ---------------------------------------------------------------------------------------------------

-- Puts the transaction into the log, once; a version that it has already (SET CONSTRAINTS ... IMMEDIATE, or the number of
-- a transaction of a restored dump) is taken back, and given anew at commit.
create function mxhold.feed_enter() returns void
language sql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
	insert into mxhold.commit_log as c (tx, base)
	values (pg_current_xact_id(), (select coalesce(max(l.version), 0) from mxhold.commit_log l))
	on conflict (tx) do update set version = null, stamp = null where c.version is not null;
$$;
comment on function mxhold.feed_enter() is 'Puts the transaction into commit_log';

-- TG_ARGV: kind of the feed, and the column that holds the key.
create function mxhold.feed_inserted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if not exists (select from new_rows) then
		return null;
	end if;
	perform mxhold.feed_enter();
	if tg_table_name in ('customer_region', 'domain_region') then
		execute format('insert into mxhold.touched (tx, kind, key)
			select distinct pg_current_xact_id(), %L, %I from new_rows on conflict do nothing', tg_argv[0], tg_argv[1]);
	end if;
	return null;
end
$$;
comment on function mxhold.feed_inserted() is 'Trigger: notes inserted rows for the feed';

create function mxhold.feed_updated() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if not exists (select from new_rows) then
		return null;
	end if;
	perform mxhold.feed_enter();
	if tg_table_name in ('customer_region', 'domain_region') then
		execute format('insert into mxhold.touched (tx, kind, key)
			select pg_current_xact_id(), %1$L, %2$I from (select %2$I from old_rows union select %2$I from new_rows) k
			on conflict do nothing', tg_argv[0], tg_argv[1]);
	else
		execute format('insert into mxhold.touched (tx, kind, key)
			select pg_current_xact_id(), %1$L, %2$I from (select %2$I from old_rows except select %2$I from new_rows) k
			on conflict do nothing', tg_argv[0], tg_argv[1]);
	end if;
	return null;
end
$$;
comment on function mxhold.feed_updated() is 'Trigger: notes updated rows for the feed, with the old key of renamed ones';

create function mxhold.feed_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if not exists (select from old_rows) then
		return null;
	end if;
	perform mxhold.feed_enter();
	execute format('insert into mxhold.touched (tx, kind, key)
		select distinct pg_current_xact_id(), %L, %I from old_rows on conflict do nothing', tg_argv[0], tg_argv[1]);
	return null;
end
$$;
comment on function mxhold.feed_deleted() is 'Trigger: notes deleted rows for the feed';

create function mxhold.tombstone_put() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	execute 'insert into mxhold.tombstone (name, customer, regions, next_hops, include_subdomains, tls_required, refused,
			hold_until, hold_reason, pin_certificate, pin_banner)
		select o.name, o.customer,
			array(select r.region from mxhold.customer_region r where r.customer = o.customer order by r.region),
			o.next_hops, o.include_subdomains, o.tls_required, o.refused, o.hold_until, o.hold_reason, o.pin_certificate,
			o.pin_banner
		from old_rows o '
		|| case tg_op when 'UPDATE' then 'where not exists (select from new_rows n where n.name = o.name) ' else '' end
		|| 'on conflict (name) do update set customer = excluded.customer, next_hops = excluded.next_hops,
			include_subdomains = excluded.include_subdomains, tls_required = excluded.tls_required,
			refused = excluded.refused, hold_until = excluded.hold_until, hold_reason = excluded.hold_reason,
			pin_certificate = excluded.pin_certificate, pin_banner = excluded.pin_banner, regions = excluded.regions, removed_at = excluded.removed_at, tx = excluded.tx';
	return null;
end
$$;
comment on function mxhold.tombstone_put() is 'Trigger: keeps what relays need for the held mail of domains that are deleted or renamed';

-- Rows of domain_region follow by a cascade, whose triggers run behind those of domain.
create function mxhold.tombstone_narrow() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	update mxhold.tombstone t set regions = array(select u from unnest(t.regions) u where u = any(n.regions))
	from (select o.domain, array_agg(o.region) as regions from old_rows o group by o.domain) n
	where t.name = n.domain and t.tx = pg_current_xact_id()
		and not exists (select from mxhold.domain d where d.name = n.domain);
	return null;
end
$$;
comment on function mxhold.tombstone_narrow() is 'Trigger: keeps how domains that are deleted or renamed were narrowed';

-- Names of regions change everywhere else by the cascade of a foreign key.
create function mxhold.tombstone_region() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	update mxhold.tombstone t set regions = array_replace(t.regions, old.name, new.name)
	where old.name = any (t.regions);
	return null;
end
$$;
comment on function mxhold.tombstone_region() is 'Trigger: a renamed region keeps its name in tombstones too';

create trigger tombstone_delete after delete on mxhold.domain referencing old table as old_rows
	for each statement execute function mxhold.tombstone_put();
create trigger tombstone_update after update on mxhold.domain referencing old table as old_rows new table as new_rows
	for each statement execute function mxhold.tombstone_put();
create trigger tombstone_delete after delete on mxhold.domain_region referencing old table as old_rows
	for each statement execute function mxhold.tombstone_narrow();
create trigger tombstone_update after update on mxhold.domain_region referencing old table as old_rows
	for each statement execute function mxhold.tombstone_narrow();

create trigger tombstone_rename after update of name on mxhold.region for each row when (old.name is distinct from new.name)
	execute function mxhold.tombstone_region();

create function mxhold.refuse_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	raise exception 'mxhold.% is never truncated: relays would keep the rows', tg_table_name
		using errcode = 'feature_not_supported', hint = format('Use: delete from mxhold.%I', tg_table_name);
end
$$;
comment on function mxhold.refuse_truncate() is 'Trigger: TRUNCATE leaves no trace for the feed or the audit';

do $$
declare
	t record;
begin
	for t in select * from (values
		('domain', 'domain', 'name'), ('customer', 'customer', 'name'), ('relay', 'relay', 'name'),
		('customer_region', 'customer', 'customer'), ('domain_region', 'domain', 'domain')) v (tab, kind, col)
	loop
		execute format('create trigger feed_insert after insert on mxhold.%I referencing new table as new_rows
			for each statement execute function mxhold.feed_inserted(%L, %L)', t.tab, t.kind, t.col);
		execute format('create trigger feed_update after update on mxhold.%I
			referencing old table as old_rows new table as new_rows
			for each statement execute function mxhold.feed_updated(%L, %L)', t.tab, t.kind, t.col);
		execute format('create trigger feed_delete after delete on mxhold.%I referencing old table as old_rows
			for each statement execute function mxhold.feed_deleted(%L, %L)', t.tab, t.kind, t.col);
		execute format('create trigger refuse_truncate before truncate on mxhold.%I
			for each statement execute function mxhold.refuse_truncate()', t.tab);
	end loop;
end
$$;

-- REPEATABLE READ and SERIALIZABLE do not see what others committed since their snapshot, but a unique index does: to
-- insert a number that an unseen transaction holds fails with "could not serialize access" (40001). Numbers that nobody
-- holds (of transactions that failed at the end, or lost in a crash) go in and are taken out again.
create function mxhold.feed_refuse_unseen(only_claims boolean) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
	seen bigint;
	newest bigint;
	beyond constant numeric := 9223372036854775808; -- no transaction has such a number
begin
	if only_claims then
		select coalesce(max(c.claim), 0) into seen from mxhold.commit_log c;
		select case when s.is_called then s.last_value else 0 end into newest from mxhold.feed_claim s;
	else
		select coalesce(max(c.version), 0) into seen from mxhold.commit_log c;
		select case when s.is_called then s.last_value else 0 end into newest from mxhold.feed_version s;
	end if;
	if newest - seen > 10000 then
		raise exception 'could not serialize access: others committed meanwhile' using errcode = 'serialization_failure';
	end if;
	if only_claims then
		insert into mxhold.commit_log (tx, base, version, claim)
		select (beyond + n)::text::xid8, 0, -n, n from generate_series(seen + 1, newest) n
		on conflict (claim) do nothing;
	else
		insert into mxhold.commit_log (tx, base, version)
		select (beyond + n)::text::xid8, 0, n from generate_series(seen + 1, newest) n
		on conflict (version) do nothing;
	end if;
	delete from mxhold.commit_log c where c.tx >= beyond::text::xid8;
end
$$;
comment on function mxhold.feed_refuse_unseen(boolean) is 'Fails with 40001 if others committed what this transaction''s snapshot cannot see';

-- Under the lock: a pair of rows that contradict each other, one of this transaction and one committed since its
-- first change, could be seen by neither statement. Returns whether this transaction forbids names to others.
create function mxhold.rules_at_commit(own xid8, first bigint) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
	wrote_claim boolean := exists (select from mxhold.domain d where d.tx = own and d.include_subdomains)
		or exists (select from mxhold.relay r where r.tx = own);
	wrote_domain boolean := exists (select from mxhold.domain d where d.tx = own);
	hit record;
begin
	if not wrote_claim and not wrote_domain then
		return false;
	end if;
	if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
		perform mxhold.feed_refuse_unseen(not wrote_claim);
		return wrote_claim;
	end if;
	if not exists (select from mxhold.commit_log c where c.version > first) then
		return wrote_claim;
	end if;
	select d.name, d.customer, p.name as above, p.customer as above_customer into hit
	from (
		select i.name, i.customer from mxhold.domain i where i.tx = own and i.include_subdomains
		union all
		select i.name, i.customer from mxhold.commit_log c
		cross join lateral (select w.name, w.customer from mxhold.domain w
			where w.tx = c.tx and w.include_subdomains offset 0) i
		where c.claim is not null and c.version > first
	) p cross join lateral (
		select w.name, w.customer from mxhold.domain w
		where reverse(w.name) >= reverse(p.name) || '.' and reverse(w.name) < reverse(p.name) || '/'
			and w.customer <> p.customer offset 0
	) d limit 1;
	if found then
		perform mxhold.refuse_overlap(hit.name, hit.customer, hit.above, hit.above_customer);
	end if;
	select d.name, r.relay into hit
	from (
		select i.name as relay, i.names from mxhold.relay i where i.tx = own
		union all
		select i.name, i.names from mxhold.commit_log c
		cross join lateral (select w.name, w.names from mxhold.relay w where w.tx = c.tx offset 0) i
		where c.claim is not null and c.version > first
	) r cross join lateral unnest(r.names) u (name)
	cross join lateral unnest(u.name || mxhold.parents(u.name)) a (name)
	cross join lateral (select w.name from mxhold.domain w
		where w.name = a.name collate "C" and (w.include_subdomains or a.name = u.name) offset 0) d
	limit 1;
	if found then
		perform mxhold.refuse_fleet(hit.name, hit.relay);
	end if;
	return wrote_claim;
end
$$;
comment on function mxhold.rules_at_commit(xid8, bigint) is 'At commit: refuses what this transaction and a concurrent one broke together';

-- Once a transaction, at its commit. All other commits wait meanwhile, so nothing here may take long.
create function mxhold.feed_commit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
	given bigint;
	claims boolean;
begin
	lock table mxhold.feed_lock in exclusive mode;
	claims := mxhold.rules_at_commit(new.tx, new.base);
	given := nextval('mxhold.feed_version');
	update mxhold.commit_log c
	set version = given, stamp = gen_random_uuid(), at = clock_timestamp(),
		claim = case when claims then coalesce(c.claim, nextval('mxhold.feed_claim')) end
	where c.tx = new.tx;
	perform pg_notify('mxhold_feed', given::text);
	return null;
end
$$;
comment on function mxhold.feed_commit() is 'Trigger: at commit, checks what concurrent transactions may have broken together, and gives the version';

create constraint trigger feed_commit after insert or update on mxhold.commit_log
	deferrable initially deferred for each row when (new.version is null)
	execute function mxhold.feed_commit();

-- --- reading ---------------------------------------------------------------------------------------------------

create function mxhold.epoch() returns text
language sql stable security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
	select md5(m.seed::text || ' ' || c.system_identifier::text || ' ' || d.oid::text)::uuid::text
	from mxhold.feed_meta m, pg_control_system() c, pg_database d
	where d.datname = current_database();
$$;
comment on function mxhold.epoch() is 'Identity of this database: another one after a restore elsewhere';

create function mxhold.version() returns bigint
language sql stable security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
	select coalesce(max(version), 0) from mxhold.commit_log;
$$;
comment on function mxhold.version() is 'Newest version of the feed; 0: nothing yet';

create table mxhold.feed_confirmation (
	id      bigint      not null,
	epoch   text        not null,
	version bigint      not null,
	note    text        not null,
	at      timestamptz not null,
	by      text        not null,
	constraint feed_confirmation_pkey primary key (id),
	constraint feed_confirmation_note_said check (note <> '')
);
comment on table mxhold.feed_confirmation is 'Each row lets relays that hold back (empty feed, another history) take over what the authority now says';
comment on column mxhold.feed_confirmation.id is 'Counts up, by the clock: unlike a sequence, also across copies of this database that went apart; a relay obeys each once';
comment on column mxhold.feed_confirmation.epoch is 'Which database is confirmed (set by trigger)';
comment on column mxhold.feed_confirmation.version is 'Its version when it was confirmed (set by trigger)';
comment on column mxhold.feed_confirmation.note is 'Why';
comment on column mxhold.feed_confirmation.at is 'When (set by trigger)';
comment on column mxhold.feed_confirmation.by is 'By which login (set by trigger)';

create function mxhold.confirmation_numbered() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	new.id := greatest((extract(epoch from clock_timestamp()) * 1000000)::bigint,
		(select coalesce(max(f.id), 0) + 1 from mxhold.feed_confirmation f));
	new.epoch := mxhold.epoch();
	new.version := mxhold.version();
	new.at := now();
	new.by := session_user;
	return new;
end
$$;
comment on function mxhold.confirmation_numbered() is 'Trigger: which database, who and when, and a number in microseconds. An older copy that went on, and the original, would give the same numbers of a sequence, and a relay that obeyed one would not obey the other';

create trigger confirmation_number before insert on mxhold.feed_confirmation
	for each row execute function mxhold.confirmation_numbered();

create type mxhold.feed_row as (
	kind            text collate "C",
	key             text collate "C",
	present         boolean,
	customer        text collate "C",
	regions         text,
	flags           integer,
	size_limit      bigint,
	retention       integer,
	quota_messages  bigint,
	quota_bytes     bigint,
	next_hops       text,
	names           text,
	addresses       text,
	hold_until      bigint,
	hold_reason     text,
	pin_certificate text,
	pin_banner      text
);
comment on type mxhold.feed_row is 'What the feed tells of one key; see docs/feed.md';

create function mxhold.feed_time(at timestamptz) returns bigint
language sql immutable strict parallel safe
return case when at = 'infinity' then 9223372036854775807 else ceil(extract(epoch from at))::bigint end;
comment on function mxhold.feed_time(timestamptz) is 'Seconds since 1970, rounded up; infinity: the largest bigint';

-- Each `exists` compares one column, so that the planner may look it up (a few rows) or hash it (all of them).
create view mxhold.feed_now as
select 'relay'::text collate "C" as kind, r.name as key, true as present, null::text collate "C" as customer,
	r.region::text collate "default" as regions, 0 as flags, null::bigint as size_limit, null::integer as retention,
	null::bigint as quota_messages, null::bigint as quota_bytes, null::text as next_hops,
	array_to_string(r.names, ' ') as names,
	(select string_agg(host(a.address), ' ' order by a.n) from unnest(r.addresses) with ordinality a (address, n))
		as addresses,
	null::bigint as hold_until, null::text as hold_reason, null::text as pin_certificate, null::text as pin_banner
from mxhold.relay r
union all
select 'customer'::text collate "C", c.name, true, null::text collate "C",
	coalesce((select string_agg(r.region, ' ' order by r.region) from mxhold.customer_region r
		where r.customer = c.name), '')::text collate "default",
	case when c.suspended then 2 else 0 end
		+ case c.oversize when 'reject' then 16 when 'defer' then 32 else 0 end
		+ case c.when_primary_up when 'accept' then 64 when 'defer' then 128 else 0 end
		+ case c.mx_check when true then 256 when false then 512 else 0 end
		+ case c.refused when 'judge' then 1024 when 'keep' then 2048 else 0 end,
	c.size_limit, extract(epoch from c.retention)::integer, c.quota_messages, c.quota_bytes, null::text, null::text, null::text,
	null::bigint, null::text, null::text, null::text
from mxhold.customer c
union all
select 'domain'::text collate "C", d.name, true, d.customer,
	case when d.narrowed then (select string_agg(r.region, ' ' order by r.region) from mxhold.domain_region r
		where r.domain = d.name) else '' end::text collate "default",
	case when d.include_subdomains then 1 else 0 end
		+ case when d.suspended then 2 else 0 end
		+ case when d.next_hops is null or d.permitted then 0 else 4 end
		+ case when d.tls_required then 8 else 0 end
		+ case d.oversize when 'reject' then 16 when 'defer' then 32 else 0 end
		+ case d.when_primary_up when 'accept' then 64 when 'defer' then 128 else 0 end
		+ case d.mx_check when true then 256 when false then 512 else 0 end
		+ case d.refused when 'judge' then 1024 when 'keep' then 2048 else 0 end,
	d.size_limit, extract(epoch from d.retention)::integer, d.quota_messages, d.quota_bytes,
	case when d.permitted then d.next_hops end, null::text, null::text,
	mxhold.feed_time(d.hold_until), d.hold_reason, d.pin_certificate, d.pin_banner
from (
	select t.*,
		exists (select from mxhold.domain_region r where r.domain = t.name) as narrowed,
		case when t.next_hops is null then false else exists (
				select from mxhold.customer_region c where c.customer = t.customer
				and c.region = (select own.region from mxhold.relay own where own.login = session_user))
			and (not exists (select from mxhold.domain_region r where r.domain = t.name)
				or exists (select from mxhold.domain_region r where r.domain = t.name
					and r.region = (select own.region from mxhold.relay own where own.login = session_user)))
		end as permitted
	from mxhold.domain t
) d;
comment on view mxhold.feed_now is 'Every key of the feed as it is now (docs/feed.md), as the login that asks may see it';
comment on column mxhold.feed_now.kind is 'relay, customer or domain';
comment on column mxhold.feed_now.key is 'Its name';
comment on column mxhold.feed_now.present is 'Always true here';
comment on column mxhold.feed_now.customer is 'domain: whose';
comment on column mxhold.feed_now.regions is 'Blank-separated: where mail may be held; domain: narrowing; relay: its region';
comment on column mxhold.feed_now.flags is '1 include_subdomains, 2 suspended, 4 next hops withheld, 8 TLS required, 16/32 oversize reject/defer, 64/128 when_primary_up accept/defer, 256/512 MX check on/off, 1024/2048 refused judge/keep';
comment on column mxhold.feed_now.size_limit is 'Bytes; null: inherit';
comment on column mxhold.feed_now.retention is 'Seconds; null: inherit';
comment on column mxhold.feed_now.quota_messages is 'Null: inherit';
comment on column mxhold.feed_now.quota_bytes is 'Null: inherit';
comment on column mxhold.feed_now.next_hops is 'Told only to relays of a region in which the domain is permitted';
comment on column mxhold.feed_now.names is 'relay: published names, blank-separated';
comment on column mxhold.feed_now.addresses is 'relay: published addresses, blank-separated';
comment on column mxhold.feed_now.hold_until is 'domain: a declared maintenance, seconds since 1970; the largest bigint: until it is changed; null: none';
comment on column mxhold.feed_now.hold_reason is 'domain: why';
comment on column mxhold.feed_now.pin_certificate is 'domain: SHA-256 of the primary''s public key in hex; null: not pinned';
comment on column mxhold.feed_now.pin_banner is 'domain: what its banner begins with; null: not pinned';

create function mxhold.feed_full(kind text) returns setof mxhold.feed_row
language sql stable
as $$
	select * from mxhold.feed_now f where f.kind = $1 order by f.key;
$$;
comment on function mxhold.feed_full(text) is 'All keys of a kind (relay, customer, domain), by name. Inlined by the planner, which drops the other kinds, so that it streams';

-- What a version changed, in this order: 1 relays, 2 relays that are gone or renamed, 3 customers, 4 customers that are gone,
-- renamed, or have other regions, 5 domains, 6 domains that are gone, renamed or narrowed, 7 domains with next hops of the
-- customers of 4 (they may be told now, or be withheld). A row's place within its version is its step, in step 7 its customer,
-- and its key; a key may have several. Each step is read from an index from behind the place where the reader left off, and
-- no further than he asked, row by row (OFFSET 0), whatever the statistics say: a few changes among 10 million rows must cost
-- little also on the morning after a bulk load, and a part of a million no more than a part. That is why `tx` is never said to
-- equal the transaction: rows compared as pairs, and ordered by pairs, can only be read from the index of these pairs.
create function mxhold.feed_since(since bigint, until bigint default 9223372036854775807, at_step integer default 0,
	at_customer text default '', at_key text default '', each integer default null, most integer default null)
returns table (kind text, key text, present boolean, customer text, regions text, flags integer, size_limit bigint,
	retention integer, quota_messages bigint, quota_bytes bigint, next_hops text, names text, addresses text,
	hold_until bigint, hold_reason text, pin_certificate text, pin_banner text, version bigint, step integer)
language plpgsql stable security definer rows 1000
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set max_parallel_workers_per_gather = 0
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
	-- Behind which key a step goes on: '' from its beginning; null: it is over.
	behind constant text[] := array(
		select case when s < at_step then null when s = at_step then at_key else '' end from generate_series(1, 7) s order by s);
begin
	if since < (select m.floor from mxhold.feed_meta m) then
		raise exception 'the feed no longer tells changes since version %', since
			using errcode = 'object_not_in_prerequisite_state', hint = 'Read it in full: mxhold.feed_full.';
	end if;
	return query
	select k.kind, k.key, k.present, k.customer, k.regions, k.flags, k.size_limit, k.retention, k.quota_messages, k.quota_bytes,
		k.next_hops, k.names, k.addresses, k.hold_until, k.hold_reason, k.pin_certificate, k.pin_banner, c.version, k.step
	from (select l.tx, l.version from mxhold.commit_log l where l.version > since and l.version <= until
		order by l.version offset 0) c
	cross join lateral (
		select * from (
			select f.*, 1 as step, '' as via
			from (select w.name from mxhold.relay w
				where (w.tx, w.name) > (c.tx, behind[1]) and w.tx <= c.tx order by w.tx, w.name limit each) k
			cross join lateral (select n.* from mxhold.feed_now n where n.kind = 'relay' and n.key = k.name offset 0) f
			union all
			select f.*, 3, ''
			from (select w.name from mxhold.customer w
				where (w.tx, w.name) > (c.tx, behind[3]) and w.tx <= c.tx order by w.tx, w.name limit each) k
			cross join lateral (select n.* from mxhold.feed_now n where n.kind = 'customer' and n.key = k.name offset 0) f
			union all
			select f.*, 5, ''
			from (select w.name from mxhold.domain w
				where (w.tx, w.name) > (c.tx, behind[5]) and w.tx <= c.tx order by w.tx, w.name limit each) k
			cross join lateral (select n.* from mxhold.feed_now n where n.kind = 'domain' and n.key = k.name offset 0) f
			union all
			select u.kind, u.key, n.present is not null, n.customer, n.regions, n.flags, n.size_limit, n.retention,
				n.quota_messages, n.quota_bytes, n.next_hops, n.names, n.addresses, n.hold_until, n.hold_reason,
				n.pin_certificate, n.pin_banner, u.step, u.via
			from (
				(select w.kind, w.key, s.step, '' as via
					from (values ('relay', 2), ('customer', 4), ('domain', 6)) s (kind, step)
					cross join lateral (select t.kind, t.key from mxhold.touched t
						where (t.tx, t.kind, t.key) > (c.tx, s.kind, behind[s.step]) and (t.tx, t.kind) <= (c.tx, s.kind)
						order by t.tx, t.kind, t.key limit each) w)
				union all
				(select 'domain', d.name, 7, t.key
					from (select w.key from mxhold.touched w
						where (w.tx, w.kind, w.key) >= (c.tx, 'customer', case at_step when 7 then at_customer else '' end)
							and (w.tx, w.kind) <= (c.tx, 'customer')
						order by w.tx, w.kind, w.key offset 0) t
					cross join lateral (select w.name from mxhold.domain w
						where w.customer = t.key and w.next_hops is not null
						and w.name > case when t.key = at_customer then behind[7] else '' end order by w.name limit each) d
					order by t.key, d.name limit each)
			) u left join lateral (select f.* from mxhold.feed_now f where f.kind = u.kind and f.key = u.key offset 0) n on true
		) a order by a.step, a.via, a.key limit each
	) k
	limit most;
end
$$;
comment on function mxhold.feed_since(bigint, bigint, integer, text, text, integer, integer) is 'Present state of the keys that the versions after one, up to another, changed: at most `each` of a version, and `most` of all, in the order of versions, steps, customers (step 7) and keys; a version is told from behind a row''s place';

-- Who lost his snapshot also lost what was retired in it, and may hold mail for it.
create function mxhold.feed_gone() returns setof mxhold.feed_row
language sql stable security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
	select 'domain'::text collate "C", g.name, false, g.customer, ''::text,
		case when g.include_subdomains then 1 else 0 end
			+ case when g.next_hops is null or g.permitted then 0 else 4 end
			+ case when g.tls_required then 8 else 0 end
			+ case g.refused when 'judge' then 1024 when 'keep' then 2048 else 0 end,
		null::bigint, null::integer, null::bigint, null::bigint, case when g.permitted then g.next_hops end,
		null::text, null::text, mxhold.feed_time(g.hold_until), g.hold_reason, g.pin_certificate, g.pin_banner
	from (
		select t.*, coalesce(own.region = any(t.regions), false) as permitted
		from mxhold.tombstone t left join mxhold.relay own on own.login = session_user
		where not exists (select from mxhold.domain d where d.name = t.name)
	) g order by g.name;
$$;
comment on function mxhold.feed_gone() is 'Domains that were deleted or renamed within the last 30 days, by name, as they were last, as rows that are not present';

create function mxhold.feed_state(applied_version bigint, applied_stamp text)
returns table (epoch text, version bigint, stamp text, floor bigint, same_history boolean, relay text, region text,
	empty boolean, confirmation bigint, read_only boolean, server_time timestamptz)
language sql stable security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
	select e.epoch, coalesce(last.version, 0), coalesce(last.stamp, ''), m.floor,
		coalesce(applied_version, 0) = 0 or applied_version < m.floor or exists (
			select from mxhold.commit_log c where c.version = applied_version and c.stamp = applied_stamp),
		own.name, own.region,
		not exists (select from mxhold.domain),
		coalesce((select max(f.id) from mxhold.feed_confirmation f where f.epoch = e.epoch), 0),
		pg_is_in_recovery(), clock_timestamp()
	from mxhold.feed_meta m
	cross join (select mxhold.epoch() as epoch) e
	left join (select c.version, c.stamp from mxhold.commit_log c where c.version is not null
		order by c.version desc limit 1) last on true
	left join mxhold.relay own on own.login = session_user;
$$;
comment on function mxhold.feed_state(bigint, text) is 'One row: what a reader must know before it reads; see docs/feed.md';

-- --- confirmation ------------------------------------------------------------------------------------------------

create table mxhold.relay_heartbeat (
	relay    text collate "C" not null,
	epoch    text             not null,
	version  bigint           not null,
	state    text             not null,
	detail   text             not null,
	domains  bigint           not null,
	software text             not null,
	unusable text[]           not null,
	at       timestamptz      not null,
	constraint relay_heartbeat_pkey primary key (relay),
	constraint relay_heartbeat_relay_fkey foreign key (relay) references mxhold.relay (name)
		on update cascade on delete cascade,
	constraint relay_heartbeat_state_value check (state in ('ok', 'held')),
	constraint relay_heartbeat_sizes check (octet_length(epoch) <= 64 and octet_length(detail) <= 1000
		and octet_length(software) <= 100 and version >= 0 and domains >= 0),
	constraint relay_heartbeat_unusable_sizes check (cardinality(unusable) <= 100
		and array_position(unusable, null) is null and octet_length(array_to_string(unusable, '')) <= 50000)
) with (fillfactor = 50);
comment on table mxhold.relay_heartbeat is 'What each relay says it has applied; written through mxhold.heartbeat only';
comment on column mxhold.relay_heartbeat.relay is 'Which relay';
comment on column mxhold.relay_heartbeat.epoch is 'Of the authority that it follows';
comment on column mxhold.relay_heartbeat.version is 'Applied: its snapshot holds everything up to here';
comment on column mxhold.relay_heartbeat.state is 'ok, or held: it holds back a feed that it does not trust';
comment on column mxhold.relay_heartbeat.detail is 'Why it is held; when ok: what it cannot use, or empty';
comment on column mxhold.relay_heartbeat.domains is 'Domains in its snapshot';
comment on column mxhold.relay_heartbeat.software is 'Program and version';
comment on column mxhold.relay_heartbeat.unusable is 'Rows of the feed that it cannot use, the first 100: kind, key, a colon, and why';
comment on column mxhold.relay_heartbeat.at is 'When it said so';

create function mxhold.own_relay() returns text
language plpgsql stable
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	own text;
begin
	select r.name into own from mxhold.relay r where r.login = session_user;
	if own is null then
		raise exception 'no relay has the login %', session_user
			using errcode = 'insufficient_privilege', hint = 'mxhold.relay needs a row with this login.';
	end if;
	return own;
end
$$;
comment on function mxhold.own_relay() is 'The relay whose login asks; there must be one';

create function mxhold.heartbeat(epoch text, version bigint, state text, detail text, domains bigint, software text,
	unusable text[] default '{}')
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	own text := mxhold.own_relay();
begin
	insert into mxhold.relay_heartbeat as h values (own, $1, $2, $3, $4, $5, $6, $7, clock_timestamp())
	on conflict (relay) do update set epoch = excluded.epoch, version = excluded.version, state = excluded.state,
		detail = excluded.detail, domains = excluded.domains, software = excluded.software, unusable = excluded.unusable,
		at = excluded.at;
end
$$;
comment on function mxhold.heartbeat(text, bigint, text, text, bigint, text, text[]) is 'A relay says what it has applied; always for the relay of session_user';

-- --- upkeep --------------------------------------------------------------------------------------------------------

-- The newest of the old versions stays: it becomes the floor, and its stamp can still be compared.
create function mxhold.feed_prune(age interval) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
declare
	lowest bigint;
begin
	perform from mxhold.feed_meta for update;
	delete from mxhold.tombstone t where t.removed_at < now() - age;
	select max(c.version) into lowest from mxhold.commit_log c where c.at < now() - age;
	if lowest is null then
		return (select m.floor from mxhold.feed_meta m);
	end if;
	update mxhold.feed_meta m set floor = greatest(m.floor, lowest);
	delete from mxhold.touched t using mxhold.commit_log c where c.tx = t.tx and c.version <= lowest;
	delete from mxhold.commit_log c where c.version < lowest;
	return (select m.floor from mxhold.feed_meta m);
end
$$;
comment on function mxhold.feed_prune(interval) is 'Forgets changes and tombstones older than an age; returns the floor: a reader below it must read in full';

create function mxhold.feed_maintain() returns bigint
language sql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
	select mxhold.feed_prune(interval '30 days');
$$;
comment on function mxhold.feed_maintain() is 'Daily upkeep, by whichever relay comes first: forgets changes older than 30 days';

insert into mxhold.migration (name) values ('003-feed');

commit;
