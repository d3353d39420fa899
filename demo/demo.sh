#!/bin/sh
# demo: shows mxhold's main job with real mail, on private services, in about two minutes.
#
#   sh demo/demo.sh [run]     the demo; KEEP=1 leaves it running afterwards
#   sh demo/demo.sh stop      ends each demo that was kept (or only the one of DEMO=, which the demo tells at its end)
#   sh demo/demo.sh help      the commands for a demo that was kept
#   sh demo/demo.sh can       can this machine do it? Says what is missing, with the cure
#
# In: BUILD (the build folder, with the programs in it), KEEP, DEMO. Out: the narration on stdout; exit status 0 only if every step
# did what it says. This file is the part outside: it makes the namespaces in which demo/inside.sh does the work, ends them, and
# proves that nothing is left. The kernel removes all with the namespaces: processes, network, the tmpfs with all files.
# What runs is noted in a directory of its own below /run, which only root can write.
set -eu

case ${KEEP-} in 0 | no) KEEP= ;; esac
demo_top=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$demo_top/$BUILD ;; esac
LAB_TOP=$demo_top
export BUILD LAB_TOP
# shellcheck source=tests/lab/lab.sh
. "$demo_top/tests/lab/lab.sh"

die() {
	printf 'demo: %s\n' "$1" >&2
	shift
	for demo_text in "$@"; do printf '      %s\n' "$demo_text" >&2; done
	exit 1
}

# --- what the machine must allow ------------------------------------------------------------------------------------

can() {
	[ "$(id -u)" -eq 0 ] || die 'it needs root: Postfix, and hosts in network namespaces.' 'Cure: sudo make demo'
	demo_words=$(unshare --mount --propagation private --net --pid --fork --mount-proc true 2>&1) ||
		die "this machine does not allow new namespaces: $demo_words" \
			'They keep the demo apart from the system, so there is no way around them.' \
			'Cure: a virtual machine, or a container with more rights: docker run --privileged ...,' \
			'or --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined' \
			'--security-opt apparmor=unconfined; LXC/Incus: security.nesting=true, security.privileged=true.'
	[ -w /run ] || die '/run cannot be written.' 'Cure: mount -t tmpfs -o mode=755 run /run'
	command -v ip >/dev/null || return 0
	demo_words=$(unshare --net sh -c 'ip link add bridge type bridge && ip link add v0 type veth peer name v1' 2>&1) ||
		die "the kernel has no bridge or veth: $demo_words" 'Cure: modprobe bridge veth (on the host of a container)'
}

# --- the demo -------------------------------------------------------------------------------------------------------

inside_words() {
	# A demo that is to stay must outlive this script; any other ends with it, even when it is killed.
	[ -n "${KEEP-}" ] || printf 'setpriv --pdeathsig KILL '
	printf 'unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc'
}

# Does the process that was noted still live, and is it that one?
lives() {
	demo_pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$demo_pid" ] && tr '\0' '\n' 2>/dev/null <"/proc/$demo_pid/environ" |
		grep -Fqx "MXHOLD_DEMO=$1"
}

# What a demo leaves in /run that was ended by kill -9: its note, of a process that lives no more.
sweep() {
	for demo_dir in /run/mxhold-demo.*; do
		[ -n "$(find "$demo_dir/pid" -mmin +1 2>/dev/null)" ] || continue
		[ "$(cat "$demo_dir/result" 2>/dev/null)" = kept ] || lives "$demo_dir" || rm -rf "$demo_dir"
	done
}

start() {
	sweep
	demo_reader=
	demo_dir=$(mktemp -d /run/mxhold-demo.XXXXXX)
	trap leave EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 141' PIPE
	trap 'exit 143' TERM
	: >"$demo_dir/namespaces"
	LAB=$(lab_place)
	export LAB LAB_OUT="$demo_dir" KEEP="${KEEP-}" MXHOLD_DEMO="$demo_dir"
	printf '%s\n' "$LAB" >"$demo_dir/place"
	printf '%s\n' "$BUILD" >"$demo_dir/build"
	DEMO_COLOUR=
	if [ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM:-dumb}" != dumb ]; then DEMO_COLOUR=yes; fi
	export DEMO_COLOUR
	# A pipe of our own carries the narration: our stdout must not stay open in a demo that is kept.
	mkfifo "$demo_dir/narration"
	cat <"$demo_dir/narration" &
	demo_reader=$!
	# shellcheck disable=SC2046
	setsid $(inside_words) sh "$demo_top/demo/inside.sh" run </dev/null >"$demo_dir/errors" 2>&1 &
	demo_job=$!
	printf '%s\n' "$demo_job" >"$demo_dir/pid"
}

# Ends a demo with all that is in its namespaces; says who is left. One that is just being started needs a moment until it
# can be told from a stranger.
end() {
	demo_end=$(lab_ticks)
	demo_tries=200
	while [ "$demo_tries" -gt 0 ] && ! lab_gone "$(cat "$1/pid")"; do
		if lives "$1"; then
			demo_init=$(init_pid "$1")
			kill -s KILL "$demo_pid"
			[ -z "$demo_init" ] || wait_for 10 lab_gone "$demo_init" || true
		fi
		demo_tries=$((demo_tries - 1))
		sleep 0.05
	done 2>/dev/null
	lab_leftovers "$1/namespaces" "$demo_end"
}

leave() {
	demo_status=$?
	trap - EXIT
	trap '' HUP INT TERM PIPE
	set +e
	if [ "$(cat "$demo_dir/result" 2>/dev/null)" = kept ] && [ "$demo_status" -eq 0 ]; then exit 0; fi
	# A signal between the start of it and its note: the last one that was started is it, or the reader.
	[ -s "$demo_dir/pid" ] || printf '%s\n' "${!-}" >"$demo_dir/pid"
	demo_left=$(end "$demo_dir")
	[ -z "$demo_reader" ] || kill "$demo_reader" 2>/dev/null
	rm -rf "$demo_dir"
	case $demo_status in
	129 | 130 | 143) echo 'demo: interrupted' ;;
	141) exec >/dev/null 2>&1 ;;
	esac
	if [ -n "$demo_left" ]; then
		echo "demo: something is left: $demo_left" >&2
		exit 1
	fi
	echo 'Nothing is left behind: no process, network, mount or file.'
	exit "$demo_status"
}

run() {
	can
	[ -x "$BUILD/tests/tools/primary" ] ||
		die "$BUILD holds no programs." "Cure: make demo, or: BUILD=$BUILD sh demo/build.sh"
	start
	while [ ! -s "$demo_dir/result" ] && kill -0 "$demo_job" 2>/dev/null; do sleep 0.2; done
	# Whoever inside has a result to tell closes the narration next.
	if [ -s "$demo_dir/result" ]; then
		wait "$demo_reader" || exit 141
		demo_reader=
	fi
	case $(cat "$demo_dir/result" 2>/dev/null) in
	kept) how "$demo_dir" ;;
	passed) ;;
	*)
		cat "$demo_dir/errors" >&2
		exit 1
		;;
	esac
}

# --- a demo that was kept -------------------------------------------------------------------------------------------

# The first process inside, as this machine numbers it.
init_pid() {
	ps -o pid= --ppid "$(cat "$1/pid")" | tr -d ' ' | head -n 1
}

how() {
	demo_place=$(cat "$1/place")
	demo_init=$(init_pid "$1")
	cat <<-HOW

		It is left running. From any shell, as root, in $demo_top:

		  sh demo/demo.sh psql soc          SQL as the SOC (role mxhold_soc)
		  sh demo/demo.sh psql owner        SQL as the owner (role mxhold_owner)
		  sh demo/demo.sh psql journal      the journal of the region: table mxhold_journal.message, role
		                                    mxhold_journal_reader
		  sh demo/demo.sh mailq [hk]        the queue of a relay (eu, or hk)
		  sh demo/demo.sh log [hk]          its log, as it grows
		  sh demo/demo.sh queued [hk]       what mxhold-queued does there, as it goes on
		  sh demo/demo.sh alerts [hk]       the alerts there so far, one JSON object a line
		  sh demo/demo.sh mxholdctl domain check customer.example
		                                    the operator's tool, with any of its verbs: queue list,
		                                    queue hold DOMAIN --for 1h, primary status, primary watch,
		                                    mx check DOMAIN (-c $demo_place/eu/mxhold.conf)
		  sh demo/demo.sh swaks --to bob@customer.example
		                                    a message from the sender to the relay eu
		  sh demo/demo.sh primary up        the customer's server, which is down now: up, down, count;
		                                    or wrong: primary at rcpt reply "550 5.1.1 no such user";
		                                    and well again: primary reset
		  sh demo/demo.sh in eu             a shell on a host: eu, hk, auth, primary, sender, dns

		  sh demo/demo.sh stop              ends it, and leaves nothing behind

		This one is $1; if there are more, put DEMO=... with its name before a command.
		Files: /proc/$demo_init/root$demo_place (eu/log/mail.log, eu/etc/main.cf, eu/mxhold.conf, log/...)
		By hand: nsenter -t $demo_init -m -p -n bash
	HOW
}

# The newest demo that was kept and still runs.
kept() {
	demo_found=
	for demo_dir in ${DEMO:-/run/mxhold-demo.*}; do
		[ "$(cat "$demo_dir/result" 2>/dev/null)" = kept ] || continue
		lives "$demo_dir" || continue
		[ -n "$demo_found" ] && [ -n "$(find "$demo_found/result" -newer "$demo_dir/result")" ] || demo_found=$demo_dir
	done
	[ -n "$demo_found" ]
}

stop() {
	sweep
	demo_any=
	for demo_dir in ${DEMO:-/run/mxhold-demo.*}; do
		[ "$(cat "$demo_dir/result" 2>/dev/null)" = kept ] || continue
		demo_any=yes
		demo_left=$(end "$demo_dir")
		rm -rf "$demo_dir"
		[ -z "$demo_left" ] || die "something is left: $demo_left"
		echo 'The demo is ended. Nothing is left behind: no process, network, mount or file.'
	done
	[ -n "$demo_any" ] || echo 'No demo was kept.'
}

verb() {
	kept || die 'no demo runs that was kept.' 'Cure: make demo KEEP=1'
	LAB=$(cat "$demo_found/place")
	BUILD=$(cat "$demo_found/build")
	export LAB BUILD
	exec nsenter -t "$(init_pid "$demo_found")" -m -p -n -- sh "$demo_top/demo/inside.sh" "$@"
}

case ${1:-run} in
run) run ;;
can) can ;;
stop) stop ;;
help | -h | --help)
	if kept; then how "$demo_found"; else sed -n 's/^#   //p' "$0"; fi
	;;
*) verb "$@" ;;
esac
