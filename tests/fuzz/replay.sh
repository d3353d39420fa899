#!/bin/sh
# Replays the corpus of every fuzz target through its parser, and prints TAP.
# usage: replay.sh FOLDER   (of the programs replay_NAME, built with sanitizers)
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
folder=$1

for target in tests/fuzz/fuzz_*.c; do
	name=${target##*/fuzz_}
	name=${name%.c}
	status=0
	output=$(timeout 60 "$folder/replay_$name" "tests/fuzz/corpus/$name" 2>&1) || status=$?
	ok "$status" "fuzz_$name: $(printf '%s\n' "$output" | sed -n 's/^ok 1 - [^:]*: //p')"
	[ "$status" -eq 0 ] || note "$output"
done
tap_done
