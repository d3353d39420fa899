# lib: what the tests of mxhold-sync share: a private authority, a daemon, looks into its snapshot; to be sourced.
#
# After sync_setup: $work (a directory, removed at the end), a cluster in $work/pg with the schema, customer acme, a relay
# row for the login relay_a (region europe). The daemon runs with $work/mxhold.conf, its log is $work/sync.log.
# shellcheck shell=sh disable=SC2119,SC2120,SC2317 # arguments are optional; functions are called by name

. tests/lib/tap.sh
. tests/lib/pg.sh

export BUILD="${BUILD:-build}"
sync_bin=$BUILD/bin/mxhold-sync
ask=$BUILD/tests/tools/control_ask
dump=$BUILD/tests/tools/snapshot_dump
daemon_pid=
others= # pids that the end has to take along

sync_cleanup() {
	status=$?
	trap - EXIT
	for pid in $daemon_pid $others; do
		kill -CONT "$pid" 2>/dev/null || true
		kill -9 "$pid" 2>/dev/null || true
	done
	for at in "$work"/pg*; do
		[ ! -d "$at/data" ] || pg_stop "$at" || true
	done
	! mountpoint -q "$work/small" || umount -l "$work/small"
	rm -rf "$work" || true # a child that was killed a moment ago may still have put something there
	exit "$status"
}

# sync_setup [PG_START_OPTION...]
sync_setup() {
	work=$(mktemp -d /tmp/mxs.XXXXXX)
	export work
	trap sync_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$work"
	mkdir -p "$work/state"
	pg_start "$work/pg" "$@"
	pg_migrate >/dev/null
	pg_sql <<-'SQL'
		create role relay_a login in role mxhold_relay;
		create role relay_b login in role mxhold_relay;
		insert into mxhold.region (name) values ('europe'), ('america'), ('asia');
		insert into mxhold.relay (name, region, login, names, addresses) values
			('a', 'europe', 'relay_a', '{a.mx.backup.example}', '{192.0.2.1}'),
			('b', 'america', 'relay_b', '{b.mx.backup.example}', '{192.0.2.2}');
		insert into mxhold.customer (name) values ('acme');
		insert into mxhold.customer_region (customer, region) values ('acme', 'europe');
	SQL
	write_conf "host=$work/pg user=relay_a dbname=postgres"
}

# write_conf CONNINFO [REPORT_CONNINFO] : also takes $conf_name and $conf_region
write_conf() {
	{
		printf '[relay]\nname = %s\nregion = %s\n' "${conf_name:-a}" "${conf_region:-europe}"
		printf '[authority]\nconninfo = %s\npoll_interval = 1\nstale_after = 5\n' "$1"
		[ -z "${2:-}" ] || printf '[report]\nconninfo = %s\n' "$2"
		printf '[paths]\nstate_dir = %s\nsocket_dir = %s\n' "${state:-$work/state}" "$work/sockets"
		printf '[users]\nsync = 64101\ngroup = 64100\nsocket_group = 64100\n'
	} >"$work/mxhold.conf"
	chmod 644 "$work/mxhold.conf"
}

# daemon_start [WRAPPER...]
daemon_start() {
	"$@" "$sync_bin" -f -c "$work/mxhold.conf" >>"$work/sync.log" 2>&1 </dev/null &
	daemon_pid=$!
}

# Ends the daemon and waits for it; its exit status is the function's.
daemon_stop() {
	stopped=$daemon_pid
	daemon_pid=
	kill "-${1:-TERM}" "$stopped" 2>/dev/null || true
	wait "$stopped"
}

status_line() {
	timeout 5 "$ask" "${state:-$work/state}/control" status 4
}

# A top-level member of the status, without quotes.
status_of() {
	status_line | grep -o "\"$1\":[^,}]*" | head -n 1 | sed 's/^[^:]*://; s/"//g'
}

state_is() {
	[ "$(status_of state)" = "$1" ]
}

# The live domains. Next hops that the feed withholds (flag 4) may be kept from earlier: that is no difference.
domains() {
	"$dump" "${state:-$work/state}" a domains >"$work/domains" || return $?
	awk -F '|' -v OFS='|' 'int($4 / 4) % 2 { $9 = "" } 1' "$work/domains"
}

# The same from the tables, by SQL of its own; for relay a in europe.
domains_by_sql() {
	pg_sql -F '|' "$@" <<-'SQL'
		select d.name, d.customer,
			coalesce((select string_agg(r.region, ' ' order by r.region) from mxhold.domain_region r where r.domain = d.name), ''),
			(case when d.include_subdomains then 1 else 0 end) + (case when d.suspended then 2 else 0 end)
			+ (case when d.next_hops is not null and not p.permitted then 4 else 0 end)
			+ (case when d.tls_required then 8 else 0 end)
			+ (case d.oversize when 'reject' then 16 when 'defer' then 32 else 0 end)
			+ (case d.when_primary_up when 'accept' then 64 when 'defer' then 128 else 0 end)
			+ (case when d.mx_check then 256 when not d.mx_check then 512 else 0 end)
			+ (case d.refused when 'judge' then 1024 when 'keep' then 2048 else 0 end),
			coalesce(d.size_limit, 0), coalesce(extract(epoch from d.retention)::bigint, 0),
			coalesce(d.quota_messages, 0), coalesce(d.quota_bytes, 0), case when p.permitted then coalesce(d.next_hops, '') else '' end
			|| case when (d.hold_until, d.hold_reason, d.pin_certificate, d.pin_banner) is not distinct from (null::timestamptz, null::text, null::text, null::text) then '' else
			concat_ws('|', '', case when d.hold_until = 'infinity' then '9223372036854775807' else coalesce(ceil(extract(epoch from d.hold_until)), 0)::bigint::text end,
				coalesce(d.hold_reason, ''), coalesce(d.pin_certificate, ''), coalesce(d.pin_banner, '')) end
		from mxhold.domain d cross join lateral (select
			exists (select from mxhold.customer_region c where c.customer = d.customer and c.region = 'europe')
			and (not exists (select from mxhold.domain_region r where r.domain = d.name)
				or exists (select from mxhold.domain_region r where r.domain = d.name and r.region = 'europe')) as permitted) p
		order by d.name collate "C"
	SQL
}

customers_by_sql() {
	pg_sql -F '|' <<-'SQL'
		select c.name, coalesce((select string_agg(r.region, ' ' order by r.region) from mxhold.customer_region r where r.customer = c.name), ''),
			(case when c.suspended then 2 else 0 end)
			+ (case c.oversize when 'reject' then 16 when 'defer' then 32 else 0 end)
			+ (case c.when_primary_up when 'accept' then 64 when 'defer' then 128 else 0 end)
			+ (case when c.mx_check then 256 when not c.mx_check then 512 else 0 end)
			+ (case c.refused when 'judge' then 1024 when 'keep' then 2048 else 0 end),
			coalesce(c.size_limit, 0), coalesce(extract(epoch from c.retention)::bigint, 0),
			coalesce(c.quota_messages, 0), coalesce(c.quota_bytes, 0)
		from mxhold.customer c where exists (select from mxhold.domain d where d.customer = c.name)
		order by c.name collate "C"
	SQL
}

# The daemon reads its configuration again; returns when it has: whatever is asked of it then is asked of the new one.
hup() {
	hup_had=$(grep -c 'event=configuration-read' "$work/sync.log" || true)
	kill -HUP "$daemon_pid"
	wait_for 30 hup_heard || note 'SIGHUP was not heard'
}
hup_heard() {
	[ "$(grep -c 'event=configuration-read' "$work/sync.log")" -gt "$hup_had" ]
}

# Has the snapshot the live domain NAME?
has() {
	domains | grep -q "^$1|"
}

has_not() {
	! has "$1"
}

# Ends all sessions of relay a, and returns when they are gone: what is asked of the daemon then does not begin on one of them.
reset_sessions() {
	pg_sql -c "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'relay_a'" >/dev/null
}

# Milliseconds since an unspecified moment.
now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

log_has() {
	grep -Eq -- "$1" "$work/sync.log"
}

# Inserts a domain and waits until the snapshot has it: the feed is followed (again). Prints the milliseconds.
follows() {
	sync_began=$(now_ms)
	sync_probe=probe$(date +%s%N).example
	pg_sql -c "insert into mxhold.domain (name, customer) values ('$sync_probe', 'acme')"
	wait_for "${1:-30}" has "$sync_probe" || return 1
	echo $(($(now_ms) - sync_began))
}

# fault NAME STATE INJECT REPAIR: while the fault lasts, the daemon is in STATE, the decisions for what is authorised
# are as before, the contact ages, and the control socket answers; after it, the daemon follows again by itself.
fault() {
	sync_before=$(domains)
	$3
	if wait_for 40 state_is "$2"; then ok 0 "$1: seen as $2"; else
		ok 1 "$1: seen as $2"
		note "$(status_line)"
	fi
	contact_ages() { [ "$("$dump" "${state:-$work/state}" a contact)" -gt 1500 ]; }
	try "$1: the contact ages" wait_for 15 contact_ages
	same "$(domains)" "$sync_before" "$1: what is authorised stays so"
	$4
	if sync_took=$(follows 40); then ok 0 "$1: follows again by itself ($sync_took ms)"; else
		ok 1 "$1: follows again by itself"
		note "$(status_line)"
		note "$(tail -5 "$work/sync.log")"
	fi
	same "$(domains)" "$(domains_by_sql)" "$1: and holds what the tables hold"
}

# same GOT EXPECTED TEXT: is() for long texts; shows only where they differ.
same() {
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "$1" >"$work/got"
		printf '%s\n' "$2" >"$work/expected"
		note "$(diff "$work/expected" "$work/got" | head -10)"
	fi
}
