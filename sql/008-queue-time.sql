-- 008-queue-time: what relays hold is as of when the one who counts it, mxhold-queued, was there last; and relay_status says
-- when he is silent. Before, it was as of when mxhold-sync told it, whoever was there.

begin;
set local role mxhold_owner;

-- Another parameter is another function; a relay that says no age goes on as before.
drop function mxhold.queue_report(jsonb, boolean, text, text);
create function mxhold.queue_report(rows jsonb, whole boolean default false, behind text default '', up_to text default null,
	age bigint default 0)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
declare
	own text;
begin
	select r.name into own from mxhold.relay r where r.login = session_user;
	if own is null then
		raise exception 'no relay has the login %', session_user
			using errcode = 'insufficient_privilege', hint = 'mxhold.relay needs a row with this login.';
	end if;
	delete from mxhold.queue q
	where q.relay = own and q.domain in (
		select t.value ->> 'domain' from jsonb_array_elements(rows) t where not t.value ? 'messages');
	if whole then
		delete from mxhold.queue q
		where q.relay = own and q.domain > behind collate "C" and (up_to is null or q.domain <= up_to collate "C")
			and q.domain not in (select t.value ->> 'domain' from jsonb_array_elements(rows) t where t.value ? 'domain');
	end if;
	insert into mxhold.queue as q (domain, relay, messages, bytes, oldest_at, primary_state, primary_since, primary_code, hold,
		hold_until, updated_at)
	select distinct on (t.domain) t.domain, own, t.messages, t.bytes, mxhold.queue_time(t.oldest), t."primary",
		mxhold.queue_time(t.since), nullif(t.code, 0), t.hold, mxhold.queue_time(t.until), clock_timestamp()
	from jsonb_to_recordset(rows) t (domain text, messages bigint, bytes bigint, oldest bigint, "primary" text, since bigint,
		code integer, hold text, until bigint)
	where t.messages is not null
	order by t.domain
	on conflict (domain, relay) do update set messages = excluded.messages, bytes = excluded.bytes,
		oldest_at = excluded.oldest_at, primary_state = excluded.primary_state, primary_since = excluded.primary_since,
		primary_code = excluded.primary_code, hold = excluded.hold, hold_until = excluded.hold_until,
		updated_at = excluded.updated_at
	where (q.messages, q.bytes, q.oldest_at, q.primary_state, q.primary_since, q.primary_code, q.hold, q.hold_until)
		is distinct from (excluded.messages, excluded.bytes, excluded.oldest_at, excluded.primary_state, excluded.primary_since,
			excluded.primary_code, excluded.hold, excluded.hold_until);
	insert into mxhold.queue_told as t values (own, clock_timestamp() - make_interval(secs => greatest(age, 0)))
	on conflict (relay) do update set told_at = excluded.told_at;
end
$$;
comment on function mxhold.queue_report(jsonb, boolean, text, text, bigint) is 'A relay tells what it holds (docs/feed.md); always for the relay of session_user. A row without "messages" is gone; whole: so is every domain behind one name, up to another (null: the last), that is not named; age: so many seconds ago it was true';
comment on table mxhold.queue_told is 'As of when each relay last told of its queue: it does several times a minute, also when nothing has changed, while its mxhold-queued is there';
comment on column mxhold.queue_told.told_at is 'Its rows in mxhold.queue are as of this time: mxhold-queued was there';
comment on column mxhold.held.told_at is 'As of when: the oldest figures of these relays';

create or replace view mxhold.relay_status as
select r.name as relay, r.region, r.names, s.state, s.reason, h.version as applied, now.version as newest,
	greatest(now.version - h.version, 0) as behind,
	case when h.version >= now.version then interval '0' else clock_timestamp() - (
		select min(c.at) from mxhold.commit_log c where c.version > h.version) end as lag,
	h.at as last_seen, h.domains, h.software
from mxhold.relay r
cross join (select mxhold.epoch() as epoch, mxhold.version() as version) now
left join mxhold.relay_heartbeat h on h.relay = r.name
left join mxhold.queue_told t on t.relay = r.name
cross join lateral (
	select case
		when h.relay is null then 'red'
		when h.at < clock_timestamp() - interval '1 minute' then 'red'
		when h.epoch <> now.epoch then 'red'
		when h.state = 'held' then 'red'
		when t.told_at < clock_timestamp() - interval '90 seconds' then 'yellow'
		when h.version < now.version then 'yellow'
		when cardinality(h.unusable) > 0 then 'yellow'
		else 'green' end as state,
	case
		when h.relay is null then 'was never heard'
		when h.at < clock_timestamp() - interval '1 minute' then 'was last heard at ' || date_trunc('second', h.at)
		when h.epoch <> now.epoch then 'follows another database (epoch ' || h.epoch || ')'
		when h.state = 'held' then 'holds back: ' || h.detail
		when t.told_at < clock_timestamp() - interval '90 seconds'
			then 'its mxhold-queued is silent: what it holds is known as of ' || date_trunc('second', t.told_at)
		when h.version < now.version then 'is behind'
		when cardinality(h.unusable) > 0 then h.detail || ', such as ' || h.unusable[1]
		else 'has everything' end as reason
) s;
comment on column mxhold.relay_status.state is 'green: well and up to date; yellow: behind, it cannot use some rows, or its mxhold-queued is silent; red: silent for a minute, holding back, or following another database';

grant execute on function mxhold.queue_report(jsonb, boolean, text, text, bigint) to mxhold_relay;

insert into mxhold.migration (name) values ('008-queue-time');

commit;
