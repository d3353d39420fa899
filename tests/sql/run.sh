#!/bin/sh
# Runs pgTAP files against a private cluster with the whole schema, each in a database of its own.
# usage: run.sh [FILE...]   (default: all of tests/sql/*.sql). Out: one TAP stream.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/pg.sh
dir=$(mktemp -d /tmp/mxsql.XXXXXX)
trap 'pg_stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pg_start "$dir"
pg_sql -c 'create database template_mxhold'
pg_migrate template_mxhold
pg_sql -d template_mxhold -f tests/sql/lib/setup.psql

[ $# -gt 0 ] || set -- tests/sql/*.sql
count=0
failed=0
for file in "$@"; do
	name=${file##*/}
	name=${name%.sql}
	pg_sql -c "create database \"test_$name\" template template_mxhold"
	status=0
	timeout 300 psql -XAtq -v ON_ERROR_STOP=1 -d "test_$name" -f "$file" >"$dir/out" 2>"$dir/err" || status=$?
	planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$dir/out" | head -n 1)
	seen=0
	while IFS= read -r line; do
		case $line in
		ok\ * | 'not ok '*)
			count=$((count + 1))
			seen=$((seen + 1))
			word=ok
			case $line in not*)
				word='not ok'
				failed=$((failed + 1))
				;;
			esac
			printf '%s %d - %s: %s\n' "$word" "$count" "$name" "${line#*- }"
			;;
		'#'*) printf '%s\n' "$line" ;;
		esac
	done <"$dir/out"
	if [ "$status" -ne 0 ] || [ "$seen" -eq 0 ] || [ "${planned:-0}" -ne "$seen" ]; then
		count=$((count + 1))
		failed=$((failed + 1))
		printf 'not ok %d - %s: status %d, %d of %s tests ran\n' "$count" "$name" "$status" "$seen" "${planned:-?}"
		sed 's/^/# /' "$dir/err" | tail -20
	fi
done
printf '1..%d\n' "$count"
[ "$failed" -eq 0 ]
