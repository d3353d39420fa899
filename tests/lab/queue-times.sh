#!/bin/sh
# lab-queue-times: what keeps mail from a primary that is well again, with Postfix's own times and those of the overlay (other
# labs have small ones, and would not see it). All of them at once:
#   gone     five sessions hang at its greeting, as with a host that lost its power, and nobody ever closes them
#   deaf     of its two hosts the first swallows packets, the second comes back after an outage
#   empty    it knows nobody for a while (5.1.1), and is well again before the breaker opens
#   brief    it hangs for a moment only, when mail comes
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes
LAB_TIMES=postfix
names='gone deaf empty brief'

address_of() {
	case $1 in
	gone) echo 198.51.100.61 ;;
	deaf) echo 198.51.100.62 ;;
	empty) echo 198.51.100.63 ;;
	brief) echo 198.51.100.64 ;;
	esac
}
silent=198.51.100.66

# Where they go is told by next hops; the MX records name the relay, as rule 8 wants.
zone() {
	for name in $names; do
		printf '%s.example. MX 10 mail.%s.example.\n%s.example. MX 20 europe.mx.backup.example.\n' "$name" "$name" "$name"
		printf '%s.example. MX 30 mail.%s.example.\nmail.%s.example. A %s\n' "$name" "$name" "$name" "$(address_of "$name")"
	done
}

authorise() {
	lab_soc "insert into mxhold.customer (name) values ('acme');
		insert into mxhold.customer_region (customer, region) values ('acme', 'eu')"
	for name in $names; do
		hops="[$(address_of "$name")]:25"
		[ "$name" != deaf ] || hops="[$silent]:25, $hops"
		lab_soc "insert into mxhold.domain (name, customer, next_hops) values ('$name.example', 'acme', '$hops')"
	done
}

start_primaries() {
	for name in $names; do
		lab_in primary ip addr add "$(address_of "$name")/32" dev eth0
		lab_server "$name" primary "$(address_of "$name"):25"
	done
}

tell() { # NAME COMMAND...
	lab_server_do "$@" >/dev/null
}

send() { # NAME COUNT
	sent=0
	while [ "$sent" -lt "$2" ]; do
		sent=$((sent + 1))
		case $(lab_send eu "user$sent@$1.example" "$1 $sent") in
		250*) ;;
		*) return 1 ;;
		esac
	done
}

arrived() { # NAME MESSAGES
	[ "$(wc -l <"$LAB/$1/ledger")" -ge "$2" ]
}

held() { # NAME MESSAGES STATE-OF-THE-PRIMARY
	lab_ctl eu queue list --json | grep "\"domain\":\"$1.example\"" | grep "\"messages\":$2\>" | grep -q "\"primary\":\"$3\""
}

refused() { # NAME MESSAGES
	[ "$(grep "@$1.example>" "$LAB/eu/log/mail.log" | grep ' said: 550 ' | sed 's/.* to=<\([^>]*\)>.*/\1/' | sort -u | wc -l)" -ge "$2" ]
}

sessions() { # NAME COUNT: of the relay, open at this primary
	[ "$(lab_in eu ss -Htn state established dst "$(address_of "$1"):25" | wc -l)" -ge "$2" ]
}

back() { # NAME COMMAND...: from now on it is well
	date +%s.%N >"$LAB/$1.back"
	tell "$@"
}

# took NAME LIMIT TEXT: seconds from its return to its last message; the limit leaves room for a busy machine.
took() {
	taken=$(awk -v back="$(cat "$LAB/$1.back")" 'END { printf "%.1f", $1 - back }' "$LAB/$1/ledger")
	ok "$(awk -v t="$taken" -v most="$2" 'BEGIN { print !(t > 0 && t < most) }')" "$3: $taken s"
}

zone >"$LAB/more.zone"
lab_hosts
lab_authority
lab_journal
authorise
start_primaries
lab_relay eu
# A neighbour whose hardware address nobody has: what is sent there is swallowed.
lab_in eu ip neigh replace "$silent" lladdr 02:00:00:00:00:99 nud permanent dev eth0
is "$(lab_in eu postconf -c "$LAB/eu/etc" -h minimal_backoff_time queue_run_delay smtp_helo_timeout | tr '\n' ' ')" '300s 300s 300s ' \
	"Postfix's own times"
try 'the relay is in step with the authority' wait_for 60 lab_in_step

# --- what goes wrong, and is well again -----------------------------------------------------------------------------------------

tell gone at banner stall
tell brief at banner stall
tell deaf down
tell empty at rcpt reply '550 5.1.1 User unknown'
try 'mail comes for one that hangs for a moment' send brief 1
try 'its session hangs' wait_for 30 sessions brief 1
back brief at banner ok
try 'a new message goes past it' send brief 1
try 'at once' wait_for 40 arrived brief 1
try 'mail comes for one that is gone with its sessions open' send gone 5
try 'five sessions hang there' wait_for 30 sessions gone 5
back gone at banner ok
try 'mail comes for two hosts of which one is silent' send deaf 6
try 'and for one that knows nobody' send empty 4
try 'whom it refuses is known' wait_for 30 refused empty 4
back empty at rcpt ok
try 'it takes a new message' send empty 1
try 'of the silent pair no one answers' wait_for 60 held deaf 6 down
back deaf up

# --- what it took ---------------------------------------------------------------------------------------------------------------

try 'of two hosts, the one that is back gets all' wait_for 80 arrived deaf 6
took deaf 60 'a silent one costs ten seconds a connection'
try 'who knew nobody, and takes mail now, gets what he refused' wait_for 100 arrived empty 5
took empty 60 'soon'
try 'who was gone gets all' wait_for 150 arrived gone 5
took gone 120 'after a minute, when dead sessions are given up'
try 'so does the one that hung for a moment' wait_for 150 arrived brief 2
took brief 120 'after a minute too'
try 'the queue is empty' wait_for 40 lab_queue_empty eu
shipped() { [ "$(lab_rows "select count(*) from mxhold_journal.message where outcome = 'delivered'")" -eq 18 ]; }
try 'the journal has each as delivered' wait_for 60 shipped
lab_done
