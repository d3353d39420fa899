#!/bin/sh
# Every way to break a promise that `plan` must see: the cases of refusals.txt, each on a fresh configuration.
#
# Postfix does not run here, nor any daemon: plan reads. What is refused is tried with `apply`, which must not touch a byte.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/postfix-conf/lib.sh
. tests/postfix-conf/lib.sh

relay_make dedicated
plan=$relay/plan.json

# put WHAT: one addition to the configuration.
put() {
	put_kind=${1%% *}
	put_rest=${1#* }
	put_rest=$(printf '%s' "$put_rest" | sed "s|@@/|$relay/|g")
	case $put_kind in
	main) printf '%s\n' "$put_rest" | sed 's/=/ = /' >>"$relay/etc/main.cf" ;;
	master) printf '%b\n' "$put_rest" >>"$relay/etc/master.cf" ;;
	file) printf '%b\n' "${put_rest#* }" >"$relay/${put_rest%% *}" ;;
	db)
		put_type=${put_rest%% *}
		put_rest=${put_rest#* }
		put_name=$relay/${put_rest%% *}
		printf '%b\n' "${put_rest#* }" >"$put_name"
		postmap -c "$relay/etc" "$put_type:$put_name"
		rm "$put_name"
		;;
	without) sed -i "/^$put_rest  *\\(unix\\|fifo\\)/d" "$relay/etc/master.cf" ;;
	fifo) sed -i "s/^\\($put_rest  *\\)unix/\\1fifo/" "$relay/etc/master.cf" ;;
	conf) sed -i "s|^${put_rest%% =*} = .*|$put_rest|" "$relay/mxhold.conf" ;;
	unconf) sed -i "/^$put_rest = /d" "$relay/mxhold.conf" ;;
	opt)
		awk -v service="${put_rest%% *}" -v option="${put_rest#* }" -v port=":$port" '
			{ print }
			$1 == service && $2 == "unix" || service == "smtp" && $1 ~ port && $2 == "inet" {
				print "  -o " option
			}' "$relay/etc/master.cf" >"$relay/master.new"
		cp "$relay/master.new" "$relay/etc/master.cf"
		;;
	esac
}

put_all() {
	put_left=$1
	pf_date_back "$relay/etc"
	while [ -n "$put_left" ]; do
		case $put_left in
		*';;'*)
			put "${put_left%%;;*}"
			put_left=${put_left#*;;}
			;;
		*)
			put "$put_left"
			put_left=
			;;
		esac
		pf_date_back "$relay/etc"
	done
}

trim() {
	printf '%s' "$1" | sed 's/^ *//; s/ *$//'
}

# found LEVEL SUBJECT TEXT
found() {
	python3 - "$plan" "$@" <<-'PYTHON'
		import json, sys
		path, level, subject, text = sys.argv[1:]
		rows = [json.loads(line) for line in open(path)]
		if level == "none":
		    sys.exit(any(r["kind"] == "refused" for r in rows))
		if level == "silent":
		    sys.exit(any(r.get("subject") == subject for r in rows))
		sys.exit(not any(r["kind"] == level and r["subject"] == subject and text in r["cause"] and r["cure"]
		                 for r in rows))
	PYTHON
}

judge_case() {
	relay_reset
	rm -f "$relay/a" "$relay/a.db"
	shared=
	case $1 in dedicated) conf_write yes ;; *) conf_write no ;; esac
	[ "$1" != shared ] || shared=--shared
	put_all "$2"
	# What is refused is tried with apply, which must say the same and touch nothing.
	action=plan
	case $3 in refused*) action=apply ;; esac
	before=$(cat "$relay/etc/main.cf" "$relay/etc/master.cf" | cksum)
	status=0
	# shellcheck disable=SC2086
	pfc "$action" --json $shared >"$plan" 2>"$relay/plan.err" || status=$?
	level=${3%% *}
	good=0
	case $level in
	refused) [ "$status" -eq 78 ] || good=1 ;;
	*) [ "$status" -eq 0 ] || good=1 ;;
	esac
	found "$level" "${3#* }" "$4" || good=1
	after=$(cat "$relay/etc/main.cf" "$relay/etc/master.cf" | cksum)
	[ "$before" = "$after" ] && [ ! -e "$relay/etc/mxhold-saved" ] || good=1
	ok "$good" "$1${2:+, $2}: $3"
	if [ "$good" -ne 0 ]; then
		note "status $status"
		note "$(grep -v '"kind":"change"\|"kind":"diff"' "$plan" | cut -c1-300)"
		note "$(cat "$relay/plan.err")"
	fi
}

while IFS='|' read -r who what finding text; do
	who=$(trim "$who")
	case $who in '' | '#'*) continue ;; esac
	judge_case "$who" "$(trim "$what")" "$(trim "$finding")" "$(trim "$text")"
done <tests/postfix-conf/refusals.txt

tap_done
