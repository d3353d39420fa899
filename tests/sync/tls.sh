#!/bin/sh
# mxhold-sync and an authority behind TLS: encrypted, and verified; a wrong CA, name or certificate, no TLS, and streams
# that end or fall silent within it are faults like any other. Then connection strings that live elsewhere: service
# files, password files, the environment.
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/alone.sh
. tests/lib/alone.sh
alone "$0" "$@"
. tests/sync/lib.sh

port=16000
proxy=$((port + 1))
other=$((port + 2))
sync_setup "port=$port" host_auth=scram-sha-256
pg_sql -c "alter role relay_a password 'right-one'" \
	-c "insert into mxhold.domain (name, customer) select 'd' || i || '.example', 'acme' from generate_series(1, 200) i"
work_log=$work/sync.log

# --- certificates: two authorities; of the first, one for `localhost` and one for another name
ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$work/$1.key" -out "$work/$1.crt" 2>>"$work/openssl.log"
}
# certificate NAME CA SUBJECT
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$work/$1.key" \
		-out "$work/$1.csr" 2>>"$work/openssl.log"
	printf 'subjectAltName = DNS:%s\n' "$3" >"$work/$1.ext"
	openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.crt" -CAkey "$work/$2.key" -CAcreateserial -days 2 \
		-extfile "$work/$1.ext" -out "$work/$1.crt" 2>>"$work/openssl.log"
}
ca ours
ca theirs
certificate right ours localhost
certificate renamed ours elsewhere.example
certificate strange theirs localhost
chmod 644 "$work"/*.crt

# serve NAME: the server shows this certificate from now on, and nobody has an older connection
serve() {
	cp "$work/$1.crt" "$work/pg/data/server.crt"
	cp "$work/$1.key" "$work/pg/data/server.key"
	chown postgres: "$work/pg/data/server.crt" "$work/pg/data/server.key"
	chmod 600 "$work/pg/data/server.key"
	afresh
}
afresh() {
	loaded_at=$(conf_loaded)
	pg_sql -c 'select pg_reload_conf()' >/dev/null
	wait_for 30 conf_is_new || note 'the server has not read its configuration again'
	reset_sessions
}
# A new session has this time from the postmaster, who takes nobody before it has read all of it.
conf_loaded() { pg_sql -c 'select pg_conf_load_time()'; }
conf_is_new() { [ "$(conf_loaded)" != "$loaded_at" ]; }
# only hostssl|host: which TCP connections the server takes
only() {
	printf 'local all all trust\n%s all all all scram-sha-256\n' "$1" >"$work/pg/data/pg_hba.conf"
}
only hostssl
pg_sql -c "alter system set ssl = on"
serve right

at="port=$port user=relay_a password=right-one dbname=postgres"
use() {
	write_conf "$1"
	hup
}
encrypted() {
	[ "$(pg_sql -c "select bool_and(s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.usename = 'relay_a'")" = t ]
}

# --- sslmode=require
write_conf "host=127.0.0.1 $at sslmode=require"
daemon_start
try 'sslmode=require: comes up' wait_for 30 state_is current
same "$(domains)" "$(domains_by_sql)" 'with what the tables hold'
try 'the line is encrypted' wait_for 10 encrypted
if took=$(follows 15); then ok 0 "a change comes ($took ms)"; else ok 1 'a change comes'; fi
no_tls() {
	only host
	pg_sql -c 'alter system set ssl = off'
	afresh
}
tls() {
	only hostssl
	pg_sql -c 'alter system set ssl = on'
	afresh
}
fault 'a server without TLS' unreachable no_tls tls
try 'the line is encrypted again' wait_for 10 encrypted

# --- sslmode=verify-full
verified="host=localhost $at sslmode=verify-full sslrootcert=$work/ours.crt"
use "$verified"
if took=$(follows 30); then ok 0 "sslmode=verify-full: follows ($took ms)"; else ok 1 'sslmode=verify-full: follows'; fi
try 'the line is encrypted' wait_for 10 encrypted
right() { serve right; }
strange() { serve strange; }
fault 'a certificate of another CA' unreachable strange right
like "$(grep -c 'certificate verify failed' "$work_log")" '^[1-9]' 'the log names the reason'
renamed() { serve renamed; }
fault 'a certificate for another name' unreachable renamed right
like "$(grep -c 'does not match host name' "$work_log")" '^[1-9]' 'the log names the reason'
wrong_ca() { use "host=localhost $at sslmode=verify-full sslrootcert=$work/theirs.crt"; }
again() { use "$verified"; }
fault 'the wrong CA in the configuration' unreachable wrong_ca again
no_ca() { use "host=localhost $at sslmode=verify-full sslrootcert=$work/nowhere.crt"; }
fault 'a CA file that is not there' unreachable no_ca again
by_address() { use "host=127.0.0.1 $at sslmode=verify-full sslrootcert=$work/ours.crt"; }
fault 'the certificate does not name the address' unreachable by_address again

# --- long streams within TLS
echo pass >"$work/mode"
"$BUILD/tests/tools/tcp_proxy" "$proxy" "$port" "$work/mode" &
others="$others $!"
listens() { ss -Hltn "sport = :$1" | grep -q .; }
wait_for 30 listens "$proxy"
pg_sql -c "insert into mxhold.domain (name, customer) select 'load' || i || '.example', 'acme' from generate_series(1, 100000) i"
use "host=localhost port=$proxy user=relay_a password=right-one dbname=postgres sslmode=verify-full sslrootcert=$work/ours.crt"
try '100,000 domains come by TLS' wait_for 30 sh -c '. tests/sync/same.sh'
same "$(domains)" "$(domains_by_sql)" 'as the tables hold them'
pass() { echo pass >"$work/mode"; }
load() {
	echo "$1" >"$work/mode"
	reset_sessions
	"$ask" "$work/state/control" reload "$2" >"$work/reload" || true
}
load pass 60
like "$(cat "$work/reload")" '"ok":true,"detail":"[0-9]+ rows, 0 differing' 'a full load by TLS: nothing differs'
load 'slow 3000000' 60
like "$(cat "$work/reload")" '"ok":true,"detail":"[0-9]+ rows, 0 differing' 'a slow one too'
before=$(domains)
load 'cut 1500000' 40
like "$(cat "$work/reload")" '"ok":false' 'a load that is cut off in the midst fails'
same "$(domains)" "$before" 'and the old set stays active'
pass
if took=$(follows 40); then ok 0 "then it follows again ($took ms)"; else ok 1 'then it follows again'; fi
before=$(domains)
load 'stall 1500000' 40
like "$(cat "$work/reload")" '"ok":false.*no answer in time' 'one that falls silent ends at its deadline'
same "$(domains)" "$before" 'and the old set stays active'
pass
if took=$(follows 40); then ok 0 "then it follows again ($took ms)"; else ok 1 'then it follows again'; fi
# `garbage` answers the request for TLS with noise, `stall 1` takes it and says nothing more.
for mode in garbage mute 'stall 1' 'stall 500'; do
	spoil() {
		echo "$mode" >"$work/mode"
		reset_sessions
	}
	fault "in the handshake: $mode" unreachable spoil pass
done

# --- a service file, a password file, the environment
daemon_stop || true
cat >"$work/services" <<SERVICES
[authority]
host=localhost
port=$proxy
dbname=postgres
user=relay_a
sslmode=verify-full
sslrootcert=$work/ours.crt
[wrong]
host=localhost
port=$other
SERVICES
chmod 644 "$work/services"
# password NAME TEXT: a file as libpq wants it, for the daemon's user
password() {
	printf '%s\n' "$2" >"$work/$1"
	chown 64101:64100 "$work/$1"
	chmod 600 "$work/$1"
}
password pass-right 'localhost:*:postgres:relay_a:right-one'
password pass-wrong 'localhost:*:postgres:relay_a:wrong-one'
export PGSERVICEFILE="$work/services"
# The tests' own connections say what they want; the daemon takes the rest from where it is told to look.
daemon_alone() {
	daemon_start env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGCONNECT_TIMEOUT "$@"
}
write_conf "service=authority passfile=$work/pass-right"
try 'a service is a good connection string' "$sync_bin" -n -c "$work/mxhold.conf"
daemon_alone
if took=$(follows 30); then ok 0 "service= and passfile=: follows ($took ms)"; else ok 1 'service= and passfile=: follows'; fi
try 'encrypted, as the service says' wait_for 10 encrypted
wrong_password() {
	use "service=authority passfile=$work/pass-wrong"
	reset_sessions
}
right_password() { use "service=authority passfile=$work/pass-right"; }
fault 'a wrong password in the file' unreachable wrong_password right_password
open_file() {
	chmod 644 "$work/pass-right"
	use "service=authority passfile=$work/pass-right application_name=open"
}
closed_file() {
	chmod 600 "$work/pass-right"
	right_password
}
fault 'a password file that all can read (libpq passes it over)' unreachable open_file closed_file
no_service() { use "service=nowhere passfile=$work/pass-right"; }
fault 'a service that is not in the file' unreachable no_service right_password
wrong_port() { use "service=wrong passfile=$work/pass-right"; }
fault 'a service at which nobody listens' unreachable wrong_port right_password
use "service=wrong port=$proxy dbname=postgres user=relay_a password=right-one sslmode=require"
if took=$(follows 30); then ok 0 "what the string says outranks its service ($took ms)"; else ok 1 'what the string says outranks its service'; fi
daemon_stop || true
write_conf "dbname=postgres"
daemon_alone PGSERVICE=authority "PGPASSFILE=$work/pass-right"
if took=$(follows 30); then ok 0 "service and password file of the environment ($took ms)"; else ok 1 'service and password file of the environment'; fi
try 'encrypted' wait_for 10 encrypted
if grep -qE 'right-one|wrong-one' "$work_log"; then ok 1 'no password in the log'; else ok 0 'no password in the log'; fi
status=0
daemon_stop || status=$?
is "$status" 0 'SIGTERM ends it with 0'

tap_done
