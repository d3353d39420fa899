#!/bin/sh
# What can happen to the snapshot and to the one who writes it: kill -9, a full disk, a file that is cut off or
# overwritten under it, a crash in the midst of it.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

sync_setup
pg_sql -c "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 5000) i"
daemon_start
wait_for 40 state_is current || true
same "$(domains)" "$(domains_by_sql)" 'loaded'

# --- kill -9 in the midst of loads and changes: never anything but a whole old or a whole new set
i=0
bad=0
while [ $i -lt 8 ]; do
	i=$((i + 1))
	pg_sql -c "update mxhold.domain set size_limit = $i + 1000000"
	expected=$(domains_by_sql | cut -d '|' -f 1)
	[ $((i % 2)) -eq 0 ] || timeout 5 "$ask" "$work/state/control" reload 4 >/dev/null 2>&1 &
	sleep "0.$((i * 7 % 10))"
	daemon_stop KILL 2>/dev/null || true
	[ "$(domains | cut -d '|' -f 1)" = "$expected" ] || bad=$((bad + 1))
	daemon_start
	wait_for 30 state_is current || bad=$((bad + 1))
done
is "$bad" 0 'eight times kill -9 in loads and changes: the snapshot is whole each time'
try 'and what was changed meanwhile arrives' wait_for 30 sh -c '. tests/sync/same.sh'

# --- a full disk under the snapshot
daemon_stop || true
mkdir -p "$work/small"
mount -t tmpfs -o size=8m,mode=755 tmpfs "$work/small"
state=$work/small/state
export state
write_conf "host=$work/pg user=relay_a dbname=postgres"
daemon_start
wait_for 40 state_is current || true
same "$(domains)" "$(domains_by_sql)" 'on a small disk: loaded'
full=$work/small/filler
fill() { dd if=/dev/zero of="$full" bs=64k >/dev/null 2>&1 || true; }
before=$(domains)
fill
pg_sql -c "insert into mxhold.domain (name, customer) select 'full' || i || '.example', 'acme' from generate_series(1, 40000) i"
try 'disk full: no-store' wait_for 40 state_is no-store
same "$(domains)" "$before" 'disk full: what is authorised stays so'
ok "$(log_has 'event=snapshot-not-written' && echo 0 || echo 1)" 'disk full: the log says so'
aged() { [ "$("$dump" "$state" a contact)" -gt 2000 ]; }
try 'disk full: the contact ages' wait_for 15 aged
rm -f "$full"
pg_sql -c "delete from mxhold.domain where name like 'full%' and name > 'full2'"
recovered() { state_is current && [ "$(domains)" = "$(domains_by_sql)" ]; }
try 'room again: recovers by itself' wait_for 60 recovered
daemon_stop || true
try 'what it had open there is closed' wait_for 10 umount "$work/small" # who walks over all mounts holds it for a moment
state=$work/state
write_conf "host=$work/pg user=relay_a dbname=postgres"
daemon_start
wait_for 40 state_is current || true

# --- the file itself. Whatever is done to it, readers get "cannot tell" or what is right, never a wrong no.
data=$state/snapshot/data.mdb
heals() {
	if wait_for 40 sh -c '. tests/sync/same.sh'; then ok 0 "$1: loaded anew, all is there"; else
		ok 1 "$1: loaded anew, all is there"
		note "$(status_line)"
		note "$(tail -5 "$work/sync.log")"
	fi
	try "$1: and the process goes on" kill -0 "$daemon_pid"
	took=$(follows 30) || took=none
	ok "$([ "$took" != none ] && echo 0 || echo 1)" "$1: and follows ($took ms)"
}
truncate -s 100000 "$data"
sleep 1.5
heals 'truncated'
truncate -s 0 "$data"
sleep 1.5
heals 'emptied'
dd if=/dev/urandom of="$data" bs=4096 seek=2 count=600 conv=notrunc >/dev/null 2>&1
sleep 1.5
heals 'overwritten'
# One byte of a name: by that row's place the others' would seem to be gone.
renamed() { python3 -c 'import sys
with open(sys.argv[1], "r+b") as file:
    data, old, new = file.read(), sys.argv[2].encode(), sys.argv[3].encode()
    at = data.find(old)
    while at >= 0:
        file.seek(at)
        file.write(new)
        at = data.find(old, at + 1)' "$data" "$1" "$2"; }
for name in d983.example d183.example; do
	renamed d583.example "$name"
	sleep 1.5
	heals "d583.example reads $name"
done
# The first two rows out of order, where a check of the rows has to end, and behind them pages of rows that are none: LMDB
# cannot read those, and one attempt at it spoils the whole transaction. So no load into this file can succeed.
: >"$work/sync.log"
python3 - "$data" <<'PYTHON'
import struct, sys
# LMDB 0.9. struct MDB_page: number, two bytes, flags; the offsets of its nodes. struct MDB_node: 6 bytes, length of the key.
PAGE, HEADER, NODE, LEAF = 4096, 16, 8, 0x02

def first_key(page):
    at, = struct.unpack_from("<H", page, HEADER)
    return page[at + NODE:][:struct.unpack_from("<H", page, at + 6)[0]]

with open(sys.argv[1], "r+b") as file:
    data = file.read()
    pages = {}
    for number in range(2, len(data) // PAGE):
        page = data[number * PAGE:][:PAGE]
        own, flags = struct.unpack_from("<Q2xH", page)
        if own == number and flags & 0x1F == LEAF and first_key(page).endswith(b".example"):
            pages[number] = page
    least = min(map(first_key, pages.values()))
    for number, page in pages.items():
        first = first_key(page) == least
        file.seek(number * PAGE + (HEADER if first else 10))
        file.write(page[HEADER + 2:HEADER + 4] + page[HEADER:HEADER + 2] if first else bytes(2))
PYTHON
sleep 1.5
heals 'rows out of reach'
try 'rows out of reach: not tried for ever, but set aside' log_has 'event=snapshot-set-aside'
dd if=/dev/zero of="$data" bs=4096 count=2 conv=notrunc >/dev/null 2>&1
sleep 1.5
heals 'meta pages wiped'
rm -f "$data"
sleep 1.5
heals 'removed'

# --- lock.mdb: nothing is lost with it, and nothing has to be told again
# Without LMDB's lock on it the next reader would take itself for the only user, and a commit might be lost.
lmdb_lock() { grep -Eq "POSIX .* $daemon_pid [0-9a-f:]+:$(stat -c %i "$state/snapshot/lock.mdb") " /proc/locks; }
try 'LMDB has its lock on lock.mdb' lmdb_lock
pg_sql -c "update mxhold.customer set note = note where name = 'acme'"
"$ask" "$state/control" verify >/dev/null
try 'and still has it after rounds that looked at the files' lmdb_lock
loads() { grep -c 'event=load-begins' "$work/sync.log" || true; }
before=$(loads)
rm -f "$state/snapshot/lock.mdb"
try 'lock.mdb removed: found out' wait_for 15 log_has 'event=snapshot-lock-lost'
heals 'lock.mdb removed'
rm -f "$state/snapshot/lock.mdb"
mkdir -p "$state/snapshot/lock.mdb/in-the-way" || true
try 'lock.mdb a directory: a file again' wait_for 15 test -f "$state/snapshot/lock.mdb"
heals 'lock.mdb a directory'
: >"$work/sync.log"
before=0
dd if=/dev/zero bs=4096 count=8 status=none | tr '\0' '\377' | dd of="$state/snapshot/lock.mdb" conv=notrunc status=none
try 'lock.mdb overwritten: found out, before its mutexes are taken' wait_for 15 log_has 'event=snapshot-lock-lost'
heals 'lock.mdb overwritten'
daemon_stop || true
rm -f "$state/snapshot/lock.mdb"
daemon_start
heals 'lock.mdb removed while nobody ran'
is "$(loads)" "$before" 'without lock.mdb: no row was read anew'

# --- whatever lies where the broken one is to be put
rm -rf "$state/snapshot"
mkdir -p "$state/snapshot/data.mdb/a/copy"
sleep 1.5
heals 'a directory in its place'
rm -rf "$state/snapshot"
echo 'what lies here' >"$state/snapshot"
sleep 1.5
heals 'a file in place of the directory'
truncate -s 100000 "$data"
sleep 1.5
heals 'truncated again'

# --- what was removed lately may still be held: the relay that lost its snapshot must go on knowing it
pg_sql -c "insert into mxhold.domain (name, customer) values ('gone.example', 'acme'), ('back.example', 'acme'), ('old-name.example', 'acme')"
pg_sql -c "delete from mxhold.domain where name in ('gone.example', 'back.example'); insert into mxhold.domain (name, customer) values ('back.example', 'acme')"
pg_sql -c "update mxhold.domain set name = 'new-name.example' where name = 'old-name.example'"
pg_sql -c "insert into mxhold.customer (name) values ('brief')" -c "insert into mxhold.customer_region (customer, region) values ('brief', 'europe'), ('brief', 'asia')" \
	-c "insert into mxhold.domain (name, customer, next_hops, tls_required, include_subdomains) values
		('hops.example', 'brief', '[203.0.113.9]:25', true, false), ('narrow.example', 'brief', '[203.0.113.9]:25', false, true)" \
	-c "insert into mxhold.domain_region (domain, region) values ('narrow.example', 'asia')" \
	-c "delete from mxhold.domain where customer = 'brief'" -c "delete from mxhold.customer where name = 'brief'"
as_row() { "$dump" "$state" a all 2>/dev/null | grep "^$1|.*|$2$" >/dev/null; }
try 'removed: retired' wait_for 15 as_row gone.example retired
rm -f "$data"
sleep 1.5
heals 'removed again'
try 'the snapshot was lost: what was removed is still retired' as_row gone.example retired
try 'and the old name of a renamed domain' as_row old-name.example retired
try 'and what was added again is not' as_row back.example live
told() { "$dump" "$state" a all | grep "^$1|" || true; }
is "$(told hops.example)" 'hops.example|brief||8|0|0|0|0|[203.0.113.9]:25|retired' 'with its next hops, though its customer is gone too'
is "$(told narrow.example)" 'narrow.example|brief||5|0|0|0|0||retired' 'but not with those that this region must not know'
reload() { timeout 70 "$ask" "$state/control" reload 60 >/dev/null; }
try 'another full load' reload
is "$(told hops.example)" 'hops.example|brief||8|0|0|0|0|[203.0.113.9]:25|retired' 'and they stay'
ok "$(log_has 'event=snapshot-set-aside' && echo 0 || echo 1)" 'what was beyond use was set aside'

# --- while the authority is away
pg_stop "$work/pg"
wait_for 40 state_is unreachable || true
truncate -s 100000 "$data"
unusable() { ! domains >/dev/null 2>&1; }
try 'broken while the authority is away: no snapshot' wait_for 30 unusable
pg_up "$work/pg"
heals 'the authority comes back'

# A new one, in which nothing is yet: a header that can be read, of a file longer than any can be.
header_of_nothing() {
	for at in 128 4224; do
		printf '\377\377\377\377\377\377\377\377\000\000\000\000\000\000\014\000' |
			dd of="$data" bs=1 seek="$at" conv=notrunc status=none
	done
}
pg_stop "$work/pg"
wait_for 40 state_is unreachable || true
rm -rf "$state/snapshot"
try 'removed while the authority is away: made anew' wait_for 30 test -s "$data"
header_of_nothing
pg_up "$work/pg"
heals 'overwritten before anything was loaded'

# LMDB believes its header, and calls a map that cannot be had "out of memory".
daemon_stop || true
for at in 136 4232; do
	printf '\000\000\000\000\000\000\014\000' | dd of="$data" bs=1 seek="$at" conv=notrunc status=none
done
daemon_start
heals 'a header that tells of more pages than can be, at the start'
daemon_stop || true
printf '\000\000\000\000\000\000\014\000' | dd of="$data" bs=1 seek=32 conv=notrunc status=none
daemon_start
heals 'a header with a map larger than memory, at the start'

# --- a crash: it starts anew by itself, under its old process id
daemon_stop || true
: >"$work/sync.log"
daemon_start
wait_for 30 state_is current || true
crashes() { [ "$(grep -c 'event=crashed' "$work/sync.log")" -ge "$1" ]; }
kill -BUS "$daemon_pid"
try 'SIGBUS: starts anew' wait_for 30 crashes 1
heals 'after SIGBUS'
kill -SEGV "$daemon_pid"
try 'a second crash: sets the snapshot aside without looking' wait_for 30 log_has 'event=crashed crashes=2 effect="the snapshot is set aside"'
heals 'after the second crash'
for n in 3 4 5; do
	kill -ABRT "$daemon_pid"
	wait_for 30 crashes "$n" || true
	wait_for 30 state_is current || true
done
status=0
daemon_stop SEGV 2>/dev/null || status=$?
is "$status" 139 'it does not start anew for ever'
tap_done
