-- 007-roles: who may do what.
--
-- mxhold_soc edits the SOC's tables; mxhold_relay reads the feed and says what it applied; mxhold_status reads the status.
-- Logins are members of one of them (docs/soc.md). Nobody may truncate, touch the feed's own tables, or change the audit.

begin;

do $$
declare
	role text;
begin
	foreach role in array array['mxhold_soc', 'mxhold_relay', 'mxhold_status'] loop
		if not exists (select from pg_catalog.pg_roles where rolname = role) then
			execute pg_catalog.format('create role %I nologin', role);
		end if;
	end loop;
end
$$;

set local role mxhold_owner;

revoke all on all tables in schema mxhold from public;
revoke all on all functions in schema mxhold from public;
revoke all on schema mxhold from public;
grant usage on schema mxhold to mxhold_soc, mxhold_relay, mxhold_status;

grant select, insert, update, delete on mxhold.region, mxhold.customer, mxhold.customer_region, mxhold.domain,
	mxhold.domain_region, mxhold.relay, mxhold.fence_allow to mxhold_soc;
grant select, insert on mxhold.feed_confirmation to mxhold_soc;
grant select on mxhold.audit, mxhold.migration, mxhold.relay_heartbeat, mxhold.domain_status, mxhold.relay_status,
	mxhold.queue, mxhold.queue_told, mxhold.held to mxhold_soc;
grant execute on function mxhold.customer_set_regions(text, text[]), mxhold.is_full_name(text), mxhold.name_normal(text), mxhold.parents(text),
	mxhold.address_class(inet), mxhold.address_parse(text), mxhold.next_hop_normal(text), mxhold.next_hop_host(text),
	mxhold.next_hops_normal(text), mxhold.next_hops_check(text),
	mxhold.pin_certificate_normal(text), mxhold.pin_banner_normal(text), mxhold.epoch(), mxhold.version() to mxhold_soc;

grant select on mxhold.feed_now to mxhold_relay;
grant execute on function mxhold.feed_state(bigint, text), mxhold.feed_full(text), mxhold.feed_since(bigint, bigint, integer, text, text, integer, integer),
	mxhold.feed_gone(), mxhold.feed_time(timestamptz),
	mxhold.heartbeat(text, bigint, text, text, bigint, text, text[]), mxhold.feed_maintain(),
	mxhold.queue_report(jsonb, boolean, text, text, bigint) to mxhold_relay;

grant select on mxhold.domain_status, mxhold.relay_status, mxhold.queue, mxhold.queue_told, mxhold.held to mxhold_status;
grant execute on function mxhold.parents(text), mxhold.epoch(), mxhold.version() to mxhold_status;

insert into mxhold.migration (name) values ('007-roles');

commit;
