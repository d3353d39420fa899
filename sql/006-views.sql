-- 006-views: what the SOC reads: is this domain backed up, and are the relays well?
--
-- In: the tables, the relays' heartbeats and what they tell of their queues. Out: domain_status and relay_status, with a colour and its reason in words.
-- A look at one domain costs a few index lookups, however many domains there are.

begin;
set local role mxhold_owner;

create view mxhold.relay_status as
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
comment on view mxhold.relay_status is 'Each relay: what it has applied, how far it is behind, when it was last heard';
comment on column mxhold.relay_status.relay is 'Which relay';
comment on column mxhold.relay_status.region is 'Where it stands';
comment on column mxhold.relay_status.names is 'Its published names';
comment on column mxhold.relay_status.state is 'green: well and up to date; yellow: behind, it cannot use some rows, or its mxhold-queued is silent; red: silent for a minute, holding back, or following another database';
comment on column mxhold.relay_status.reason is 'Why';
comment on column mxhold.relay_status.applied is 'Version that it has applied; null: never heard';
comment on column mxhold.relay_status.newest is 'Newest version of the authority';
comment on column mxhold.relay_status.behind is 'Versions between';
comment on column mxhold.relay_status.lag is 'Age of the oldest change that it has not applied';
comment on column mxhold.relay_status.last_seen is 'Last heartbeat';
comment on column mxhold.relay_status.domains is 'Domains in its snapshot';
comment on column mxhold.relay_status.software is 'Program and version';

create view mxhold.domain_status as
select d.name as domain, d.customer, v.state, v.reason || case when d.hold_until > clock_timestamp() then '; mail waits '
	|| case d.hold_until when 'infinity' then 'until this is changed' else 'until ' || d.hold_until end
	|| coalesce(' (' || d.hold_reason || ')', '') else '' end as reason, p.regions, q.confirmed, q.waiting,
	case when cardinality(q.published) > 0 then array['10 <your server>']
		|| (select array_agg('20 ' || u.name || '.' order by u.name) from unnest(q.published) u (name))
		|| array['30 <your server>'] else '{}' end as mx_records, d.hold_until, d.hold_reason
from mxhold.domain d
join mxhold.customer c on c.name = d.customer
cross join lateral (
	select coalesce(array_agg(r.region order by r.region), '{}') as regions from mxhold.customer_region r
	where r.customer = d.customer and (not exists (select from mxhold.domain_region n where n.domain = d.name)
		or exists (select from mxhold.domain_region n where n.domain = d.name and n.region = r.region))
) p
cross join lateral (
	-- The version of the last change that matters to this domain; what was pruned is long applied; what is not yet
	-- committed has none.
	select coalesce(max(coalesce(l.version, 9223372036854775807)), 0) as version from mxhold.commit_log l
	where l.tx in (select d.tx union all select c.tx
		union all select t.tx from mxhold.touched t where t.kind = 'domain' and t.key = d.name
		union all select t.tx from mxhold.touched t where t.kind = 'customer' and t.key = d.customer)
) w
cross join lateral (
	select coalesce(array_agg(f.relay order by f.relay) filter (where f.has), '{}') as confirmed,
		coalesce(array_agg(f.relay order by f.relay) filter (where not f.has), '{}') as waiting,
		coalesce(array_agg(f.relay order by f.relay) filter (where f.has and f.state = 'red'), '{}') as ill,
		(array_agg('relay ' || f.relay || ' cannot use ' || f.unusable order by f.relay)
			filter (where f.unusable is not null))[1] as unusable,
		array(select distinct u.name from mxhold.relay r, unnest(r.names) u (name) where r.region = any (p.regions))
			as published,
		array(select u.region from unnest(p.regions) u (region)
			where not exists (select from mxhold.relay r where r.region = u.region)) as empty_regions
	from (
		select s.relay, s.state, a.up_to_date and u.entry is null as has,
			case when a.up_to_date then u.entry end as unusable
		from mxhold.relay_status s
		cross join (select mxhold.epoch() as epoch) e
		left join mxhold.relay_heartbeat h on h.relay = s.relay
		cross join lateral (
			select s.applied is not null and s.applied >= w.version and h.epoch = e.epoch as up_to_date
		) a
		left join lateral (
			select n.entry from unnest(h.unusable) n (entry)
			where starts_with(n.entry, 'domain ' || d.name || ': ')
				or starts_with(n.entry, 'customer ' || d.customer || ': ')
			order by n.entry desc limit 1
		) u on true
		where s.region = any (p.regions)
	) f
) q
cross join lateral (
	select case
		when c.suspended then 'red' when d.suspended then 'red'
		when cardinality(p.regions) = 0 then 'red'
		when cardinality(q.published) = 0 then 'red'
		when cardinality(q.confirmed) = 0 then 'red'
		when cardinality(q.confirmed) = cardinality(q.ill) then 'red'
		when cardinality(q.waiting) + cardinality(q.ill) + cardinality(q.empty_regions) > 0 then 'yellow'
		else 'green' end as state,
	case
		when c.suspended then 'customer ' || c.name || ' is suspended: relays defer its mail'
		when d.suspended then 'the domain is suspended: relays defer its mail'
		when cardinality(p.regions) = 0 and not exists (
			select from mxhold.customer_region r where r.customer = d.customer)
			then 'customer ' || c.name || ' has no region'
		when cardinality(p.regions) = 0 then 'domain_region leaves no region of those that the customer permits'
		when cardinality(q.published) = 0 then 'no relay stands in ' || array_to_string(p.regions, ', ')
		when q.unusable is not null then q.unusable
		when cardinality(q.confirmed) = 0 then 'no relay has it yet: ' || array_to_string(q.waiting, ', ')
		when cardinality(q.confirmed) = cardinality(q.ill)
			then 'no relay that has it is well (see relay_status): ' || array_to_string(q.ill, ', ')
		when cardinality(q.waiting) > 0 then 'not yet on ' || array_to_string(q.waiting, ', ')
		when cardinality(q.ill) > 0 then 'not well (see relay_status): ' || array_to_string(q.ill, ', ')
		when cardinality(q.empty_regions) > 0 then 'no relay stands in ' || array_to_string(q.empty_regions, ', ')
		else 'on all relays of ' || array_to_string(p.regions, ', ') end as reason
) v;
comment on view mxhold.domain_status is 'Is this domain backed up? Ask it with where domain = ''...''';
comment on column mxhold.domain_status.domain is 'Name of the domain';
comment on column mxhold.domain_status.customer is 'Whose';
comment on column mxhold.domain_status.state is 'green: on all its relays; yellow: on some; red: on none, suspended, or without a region';
comment on column mxhold.domain_status.reason is 'Why, in words';
comment on column mxhold.domain_status.regions is 'Where its mail may be held';
comment on column mxhold.domain_status.confirmed is 'Relays of these regions that have applied its last change';
comment on column mxhold.domain_status.waiting is 'Relays of these regions that have not (yet), or cannot use it';
comment on column mxhold.domain_status.hold_until is 'A declared maintenance: mail is taken and waits until then';
comment on column mxhold.domain_status.hold_reason is 'Why';
comment on column mxhold.domain_status.mx_records is 'MX records for the customer: his server first and last, the relays of his regions between at one preference';

-- --- acts on many rows ------------------------------------------------------------------------------------------

create function mxhold.customer_set_regions(customer text, regions text[]) returns void
language sql volatile
set search_path = pg_catalog, mxhold, pg_temp
as $$
	delete from mxhold.customer_region r where r.customer = $1 and r.region <> all ($2);
	insert into mxhold.customer_region (customer, region) select distinct $1, u.region from unnest($2) u (region)
	on conflict do nothing;
$$;
comment on function mxhold.customer_set_regions(text, text[]) is 'Permits exactly these regions to a customer: select mxhold.customer_set_regions(''acme'', ''{europe,asia}'')';

insert into mxhold.migration (name) values ('006-views');

commit;
