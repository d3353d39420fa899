# postfix: private Postfix instances for tests and the demo; to be sourced.
#
#   pf_create DIR [NAME [LISTENER]]   makes an instance below DIR: nothing runs yet
#   pf_start DIR, pf_stop DIR         start and end it; pf_stop leaves no process behind, whatever state it is in
#   pf_set DIR NAME=VALUE...          postconf -e (pf_reload, or pf_start, makes it count)
#   pf_reload DIR                     re-reads main.cf and master.cf; no idle smtpd of before is left
#   pf_options DIR SERVICE NAME...    what main.cf sets, as `-o` of a service too
#   pf_date_back ETC                  after another change of main.cf: whoever reads it need not wait
#   pf_log DIR                        path of its log; pf_queue DIR lists the queue as JSON lines
#   pf_run DIR COMMAND...             runs a Postfix command against this instance, as in `pf_run "$d" postqueue -f`
#   pf_pids DIR                       the processes of the instance
#
# In: PF_EXEC, words in front of every command (`ip netns exec relay1`), default none; PF_CHROOT, `y` or `n` for the
# chroot column of master.cf (default y, as on Debian). An instance lies wholly in DIR: DIR/etc (config_directory),
# DIR/spool (queue_directory), DIR/data (data_directory), DIR/log/mail.log (maillog_file), DIR/mail (mailboxes). Neither /etc/postfix/main.cf
# nor any system instance is read or touched; main.cf and master.cf start as Debian's packages ship them. The daemons
# take their files (dynamicmaps.cf, postfix-files) from Debian's meta_directory /etc/postfix.
#
# master(8) needs root. Unix-domain sockets lie below DIR/spool: keep DIR short (a path of a socket has 107 bytes).
# DIR is made searchable (0711) for the user postfix; whatever leads to it must be too.
# shellcheck shell=sh

# shellcheck disable=SC2086
pf_run() {
	pf_dir=$1
	shift
	MAIL_CONFIG=$pf_dir/etc ${PF_EXEC-} "$@"
}

pf_log() {
	printf '%s\n' "$1/log/mail.log"
}

# pf_create DIR [NAME [LISTENER]]: NAME is $myhostname (default mx.example), LISTENER the first field of the smtp
# service: `smtp` (port 25 at all addresses, the default) or `127.0.0.1:10025`.
pf_create() {
	pf_name=${2:-mx.example}
	pf_listener=${3:-smtp}
	pf_chroot=${PF_CHROOT:-y}
	mkdir -p "$1/etc" "$1/spool" "$1/data" "$1/log" "$1/mail"
	chmod 1777 "$1/mail"
	chmod 0711 "$1"
	chmod 0755 "$1/etc" "$1/spool" "$1/log"
	chown root:root "$1" "$1/etc" "$1/spool" "$1/log"
	chown postfix: "$1/data"
	chmod 0700 "$1/data"
	cp /usr/share/postfix/main.cf.debian "$1/etc/main.cf"
	# The chroot column is the fifth field; services that cannot live in one say `n` and keep it.
	awk -v listener="$pf_listener" -v chroot="$pf_chroot" '
		/^#/ || /^[ \t]/ { print; next }
		$1 == "smtp" && $2 == "inet" { $1 = listener }
		$5 == "y" { $5 = chroot }
		{ print }' /usr/share/postfix/master.cf.dist >"$1/etc/master.cf"
	cat >>"$1/etc/main.cf" <<-CONF

		# Where this private instance lives.
		queue_directory = $1/spool
		data_directory = $1/data
		maillog_file = $1/log/mail.log
		maillog_file_prefixes = $1/log
		mail_spool_directory = $1/mail
		syslog_name = ${pf_name%%.*}
		myhostname = $pf_name
		myorigin = \$myhostname
		mydestination = \$myhostname, localhost
		mynetworks = 127.0.0.0/8, [::1]/128
		inet_interfaces = all
		inet_protocols = all
		alias_maps =
		alias_database =
	CONF
	chmod 0644 "$1/etc/main.cf" "$1/etc/master.cf"
	pf_date_back "$1/etc"
	pf_chroot_files "$1"
}

# pf_date_back ETC: a program that reads main.cf waits until the last change is two seconds ago, lest it be half a change;
# ours are whole. An older date stays as it is.
pf_date_back() {
	pf_fresh=$(find "$1/main.cf" -type f -newermt '3 seconds ago' 2>/dev/null) || true
	[ -z "$pf_fresh" ] || touch -d '1 minute ago' "$1/main.cf"
}

# What a chrooted daemon looks up by itself. Run again after /etc/resolv.conf of its namespace has changed.
pf_chroot_files() {
	mkdir -p "$1/spool/etc"
	for pf_file in services hosts host.conf nsswitch.conf localtime resolv.conf; do
		# shellcheck disable=SC2086
		${PF_EXEC-} cat "/etc/$pf_file" >"$1/spool/etc/$pf_file" 2>/dev/null || rm -f "$1/spool/etc/$pf_file"
	done
}

pf_set() {
	pf_target=$1
	shift
	pf_run "$pf_target" postconf -c "$pf_target/etc" -e "$@" || return
	pf_date_back "$pf_target/etc"
}

# pf_options DIR SERVICE NAME...: what main.cf sets holds for that service as well, whatever `-o` stands there.
pf_options() {
	pf_target=$1
	pf_service=$2
	shift 2
	for pf_name in "$@"; do
		pf_value=$(pf_run "$pf_target" postconf -c "$pf_target/etc" -n "$pf_name") || return
		[ -z "$pf_value" ] || pf_run "$pf_target" postconf -c "$pf_target/etc" -P "$pf_service/$pf_name=${pf_value#*= }" || return
	done
}

# Returns when master(8) has bound its sockets, or fails with its words.
pf_start() {
	pf_chroot_files "$1"
	pf_date_back "$1/etc"
	# While no master runs, `postfix start` has its queue checked by the user postfix, who writes straight to this file when
	# he finds something (half a queue file of a cleanup that was killed), and could not start Postfix if he may not.
	[ ! -f "$1/log/mail.log" ] || chown postfix "$1/log/mail.log"
	if ! pf_words=$(pf_run "$1" postfix -c "$1/etc" start 2>&1 </dev/null); then
		printf 'postfix below %s does not start:\n%s\n' "$1" "$pf_words" >&2
		[ ! -f "$1/log/mail.log" ] || tail -5 "$1/log/mail.log" >&2
		return 1
	fi
}

# master(8) hears of it a moment later, and an smtpd that is older may take one more session: who has no client ends then,
# and is waited for; who has one is not.
pf_reload() {
	pf_date_back "$1/etc"
	pf_former=$(pf_listeners "$1")
	pf_run "$1" postfix -c "$1/etc" reload >/dev/null 2>&1 || return
	pf_tries=20
	while [ "$pf_tries" -gt 0 ]; do
		pf_tries=$((pf_tries - 1))
		pf_left=
		for pf_pid in $pf_former; do
			[ ! -e "/proc/$pf_pid/exe" ] || pf_left=yes
		done
		[ -n "$pf_left" ] || return 0
		sleep 0.1
	done
}

# The processes that talk to clients.
pf_listeners() {
	for pf_pid in $(pf_pids "$1"); do
		case $(readlink "/proc/$pf_pid/exe" 2>/dev/null) in */smtpd | */postscreen) printf '%s\n' "$pf_pid" ;; esac
	done
}

pf_queue() {
	pf_run "$1" postqueue -c "$1/etc" -j
}

# Every Postfix daemon works in its queue directory, chrooted or not.
pf_pids() {
	for pf_proc in /proc/[0-9]*; do
		[ "$(readlink "$pf_proc/cwd" 2>/dev/null)" = "$1/spool" ] || continue
		case $(readlink "$pf_proc/exe" 2>/dev/null) in */postfix/sbin/*) ;; *) continue ;; esac
		printf '%s\n' "${pf_proc#/proc/}"
	done
}

# First by its own command; what is stopped (SIGSTOP), orphaned or stuck is killed.
pf_stop() {
	[ -d "$1/etc" ] || return 0
	pf_run "$1" timeout 10 postfix -c "$1/etc" stop </dev/null >/dev/null 2>&1 || true
	for pf_signal in CONT TERM KILL KILL; do
		pf_left=$(pf_pids "$1")
		[ -n "$pf_left" ] || return 0
		# shellcheck disable=SC2086
		kill -s "$pf_signal" $pf_left 2>/dev/null || true
		sleep 0.2
	done
	[ -z "$(pf_pids "$1")" ]
}
