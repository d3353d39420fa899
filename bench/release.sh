#!/bin/sh
# After an outage: how long until the first message reaches the primary again, how long until the last, and how fast is the
# drain? Three arrangements of one Postfix, in turn, on equal queues: stock Postfix alone (its own retries), an operator who runs
# `postqueue -f` the moment the primary answers, and mxhold-queued with its default times.
#
# In: BUILD (programs are built), SIZES (messages, default "1000 10000"), ROUNDS (3), DOMAINS (50), STOCK (yes; no: leaves stock
# Postfix out, which takes five minutes and more a size, measured once), OUTAGE (60 s at least before the primary is back, for stock),
# SLOW (0: the primary takes a message as fast as the CPU lets it; else it takes so many milliseconds to accept one, as servers do that
# look at a message and write it to a disk), OTHER (no; yes: a message of the host's own waits in the queue, too).
# As root. Out: a table on stdout and in $BUILD/bench/release.txt; medians of the rounds, and medians of the ratios of each round, whose
# two measurements follow each other. All times are the primary's own, to the millisecond (its ledger). `first`, `last`: seconds from the
# moment that it listens to its first 250 and its last. The drain: from the moment that the queue is let go (`postqueue -f` is typed;
# mxhold-queued flushes the first domain, the canary's delivery having proved the way) to the last 250; `from first`: from the first 250
# instead, with the pause between the canary and the flush.
# Runs in namespaces of its own, because postqueue(1) asks /etc/postfix/main.cf where others may look at another instance.
set -eu

cd "$(dirname "$0")/.."
if [ "${RELEASE_INSIDE-}" != yes ]; then
	exec env RELEASE_INSIDE=yes unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc -- sh "$0" "$@"
fi
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
SIZES=${SIZES:-1000 10000}
ROUNDS=${ROUNDS:-3}
DOMAINS=${DOMAINS:-50}
STOCK=${STOCK:-yes}
SLOW=${SLOW:-0}
OTHER=${OTHER:-no}
OUTAGE=${OUTAGE:-60}
port=10827

base=$(mktemp -d /tmp/mxr.XXXXXX)
pf=$base/p
pids=
primary=
cleanup() {
	pf_stop "$pf" || true
	# shellcheck disable=SC2086
	[ -z "$pids$primary" ] || kill $pids $primary 2>/dev/null || true
	rm -rf "$base"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die() {
	printf 'bench/release.sh: %s\n' "$*" >&2
	tail -3 "$base/log" >&2 2>/dev/null || true
	exit 1
}

await() { # SECONDS COMMAND...
	await_left=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		await_left=$((await_left - 1))
		[ "$await_left" -gt 0 ] || return 1
		sleep 0.05
	done
}

daemon() { # NAME: its process is the last of $pids
	"$BUILD/bin/mxhold-$1" -f -c "$base/conf" >>"$base/log" 2>&1 &
	pids="$pids $!"
}

rows() {
	echo 'relay relay1 eu names=eu.mx.example'
	echo 'customer acme regions=eu'
	n=0
	while [ "$n" -lt "$DOMAINS" ]; do
		echo "domain d$n.example acme hops=[203.0.113.25]"
		n=$((n + 1))
	done
}

prepare() {
	chmod 755 "$base"
	ip link set lo up
	ip addr add 203.0.113.25/32 dev lo
	mkdir "$base/state" "$base/etc"
	cp -a /etc/postfix/. "$base/etc/"
	printf 'compatibility_level = 3.6\nalternate_config_directories = %s\n' "$pf/etc" >"$base/etc/main.cf"
	mount --bind "$base/etc" /etc/postfix
	PF_CHROOT=n pf_create "$pf" relay.example "127.0.0.1:$port"
	printf 'mxhold unix - - n - - smtp\n' >>"$pf/etc/master.cf"
	pf_set "$pf" enable_long_queue_ids=yes inet_interfaces=127.0.0.1 inet_protocols=ipv4 mydestination= in_flow_delay=0 \
		relay_domains=static:all "transport_maps=socketmap:unix:$pf/spool/mxhold/map:transport" smtpd_error_sleep_time=0 \
		fast_flush_domains=static:all smtpd_client_connection_count_limit=0 mxhold_destination_concurrency_limit=20 \
		smtp_dns_support_level=enabled smtpd_reject_unlisted_recipient=no
	rows >"$base/rows"
	"$BUILD/tests/tools/mksnapshot" -r relay1 -g 64100 "$base/state" "$base/rows"
	chown -R 64101:64100 "$base/state"
	chmod 750 "$base/state"
	cat >"$base/conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		[authority]
		stale_after = 1d
		[paths]
		state_dir = $base/state
		socket_dir = $pf/spool/mxhold
		postfix_config_dir = $pf/etc
		maillog = $pf/log/mail.log
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

# --- one outage ----------------------------------------------------------------------------------------------------------

# Also when the other mail waits on.
empty() {
	[ -z "$(find "$pf/spool/incoming" "$pf/spool/active" -type f)" ] && [ "$(find "$pf/spool/deferred" -type f | wc -l)" -le "$others" ]
}

known() {
	[ "$("$BUILD/bin/mxholdctl" -c "$base/conf" queue list --json | sed -n 's/.*"messages":\([0-9]*\).*/\1/p' |
		awk '{ n += $1 } END { print n + 0 }')" -ge "$1" ]
}

# Nothing is tried any more: what came first has been put off, and Postfix waits.
all_deferred() {
	[ "$(find "$pf/spool/deferred" -type f | wc -l)" -ge "$1" ]
}

# The domains' mail comes mixed, as it does in an outage: each domain has its turn PASSES times.
PASSES=4
fill() { # MESSAGES
	each=$(($1 / DOMAINS))
	pass=0
	while [ "$pass" -lt "$PASSES" ]; do
		some=$((each * (pass + 1) / PASSES - each * pass / PASSES))
		pass=$((pass + 1))
		n=0
		while [ "$some" -gt 0 ] && [ "$n" -lt "$DOMAINS" ]; do
			timeout 300 /usr/sbin/smtp-source -s 5 -m "$some" -l 1024 -f a@sender.example -t "u@d$n.example" \
				"127.0.0.1:$port" >>"$base/log" 2>&1 || die 'smtp-source'
			n=$((n + 1))
		done
	done
	await 120 all_deferred "$(($1 + others))" || die 'not all messages were put off'
}

# Nobody answers for its domain: it waits through all rounds.
others=0
other_mail() {
	timeout 60 /usr/sbin/smtp-source -f a@sender.example -t u@elsewhere.example "127.0.0.1:$port" >>"$base/log" 2>&1 || die 'smtp-source'
	others=1
}

now() {
	date +%s.%N
}

listening() {
	grep -q ' 197100CB:0019 00000000:0000 0A ' /proc/net/tcp
}

primary_up() {
	: >"$base/ledger"
	"$BUILD/tests/tools/primary" -c "$base/control" -l "$base/ledger" 203.0.113.25:25 >>"$base/log" 2>&1 &
	primary=$!
	[ "$SLOW" = 0 ] || await 5 "$BUILD/tests/tools/primary" -C "$base/control" at end slow "$SLOW" || die 'the primary cannot be made slow'
	await 5 listening || die 'the primary does not start' # too early a `postqueue -f` would be put off again
	up=$(now)
}

primary_down() {
	kill "$primary" 2>/dev/null || true
	wait "$primary" 2>/dev/null || true
	primary=
	rm -f "$base/control"
}

# How many messages the primary has taken.
taken() {
	wc -l <"$base/ledger"
}

# let_go ARRANGEMENT: when the queue was let go, in seconds since 1970.
let_go() {
	case $1 in
	flush) echo "$up" ;;
	queued) date -d "$(sed -n "$((mark + 1)),"'$s/^\([^ ]*\) mxhold-queued[^ ]* event=flush .*/\1/p' "$base/log" | head -n 1)" +%s.%N ;;
	*) head -n 1 "$base/ledger" | cut -f 1 ;;
	esac
}

# cpu: clock ticks that Postfix, mxhold and the primary have used, with the processes that they have reaped; not this script.
cpu() {
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)/-/' | awk -v me="$$" '$1 != me { n += $14 + $15 + $16 + $17 } END { print n }'
}

all_taken() {
	sleep 0.15 # looking costs time, too
	[ "$(taken)" -ge "$1" ]
}

# outage ARRANGEMENT MESSAGES
outage() {
	if [ "$1" = queued ]; then
		: >"$pf/log/mail.log" # what the round before delivered would look like a primary that flaps
		daemon queued
		queued=${pids##* }
		await 20 known 0 || die 'mxhold-queued does not answer'
	fi
	began=$(date +%s)
	fill "$2"
	[ "$1" != queued ] || await 60 known "$2" || die 'mxhold-queued does not know what is held'
	if [ "$1" = stock ]; then
		while [ $(($(date +%s) - began)) -lt "$OUTAGE" ]; do sleep 1; done
	else
		sleep "$(awk -v s="$(od -An -N2 -tu2 /dev/urandom)" 'BEGIN { printf "%.2f", 7 + s / 65536 * 5 }')"
	fi
	mark=$(wc -l <"$base/log")
	used=$(cpu)
	primary_up
	[ "$1" != flush ] || pf_run "$pf" postqueue -c "$pf/etc" -f
	await 1200 all_taken "$2" || die 'not all of it is delivered'
	used=$(($(cpu) - used))
	await 20 empty || die 'the queue is not empty'
	primary_down
	if [ "$1" = queued ]; then
		kill "$queued"
		wait "$queued" || true
		pids=${pids% *}
	fi
	sort -n "$base/ledger" | awk -v a="$1" -v n="$2" -v u="$up" -v g="$(let_go "$1")" -v c="$used" -v hz="$(getconf CLK_TCK)" '
		NR == 1 { f = $1 }
		{ l = $1 }
		END { printf "%s %d %.2f %.2f %.0f %.0f %.0f\n", a, n, f - u, l - u, n / (l - g), n / (l - f), c * 1e6 / hz / n }' |
		tee -a "$base/figures" >&2
}

# --- the table --------------------------------------------------------------------------------------------------------------

median() { # ARRANGEMENT MESSAGES COLUMN
	awk -v a="$1" -v n="$2" -v c="$3" '$1 == a && $2 == n { print $c }' "$base/figures" | sort -n |
		awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print "-" }'
}

table() {
	printf '%-10s %-24s %10s %10s %13s %13s %12s\n' messages 'released by' 'first, s' 'last, s' 'drain, msg/s' 'from first' 'CPU, us/msg'
	for size in $SIZES; do
		for name in $arrangements; do
			case $name in
			stock) label='stock Postfix' ;;
			flush) label='postqueue -f by hand' ;;
			queued) label='mxhold-queued' ;;
			esac
			printf '%-10s %-24s %10s %10s %13s %13s %12s\n' "$size" "$label" "$(median "$name" "$size" 3)" "$(median "$name" "$size" 4)" \
				"$(median "$name" "$size" 5)" "$(median "$name" "$size" 6)" "$(median "$name" "$size" 7)"
		done
		for of in $arrangements; do
			[ "$of" != queued ] || continue
			printf '%-10s %-24s %10s %10s %13s %13s %12s\n' "$size" "mxhold-queued / $of" "$(ratio "$of" "$size" 3)" \
				"$(ratio "$of" "$size" 4)" "$(ratio "$of" "$size" 5)" "$(ratio "$of" "$size" 6)" "$(ratio "$of" "$size" 7)"
		done
	done
	printf '%s domains, medians of %s rounds (stock Postfix: of 1); expected: first at most 10 s, drain / flush at least 0.9\n' \
		"$DOMAINS" "$ROUNDS"
}

# Of each round by itself, since a machine that is shared is now fast, now slow; then their median.
ratio() { # ARRANGEMENT MESSAGES COLUMN
	awk -v b="$1" -v n="$2" -v c="$3" '$2 == n && $1 == b && $c > 0 { last = $c }
		$2 == n && $1 == "queued" && last > 0 { printf "%.2f\n", $c / last }' "$base/figures" | sort -n |
		awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print "-" }'
}

prepare
[ "$OTHER" != yes ] || other_mail
arrangements='flush queued'
[ "$STOCK" != yes ] || arrangements="stock $arrangements"
for size in $SIZES; do
	[ "$STOCK" != yes ] || outage stock "$size"
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		outage flush "$size"
		outage queued "$size"
		round=$((round + 1))
	done
done
mkdir -p "$BUILD/bench"
table | tee "$BUILD/bench/release.txt"
