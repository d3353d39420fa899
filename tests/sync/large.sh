#!/bin/sh
# mxhold-sync and transactions of very many rows: what is committed behind or beside them does not wait for them, no version
# is claimed before all of it is there, a kill in between loses nothing, and memory does not grow. Order is taken from the
# log, where each page of changes is a line, not from the clock. SIZE: rows of the large transactions; LARGE_PATIENCE: seconds that
# a relay may take for one.
# shellcheck disable=SC2154 # $work and the like come from lib.sh
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh
size=${SIZE:-200000}
patience=${LARGE_PATIENCE:-120}

sync_setup
daemon_start
wait_for 30 state_is current || true
is "$(status_of state)" current 'comes up and is current'

# The field NAME of a line of the log.
field() {
	sed -n "s/.* $1=\([0-9]*\).*/\1/p"
}
# From here on, `pages` tells the pages of changes that follow.
mark() {
	marked=$(wc -l <"$work/sync.log")
}
pages() {
	tail -n "+$((marked + 1))" "$work/sync.log" | grep 'event=changes-applied'
}
page_has() {
	pages | grep -Eq -- "$1"
}
sql_version() {
	pg_sql -c 'select mxhold.version()'
}
claimed() {
	version=$(status_of version)
	[ -n "$version" ] && [ "$version" -ge "$1" ]
}
# What the snapshot holds is what the tables hold, row by row; too long for shell variables.
agrees() {
	domains >"$work/got" 2>/dev/null || return 1
	domains_by_sql >"$work/expected"
	cmp -s "$work/got" "$work/expected"
}
agree() {
	if wait_for "$patience" claimed "$(sql_version)" && agrees; then ok 0 "$1"; else
		ok 1 "$1"
		note "$(diff "$work/expected" "$work/got" | head -5)"
		note "$(status_line)"
	fi
}
# The daemon is nobody's between hold and release, and then sees at once what was committed meanwhile.
hold() {
	pg_sql -c 'alter role relay_a nologin' -c "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay_a'" >/dev/null
	wait_for 40 state_is unreachable
}
release() {
	pg_sql -c 'alter role relay_a login'
}
# Commits before, large and behind, as three transactions that the daemon sees at once.
large() { # SQL OF THE LARGE ONE
	had=$(status_of version)
	hold
	mark
	pg_sql -c "insert into mxhold.domain (name, customer) values ('before$marked.example', 'acme')" -c "$1" \
		-c "insert into mxhold.domain (name, customer) values ('behind$marked.example', 'acme')" >/dev/null
	release
	wait_for "$patience" claimed "$(sql_version)" || note "$(status_line)"
}

# --- a large transaction, and small ones before and behind it
large "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, $size) i"
first=$(pages | head -n 1)
is "$(echo "$first" | field rows)" 1002 'the first page holds the small ones, and the beginning of the large one'
[ -n "$first" ] || note "instead: $(tail -n "+$((marked + 1))" "$work/sync.log" | cut -c 1-200 | tr '\n' ' ')"
is "$(echo "$first" | field version)" "$had" '... and nothing is claimed by it'
is "$(echo "$first" | field large)" 1 '... as the rest is yet to come'
is "$(pages | tail -n 1 | field large)" 0 'the last page completes it'
is "$(pages | sed '$d' | field version | sort -u)" "$had" '... and before it, nothing was claimed'
is "$(pages | field rows | sort -n | tail -n 1)" 20000 'no page is larger than it may be'
agree 'the snapshot holds what the tables hold'
is "$(grep -cv '^2' "$work/sync.log")" 0 'the log holds events only, also where the server says why it ends a connection'
like "$(grep -c 'event=server-notice severity=FATAL message="terminating connection' "$work/sync.log")" '^[1-9]' '... which is one'

# --- what is committed while its pages are read. The daemon may be done with them before our commit comes: then once more.
beside() { # TRY: prints where the page with the small one came
	mark
	pg_sql -c "update mxhold.domain set suspended = not suspended where name like 'd%'" >/dev/null
	wait_for 30 page_has ' large=1 ' || true
	pg_sql -c "insert into mxhold.domain (name, customer) values ('beside$1.example', 'acme')"
	wait_for "$patience" claimed "$(sql_version)" || true
	pages | awk '/ rows=1 / { seen = / large=1 / ? "between" : "after" } END { print seen }'
}
for try in 1 2 3 4 5; do
	came=$(beside "$try")
	[ "$came" != between ] || break
done
is "$came" between 'a small one committed meanwhile is in the snapshot between two pages'
agree 'the snapshot holds what the tables hold'

# --- rows that change again before their page is read, or go
mark
pg_sql -c "update mxhold.domain set suspended = false where name like 'd%'" >/dev/null
wait_for 30 page_has ' large=1 ' || true
pg_sql -c "update mxhold.domain set size_limit = 5000, name = 'x' || name where name like 'd9%'" -c "delete from mxhold.domain where name like 'd8%'" >/dev/null
agree 'rows that changed again meanwhile are as they were last'

# --- a customer with next hops in all his domains gains and loses a region
pg_sql -c "update mxhold.domain set next_hops = '[203.0.113.5]:25' where name like 'd%'" >/dev/null
wait_for "$patience" claimed "$(sql_version)" || true
for regions in '{america}' '{europe,america}'; do
	large "select mxhold.customer_set_regions('acme', '$regions')"
	ok $(($(pages | wc -l) < 3)) "regions of a customer become $regions: in $(pages | wc -l) pages"
	agree '... and the snapshot follows'
done

# --- more large ones than are kept in mind
hold
mark
i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	echo "insert into mxhold.domain (name, customer) select 'l$i-' || i || '.example', 'acme' from generate_series(1, 1500) i;"
done | pg_sql
release
agree 'twenty large transactions at once'
is "$(pages | field large | sort -n | tail -n 1)" 16 '... of which sixteen wait at a time'

# --- killed in the middle, which may come too late: then once more
for try in 1 2 3 4 5; do
	mark
	had=$(status_of version)
	pg_sql -c "update mxhold.domain set suspended = not suspended where name like 'd%' or name like 'l%'" >/dev/null
	wait_for 30 page_has ' large=1 ' || true
	daemon_stop KILL 2>/dev/null || true
	last=$(pages | tail -n 1 | field version)
	[ "$last" != "$had" ] || break
	daemon_start
	wait_for "$patience" claimed "$(sql_version)" || true
done
is "$last" "$had" 'killed before the version was claimed'
[ -n "$daemon_pid" ] || daemon_start
wait_for 40 state_is current || true
agree 'the next start takes it all'
is "$("$ask" "$work/state/control" reload | grep -o ', [0-9]* differing')" ', 0 differing' 'the comparison finds nothing else'

# --- memory
own=$(sed -n 's/^RssAnon:[[:blank:]]*\([0-9]*\) kB/\1/p' "/proc/$daemon_pid/status")
note "mxhold-sync's own memory: $own KiB"
ok $((own > ${OWN_MAX:-16384})) 'its own memory has stayed small'
daemon_stop || true
tap_done
