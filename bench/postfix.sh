#!/bin/sh
# Messages a second through Postfix with all of mxhold (policy, socketmaps, milter), against the same Postfix with null servers
# in their places, and against bare Postfix; and with one part of mxhold at a time, which says where the difference goes.
#
# In: BUILD (programs are built), ROUNDS, SESSIONS, MESSAGES_2K, MESSAGES_100K, ARRANGEMENTS. As root. Out: a table on stdout
# and in $BUILD/bench/postfix.txt; each figure is the median of the rounds, in each of which every arrangement has its turn.
# The last column is the CPU time of all servers that are no part of Postfix, for a message: it says what is ours on a busy
# machine too.
# Mail goes to discard(8), so that the queue stays short. usage: bench/postfix.sh
set -eu

cd "$(dirname "$0")/.."
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
ROUNDS=${ROUNDS:-5}
SESSIONS=${SESSIONS:-20}
MESSAGES_2K=${MESSAGES_2K:-1500}
MESSAGES_100K=${MESSAGES_100K:-600}
expected=0.9
port=10826
arrangements=${ARRANGEMENTS:-bare policy maps milter nulls mxhold}

base=$(mktemp -d /tmp/mxb.XXXXXX)
pf=$base/p
pids=
cleanup() {
	pf_stop "$pf" || true
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	wait
	rm -rf "$base"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die() {
	printf 'bench/postfix.sh: %s\n' "$*" >&2
	exit 1
}

serve() { # SOCKET COMMAND...: runs it until the end, waits for its socket
	waited=$1
	shift
	"$@" >>"$base/log" 2>&1 &
	pids="$pids $!"
	tries=100
	while [ ! -S "$waited" ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || die "no socket $waited: $(tail -3 "$base/log")"
		sleep 0.1
	done
}

prepare() {
	chmod 755 "$base"
	mkdir "$base/state"
	PF_CHROOT=y pf_create "$pf" relay.example "127.0.0.1:$port"
	echo 'mxhold unix - - y - - discard' >>"$pf/etc/master.cf"
	mkdir -p "$pf/spool/null"
	"$BUILD/tests/tools/mksnapshot" -n 100000 -g 64100 "$base/state" - <<-ROWS
		relay relay1 eu names=eu.mx.example
		customer acme regions=eu
		domain ok.example acme
	ROWS
	cat >"$base/conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		[authority]
		stale_after = 1d
		[paths]
		state_dir = $base/state
		socket_dir = $pf/spool/mxhold
		[users]
		group = 64100
		socket_group = postfix
		policyd = 64102
		milter = 64103
	CONF
	serve "$pf/spool/null/policy" "$BUILD/bench/policyd_null" "$pf/spool/null/policy"
	serve "$pf/spool/null/map" "$BUILD/bench/null_map" "$pf/spool/null/map"
	serve "$pf/spool/null/milter" "$BUILD/bench/null_milter" "$pf/spool/null/milter"
	chmod 666 "$pf"/spool/null/*
	serve "$pf/spool/mxhold/map" "$BUILD/bin/mxhold-policyd" -f -c "$base/conf"
	serve "$pf/spool/mxhold/milter" "$BUILD/bin/mxhold-milter" -f -c "$base/conf"
	pf_set "$pf" 'mynetworks =' 'mydestination =' smtpd_reject_unlisted_recipient=no local_header_rewrite_clients= \
		smtpd_client_connection_count_limit=0 smtpd_error_sleep_time=0 in_flow_delay=0
	arrange bare
	pf_start "$pf"
}

# arrange NAME: which of policy, maps and milter are there, and whose.
arrange() {
	policy='' maps='' milter=''
	case $1 in
	policy) policy=mxhold ;;
	maps) maps=mxhold ;;
	milter) milter=mxhold ;;
	nulls) policy=null maps=null milter=null ;;
	mxhold) policy=mxhold maps=mxhold milter=mxhold ;;
	esac
	restriction=
	[ -z "$policy" ] || restriction="check_policy_service { unix:$policy/policy, timeout=3s, try_limit=2, { default_action = 451 4.3.0 later } },"
	domains=ok.example
	transports='inline:{ ok.example=mxhold: }'
	if [ -n "$maps" ]; then
		domains=socketmap:unix:$maps/map:relay_domains
		transports=socketmap:unix:$maps/map:transport
	fi
	pf_set "$pf" "smtpd_relay_restrictions = $restriction reject_unauth_destination" "relay_domains = $domains" \
		"transport_maps = $transports" "smtpd_milters = ${milter:+{ unix:$milter/milter, default_action=tempfail \}}" \
		'parent_domain_matches_subdomains ='
}

# rate SIZE MESSAGES: messages a second; fails when one was refused.
rate() {
	began=$(date +%s%N)
	timeout 300 /usr/sbin/smtp-source -s "$SESSIONS" -m "$2" -l "$1" -f a@sender.example -t u@ok.example \
		"127.0.0.1:$port" >"$base/source" 2>&1 || die "smtp-source: $(head -3 "$base/source")"
	echo $(($2 * 1000000000 / ($(date +%s%N) - began)))
}

# CPU time so far of our servers and their children, in clock ticks.
ticks() {
	for pid in $pids; do
		for process in $pid $(ps -o pid= --ppid "$pid"); do
			cut -d' ' -f14,15 "/proc/$process/stat"
		done
	done | awk '{ n += $1 + $2 } END { print n }'
}

turn() { # ARRANGEMENT
	arrange "$1"
	pf_reload "$pf"
	sleep 1
	rate 2048 200 >/dev/null
	before=$(ticks)
	small=$(rate 2048 "$MESSAGES_2K")
	spent=$((($(ticks) - before) * 1000000 / $(getconf CLK_TCK) / MESSAGES_2K))
	large=$(rate 102400 "$MESSAGES_100K")
	printf '%s\n' "$1 2k $small" "$1 cpu $spent" "$1 100k $large" >>"$base/figures"
}

median() { # ARRANGEMENT SIZE
	awk -v a="$1" -v s="$2" '$1 == a && $2 == s { print $3 }' "$base/figures" | sort -n |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

table() {
	printf '%-28s %14s %14s %18s\n' 'Postfix with' '2 KB, msg/s' '100 KB, msg/s' 'servers, us/msg'
	for name in $arrangements; do
		case $name in
		bare) label='nothing' ;;
		nulls) label='null policy, maps, milter' ;;
		mxhold) label='policyd, its maps, milter' ;;
		*) label="mxhold's $name alone" ;;
		esac
		printf '%-28s %14s %14s %18s\n' "$label" "$(median "$name" 2k)" "$(median "$name" 100k)" "$(median "$name" cpu)"
	done
	for of in nulls bare; do
		[ -n "$(median $of 2k)" ] || continue
		printf '%-28s %14s %14s\n' "mxhold / $of" "$(ratio mxhold $of 2k)" "$(ratio mxhold $of 100k)"
	done
	printf '%s rounds, %s sessions, %s and %s messages; expected: mxhold / nulls at least %s\n' \
		"$ROUNDS" "$SESSIONS" "$MESSAGES_2K" "$MESSAGES_100K" "$expected"
}

ratio() { # ARRANGEMENT ARRANGEMENT SIZE
	awk -v a="$(median "$1" "$3")" -v b="$(median "$2" "$3")" 'BEGIN { printf "%.2f\n", a / b }'
}

# Every other round goes backwards: who comes late finds another disk cache.
prepare
# shellcheck disable=SC2086
backwards=$(printf '%s\n' $arrangements | tac)
round=0
while [ "$round" -lt "$ROUNDS" ]; do
	order=$arrangements
	[ $((round % 2)) -eq 0 ] || order=$backwards
	for name in $order; do
		turn "$name"
	done
	round=$((round + 1))
done
mkdir -p "$BUILD/bench"
table | tee "$BUILD/bench/postfix.txt"
for size in 2k 100k; do
	awk -v r="$(ratio mxhold nulls $size)" -v e="$expected" 'BEGIN { exit !(r >= e) }' ||
		printf 'note: below the expectation at %s\n' "$size"
done
