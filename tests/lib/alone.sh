# alone: namespaces for a suite that starts daemons; to be sourced first.
#
#   alone "$0" "$@"      the first words, in the repository's root: goes on in mount, network and pid namespaces of its own, as
#                        root. Whatever ends the suite, kill -9 too, takes along all that it has started.
# shellcheck shell=sh

alone() {
	if [ "${SUITE_ALONE:-}" != yes ]; then
		exec env SUITE_ALONE=yes unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc -- sh "$@"
	fi
	unset SUITE_ALONE
	ip link set lo up
}
