#!/bin/sh
# Runs libFuzzer targets, each for a while, and prints TAP. A target fails when it finds something (the input is
# kept, and named), or when its parser never accepted or never refused an input.
#
# usage: run.sh FOLDER SECONDS NAME...   (FOLDER holds the programs fuzz_NAME; what they find goes there too)
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
folder=$1
seconds=$2
shift 2

for name in "$@"; do
	found=$folder/corpus/$name
	log=$folder/$name.log
	mkdir -p "$found"
	status=0
	timeout --kill-after=10 $((seconds + 60)) "$folder/fuzz_$name" -max_total_time="$seconds" -max_len=20000 \
		-timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$folder/$name-" \
		"$found" "tests/fuzz/corpus/$name" >"$log" 2>&1 || status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	accepted=$(sed -n 's/^accepted: \([0-9]*\) refused: .*/\1/p' "$log")
	refused=$(sed -n 's/^accepted: [0-9]* refused: //p' "$log")
	if [ "$status" -eq 0 ] && { [ "${accepted:-0}" -eq 0 ] || [ "${refused:-0}" -eq 0 ]; }; then
		status=1
	fi
	ok "$status" "fuzz_$name: ${runs:-?} runs, ${accepted:-?} accepted, ${refused:-?} refused"
	[ "$status" -eq 0 ] || note "$(tail -40 "$log")"
done
tap_done
