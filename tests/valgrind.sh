#!/bin/sh
# The unit tests under valgrind, each in one process: no leak, no byte read that nobody wrote. Left out are those whose
# processes are meant to die in the middle of their work (killed readers and writers, supervised children), or change
# the process itself (limits, root), or play millions of rows; and what opens the spool, which a child reads through first.
# usage: valgrind.sh FOLDER
set -eu

folder=$1
some=$(mktemp -d)
trap 'rm -rf "$some"' EXIT
for program in "$folder"/test_*; do
	case ${program##*/} in
	test_service | test_supervise | test_sync_backlog | test_snapshot | test_snapshot_faults | test_state | test_spool) continue ;;
	test_log_blocked | test_queued_alert) continue ;;
	esac
	[ -x "$program" ] && ln -s "$(realpath "$program")" "$some"
done
CK_FORK=no sh "${0%/*}/run-unit.sh" "$some" valgrind -q --error-exitcode=99 --leak-check=full \
	--errors-for-leak-kinds=definite,indirect,possible
