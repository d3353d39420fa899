#!/bin/sh
# policyd with many clients: 10,000 idle and 1,000 active ones, too many for its descriptors, slow and half-sent.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/policyd/lib.sh

policyd_set_up
start_policyd "$base/log"
child=$(child_of "$parent")

rss() {
	sed -n 's/^VmRSS:[[:blank:]]*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}
descriptors() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

before=$(rss "$child")
"$asker" crowd "$base/sock/map" 10000 1000 10 >"$base/crowd.out" &
crowd=$!
remember "$crowd"
try '10,000 idle and 1,000 active clients connect' wait_for 40 grep -q open "$base/crowd.out"
sleep 1
line=$("$asker" loop "$base/sock/policy" 2)
note "beside them: $line"
is "$(field wrong "$line") $(field lost "$line") $(field refused "$line")" '0 0 0' 'another one beside them is served'
try "and waits for less than a second ($(field max_ms "$line") ms at most)" test "$(field max_ms "$line")" -lt 1000
after=$(rss "$child")
note "resident: $before KiB before, $after KiB with $(descriptors "$child") descriptors"
try 'all of them are connected at once' test "$(descriptors "$child")" -gt 11000
try "they cost $(((after - before) * 1024 / 11000)) bytes each" test $((after - before)) -lt 16384
wait "$crowd"
line=$(tail -1 "$base/crowd.out")
note "active ones: $line"
is "$(field wrong "$line") $(field lost "$line")" '0 0' 'the active ones got right answers only'
try 'and many' test "$(field answers "$line")" -gt 20000
is "$(child_of "$parent")" "$child" 'the same child served all of it'
few() { [ "$(descriptors "$child")" -lt 100 ]; }
try 'their descriptors are given back' wait_for 15 few

# Half-sent requests of 16 KiB: what they may cost in sum is bounded.
text=$(head -c 15000 /dev/zero | tr '\0' 'a')
"$asker" hold "$base/sock/policy" 6000 3000 "$text" >"$base/hold.out" &
hold=$!
remember "$hold"
try '6,000 clients with half a request connect' wait_for 40 grep -q open "$base/hold.out"
sleep 1
after=$(rss "$child")
try "6,000 half-sent requests of 15,000 bytes: $after KiB resident" test "$after" -lt 131072
try 'and others are served' answers_right
wait "$hold"
note "$(tail -1 "$base/hold.out")"
is "$(child_of "$parent")" "$child" 'the same child served all of it'

kill "$parent"
wait "$parent" || true

# Few descriptors: the longest idle ones make room, and nobody spins. Not as root, which could raise its limit. With 200
# it is policyd's own limit of clients that counts; with 70, accept fails first.
few_descriptors() {
	log=$base/log.$1
	as_user=
	if [ "$(id -u)" -eq 0 ]; then
		chown 64102 "$base/sock"
		as_user='setpriv --reuid=64102 --regid=64100 --clear-groups'
	fi
	# shellcheck disable=SC2086
	$as_user prlimit "--nofile=$1:$1" "$policyd_bin" -f -c "$base/conf" 2>>"$log" &
	parent=$!
	remember "$parent"
	try "$1 descriptors: it serves" wait_for 30 grep -q event=serving "$log"
	child=$(child_of "$parent")
	"$asker" hold "$base/sock/map" 1000 6000 >"$base/hold.out" &
	hold=$!
	remember "$hold"
	try "$1 descriptors: 1,000 clients connect" wait_for 40 grep -q open "$base/hold.out"
	line=$("$asker" loop "$base/sock/map" 2)
	note "$1 descriptors: $line"
	is "$(field wrong "$line") $(field lost "$line") $(field refused "$line")" '0 0 0' \
		"$1 descriptors: others are served"
	before=$(ticks)
	sleep 1
	spent=$(($(ticks) - before))
	try "$1 descriptors: it does not spin ($spent ticks in an idle second)" test "$spent" -lt 20
	wait "$hold"
	is "$(child_of "$parent")" "$child" "$1 descriptors: the same child served all of it"
	kill "$parent"
	wait "$parent" || true
}
ticks() { awk '{ print $14 + $15 }' "/proc/$child/stat"; }
few_descriptors 200
few_descriptors 70
tap_done
