#!/bin/sh
# TCP that vanishes without a word: at the first connection, and under an established one. The daemon lives in a network
# namespace of its own, at the end of a virtual cable whose other end can be unplugged.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh
alone "$0" "$@"
. tests/sync/lib.sh

unshare --net -- sleep 1000 &
far=$!
others="$others $far"
has_own_net() { [ "$(readlink "/proc/$far/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
wait_for 15 has_own_net
ip link add near type veth peer name far netns "$far"
ip addr add 192.0.2.1/24 dev near
ip link set near up
nsenter -t "$far" -n ip addr add 192.0.2.2/24 dev far
nsenter -t "$far" -n ip link set far up
nsenter -t "$far" -n ip link set lo up
# A neighbour that is there by name only: what is sent to it is never answered.
nsenter -t "$far" -n ip neigh add 192.0.2.99 lladdr 02:00:00:00:00:99 dev far

sync_setup port=5432 bind=192.0.2.1
pg_sql -c "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 100) i"
write_conf "host=192.0.2.1 user=relay_a dbname=postgres"
daemon_start nsenter -t "$far" -n
wait_for 30 state_is current || true
same "$(domains)" "$(domains_by_sql)" 'followed over TCP'

unplug() { ip link set near down; }
plug() { ip link set near up; }
fault 'an established connection goes dead' unreachable unplug plug

use() {
	write_conf "$1"
	hup
}
hole() { use "host=192.0.2.99 user=relay_a dbname=postgres"; }
back() { use "host=192.0.2.1 user=relay_a dbname=postgres"; }
fault 'an address that never answers' unreachable hole back
said() { status_line | grep -Eq 'no connection within 5 s|"state":"current"'; }
try 'the deadline is said' wait_for 5 said
two() { use "host=192.0.2.99,192.0.2.1 user=relay_a dbname=postgres"; }
two
sleep 1
took=$(follows 20) || took=none
ok "$([ "$took" != none ] && echo 0 || echo 1)" "a dead address before a living one costs its five seconds only ($took ms)"

# A name that no server answers for.
name() { use "host=db.nowhere.example user=relay_a dbname=postgres"; }
fault 'a name that cannot be resolved' unreachable name back
name
sleep 1.2
began=$(now_ms)
status=0
daemon_stop || status=$?
took=$(($(now_ms) - began))
ok $((took >= 3000 || status != 0)) "SIGTERM while resolving or connecting ends it at once ($took ms)"
tap_done
