#!/bin/sh
# demo: the demonstration counts as a test: each of its checks is a line here. Then what its text promises beside the steps:
# a demo that was kept can be reached and ended from another shell, and one that is interrupted leaves nothing.
#
# In: BUILD, with the programs and the tools of the tests. Out: TAP.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

dir=$(mktemp -d)
job=
# A word in the environment of whatever we start, to find it again.
MXHOLD_DEMO_SUITE=$dir
export MXHOLD_DEMO_SUITE

cleanup() {
	[ -z "$job" ] || kill "$job" 2>/dev/null || true
	[ ! -s "$dir/name" ] || demo stop >/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# A command for the demo that we keep, and for no other that may run on this machine.
demo() {
	DEMO=$(cat "$dir/name") timeout 60 sh demo/demo.sh "$@" 2>&1 </dev/null
}

# Where the demos that we started note themselves; nothing when none runs.
ours() {
	for environ in /proc/[0-9]*/environ; do
		tr '\0' '\n' 2>/dev/null <"$environ" >"$dir/environ" || continue
		! grep -Fqx "MXHOLD_DEMO_SUITE=$dir" "$dir/environ" || sed -n 's/^MXHOLD_DEMO=//p' "$dir/environ"
	done | sort -u
}

started() {
	[ -n "$(ours)" ]
}

# One that was killed a moment ago may still be dying.
none_left() {
	[ -z "$(ours)" ]
}

# Each check of the narration is a line of TAP, and the narration itself stands above as a comment.
narration() {
	sed 's/^/# /' "$dir/out"
	grep -E '^  (ok|FAILED)  ' "$dir/out" >"$dir/checks" || true
	while read -r word text; do
		is "$word" ok "$text"
		[ "$word" = ok ] || note "$(sed -n '/^  claimed: /,$p' "$dir/out" | head -n 12)"
	done <"$dir/checks"
}

kept() {
	status=0
	KEEP=1 timeout 400 sh demo/demo.sh >"$dir/out" 2>&1 </dev/null || status=$?
	sed -n 's/^This one is \([^;]*\);.*/\1/p' "$dir/out" >"$dir/name"
	narration
	is "$status" 0 'the demo ends well'
	like "$(tail -n 30 "$dir/out")" 'sh demo/demo.sh stop' 'it tells how to reach what was kept'
	is "$(awk 'length > 100' "$dir/out" | grep -Fv "$(pwd)" || true)" '' 'its text fits into 100 columns'
	like "$(demo psql soc -Atc 'select domain, state from mxhold.domain_status')" 'customer.example.green' 'psql as the SOC'
	is "$(demo psql owner -Atc 'select current_user')" mxhold_owner 'psql as the owner'
	like "$(demo psql journal -Atc 'select outcome, count(*) from mxhold_journal.message group by 1')" 'delivered.123' \
		'psql in the journal'
	like "$(demo mxholdctl domain check customer.example)" 'permit, rule 12' 'mxholdctl'
	like "$(demo mxholdctl mx check customer.example)" 'as they should be' 'mxholdctl mx check'
	like "$(demo alerts)" '"alert":"outage","domain":"customer.example"' 'alerts'
	like "$(demo swaks --to kept@customer.example)" '^<-  250 2.0.0 Ok: queued' 'swaks'
	# Both are asked again: a listing can miss a message that moves from one part of the queue to another.
	try 'mailq shows the message' wait_for 20 shown
	try 'mxholdctl queue list shows its domain' wait_for 40 listed
	is "$(demo primary up)" ok 'the primary comes up'
	try 'and gets the message, by mxhold-queued' wait_for 80 empty
	try 'the journal says so' wait_for 60 journalled
	like "$(demo in hk cat /proc/net/fib_trie)" '192\.0\.2\.12' 'a command on a host'
	like "$(demo stop)" 'Nothing is left behind' 'stop ends it'
	try 'no process of it is left' wait_for 5 none_left
	try 'nor its note' test ! -e "$(cat "$dir/name")"
	like "$(demo mailq || true)" 'no demo runs' 'afterwards a command says that nothing runs'
	rm -f "$dir/name"
}

shown() {
	demo mailq | grep -q 'kept@customer.example'
}

empty() {
	demo mailq | grep -q '^Mail queue is empty'
}

listed() {
	demo mxholdctl queue list | grep -q '^customer\.example  *1 '
}

journalled() {
	[ "$(demo psql journal -Atc "select outcome from mxhold_journal.message where recipient = 'kept@customer.example'")" = delivered ]
}

interrupted() {
	sh demo/demo.sh >"$dir/out" 2>&1 </dev/null &
	job=$!
	wait_for 30 started || true
	note=$(ours)
	sleep "$1"
	kill -s TERM "$job"
	status=0
	wait "$job" || status=$?
	job=
	is "$status" 143 "SIGTERM after $1 s: it ends at once"
	like "$(tail -n 1 "$dir/out")" 'Nothing is left behind' 'and says that nothing is left'
	try 'no process is left' wait_for 5 none_left
	try 'nor its note' test ! -e "${note:-/}"
}

kept
interrupted 0.1
interrupted 6
tap_done
