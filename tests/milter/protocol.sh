#!/bin/sh
# mxhold-milter on its socket, without an MTA: what it negotiates and answers, and what becomes of those who do not keep
# to the protocol.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/milter/lib.sh

milter_dir
milter_start

# to ADDRESS [MAILER]: the macros and the command of one recipient.
to() {
	printf 'macro R j mx.example {client_addr} %s {rcpt_addr} %s {rcpt_mailer} %s\nrcpt <%s>\n' \
		"${from:-192.0.2.9}" "$1" "${2:-mxhold}" "$1"
}

# --- what is negotiated, and the plain way of a message

is "$(say negotiate)" 'options version=6 actions=100 protocol=1803c3' \
	'asks for MAIL, RCPT, fields, body and end alone, no reply to fields and body, blanks kept'
is "$(say 'negotiate fffff' closed)" "$(printf 'closed\nclosed')" 'an MTA that cannot keep the blanks is sent away'
is "$(say 'negotiate 0')" 'closed' 'and so is one that can do nothing'
is "$(say negotiate 'mail <a@b>' "$(to u@ok.example)" 'header A %20b' 'body 10485752' eom | tail -3)" \
	"$(printf 'continue\ncontinue\ncontinue')" '10,485,760 octets pass'
like "$(say negotiate 'mail <a@b>' "$(to u@ok.example)" 'header A %20b' 'body 10485753' eom | tail -1)" \
	'^552 5\.3\.4 ' '10,485,761 do not'

# --- the rules

like "$(say negotiate 'mail <a@b>' "$(to u@far.example)" | tail -1)" '^450 4\.7\.1 ' 'another region'
like "$(say negotiate 'mail <a@b>' "$(to u@off.example)" | tail -1)" '^450 4\.7\.1 ' 'suspended'
like "$(say negotiate 'mail <a@b>' "$(to u@none.example)" | tail -1)" '^450 4\.7\.1 ' 'unknown, and yet by our transport'
is "$(say negotiate 'mail <a@b>' "$(to u@none.example smtp)" | tail -1)" 'continue' 'not by our transport: none of our business'
like "$(from=198.51.100.2 && say negotiate 'mail <a@b>' "$(to u@ok.example)" | tail -1)" '^450 4\.7\.1 ' \
	'a relay of the fleet as client'
like "$(say negotiate 'mail <a@b> SIZE=20000000' "$(to u@ok.example)" | tail -1)" '^552 5\.3\.4 ' 'SIZE far above the limit'

# --- state: several messages, ABORT, a second limit, macros that are missing

replies=$(say negotiate 'mail <a@b> SIZE=1' "$(to u@ok.example)" 'header A b' 'body 10485760' abort \
	'mail <a@b>' "$(to u@big.example)" "$(to u@ok.example)" 'header A b' 'body 10485761' eom \
	'mail <a@b>' "$(to u@ok.example)" 'body 100' eom 'mail <a@b>' 'mail <a@b>' "$(to u@ok.example)" 'body 5' eom quit closed)
is "$(echo "$replies" | cut -c1-9 | tr '\n' ' ')" \
	'options v continue continue continue continue 452 4.5.3 continue continue continue continue continue continue continue continue closed ' \
	'each transaction stands for itself'
like "$(say negotiate 'mail <a@b>' "$(to u@ok.example)" 'rcpt <u@far.example>' | tail -1)" '^451 4\.3\.0 ' \
	'a recipient without macros is not judged by those of the one before'
like "$(say negotiate 'mail <a@b>' 'macro R {rcpt_addr} u@ok.example' 'rcpt <u@ok.example>' | tail -1)" '^451 4\.3\.0 ' \
	'without {rcpt_mailer}'
like "$(say negotiate 'mail <a@b>' 'macro R {rcpt_mailer} mxhold' 'rcpt <u@ok.example>' | tail -1)" '^451 4\.3\.0 ' \
	'without {rcpt_addr}'

# --- who does not keep to the protocol

alive() {
	is "$(say negotiate | cut -d' ' -f1)" options "$1"
}
first=$(child)
say 'raw 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a 0d 0a' closed >"$dir/out"
is "$(cat "$dir/out")" closed 'HTTP: closed'
is "$(say 'raw ff ff ff ff 4f' closed)" closed 'a length of 4 GiB: closed, nothing is allocated'
is "$(say 'raw 7f ff ff ff 42' 'fill 41 100000' closed | tail -1)" closed 'a length of 2 GiB and data'
is "$(say 'raw 00 01 00 01 42' closed)" closed 'one octet more than 65,536'
is "$(say 'raw 00 00 00 00 4f' closed)" closed 'a length of nothing'
is "$(say 'raw 00 00 00 01 5a' closed)" closed 'an unknown command'
is "$(say 'raw 00 00 00 05 4f 00 00 00 06' closed)" closed 'a negotiation that is too short'
is "$(say 'raw 00 00 00 0d 4f 00 00 00 01 00 00 01 ff 00 1f ff ff' closed)" closed 'version 1'
say negotiate 'raw 00 00 00 03 4d 61 62' closed >"$dir/out"
like "$(tail -1 "$dir/out")" '^closed$' 'MAIL without NUL: closed'
say negotiate 'mail <a@b>' 'raw 00 00 00 03 4c 61 62' closed >"$dir/out"
like "$(tail -1 "$dir/out")" '^(closed|open)$' 'a field without NUL'
say negotiate 'mail <a@b>' 'raw 00 00 00 03 44 52 61' 'rcpt <u@ok.example>' >"$dir/out"
like "$(tail -1 "$dir/out")" '^451 ' 'a macro without NUL: none'
like "$(say 'mail <a@b>' "$(to u@far.example)" | tail -1)" '^450 ' 'no negotiation: judged all the same'
is "$(say negotiate 'body 5' 'header A b' abort 'mail <a@b>' | tail -1)" continue 'fields and body before MAIL'
say negotiate 'mail <a@b>' 'raw 00 00 10 00 44 52' 'fill 00 4094' 'rcpt <u@ok.example>' >"$dir/out"
like "$(tail -1 "$dir/out")" '^451 ' '4,094 empty macros'
is "$(say 'raw 00 00 00 0d 4f' again negotiate | cut -d' ' -f1)" options 'half a packet, and another connection'
alive 'it still answers'

# --- many who say nothing

rss() {
	ps -o rss= -p "$(child)" | tr -d ' '
}
before=$(rss)
timeout 30 "$client" "$socket" idle -n 2000 -t 2 >"$dir/idle" &
idle=$!
wait_for 30 grep -q opened "$dir/idle"
alive 'it answers with 2,000 idle connections'
with_idle=$(rss)
wait "$idle"
is "$(tail -1 "$dir/idle")" 'open=2000' 'none of them is turned away'
timeout 30 "$client" "$socket" idle -n 500 -t 3 -H >"$dir/idle" &
idle=$!
wait_for 30 grep -q opened "$dir/idle"
sleep 0.5
alive 'it answers with 500 half packets'
with_half=$(rss)
wait "$idle"
note "memory of the child, KiB: $before at rest, $with_idle with 2,000 idle connections, $with_half with 500 half packets"
ok "$([ "$with_half" -lt 65536 ] && [ "$with_idle" -lt 65536 ] && echo 0 || echo 1)" 'memory stays below 64 MiB'
is "$(child)" "$first" 'and all of it was one and the same child'
milter_stop
is $? 0 'stops cleanly'
tap_done
