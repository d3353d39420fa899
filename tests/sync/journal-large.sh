#!/bin/sh
# A spool of very many rows (a relay whose journal was away for days) is shipped: at which rate, in how much memory, and what the
# feed feels of it; the shipper is killed in its midst. Shipped once more, nothing changes.
# usage: journal-large.sh [ROWS]   (default 1000000; part of `make soak`). Figures as comments, also in $BUILD/bench/ship.txt.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

many=${1:-1000000}
patience=$((120 + many / 1000))
tool=$BUILD/tests/tools/mkqueue

spool() { "$tool" "$work/state" 64100 "$@"; }
j() { pg_sql -h "$work/pgj" -p 5433 "$@"; }
shipping() { # MEMBER of the status' journal object
	status_line | sed 's/.*"journal":{\([^}]*\)}.*/\1/' | grep -o "\"$1\":[^,]*" | sed 's/^[^:]*://; s/"//g'
}
shipped_all() { [ "$(shipping behind)" = 0 ] && [ "$(shipping state)" = current ]; }
ship_pid() { pgrep -P "$daemon_pid" mxhold-ship; }
# Its own memory; pages of the spool's file can be had again at any time.
memory_kb() { awk '$1 == "RssAnon:" { print $2 }' "/proc/$(ship_pid)/status"; }
figure() { note "$*" && printf '%s\n' "$*" >>"$work/figures"; }

image() {
	j -c "select count(*) || ' ' || count(distinct (queue_id, recipient)) || ' ' || sum(hashtextextended(m::text, 0)) from mxhold_journal.message m"
}

# Domains change all the time until all is shipped; prints how long each took to be in the snapshot.
watch_feed() {
	while ! shipped_all; do
		follows 60 || echo 60000
		printf '%s %s\n' "$(shipping behind)" "$(memory_kb)" >>"$work/course"
		sleep 0.5
	done
}

per_cent_of() { # COLUMN-FILE PERCENT: that quantile
	sort -n "$1" | awk -v p="$2" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.5); print v[i < 1 ? 1 : i] }'
}

sync_setup
install -d -m 0750 -g 64100 "$work/state/queued"
pg_start "$work/pgj" port=5433 bind=127.0.0.1
PGHOST=$work/pg
PGPORT=5432
export PGHOST PGPORT
"$BUILD/bin/mxholdctl" -d "host=$work/pgj port=5433 dbname=postgres" db migrate --journal --dir sql/journal >/dev/null
j -c "create role relay_a login in role mxhold_journal_relay" \
	-c "insert into mxhold_journal.relay (name, region, login) values ('a', 'europe', 'relay_a')"
write_conf "host=$work/pg user=relay_a dbname=postgres"
printf '[journal]\nconninfo = host=%s port=5433 dbname=postgres user=relay_a\n' "$work/pgj" >>"$work/mxhold.conf"

began=$(now_ms)
# Of several days: as many partitions.
for day in 0 1 2 3 4; do
	spool rows $((many / 5)) $((day * 100000000)) $((day * 86400 + 60))
done
figure "$many rows in the spool, $(du -m "$work/state/queued/spool/data.mdb" | cut -f1) MiB (written in $(($(now_ms) - began)) ms)"

daemon_start
wait_for 20 state_is current || true
wait_for 20 test -n "$(ship_pid)" || true
began=$(now_ms)
watch_feed >"$work/latency" &
watcher=$!
others="$others $watcher"
half_shipped() { [ "$(shipping behind)" -gt 0 ] && [ "$(shipping behind)" -lt $((many / 2)) ]; }
try 'half of it is shipped' wait_for "$patience" half_shipped
kill -9 "$(ship_pid)"
try 'all of it is shipped, though the shipper was killed in between' wait_for "$patience" shipped_all
took=$(($(now_ms) - began))
wait "$watcher" || true
figure "shipped in $took ms: $((many * 1000 / took)) rows a second"
is "$(image | cut -d' ' -f1,2)" "$many $many" 'the journal has each row once'
figure "a change of a domain was in the snapshot meanwhile after $(per_cent_of "$work/latency" 50) ms (median), $(per_cent_of "$work/latency" 95) ms (95 %), $(per_cent_of "$work/latency" 100) ms at most, of $(wc -l <"$work/latency")"
ok "$([ "$(per_cent_of "$work/latency" 50)" -lt 1000 ] && echo 0 || echo 1)" 'the feed is not delayed meanwhile: in under a second'
ok "$([ "$(per_cent_of "$work/latency" 100)" -lt 10000 ] && echo 0 || echo 1)" 'and no change waits long'
cut -d' ' -f2 "$work/course" | grep . >"$work/memory" || true
figure "the shipper's memory: $(per_cent_of "$work/memory" 5) to $(per_cent_of "$work/memory" 100) KiB"
ok "$([ "$(per_cent_of "$work/memory" 100)" -lt $(($(per_cent_of "$work/memory" 5) + 8192)) ] && echo 0 || echo 1)" 'its memory does not grow'

before=$(image)
daemon_stop || true
rm -f "$work/state/shipped"
daemon_start
try 'without the note of what was shipped, it is shipped once more' wait_for "$patience" sh -c "[ -s $work/state/shipped ] &&
	[ \"\$(cut -d' ' -f1 $work/state/shipped)\" = $many ]"
is "$(image)" "$before" 'and nothing changes'
mkdir -p "$BUILD/bench"
cp "$work/figures" "$BUILD/bench/ship.txt"
tap_done
