#!/bin/sh
# queued-journald: the accounts of a real Postfix that logs to systemd's journal, read by the real journalctl, while the
# collector, journalctl and journald are killed and the journal is rotated and vacuumed: each recipient has one row and the right
# outcome, as the primary's ledger says, and what the journal has lost is told.
# journald runs by itself in namespaces of the test's own (no init is needed), with a /run, /dev and /var/log/journal of its own.
set -eu
cd "$(dirname "$0")/../.."
if [ "${JOURNALD_INSIDE-}" != yes ]; then
	exec env JOURNALD_INSIDE=yes unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc -- sh "$0" "$@"
fi
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
collect=${COLLECT:-$BUILD/tests/collect}
primary=$BUILD/tests/tools/primary
dir=$(mktemp -d /tmp/mxj.XXXXXX)
collect_pid=
journald_pid=

cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -20 "$dir/out" "$dir/primary.log" 2>/dev/null | sed 's/^/# /'
	fi
	pf_stop "$dir/pf" || true
	# shellcheck disable=SC2086
	kill -9 $collect_pid $journald_pid ${primary_pid-} 2>/dev/null || true
	umount -l /dev 2>/dev/null || true
	umount -l "$dir/dev" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

await() { # SECONDS COMMAND...
	await_left=$(($1 * 5))
	shift
	until "$@"; do
		await_left=$((await_left - 1))
		[ "$await_left" -gt 0 ] || return 1
		sleep 0.2
	done
}

within() { # SECONDS TEXT COMMAND...
	within_seconds=$1
	within_text=$2
	shift 2
	ok "$(await "$within_seconds" "$@" && echo 0 || echo 1)" "$within_text"
}

own_system() {
	ip link set lo up
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /var/log
	# journald wants to see the control groups, which a container may not show.
	grep -q ' /sys/fs/cgroup ' /proc/mounts || mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /run/systemd/journal "$dir/dev"
	mount -t tmpfs tmpfs "$dir/dev"
	for node in null zero full random urandom tty; do
		: >"$dir/dev/$node"
		mount --bind "/dev/$node" "$dir/dev/$node"
	done
	ln -s /run/systemd/journal/dev-log "$dir/dev/log"
	ln -s /proc/self/fd "$dir/dev/fd"
	mount --rbind "$dir/dev" /dev
	# A default instance, which logs as `postfix`; ours logs as `relay`.
	cp -R /etc/postfix "$dir/default"
	printf 'compatibility_level = 3.6\nmulti_instance_directories = %s/pf/etc\n' "$dir" >"$dir/default/main.cf"
	pf_date_back "$dir/default"
	mount --bind "$dir/default" /etc/postfix
}

journal_listens() {
	[ -S /run/systemd/journal/dev-log ] && [ -S /run/systemd/journal/socket ]
}

start_journald() {
	rm -f /run/systemd/journal/dev-log /run/systemd/journal/socket
	/lib/systemd/systemd-journald >>"$dir/journald.log" 2>&1 &
	journald_pid=$!
	await 30 journal_listens
}

start_collect() {
	out_lines=$(wc -l <"$dir/out")
	"$collect" "$dir/conf" 300 >>"$dir/out" 2>&1 &
	collect_pid=$!
}

end_collect() { # SIGNAL
	kill -s "$1" "$collect_pid"
	wait "$collect_pid" 2>/dev/null || true
}

rows() {
	"$collect" "$dir/conf" rows
}

# The last status of the process that was started last.
status_is() { # PATTERN
	tail -n "+$((out_lines + 1))" "$dir/out" | grep '^status ' | tail -n 1 | grep -q -- "$1"
}

# What the collector's own child is: its only one that runs journalctl.
journalctl_pid() {
	for status in /proc/[0-9]*/status; do
		awk -v parent="$collect_pid" '$1 == "Name:" { name = $2 } $1 == "Pid:" { pid = $2 }
			$1 == "PPid:" && $2 == parent && name == "journalctl" { print pid }' "$status" 2>/dev/null || true
	done
}

reads() {
	[ -n "$(journalctl_pid)" ]
}

kill_journalctl() {
	await 30 reads
	for pid in $(journalctl_pid); do kill -9 "$pid" || true; done
}

submit() { # SENDER RECIPIENT...
	from=$1
	shift
	printf 'Subject: %s\nX-Ledger-Id: %s\n\ntext\n' "$*" "$from" | pf_run "$dir/pf" sendmail -C "$dir/pf/etc" -f "$from" "$@"
}

count_rows() { # PATTERN
	rows | grep -c -- "$1" || true
}

has_rows() { # COUNT PATTERN
	[ "$(count_rows "$2")" -eq "$1" ]
}

# A message that was being put off when the queue was flushed waits for the next flush.
all_delivered() { # COUNT
	has_rows "$1" ' delivered attempts=' && return 0
	pf_run "$dir/pf" postqueue -c "$dir/pf/etc" -f
	return 1
}

told() { # COUNT PATTERN
	[ "$(grep -c -- "$2" "$dir/out")" -ge "$1" ]
}

# Entries by journald's own protocol, which takes any bytes: those of a message's whole life.
native() { # QUEUE-ID RECIPIENT REPLY (a Python expression of bytes)
	python3 - "$1" "$2" "$3" <<-'PYTHON'
		import os, socket, struct, sys, tempfile, array
		queue_id, recipient, reply = sys.argv[1].encode(), sys.argv[2].encode(), eval(sys.argv[3])
		def send(daemon, text):
		    fields = [(b'SYSLOG_FACILITY', b'2'), (b'PRIORITY', b'6'), (b'SYSLOG_IDENTIFIER', b'relay/' + daemon), (b'MESSAGE', text)]
		    data = b''.join(name + b'\n' + struct.pack('<Q', len(value)) + value + b'\n' for name, value in fields)
		    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		    sock.connect('/run/systemd/journal/socket')
		    with tempfile.TemporaryFile(dir='/run') as file:
		        if len(data) < 60000:
		            sock.send(data)
		            return
		        fd = os.memfd_create('entry', os.MFD_ALLOW_SEALING)
		        os.write(fd, data)
		        import fcntl
		        fcntl.fcntl(fd, 1033, 15)
		        sock.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
		send(b'smtpd', queue_id + b': client=out.example[192.0.2.7]')
		send(b'qmgr', queue_id + b': from=<n@out.example>, size=100, nrcpt=1 (queue active)')
		send(b'smtp', queue_id + b': to=<' + recipient + b'>, relay=mx.example[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, '
		     b'status=sent (250 ' + reply + b')')
		send(b'qmgr', queue_id + b': removed')
	PYTHON
}

# COUNT messages that came and went, written as fast as journald takes them.
native_many() {
	python3 - "$1" <<-'PYTHON'
		import socket, sys
		sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		sock.connect('/run/systemd/journal/socket')
		def send(daemon, text):
		    sock.send(f'SYSLOG_FACILITY=2\nPRIORITY=6\nSYSLOG_IDENTIFIER=relay/{daemon}\nMESSAGE={text}\n'.encode())
		for i in range(int(sys.argv[1])):
		    queue_id = f'4dXyBd{i:05d}z'
		    send('smtpd', f'{queue_id}: client=out.example[192.0.2.7]')
		    send('qmgr', f'{queue_id}: from=<n@out.example>, size=100, nrcpt=1 (queue active)')
		    send('smtp', f'{queue_id}: to=<many{i}@one.example>, relay=mx.example[192.0.2.9]:25, delay=1, delays=0/0/0/1, '
		         'dsn=2.0.0, status=sent (250 ok)')
		    send('qmgr', f'{queue_id}: removed')
	PYTHON
}

# --- the scene --------------------------------------------------------------------------------------------------------

own_system
start_journald || { echo 'journald does not start' >&2; exit 1; }
mkdir -p "$dir/pf" "$dir/state" "$dir/store"
: >"$dir/out"
chmod 0711 "$dir"
PF_CHROOT=n pf_create "$dir/pf" relay.example "127.0.0.1:10025"
pf_set "$dir/pf" maillog_file= enable_long_queue_ids=yes inet_interfaces=127.0.0.1 inet_protocols=ipv4 mydestination= \
	relay_domains=static:all "default_transport=smtp:[127.0.0.1]:10026" "relay_transport=smtp:[127.0.0.1]:10026" in_flow_delay=0 \
	minimal_backoff_time=300s
cat >"$dir/conf" <<-CONF
	[relay]
	name = eu1
	region = eu
	[paths]
	state_dir = $dir/state
	postfix_config_dir = $dir/pf/etc
	maillog = journald
CONF
"$primary" -c "$dir/control" -d "$dir/store" -l "$dir/ledger" 127.0.0.1:10026 >"$dir/primary.log" 2>&1 &
primary_pid=$!
await 10 "$primary" -C "$dir/control" down >/dev/null 2>&1 || true
pf_start "$dir/pf"
start_collect

# --- held, while everything that reads and writes the journal is killed --------------------------------------------------------

i=0
while [ "$i" -lt 20 ]; do
	i=$((i + 1))
	submit "s$i@out.example" "a$i@one.example" "b$i@two.example"
	case $i in
	5 | 15) end_collect KILL && start_collect ;;
	8) await 10 journalctl --quiet --rotate ;;
	11) kill_journalctl && within 30 'a journalctl that died is told' told 1 'journalctl ended: without a word' ;;
	esac
done
within 60 'the primary is down: each recipient has one row, held' has_rows 40 ' held attempts='
is "$(rows | awk '{ print $1, $2 }' | sort | uniq -d)" '' 'no row twice'

kill -9 "$journald_pid"
wait "$journald_pid" 2>/dev/null || true
start_journald
submit s21@out.example a21@one.example
within 60 'journald died and came again: what it has is followed' has_rows 41 ' held attempts='

# --- the primary is back ---------------------------------------------------------------------------------------------------------

"$primary" -C "$dir/control" up >/dev/null
end_collect KILL
pf_run "$dir/pf" postqueue -c "$dir/pf/etc" -f
sleep 0.5
await 10 journalctl --quiet --rotate
start_collect
sleep 0.3
end_collect KILL
start_collect
within 60 'it is back: each is delivered' all_delivered 41
is "$(rows | awk '{ print $1, $2 }' | sort | uniq -d)" '' 'no row twice'
is "$(rows | awk '$3 == "delivered" { print "<" $2 ">" }' | sort)" \
	"$(tr '\t' '\n' <"$dir/ledger" | grep -E '^<[ab][0-9]+@(one|two)' | sort)" "the primary's ledger agrees"
is "$(count_rows 'sender=s[0-9]*@out.example')" 41 'each row tells the sender'
is "$(grep -c 'lines of Postfix are lost' "$dir/out" || true)" 0 'rotation loses nothing, and nothing of the kind is said'

# --- entries of every kind ---------------------------------------------------------------------------------------------------------

native 4dXyBc1000z bytes@one.example 'b"\xff\xfe\x00\x01 bytes"'
native 4dXyBc1001z lines@one.example 'b"two\nlines, 4dXyBc1000z: removed\nthree"'
native 4dXyBc1002z long@one.example 'b"x" * 50000'
native 4dXyBc1003z toolong@one.example 'b"\xff" * 300000'
sent='relay=mx.example[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)'
for name in postfix postfix-former; do
	printf 'SYSLOG_FACILITY=2\nPRIORITY=6\nSYSLOG_IDENTIFIER=%s\nMESSAGE=4dXyBc1005z: %s\n' \
		"$name/smtp" "to=<$name@one.example>, $sent" >"$dir/entry"
	logger --journald --socket-errors=on <"$dir/entry"
	printf 'SYSLOG_FACILITY=2\nPRIORITY=6\nSYSLOG_IDENTIFIER=%s\nMESSAGE=4dXyBc1005z: removed\n' "$name/qmgr" >"$dir/entry"
	logger --journald --socket-errors=on <"$dir/entry"
done
native 4dXyBc1004z after@one.example 'b"after it"'
within 30 'a reply with bytes that are no text' has_rows 1 '^4dXyBc1000z bytes@one.example delivered .* bytes'
within 30 'one of several lines' has_rows 1 '^4dXyBc1001z lines@one.example delivered '
within 30 'one of 50,000 bytes' has_rows 1 '^4dXyBc1002z long@one.example delivered '
within 30 'what comes after one that is too long' has_rows 1 '^4dXyBc1004z after@one.example delivered '
is "$(rows | sed -n 's/^4dXyBc1005z \([^ ]*\) .*/\1/p')" postfix-former@one.example "another instance's is left out, that of an unknown name is not"
printf 'MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e\nMESSAGE=Suppressed 7 messages from postfix@-.service\n' |
	logger --journald --socket-errors=on
within 30 'what journald threw away is told' told 1 'lines of Postfix are lost: journald: Suppressed 7 messages from postfix'

# A pipe's worth at each look would be 600 lines a second. A slow machine shows what journalctl alone takes there.
end_collect TERM
native_many 5000
began=$(date +%s)
journalctl --quiet --boot --all --output=json >/dev/null
alone=$(($(date +%s) - began))
start_collect
within $((16 + 3 * alone)) 'a backlog of 20,000 lines is read as fast as journalctl writes it' has_rows 5000 ' many[0-9]*@one.example delivered '

# --- the oldest is removed while nobody reads --------------------------------------------------------------------------------------

"$primary" -C "$dir/control" down >/dev/null
end_collect TERM
submit s22@out.example a22@one.example
sleep 0.5
await 10 journalctl --quiet --rotate
journalctl --quiet --vacuum-files=1
submit s23@out.example a23@one.example
start_collect
within 30 'a vacuumed journal is told, with the time from which lines are missing' told 1 \
	'lines of Postfix are lost: systemd.s journal was cut and no longer has those from 20[0-9-]*T[0-9:]*Z'
within 60 'what it still has, and what the queue has, is held' has_rows 2 ' held attempts=.*'
is "$(rows | awk '{ print $1, $2 }' | sort | uniq -d)" '' 'no row twice'

# --- journalctl cannot be run, or may not read ----------------------------------------------------------------------------------------

: >"$dir/nothing"
mount --bind "$dir/nothing" /usr/bin/journalctl
kill_journalctl
within 30 'a journalctl that cannot be run is told' told 1 'journalctl: Permission denied'
submit s24@out.example a24@one.example
umount -l /usr/bin/journalctl # somebody may just be trying to run it
within 60 'when it can be run again, nothing is missing' has_rows 3 ' held attempts='
mkdir "$dir/denied"
sed "s,^state_dir = .*,state_dir = $dir/denied," "$dir/conf" >"$dir/conf.denied"
chown 64104 "$dir/denied"
setpriv --reuid 64104 --regid 64104 --clear-groups "$collect" "$dir/conf.denied" 300 >"$dir/out.denied" 2>&1 &
denied_pid=$!
told_denied() { grep -q 'insufficient permissions.*must be in group systemd-journal' "$dir/out.denied"; }
within 30 'who may not read the journal is told what to do' told_denied
kill -9 "$denied_pid" || true

# --- the end ----------------------------------------------------------------------------------------------------------------------------

end_collect TERM
start_collect
# The first listing of this process, with the log up to beyond it.
within 60 'queue and log are compared' status_is 'log=following .* census=1 '
status=0
kill "$collect_pid"
wait "$collect_pid" || status=$?
is "$status" 0 'SIGTERM ends it'
like "$(grep '^status' "$dir/out" | tail -1)" 'log=following recipients=3 messages=3 unaccounted=0 census=1 problem=$' \
	'three are held, nothing is unaccounted'
none_left() { ! pgrep -x journalctl >/dev/null; }
within 30 'no journalctl is left behind' none_left
tap_done
