#!/bin/sh
# Measures a full load against a bare COPY of the same rows; not part of `make check`. usage: load.sh [DOMAINS] [ROUNDS]
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

count=${1:-1000000}
rounds=${2:-3}
sync_setup
pg_sql -c "insert into mxhold.domain (name, customer) select 'domain-' || i || '.example', 'acme' from generate_series(1, $count) i" -c 'vacuum analyze'
note "$count domains"

copy() {
	began=$(now_ms)
	psql -XAtq -U relay_a -c "copy (select * from mxhold.feed_full('$1')) to stdout" >/dev/null
	echo $(($(now_ms) - began))
}
daemon_start
wait_for 600 state_is current || true
is "$("$dump" "$work/state" a domains | wc -l)" "$count" 'all are there'
i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	daemon_stop || true
	rm -rf "$work/state/snapshot"
	bare=$(copy domain)
	daemon_start
	wait_for 600 state_is current || true
	first=$(status_line | grep -o '"took_ms":[0-9]*')
	"$ask" "$work/state/control" reload 600 >"$work/reload"
	again=$(grep -o '"took_ms":[0-9]*' "$work/reload")
	note "round $i: bare COPY $bare ms, first load ${first#*:} ms, load with comparison ${again#*:} ms"
done
note "$(grep -E 'VmHWM|RssAnon|RssFile' "/proc/$daemon_pid/status" | tr -s '\t \n' ' ')"
note "$(du -k "$work/state/snapshot/data.mdb" | cut -f 1) KiB on disk after two loads (both sets), $(($(du -k "$work/state/snapshot/data.mdb" | cut -f 1) * 1024 / count)) bytes a domain"
began=$(now_ms)
"$ask" "$work/state/control" verify 600 >/dev/null
note "verification: $(($(now_ms) - began)) ms"
began=$(now_ms)
pg_sql -c "insert into mxhold.domain (name, customer) values ('one.change', 'acme')"
wait_for 20 log_has 'event=changes-applied' || true
note "one change, from before its commit until the log says so: $(($(now_ms) - began)) ms"
daemon_stop || true
tap_done
