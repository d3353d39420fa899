# lib: one private Postfix instance with real daemons and a snapshot, for the tests of the overlay; to be sourced.
#
#   relay_make [dedicated|shared]   an instance below $relay (not started), mxhold.conf, a snapshot
#   relay_daemons                   starts mxhold-policyd and mxhold-milter
#   ctl ARG...                      mxholdctl with that configuration and the overlay of this tree
#   smtp_talk LINE...               one dialogue with the relay: prints every reply line
#   queue_ids, held ADDRESS         the queue
#   relay_reset                     main.cf and master.cf as they were made
#
# In: BUILD. The relay listens at 127.0.0.1:$port; its customers are in the snapshot of relay_make. On exit
# everything is stopped and removed. Each suite has a network of its own: loopback, one address beside it, and no DNS.
# shellcheck shell=sh

bin=$(cd "$BUILD" && pwd)/bin
tools=$(cd "$BUILD" && pwd)/tests/tools
# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh

[ "$(id -u)" -eq 0 ] || {
	echo 'Bail out! Postfix needs root'
	exit 1
}
alone "$0" "$@"
ip link add outside type veth peer name nobody
ip addr add 192.0.2.99/24 dev outside
ip link set outside up
# A postlogd that has a warning of its own at its start (a parameter that stands twice) sends it to its own socket, and waits for
# ever where the others' warnings have filled that: Postfix hangs. Debian's systemd sets this length; a container has 10.
echo 512 >/proc/sys/net/unix/max_dgram_qlen
relay=$(mktemp -d /tmp/mxc.XXXXXX)
port=20000
daemon_pids=

relay_end() {
	for pid in $daemon_pids; do
		kill -CONT "$pid" 2>/dev/null || true
		kill "$pid" 2>/dev/null || true
	done
	for pid in $daemon_pids; do wait "$pid" 2>/dev/null || true; done
	pf_stop "$relay" || true
	rm -rf "$relay"
}
trap relay_end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

conf_write() {
	cat >"$relay/mxhold.conf" <<-CONF
		[relay]
		name = relay1
		region = eu
		public_addresses = ${public:-127.0.0.1}
		dedicated = $1
		postmaster = ${postmaster:-soc@backup.example}
		queue_lifetime = ${lifetime:-5d}
		[authority]
		conninfo = host=/nonexistent
		stale_after = 3600
		[paths]
		state_dir = $relay/state
		socket_dir = $relay/spool/mxhold
		postfix_config_dir = $relay/etc
		maillog = $relay/log/mail.log
		[fence]
		allow = ${allow:-}
		[users]
		group = 64100
		policyd = 64102
		milter = 64103
		socket_group = postfix
	CONF
	[ -n "${allow:-}" ] || sed -i '/^\[fence\]/,/^allow/d' "$relay/mxhold.conf"
}

relay_make() {
	kind=${1:-dedicated}
	chmod 0711 "$relay"
	pf_create "$relay" relay1.example "127.0.0.1:$port"
	case $kind in dedicated) conf_write yes ;; *) conf_write no ;; esac
	mkdir -p "$relay/state"
	chmod 0755 "$relay/state"
	"$tools/mksnapshot" -g 64100 -r relay1 -R eu "$relay/state" - <<-ROWS
		relay relay1 eu names=relay1.example addresses=127.0.0.1
		relay relay2 us names=relay2.example addresses=192.0.2.2
		customer acme regions=eu
		customer faraway regions=us
		domain customer.example acme hops=${hop:-[127.0.0.1]:$((port + 1))}
		domain elsewhere.example faraway
		domain mxonly.example acme
	ROWS
	cp -a "$relay/etc" "$relay/etc.made"
}

relay_reset() {
	rm -rf "${relay:?}/etc"
	cp -a "$relay/etc.made" "$relay/etc"
}

relay_daemons() {
	mkdir -p "$relay/spool/mxhold"
	for daemon in policyd milter; do
		"$bin/mxhold-$daemon" -f -c "$relay/mxhold.conf" 2>>"$relay/log/$daemon.log" &
		daemon_pids="$daemon_pids $!"
	done
	for socket in policy map milter; do
		wait_for 30 test -S "$relay/spool/mxhold/$socket" || {
			cat "$relay"/log/*.log >&2
			return 1
		}
	done
}

ctl() {
	timeout 120 "${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" "$@"
}

pfc() {
	pfc_verb=$1
	shift
	ctl postfix "$pfc_verb" --overlay postfix-conf/overlay.conf "$@"
}

# The daemons end, and are gone when it returns.
relay_daemons_end() {
	# shellcheck disable=SC2086
	kill $daemon_pids
	for pid in $daemon_pids; do wait "$pid" || true; done
	daemon_pids=
}

# One dialogue; a line is sent when the reply to the one before has come. `-` in front: no reply is awaited.
smtp_talk() {
	python3 - "${talk_host:-127.0.0.1}" "$port" "${talk_source:-127.0.0.9}" "$@" <<-'PYTHON'
		import socket, sys
		host, port, source, lines = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
		s = socket.create_connection((host, port), 60, (source, 0))
		s.settimeout(60)
		f = s.makefile("rb")
		def reply():
		    while True:
		        line = f.readline()
		        if not line:
		            print("closed")
		            sys.exit(0)
		        print(line.decode("latin-1").rstrip())
		        if line[3:4] != b"-":
		            return
		reply()
		for line in lines:
		    quiet = line.startswith("~")
		    raw = line[1:] if quiet else line
		    data = raw.encode("latin-1").decode("unicode_escape").encode("latin-1")
		    s.sendall(data + b"\r\n")
		    if not quiet:
		        reply()
		try:
		    s.sendall(b"QUIT\r\n")
		    reply()
		except OSError:
		    print("closed")
	PYTHON
}

queue_ids() {
	pf_queue "$relay" | sed -n 's/.*"queue_id": "\([^"]*\)".*/\1/p'
}

# queue_rests N: so many messages, and none on its way between two parts of the queue, where a listing may see it twice or not.
queue_rests() {
	[ "$(queue_ids | wc -l)" -eq "$1" ] && [ "$(pf_queue "$relay" | grep -c '"queue_name": "deferred"')" -eq "$1" ]
}

queue_empty() {
	[ -z "$(queue_ids)" ]
}

queue_filled() {
	[ -n "$(queue_ids)" ]
}
