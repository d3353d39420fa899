# lab: hosts in network namespaces, with a real DNS server, PostgreSQL, Postfix and mxhold on them; to be sourced.
#
#   lab_enter "$0" "$@"      the first words of a suite: goes on inside the lab; outside it only looks after it
#   lab_hosts                bridge, hosts and DNS (zones: lab.zone, and what stands in $LAB/more.zone)
#   lab_authority            PostgreSQL with the schema, regions eu and hk, the fleet, and a login for each
#   lab_relay HOST [dedicated|shared]   Postfix, the daemons, and `mxholdctl postfix apply`; with LAB_QUEUED=yes
#                            mxhold-queued and mxhold-helper too, and (after lab_journal) a regional journal
#   lab_primary_start        the customers' server; lab_catcher_start: the sender's, where no notice may arrive
#   lab_done                 the last words of a suite
#
# Everything runs in new pid, mount and network namespaces, and all files lie on a tmpfs mounted in there, so that the
# kernel removes all of it when the suite ends, in whatever way; lab_enter proves that nothing is left. The hosts:
#
#   dns      192.0.2.53     NSD, authoritative for everything
#   auth     192.0.2.5      PostgreSQL, the authority
#   eu       192.0.2.11     relay eu1, region eu, europe.mx.backup.example
#   hk       192.0.2.12     relay hk1, region hk, hongkong.mx.backup.example
#   nat      192.0.2.211    an address in front of eu; something listens there, and nobody may come
#   primary  198.51.100.25 to .29   the customers' server (tests/tools/primary.c)
#   sender   203.0.113.9, .10       senders, and the catcher
#
# each also has 2001:db8::/32 with the same last digits. In: BUILD; LAB_LOGS=yes keeps the logs of a good run too.
# Daemons run under numeric users of their own (64101 sync, 64102 policyd, 64103 milter, 64104 queued), kept by a small init.
# shellcheck shell=sh

lab_top=${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$lab_top/build}
case $BUILD in /*) ;; *) BUILD=$lab_top/$BUILD ;; esac
export BUILD
lab_tools=$BUILD/tests/tools
lab_bin=$BUILD/bin

# shellcheck source=tests/lib/tap.sh
. "$lab_top/tests/lib/tap.sh"
# shellcheck source=tests/lib/postfix.sh
. "$lab_top/tests/lib/postfix.sh"

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# --- entering and leaving ---------------------------------------------------------------------------------------

# A directory that every Debian has, and in which neither the repository nor the build lies: the tmpfs covers it,
# within our mount namespace only.
lab_place() {
	for lab_dir in /media /mnt /srv /opt; do
		case $lab_top/ in "$lab_dir"/*) continue ;; esac
		case $BUILD/ in "$lab_dir"/*) continue ;; esac
		[ -d "$lab_dir" ] || continue
		printf '%s\n' "$lab_dir"
		return 0
	done
	die 'neither /media, /mnt, /srv nor /opt can hold the tmpfs of the lab'
}

# After kill -9 nobody removes the directory with the counts: the next run does.
lab_sweep() {
	for lab_dir in "${TMPDIR:-/tmp}"/mxhold-lab.*.*; do
		lab_owner=${lab_dir##*/mxhold-lab.}
		[ ! -d "$lab_dir" ] || kill -0 "${lab_owner%%.*}" 2>/dev/null || rm -rf "$lab_dir"
	done
}

# Outside: runs the script again inside, then looks whether anything of it is left.
lab_outside() {
	[ "$(id -u)" -eq 0 ] || die 'network namespaces and master(8) need root'
	lab_sweep
	lab_out=$(mktemp -d "${TMPDIR:-/tmp}/mxhold-lab.$$.XXXXXX")
	trap 'rm -rf "$lab_out"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	LAB=$(lab_place)
	export LAB LAB_OUT="$lab_out"
	lab_status=0
	LAB_INSIDE=yes setpriv --pdeathsig KILL \
		unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
		sh "$@" || lab_status=$?
	tap_count=$(cut -d' ' -f1 "$lab_out/count" 2>/dev/null || echo 0)
	tap_failed=$(cut -d' ' -f2 "$lab_out/count" 2>/dev/null || echo 1)
	lab_left=$(lab_leftovers "$lab_out/namespaces")
	is "$lab_left" '' 'nothing is left: no process, namespace or mount'
	[ "$lab_status" -eq 0 ] || [ "$tap_failed" -gt 0 ] || ok "$lab_status" 'the suite came to its end'
	tap_done
	exit $?
}

# When was a process (default: one that begins now) started? In ticks since the machine was.
lab_ticks() {
	sed 's/.*) //' "/proc/${1:-self}/stat" 2>/dev/null | cut -d' ' -f20
}

# lab_leftovers FILE [TICKS]: who still is in one of the namespaces that the suite had made (the kernel needs a moment to end
# them)? The number of one that is gone is given to the next, maybe of another suite that runs beside: whoever was started
# after the end (TICKS, default now) is none of ours.
lab_leftovers() {
	lab_end=${2:-$(lab_ticks)}
	lab_tries=30
	while :; do
		lab_found=$(for lab_link in /proc/[0-9]*/ns/net /proc/[0-9]*/ns/mnt /proc/[0-9]*/ns/pid; do
			readlink "$lab_link" 2>/dev/null | grep -Fqx -f "$1" || continue
			lab_of=${lab_link#/proc/}
			lab_began=$(lab_ticks "${lab_of%%/*}")
			[ -z "$lab_began" ] || [ "$lab_began" -gt "$lab_end" ] || printf '%s ' "$lab_link"
		done || true)
		lab_tries=$((lab_tries - 1))
		if [ -z "$lab_found" ] || [ "$lab_tries" -le 0 ]; then break; fi
		sleep 0.1
	done
	printf '%s' "$lab_found"
}

lab_remember() {
	for lab_kind in net mnt pid; do
		readlink "/proc/$1/ns/$lab_kind"
	done >>"$LAB_OUT/namespaces"
}

lab_enter() {
	[ "${LAB_INSIDE-}" = yes ] || lab_outside "$@"
	unset LAB_INSIDE
	mount -t tmpfs -o mode=0755,size="${LAB_SIZE:-4g}" lab "$LAB"
	mount -t tmpfs -o mode=1777,size=256m shm /dev/shm # what is killed here leaves its segments here
	mkdir -p "$LAB/run" "$LAB/log" "$LAB/host" "$LAB/tmp"
	export TMPDIR="$LAB/tmp"
	lab_remember self
	lab_started=$(date +%s)
	trap 'lab_leave' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	cd "$lab_top" || exit 1
}

# Keeps the logs of a failed suite; the kernel ends the rest with this process, the first of its pid namespace.
lab_leave() {
	lab_last=$?
	printf '%d %d\n' "$tap_count" "$tap_failed" >"$LAB_OUT/count"
	if [ "$lab_last" -ne 0 ] || [ "$tap_failed" -gt 0 ] || [ -n "${LAB_LOGS-}" ]; then
		lab_kept=$BUILD/log/$(basename "$0" .sh)
		rm -rf "$lab_kept"
		mkdir -p "$lab_kept"
		cp -r "$LAB"/log/. "$lab_kept" 2>/dev/null || true
		for lab_file in "$LAB"/*/log/mail.log "$LAB"/*/etc/main.cf "$LAB"/*/etc/master.cf "$LAB"/*/mxhold.conf; do
			[ -f "$lab_file" ] || continue
			cp "$lab_file" "$lab_kept/$(printf '%s' "${lab_file#"$LAB"/}" | tr / -)"
		done
		note "logs: $lab_kept"
	fi
	exit "$lab_last"
}

lab_done() {
	note "took $(($(date +%s) - lab_started)) s"
	[ "$tap_failed" -eq 0 ] || exit 1
	exit 0
}

# --- hosts ------------------------------------------------------------------------------------------------------

# lab_in HOST COMMAND...: in the host's network, with its resolv.conf.
lab_in() {
	lab_host_pid=$(cat "$LAB/host/$1")
	shift
	nsenter -t "$lab_host_pid" -n -m -- "$@"
}

# The words that lab_in puts in front, for PF_EXEC and for exec.
lab_words() {
	printf 'nsenter -t %s -n -m --' "$(cat "$LAB/host/$1")"
}

lab_separate() {
	[ "$(readlink "/proc/$1/ns/net" 2>/dev/null)" != "$(readlink /proc/self/ns/net)" ] &&
		[ "$(readlink "/proc/$1/ns/mnt" 2>/dev/null)" != "$(readlink /proc/self/ns/mnt)" ]
}

# lab_host NAME ADDRESS...: a host on the bridge. The documentation networks are one link.
lab_host() {
	lab_name=$1
	shift
	unshare --net --mount --propagation private sleep 100000 &
	lab_pid=$!
	wait_for 20 lab_separate "$lab_pid" || die "no namespaces for $lab_name"
	printf '%s\n' "$lab_pid" >"$LAB/host/$lab_name"
	lab_remember "$lab_pid"
	ip link add "v-$lab_name" type veth peer name eth0 netns "$lab_pid"
	ip link set "v-$lab_name" master bridge up
	{
		echo 'link set lo up'
		echo 'link set eth0 up'
		for lab_address in "$@"; do
			case $lab_address in
			*:*) echo "addr add $lab_address/32 dev eth0 nodad" ;;
			*) echo "addr add $lab_address/32 dev eth0" ;;
			esac
		done
		for lab_net in 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24; do
			echo "route add $lab_net dev eth0 src $1"
		done
	} >"$LAB/tmp/ip"
	lab_in "$lab_name" ip -batch "$LAB/tmp/ip"
	lab_etc "$lab_name"
}

# A host's own /etc/resolv.conf and /etc/hosts, in its mount namespace only.
lab_etc() {
	mkdir -p "$LAB/$1"
	chmod 0711 "$LAB/$1"
	printf 'nameserver 192.0.2.53\noptions timeout:1 attempts:2\n' >"$LAB/$1/resolv.conf"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$LAB/$1/hosts"
	for lab_file in resolv.conf hosts; do
		lab_in "$1" mount --bind "$LAB/$1/$lab_file" "$(readlink -f /etc/$lab_file)"
	done
}

lab_hosts() {
	ip link set lo up
	ip link add bridge type bridge
	ip link set bridge up
	lab_host dns 192.0.2.53 2001:db8::53
	lab_host auth 192.0.2.5 2001:db8::5
	lab_host eu 192.0.2.11 2001:db8::11
	lab_host hk 192.0.2.12 2001:db8::12
	lab_host nat 192.0.2.211 2001:db8::211
	lab_host primary 198.51.100.25 198.51.100.26 198.51.100.27 198.51.100.28 198.51.100.29 2001:db8:51::25
	lab_host sender 203.0.113.9 203.0.113.10 2001:db8:113::9
	lab_dns
}

# How many TCP connections has the host's kernel accepted so far? (On a socket of whatever program.)
lab_accepted() {
	# shellcheck disable=SC2016
	lab_in "$1" awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ { print $7 }' /proc/net/snmp
}

# --- keeping daemons, as an init does -----------------------------------------------------------------------------

# lab_keep NAME HOST COMMAND...: starts it again 0.3 s after it ended, until lab_unkeep. Its output: $LAB/log/NAME.log.
lab_keep() {
	lab_name=$1
	lab_words=$(lab_words "$2")
	shift 2
	rm -f "$LAB/run/$lab_name.stop" "$LAB/run/$lab_name.pid"
	# shellcheck disable=SC2086
	(
		trap - EXIT
		while [ ! -e "$LAB/run/$lab_name.stop" ]; do
			$lab_words "$@" </dev/null >>"$LAB/log/$lab_name.log" 2>&1 &
			echo $! >"$LAB/run/$lab_name.pid"
			wait $! || true
			echo "(init: $lab_name ended)" >>"$LAB/log/$lab_name.log"
			[ -e "$LAB/run/$lab_name.stop" ] || sleep 0.3
		done
	) 2>>"$LAB/log/init.log" &
	printf '%s\n' "$!" >"$LAB/run/$lab_name.init"
}

lab_pid() {
	wait_for 5 test -s "$LAB/run/$1.pid" || true
	cat "$LAB/run/$1.pid"
}

# A process that has ended may still wait for us to ask how: a zombie is gone too.
lab_gone() {
	case $(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) in '' | Z*) return 0 ;; esac
	return 1
}

# lab_unkeep NAME [SIGNAL]: ends it for good.
lab_unkeep() {
	touch "$LAB/run/$1.stop"
	lab_old=$(lab_pid "$1")
	kill -s CONT "$lab_old" 2>/dev/null || true
	kill -s "${2:-TERM}" "$lab_old" 2>/dev/null || true
	wait_for 10 lab_gone "$(cat "$LAB/run/$1.init")" || {
		kill -s KILL "$(lab_pid "$1")" 2>/dev/null || true # maybe a newer one, that was started in this moment
		wait_for 5 lab_gone "$(cat "$LAB/run/$1.init")"
	}
}

# --- DNS ------------------------------------------------------------------------------------------------------------

# One zone, the root, holds everything; `broken.example` is a zone without data: SERVFAIL.
lab_dns() {
	mkdir -p "$LAB/dns"
	cat "$lab_top/tests/lab/lab.zone" >"$LAB/dns/root.zone"
	[ ! -f "$LAB/more.zone" ] || cat "$LAB/more.zone" >>"$LAB/dns/root.zone"
	cat >"$LAB/dns/nsd.conf" <<-CONF
		server:
			ip-address: 192.0.2.53
			username: ""
			chroot: ""
			zonesdir: "$LAB/dns"
			database: ""
			pidfile: "$LAB/dns/nsd.pid"
			xfrdfile: "$LAB/dns/xfrd.state"
			zonelistfile: "$LAB/dns/zone.list"
			xfrdir: "$LAB/dns"
			server-count: 1
			rrl-ratelimit: 0
		remote-control:
			control-enable: no
		zone:
			name: "."
			zonefile: "root.zone"
		zone:
			name: "broken.example"
			zonefile: "missing.zone"
	CONF
	nsd-checkzone . "$LAB/dns/root.zone" >/dev/null || die 'the zone is wrong'
	lab_keep nsd dns nsd -d -c "$LAB/dns/nsd.conf"
	wait_for 30 lab_resolves || die 'NSD does not answer'
}

lab_resolves() {
	lab_in sender getent ahostsv4 mail.customer.example
}

# --- the authority -----------------------------------------------------------------------------------------------------

# In a shell of its own in the host auth; the unix socket reaches across network namespaces.
lab_pg() {
	# shellcheck disable=SC2016
	lab_in auth sh -euc 'cd "$1"; shift; . tests/lib/pg.sh; "$@"' sh "$lab_top" "$@"
}

lab_psql() {
	PGHOST=$LAB/pg PGPORT=5432 PGDATABASE=postgres PGCONNECT_TIMEOUT=10 \
		timeout 120 psql -XAtq -v ON_ERROR_STOP=1 -U "$@"
}

# lab_soc SQL: as an operator of the SOC.
lab_soc() {
	lab_psql soc -c "$1"
}

lab_authority() {
	mkdir -p "$LAB/pg"
	lab_pg pg_start "$LAB/pg" port=5432 bind=192.0.2.5 host_auth=scram-sha-256
	for lab_file in "$lab_top"/sql/[0-9]*.sql; do
		lab_psql postgres -f "$lab_file" >>"$LAB/log/migrate.log" 2>&1 || die "migration ${lab_file##*/} fails"
	done
	lab_psql postgres <<-'SQL'
		create role soc login in role mxhold_soc;
		create role relay_eu1 login password 'eu-secret' in role mxhold_relay;
		create role relay_hk1 login password 'hk-secret' in role mxhold_relay;
	SQL
	lab_soc "insert into mxhold.region (name) values ('eu'), ('hk');
		insert into mxhold.fence_allow (network) values ('198.51.100.0/24'), ('2001:db8:51::/48');
		insert into mxhold.relay (name, region, login, names, addresses) values
		('eu1', 'eu', 'relay_eu1', '{europe.mx.backup.example}', '{${LAB_EU_ADDRESSES:-192.0.2.11,2001:db8::11}}'),
		('hk1', 'hk', 'relay_hk1', '{hongkong.mx.backup.example}', '{192.0.2.12,2001:db8::12}')"
}

# The regional journal: a database of its own on the same server, for both relays.
lab_journal() {
	lab_psql postgres -c 'create database journal'
	for lab_file in "$lab_top"/sql/journal/[0-9]*.sql; do
		lab_psql postgres -d journal -f "$lab_file" >>"$LAB/log/migrate.log" 2>&1 || die "journal: ${lab_file##*/} fails"
	done
	lab_psql postgres -d journal -c "grant mxhold_journal_relay to relay_eu1, relay_hk1;
		insert into mxhold_journal.relay (name, region, login) values ('eu1', 'eu', 'relay_eu1'), ('hk1', 'hk', 'relay_hk1')"
}

# lab_rows SQL: of the journal.
lab_rows() {
	lab_psql postgres -d journal -c "$1"
}

# --- a relay --------------------------------------------------------------------------------------------------------------

# LAB_FENCE: [fence] allow. LAB_LIFETIME: queue_lifetime. LAB_STALE: stale_after. LAB_QUEUE: lines of [queue], ended by `;`.
lab_relay_conf() {
	case $1 in
	eu) lab_region=eu lab_name=eu1 lab_addresses=${LAB_EU_ADDRESSES:-192.0.2.11,2001:db8::11} ;;
	hk) lab_region=hk lab_name=hk1 lab_addresses=192.0.2.12,2001:db8::12 ;;
	esac
	[ "$2" = dedicated ] && lab_dedicated=yes || lab_dedicated=no
	cat >"$LAB/$1/mxhold.conf" <<-CONF
		[relay]
		name = $lab_name
		region = $lab_region
		public_addresses = $(printf '%s' "$lab_addresses" | sed 's/,/, /g')
		dedicated = $lab_dedicated
		postmaster = operator@primary.example
		queue_lifetime = ${LAB_LIFETIME:-5d}
		[authority]
		conninfo = host=192.0.2.5 port=5432 dbname=postgres user=relay_$lab_name password=$lab_region-secret
		poll_interval = 1s
		stale_after = ${LAB_STALE:-5s}
		[paths]
		state_dir = $LAB/$1/state
		socket_dir = $LAB/$1/spool/mxhold
		postfix_config_dir = $LAB/$1/etc
		maillog = $LAB/$1/log/mail.log
		[fence]
		allow = ${LAB_FENCE:-198.51.100.0/24, 2001:db8:51::/48}
		[users]
		group = 64100
		socket_group = postfix
		sync = 64101
		policyd = 64102
		milter = 64103
		queued = 64104
	CONF
	[ "${LAB_QUEUED-}" != yes ] || cat >>"$LAB/$1/mxhold.conf" <<-CONF
		[journal]
		conninfo = host=192.0.2.5 port=5432 dbname=journal user=relay_$lab_name password=$lab_region-secret
		[queue]
		$(printf '%s' "${LAB_QUEUE-}" | tr ';' '\n')
		[alert]
		command = $LAB/$1/alert
	CONF
	chmod 0644 "$LAB/$1/mxhold.conf"
}

# What an operator would set for quick tests: nothing of it is mxhold's, and with LAB_TIMES=postfix none of it, so that
# Postfix's own times and those of the overlay hold. One relay runs in a chroot, the other does not.
lab_postfix() {
	PF_EXEC=$(lab_words "$1")
	case $1 in
	eu) lab_myname=europe.mx.backup.example PF_CHROOT=y ;;
	hk) lab_myname=hongkong.mx.backup.example PF_CHROOT=n ;;
	esac
	pf_create "$LAB/$1" "$lab_myname"
	pf_set "$LAB/$1" smtpd_client_connection_count_limit=0 smtpd_error_sleep_time=0
	[ "${LAB_TIMES-}" = postfix ] || pf_set "$LAB/$1" \
		queue_run_delay=2s minimal_backoff_time=2s maximal_backoff_time=4s smtp_connect_timeout=3s \
		smtp_helo_timeout=5s smtp_mail_timeout=5s smtp_rcpt_timeout=5s smtp_data_init_timeout=5s \
		smtp_data_done_timeout=5s smtp_quit_timeout=1s
	PF_EXEC=
}

# What postqueue, being setgid, must find in /etc/postfix/main.cf before it looks at another directory for anybody but
# root: in the host's mount namespace only. And the alert command: it keeps what it is told, a line each.
lab_queued_files() {
	mkdir -p "$LAB/$1/postfix"
	cp -a /etc/postfix/. "$LAB/$1/postfix/"
	printf 'compatibility_level = 3.6\nalternate_config_directories = %s\n' "$LAB/$1/etc" >"$LAB/$1/postfix/main.cf"
	lab_in "$1" mount --bind "$LAB/$1/postfix" /etc/postfix
	# Of several at once each must add its line by one write.
	cat >"$LAB/$1/alert" <<-ALERT
		#!/bin/sh
		line=\$(cat)
		printf '%s\n' "\$line" >>$LAB/$1/alerts
	ALERT
	chmod 0755 "$LAB/$1/alert"
	: >"$LAB/$1/alerts"
	chown 64104 "$LAB/$1/alerts"
}

# LAB_QUEUED_AS: words in front of mxhold-queued.
lab_daemons() {
	lab_which='sync policyd milter'
	[ "${LAB_QUEUED-}" != yes ] || lab_which="$lab_which helper queued"
	for lab_daemon in $lab_which; do
		lab_as=
		[ "$lab_daemon" != queued ] || lab_as=${LAB_QUEUED_AS-}
		# shellcheck disable=SC2086
		lab_keep "$1.$lab_daemon" "$1" $lab_as "$lab_bin/mxhold-$lab_daemon" -f -c "$LAB/$1/mxhold.conf"
	done
}

# The sockets are there, and policyd answers from a snapshot: an unknown domain is known to be none (no word, no error).
lab_has_snapshot() {
	[ -S "$LAB/$1/spool/mxhold/policy" ] && [ -S "$LAB/$1/spool/mxhold/milter" ] && [ -S "$LAB/$1/spool/mxhold/map" ] &&
		[ -z "$(lab_in "$1" timeout 5 postmap -c "$LAB/$1/etc" -q unknown.example \
			"socketmap:unix:$LAB/$1/spool/mxhold/map:relay_domains" 2>&1)" ]
}

# `queue list` would tell from the state what a dead one knew.
lab_queued_answers() {
	lab_ctl "$1" primary status
}

lab_ctl() {
	lab_host=$1
	shift
	lab_in "$lab_host" timeout 120 "$lab_bin/mxholdctl" -c "$LAB/$lab_host/mxhold.conf" "$@"
}

lab_pf() {
	lab_host=$1
	lab_verb=$2
	shift 2
	PF_EXEC=$(lab_words "$lab_host") "$lab_verb" "$LAB/$lab_host" "$@"
}

# The overlay sets timeouts of its own: those of main.cf, for quick tests, take their place until the next apply, which
# would not know its services again.
lab_quick() {
	cp "$LAB/$1/etc/master.cf" "$LAB/$1/applied.cf"
	for lab_service in mxhold mxhold-tls mxhold-pin; do
		lab_pf "$1" pf_options "$lab_service/unix" smtp_connect_timeout smtp_helo_timeout smtp_starttls_timeout \
			smtp_mail_timeout smtp_rcpt_timeout smtp_data_init_timeout
	done
	lab_pf "$1" pf_reload
}

# lab_apply HOST [--shared]; LAB_QUICK=no: and no more, the overlay's timeouts stay.
lab_apply() {
	if [ -f "$LAB/$1/applied.cf" ]; then
		cat "$LAB/$1/applied.cf" >"$LAB/$1/etc/master.cf"
		rm "$LAB/$1/applied.cf"
	fi
	lab_ctl "$1" postfix apply --overlay "$lab_top/postfix-conf/overlay.conf" ${2:+"$2"} || return
	[ -n "${LAB_TIMES-}${LAB_QUICK-}" ] || lab_quick "$1"
}

# lab_relay HOST [dedicated|shared]; LAB_POSTFIX: settings NAME=VALUE that the operator has made before.
lab_relay() {
	lab_kind=${2:-dedicated}
	lab_postfix "$1"
	# shellcheck disable=SC2086
	[ -z "${LAB_POSTFIX-}" ] || lab_pf "$1" pf_set $LAB_POSTFIX
	lab_relay_conf "$1" "$lab_kind"
	[ "${LAB_QUEUED-}" != yes ] || lab_queued_files "$1"
	lab_pf "$1" pf_start
	lab_daemons "$1"
	wait_for 60 lab_has_snapshot "$1" || die "the daemons of $1 do not get ready (logs: $LAB/log)"
	lab_shared=
	[ "$lab_kind" = dedicated ] || lab_shared=--shared
	lab_apply "$1" $lab_shared >"$LAB/log/$1.apply.log" 2>&1 || {
		cat "$LAB/log/$1.apply.log" >&2
		die "mxholdctl postfix apply fails on $1"
	}
	[ "${LAB_QUEUED-}" != yes ] || wait_for 60 lab_queued_answers "$1" || die "mxhold-queued of $1 does not answer"
}

# --- the primary, the catcher, the sender ------------------------------------------------------------------------------------

# lab_server NAME HOST ADDRESS...: a server of tests/tools/primary.c; it stores below $LAB/NAME.
lab_server() {
	lab_name=$1
	lab_at=$2
	shift 2
	mkdir -p "$LAB/$lab_name/store"
	lab_keep "$lab_name" "$lab_at" "$lab_tools/primary" -c "$LAB/$lab_name/control" -d "$LAB/$lab_name/store" \
		-l "$LAB/$lab_name/ledger" "$@"
	wait_for 20 lab_server_do "$lab_name" count || die "$lab_name does not start"
}

lab_server_do() {
	lab_name=$1
	shift
	timeout 10 "$lab_tools/primary" -C "$LAB/$lab_name/control" "$@"
}

# lab_key NAME: a key and its certificate, $LAB/NAME.key and $LAB/NAME.pem; lab_pin NAME: what a row pins of it.
lab_key() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=primary.example -keyout "$LAB/$1.key" -out "$LAB/$1.pem" \
		2>>"$LAB/log/openssl.log"
}

lab_pin() {
	openssl x509 -in "$LAB/$1.pem" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256
}

lab_primary_start() {
	lab_server primary primary 198.51.100.25:25 198.51.100.26:25 198.51.100.27:25 198.51.100.28:25 \
		198.51.100.29:25 '[2001:db8:51::25]:25'
}

lab_catcher_start() {
	lab_server catcher sender 203.0.113.9:25 '[2001:db8:113::9]:25'
}

lab_primary() {
	lab_server_do primary "$@" >/dev/null
}

# lab_arrived PATTERN [SERVER]: does the ledger hold it?
lab_arrived() {
	grep -Eq -- "$1" "$LAB/${2:-primary}/ledger"
}

# --- SMTP -----------------------------------------------------------------------------------------------------------------------

lab_address() {
	case $1 in
	eu) echo 192.0.2.11 ;;
	hk) echo 192.0.2.12 ;;
	*) echo "$1" ;;
	esac
}

# lab_talk RELAY LINE...: a session from the sender; prints the reply to each line (see tests/tools/dialogue.c).
lab_talk() {
	lab_to=$(lab_address "$1")
	shift
	for lab_line in "$@"; do printf '%s\n' "$lab_line"; done |
		lab_in "${LAB_FROM:-sender}" timeout 120 "$lab_tools/dialogue" -t "${LAB_PATIENCE:-30}" "$lab_to" 25 | tail -n +2
}

# lab_rcpt RELAY RECIPIENT [MAIL-PARAMETERS [SENDER]]: the reply to RCPT, as it is.
lab_rcpt() {
	lab_talk "$1" 'EHLO sender.out.example' "MAIL FROM:<${4-sender@out.example}>${3:+ $3}" "RCPT TO:<$2>" QUIT |
		sed -n 3p
}

# lab_send RELAY RECIPIENT ID [MAIL-PARAMETERS [SENDER [RCPT-PARAMETERS]]]: a message; prints the last reply.
lab_send() {
	lab_talk "$1" 'EHLO sender.out.example' "MAIL FROM:<${5-sender@out.example}>${4:+ $4}" \
		"RCPT TO:<$2>${6:+ $6}" DATA \
		"!send Subject: test\\r\\nX-Ledger-Id: $3\\r\\n\\r\\nhello\\r\\n.\\r\\n" '!read' QUIT | sed -n 6p
}

# lab_open NAME RELAY, lab_say NAME LINE, lab_close NAME: a session that stays open in between.
lab_open() {
	mkfifo "$LAB/run/$1.in"
	lab_to=$(lab_address "$2")
	lab_in "${LAB_FROM:-sender}" "$lab_tools/dialogue" -t 30 "$lab_to" 25 <"$LAB/run/$1.in" >"$LAB/run/$1.out" &
	# The descriptor in a background process keeps the pipe open.
	sleep 100000 >"$LAB/run/$1.in" &
	printf '%s\n' "$!" >"$LAB/run/$1.holder"
	printf '0\n' >"$LAB/run/$1.lines"
	lab_reply "$1" >/dev/null
}

lab_has_line() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}

lab_reply() {
	lab_line=$(($(cat "$LAB/run/$1.lines") + 1))
	printf '%s\n' "$lab_line" >"$LAB/run/$1.lines"
	wait_for 40 lab_has_line "$LAB/run/$1.out" "$lab_line" || return 1
	sed -n "${lab_line}p" "$LAB/run/$1.out"
}

lab_say() {
	printf '%s\n' "$2" >"$LAB/run/$1.in"
	lab_reply "$1"
}

lab_close() {
	kill "$(cat "$LAB/run/$1.holder")" 2>/dev/null || true
	rm -f "$LAB/run/$1.in"
}

# --- the queue ---------------------------------------------------------------------------------------------------------------------

lab_queue() {
	lab_pf "$1" pf_queue
}

# The messages on disk: a listing can miss one that moves from one part of the queue to another. (What cleanup(8) has not
# finished is none yet, and stays behind where it was killed.)
lab_queue_files() {
	find "$LAB/$1/spool/maildrop" "$LAB/$1/spool/incoming" "$LAB/$1/spool/active" "$LAB/$1/spool/deferred" "$LAB/$1/spool/hold" \
		-type f -perm -u+x 2>/dev/null
}

lab_queue_empty() {
	[ -z "$(lab_queue_files "$1")" ] && lab_listing=$(lab_queue "$1") && [ -z "$lab_listing" ] && [ -z "$(lab_queue_files "$1")" ]
}

lab_queued() {
	lab_queue "$1" | grep -Fq -- "$2"
}

# lab_deferred RELAY RECIPIENT: the queue's reason for this recipient ("" while there is none, and while it is tried again).
lab_deferred() {
	lab_queue "$1" | sed -n "s/.*\"address\": \"$2\", \"delay_reason\": \"\\([^\"]*\\)\".*/\\1/p" | head -1
}

lab_is_deferred() {
	[ -n "$(lab_deferred "$1" "$2")" ]
}

# lab_because RELAY RECIPIENT ERE: is that the reason?
lab_because() {
	lab_deferred "$1" "$2" | grep -Eq -- "$3"
}

# lab_logged RELAY ERE: has Postfix logged it? Its log is written by a process apart, a moment later.
lab_logged() {
	grep -Eq -- "$2" "$LAB/$1/log/mail.log"
}

lab_flush() {
	PF_EXEC=$(lab_words "$1") pf_run "$LAB/$1" postqueue -c "$LAB/$1/etc" -f
}

# --- waiting for the authority's word ------------------------------------------------------------------------------------------------

# Has each relay that runs applied all that is committed?
lab_in_step() {
	lab_want=$(lab_psql postgres -c 'select mxhold.version()')
	lab_have=$(lab_psql postgres -c "select coalesce(min(version), -1) from mxhold.relay_heartbeat")
	[ "$lab_have" -ge "$lab_want" ]
}

# lab_soc_now SQL: and waits until the relays have it.
lab_soc_now() {
	lab_soc "$1" && wait_for 60 lab_in_step
}
