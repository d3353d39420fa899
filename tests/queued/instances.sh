#!/bin/sh
# queued-instances: two Postfix instances write to one log, and a third is configured (the default one, in /etc/postfix of a mount
# namespace). Lines of the others are left out; where that cannot be, or would be wrong, they count as ever, and it is told.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh
BUILD=${BUILD:-build}
collect=${COLLECT:-$BUILD/tests/collect}
port=$((28000 + $$ % 500 * 8))
dir=$(mktemp -d /tmp/mxi.XXXXXX)
collect_pid=

cleanup() {
	status=$?
	if [ "$status" -ne 0 ] || [ "$tap_failed" -gt 0 ]; then
		tail -20 "$dir/out" "$dir/log/mail.log" 2>/dev/null | sed 's/^/# /'
	fi
	[ -z "$collect_pid" ] || kill -9 "$collect_pid" 2>/dev/null || true
	pf_stop "$dir/ours" || true
	pf_stop "$dir/other" || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

await() { # SECONDS COMMAND...
	await_left=$(($1 * 5))
	shift
	until "$@"; do
		await_left=$((await_left - 1))
		[ "$await_left" -gt 0 ] || return 1
		sleep 0.2
	done
}

within() { # SECONDS TEXT COMMAND...
	within_seconds=$1
	within_text=$2
	shift 2
	ok "$(await "$within_seconds" "$@" && echo 0 || echo 1)" "$within_text"
}

# start_collect NAME [alone]: with a state of its own; alone: on a host without a default instance
start_collect() {
	mkdir -p "$dir/state.$1"
	cat >"$dir/conf.$1" <<-CONF
		[relay]
		name = eu1
		region = eu
		[paths]
		state_dir = $dir/state.$1
		postfix_config_dir = $dir/ours/etc
		maillog = $dir/log/mail.log
	CONF
	name=$1
	: >"$dir/out"
	if [ "${2-}" = alone ]; then
		mount="$dir/nothing"
	else
		mount="$dir/default"
	fi
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount --bind "$1" /etc/postfix && exec "$2" "$3" 300' sh "$mount" "$collect" "$dir/conf.$1" >>"$dir/out" 2>&1 &
	collect_pid=$!
}

# Ends it, which writes all that it read.
end_collect() {
	kill "$collect_pid"
	wait "$collect_pid" 2>/dev/null || true
	collect_pid=
}

rows() {
	"$collect" "$dir/conf.$name" rows
}

# The recipients of which the journal has a row.
recipients() {
	rows | awk '{ print $2 }' | sort | xargs
}

# unasked DIRECTORY: was there no time to ask for the names of the default instance, or of this one?
unasked() {
	grep -Eq "event=instances-ignored|event=instance-ignored config_dir=(/etc/postfix|$1) " "$dir/out"
}

# start_known NAME [DIRECTORY]: start_collect, and all of the log is read. Where a busy machine has not let postconf(1) tell the
# names within the two seconds that it gets, lines of others count as ours, as they should, and it is started anew.
start_known() {
	start_collect "$1"
	known_tries=5
	while await 40 has_row former@one.example && unasked "${2:-$dir/other/etc}" && [ "$known_tries" -gt 0 ]; do
		known_tries=$((known_tries - 1))
		note "postconf had too little time: once more"
		end_collect
		rm -rf "$dir/state.$1"
		start_collect "$1"
	done
}

submit() { # INSTANCE RECIPIENT
	printf 'Subject: x\n\ntext\n' | pf_run "$dir/$1" sendmail -C "$dir/$1/etc" -f s@out.example "$2"
}

append_deferred() { # TAG ID RECIPIENT
	printf '%s eu %s[9]: %s: to=<%s>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (%s)\n' \
		"$(date '+%b %e %H:%M:%S')" "$1" "$2" "$3" 'connect to m[203.0.113.5]:25: refused' >>"$dir/log/mail.log"
}

logged() {
	grep -q -- "$1" "$dir/log/mail.log"
}

told() {
	grep -q -- "$1" "$dir/out"
}

has_row() {
	rows | grep -q " $1 "
}

# --- the scene --------------------------------------------------------------------------------------------------------

chmod 0711 "$dir"
mkdir -p "$dir/ours" "$dir/other" "$dir/default" "$dir/nothing" "$dir/log"
cp -R /etc/postfix/. "$dir/nothing"
rm -f "$dir/nothing/main.cf"
cp -R "$dir/nothing/." "$dir/default"
cat >"$dir/default/main.cf" <<-CONF
	compatibility_level = 3.6
	multi_instance_directories = $dir/ours/etc, $dir/other/etc $dir/gone/etc
CONF
pf_date_back "$dir/default"
: >"$dir/log/mail.log"
chown postfix "$dir/log/mail.log"
for instance in ours other; do
	PF_CHROOT=n pf_create "$dir/$instance" eu.mx.example "127.0.0.1:$port"
	port=$((port + 1))
	pf_set "$dir/$instance" multi_instance_name="postfix-$instance" syslog_name="\${multi_instance_name?{\$multi_instance_name}:{postfix}}" \
		maillog_file="$dir/log/mail.log" maillog_file_prefixes="$dir/log" enable_long_queue_ids=yes inet_interfaces=127.0.0.1 \
		inet_protocols=ipv4 mydestination= relay_domains=static:all in_flow_delay=0
done
# Ours sends by the service `relay`, which in every instance's master.cf logs as postfix/relay: below the default one's name.
pf_set "$dir/ours" relay_transport="relay:[127.0.0.1]:1"
pf_set "$dir/other" relay_transport="smtp:[127.0.0.1]:1"
pf_start "$dir/ours"
pf_start "$dir/other"
submit ours ours@one.example
submit other other@one.example
within 40 'the other instance puts a message off' logged 'postfix-other/smtp\[.*to=<other@one.example>.*status=deferred'
within 40 'so does ours, as postfix/relay' logged 'postfix/relay/smtp\[.*to=<ours@one.example>.*status=deferred'
append_deferred postfix/smtp 4QkT3z0V1Wz5s default@one.example
append_deferred postfix-former/smtp 4QkT3z0V1Wz5t former@one.example
other_id=$(pf_queue "$dir/other" | sed -n 's/.*"queue_id": "\([^"]*\)".*/\1/p')
ours_id=$(pf_queue "$dir/ours" | sed -n 's/.*"queue_id": "\([^"]*\)".*/\1/p')

# --- who is known ---------------------------------------------------------------------------------------------------------

start_collect alone alone
within 40 'without a default instance all lines are read' has_row former@one.example
is "$(recipients)" 'default@one.example former@one.example other@one.example ours@one.example' 'and all count'
end_collect

start_known known
within 40 'a name that is not known counts as ours' has_row former@one.example
is "$(recipients)" 'former@one.example ours@one.example' 'lines of the two others are left out, those of our own services are not'
like "$(cat "$dir/out")" "event=instance-ignored config_dir=$dir/gone/etc" 'an instance that is gone is told'
is "$(grep -c 'syslog-name' "$dir/out" || true)" 0 'and nothing else'

pf_run "$dir/other" postsuper -c "$dir/other/etc" -d "$other_id" >/dev/null 2>&1
within 30 'the other instance removes its message' logged "postfix-other/postsuper\[.*$other_id: removed"

# --- a message of ours, by another's name -----------------------------------------------------------------------------------

append_proof() {
	append_deferred postfix-other/smtp "$ours_id" ours@one.example
	sleep 0.3
	told 'event=syslog-name-ours name=postfix-other'
}
within 40 'a message that our own listing shows is ours, whatever the tag' append_proof
append_deferred postfix-other/smtp 4QkT3z0V1Wz5w later@one.example
within 30 'and from then on lines of that name are' has_row later@one.example
append_deferred postfix/smtp 4QkT3z0V1Wz5x default@one.example
append_deferred postfix-former/smtp 4QkT3z0V1Wz5y end@one.example
within 30 'those of the third' has_row end@one.example
is "$(rows | grep -c default@one.example || true)" 0 'are still left out'
end_collect
is "$(grep -c 'event=syslog-name-ours' "$dir/out")" 1 'it is told once'

# --- who cannot be told apart -------------------------------------------------------------------------------------------------

pf_set "$dir/other" syslog_name=postfix-ours
start_known same
within 40 'two of one name are told' told 'event=syslog-name-shared'
like "$(cat "$dir/out")" "event=syslog-name-shared name=postfix-ours config_dir=$dir/ours/etc other=$dir/other/etc .*cure=" 'with both directories and the cure'
within 40 'all lines are read' has_row end@one.example
is "$(rows | grep -c default@one.example || true)" 0 'the third, of another name, is still left out'
is "$(grep -c 'syslog-name-shared' "$dir/out")" 1 'it is told once'
end_collect

pf_set "$dir/other" maillog_file="$dir/log/other.log"
start_known apart
within 40 'with a log of its own' has_row end@one.example
is "$(grep -c 'syslog-name-shared' "$dir/out" || true)" 0 'one name is no fault'
end_collect

# --- postconf does not answer ---------------------------------------------------------------------------------------------------

mkdir "$dir/hung"
mkfifo "$dir/hung/main.cf"
printf 'compatibility_level = 3.6\nmulti_instance_directories = %s %s\n' "$dir/hung" "$dir/other/etc" >"$dir/default/main.cf"
pf_date_back "$dir/default"
start_known hung /etc/postfix
within 40 'an instance that postconf hangs at: the log is read all the same' has_row end@one.example
like "$(cat "$dir/out")" "event=instance-ignored config_dir=$dir/hung reason=.postconf does not tell" 'it is told'
like "$(cat "$dir/out")" "event=instance-ignored config_dir=$dir/other/etc reason=.no time left" 'nor is there time for those behind it'
is "$(rows | grep -c default@one.example || true)" 0 'one that was asked before it is left out'
end_collect
tap_done
