#!/bin/sh
# `make soak`: SIZE domains (default 10 million) through bench/load.sh, with bounds on its figures. The bounds are wide: they
# find what grows with the size when it must not, not what is slow on a busy machine.
#
# usage: soak_load.sh
set -eu

cd "$(dirname "$0")/.."
. tests/lib/tap.sh
BUILD=${BUILD:-build}
export BUILD SIZE="${SIZE:-10000000}" ROUNDS="${ROUNDS:-1}" COMMITS="${COMMITS:-200}" DECIDE_SECONDS="${DECIDE_SECONDS:-20}"
figures=$(mktemp)
log=$(mktemp)
trap 'rm -f "$figures" "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# within NAME MOST TEXT
within() {
	value=$(awk -v n="$1" '$1 == n { v = $2 } END { print v }' "$figures")
	if awk -v v="${value:--1}" -v m="$2" 'BEGIN { exit !(v >= 0 && v <= m) }'; then ok 0 "$3 ($value)"; else
		ok 1 "$3"
		note "got: $value, at most: $2"
	fi
}

status=0
FIGURES=$figures sh bench/load.sh >"$log" 2>&1 || status=$?
ok "$status" "$SIZE domains are loaded, each of them is found, and changes arrive"
note "$(cat "$log")"
within load-ratio 4 'a full load takes less than four times a bare COPY of the same rows'
within disk-each 100 'bytes a domain on disk, after the first load'
within both-each 200 'bytes a domain on disk, while two sets are there'
within load-anon 65536 'KiB of own memory of mxhold-sync: it does not grow with the number of domains'
within policyd-anon 65536 'KiB of own memory of mxhold-policyd: neither does it'
within quiet-p99 1000 'ms from commit to the changed answer, p99'
within during-p99 1000 'ms beside a COPY of a million domains, p99'
within after-p99 2000 'ms behind the commit of these, before they are all there, p99'
tap_done
