# session: psql sessions that stay open between steps of a test; to be sourced after pg.sh. Two of them: a and b.
# shellcheck shell=sh

# session_open a|b DIR USER
session_open() {
	mkfifo "$2/in.$1"
	timeout 170 psql -XAtq -U "$3" <"$2/in.$1" >>"$2/out.$1" 2>&1 &
	case $1 in
	a) exec 5>"$2/in.$1" ;;
	b) exec 6>"$2/in.$1" ;;
	esac
	session_dir=$2
	session_step=0
	rm -f "$2/in.$1"
}

# session_send a|b SQL: does not wait.
session_send() {
	session_step=$((session_step + 1))
	case $1 in
	a) printf '%s\n\\echo step %d\n' "$2" "$session_step" >&5 ;;
	b) printf '%s\n\\echo step %d\n' "$2" "$session_step" >&6 ;;
	esac
}

# session_do a|b SQL: waits up to 30 s; prints what the session answered, the SQLSTATE of an error instead of its text.
session_do() {
	: >"$session_dir/out.$1"
	session_send "$1" "\\set VERBOSITY sqlstate
$2"
	session_wait "$1"
}

session_wait() {
	session_tries=300
	until grep -q "^step $session_step\$" "$session_dir/out.$1"; do
		session_tries=$((session_tries - 1))
		if [ "$session_tries" -eq 0 ]; then
			echo 'no answer in 30 s'
			return 0
		fi
		sleep 0.1
	done
	grep -v '^step ' "$session_dir/out.$1" | tr '\n' ' ' | sed 's/ $//'
}

session_close() {
	exec 5>&- 6>&-
}
