#!/bin/sh
# queued-collector: the accounts of a real Postfix, while the collector is killed (kill -9) again and again, and the log is
# rotated under it: each recipient has one row and the right outcome, and the primary's ledger agrees. Then its clock is set.
# (Without the rest of mxhold-queued: tests/unit/collect.c runs the collector alone.)
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
collect=${COLLECT:-$BUILD/tests/collect}
primary=$BUILD/tests/tools/primary
port=$((24000 + $$ % 500 * 8))
dir=$(mktemp -d /tmp/mxq.XXXXXX)
pids=
killed=0

cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -20 "$dir/out" "$dir/primary.log" 2>/dev/null | sed 's/^/# /'
	fi
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
	for pid in $pids; do rm -f /dev/shm/*faketime_*_"$pid"; done # who is killed leaves them there
	pf_stop "$dir/pf" || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_collect() {
	out_lines=$(wc -l <"$dir/out")
	"$collect" "$dir/conf" 300 >>"$dir/out" 2>&1 &
	collect_pid=$!
	pids="$primary_pid $collect_pid"
}

kill_collect() {
	kill -9 "$collect_pid"
	wait "$collect_pid" 2>/dev/null || true
	killed=$((killed + 1))
	start_collect
}

rows() {
	"$collect" "$dir/conf" rows
}

# The last status of the process that was started last.
status_is() { # PATTERN
	tail -n "+$((out_lines + 1))" "$dir/out" | grep '^status ' | tail -n 1 | grep -q -- "$1"
}

submit() { # SENDER RECIPIENT...
	from=$1
	shift
	printf 'Subject: %s\nX-Ledger-Id: %s\n\ntext\n' "$*" "$from" |
		pf_run "$dir/pf" sendmail -C "$dir/pf/etc" -f "$from" "$@"
}

queue_count() {
	pf_queue "$dir/pf" | grep -c . || true
}

held_rows() {
	rows | awk '$0 ~ / held attempts=/' | wc -l
}

# A message that was being put off when the queue was flushed waits for the next flush.
all_settled() {
	[ "$(queue_count)" -eq 0 ] && [ "$(held_rows)" -eq 0 ] && return 0
	pf_run "$dir/pf" postqueue -c "$dir/pf/etc" -f
	return 1
}

await() { # SECONDS COMMAND...
	await_left=$(($1 * 5))
	shift
	until "$@"; do
		await_left=$((await_left - 1))
		[ "$await_left" -gt 0 ] || return 1
		sleep 0.2
	done
}

rotate_renamed() {
	mv "$dir/pf/log/mail.log" "$dir/pf/log/mail.log.$1"
	: >"$dir/pf/log/mail.log"
	chown postfix "$dir/pf/log/mail.log"
	pf_reload "$dir/pf"
}

# --- the scene --------------------------------------------------------------------------------------------------------

mkdir -p "$dir/pf" "$dir/state" "$dir/store"
chmod 0711 "$dir"
: >"$dir/out"
PF_CHROOT=n pf_create "$dir/pf" eu.mx.example "127.0.0.1:$port"
pf_set "$dir/pf" enable_long_queue_ids=yes inet_interfaces=127.0.0.1 inet_protocols=ipv4 mydestination= relay_domains=static:all \
	"transport_maps=inline:{{hold.example=retry:4.3.2 held}}" "default_transport=smtp:[127.0.0.1]:$((port + 1))" \
	"relay_transport=smtp:[127.0.0.1]:$((port + 1))" "default_delivery_status_filter=regexp:{{/^5(.*)/ 4\$\$1}}" \
	in_flow_delay=0 minimal_backoff_time=300s
cat >"$dir/conf" <<-CONF
	[relay]
	name = eu1
	region = eu
	[paths]
	state_dir = $dir/state
	postfix_config_dir = $dir/pf/etc
	maillog = $dir/pf/log/mail.log
CONF
"$primary" -c "$dir/control" -d "$dir/store" -l "$dir/ledger" "127.0.0.1:$((port + 1))" >"$dir/primary.log" 2>&1 &
primary_pid=$!
pids=$primary_pid
await 10 "$primary" -C "$dir/control" down >/dev/null 2>&1 || true
pf_start "$dir/pf"
start_collect

# --- held, while the collector is killed --------------------------------------------------------------------------------

i=0
while [ "$i" -lt 30 ]; do
	i=$((i + 1))
	submit "s$i@out.example" "a$i@one.example" "b$i@two.example"
	case $((i % 6)) in 0) kill_collect ;; esac
	case $i in 15) rotate_renamed 2 ;; esac
done
submit s31@out.example '"x> , relay=evil, delay=0, dsn=2.0.0, status=sent (250 ok"@three.example'
submit s32@out.example held@hold.example
submit s33@out.example other@elsewhere.test
held_complete() { [ "$(held_rows)" -eq 62 ]; }
ok "$(await 60 held_complete && echo 0 || echo 1)" 'the primary is down: each recipient of ours has one row, held'
is "$(rows | awk '{ print $1, $2 }' | sort | uniq -d)" '' 'no row twice'
is "$(rows | grep -c 'elsewhere.test' || true)" 0 'other mail of the host has none'
like "$(rows | grep 'hold.example')" 'attempts=0 ' 'what our own transport holds is no attempt'
like "$(rows | grep 'three.example')" '^[^ ]+ "x> , relay=evil, .*@three.example held ' 'a recipient that imitates a line is held'

# --- the primary is back, while the collector is killed and the log rotated --------------------------------------------------

"$primary" -C "$dir/control" up >/dev/null
kill -9 "$collect_pid"
wait "$collect_pid" 2>/dev/null || true
pf_run "$dir/pf" postqueue -c "$dir/pf/etc" -f
sleep 0.7
rotate_renamed 1
gzip "$dir/pf/log/mail.log.2"
start_collect
for pause in 0.1 0.3 0.2 0.5; do
	sleep "$pause"
	kill_collect
done
held=$(pf_queue "$dir/pf" | sed -n 's/.*"queue_id": "\([^"]*\)".*hold.example.*/\1/p')
pf_run "$dir/pf" postsuper -c "$dir/pf/etc" -d "$held" >/dev/null 2>&1
elsewhere=$(pf_queue "$dir/pf" | sed -n 's/.*"queue_id": "\([^"]*\)".*elsewhere.test.*/\1/p')
[ -z "$elsewhere" ] || pf_run "$dir/pf" postsuper -c "$dir/pf/etc" -d "$elsewhere" >/dev/null 2>&1 || true # it may just have left
ok "$(await 60 all_settled && echo 0 || echo 1)" 'it is back: nothing is held any more'
is "$(rows | grep -c ' delivered attempts=')" 61 'each is delivered'
like "$(rows | grep 'hold.example')" ' removed attempts=0 .* by=postsuper ' 'what somebody removed is removed, by postsuper'
is "$(rows | awk '{ print $1, $2 }' | sort | uniq -d)" '' 'no row twice'
is "$(rows | grep -c 'sender=s[0-9]*@out.example')" 62 'each row tells the sender'
is "$(rows | sed -n 's/^[^ ]* \([ab][0-9]*@[a-z]*.example\) delivered .*/<\1>/p' | sort)" \
	"$(tr '\t' '\n' <"$dir/ledger" | grep -E '^<[ab][0-9]+@(one|two)' | sort)" "the primary's ledger agrees"

# --- the end ----------------------------------------------------------------------------------------------------------------

end_collect() {
	kill "$collect_pid"
	status=0
	wait "$collect_pid" || status=$?
}

compared='log=following .* census=1 ' # the first listing of this process, with the log up to beyond it
ok "$(await 60 status_is "$compared" && echo 0 || echo 1)" 'queue and log are compared'
end_collect
is "$status" 0 'SIGTERM ends it'
like "$(grep '^status' "$dir/out" | tail -1)" 'log=following recipients=0 messages=0 unaccounted=0 census=1 problem=$' \
	'nothing is left over, nothing unaccounted'

# --- the clock is set forward between two refusals ------------------------------------------------------------------------------

refused() { # WHEN
	printf '%s eu postfix/smtp[1]: 4QkT3z0V1Wz5s: to=<a@clock.example>, relay=m[203.0.113.5]:25, delay=1, delays=1/0/0/0, %s\n' \
		"$(date -d "$1" '+%b %e %H:%M:%S')" \
		'dsn=4.7.1, status=deferred (host m[203.0.113.5] said: 554 5.7.1 no (in reply to end of DATA command))' >>"$dir/clock.log"
}

counts() { # ATTEMPTS REFUSALS
	rows | grep -q "clock.example held attempts=$1 refusals=$2 "
}

refused now
sed -i "s,^maillog = .*,maillog = $dir/clock.log,; s,^state_dir = .*,state_dir = $dir/state2," "$dir/conf"
mkdir -p "$dir/state2"
echo +0 >"$dir/ahead"
LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1) FAKETIME_TIMESTAMP_FILE=$dir/ahead FAKETIME_NO_CACHE=1 \
	FAKETIME_DONT_FAKE_MONOTONIC=1 "$collect" "$dir/conf" 300 >>"$dir/out" 2>&1 &
collect_pid=$!
pids="$primary_pid $collect_pid"
refused '1 second'
ok "$(await 30 counts 2 2 && echo 0 || echo 1)" 'two refusals count'
echo +7500 >"$dir/ahead"
await 30 grep -q event=clock-set "$dir/out" || true
refused '7502 seconds'
ok "$(await 30 counts 3 1 && echo 0 || echo 1)" 'those of before the clock was set do not'
end_collect
note "killed $killed times"
tap_done
