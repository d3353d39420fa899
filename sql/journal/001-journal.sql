-- 001-journal: the journal of one region: what became of every message, recipient by recipient.
--
-- In: what the region's relays ship (mxhold_journal.take), again and again if need be: a row that comes twice changes nothing, and an
-- earlier image never replaces a later one. Out: plain tables for the region's SOC, and notices of alerts. Addresses and
-- the words of primaries are in here, so it stands in the region, in a database of its own; the authority knows nothing of it.

begin;

do $$
declare
	role text;
begin
	foreach role in array array['mxhold_journal_owner', 'mxhold_journal_relay', 'mxhold_journal_reader'] loop
		if not exists (select from pg_catalog.pg_roles where rolname = role) then
			execute pg_catalog.format('create role %I nologin', role);
		end if;
	end loop;
	if not pg_catalog.pg_has_role(current_user, 'mxhold_journal_owner', 'member') then
		execute pg_catalog.format('grant mxhold_journal_owner to %I', current_user);
	end if;
end
$$;

create schema mxhold_journal authorization mxhold_journal_owner;
set local role mxhold_journal_owner;
-- A function is nobody's but the owner's until it is granted.
alter default privileges for role mxhold_journal_owner revoke execute on functions from public;

comment on schema mxhold_journal is 'mxhold: what became of every message that relays of this region took';

create table mxhold_journal.migration (
	name       text        not null,
	checksum   text,
	applied_at timestamptz not null default now(),
	applied_by text        not null default session_user,
	constraint migration_pkey primary key (name)
);
comment on table mxhold_journal.migration is 'Which numbered files of sql/journal/ this database has had';
comment on column mxhold_journal.migration.name is 'File name without .sql';
comment on column mxhold_journal.migration.checksum is 'SHA-256 of the file in hex; null when it was applied by plain psql';
comment on column mxhold_journal.migration.applied_at is 'When';
comment on column mxhold_journal.migration.applied_by is 'By which login';

-- Relays do not enter themselves: whoever looks after this database does.
create table mxhold_journal.relay (
	name           text collate "C" not null,
	region         text collate "C" not null,
	login          text collate "C" not null,
	retention_days integer,
	spool          text,
	seq            bigint           not null default 0,
	taken_at       timestamptz,
	constraint relay_pkey primary key (name),
	constraint relay_login_key unique (login),
	constraint relay_name_form check (name ~ '^[a-z0-9]([a-z0-9.-]{0,62})$'),
	constraint relay_region_form check (region ~ '^[a-z0-9-]{1,32}$'),
	constraint relay_login_form check (octet_length(login) between 1 and 63),
	constraint relay_retention_days_range check (retention_days between 1 and 3650),
	constraint relay_spool_form check (octet_length(spool) between 1 and 64),
	constraint relay_seq_range check (seq >= 0)
) with (fillfactor = 50);
comment on table mxhold_journal.relay is 'Relays that may write here: insert into mxhold_journal.relay (name, region, login) values (...)';
comment on column mxhold_journal.relay.name is 'Name of the relay, as in its mxhold.conf';
comment on column mxhold_journal.relay.region is 'Where it stands';
comment on column mxhold_journal.relay.login is 'Its login in this database, a member of mxhold_journal_relay';
comment on column mxhold_journal.relay.retention_days is 'How many days it wants to have kept (set by maintain); the longest of all relays counts';
comment on column mxhold_journal.relay.spool is 'Identity of the spool that it shipped from last (set by take)';
comment on column mxhold_journal.relay.seq is 'All rows of that spool up to this number have been taken; a copy of this database that was restored knows a lower one, and gets the rest again';
comment on column mxhold_journal.relay.taken_at is 'When it shipped last';

create table mxhold_journal.message (
	accepted_at    timestamptz      not null,
	relay          text collate "C" not null,
	queue_id       text collate "C" not null,
	recipient      text collate "C" not null,
	region         text collate "C" not null,
	domain         text collate "C" not null,
	sender         text             not null,
	client         text             not null,
	size           bigint           not null,
	first_attempt  timestamptz,
	last_attempt   timestamptz,
	attempts       bigint           not null,
	outcome        text             not null,
	outcome_at     timestamptz,
	outcome_by     text,
	primary_server text,
	code           text,
	reply          text,
	spool          text             not null,
	seq            bigint           not null,
	taken_at       timestamptz      not null,
	constraint message_pkey primary key (accepted_at, relay, queue_id, recipient),
	constraint message_outcome_value check (outcome in ('held', 'delivered', 'refused', 'expired', 'removed', 'unaccounted'))
) partition by range (accepted_at);
create index message_recipient_idx on mxhold_journal.message (lower(recipient), accepted_at);
create index message_sender_idx on mxhold_journal.message (lower(sender), accepted_at);
create index message_domain_idx on mxhold_journal.message (domain, accepted_at);
create index message_queue_id_idx on mxhold_journal.message (queue_id);
comment on table mxhold_journal.message is 'One row a recipient: when it was accepted, from whom, for whom, and what became of it. By day of acceptance (UTC)';
comment on column mxhold_journal.message.accepted_at is 'When the relay accepted it (it is part of the queue id)';
comment on column mxhold_journal.message.relay is 'Which relay';
comment on column mxhold_journal.message.queue_id is 'Postfix'' queue id there, as in its log';
comment on column mxhold_journal.message.recipient is 'For whom; an address of more than 439 bytes is cut, with a hash at its end';
comment on column mxhold_journal.message.region is 'Where it was held';
comment on column mxhold_journal.message.domain is 'Domain of the recipient in normal form';
comment on column mxhold_journal.message.sender is 'Envelope sender; empty: the null sender';
comment on column mxhold_journal.message.client is 'Address of the client that brought it; empty: not known';
comment on column mxhold_journal.message.size is 'Bytes';
comment on column mxhold_journal.message.first_attempt is 'First attempt to deliver it; null: none yet';
comment on column mxhold_journal.message.last_attempt is 'Last attempt';
comment on column mxhold_journal.message.attempts is 'How many; at least so many where the relay lost its spool meanwhile';
comment on column mxhold_journal.message.outcome is 'held (still there), delivered, refused (by the primary, for good), expired, removed (by an operator, or thrown away by Postfix), unaccounted (it left the queue, and no log line tells how)';
comment on column mxhold_journal.message.outcome_at is 'When; null while it is held';
comment on column mxhold_journal.message.outcome_by is 'removed: who did it';
comment on column mxhold_journal.message.primary_server is 'Host[address]:port of the last attempt';
comment on column mxhold_journal.message.code is 'Its last reply code, enhanced where there was one';
comment on column mxhold_journal.message.reply is 'Its last words';
comment on column mxhold_journal.message.spool is 'Spool that it came from';
comment on column mxhold_journal.message.seq is 'Number of this image there: later ones are higher';
comment on column mxhold_journal.message.taken_at is 'When this image was taken';

-- What no day within reason claims (a clock gone astray).
create table mxhold_journal.message_other partition of mxhold_journal.message default;
comment on table mxhold_journal.message_other is 'Messages whose time of acceptance is unknown, or far from now';

create table mxhold_journal.event (
	relay    text collate "C" not null,
	id       text collate "C" not null,
	at       timestamptz      not null,
	region   text collate "C" not null,
	event    text             not null,
	alert    text,
	domain   text collate "C",
	queue_id text collate "C",
	by       text,
	text     text,
	detail   jsonb            not null,
	taken_at timestamptz      not null,
	constraint event_pkey primary key (relay, id)
);
create index event_at_idx on mxhold_journal.event (at);
create index event_domain_idx on mxhold_journal.event (domain, at);
comment on table mxhold_journal.event is 'Alerts, their ends, and what operators did on the relays';
comment on column mxhold_journal.event.relay is 'Which relay';
comment on column mxhold_journal.event.id is 'Its own number for it';
comment on column mxhold_journal.event.at is 'When';
comment on column mxhold_journal.event.region is 'Where';
comment on column mxhold_journal.event.event is 'alert, or the act: hold, release, flush, drop, probe';
comment on column mxhold_journal.event.alert is 'Kind of the alert: outage, retention, breaker, wrong-host, quota, unaccounted, mx, spool, spool-damaged, log; null: no alert';
comment on column mxhold_journal.event.domain is 'Which domain; null: none';
comment on column mxhold_journal.event.queue_id is 'Which message; null: none';
comment on column mxhold_journal.event.by is 'Who did it; null: an alert';
comment on column mxhold_journal.event.text is 'In words';
comment on column mxhold_journal.event.detail is 'All that the relay told: level, since, ended, duration, until';
comment on column mxhold_journal.event.taken_at is 'When it came here';

-- --- who asks ------------------------------------------------------------------------------------------------------

create function mxhold_journal.own_relay() returns mxhold_journal.relay
language plpgsql stable security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
as $$
declare
	own mxhold_journal.relay;
begin
	select * into own from mxhold_journal.relay r where r.login = session_user;
	if own.name is null then
		raise exception 'no relay has the login %', session_user
			using errcode = 'insufficient_privilege', hint = 'mxhold_journal.relay needs a row with this login.';
	end if;
	return own;
end
$$;
comment on function mxhold_journal.own_relay() is 'The relay of session_user; an error where there is none';

create function mxhold_journal.taken(spool text) returns bigint
language sql stable security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
as $$
	select case when o.spool = $1 then o.seq else 0 end from mxhold_journal.own_relay() o;
$$;
comment on function mxhold_journal.taken(text) is 'Up to which number rows of this relay''s spool are here; 0: none of this spool';

-- --- partitions ----------------------------------------------------------------------------------------------------

create function mxhold_journal.day_name(day date) returns text
language sql immutable parallel safe
return 'message_' || to_char(day, 'YYYYMMDD');
comment on function mxhold_journal.day_name(date) is 'Name of the partition of a day';

-- Made aside and attached, which readers and writers of other days do not notice. Rows of that day which
-- message_other took before move along.
create function mxhold_journal.day_make(day date) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
set timezone = 'UTC'
as $$
declare
	part constant text := mxhold_journal.day_name(day);
	begins constant timestamptz := day;
	ends constant timestamptz := day + 1;
begin
	if to_regclass(format('mxhold_journal.%I', part)) is not null then
		return;
	end if;
	-- Two relays, one day: the second waits here, and sees the first one's.
	perform pg_advisory_xact_lock(hashtext('mxhold_journal'), hashtext('partition'));
	if to_regclass(format('mxhold_journal.%I', part)) is not null then
		return;
	end if;
	execute format('create table mxhold_journal.%I (like mxhold_journal.message including all) with (fillfactor = 80)', part);
	execute format('comment on table mxhold_journal.%I is %L', part, 'Messages accepted on ' || day);
	execute format('with moved as (delete from mxhold_journal.message_other where accepted_at >= %L and accepted_at < %L returning *)
		insert into mxhold_journal.%I select * from moved', begins, ends, part);
	execute format('alter table mxhold_journal.message attach partition mxhold_journal.%I for values from (%L) to (%L)', part,
		begins, ends);
end
$$;
comment on function mxhold_journal.day_make(date) is 'Makes the partition of a day where it is missing';

-- --- taking --------------------------------------------------------------------------------------------------------

-- Microseconds since 1970; 0 is none.
create function mxhold_journal.moment(microseconds bigint) returns timestamptz
language sql immutable parallel safe
return case when microseconds between 1 and 253402300799000000
	then timestamptz '1970-01-01 00:00:00+00' + microseconds * interval '1 microsecond' end;
comment on function mxhold_journal.moment(bigint) is 'Time of a number of microseconds since 1970; null for 0';

create function mxhold_journal.take_messages(own mxhold_journal.relay, rows jsonb, spool text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
set jit = off
set timezone = 'UTC'
as $$
declare
	day date;
begin
	for day in
		select distinct mxhold_journal.moment((t.value ->> 'accepted_at')::bigint)::date
		from jsonb_array_elements(rows) t where t.value ->> 'kind' = 'message'
	loop
		if day between current_date - 400 and current_date + 2 then
			perform mxhold_journal.day_make(day);
		end if;
	end loop;
	insert into mxhold_journal.message as m (accepted_at, relay, queue_id, recipient, region, domain, sender, client, size,
		first_attempt, last_attempt, attempts, outcome, outcome_at, outcome_by, primary_server, code, reply, spool, seq, taken_at)
	select distinct on (1, 3, 4) coalesce(mxhold_journal.moment(t.accepted_at), 'epoch'), own.name, t.queue_id, t.recipient,
		own.region, t.domain, t.sender, t.client, t.size, mxhold_journal.moment(t.first_attempt),
		mxhold_journal.moment(t.last_attempt), t.attempts, t.outcome, mxhold_journal.moment(t.outcome_at), nullif(t.by, ''),
		nullif(t."primary", ''), nullif(t.code, ''), nullif(t.reply, ''), $3, t.seq, clock_timestamp()
	from jsonb_to_recordset(rows) t (kind text, queue_id text, recipient text, domain text, sender text, client text, size bigint,
		accepted_at bigint, first_attempt bigint, last_attempt bigint, attempts bigint, outcome text, outcome_at bigint, by text,
		"primary" text, reply text, code text, seq bigint)
	where t.kind = 'message'
	order by 1, 3, 4, t.seq desc
	-- Who found a message in the queue without its first lines in the log (a spool made anew) knows no client, and no
	-- attempts of before: what is here stays.
	on conflict (accepted_at, relay, queue_id, recipient) do update set region = excluded.region, domain = excluded.domain,
		sender = coalesce(nullif(excluded.sender, ''), m.sender), client = coalesce(nullif(excluded.client, ''), m.client),
		size = excluded.size, first_attempt = least(m.first_attempt, excluded.first_attempt),
		last_attempt = greatest(m.last_attempt, excluded.last_attempt), attempts = greatest(m.attempts, excluded.attempts),
		outcome = excluded.outcome,
		outcome_at = excluded.outcome_at, outcome_by = excluded.outcome_by, primary_server = excluded.primary_server,
		code = excluded.code, reply = excluded.reply, spool = excluded.spool, seq = excluded.seq, taken_at = excluded.taken_at
	-- Numbers of one spool tell what is later. Another spool is a newer one (the old one was lost): it may not know the end.
	where case when m.spool = excluded.spool then excluded.seq > m.seq
		else excluded.outcome <> 'held' or m.outcome = 'held' end;
end
$$;
comment on function mxhold_journal.take_messages(mxhold_journal.relay, jsonb, text) is 'Part of take: messages';

create function mxhold_journal.take_events(own mxhold_journal.relay, rows jsonb) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
set jit = off
as $$
declare
	fresh record;
begin
	for fresh in
		insert into mxhold_journal.event as e (relay, id, at, region, event, alert, domain, queue_id, by, text, detail, taken_at)
		select distinct on (t.id) own.name, t.id, coalesce(mxhold_journal.moment(t.at), clock_timestamp()), own.region, t.event,
			nullif(t.alert, ''), nullif(t.domain, ''), nullif(t.queue_id, ''), nullif(t.by, ''), t.text, r.value - 'seq' - 'kind',
			clock_timestamp()
		from jsonb_array_elements(rows) r
		cross join jsonb_to_record(r.value) t (kind text, id text, at bigint, event text, alert text, domain text, queue_id text,
			by text, text text)
		where t.kind = 'event'
		order by t.id
		on conflict (relay, id) do nothing
		returning e.relay, e.region, e.alert, e.detail
	loop
		-- A notice has room for 7,999 bytes.
		if fresh.alert is not null then
			perform pg_notify('mxhold_alert', case when octet_length(fresh.detail::text) < 7500
				then (fresh.detail || jsonb_build_object('relay', fresh.relay, 'region', fresh.region))::text
				else jsonb_build_object('relay', fresh.relay, 'region', fresh.region, 'alert', left(fresh.alert, 100),
					'id', left(fresh.detail ->> 'id', 100))::text end);
		end if;
	end loop;
end
$$;
comment on function mxhold_journal.take_events(mxhold_journal.relay, jsonb) is 'Part of take: events, and a notice of each new alert';

create function mxhold_journal.take(rows jsonb, spool text, up_to bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
as $$
declare
	own constant mxhold_journal.relay := mxhold_journal.own_relay();
begin
	perform mxhold_journal.take_messages(own, rows, $2);
	perform mxhold_journal.take_events(own, rows);
	update mxhold_journal.relay r
	set spool = $2, seq = case when r.spool = $2 then greatest(r.seq, up_to) else up_to end, taken_at = clock_timestamp()
	where r.name = own.name;
end
$$;
comment on function mxhold_journal.take(jsonb, text, bigint) is 'Takes rows of a relay''s spool (docs/queue.md), always for the relay of session_user, and notes that it is here up to a number. Taking a row twice changes nothing; an earlier image never replaces a later one';

-- --- upkeep --------------------------------------------------------------------------------------------------------

-- Dropping a partition locks the whole table for a moment: whoever is in the way is not waited for longer than that, since all
-- others would queue up behind. What could not be dropped is left to the next call.
create function mxhold_journal.maintain(retention_days integer) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, mxhold_journal, pg_temp
set timezone = 'UTC'
set lock_timeout = '200ms'
as $$
declare
	own constant mxhold_journal.relay := mxhold_journal.own_relay();
	days integer;
	part text;
	remaining integer := 0;
begin
	update mxhold_journal.relay r set retention_days = $1 where r.name = own.name and r.retention_days is distinct from $1;
	select max(r.retention_days) into days from mxhold_journal.relay r;
	for part in
		select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'mxhold_journal.message'::regclass and c.relname ~ '^message_[0-9]{8}$'
			and c.relname < mxhold_journal.day_name(current_date - days)
		order by 1
	loop
		begin
			execute format('drop table mxhold_journal.%I', part);
		exception when lock_not_available then
			remaining := remaining + 1;
		end;
	end loop;
	begin
		for n in 0..2 loop
			perform mxhold_journal.day_make(current_date + n);
		end loop;
	exception when lock_not_available then
		remaining := remaining + 1;
	end;
	delete from mxhold_journal.message_other o where o.taken_at < now() - days * interval '1 day';
	delete from mxhold_journal.event e where e.at < now() - days * interval '1 day'
		and e.taken_at < now() - days * interval '1 day';
	return remaining;
end
$$;
comment on function mxhold_journal.maintain(integer) is 'Daily, by each relay: drops the days that nobody wants any longer, and makes the next ones; returns how much it had to leave, because somebody was in the way';

-- --- roles ---------------------------------------------------------------------------------------------------------

revoke all on all tables in schema mxhold_journal from public;
revoke all on all functions in schema mxhold_journal from public;
grant usage on schema mxhold_journal to mxhold_journal_relay, mxhold_journal_reader;
grant execute on function mxhold_journal.taken(text), mxhold_journal.take(jsonb, text, bigint), mxhold_journal.maintain(integer)
	to mxhold_journal_relay;
grant select on mxhold_journal.message, mxhold_journal.event, mxhold_journal.relay, mxhold_journal.migration to mxhold_journal_reader;

insert into mxhold_journal.migration (name) values ('001-journal');

commit;
