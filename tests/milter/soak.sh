#!/bin/sh
# `make soak`: a million messages through mxhold-milter, and its memory.
set -eu

exec sh "$(dirname "$0")/memory.sh" 1000000
