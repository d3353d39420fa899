# relay: a relay's files without a database, for suites of single daemons; to be sourced. In: BUILD, and $work where said.
#
#   relay_alone "$0" "$@"      the first words: goes on in mount, network and pid namespaces of its own, as root
#   relay_state DIR            makes it STATE_DIR, with a snapshot of what stands in $work/rows
#   relay_conf [LINE...]       $work/mxhold.conf for relay eu1 of region eu, with these lines at its end
#
# RELAY_POSTFIX: the instance's folder (default $work/postfix); RELAY_LOG: its log (default $work/maillog); RELAY_SOCKETS:
# the sockets' group (default 64105). The daemons' users are numbers, as in the lab.
# shellcheck shell=sh disable=SC2154

# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh

relay_alone() {
	if [ "$(id -u)" -ne 0 ]; then
		echo '1..0 # SKIP namespaces and users of the test are for root to make'
		exit 0
	fi
	alone "$@"
}

relay_state() {
	mkdir -p "$1"
	"$BUILD/tests/tools/mksnapshot" -r eu1 -g 64100 "$1" "$work/rows"
	chown -R 64101:64100 "$1"
	chmod 750 "$1"
}

relay_conf() {
	cat >"$work/mxhold.conf" <<-CONF
		[relay]
		name = eu1
		region = eu
		[authority]
		stale_after = 1d
		[paths]
		state_dir = $work/state
		socket_dir = $work/sock
		postfix_config_dir = ${RELAY_POSTFIX:-$work/postfix}
		maillog = ${RELAY_LOG:-$work/maillog}
		[users]
		group = 64100
		socket_group = ${RELAY_SOCKETS:-64105}
		sync = 64101
		policyd = 64102
		milter = 64103
		queued = 64104
	CONF
	[ $# -eq 0 ] || printf '%s\n' "$@" >>"$work/mxhold.conf"
}
