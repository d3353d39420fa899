-- 005-queue: what the relays hold at present, for the SOC.
--
-- In: each relay's report of its own queue, by domain: how much, since when, and how the primary is. Out: the view `held`, over
-- all relays. Figures, states and codes only: no address of a person and no word of a primary leaves its region (those
-- are in the regional journal).

begin;
set local role mxhold_owner;

create table mxhold.queue (
	domain        text collate "C" not null,
	relay         text collate "C" not null,
	messages      bigint           not null,
	bytes         bigint           not null,
	oldest_at     timestamptz,
	primary_state text             not null,
	primary_since timestamptz,
	primary_code  integer,
	hold          text,
	hold_until    timestamptz,
	updated_at    timestamptz      not null,
	constraint queue_pkey primary key (domain, relay),
	constraint queue_relay_fkey foreign key (relay) references mxhold.relay (name) on update cascade on delete cascade,
	constraint queue_domain_form check (octet_length(domain) between 1 and 253),
	constraint queue_counts_range check (messages >= 0 and bytes >= 0),
	constraint queue_primary_state_value check (primary_state in ('unknown', 'up', 'down', 'busy', 'broken', 'wrong-host')),
	constraint queue_primary_code_range check (primary_code between 100 and 999),
	constraint queue_hold_value check (hold in ('operator', 'breaker', 'wrong-host'))
) with (fillfactor = 50);
create index queue_relay_idx on mxhold.queue (relay, domain);
comment on table mxhold.queue is 'What each relay holds for each domain of recipients; a domain without held mail, hold or ill primary has no row. Written through mxhold.queue_report only';
comment on column mxhold.queue.domain is 'Domain of the recipients (a name below a domain with include_subdomains has a row of its own)';
comment on column mxhold.queue.relay is 'Which relay';
comment on column mxhold.queue.messages is 'Messages that are held now';
comment on column mxhold.queue.bytes is 'Their size';
comment on column mxhold.queue.oldest_at is 'When the oldest of them was accepted; null: there is none';
comment on column mxhold.queue.primary_state is 'The customer''s server as this relay sees it: up, down, busy (answers 4xx), broken (answers 5xx), wrong-host (not the pinned one), unknown';
comment on column mxhold.queue.primary_since is 'Since when it is in this state';
comment on column mxhold.queue.primary_code is 'Its last SMTP reply code; null: none';
comment on column mxhold.queue.hold is 'The relay holds the mail back: operator (of the relay), breaker (refusals surged), wrong-host; null: it does not. Holds by mxhold.domain.hold_until are not told here';
comment on column mxhold.queue.hold_until is 'Until when; infinity: until released';
comment on column mxhold.queue.updated_at is 'When the relay last told a change of this row';

create table mxhold.queue_told (
	relay   text collate "C" not null,
	told_at timestamptz      not null,
	constraint queue_told_pkey primary key (relay),
	constraint queue_told_relay_fkey foreign key (relay) references mxhold.relay (name) on update cascade on delete cascade
) with (fillfactor = 50);
comment on table mxhold.queue_told is 'As of when each relay last told of its queue: it does several times a minute, also when nothing has changed, while its mxhold-queued is there';
comment on column mxhold.queue_told.relay is 'Which relay';
comment on column mxhold.queue_told.told_at is 'Its rows in mxhold.queue are as of this time: mxhold-queued was there';

-- A seconds-since-1970 of the report: 0 is none, the largest bigint is for ever.
create function mxhold.queue_time(seconds bigint) returns timestamptz
language sql immutable parallel safe
return case when seconds = 9223372036854775807 then 'infinity'::timestamptz
	when seconds between 1 and 253402300799 then to_timestamp(seconds) end;
comment on function mxhold.queue_time(bigint) is 'Time of a number of seconds since 1970; null for none, infinity for the largest bigint';

create function mxhold.queue_report(rows jsonb, whole boolean default false, behind text default '', up_to text default null,
	age bigint default 0)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold, pg_temp
set jit = off
as $$
declare
	own text := mxhold.own_relay();
begin
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

create view mxhold.held as
select h.domain, o.customer, h.messages, h.bytes, h.oldest_at,
	date_trunc('second', clock_timestamp() - h.oldest_at) as oldest_age, h.primary_state, h.primary_since,
	case when o.hold_until > clock_timestamp() then 'maintenance' else h.hold end as hold,
	case when o.hold_until > clock_timestamp() then o.hold_until else h.hold_until end as hold_until,
	h.relays, h.told_at
from (
	select q.domain, sum(q.messages)::bigint as messages, sum(q.bytes)::bigint as bytes, min(q.oldest_at) as oldest_at,
		string_agg(distinct q.primary_state, ', ' order by q.primary_state) as primary_state,
		min(q.primary_since) as primary_since, string_agg(distinct q.hold, ', ' order by q.hold) as hold,
		max(q.hold_until) as hold_until,
		array_agg(q.relay || ': ' || q.messages || case when q.primary_code is null then '' else ' (' || q.primary_code || ')' end
			order by q.relay) as relays, min(t.told_at) as told_at
	from mxhold.queue q left join mxhold.queue_told t on t.relay = q.relay
	group by q.domain
) h left join lateral (
	select d.customer, d.hold_until
	from unnest(h.domain || mxhold.parents(h.domain)) with ordinality p (name, n)
	cross join lateral (select w.customer, w.hold_until from mxhold.domain w
		where w.name = p.name collate "C" and (p.n = 1 or w.include_subdomains) offset 0) d
	order by p.n limit 1
) o on true;
comment on view mxhold.held is 'What is held for which domain, over all relays: select * from mxhold.held order by oldest_at';
comment on column mxhold.held.domain is 'Domain of the recipients';
comment on column mxhold.held.customer is 'Whose domain it is, or lies below; null: nobody''s any more';
comment on column mxhold.held.messages is 'Messages that are held now';
comment on column mxhold.held.bytes is 'Their size';
comment on column mxhold.held.oldest_at is 'When the oldest of them was accepted';
comment on column mxhold.held.oldest_age is 'How long ago that is';
comment on column mxhold.held.primary_state is 'The customer''s server: up, down, busy, broken, wrong-host, unknown; several where relays see it differently';
comment on column mxhold.held.primary_since is 'Since when, by the relay that saw it first';
comment on column mxhold.held.hold is 'maintenance (mxhold.domain.hold_until), or what relays hold it back by; null: nothing but the primary''s state';
comment on column mxhold.held.hold_until is 'Until when';
comment on column mxhold.held.relays is 'Where: each relay with its number of messages, and the primary''s last reply code';
comment on column mxhold.held.told_at is 'As of when: the oldest figures of these relays';

insert into mxhold.migration (name) values ('005-queue');

commit;
