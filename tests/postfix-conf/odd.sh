#!/bin/sh
# Odd but plausible configurations: plan, apply, apply again, rollback on each; what cannot be read is refused in words.
#
# On each of them apply must put the gate first, bring no warning of postconf(1), change nothing when run again, and rollback must bring
# back every byte. Postfix does not run here (apply.sh and behaviour.sh have it running).
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/postfix-conf/lib.sh
. tests/postfix-conf/lib.sh

relay_make dedicated
conf_write no
relay_daemons
main=$relay/etc/main.cf
master=$relay/etc/master.cf

warnings() {
	for way in -n -M -P; do postconf -c "$relay/etc" "$way" 2>&1 >/dev/null || true; done | grep -v ': overriding earlier entry: \|: unused parameter: ' | sort -u
}

# cycle NAME: the whole of it on the configuration as it stands, which is then as it was made.
cycle() {
	rm -rf "$relay/etc.odd"
	cp -a "$relay/etc" "$relay/etc.odd"
	before=$(warnings)
	good=0
	pfc plan --shared >"$relay/out" 2>&1 || good=1
	pfc apply --shared >>"$relay/out" 2>&1 || good=1
	[ "$(warnings)" = "$before" ] || good=1
	case $(postconf -c "$relay/etc" -xh smtpd_relay_restrictions 2>/dev/null) in
	'check_policy_service { unix:mxhold/policy,'*) ;;
	*) good=1 ;;
	esac
	case $(pfc apply --shared 2>>"$relay/out") in
	*': nothing to change') ;;
	*) good=1 ;;
	esac
	pfc rollback >>"$relay/out" 2>&1 || good=1
	diff -r "$relay/etc" "$relay/etc.odd" >>"$relay/out" || good=1
	ok "$good" "$1"
	[ "$good" -eq 0 ] || note "$(tail -20 "$relay/out")"
	relay_reset
}

# refused NAME STATUS TEXT: apply says so, and leaves everything as it was.
refused() {
	rm -rf "$relay/etc.odd"
	cp -a "$relay/etc" "$relay/etc.odd"
	status=0
	pfc apply --shared >"$relay/out" 2>&1 || status=$?
	is "$status" "$2" "$1"
	like "$(cat "$relay/out")" "$3" 'it is said'
	diff -r --no-dereference "$relay/etc" "$relay/etc.odd" >>"$relay/out" && status=0 || status=1
	ok "$status" 'and nothing has changed'
	relay_reset
}

printf 'smtpd_relay_restrictions\t=   \n\n# a\n  # b\n\tpermit_mynetworks   ,\n\n# c\n   reject_unauth_destination\n#d\n\nnotify_classes=bounce   ,\n#e\n\n  resource\n' >>"$main"
cycle 'comments and blank lines within values'
# shellcheck disable=SC2016
printf 'r = permit_mynetworks, reject_unauth_destination\nsmtpd_relay_restrictions = $r\nm = inet:127.0.0.1:1\nsmtpd_milters = ${m}\nt = inline:{a.example=smtp:}\ntransport_maps=$(t)\nd=corp.example\nrelay_domains=$d\n' >>"$main"
cycle 'lists that are variables'
# shellcheck disable=SC2016
printf 'smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_relay_restrictions = $smtpd_recipient_restrictions\n' >>"$main"
cycle 'one list is the other'
printf 'smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n' >>"$main"
cycle 'no relay restrictions'
printf 'smtpd_relay_restrictions =' >>"$main"
refused 'no relay restrictions, nor others' 78 'nothing that refuses strangers'
printf 'smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination\n' >>"$main"
cycle 'blanks instead of commas'
# shellcheck disable=SC2016
printf '127.0.0.1:10600 inet n - y - - smtpd\n  -o   {  smtpd_relay_restrictions   =   permit_mynetworks ,  reject  }\n\t-o {smtpd_milters=}\n  -o {smtpd_recipient_restrictions = }\n127.0.0.1:10601   inet\tn\t-\ty\t-\t-\tsmtpd -o smtpd_relay_restrictions=$own\n# a comment\n\n  -o smtpd_client_restrictions=permit' >>"$master"
printf 'own = permit_mynetworks, reject_unauth_destination' >>"$main"
cycle 'several services, odd braces, no newline at the end'
printf '127.0.0.1:10602 inet n - y - - smtpd -o smtpd_relay_restrictions=\n' >>"$master"
refused 'a service without restrictions' 78 'service 127.0.0.1:10602'
sed -i 's/$/\r/' "$main" "$master"
cycle 'lines that end in CRLF'
printf 'smtpd_relay_restrictions = permit_mynetworks, permit\r\n' >>"$main"
refused 'permit with a CR' 78 'open relay'
printf 'smtpd_relay_restrictions = permit_mynetworks,\n reject_unauth_destination # no comment\n' >>"$main"
cycle 'a comment that is none'
# shellcheck disable=SC2016
printf 'mydestination = $myhostname\nmynetworks = 127.0.0.0/8\nmydestination = $myhostname, localhost\ninet_interfaces = 127.0.0.1\n' >>"$main"
cycle 'parameters that stand twice'
printf 'transport_maps = socketmap:unix:mxhold/map:transport\nrelay_domains = socketmap:unix:mxhold/map:relay_domains\nsmtpd_milters = unix:mxhold/milter\nsmtpd_relay_restrictions = permit_mynetworks, check_policy_service unix:mxhold/policy, reject_unauth_destination\n' >>"$main"
cycle 'our maps and sockets by hand'
sed -i "s/^\(127[^ ]*\) *inet.*smtpd\$/\1 inet n - n - 1 postscreen\nsmtpd pass - - y - - smtpd/" "$master"
try 'postscreen stands there' grep -q '^127.* postscreen$' "$master"
cycle 'postscreen in front'
{
	printf '   leading = x\n'
	cat "$relay/etc.made/main.cf"
} >"$main"
cycle 'a first line that goes on with nothing'
printf 'smtpd_client_restrictions = permit\nsmtpd_delay_reject = no\nmynetworks_style = host\n' >>"$main"
cycle 'permit for all clients, restrictions not delayed'
# shellcheck disable=SC2016
printf 'smtpd_milters =\nnon_smtpd_milters = $smtpd_milters\n' >>"$main"
cycle 'no milters, and the same for mail of this host'
# shellcheck disable=SC2016
printf 'none =\nnotify_classes = $none\nours = $smtpd_milters\nnon_smtpd_milters = $ours\n' >>"$main"
cycle 'variables that nothing needs any more'
printf 'smtp_tls_policy_maps = static:may\nsmtp_reply_filter = regexp:{{/^220/ 421 4.3.0 no}}\nsmtp_tls_fingerprint_digest = md5\nmax_use = 7\n' >>"$main"
try 'TLS policies and a reply filter for other mail: apply' pfc apply --shared
is "$(for name in smtp_tls_policy_maps smtp_reply_filter smtp_tls_fingerprint_digest max_use; do
	postconf -c "$relay/etc" -P "mxhold-pin/unix/$name"
done | sed 's/.* = //' | tr '\n' ' ')" 'socketmap:unix:mxhold/map:pins socketmap:unix:mxhold/map:greeting sha256 1 ' 'pins do not follow them'
is "$(postconf -c "$relay/etc" -h max_use)" 7 'and they stay'
try 'rollback' pfc rollback
cycle 'the same, whole'
printf 'mxhold-pin unix - - y - - smtp\n' >>"$master"
refused 'a service mxhold-pin of somebody else' 78 'master.cf has a service mxhold-pin that mxhold did not write'
printf 'this line has no equals sign\n' >>"$main"
refused 'a main.cf that Postfix cannot read' 78 "missing '=' after attribute name"
rm "$master"
refused 'no master.cf' 78 'master.cf: No such file or directory'
rm "$main"
ln -s /nonexistent/main.cf "$main"
refused 'a link to nowhere' 78 'main.cf: No such file or directory'
printf 'a\0b\n' >>"$main"
refused 'NUL bytes' 78 'NUL bytes'

# --- an instance that the daemons do not look after: nobody would watch it
cp -a "$relay/etc" "$relay/other"
elsewhere() {
	status=0
	pfc "$1" --shared --config-dir "$2" >"$relay/out" 2>&1 || status=$?
	said=$(tr -s ' \n' ' ' <"$relay/out")
}
for action in plan apply status; do
	elsewhere "$action" "$relay/other"
	is "$status" 78 "$action on another instance than the daemons'"
	like "$said" "mxhold-queued and mxhold-helper look after $relay/etc \\($relay/mxhold.conf \\[paths\\] postfix_config_dir\\)" 'the cause'
	like "$said" "set \\[paths\\] postfix_config_dir = $relay/other .* and start them anew" 'the cure'
done
try 'and nothing has changed' diff -r "$relay/etc" "$relay/other"
ln -s etc "$relay/link"
elsewhere plan "$relay/link"
is "$status" 0 'the same directory by another name'
sed -i "s|^postfix_config_dir = .*|postfix_config_dir = $relay/link|" "$relay/mxhold.conf"
elsewhere apply "$relay/etc"
is "$status" 0 'and the other way round'
elsewhere status "$relay/etc"
is "$status" 0 'status has nothing to say'
try 'it remembers that --shared was said' pfc status
try 'so does apply' pfc apply
sed -i "s|^postfix_config_dir = .*|postfix_config_dir = $relay/nonexistent|" "$relay/mxhold.conf"
elsewhere status "$relay/etc"
is "$status" 78 'the daemons look elsewhere since: status tells'
like "$said" ': applied, overlay version' 'what is applied'
like "$said" "look after $relay/nonexistent " 'and what is wrong'
try 'rollback works all the same' pfc rollback --config-dir "$relay/etc"
try 'every byte is back' diff -r "$relay/etc" "$relay/other"
conf_write no
status=0
pfc plan >"$relay/out" 2>&1 || status=$?
is "$status" 78 'after rollback --shared must be said again'
like "$(cat "$relay/out")" 'refused: --shared' 'and that is told'

cp -a "$relay/etc" "$relay/etc.odd2"
status=0
# shellcheck disable=SC2016
unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec timeout 60 "$@"' sh "$relay/etc" \
	"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix apply --shared --overlay postfix-conf/overlay.conf >"$relay/out" 2>&1 ||
	status=$?
is "$status" 71 'a read-only directory'
like "$(cat "$relay/out")" 'mxhold-saved: Read-only file system' 'it is said'
try 'and nothing has changed' diff -r "$relay/etc" "$relay/etc.odd2"

tap_done
