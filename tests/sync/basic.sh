#!/bin/sh
# mxhold-sync against a healthy authority: full load, every kind of change, latency, retired rows, control socket,
# reload of the configuration, one instance, a quick end.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

sync_setup
pg_sql -c "insert into mxhold.domain (name, customer, next_hops) values ('one.example', 'acme', null),
	('two.example', 'acme', '[203.0.113.5]:25')"

# --- coming up
try 'a good configuration passes -n' "$sync_bin" -n -c "$work/mxhold.conf"
sed 's/^conninfo = .*/conninfo = host=x password=sec ret/' "$work/mxhold.conf" >"$work/bad.conf"
status=0
output=$("$sync_bin" -n -c "$work/bad.conf" 2>&1) || status=$?
is "$status" 78 'a connection string that libpq refuses: exit 78'
case $output in *ret* | *sec*) ok 1 'and no part of it is shown' ;; *) ok 0 'and no part of it is shown' ;; esac
sed 's/^conninfo = .*/conninfo = hots=x user=u/' "$work/mxhold.conf" >"$work/bad.conf"
output=$("$sync_bin" -n -c "$work/bad.conf" 2>&1) || true
like "$output" '\[authority\] conninfo: .*"hots"' 'a keyword that libpq does not know is named'
if [ "$(id -u)" -eq 0 ]; then
	sed 's/^sync = .*/sync = mxhold-nobody-is-this/' "$work/mxhold.conf" >"$work/bad.conf"
	status=0
	timeout 20 "$sync_bin" -f -c "$work/bad.conf" >"$work/bad.log" 2>&1 || status=$?
	is "$status" 67 'a user that is missing: exit 67'
fi

daemon_start
wait_for 30 state_is current || true
is "$(status_of state)" current 'comes up and is current'
same "$(domains)" "$(domains_by_sql)" 'the snapshot holds what the tables hold'
same "$("$dump" "$work/state" a customers | sort)" "$(customers_by_sql | sort)" 'customers too'
is "$("$dump" "$work/state" a fleet a.mx.backup.example b.mx.backup.example x.example | tr '\n' ' ')" \
	'a.mx.backup.example self b.mx.backup.example other x.example not ' 'and the fleet'
is "$(ps -o uid=,gid= -p "$daemon_pid" | xargs)" '64101 64100' 'it has dropped root'
is "$(stat -c '%u %g %a' "$work/state/control")" '64101 64100 660' 'the control socket is the group'"'"'s'
is "$(stat -c '%g %a' "$work/state/snapshot/data.mdb")" '64100 640' 'the snapshot is readable for the group only'
status=0
timeout 20 "$sync_bin" -f -c "$work/mxhold.conf" >"$work/second.log" 2>&1 || status=$?
is "$status" 75 'a second instance is refused'
is "$(status_of listening)" true 'it listens for notices'
beat() { pg_sql -c "select state || ' ' || (version = mxhold.version()) || ' ' || domains from mxhold.relay_heartbeat where relay = 'a'"; }
beat_is() { [ "$(beat)" = "$1" ]; }
wait_for 15 beat_is 'ok true 2' || true
is "$(beat)" 'ok true 2' 'the heartbeat tells what was applied'

# --- every kind of change; whoever reads MX records hears of what is new
mkdir -p "$work/sockets"
python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1] + ".new")
os.chmod(sys.argv[1] + ".new", 0o666)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    data = s.recv(65536)
    with open(sys.argv[2], "a") as heard:
        heard.write(data.decode() + "--\n")' "$work/sockets/queue-ask" "$work/heard" &
listener=$!
wait_for 30 test -S "$work/sockets/queue-ask" || true
heard() { grep -qx "$1" "$work/heard" 2>/dev/null; }
change() {
	pg_sql -c "$2"
	if wait_for 15 sh -c ". tests/sync/same.sh"; then ok 0 "$1"; else
		ok 1 "$1"
		note "snapshot: $(domains | head -5)"
		note "tables:   $(domains_by_sql | head -5)"
	fi
}
change 'a domain is added' "insert into mxhold.domain (name, customer) values ('three.example', 'acme')"
try 'it is told to mxhold-queued' wait_for 15 heard three.example
change 'limits and flags' "update mxhold.domain set size_limit = 5000000, oversize = 'defer', retention = '2 days',
	quota_messages = 7, quota_bytes = 8000, mx_check = false, when_primary_up = 'defer', include_subdomains = true,
	tls_required = true where name = 'three.example'"
change 'a domain is suspended' "update mxhold.domain set suspended = true where name = 'one.example'"
change 'a maintenance, refusals that are kept, a pinned primary' "update mxhold.domain set hold_until = 'infinity', hold_reason = 'disks are changed, \\ too',
	refused = 'keep', pin_certificate = 'AB:' || repeat('cd', 31), pin_banner = 'mx.acme.example' where name = 'three.example'"
change 'a maintenance with an end' "update mxhold.domain set hold_until = '2027-01-01 12:00:00.5+00', hold_reason = null where name = 'three.example'"
change 'a domain is narrowed to another region' "insert into mxhold.domain_region (domain, region) values ('three.example', 'asia')"
change 'a customer changes' "update mxhold.customer set suspended = true, size_limit = 77777 where name = 'acme'"
change 'a customer gains a region' "insert into mxhold.customer_region (customer, region) values ('acme', 'america')"
change 'a domain is renamed' "update mxhold.domain set name = 'uno.example' where name = 'one.example'"
like "$("$dump" "$work/state" a all)" '^one\.example\|.*\|retired$' 'its old name is retired'
change 'a domain is deleted' "delete from mxhold.domain where name = 'two.example'"
like "$("$dump" "$work/state" a all)" '^two\.example\|acme\|.*\|\[203\.0\.113\.5\]:25\|retired$' 'and stays as retired, with its next hops'
change 'it comes back' "insert into mxhold.domain (name, customer) values ('two.example', 'acme')"
change 'many rows in one transaction' "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 30000) i"
try 'of many, some are told' wait_for 15 heard d1.example
try 'in datagrams that it reads whole' test "$(awk '$1 == "--" { n = 0; next } { n += length($1) + 1 } n > most { most = n } END { print most }' "$work/heard")" -le 4096
is "$(grep -cx three.example "$work/heard")" 1 'what is not new is not told'
try 'what comes back is' heard two.example
kill "$listener"
wait "$listener" 2>/dev/null || true
pg_sql -c "insert into mxhold.customer (name) values ('gone'); insert into mxhold.domain (name, customer) values ('gone.example', 'gone')"
wait_for 15 has gone.example || true
change 'a customer with his domains is deleted' "begin; delete from mxhold.domain where customer = 'gone'; delete from mxhold.customer where name = 'gone'; commit"
pg_sql -c "delete from mxhold.relay where name = 'b'"
gone() { [ "$("$dump" "$work/state" a fleet b.mx.backup.example)" = 'b.mx.backup.example not' ]; }
try 'a relay that is deleted leaves the fleet' wait_for 15 gone

# --- latency
i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	pg_sql -c "insert into mxhold.domain (name, customer) values ('latency$i.example', 'acme')"
	began=$(now_ms)
	until "$dump" "$work/state" a domains | grep -q "^latency$i\.example|"; do
		[ $(($(now_ms) - began)) -lt 5000 ] || break
	done
	echo $(($(now_ms) - began)) >>"$work/latency"
done
median=$(sort -n "$work/latency" | sed -n 10p)
note "commit to snapshot, 20 times, including the look into it: median $median ms, worst $(sort -n "$work/latency" | tail -1) ms"
ok $((median >= 1000)) 'the median of commit to snapshot is below a second'

# --- control socket
like "$("$ask" "$work/state/control" verify)" '"ok":true' 'verify on demand'
reload=$("$ask" "$work/state/control" reload)
like "$reload" '"ok":true,"detail":"[0-9]+ rows, 0 differing' 'reload on demand: nothing differs'
like "$reload" '"reason":"asked"' 'and the status says why it was loaded'
same "$(domains)" "$(domains_by_sql)" 'the same rows after it'
like "$("$dump" "$work/state" a all)" '^one\.example\|.*\|retired$' 'the retired ones are carried over'
like "$("$ask" "$work/state/control" bogus)" '"error":"not a request' 'another word is refused'
like "$(head -c 100000 /dev/urandom | "$ask" "$work/state/control" - 4)" '^$|"error"' 'garbage is refused'
i=0
slow=
while [ $i -lt 40 ]; do
	i=$((i + 1))
	sleep 8 | "$ask" "$work/state/control" - 8 >/dev/null 2>&1 &
	slow="$slow $!"
done
like "$(timeout 12 "$ask" "$work/state/control" status 11)" '"state":"current"' 'forty silent clients: the next one is still served'
# shellcheck disable=SC2086
kill $slow 2>/dev/null || true

# --- configuration
cp "$work/mxhold.conf" "$work/good.conf"
echo 'nonsense' >>"$work/mxhold.conf"
kill -HUP "$daemon_pid"
try 'a bad configuration is refused at SIGHUP' wait_for 15 log_has 'event=configuration-refused'
cp "$work/good.conf" "$work/mxhold.conf"
sed -i 's/application_name=x//; s/^conninfo = .*/& application_name=renamed/' "$work/mxhold.conf"
kill -HUP "$daemon_pid"
try 'a good one is used at once' wait_for 15 sh -c "psql -XAtqc \"select 1 from pg_stat_activity where application_name = 'renamed'\" | grep -q 1"

# --- the end
began=$(now_ms)
status=0
daemon_stop || status=$?
is "$status" 0 'SIGTERM ends it with 0'
note "it took $(($(now_ms) - began)) ms"
try 'and its socket is gone' test ! -e "$work/state/control"
same "$(domains)" "$(domains_by_sql)" 'the snapshot stays'
tap_done
