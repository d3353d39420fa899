# same: succeeds when the snapshot holds what the tables hold; for wait_for, in a shell of its own.
# shellcheck shell=sh
. tests/sync/lib.sh
[ "$(domains)" = "$(domains_by_sql)" ] && [ "$("$dump" "$work/state" a customers | sort)" = "$(customers_by_sql | sort)" ]
