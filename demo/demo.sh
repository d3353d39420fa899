#!/bin/sh
# demo: shows mxhold's main job with real mail, on private services (being written; built on tests/lab/lab.sh).
set -eu
