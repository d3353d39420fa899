-- 002-rules: what a row must be, beyond its own constraints: normal forms, next hops, and whose a name is.
--
-- In: rows as the SOC types them. Out: rows in normal form, or an error that says what would be right. Rules that look
-- at other rows are checked for a whole statement at once (a COPY of a million rows pays once), and again at commit for what
-- concurrent transactions could not see of each other. Nothing here may pass over a row because of who writes it.

begin;
set local role mxhold_owner;

-- --- normal forms ------------------------------------------------------------------------------------------------

create function mxhold.name_normal(name text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	normal text := lower(btrim(name, E' \t\r\n') collate "C");
begin
	if octet_length(normal) <> length(normal) then
		raise exception 'the name % is not ASCII', quote_literal(name) using errcode = 'check_violation',
			hint = 'Give the A-label (xn--...), or use `mxholdctl domain add`, which folds it.';
	end if;
	return case when right(normal, 1) = '.' then left(normal, -1) else normal end;
end
$$;
comment on function mxhold.name_normal(text) is 'Folds case, blanks around and one trailing dot; refuses what is not ASCII';

create function mxhold.parents(name text) returns text[]
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	rest text := substr(name, strpos(name, '.') + 1);
	found text[] := '{}';
begin
	while strpos(rest, '.') > 0 loop
		found := found || rest;
		rest := substr(rest, strpos(rest, '.') + 1);
	end loop;
	return found;
end
$$;
comment on function mxhold.parents(text) is 'The names above a name, nearest first, without the top-level domain';

-- The same table as core/ip.c: IANA's special-purpose address registries; the longest prefix decides.
create function mxhold.address_class(address inet) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
	select s.class from (values
		(inet '0.0.0.0/0', 'global'), ('0.0.0.0/8', 'unspecified'), ('10.0.0.0/8', 'private'),
		('100.64.0.0/10', 'shared'), ('127.0.0.0/8', 'loopback'), ('169.254.0.0/16', 'link-local'),
		('172.16.0.0/12', 'private'), ('192.0.0.0/24', 'reserved'), ('192.0.0.9/32', 'global'),
		('192.0.0.10/32', 'global'), ('192.0.2.0/24', 'documentation'), ('192.88.99.0/24', 'reserved'),
		('192.168.0.0/16', 'private'), ('198.18.0.0/15', 'reserved'), ('198.51.100.0/24', 'documentation'),
		('203.0.113.0/24', 'documentation'), ('224.0.0.0/4', 'multicast'), ('240.0.0.0/4', 'reserved'),
		('::/0', 'reserved'), ('2000::/3', 'global'), ('::/96', 'ipv4-mapped'), ('::/128', 'unspecified'),
		('::1/128', 'loopback'), ('::ffff:0:0/96', 'ipv4-mapped'), ('2001::/23', 'reserved'),
		('2001:1::1/128', 'global'), ('2001:1::2/128', 'global'), ('2001:1::3/128', 'global'),
		('2001:2::/48', 'reserved'), ('2001:3::/32', 'global'), ('2001:4:112::/48', 'global'),
		('2001:10::/28', 'reserved'), ('2001:20::/28', 'global'), ('2001:30::/28', 'global'),
		('2001:db8::/32', 'documentation'), ('2002::/16', 'reserved'), ('3fff::/20', 'documentation'),
		('fc00::/7', 'private'), ('fe80::/10', 'link-local'), ('fec0::/10', 'private'), ('ff00::/8', 'multicast')
	) s (network, class)
	where address <<= s.network order by masklen(s.network) desc limit 1;
$$;
comment on function mxhold.address_class(inet) is 'What IANA''s registries say of an address: global, private, loopback, documentation, ...';

create function mxhold.next_hop_normal(hop text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	part text[] := regexp_match(lower(btrim(hop, E' \t\r\n') collate "C"),
		'^(?:\[(?:ipv6:)?([^][]+)\]|([^]:[]+))(?::([0-9]{1,5}))?$');
	host text := coalesce(part[1], part[2]);
	port integer := part[3]::integer;
	bracketed boolean := part[1] is not null;
	literal boolean := host ~ ':' or host ~ '^[0-9.]+$';
begin
	if part is null or port not between 1 and 65535 then
		raise exception 'next hop % is not readable', quote_literal(hop) using errcode = 'check_violation',
			hint = 'Write mail.example.com, [mail.example.com]:25, [203.0.113.5]:25 or [2001:db8::5]:25, commas between.';
	end if;
	if literal and not bracketed then
		raise exception 'next hop % is an address without brackets', quote_literal(hop)
			using errcode = 'check_violation', hint = format('Write [%s].', host);
	end if;
	if literal then
		begin
			host := host(mxhold.address_parse(host));
		exception when data_exception then
			raise exception 'next hop % is not an address', quote_literal(hop) using errcode = 'check_violation';
		end;
	else
		host := mxhold.name_normal(host);
		if not mxhold.is_full_name(host) then
			raise exception 'next hop % is not the name of a host', quote_literal(hop) using errcode = 'check_violation';
		end if;
	end if;
	return case when bracketed then '[' || host || ']' else host end || coalesce(':' || port, '');
end
$$;
comment on function mxhold.next_hop_normal(text) is 'One next hop in normal form: host, host:port, [host], [192.0.2.1]:25, [2001:db8::1]:25';

create function mxhold.address_parse(text) returns inet
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	-- inet also reads networks and abbreviations.
	if $1 ~ '/' or ($1 !~ ':' and $1 !~ '^[0-9]{1,3}(\.[0-9]{1,3}){3}$') then
		raise exception '% is not an address', quote_literal($1) using errcode = 'invalid_text_representation';
	end if;
	return $1::inet;
end
$$;
comment on function mxhold.address_parse(text) is 'An address, never a network';

create function mxhold.next_hop_host(hop text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
	select coalesce(substring(hop from '^\[([^]]+)\]'), split_part(hop, ':', 1));
$$;
comment on function mxhold.next_hop_host(text) is 'Host or address of a next hop in normal form';

create function mxhold.next_hops_normal(hops text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	hop text;
	normal text[] := '{}';
begin
	if btrim(hops, E' \t\r\n') = '' then
		return null;
	end if;
	foreach hop in array string_to_array(hops, ',') loop
		normal := normal || mxhold.next_hop_normal(hop);
	end loop;
	if cardinality(normal) > 8 then
		raise exception 'a domain has at most 8 next hops, not %', cardinality(normal) using errcode = 'check_violation';
	end if;
	return array_to_string(normal, ', ');
end
$$;
comment on function mxhold.next_hops_normal(text) is 'Next hops in normal form, '', '' between; null for none';

create function mxhold.next_hops_check(hops text) returns void
language plpgsql stable
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	hop text;
	host text;
	class text;
begin
	foreach hop in array string_to_array(hops, ', ') loop
		host := mxhold.next_hop_host(hop);
		if hop like '[%' and (host ~ ':' or host ~ '^[0-9.]+$') then
			class := mxhold.address_class(host::inet);
			if class not in ('global', 'documentation')
				and not exists (select from mxhold.fence_allow f where host::inet <<= f.network) then
				raise exception 'next hop % is a special address (%)', hop, class using errcode = 'check_violation',
					hint = 'If a primary is there (a VPN), permit the network first: insert into mxhold.fence_allow (network) values (...).';
			end if;
			if exists (select from mxhold.relay r where host::inet = any (r.addresses)) then
				raise exception 'next hop % is a relay of the fleet', hop using errcode = 'check_violation',
					hint = 'Next hops are the customer''s own servers.';
			end if;
		elsif exists (select from mxhold.relay r where host = any (r.names)) then
			raise exception 'next hop % is a relay of the fleet', hop using errcode = 'check_violation',
				hint = 'Next hops are the customer''s own servers.';
		end if;
	end loop;
end
$$;
comment on function mxhold.next_hops_check(text) is 'Refuses relays of the fleet and special addresses as next hops';

-- --- pins ----------------------------------------------------------------------------------------------------------

-- As openssl prints it: `SHA2-256(stdin)= 2066cf...`, or with -r `2066cf... *stdin`.
create function mxhold.pin_certificate_normal(pin text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	bare text := regexp_replace(lower(btrim(pin, E' \t\r\n')), '^(sha(2-)?256)?\([^()]*\)\s*=|\s\*stdin$', '');
	digits text := nullif(regexp_replace(bare, '[: \t\r\n]', '', 'g'), '');
begin
	if digits !~ '^[0-9a-f]{64}$' then
		raise exception 'pin_certificate % is not the SHA-256 of a public key', quote_literal(left(pin, 80))
			using errcode = 'check_violation', schema = 'mxhold', table = 'domain', constraint = 'domain_pin_certificate_form',
			hint = 'Give 64 hexadecimal digits, as they are printed by: openssl x509 -noout -pubkey -in CERTIFICATE | '
				'openssl pkey -pubin -outform DER | openssl dgst -sha256';
	end if;
	return digits;
end
$$;
comment on function mxhold.pin_certificate_normal(text) is 'Normal form of a pinned key: 64 hex digits; null: none';

-- With the code of the reply before it, as it is seen on the wire, it would never be found.
create function mxhold.pin_banner_normal(pin text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if btrim(pin) ~ '^220[ -]*$' then
		raise exception 'pin_banner % is a code, and no banner', quote_literal(pin)
			using errcode = 'check_violation', schema = 'mxhold', table = 'domain', constraint = 'domain_pin_banner_form',
			hint = 'Give what stands behind it, such as mx1.example.com ESMTP.';
	end if;
	return nullif(regexp_replace(btrim(pin), '^220[ -]+', ''), '');
end
$$;
comment on function mxhold.pin_banner_normal(text) is 'Normal form of a pinned banner: without its code; null: none';

-- --- rows ----------------------------------------------------------------------------------------------------------

-- Triggers on a row run in the order of their names: row_form makes the normal form, row_made then sees what the row will be.

create function mxhold.domain_row() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if new.name ~ '[^a-z0-9.-]|\.$' then
		new.name := mxhold.name_normal(new.name);
	end if;
	if new.next_hops is not null and (tg_op = 'INSERT' or new.next_hops is distinct from old.next_hops) then
		new.next_hops := mxhold.next_hops_normal(new.next_hops);
		if new.next_hops is not null and (tg_op = 'INSERT' or new.next_hops is distinct from old.next_hops) then
			perform mxhold.next_hops_check(new.next_hops);
		end if;
	end if;
	if new.pin_certificate is not null then
		new.pin_certificate := mxhold.pin_certificate_normal(new.pin_certificate);
	end if;
	if new.pin_banner is not null then
		new.pin_banner := mxhold.pin_banner_normal(new.pin_banner);
	end if;
	new.hold_reason := nullif(btrim(new.hold_reason), '');
	return new;
end
$$;
comment on function mxhold.domain_row() is 'Trigger: normal form, next hops';

create function mxhold.relay_row() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
declare
	item text;
	address inet;
begin
	new.names := array(select mxhold.name_normal(u.name) from unnest(new.names) with ordinality u (name, n)
		group by 1 order by min(u.n));
	foreach item in array new.names loop
		if mxhold.is_full_name(item) is not true then
			raise exception '% is not the name of a host', quote_nullable(item) using errcode = 'check_violation';
		end if;
	end loop;
	new.addresses := array(select u.address from unnest(new.addresses) with ordinality u (address, n)
		group by 1 order by min(u.n));
	foreach address in array new.addresses loop
		if address is null or masklen(address) <> (case family(address) when 4 then 32 else 128 end) then
			raise exception '% is not the address of a host', quote_nullable(address::text)
				using errcode = 'check_violation';
		end if;
	end loop;
	return new;
end
$$;
comment on function mxhold.relay_row() is 'Trigger: normal form of names and addresses';

create function mxhold.domain_region_row() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	new.domain := mxhold.name_normal(new.domain);
	return new;
end
$$;
comment on function mxhold.domain_region_row() is 'Trigger: normal form of the domain''s name';

-- Who made a row, and when, is nobody's to say.
create function mxhold.made_row() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if tg_op = 'UPDATE' then
		new.created_at := old.created_at;
		new.created_by := old.created_by;
	else
		new.created_at := now();
		new.created_by := session_user;
	end if;
	return new;
end
$$;
comment on function mxhold.made_row() is 'Trigger: who made it and when';

-- The same for rows of the feed, with the last change, and the transaction by which the feed finds it. An update that
-- changes nothing is none.
create function mxhold.changed_row() returns trigger
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if tg_op = 'UPDATE' then
		new.created_at := old.created_at;
		new.created_by := old.created_by;
		new.updated_at := old.updated_at;
		new.updated_by := old.updated_by;
		new.tx := old.tx;
		if new is not distinct from old then
			return new;
		end if;
	else
		new.created_at := now();
		new.created_by := session_user;
	end if;
	new.updated_at := now();
	new.updated_by := session_user;
	new.tx := pg_current_xact_id();
	return new;
end
$$;
comment on function mxhold.changed_row() is 'Trigger: who and when, transaction';

-- Feed, snapshot and decisions carry lists of regions in 1,023 bytes.
create function mxhold.region_count() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	if (select count(*) from mxhold.region) > 30 then
		raise exception 'there are at most 30 regions' using errcode = 'program_limit_exceeded';
	end if;
	return null;
end
$$;
comment on function mxhold.region_count() is 'Trigger: at most 30 regions';

create trigger row_form before insert or update on mxhold.domain for each row execute function mxhold.domain_row();
create trigger row_form before insert or update on mxhold.relay for each row execute function mxhold.relay_row();
create trigger row_form before insert or update on mxhold.domain_region
	for each row execute function mxhold.domain_region_row();
create trigger row_made before insert or update on mxhold.domain for each row execute function mxhold.changed_row();
create trigger row_made before insert or update on mxhold.customer for each row execute function mxhold.changed_row();
create trigger row_made before insert or update on mxhold.relay for each row execute function mxhold.changed_row();
create trigger row_made before insert or update on mxhold.region for each row execute function mxhold.made_row();
create trigger row_made before insert or update on mxhold.customer_region for each row execute function mxhold.made_row();
create trigger row_made before insert or update on mxhold.domain_region for each row execute function mxhold.made_row();
create trigger row_made before insert or update on mxhold.fence_allow for each row execute function mxhold.made_row();
create trigger region_count after insert on mxhold.region for each statement execute function mxhold.region_count();

-- --- whose a name is -------------------------------------------------------------------------------------------------

create function mxhold.refuse_overlap(below text, below_customer text, above text, above_customer text) returns void
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	raise exception 'domain % of customer % lies below %, which customer % has with include_subdomains',
		below, below_customer, above, above_customer
		using errcode = 'exclusion_violation', schema = 'mxhold', table = 'domain',
		constraint = 'domain_subtree_belongs_to_one_customer',
		hint = 'Both belong to one customer, or the upper one is without include_subdomains.';
end
$$;
comment on function mxhold.refuse_overlap(text, text, text, text) is 'Error: a subdomain of another customer''s domain';

create function mxhold.refuse_fleet(domain text, relay text) returns void
language plpgsql
set search_path = pg_catalog, mxhold, pg_temp
as $$
begin
	raise exception 'domain % would take mail for the published name of relay %', domain, relay
		using errcode = 'exclusion_violation', schema = 'mxhold', table = 'domain',
		constraint = 'domain_is_no_relay', hint = 'Names of the fleet are nobody''s mail domains.';
end
$$;
comment on function mxhold.refuse_fleet(text, text) is 'Error: a domain that is, or includes, a relay''s published name';

-- Planned as lookups in indexes (OFFSET 0), whatever the statistics say: a single row must not cost a scan of millions.
create function mxhold.rules_domain() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
	hit record;
	bare text;
begin
	if exists (select from mxhold.domain d where d.include_subdomains) then
		select n.name, n.customer, p.name as above, p.customer as above_customer into hit
		from new_rows n cross join lateral unnest(mxhold.parents(n.name)) a (name)
		cross join lateral (select w.name, w.customer from mxhold.domain w
			where w.name = a.name collate "C" and w.include_subdomains and w.customer <> n.customer offset 0) p
		limit 1;
		if found then
			perform mxhold.refuse_overlap(hit.name, hit.customer, hit.above, hit.above_customer);
		end if;
		select d.name, d.customer, n.name as above, n.customer as above_customer into hit
		from new_rows n cross join lateral (
			select w.name, w.customer from mxhold.domain w
			where reverse(w.name) >= reverse(n.name) || '.' and reverse(w.name) < reverse(n.name) || '/'
				and w.customer <> n.customer offset 0
		) d where n.include_subdomains limit 1;
		if found then
			perform mxhold.refuse_overlap(hit.name, hit.customer, hit.above, hit.above_customer);
		end if;
	end if;
	select n.name, r.name as relay into hit
	from mxhold.relay r cross join lateral unnest(r.names) u (name)
	join new_rows n on n.name = u.name collate "C" limit 1;
	if found then
		perform mxhold.refuse_fleet(hit.name, hit.relay);
	end if;
	select n.name, r.name as relay into hit
	from mxhold.relay r cross join lateral unnest(r.names) u (name) cross join lateral unnest(mxhold.parents(u.name)) a (name)
	join new_rows n on n.name = a.name collate "C" and n.include_subdomains limit 1;
	if found then
		perform mxhold.refuse_fleet(hit.name, hit.relay);
	end if;
	if tg_op = 'INSERT' then
		select string_agg(b.customer, ', ' order by b.customer) into bare from (
			select distinct n.customer from new_rows n
			where not exists (select from mxhold.customer_region r where r.customer = n.customer)
			order by 1 limit 20) b;
		if bare is not null then
			raise notice 'no relay takes mail for these domains yet: customer % has no region', bare
				using hint = 'insert into mxhold.customer_region (customer, region) values (...)';
		end if;
	end if;
	return null;
end
$$;
comment on function mxhold.rules_domain() is 'Trigger: nobody takes another customer''s subdomain or a relay''s name; tells of customers without a region';

create function mxhold.rules_relay() returns trigger
language plpgsql security definer
set search_path = pg_catalog, mxhold, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
	hit record;
begin
	select d.name, n.name as relay into hit
	from new_rows n cross join lateral unnest(n.names) u (name)
	cross join lateral (select w.name from mxhold.domain w where w.name = u.name collate "C" offset 0) d limit 1;
	if found then
		perform mxhold.refuse_fleet(hit.name, hit.relay);
	end if;
	select d.name, n.name as relay into hit
	from new_rows n cross join lateral unnest(n.names) u (name)
	cross join lateral unnest(mxhold.parents(u.name)) a (name)
	cross join lateral (select w.name from mxhold.domain w
		where w.name = a.name collate "C" and w.include_subdomains offset 0) d limit 1;
	if found then
		perform mxhold.refuse_fleet(hit.name, hit.relay);
	end if;
	-- Rows that were right when they were written: told, not refused. The fence drops such hops on every relay.
	for hit in
		select n.name as relay, count(*) as domains, string_agg(h.name, ', ' order by h.name)
			filter (where h.rank <= 20) as some
		from new_rows n cross join lateral (
			select d.name, row_number() over (order by d.name) as rank from mxhold.domain d
			where d.next_hops is not null and exists (
				select from unnest(string_to_array(d.next_hops, ', ')) u (hop)
				where mxhold.next_hop_host(u.hop) = any (n.names)
					or mxhold.next_hop_host(u.hop) = any (select host(a.address) from unnest(n.addresses) a (address)))
		) h
		group by n.name
	loop
		raise warning 'relay % is a next hop of % domain(s), whose mail will wait there: %', hit.relay, hit.domains, hit.some;
	end loop;
	return null;
end
$$;
comment on function mxhold.rules_relay() is 'Trigger: a relay''s name is nobody''s domain; tells which next hops name the relay';

create trigger rules_insert after insert on mxhold.domain referencing new table as new_rows
	for each statement execute function mxhold.rules_domain();
create trigger rules_update after update on mxhold.domain referencing new table as new_rows
	for each statement execute function mxhold.rules_domain();
create trigger rules_insert after insert on mxhold.relay referencing new table as new_rows
	for each statement execute function mxhold.rules_relay();
create trigger rules_update after update on mxhold.relay referencing new table as new_rows
	for each statement execute function mxhold.rules_relay();

insert into mxhold.migration (name) values ('002-rules');

commit;
