-- 001-base: what the SOC writes: customers, regions, domains, relays.
--
-- In: nothing; a database in which the one who applies this may create schemas and roles. Out: the schema `mxhold`
-- with its plain tables and the constraints that need no look at another row. Keys are names, so that one types
-- `insert into mxhold.domain (name, customer) values ('example.com', 'acme')` and that is all.

begin;

do $$
begin
	if not exists (select from pg_catalog.pg_roles where rolname = 'mxhold_owner') then
		create role mxhold_owner nologin;
	end if;
	if not pg_catalog.pg_has_role(current_user, 'mxhold_owner', 'member') then
		execute pg_catalog.format('grant mxhold_owner to %I', current_user);
	end if;
end
$$;

create schema mxhold authorization mxhold_owner;
set local role mxhold_owner;
-- A function is nobody's but the owner's until it is granted.
alter default privileges for role mxhold_owner revoke execute on functions from public;

comment on schema mxhold is 'mxhold: which domains the fleet of backup relays may hold mail for';

create table mxhold.migration (
	name       text        not null,
	checksum   text,
	applied_at timestamptz not null default now(),
	applied_by text        not null default session_user,
	constraint migration_pkey primary key (name)
);
comment on table mxhold.migration is 'Which numbered files of sql/ this database has had';
comment on column mxhold.migration.name is 'File name without .sql';
comment on column mxhold.migration.checksum is 'SHA-256 of the file in hex; null when it was applied by plain psql';
comment on column mxhold.migration.applied_at is 'When';
comment on column mxhold.migration.applied_by is 'By which login';

-- Without counted repetitions, which cost twenty times as much. The body is parsed here and now, so that no search_path
-- can change what it means, and the planner inlines it.
create function mxhold.is_full_name(name text) returns boolean
language sql immutable parallel safe
return name ~ '^[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)+$'
	and name !~ '\.([0-9]+|0x[0-9a-f]+)$'
	and octet_length(name) <= 253
	and (octet_length(name) <= 64 or name !~ '[^.]{64}');
comment on function mxhold.is_full_name(text) is 'A name in normal form that a mail domain or a host may have: two labels or more of a-z, 0-9 and hyphen, the last no number';

create table mxhold.region (
	name       text collate "C" not null,
	note       text,
	created_at timestamptz      not null default now(),
	created_by text             not null default session_user,
	constraint region_pkey primary key (name),
	constraint region_name_form check (name ~ '^[a-z0-9-]{1,32}$')
);
comment on table mxhold.region is 'Where relays stand, and where a customer may permit that his mail is held; at most 30';
comment on column mxhold.region.name is 'Short name: lower case, digits and hyphens, such as europe';
comment on column mxhold.region.note is 'For people';
comment on column mxhold.region.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.region.created_by is 'By which login (set by trigger)';

create table mxhold.customer (
	name            text collate "C" not null,
	suspended       boolean          not null default false,
	size_limit      bigint,
	oversize        text,
	retention       interval,
	quota_messages  bigint,
	quota_bytes     bigint,
	when_primary_up text,
	mx_check        boolean,
	refused         text,
	note            text,
	created_at      timestamptz      not null,
	created_by      text             not null,
	updated_at      timestamptz      not null,
	updated_by      text             not null,
	tx              xid8             not null,
	constraint customer_pkey primary key (name),
	constraint customer_name_form check (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
	constraint customer_size_limit_range check (size_limit between 1 and 104857600),
	constraint customer_oversize_value check (oversize in ('reject', 'defer')),
	constraint customer_retention_range check (retention between interval '1 hour' and interval '30 days'),
	constraint customer_quota_messages_range check (quota_messages > 0),
	constraint customer_quota_bytes_range check (quota_bytes > 0),
	constraint customer_when_primary_up_value check (when_primary_up in ('accept', 'defer')),
	constraint customer_refused_value check (refused in ('judge', 'keep'))
);
comment on table mxhold.customer is 'Who has domains; his limits hold for each of his domains that has none of its own';
comment on column mxhold.customer.name is 'Short name: lower case, digits, dot, hyphen, underscore';
comment on column mxhold.customer.suspended is 'True: relays defer all his mail (450), nothing is lost or removed';
comment on column mxhold.customer.size_limit is 'Largest message in bytes of content; null: the fleet''s default of 10,485,760';
comment on column mxhold.customer.oversize is 'Larger messages: reject (552) or defer (452); null: reject';
comment on column mxhold.customer.retention is 'How long mail is held at most; null: the relay''s queue lifetime (5 days)';
comment on column mxhold.customer.quota_messages is 'Most messages held per domain; null: no limit';
comment on column mxhold.customer.quota_bytes is 'Most bytes held per domain; null: no limit';
comment on column mxhold.customer.when_primary_up is 'While the primary answers: accept, or defer first tries; null: accept';
comment on column mxhold.customer.mx_check is 'Must the domain''s MX records name the relay? null: yes';
comment on column mxhold.customer.refused is 'Mail that the primary refuses for good: judge (taken out when it has refused it repeatedly, and is well), or keep (waits for its end of time); null: the relay''s setting, judge';
comment on column mxhold.customer.note is 'For people';
comment on column mxhold.customer.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.customer.created_by is 'By which login (set by trigger)';
comment on column mxhold.customer.updated_at is 'Last change (set by trigger)';
comment on column mxhold.customer.updated_by is 'By which login (set by trigger)';
comment on column mxhold.customer.tx is 'Transaction of the last change: how the feed finds it (set by trigger)';

create table mxhold.customer_region (
	customer   text collate "C" not null,
	region     text collate "C" not null,
	created_at timestamptz      not null default now(),
	created_by text             not null default session_user,
	constraint customer_region_pkey primary key (customer, region),
	constraint customer_region_customer_fkey foreign key (customer) references mxhold.customer (name)
		on update cascade on delete cascade,
	constraint customer_region_region_fkey foreign key (region) references mxhold.region (name) on update cascade
);
create index customer_region_region_idx on mxhold.customer_region (region);
comment on table mxhold.customer_region is 'Regions in which a customer permits that his mail is held; without a row: nowhere';
comment on column mxhold.customer_region.customer is 'Whose mail';
comment on column mxhold.customer_region.region is 'May be held there';
comment on column mxhold.customer_region.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.customer_region.created_by is 'By which login (set by trigger)';

create table mxhold.domain (
	name               text collate "C" not null,
	customer           text collate "C" not null,
	next_hops          text,
	include_subdomains boolean          not null default false,
	suspended          boolean          not null default false,
	tls_required       boolean          not null default false,
	size_limit         bigint,
	oversize           text,
	retention          interval,
	quota_messages     bigint,
	quota_bytes        bigint,
	when_primary_up    text,
	mx_check           boolean,
	refused            text,
	hold_until         timestamptz,
	hold_reason        text,
	pin_certificate    text,
	pin_banner         text,
	note               text,
	created_at         timestamptz      not null,
	created_by         text             not null,
	updated_at         timestamptz      not null,
	updated_by         text             not null,
	tx                 xid8             not null,
	constraint domain_belongs_to_one_customer primary key (name),
	constraint domain_customer_fkey foreign key (customer) references mxhold.customer (name) on update cascade,
	constraint domain_name_is_a_mail_domain check (mxhold.is_full_name(name)),
	constraint domain_next_hops_length check (octet_length(next_hops) between 1 and 1000),
	constraint domain_size_limit_range check (size_limit between 1 and 104857600),
	constraint domain_oversize_value check (oversize in ('reject', 'defer')),
	constraint domain_retention_range check (retention between interval '1 hour' and interval '30 days'),
	constraint domain_quota_messages_range check (quota_messages > 0),
	constraint domain_quota_bytes_range check (quota_bytes > 0),
	constraint domain_when_primary_up_value check (when_primary_up in ('accept', 'defer')),
	constraint domain_refused_value check (refused in ('judge', 'keep')),
	constraint domain_hold_until_range check (hold_until >= '2000-01-01 00:00:00+00'),
	constraint domain_hold_reason_form check (octet_length(hold_reason) between 1 and 128 and hold_reason !~ '[\x01-\x1f\x7f]'),
	constraint domain_pin_certificate_form check (pin_certificate ~ '^[0-9a-f]{64}$'),
	constraint domain_pin_banner_form check (octet_length(pin_banner) between 1 and 256 and pin_banner !~ '[\x01-\x1f\x7f]')
);
create index domain_customer_idx on mxhold.domain (customer);
create index domain_next_hops_idx on mxhold.domain (customer, name) where next_hops is not null;
-- What lies below a domain: all names between its reverse with '.' and with '/' (the byte after '.').
create index domain_reverse_idx on mxhold.domain (reverse(name));
create index domain_include_idx on mxhold.domain (name) where include_subdomains;
comment on table mxhold.domain is 'Domains that the fleet may hold mail for';
comment on column mxhold.domain.name is 'Lower-case A-labels without trailing dot (a trigger folds case, one trailing dot, blanks around)';
comment on column mxhold.domain.customer is 'Whose domain; changing it moves the domain';
comment on column mxhold.domain.next_hops is 'Where held mail goes, in order, such as [203.0.113.5]:25, [mail.example.com]; null: by the domain''s MX records';
comment on column mxhold.domain.include_subdomains is 'True: all names below belong to it too';
comment on column mxhold.domain.suspended is 'True: relays defer its mail (450), nothing is lost or removed';
comment on column mxhold.domain.tls_required is 'True: delivered to the primary only over TLS';
comment on column mxhold.domain.size_limit is 'Largest message in bytes of content; null: the customer''s';
comment on column mxhold.domain.oversize is 'Larger messages: reject (552) or defer (452); null: the customer''s';
comment on column mxhold.domain.retention is 'How long mail is held at most; null: the customer''s';
comment on column mxhold.domain.quota_messages is 'Most messages held; null: the customer''s';
comment on column mxhold.domain.quota_bytes is 'Most bytes held; null: the customer''s';
comment on column mxhold.domain.when_primary_up is 'While the primary answers: accept, or defer first tries; null: the customer''s';
comment on column mxhold.domain.mx_check is 'Must the MX records name the relay? null: the customer''s';
comment on column mxhold.domain.refused is 'Mail that the primary refuses for good: judge or keep; null: the customer''s';
comment on column mxhold.domain.hold_until is 'A declared maintenance: mail is taken, and waits until then; infinity: until this is changed; null or past: no hold';
comment on column mxhold.domain.hold_reason is 'Why; for the people of SOC and relays, told to no sender';
comment on column mxhold.domain.pin_certificate is 'SHA-256 of the primary''s public key (SPKI) in hex, colons and case do not matter: only who shows it over TLS gets mail; null: anyone';
comment on column mxhold.domain.pin_banner is 'What the primary''s banner begins with, behind its code: only who says it gets mail; null: anyone';
comment on column mxhold.domain.note is 'For people';
comment on column mxhold.domain.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.domain.created_by is 'By which login (set by trigger)';
comment on column mxhold.domain.updated_at is 'Last change (set by trigger)';
comment on column mxhold.domain.updated_by is 'By which login (set by trigger)';
comment on column mxhold.domain.tx is 'Transaction of the last change: how the feed finds it (set by trigger)';

create table mxhold.domain_region (
	domain     text collate "C" not null,
	region     text collate "C" not null,
	created_at timestamptz      not null default now(),
	created_by text             not null default session_user,
	constraint domain_region_pkey primary key (domain, region),
	constraint domain_region_domain_fkey foreign key (domain) references mxhold.domain (name)
		on update cascade on delete cascade,
	constraint domain_region_region_fkey foreign key (region) references mxhold.region (name) on update cascade
);
create index domain_region_region_idx on mxhold.domain_region (region);
comment on table mxhold.domain_region is 'Narrows where a domain''s mail is held: of the customer''s regions, only these; without a row: all of his';
comment on column mxhold.domain_region.domain is 'Which domain';
comment on column mxhold.domain_region.region is 'Stays permitted if the customer permits it too; it never adds a region';
comment on column mxhold.domain_region.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.domain_region.created_by is 'By which login (set by trigger)';

create table mxhold.relay (
	name       text collate "C" not null,
	region     text collate "C" not null,
	login      text collate "C" not null,
	names      text[]           not null,
	addresses  inet[]           not null,
	note       text,
	created_at timestamptz      not null,
	created_by text             not null,
	updated_at timestamptz      not null,
	updated_by text             not null,
	tx         xid8             not null,
	constraint relay_pkey primary key (name),
	constraint relay_login_key unique (login),
	constraint relay_region_fkey foreign key (region) references mxhold.region (name) on update cascade,
	constraint relay_name_form check (name ~ '^[a-z0-9]([a-z0-9.-]{0,62})$'),
	constraint relay_login_form check (octet_length(login) between 1 and 63),
	constraint relay_names_form check (cardinality(names) > 0 and array_position(names, null) is null
		and octet_length(array_to_string(names, ' ')) <= 2000),
	constraint relay_addresses_form check (cardinality(addresses) > 0 and array_position(addresses, null) is null
		and octet_length(array_to_string(addresses, ' ')) <= 2000)
);
create index relay_region_idx on mxhold.relay (region);
comment on table mxhold.relay is 'The fleet: every relay, with the names and addresses under which the world reaches it';
comment on column mxhold.relay.name is 'Name of the relay, as in its mxhold.conf, such as eu1';
comment on column mxhold.relay.region is 'Where it stands';
comment on column mxhold.relay.login is 'Its login in PostgreSQL, a member of mxhold_relay';
comment on column mxhold.relay.names is 'Published names, for customers'' MX records; relays of a region may share one';
comment on column mxhold.relay.addresses is 'Published addresses: no relay of the fleet ever delivers to one';
comment on column mxhold.relay.note is 'For people';
comment on column mxhold.relay.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.relay.created_by is 'By which login (set by trigger)';
comment on column mxhold.relay.updated_at is 'Last change (set by trigger)';
comment on column mxhold.relay.updated_by is 'By which login (set by trigger)';
comment on column mxhold.relay.tx is 'Transaction of the last change: how the feed finds it (set by trigger)';

create table mxhold.fence_allow (
	network    cidr        not null,
	note       text,
	created_at timestamptz not null default now(),
	created_by text        not null default session_user,
	constraint fence_allow_pkey primary key (network)
);
comment on table mxhold.fence_allow is 'Special networks (private, VPN) in which next hops may be though they are special; each relay permits them in [fence] allow too';
comment on column mxhold.fence_allow.network is 'Such as 10.20.0.0/16';
comment on column mxhold.fence_allow.note is 'For people';
comment on column mxhold.fence_allow.created_at is 'When the row was made (set by trigger)';
comment on column mxhold.fence_allow.created_by is 'By which login (set by trigger)';

insert into mxhold.migration (name) values ('001-base');

commit;
