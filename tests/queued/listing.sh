#!/bin/sh
# mxhold-queued and a postqueue(1) that lies elsewhere than usual, dies in the midst of a listing, or writes anything: what
# it says counts when all of it is whole, and only then. No Postfix runs; the log is empty.
set -eu
cd "$(dirname "$0")/../.."

. tests/lib/tap.sh
. tests/lib/relay.sh
relay_alone "$0" "$@"

BUILD=${BUILD:-build}
work=$(mktemp -d /tmp/mxli.XXXXXX)
cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -25 "$work/queued.log" 2>/dev/null | sed 's/^/# queued: /'
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$work"

mkdir "$work/sock" "$work/postfix" "$work/bin"
echo "command_directory = $work/bin" >"$work/postfix/main.cf"
: >"$work/postfix/master.cf"
cat >"$work/rows" <<'ROWS'
relay eu1 eu names=eu.mx.backup.example addresses=192.0.2.11
customer acme regions=eu
domain customer.example acme hops=[203.0.113.25]
ROWS
relay_state "$work/state"
: >"$work/maillog"
# shellcheck disable=SC2119 # no lines of its own
relay_conf

queued_pid=
stop() {
	kill -TERM "$queued_pid"
	wait "$queued_pid" || true
	cat "$work/queued.log" >>"$work/all.log"
}

# starts_with SCRIPT: mxhold-queued, with a postqueue that does this; its first listing is over then.
starts_with() {
	[ -z "$queued_pid" ] || stop
	rm -f "$work/bin/postqueue"
	printf '#!/bin/sh\ncase " $* " in *" -j "*) ;; *) exit 0 ;; esac\n%s\n' "$1" >"$work/bin/postqueue"
	chmod 755 "$work/bin/postqueue"
	: >"$work/queued.log"
	"$BUILD/bin/mxhold-queued" -f -c "$work/mxhold.conf" 2>>"$work/queued.log" &
	queued_pid=$!
}

messages() {
	timeout 20 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue list --json 2>/dev/null |
		sed -n 's/.*"domain":"customer.example".*"messages":\([0-9]*\).*/\1/p'
}

holds() {
	[ "$(messages)" = "$1" ]
}

problem() {
	grep -q "event=census-problem.*$1" "$work/queued.log"
}

# message ID RECIPIENT: a line of postqueue -j.
message() {
	printf '{"queue_name": "deferred", "queue_id": "%s", "arrival_time": %s, "message_size": 300, "forced_expire": false, "sender": "s@out.example", "recipients": [{"address": "%s", "delay_reason": "away"}]}\n' \
		"$1" "$(date +%s)" "$2"
}
message 4Bcdfg0000zB1 a@customer.example >"$work/one"
message 4Bcdfg0000zB2 'b>, relay=none, dsn=2.0.0, status=sent (x)@customer.example' >"$work/two"
message 4Bcdfg0000zB3 c@customer.example >"$work/three"
chmod 644 "$work/one" "$work/two" "$work/three"

starts_with "cat $work/one $work/two"
ok "$(wait_for 40 holds 2 && echo 0 || echo 1)" 'postqueue is found where command_directory says'
like "$(timeout 20 "$BUILD/bin/mxholdctl" -c "$work/mxhold.conf" queue show customer.example)" \
	'<b>, relay=none, dsn=2.0.0, status=sent \(x\)@customer.example>' 'an address that imitates a line of the log is an address'

for script in "cat $work/one; head -c 100 $work/two" "cat $work/one; head -c 100 $work/two; kill -KILL \$\$" \
	"cat $work/one; kill -KILL \$\$" "cat $work/one; exit 75" "head -c 3000000 /dev/urandom" "head -c 3000000 /dev/zero" \
	"cat $work/one; yes '{\"queue_id\": 1}' | head -n 20000" "echo '[' ; cat $work/one"; do
	starts_with "$script"
	ok "$(wait_for 40 problem . && echo 0 || echo 1)" "no listing: $(echo "$script" | sed "s|$work/||g")"
	ok "$(wait_for 30 holds 2 && echo 0 || echo 1)" 'and both messages are held'
done
like "$(cat "$work/queued.log")" 'event=serving' 'it serves'
starts_with "cat $work/one $work/two $work/three"
ok "$(wait_for 40 holds 3 && echo 0 || echo 1)" 'a whole one is taken again'
stop
is "$(grep -c 'unaccounted\|child-died\|child-killed' "$work/all.log" || true)" 0 'and it never said what is not so'
tap_done
