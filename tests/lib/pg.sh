# pg: a private PostgreSQL cluster for tests; to be sourced. Nothing of the system's own PostgreSQL is touched.
#
#   pg_start DIR [port=N] [bind=ADDRESS] [host_auth=METHOD] ['conf=SETTING = VALUE']...
#       makes a cluster in DIR/data (when there is none yet), starts it, exports PGHOST PGPORT PGUSER PGDATABASE.
#       The unix socket lies in DIR; TCP only with port=N (on 127.0.0.1, or on bind=). METHOD defaults to trust.
#   pg_stop DIR [MODE]      stops it (immediate by default); the caller removes DIR
#   pg_restart DIR          fast stop and start, same settings
#   pg_migrate [DATABASE]   applies sql/*.sql in order, as any operator could with psql
#   pg_sql [ARGS...]        psql without decoration that stops at the first error
#   pg_pid DIR              pid of the postmaster, to stop or kill it in a test
#   pg_run COMMAND...       runs a command as the user that owns the clusters
#   pg_exec COMMAND... &    the same in the background: $! is the command itself
#   pg_quiet                settings for a throw-away cluster: nothing is synced to disk
#
# DIR must have a short path (a unix socket lies in it), is made readable for all, and belongs to the caller, who
# removes it. As root the cluster belongs to the user postgres; else to the caller. Every wait has an end.
# shellcheck shell=sh

pg_bin=
for pg_dir in /usr/lib/postgresql/*/bin; do
	[ -x "$pg_dir/initdb" ] || continue
	pg_version=${pg_dir%/bin}
	pg_version=${pg_version##*/}
	if [ "$pg_version" -ge 15 ] && [ "$pg_version" -ge "${pg_newest:-15}" ]; then
		pg_bin=$pg_dir
		pg_newest=$pg_version
	fi
done
[ -n "$pg_bin" ] || {
	echo 'pg.sh: no PostgreSQL 15 or later below /usr/lib/postgresql' >&2
	exit 69
}
# The root of the repository; a caller elsewhere sets it beforehand.
pg_root=${pg_root:-$(pwd)}

pg_exec() {
	[ "$(id -u)" -ne 0 ] || set -- setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
	exec "$@"
}

pg_run() {
	(pg_exec "$@")
}

pg_quiet() {
	cat <<-'CONF'
		fsync = off
		synchronous_commit = on
		full_page_writes = off
		max_wal_size = 4GB
		shared_buffers = 256MB
		dynamic_shared_memory_type = mmap # in the cluster's folder, so that one that is killed leaves nothing elsewhere
		max_connections = 200
		timezone = 'UTC'
		log_timezone = 'UTC'
		lc_messages = 'C'
		log_line_prefix = '%m [%p] %u@%d '
	CONF
}

pg_init() {
	mkdir -p "$1/data"
	chmod 755 "$1"
	[ "$(id -u)" -ne 0 ] || chown postgres: "$1/data" "$1"
	pg_run timeout 60 "$pg_bin/initdb" -D "$1/data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
		--no-sync >"$1/initdb.log" 2>&1 || {
		cat "$1/initdb.log" >&2
		return 1
	}
	pg_quiet >>"$1/data/postgresql.conf"
	printf "unix_socket_directories = '%s'\ninclude_if_exists = 'pg-test.conf'\n" "$1" >>"$1/data/postgresql.conf"
}

pg_start() {
	pg_at=$1
	shift
	[ -s "$pg_at/data/PG_VERSION" ] || pg_init "$pg_at" || return 1
	pg_port=5432
	pg_bind=
	pg_method=
	for pg_option in "$@"; do
		case $pg_option in
		port=*)
			pg_port=${pg_option#port=}
			[ -n "$pg_bind" ] || pg_bind=127.0.0.1
			;;
		bind=*) pg_bind=${pg_option#bind=} ;;
		host_auth=*) pg_method=${pg_option#host_auth=} ;;
		conf=*) printf '%s\n' "${pg_option#conf=}" ;;
		*)
			echo "pg_start: unknown option $pg_option" >&2
			return 64
			;;
		esac
	done >"$pg_at/extra.conf"
	{
		cat "$pg_at/extra.conf"
		printf "port = %s\nlisten_addresses = '%s'\n" "$pg_port" "$pg_bind"
	} >"$pg_at/data/pg-test.conf"
	rm -f "$pg_at/extra.conf"
	if [ -n "$pg_bind" ]; then
		printf 'local all all trust\nlocal replication all trust\nhost all all all %s\nhost replication all all %s\n' \
			"${pg_method:-trust}" "${pg_method:-trust}" >"$pg_at/data/pg_hba.conf"
	fi
	pg_up "$pg_at" || return 1
	PGHOST=$pg_at
	PGPORT=$pg_port
	PGUSER=postgres
	PGDATABASE=postgres
	PGCONNECT_TIMEOUT=10
	export PGHOST PGPORT PGUSER PGDATABASE PGCONNECT_TIMEOUT
}

pg_up() {
	pg_run timeout 60 "$pg_bin/pg_ctl" start -D "$1/data" -w -t 50 -l "$1/data/log" </dev/null >/dev/null 2>&1 || {
		tail -20 "$1/data/log" >&2
		return 1
	}
}

pg_pid() {
	head -n 1 "$1/data/postmaster.pid"
}

pg_stop() {
	[ -s "$1/data/postmaster.pid" ] || return 0
	# A stopped postmaster (SIGSTOP) would never hear of it.
	kill -CONT "$(pg_pid "$1")" 2>/dev/null || true
	pg_run timeout 60 "$pg_bin/pg_ctl" stop -D "$1/data" -m "${2:-immediate}" -w -t 50 </dev/null >/dev/null 2>&1 || true
}

pg_restart() {
	pg_stop "$1" fast
	pg_up "$1"
}

pg_sql() {
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

pg_migrate() {
	for pg_file in "$pg_root"/sql/[0-9]*.sql; do
		pg_sql -d "${1:-$PGDATABASE}" -f "$pg_file" || return 1
	done
}
