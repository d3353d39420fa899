#!/bin/sh
# lab-flood: one customer's flood does not delay another customer's drain. A flood waits for a primary that takes each message
# slowly; while it drains, the primary of another customer comes back, for whom a hundred messages wait on the same relay.
# They are all there while most of the flood is not.
#
# In: LAB_FLOOD (messages, default 800), LAB_SMALL (default 100), LAB_SLOW (ms for each of the flood, default 1000).
# shellcheck disable=SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"
LAB_QUEUED=yes
flood=${LAB_FLOOD:-800}
small=${LAB_SMALL:-100}

authorise() {
	lab_soc "insert into mxhold.customer (name) values ('flooded'), ('small');
		insert into mxhold.customer_region (customer, region) values ('flooded', 'eu'), ('small', 'eu');
		insert into mxhold.domain (name, customer, next_hops)
		select format('d%s.flooded.example', t), 'flooded', '[198.51.100.30]:25' from generate_series(0, 2) t
		union all
		select format('d%s.small.example', t), 'small', '[198.51.100.31]:25' from generate_series(0, 4) t"
}

# Where they go is told by next hops; the MX records name the relay, as rule 8 wants.
zone() {
	for domain in d0.flooded d1.flooded d2.flooded d0.small d1.small d2.small d3.small d4.small; do
		printf '%s.example. MX 10 mail.%s.example.\n%s.example. MX 20 europe.mx.backup.example.\n' \
			"$domain" "${domain#*.}" "$domain"
	done
	printf 'mail.flooded.example. A 198.51.100.30\nmail.small.example. A 198.51.100.31\n'
}

addresses() {
	awk -v n="$small" 'BEGIN { for (i = 0; i < n; i++) printf "m u%d@d%d.small.example\n", i, i % 5 }'
	awk -v n="$flood" 'BEGIN { for (i = 0; i < n; i++) printf "m u%d@d%d.flooded.example\n", i, i % 3 }'
}

held() {
	lab_ctl eu queue list --json | sed -n 's/.*"messages":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'
}

all_held() {
	[ "$(held)" -eq $((flood + small)) ]
}

arrived() {
	wc -l <"$LAB/$1/ledger" 2>/dev/null || echo 0
}

has() { # SERVER MESSAGES
	[ "$(arrived "$1")" -ge "$2" ]
}

zone >"$LAB/more.zone"
lab_hosts
lab_authority
lab_journal
authorise
for n in 0 1; do lab_in primary ip addr add "198.51.100.3$n/32" dev eth0; done
lab_server flooded primary 198.51.100.30:25
lab_server small primary 198.51.100.31:25
for name in flooded small; do lab_server_do "$name" down >/dev/null; done
lab_relay eu
lab_pf eu pf_set queue_run_delay=300s minimal_backoff_time=300s maximal_backoff_time=4000s
lab_pf eu pf_reload
try 'the relay is in step with the authority' wait_for 60 lab_in_step
addresses >"$LAB/addresses"
lab_in sender "$lab_tools/sender" -s 192.0.2.11:25 -r "$LAB/addresses" -l "$LAB/sender.ledger" -n $((flood + small)) -m 10 -g 90 |
	sed 's/^/# /'
try "both primaries are down: $flood and $small messages are held" wait_for 90 all_held

lab_server_do flooded at end slow "${LAB_SLOW:-1000}" >/dev/null
lab_server_do flooded up >/dev/null
try 'the flood drains' wait_for 60 has flooded 50
before=$(arrived flooded)
lab_server_do small up >/dev/null
try 'the other customer has all of his' wait_for 60 has small "$small"
then=$(arrived flooded)
note "meanwhile $((then - before)) of the flood came, and $((flood - then)) were still to come"
ok "$([ "$then" -lt $((flood * 3 / 4)) ] && echo 0 || echo 1)" 'while a good part of the flood still waited'
lab_server_do flooded at end ok >/dev/null
try 'the flood comes through, too' wait_for 100 has flooded "$flood"
try 'the queue is empty' wait_for 40 lab_queue_empty eu
is "$(arrived small) $(arrived flooded)" "$small $flood" 'each message came once'
lab_done
