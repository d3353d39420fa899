#!/bin/sh
# queued-scale: very many held messages, domains and primaries at once. Messages for very many domains lie in a private Postfix; their
# primaries are down: a part swallows what is sent to them, a part refuses connections; the next hops of every other domain
# come from MX records, those of some are several. mxhold-queued has its default times. Then nothing changes for a while, and what it uses is measured; at
# the end some primaries of each kind come back, one after the other, and their mail must leave at once.
#
# In: BUILD, MESSAGES (100000), DOMAINS (10000), PRIMARIES (600), SWALLOW (percent of them that swallow SYNs; 50), IDLE (seconds
# that are measured; 180), LIMIT (percent of a core; 10), FIRST (seconds until the first message may have arrived; 10), BACK (primaries of a kind that
# come back; 3).
# As root, in namespaces of its own (`make soak`). Out: TAP; figures as comments, also in $BUILD/bench/scale.txt.
set -eu

cd "$(dirname "$0")/../.."
if [ "${SCALE_INSIDE-}" != yes ]; then
	exec env SCALE_INSIDE=yes unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc -- sh "$0" "$@"
fi
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
MESSAGES=${MESSAGES:-100000}
DOMAINS=${DOMAINS:-10000}
PRIMARIES=${PRIMARIES:-600}
SWALLOW=${SWALLOW:-50}
IDLE=${IDLE:-180}
LIMIT=${LIMIT:-10}
FIRST=${FIRST:-10}
BACK=${BACK:-3}
[ "$PRIMARIES" -le "$DOMAINS" ] || PRIMARIES=$DOMAINS
swallowing=$((PRIMARIES * SWALLOW / 100))
base=$(mktemp -d /tmp/mxs.XXXXXX)
pf=$base/p
pids=

cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -5 "$base/log" "$pf/log/mail.log" 2>/dev/null | cut -c1-300 | sed 's/^/# /'
	fi
	pf_stop "$pf" || true
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
	umount -l "$base" 2>/dev/null || true
	rmdir "$base"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

await() { # SECONDS COMMAND...
	await_end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$await_end" ] || return 1
		sleep 0.05
	done
}

daemon() { # NAME: its process is the last of $pids
	"$BUILD/bin/mxhold-$1" -f -c "$base/conf" >>"$base/log" 2>&1 &
	pids="$pids $!"
}

figure() { # TEXT
	printf '# %s\n' "$*" | tee -a "$base/figures"
}

# --- the scene --------------------------------------------------------------------------------------------------------

# Primary P: 10.1.x.y swallows (an interface where nobody is), 10.2.x.y refuses (an address of ours where nobody listens).
network() {
	ip link set lo up
	ip link add void type veth peer name nobody
	ip addr add 10.1.255.254/16 dev void
	ip link set void up arp off
	ip link set nobody up arp off
	ip addr add 10.2.255.254/16 dev lo
	ip addr add 192.0.2.53/32 dev lo
	ip addr add 203.0.113.9/32 dev lo
}

# Domain I belongs to primary I modulo PRIMARIES; every other one has MX records only; each tenth of the others has a second hop.
tables() {
	awk -v domains="$DOMAINS" -v primaries="$PRIMARIES" -v swallowing="$swallowing" -v base="$base" 'BEGIN {
		rows = base "/rows"; zone = base "/root.zone"; names = base "/recipients"
		print "relay relay1 eu names=eu.mx.example addresses=203.0.113.9" >rows
		print "customer acme regions=eu" >rows
		print "$TTL 300\n. SOA ns.example. root.example. 1 3600 600 86400 60\n. NS ns.example.\nns.example. A 192.0.2.53" >zone
		print "eu.mx.example. A 203.0.113.9" >zone
		for (p = 0; p < primaries; p++) {
			address[p] = (p < swallowing ? "10.1." : "10.2.") int(p / 250) "." p % 250 + 1
			print "p" p ".example. A " address[p] >zone
		}
		for (i = 0; i < domains; i++) {
			p = i % primaries
			hops = int(i / 2) % 2 ? "" : " hops=[" address[p] "]" (i % 10 ? "" : ",[" address[(p + 1) % primaries] "]")
			print "domain d" i ".example acme" hops >rows
			print "d" i ".example. MX 10 p" p ".example.\nd" i ".example. MX 20 eu.mx.example." >zone
			print (i % 2 ? "odd" : "even") " user@d" i ".example" >names
		}
	}'
}

dns() {
	cat >"$base/nsd.conf" <<-CONF
		server:
			ip-address: 192.0.2.53
			username: ""
			chroot: ""
			zonesdir: "$base"
			database: ""
			pidfile: "$base/nsd.pid"
			xfrdfile: "$base/xfrd.state"
			zonelistfile: "$base/zone.list"
			xfrdir: "$base"
			server-count: 1
			rrl-ratelimit: 0
		remote-control:
			control-enable: no
		zone:
			name: "."
			zonefile: "root.zone"
	CONF
	printf 'nameserver 192.0.2.53\noptions timeout:1 attempts:2\n' >"$base/resolv.conf"
	mount --bind "$base/resolv.conf" "$(readlink -f /etc/resolv.conf)"
	nsd -d -c "$base/nsd.conf" >>"$base/log" 2>&1 &
	pids="$pids $!"
	await 20 getent ahostsv4 p0.example || die 'NSD does not answer'
}

relay() {
	mkdir "$base/state" "$base/etc"
	cp -a /etc/postfix/. "$base/etc/"
	printf 'compatibility_level = 3.6\nalternate_config_directories = %s\n' "$pf/etc" >"$base/etc/main.cf"
	mount --bind "$base/etc" /etc/postfix
	PF_CHROOT=n pf_create "$pf" relay.example 127.0.0.1:10025
	printf 'mxhold unix - - n - - smtp\n' >>"$pf/etc/master.cf"
	# While the queue fills nothing is tried; afterwards Postfix itself keeps quiet for a day.
	pf_set "$pf" enable_long_queue_ids=yes inet_interfaces=127.0.0.1 inet_protocols=ipv4 mydestination= in_flow_delay=0 \
		relay_domains=static:all "transport_maps=socketmap:unix:$pf/spool/mxhold/map:transport" smtpd_error_sleep_time=0 \
		fast_flush_domains=static:all smtpd_client_connection_count_limit=0 smtpd_reject_unlisted_recipient=no \
		smtp_dns_support_level=enabled qmgr_message_active_limit=100000 qmgr_message_recipient_limit=100000 \
		minimal_backoff_time=1d maximal_backoff_time=1d defer_transports=mxhold
	"$BUILD/tests/tools/mksnapshot" -r relay1 -g 64100 "$base/state" "$base/rows"
	chown -R 64101:64100 "$base/state"
	chmod 750 "$base/state"
	cat >"$base/conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		public_addresses = 203.0.113.9
		[authority]
		stale_after = 1d
		[paths]
		state_dir = $base/state
		socket_dir = $pf/spool/mxhold
		postfix_config_dir = $pf/etc
		maillog = $pf/log/mail.log
		[fence]
		allow = 10.0.0.0/8
		[users]
		group = 64100
		socket_group = postfix
		sync = 64101
		policyd = 64102
		milter = 64103
		queued = 64104
	CONF
	daemon policyd
	await 10 test -S "$pf/spool/mxhold/map" || die 'policyd does not start'
	pf_start "$pf"
}

ctl() {
	timeout 60 "$BUILD/bin/mxholdctl" -c "$base/conf" "$@"
}

# --- looking ----------------------------------------------------------------------------------------------------------

known_messages() {
	ctl queue list --json 2>/dev/null | sed -n 's/.*"messages":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'
}

knows() { # MESSAGES
	[ "$(known_messages)" -ge "$1" ]
}

# The serving process is the parent's child.
queued_child() {
	pgrep -P "$queued" -x mxhold-queued | head -1
}

# Ticks of both, and of what they ran and waited for.
ticks() {
	cat "/proc/$queued/stat" "/proc/$(queued_child)/stat" | sed 's/.*) //' | awk '{ n += $12 + $13 + $14 + $15 } END { print n }'
}

memory_kb() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$(queued_child)/status"
}

descriptors() {
	find "/proc/$(queued_child)/fd" -mindepth 1 | wc -l
}

# The share of a core, in thousandths, over SECONDS; and the most descriptors that were seen.
measure() { # SECONDS
	most=0
	from=$(ticks)
	began=$(date +%s%N)
	while [ $((($(date +%s%N) - began) / 1000000000)) -lt "$1" ]; do
		count=$(descriptors)
		[ "$count" -le "$most" ] || most=$count
		sleep 1
	done
	share=$((($(ticks) - from) * 1000 * 1000000000 / ($(getconf CLK_TCK) * ($(date +%s%N) - began))))
}

percent() { # THOUSANDTHS
	awk -v n="$1" 'BEGIN { printf "%.1f", n / 10 }'
}

address_of() { # PRIMARY
	if [ "$1" -lt "$swallowing" ]; then net=10.1; else net=10.2; fi
	echo "$net.$(($1 / 250)).$(($1 % 250 + 1))"
}


# All mail of a primary: of each of its domains the same number (as far as it goes round).
expected() { # PRIMARY
	awk -v p="$1" -v primaries="$PRIMARIES" -v domains="$DOMAINS" -v messages="$MESSAGES" 'BEGIN {
		for (i = p; i < domains; i += primaries) n += int(messages / domains) + (i < messages % domains)
		print n }'
}

come_back() { # PRIMARY WORDS
	address=$(address_of "$1")
	want=$(expected "$1")
	mkdir -p "$base/store.$1"
	: >"$base/ledger.$1"
	ip addr add "$address/32" dev lo 2>/dev/null || true
	"$BUILD/tests/tools/primary" -c "$base/control.$1" -d "$base/store.$1" -l "$base/ledger.$1" "$address:25" >>"$base/log" 2>&1 &
	pids="$pids $!"
	up=$(date +%s%N)
	first=- last=-
	if await $((FIRST + 30)) test -s "$base/ledger.$1"; then first=$((($(date +%s%N) - up) / 1000000)); fi
	if await 120 has_lines "$base/ledger.$1" "$want"; then last=$((($(date +%s%N) - up) / 1000000)); fi
	figure "primary $1, that $2: first message after $first ms, the last of $want after $last ms"
	ok "$([ "$first" != - ] && [ "$first" -le $((FIRST * 1000)) ] && echo 0 || echo 1)" \
		"primary $1, that $2, is back: the first message arrives within $FIRST s"
	is "$(wc -l <"$base/ledger.$1")" "$want" 'and all of its mail'
}

has_lines() { # FILE COUNT
	[ "$(wc -l <"$1")" -ge "$2" ]
}

# --- the play -----------------------------------------------------------------------------------------------------------

mount -t tmpfs -o mode=0755,size="${SCALE_SIZE:-4g}" scale "$base"
network
tables
dns
relay
daemon queued
queued=${pids##* }
await 20 ctl queue list || die 'mxhold-queued does not answer'
began=$(date +%s)
"$BUILD/tests/tools/sender" -s 127.0.0.1:10025 -r "$base/recipients" -l "$base/ledger" -n "$MESSAGES" -m 20 -b 90 -z 500 >>"$base/log" 2>&1 ||
	die 'the sender fails'
figure "filled in $(($(date +%s) - began)) s"
ok "$(await 120 knows "$MESSAGES" && echo 0 || echo 1)" "all $MESSAGES messages of $DOMAINS domains are known"
pf_set "$pf" defer_transports=
pf_reload "$pf"

# A new process, as after a reboot: from the spool and a listing.
kill "$queued"
wait "$queued" 2>/dev/null || true
daemon queued
queued=${pids##* }
began=$(date +%s%N)
ok "$(await 60 knows "$MESSAGES" && echo 0 || echo 1)" 'they are known again after a restart'
figure "known again after $((($(date +%s%N) - began) / 1000000)) ms"
measure 60
figure "the first minute: $(percent "$share") % of a core, $(memory_kb) KiB of memory, $most descriptors"

measure "$IDLE"
figure "nothing changes, for $IDLE s: $(percent "$share") % of a core, $(memory_kb) KiB of memory, $most descriptors"
ok "$([ "$share" -lt $((LIMIT * 10)) ] && echo 0 || echo 1)" "it uses less than $LIMIT % of a core"
ok "$([ "$(memory_kb)" -lt $((200000 + MESSAGES * 4)) ] && echo 0 || echo 1)" 'its memory is within bounds'
ok "$([ "$most" -lt "$(awk '/^Max open files/ { print $4 }' "/proc/$(queued_child)/limits")" ] && echo 0 || echo 1)" \
	'it does not reach its limit of descriptors'
began=$(date +%s%N)
lines=$(ctl queue list | wc -l)
took=$((($(date +%s%N) - began) / 1000000))
figure "mxholdctl queue list: $lines lines in $took ms"
ok "$([ "$took" -lt 5000 ] && [ "$lines" -ge "$DOMAINS" ] && echo 0 || echo 1)" 'mxholdctl queue list shows all domains within 5 s'
is "$(ctl primary status --json | grep -c '"state":"down"')" "$DOMAINS" "each domain's primary is known to be down"

n=0
while [ "$n" -lt "$BACK" ]; do
	[ "$swallowing" -eq 0 ] || come_back $((n * swallowing / BACK + 2)) 'swallowed connections'
	[ "$swallowing" -eq "$PRIMARIES" ] || come_back $((PRIMARIES - 1 - n)) 'refused connections'
	n=$((n + 1))
done
is "$(grep -c 'event=.*unaccounted' "$base/log" || true)" 0 'nothing is unaccounted'
mkdir -p "$BUILD/bench"
cp "$base/figures" "$BUILD/bench/scale.txt"
tap_done
