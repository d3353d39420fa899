#!/bin/sh
# build: builds what the demo needs, quietly: one line that counts, and the compiler's words only when something fails.
#
# In: MAKE, BUILD (from the Makefile). Out: the programs and three tools of the tests in BUILD.
set -eu

cd "$(dirname "$0")/.."
: "${MAKE:=make}" "${BUILD:=build}"
mkdir -p "$BUILD/log"
log=$BUILD/log/demo-build.$$
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

show() {
	[ ! -t 1 ] || printf '\rbuild: %d files compiled ' "$(grep -c '^ *CC ' "$log" || true)"
}

started=$(date +%s)
echo "build: mxhold and the demo's tools, in $BUILD"
: >"$log"
"$MAKE" --no-print-directory -j"$(nproc)" BUILD="$BUILD" all "$BUILD/tests/tools/primary" "$BUILD/tests/tools/dialogue" \
	"$BUILD/tests/tools/sender" >"$log" 2>&1 &
job=$!
while kill -0 "$job" 2>/dev/null; do
	show
	sleep 0.5
done
status=0
wait "$job" || status=$?
[ ! -t 1 ] || printf '\r'
if [ "$status" -ne 0 ]; then
	grep -v '^ *\(CC\|AR\|LINK\) ' "$log" | tail -n 40 >&2
	echo 'build: failed' >&2
	exit 1
fi
echo "build: done, $(grep -c '^ *CC ' "$log" || true) files compiled in $(($(date +%s) - started)) s"
