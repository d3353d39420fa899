#!/bin/sh
# The way of the data: a full load by mxhold-sync against a bare COPY of the same rows, memory and disk a domain, and the
# time from a commit to the changed answer of a real policyd: alone, while another session writes very many rows, and behind its
# commit until the snapshot holds them all.
#
# In: BUILD (programs are built), SIZE (domains), ROUNDS, COMMITS, BULK (domains of that other session), DECIDE_SECONDS (0:
# no decisions), FIGURES (a file for the bare figures). Out: a table on stdout and in $BUILD/bench/load.txt (with SIZE other
# than a million: load-SIZE.txt). Each figure is the median of the rounds, in each of which COPY and load have their turn.
# The authority is private; its rows are put in without triggers, as a restore does. usage: bench/load.sh
# shellcheck disable=SC2154 # $work, $sync_bin and the like come from tests/sync/lib.sh
set -eu

cd "$(dirname "$0")/.."
. tests/sync/lib.sh
SIZE=${SIZE:-1000000}
ROUNDS=${ROUNDS:-3}
COMMITS=${COMMITS:-200}
BULK=${BULK:-$([ "$SIZE" -lt 1000000 ] && echo "$SIZE" || echo 1000000)}
DECIDE_SECONDS=${DECIDE_SECONDS:-0}
watch=$BUILD/bench/load_watch
map=
feed="copy (select * from mxhold.feed_full('domain')) to stdout"

die() {
	printf 'bench/load.sh: %s\n' "$*" >&2
	exit 1
}

# A thousand customers; each tenth domain has next hops.
rows() { # FIRST LAST SUFFIX
	cat <<-SQL
		insert into mxhold.domain (name, customer, next_hops, created_at, created_by, updated_at, updated_by, tx)
		select 'd' || lpad(i::text, 8, '0') || '.$3', 'c' || i % 1000, case when i % 10 = 0 then '[203.0.113.5]:25' end,
			now(), 'bench', now(), 'bench', pg_current_xact_id()
		from generate_series($1, $2) i
	SQL
}

authority() {
	sync_setup
	sed -i 's/^poll_interval = .*/poll_interval = 10/; s/^stale_after = .*/stale_after = 60/' "$work/mxhold.conf"
	printf 'policyd = 64102\n' >>"$work/mxhold.conf"
	pg_sql -c "insert into mxhold.customer (name) select 'c' || i from generate_series(0, 999) i;
		insert into mxhold.customer_region (customer, region) select 'c' || i, 'europe' from generate_series(0, 999) i"
	{
		echo 'set session_replication_role = replica;'
		rows 0 $((SIZE - 1)) bench.example
	} | pg_sql
	pg_sql -c 'vacuum (analyze) mxhold.domain, mxhold.customer, mxhold.customer_region'
}

# copied ARGUMENTS OF PSQL...: milliseconds of a COPY to nowhere.
copied() {
	copied_began=$(now_ms)
	pg_sql "$@" >/dev/null
	echo $(($(now_ms) - copied_began))
}

# CPU time of a process so far, in milliseconds.
cpu_of() {
	awk -v hz="$(getconf CLK_TCK)" '{ printf "%d\n", ($14 + $15) * 1000 / hz }' "/proc/$1/stat"
}

took() {
	printf '%s\n' "$1" | sed -n 's/.*"took_ms":\([0-9]*\).*/\1/p'
}

# Bytes of the snapshot on disk; the hole at its end is none.
disk() {
	du --block-size=1 "$work/state/snapshot/data.mdb" | cut -f 1
}

# memory PID FIELD: KiB
memory() {
	sed -n "s/^$2:[[:blank:]]*\([0-9]*\) kB/\1/p" "/proc/$1/status"
}

note_figure() { # NAME VALUE
	[ -n "$2" ] || die "no figure for $1"
	echo "$1 $2" >>"$work/figures"
}

figure() { # NAME: the median
	awk -v n="$1" '$1 == n { print $2 }' "$work/figures" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

one_round() {
	note_figure table "$(copied -c 'copy mxhold.domain to stdout')"
	note_figure copy "$(PGOPTIONS='-c jit=off' copied -U relay_a -c "$feed")"
	note_figure copy-jit "$(copied -U relay_a -c "$feed")"
	rm -rf "$work/state/snapshot"
	daemon_start
	wait_for 1800 state_is current || die "no load: $(tail -3 "$work/sync.log")"
	note_figure load "$(took "$(status_line)")"
	note_figure load-cpu "$(cpu_of "$daemon_pid")"
	note_figure disk "$(disk)"
	note_figure load-rss "$(memory "$daemon_pid" VmHWM)"
	note_figure load-anon "$(memory "$daemon_pid" RssAnon)"
	note_figure again "$(took "$("$ask" "$work/state/control" reload 1800)")"
	note_figure both "$(disk)"
	round_began=$(now_ms)
	"$ask" "$work/state/control" verify 1800 >/dev/null
	note_figure verify $(($(now_ms) - round_began))
}

rounds() {
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		[ "$round" -eq 0 ] || daemon_stop || die "mxhold-sync ended with $?"
		one_round
		round=$((round + 1))
	done
	[ "$(status_of domains)" = "$SIZE" ] || die "the snapshot holds $(status_of domains) domains"
}

serve() {
	"$BUILD/bin/mxhold-policyd" -f -c "$work/mxhold.conf" >"$work/policyd.log" 2>&1 </dev/null &
	others="$others $!"
	wait_for 30 grep -q event=serving "$work/policyd.log" || die "$(cat "$work/policyd.log")"
	map=$work/sockets/map
	child=$(sed -n 's/.*event=child-started .*pid=\([0-9]*\).*/\1/p' "$work/policyd.log" | head -1)
	note_figure ask "$("$watch" warm "$map" "$SIZE")"
	note_figure policyd-anon "$(memory "$child" RssAnon)"
	note_figure policyd-file "$(memory "$child" RssFile)"
	[ "$DECIDE_SECONDS" -gt 0 ] || return 0
	"$BUILD/bench/policyd_load" "$work/sockets/policy" "$child" 64 "$DECIDE_SECONDS" "$SIZE" >"$work/decide"
	note_figure decide "$(cut -d' ' -f1 "$work/decide")"
	note_figure decide-p99 "$(cut -d' ' -f4 "$work/decide")"
}

# A session that adds BULK domains, by COPY and through all triggers, and commits. Prints when it sent its COMMIT
# and when it had returned.
bulk() {
	printf '%s\n' 'begin;' "\\copy mxhold.domain (name, customer) from $work/rows" >"$work/bulk.sql"
	# shellcheck disable=SC2016
	printf '%s\n' '\! echo $(date +%s%3N)' 'commit;' '\! echo $(date +%s%3N)' >>"$work/bulk.sql"
	pg_sql -f "$work/bulk.sql"
}

# Does the snapshot hold all of what is committed now?
all_there() {
	there=$(status_of version)
	[ -n "$there" ] && [ "$there" -ge "$bulk_version" ]
}

beside_bulk() {
	awk -v n="$BULK" 'BEGIN { for (i = 0; i < n; i++) printf "b%08d.bulk.example\tacme\n", (i * 7919) % 100000007 }' >"$work/rows"
	note_figure bulk-began "$(now_ms)"
	"$watch" follow "$soc" "$map" acme bulk 0 20 >"$work/beside" &
	following=$!
	others="$others $following"
	bulk >"$work/bulk"
	note_figure bulk-commit "$(sed -n 1p "$work/bulk")"
	note_figure bulk-done "$(sed -n 2p "$work/bulk")"
	bulk_version=$(pg_sql -c "select max(c.version) from mxhold.commit_log c join mxhold.domain d on d.tx = c.tx where d.name = 'b00000000.bulk.example'")
	wait_for 600 all_there || die "the $BULK are not all there: $(tail -3 "$work/sync.log")"
	note_figure bulk-seen $(($(now_ms) - $(figure bulk-done)))
	note_figure bulk-rss "$(memory "$daemon_pid" RssAnon)"
	kill "$following"
	wait "$following" || die 'the follower failed'
	awk -v c="$(figure bulk-commit)" '$2 + $4 / 1000 < c' "$work/beside" >"$work/during"
	awk -v c="$(figure bulk-commit)" '$2 + $4 / 1000 >= c' "$work/beside" >"$work/after"
}

# quantiles FILE COLUMN: p50, p99 and the greatest, in ms
quantiles() {
	sort -n -k "$2,$2" "$1" | awk -v c="$2" '{ v[NR] = $c / 1000 }
		END { printf "%9.1f %9.1f %9.1f\n", v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.999999)], v[NR] }'
}

latency_rows() { # FILE TEXT
	for kind in new hops; do
		grep "^$kind " "$1" >"$work/kind" || continue
		printf '%-52s %8s %s\n' "$2, $([ $kind = new ] && echo 'a new domain' || echo 'its next hops')" \
			"$(wc -l <"$work/kind")" "$(quantiles "$work/kind" 4)"
	done
}

# The same for programs: one figure a line, to $FIGURES.
tell() {
	awk '{ print }' "$work/figures"
	echo "load-ratio $(per "$(figure load)" "$(figure copy)")"
	echo "disk-each $(per "$(figure disk)" "$SIZE" 1)"
	echo "both-each $(per "$(figure both)" "$SIZE" 1)"
	for name in quiet during after; do
		# shellcheck disable=SC2046
		set -- $(quantiles "$work/$name" 4)
		echo "$name-p50 $1"
		echo "$name-p99 $2"
	done
}

line() { # TEXT VALUE [REST]
	printf '%-60s %12s%s\n' "$1" "$2" "${3:+  $3}"
}

per() { # NUMERATOR DENOMINATOR [DIGITS]
	awk -v a="$1" -v b="$2" -v d="${3:-2}" 'BEGIN { printf "%.*f", d, a / b }'
}

table() {
	printf 'full load of %s domains; %s rounds, medians\n%s, %s CPUs, PostgreSQL %s\n\n' "$SIZE" "$ROUNDS" "$(uname -sr)" \
		"$(nproc)" "$(pg_sql -c 'show server_version')"
	line 'COPY of the feed by psql to nowhere, ms' "$(figure copy)" "with jit = on (the default): $(figure copy-jit) ms"
	line 'COPY of the bare table (no order, nothing worked out), ms' "$(figure table)"
	line 'full load into an empty snapshot, ms' "$(figure load)" "CPU of mxhold-sync: $(figure load-cpu) ms"
	line 'full load, compared with the snapshot that serves, ms' "$(figure again)"
	line 'verification of all rows, ms' "$(figure verify)"
	line 'ratio: load / COPY of the feed' "$(per "$(figure load)" "$(figure copy)")"
	line 'ratio: load / COPY of the bare table' "$(per "$(figure load)" "$(figure table)")"
	line 'ratio: compared load / COPY of the feed' "$(per "$(figure again)" "$(figure copy)")"
	echo
	line 'disk after a first load, bytes a domain' "$(per "$(figure disk)" "$SIZE" 1)"
	line 'disk after more loads (two sets), bytes a domain' "$(per "$(figure both)" "$SIZE" 1)"
	line 'mxhold-sync, greatest resident memory, KiB' "$(figure load-rss)" "its own: $(figure load-anon), the rest is the file"
	line 'mxhold-policyd, own memory after all were asked for, KiB' "$(figure policyd-anon)"
	line 'mxhold-policyd, pages of the file, bytes a domain' "$(per "$(($(figure policyd-file) * 1024))" "$SIZE" 1)"
	line 'questions a second on one connection, 64 at a time' "$(figure ask)"
	[ "$DECIDE_SECONDS" -eq 0 ] ||
		line 'decisions a second, 64 connections' "$(figure decide)" "p99: $(figure decide-p99) us"
	echo
	printf '%-52s %8s %9s %9s %9s\n' 'from COMMIT to the changed answer, ms' commits p50 p99 greatest
	latency_rows "$work/quiet" alone
	[ ! -s "$work/during" ] || latency_rows "$work/during" "beside a COPY of $BULK"
	[ -s "$work/bulk" ] || return 0
	printf '%-52s %8s %9s\n' "COMMIT of the $BULK" 1 "$(per $(($(figure bulk-done) - $(figure bulk-commit))) 1 1)"
	[ ! -s "$work/after" ] || latency_rows "$work/after" "behind it"
	echo
	line "from COMMIT until all of the $BULK are in the snapshot, ms" "$(figure bulk-seen)" \
		"mxhold-sync's own memory then: $(figure bulk-rss) KiB"
	line 'ratio, a row: changes / full load' "$(awk -v c="$(figure bulk-seen)" -v n="$BULK" -v l="$(figure load)" -v s="$SIZE" \
		'BEGIN { printf "%.2f", c / n / (l / s) }')"
}

[ -x "$watch" ] || die "$watch is not built"
authority
soc="host=$work/pg dbname=postgres user=postgres"
rounds
serve
"$watch" follow "$soc" "$map" acme quiet $(((COMMITS + 1) / 2)) 20 >"$work/quiet"
beside_bulk
mkdir -p "$BUILD/bench"
[ "$SIZE" -eq 1000000 ] && out=load.txt || out=load-$SIZE.txt
table | tee "$BUILD/bench/$out"
[ -z "${FIGURES:-}" ] || tell >"$FIGURES"
