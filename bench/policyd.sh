#!/bin/sh
# Decisions a second, CPU a decision and p99 of mxhold-policyd, against a null server on bare epoll.
#
# In: BUILD (programs are built), ROUNDS, SECONDS_EACH, DOMAINS. Out: a table on stdout and in
# $BUILD/bench/policyd.txt. Both servers run at the same time and are asked in turn; each figure is the
# median of the rounds. usage: bench/policyd.sh
set -eu

cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
DOMAINS=${DOMAINS:-1000000}
expected=0.6

base=$(mktemp -d /tmp/mxhold-bench.XXXXXX)
policyd=
null=
cleanup() {
	[ -z "$policyd" ] || kill "$policyd" 2>/dev/null || true
	[ -z "$null" ] || kill "$null" 2>/dev/null || true
	wait
	rm -rf "$base"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$base/state" "$base/sock"
cat >"$base/conf" <<CONF
[relay]
name = relay1
region = eu
[authority]
stale_after = 1d
[paths]
state_dir = $base/state
socket_dir = $base/sock
[users]
group = 64100
socket_group = 64105
policyd = 64102
CONF
chmod 755 "$base"
if [ "$(id -u)" -eq 0 ]; then
	chgrp 64100 "$base/state"
	"$BUILD/tests/tools/mksnapshot" -g 64100 -n "$DOMAINS" "$base/state"
else
	"$BUILD/tests/tools/mksnapshot" -n "$DOMAINS" "$base/state"
fi

: >"$base/log"
"$BUILD/bin/mxhold-policyd" -f -c "$base/conf" 2>"$base/log" &
policyd=$!
"$BUILD/bench/policyd_null" "$base/null" &
null=$!
tries=100
while ! grep -q event=serving "$base/log" || ! [ -S "$base/null" ]; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || { cat "$base/log" >&2; exit 1; }
	sleep 0.1
done
child=$(sed -n 's/.*event=child-started .*pid=\([0-9]*\).*/\1/p' "$base/log" | head -1)

# median FILE COLUMN
median() {
	sort -n -k "$2,$2" "$1" | awk -v c="$2" '{ v[NR] = $c } END { print v[int((NR + 1) / 2)] }'
}

for connections in 1 8 64; do
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		round=$((round + 1))
		"$BUILD/bench/policyd_load" "$base/null" "$null" "$connections" "$SECONDS_EACH" \
			"$DOMAINS" >>"$base/null.$connections"
		"$BUILD/bench/policyd_load" "$base/sock/policy" "$child" "$connections" \
			"$SECONDS_EACH" "$DOMAINS" >>"$base/policyd.$connections"
	done
done

mkdir -p "$BUILD/bench"
{
	printf 'policyd against a null server; %s domains, %s rounds of %s s, medians\n' \
		"$DOMAINS" "$ROUNDS" "$SECONDS_EACH"
	printf '%s, %s CPUs\n\n' "$(uname -sr)" "$(nproc)"
	printf '%11s  %-8s %12s %14s %9s %9s\n' connections server decisions/s 'CPU us each' 'p50 us' 'p99 us'
	for connections in 1 8 64; do
		for server in null policyd; do
			file=$base/$server.$connections
			printf '%11s  %-8s %12s %14s %9s %9s\n' "$connections" "$server" \
				"$(median "$file" 1)" "$(median "$file" 2)" "$(median "$file" 3)" \
				"$(median "$file" 4)"
		done
		awk -v a="$(median "$base/policyd.$connections" 1)" \
			-v b="$(median "$base/null.$connections" 1)" \
			-v c="$(median "$base/policyd.$connections" 2)" \
			-v d="$(median "$base/null.$connections" 2)" \
			-v n="$connections" -v e="$expected" 'BEGIN {
			printf "%11s  %-8s %12.2f %14.2f", n, "ratio", a / b, c / d
			if (n == 64)
				printf "   (expected: at least %s)", e
			printf "\n" }'
	done
} | tee "$BUILD/bench/policyd.txt"
