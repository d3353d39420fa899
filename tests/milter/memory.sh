#!/bin/sh
# Memory of mxhold-milter stays flat: over 100,000 messages (default), or as many as the first argument says, of which a
# tenth is given up and a tenth breaks off.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/milter/lib.sh

total=${1:-100000}
part=$((total / 10))
milter_dir
milter_start

memory() {
	ps -o rss= -p "$(child)" | tr -d ' '
}

load() {
	timeout 3000 "$client" "$socket" load -n "$part" -c 16 -b 3000 -k 40 -x -r u@ok.example
}

load >/dev/null # caches and arenas find their size
load >/dev/null
serving=$(child)
before=$(memory)
failed=0
i=2
while [ "$i" -lt 10 ]; do
	load >"$dir/load" || failed=$((failed + 1))
	i=$((i + 1))
done
after=$(memory)
note "$(cat "$dir/load")"
note "KiB after 20 %: $before, after 100 % of $total messages: $after"
is "$failed" 0 "$total messages, none refused or failed"
ok "$([ "$after" -le $((before + before / 10 + 512)) ] && echo 0 || echo 1)" 'memory is flat'
is "$(child)" "$serving" 'by one and the same child'
# The parent asks the child every second, and that is a session too: it stands still meanwhile. And the child has a moment to see
# that the last clients are gone.
kill -s STOP "$milter"
sleep 0.7
kill -s TERM "$serving"
wait_for 10 grep -q 'event=draining' "$log" || true
kill -s CONT "$milter"
like "$(grep 'event=draining' "$log" | head -1)" 'reason=SIGTERM sessions=0' 'no session is left over'
milter_stop
tap_done
