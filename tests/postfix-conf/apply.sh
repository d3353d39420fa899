#!/bin/sh
# apply, rollback, status on a real, running Postfix: nothing but ours changes, twice is once, all comes back, and a run
# that is killed at any moment can be repaired.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/postfix-conf/lib.sh
. tests/postfix-conf/lib.sh

main=$relay/etc/main.cf
master=$relay/etc/master.cf

# identity FILE...: what must not change when nothing is to be changed
identity() {
	stat -c '%n %i %Y %Z %a %u %g %s' "$@"
}

# same_as_made: bytes, mode, owner, time of change of both files; and nothing else is left behind
same_as_made() {
	for file in main.cf master.cf; do
		cmp "$relay/etc/$file" "$relay/etc.made/$file" || return 1
		[ "$(stat -c '%y %a %u %g' "$relay/etc/$file")" = "$(stat -c '%y %a %u %g' "$relay/etc.made/$file")" ] || return 1
	done
	[ "$(cd "$relay/etc" && find . | sort)" = "$(cd "$relay/etc.made" && find . | sort)" ]
}

# refuses_queue WHEN TEXT: rollback refuses for the queue's sake, and touches nothing
refuses_queue() {
	status=0
	pfc rollback >"$relay/out" 2>&1 || status=$?
	is "$status" 75 "$1: rollback waits for the queue"
	like "$(cat "$relay/out")" "$2" 'it says how much there is'
	like "$(cat "$relay/out")" 'drain it first' 'and the cure'
	is "$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)" "$before" 'and touches nothing'
}

value() {
	postconf -c "$relay/etc" -xh "$1"
}

allow=127.0.0.0/8
hop="[127.0.0.3]:$((port + 1))"
relay_make dedicated
relay_daemons
pf_start "$relay"

# --- fresh Debian-like configuration
touch -d '2021-03-04 05:06:07.123456789' "$main" "$master"
chmod 0640 "$main"
chgrp postfix "$main"
rm -rf "$relay/etc.made"
cp -a "$relay/etc" "$relay/etc.made"
try 'a fresh configuration: plan' pfc plan
try 'plan has changed nothing' same_as_made
try 'apply' pfc apply
like "$(value smtpd_relay_restrictions)" '^check_policy_service \{ unix:mxhold/policy, timeout=3s, try_limit=2, \{ default_action = 451 4\.3\.0 .* \} \}, permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination' \
	'the gate is first, the default is spelled out behind it'
is "$(stat -c '%a %G' "$main")" '640 postfix' 'mode and owner are kept'
is "$(postconf -c "$relay/etc" -n 2>&1 >/dev/null)" '' 'postconf has no warning'
try 'status says applied' sh -c "BUILD=$BUILD; . /dev/stdin" <<-STATUS
	timeout 60 ${CTL:-$bin/mxholdctl} -c $relay/mxhold.conf postfix status --overlay postfix-conf/overlay.conf | grep -q ': applied, overlay version'
STATUS
like "$(ctl postfix status)" ': applied, overlay version' 'status finds the overlay that was applied by itself'
before=$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)
try 'apply again' pfc apply
is "$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)" "$before" 'it has changed nothing, not even an inode'

# --- saved copies that are gone, or others: nothing is put in place of a live file
saved=$relay/etc/mxhold-saved
# ends CODE WORDS TEXT ARGUMENT...
ends() {
	ends_code=$1
	ends_words=$2
	ends_text=$3
	shift 3
	status=0
	pfc "$@" >"$relay/out" 2>&1 || status=$?
	is "$status" "$ends_code" "$ends_text: $*"
	like "$(tr -s ' \n' ' ' <"$relay/out")" "$ends_words" 'and says why'
}
live=$(identity "$main" "$master")
for damage in gone emptied changed; do
	file=main.cf.original
	[ "$damage" != emptied ] || file=master.cf.original
	cp -a "$saved/$file" "$relay/kept"
	case $damage in
	gone) rm "$saved/$file" ;;
	emptied) : >"$saved/$file" ;;
	changed) printf '# another\n' >>"$saved/$file" ;;
	esac
	ends 78 ": damaged, .*damaged: $saved/$file: " "$file $damage" status
	ends 65 "$saved/$file: .*from a backup; or, .*remove $saved, and run" "$file $damage" rollback
	ends 65 "$saved/$file: " "$file $damage" rollback --force
	ends 65 "$saved/$file: " "$file $damage" apply
	cp -a "$relay/kept" "$saved/$file"
done
is "$(identity "$main" "$master")" "$live" 'no live file was touched'
# A run that was killed needs what was before it too.
sed -i 's/^state=.*/state=applying/' "$saved/record"
mv "$saved/main.cf.before" "$relay/kept"
ends 65 "$saved/main.cf.before: No such file" 'killed, a copy gone' rollback
is "$(identity "$main" "$master")" "$live" 'no live file was touched'
mv "$relay/kept" "$saved/main.cf.before"
try 'apply goes on with it' pfc apply
# What an older mxholdctl has saved has no checksums.
sed -i '/^main\.cf\.\|^master\.cf\./d' "$saved/record"
cp -a "$saved/main.cf.original" "$relay/kept"
: >"$saved/main.cf.original"
ends 65 "$saved/main.cf.original: it is empty" 'no checksum, emptied' rollback
cp -a "$relay/kept" "$saved/main.cf.original"
try 'no checksum: status' pfc status
try 'no checksum: rollback' pfc rollback
try 'as before' same_as_made

# --- what cannot be written
: >"$saved"
for action in status apply rollback; do ends 71 "$saved is no folder: .*move it away" 'a file in place of the folder' "$action"; done
rm "$saved"
mkdir "$main.mxhold-new"
ends 71 'main.cf cannot be written: .*not applied: a file cannot be written.*taken back' 'main.cf cannot be written' apply
rmdir "$main.mxhold-new"
try 'as before' same_as_made
try 'status: not applied' pfc status
for size in 4 8 16; do
	mkdir "$saved"
	mount -t tmpfs -o "size=${size}k" none "$saved"
	ends 71 'No space left on device.*not applied, nothing was changed' "a full disk of $size KiB" apply
	is "$(ls -A "$saved")" '' 'nothing is left there'
	like "$(pfc status)" ': not-applied' 'status says that nothing is applied'
	umount "$saved"
	rmdir "$saved"
done
try 'as before' same_as_made
exec 9<"$relay/etc"
flock 9
ends 75 'another mxholdctl is at work on it' 'two at a time' apply
exec 9<&-
try 'alone: apply' pfc apply
before=$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)

# --- customers' mail in the queue (nobody listens at its next hop)
smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<one@customer.example>' DATA '~Subject: x' . >/dev/null
smtp_talk 'EHLO x' 'MAIL FROM:<>' 'RCPT TO:<two@customer.example>' DATA '~Subject: x' . >/dev/null
try 'mail for a customer is held' wait_for 30 queue_rests 2
refuses_queue "it runs" '2 messages for customers'
pf_stop "$relay"
refuses_queue "it is stopped" '2 messages for customers'
pf_start "$relay"
# A postqueue that fails, in a mount namespace of its own.
printf '#!/bin/sh\necho "postqueue: fatal: no" >&2\nexit 69\n' >"$relay/postqueue"
chmod 755 "$relay/postqueue"
# shellcheck disable=SC2016
broken() {
	unshare -m sh -c 'mount --bind "$1/postqueue" /usr/sbin/postqueue && shift && exec "$@"' sh "$relay" \
		"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix rollback --overlay postfix-conf/overlay.conf
}
status=0
broken >"$relay/out" 2>&1 || status=$?
is "$status" 75 'a queue that cannot be read: rollback refuses'
like "$(cat "$relay/out")" 'cannot be told: postqueue: postqueue: fatal: no' 'and says why'
pf_run "$relay" postsuper -c "$relay/etc" -d ALL >/dev/null 2>&1
try 'rollback' pfc rollback
try 'rollback: bytes, mode, owner and time are those of before' same_as_made
try 'rollback again is nothing' pfc rollback
cp postfix-conf/overlay.conf "$relay/overlay.conf"
try 'apply of an overlay elsewhere' ctl postfix apply --overlay "$relay/overlay.conf"
rm "$relay/overlay.conf"
if [ ! -e /usr/share/mxhold/postfix/overlay.conf ] && [ ! -e /usr/local/share/mxhold/postfix/overlay.conf ]; then
	status=0
	ctl postfix status >"$relay/out" 2>&1 || status=$?
	is "$status" 78 'status without any overlay'
	like "$(cat "$relay/out")" ': applied, overlay version' 'it says what is recorded'
	like "$(cat "$relay/out")" 'cannot be told: .*: No such file or directory; --overlay names another place' 'and what it lacks'
	try 'rollback needs no overlay' ctl postfix rollback
	try 'nor does status where nothing is applied' ctl postfix status
else
	try 'rollback needs no overlay' ctl postfix rollback
fi
like "$(smtp_talk 'EHLO x')" '^250 ' 'Postfix answers'

# --- an update brings an overlay with one more service
awk '/^\[/ { drop = /mxhold-pin/ } { sub(/^version = .*/, "version = 1") } !drop' postfix-conf/overlay.conf >"$relay/overlay.conf"
status_words() {
	status=0
	pfc status >"$relay/out" 2>&1 || status=$?
	said=$(tr -s ' \n' ' ' <"$relay/out")
}
try 'apply of an older overlay' ctl postfix apply --overlay "$relay/overlay.conf"
is "$(postconf -c "$relay/etc" -M mxhold-pin/unix 2>/dev/null)" '' 'it has no mxhold-pin'
status_words
is "$status" 78 'status with the new one'
like "$said" 'overlay version 1 is applied, and version 3 is here: .mxholdctl postfix apply. puts it in' 'it says which is older'
like "$said" 'master.cf: mxhold-pin now: not there .* the mail of pinned domains waits in the queue' 'and what waits'
try 'apply of the new one' pfc apply
status_words
is "$status" 0 'then there is nothing to say'
like "$(postconf -c "$relay/etc" -Mf mxhold-pin/unix)" '^mxhold-pin +unix +- +- +y +- +300 +smtp' 'mxhold-pin lives where smtp lives'
is "$(postconf -c "$relay/etc" -Mf mxhold-pin/unix | grep -c -- '-o smtp_tls_security_level=\|-o .*smtp_reply_filter')" 2 \
	'what it has of its own stands there once'
like "$(postconf -c "$relay/etc" -P mxhold-pin/unix/smtp_dns_reply_filter)" 'socketmap:unix:mxhold/map:dns_reply$' 'and it is behind the fence'
# What somebody else changes in it.
sed -i 's/-o smtp_tls_security_level=fingerprint/-o smtp_tls_security_level=may/' "$master"
status_words
is "$status" 78 'mxhold-pin is edited: status'
like "$said" ': edited, overlay version 3' 'it says so'
like "$said" 'master.cf: mxhold-pin now: another version of it' 'and where'
try 'apply puts it right' pfc apply
like "$(postconf -c "$relay/etc" -P mxhold-pin/unix/smtp_tls_security_level)" '= fingerprint$' 'it is as it was'
try 'rollback (it was edited)' pfc rollback --force
rm -rf "$relay/etc/mxhold-saved"
try 'rollback: mxhold-pin is gone with the rest' same_as_made

# --- and one with more options of a service
awk '/^\[/ { drop = /ehlo|smtp_tls_connection_reuse/ } { sub(/^version = .*/, "version = 2") } !drop' postfix-conf/overlay.conf \
	>"$relay/overlay.conf"
try 'apply of version 2' ctl postfix apply --overlay "$relay/overlay.conf"
like "$(postconf -c "$relay/etc" -Mf mxhold/unix)" '-o smtp_tls_security_level=may' 'it has mxhold'
is "$(postconf -c "$relay/etc" -Mf | grep -c 'ehlo\|connection_reuse' || true)" 0 'which inherits what it says to a server'
status_words
is "$status" 78 'status with version 3'
like "$said" 'overlay version 2 is applied, and version 3 is here: .mxholdctl postfix apply. puts it in' 'it says which is older'
like "$said" 'master.cf: mxhold now: another version of it' 'and what differs'
try 'apply of version 3' pfc apply
status_words
is "$status" 0 'then status has nothing to say'
for transport in mxhold mxhold-tls mxhold-pin; do
	is "$(postconf -c "$relay/etc" -Mf "$transport/unix" | grep -c -- '-o .*ehlo.*=\|-o smtp_tls_connection_reuse=no')" 5 "$transport inherits none of it"
done
try 'rollback' pfc rollback
rm -rf "$relay/etc/mxhold-saved"
try 'rollback: both versions are gone' same_as_made

# --- an instance by its name
mkdir "$relay/primary"
pf_create "$relay/primary" primary.example 127.0.0.1:smtp
cat >>"$relay/primary/etc/main.cf" <<CONF
multi_instance_enable = yes
multi_instance_wrapper = \${command_directory}/postmulti -p --
multi_instance_directories = $relay/etc
CONF
printf 'multi_instance_enable = yes\nmulti_instance_name = postfix-mxhold\n' >>"$main"
cp -n /etc/postfix/* "$relay/primary/etc/" 2>/dev/null || true
# postmulti knows one primary instance, in /etc/postfix: ours stands there in a mount namespace of its own.
# shellcheck disable=SC2016
elsewhere() {
	unshare -m sh -c 'mount --bind "$1/primary/etc" /etc/postfix && shift && exec "$@"' sh "$relay" \
		"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix "$@" --overlay postfix-conf/overlay.conf
}
status=0
elsewhere plan --instance postfix-other >"$relay/out" 2>&1 || status=$?
is "$status" 65 'an instance that does not exist'
try 'apply --instance' elsewhere apply --instance postfix-mxhold
try 'it is that instance' grep -q '^# mxhold:' "$main"
try 'rollback --instance' elsewhere rollback --instance postfix-mxhold
status=0
pfc plan --instance postfix-mxhold --config-dir "$relay/etc" >"$relay/out" 2>&1 || status=$?
is "$status" 64 '--instance and --config-dir exclude each other'
cp "$relay/etc.made/main.cf" "$main"

# --- a parameter that stands twice: every program of Postfix warns of it, and that is no fault
printf 'mynetworks_style = host\nmynetworks_style = host\n' >>"$main"
try 'a parameter that stands twice: apply' pfc apply
try 'a parameter that stands twice: rollback' pfc rollback
cp "$relay/etc.made/main.cf" "$main"
printf 'inet_interfaces = 127.0.0.1\n' >>"$main"
try 'with two values: apply' pfc apply
try 'with two values: rollback' pfc rollback
cp "$relay/etc.made/main.cf" "$main"

# --- an existing relay: comments, continuation lines, lists, no newline at the end
cat >>"$main" <<'CONF'
# The milters of this house
smtpd_milters = { unix:/run/rspamd/milter.sock, default_action=accept },
# a comment within the list
	{ inet:127.0.0.1:1, default_action=accept }
smtpd_relay_restrictions =
	permit_mynetworks,
	# nobody logs in here
	defer_unauth_destination
relay_domains = corp.example, inline:{other.example=x},   !no.example
transport_maps = inline:{corp.example=smtp:[192.0.2.40]}, inline:{{wait.example = retry:4.0.0 not now}}
parent_domain_matches_subdomains = relay_domains, smtpd_access_maps
message_size_limit = 20000000
mailbox_size_limit = 0
notify_classes = bounce,
	resource
smtpd_etrn_restrictions = permit_mynetworks
local_milters = $smtpd_milters
non_smtpd_milters = $local_milters
CONF
printf 'relay_recipient_maps = inline:{boss@corp.example=x}' >>"$main"
cat >>"$master" <<'CONF'
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
# only our own
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_milters=
127.0.0.1:10587 inet n - y - - smtpd -o { smtpd_relay_restrictions = permit_mynetworks, reject } -o smtpd_recipient_restrictions=
CONF
sed -i "/^submission/s/submission/127.0.0.1:$((port + 3))/; s/127.0.0.1:10587/127.0.0.1:$((port + 4))/" "$master"
conf_write no
rm -rf "$relay/etc.made"
cp -a "$relay/etc" "$relay/etc.made"
status=0
pfc plan >"$relay/out" 2>&1 || status=$?
is "$status" 78 'a relay with other mail needs --shared'
like "$(cat "$relay/out")" 'nobody gets a notice of failed mail from this instance' 'plan says what changes for other mail'
status=0
pfc apply >/dev/null 2>&1 || status=$?
is "$status" 78 'apply needs it too'
try 'and nothing has changed' same_as_made
try 'apply --shared' pfc apply --shared
like "$(value smtpd_milters)" '^\{ unix:mxhold/milter, .*default_action=tempfail.*\}, \{ unix:/run/rspamd/milter.sock, default_action=accept \}, *\{ inet:127.0.0.1:1, default_action=accept \}$' \
	'milters: ours first, the others stay'
is "$(value non_smtpd_milters)" '{ unix:/run/rspamd/milter.sock, default_action=accept }, { inet:127.0.0.1:1, default_action=accept }' \
	'mail of this host keeps its milters, without ours'
like "$(value smtpd_relay_restrictions)" 'permit_mynetworks, *reject_unauth_destination, *defer_unauth_destination$' \
	'restrictions: the others stay, and strangers are refused for good'
like "$(value relay_domains)" '^corp.example, inline:\{other.example=x\}, *!no.example, \.corp\.example, socketmap:unix:mxhold/map:relay_domains$' \
	'relay_domains: the others stay, with their subdomains'
is "$(value transport_maps)" 'socketmap:unix:mxhold/map:transport, inline:{corp.example=smtp:[192.0.2.40]}, inline:{{wait.example = retry:4.0.0 not now}}' \
	'transport_maps: ours first, the others stay'
is "$(value parent_domain_matches_subdomains)" 'smtpd_access_maps' 'parent_domain_matches_subdomains: only what must go'
is "$(value relay_recipient_maps)" 'inline:{boss@corp.example=x}, socketmap:unix:mxhold/map:transport' \
	'relay_recipient_maps: the others stay, customers pass'
is "$(value mailbox_size_limit)" 0 'a limit that is none stays'
is "$(value smtpd_etrn_restrictions)" 'permit_mynetworks, reject' 'ETRN: closed behind the others'
is "$(value smtpd_reject_unlisted_recipient)" yes 'unknown users of other domains are still refused'
like "$(postconf -c "$relay/etc" -P '*/inet/smtpd_relay_restrictions')" "$((port + 3))/inet/smtpd_relay_restrictions = check_policy_service .*permit_sasl_authenticated,reject" \
	'a service with restrictions of its own gets the gate'
like "$(postconf -c "$relay/etc" -P '*/inet/smtpd_relay_restrictions')" "$((port + 4))/inet/smtpd_relay_restrictions = check_policy_service .*permit_mynetworks, reject" \
	'one in braces too'
like "$(postconf -c "$relay/etc" -P '*/inet/smtpd_milters')" 'smtpd_milters = \{ unix:mxhold/milter' 'and the milter'
gone=$(diff "$relay/etc.made/main.cf" "$main" | grep '^<' | grep -v '^< \(smtpd_milters\|message_size_limit\|notify_classes\|	resource\|	defer_unauth\|	permit_mynet\|relay_\|transport_maps\|non_smtpd\|parent_domain\|smtpd_etrn\)' || true)
is "$gone" '' 'no other line of main.cf is touched'
before=$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)
try 'apply --shared again' pfc apply --shared
is "$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)" "$before" 'it has changed nothing, not even an inode'
for action in status plan apply; do
	try "$action need not be told --shared again" pfc "$action"
done
is "$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)" "$before" 'and has changed nothing'
# What an older mxholdctl has applied does not say that it was confirmed.
sed -i '/^shared=/d' "$relay/etc/mxhold-saved/record"
status=0
pfc status >"$relay/out" 2>&1 || status=$?
is "$status" 78 'a record without the confirmation: status asks for it'
try 'apply --shared' pfc apply --shared
try 'then it is noted' pfc status
before=$(identity "$main" "$master" "$relay"/etc/mxhold-saved/*)

# --- the queue of a shared relay: only customers' mail counts
printf 'Subject: x\n\nx\n' | pf_run "$relay" sendmail -C "$relay/etc" -f a@corp.example me@wait.example
try 'other mail waits' wait_for 30 queue_rests 1
smtp_talk 'EHLO x' 'MAIL FROM:<a@b.example>' 'RCPT TO:<one@customer.example>' DATA '~Subject: x' . >/dev/null
try 'and a customer'"'"'s' wait_for 30 queue_rests 2
refuses_queue 'a shared relay' ' 1 messages for customers'
try 'rollback --force' pfc rollback --force
rm -rf "$relay/etc/mxhold-saved"
try 'as before' same_as_made
try 'apply --shared' pfc apply --shared
pf_queue "$relay" | sed -n 's/.*"queue_id": "\([^"]*\)".*customer.example.*/\1/p' | pf_run "$relay" postsuper -c "$relay/etc" -d - 2>/dev/null
try 'other mail alone' wait_for 30 queue_rests 1
try 'does not hold back' pfc rollback
try 'as before' same_as_made
try 'apply --shared' pfc apply --shared

# --- an edit in between
sleep 1
printf '# my edit\n' >>"$main"
edited=$(cksum <"$main")
status=0
pfc rollback >"$relay/out" 2>&1 || status=$?
is "$status" 78 'rollback refuses after an edit'
like "$(cat "$relay/out")" '^\+# my edit' 'and shows it'
is "$(cksum <"$main")" "$edited" 'and touches nothing'
like "$(pfc status --shared 2>&1)" ': edited, ' 'status says so'
try 'rollback --force' pfc rollback --force
is "$(cksum <"$relay/etc/mxhold-saved/main.cf.edited")" "$edited" 'it keeps the edited file'
rm -rf "$relay/etc/mxhold-saved"
try 'and brings the old ones back' same_as_made

# --- an edit between two applies
try 'apply --shared' pfc apply --shared
printf '# my edit\n' >>"$main"
sed -i 's/^queue_lifetime.*/queue_lifetime = 3d/' "$relay/mxhold.conf"
like "$(pfc status --shared 2>&1 || true)" 'what is applied is not what' 'status tells of drift'
try 'apply over an edit, with another lifetime' pfc apply --shared
is "$(value maximal_queue_lifetime) $(value bounce_queue_lifetime)" '3d 3d' 'the lifetime follows mxhold.conf'
try 'the edit is there' grep -q '^# my edit' "$main"
status=0
pfc rollback >/dev/null 2>&1 || status=$?
is "$status" 78 'rollback does not drop it'
try 'rollback --force' pfc rollback --force
rm -rf "$relay/etc/mxhold-saved"
try 'as before' same_as_made

# --- a symbolic link stays one
mv "$main" "$relay/main.real"
ln -s "$relay/main.real" "$main"
rm -rf "$relay/etc.made"
cp -a "$relay/etc" "$relay/etc.made"
saved=$(cksum <"$relay/main.real")
try 'apply through a symbolic link' pfc apply --shared
try 'the link is still one' test -L "$main"
try 'rollback through it' pfc rollback
is "$(cksum <"$relay/main.real") $(readlink "$main")" "$saved $relay/main.real" 'the file behind it is as before'
rm "$main"
mv "$relay/main.real" "$main"
rm -rf "$relay/etc.made"
cp -a "$relay/etc" "$relay/etc.made"

# --- a killed apply is gone on with: the overlay is never away in between
strace -f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=9 \
	"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix apply --shared --overlay postfix-conf/overlay.conf \
	>/dev/null 2>&1 || true
like "$(pfc status --shared 2>&1 || true)" ': half' 'apply is killed with master.cf written'
try 'apply goes on' strace -f -qq -e trace=rename -o "$relay/trace" "${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" \
	postfix apply --shared --overlay postfix-conf/overlay.conf
is "$(grep -c '"[^"]*etc/master.cf")' "$relay/trace")" 0 'what stands already is not written again'
is "$(grep -c '"[^"]*etc/main.cf")' "$relay/trace")" 1 'what lacks is written once'
like "$(pfc status --shared 2>&1 || true)" ': applied' 'then it is applied'
strace -f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=3 \
	"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix rollback >/dev/null 2>&1 || true
like "$(pfc status --shared 2>&1 || true)" ': half' 'a rollback is killed with main.cf back'
try 'apply goes on from there too' pfc apply --shared
like "$(pfc status --shared 2>&1 || true)" ': applied' 'then it is applied'
try 'rollback' pfc rollback
try 'as before' same_as_made

# --- killed at every rename(2), it can be repaired
n=1
broken=
while [ "$n" -le 14 ]; do
	strace -f -qq -o /dev/null -e trace=rename -e inject="rename:signal=KILL:when=$n" \
		"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix apply --shared --overlay postfix-conf/overlay.conf \
		>/dev/null 2>&1 && break
	case $((n % 2)) in
	0) pfc rollback >"$relay/out" 2>&1 && same_as_made >/dev/null 2>&1 || broken="$broken rollback:$n" ;;
	*) pfc apply --shared >"$relay/out" 2>&1 && pfc rollback >>"$relay/out" 2>&1 && same_as_made >/dev/null 2>&1 ||
		broken="$broken apply:$n" ;;
	esac
	n=$((n + 1))
done
is "$broken" '' "killed at each of its $((n - 1)) renames, apply leaves what rollback or apply repairs"
like "$n" '^(9|1[0-4])$' 'the last run was not killed any more'
try 'rollback' pfc rollback
try 'as before' same_as_made
try 'apply' pfc apply --shared
strace -f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=2 \
	"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix rollback >/dev/null 2>&1 || true
like "$(pfc status --shared 2>&1 || true)" ': half' 'a killed rollback is seen'
try 'and ended' pfc rollback
try 'as before' same_as_made

# --- an open relay that only smtpd knows of: a policy service that says yes to all
stranger=$(python3 - <<-'PYTHON'
	import socket
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	try:
	    s.connect(("192.0.2.1", 9))
	    print(s.getsockname()[0])
	except OSError:
	    pass
PYTHON
)
case $stranger in
'' | 127.*) skip_open='this host has no address but loopback' ;;
*) skip_open= ;;
esac
if [ -z "$skip_open" ]; then
	python3 - "$((port + 5))" <<-'PYTHON' &
		import socketserver, sys
		class Yes(socketserver.StreamRequestHandler):
		    def handle(self):
		        for line in self.rfile:
		            if line == b"\n":
		                self.wfile.write(b"action=OK\n\n")
		socketserver.ThreadingTCPServer.daemon_threads = True
		socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Yes).serve_forever()
	PYTHON
	yes_pid=$!
	says_yes() { ss -Hltn "sport = :$((port + 5))" | grep -q .; }
	wait_for 30 says_yes
	sed -i "s|permit_mynetworks,|&\n	check_policy_service inet:127.0.0.1:$((port + 5)),|" "$main"
	pf_reload "$relay"
	before=$(cksum <"$main")
	status=0
	pfc apply --shared >"$relay/out" 2>&1 || status=$?
	is "$status" 69 'an open relay by a policy service: exit 69'
	like "$(cat "$relay/out")" "from $stranger, which is not in mynetworks, for a domain that nobody has: an open relay" \
		'smtpd is asked as a stranger'
	is "$(cksum <"$main")" "$before" 'and nothing has changed'
	kill "$yes_pid"
	wait "$yes_pid" 2>/dev/null || true
	cp -p "$relay/etc.made/main.cf" "$main"
	pf_reload "$relay"
else
	ok 0 "an open relay that only smtpd knows of # SKIP $skip_open"
fi

# --- a check that fails takes everything back
relay_daemons_end
status=0
pfc apply --shared >"$relay/out" 2>&1 || status=$?
is "$status" 69 'without the daemons, apply refuses'
like "$(cat "$relay/out")" 'is mxhold-policyd running' 'and says why'
try 'and nothing has changed' same_as_made
relay_daemons
# Both end while the files are being written (the ninth rename puts main.cf into its place).
apply_slowly() {
	strace -f -qq -o /dev/null -e trace=rename -e inject=rename:delay_enter=8000000:when=9 \
		"${CTL:-$bin/mxholdctl}" -c "$relay/mxhold.conf" postfix apply -v --shared --overlay postfix-conf/overlay.conf \
		>"$relay/out" 2>&1 &
	apply=$!
}
writes_or_ended() { grep -q mxhold-void "$master" || ! kill -0 "$apply"; }
# What is looked at here is how it ends; that apply works is seen above. Once, in a whole run, it had not begun to write within a
# minute: then it is tried again, and what it had run until then is told.
for attempt in 1 2 3; do
	apply_slowly
	wait_for 60 writes_or_ended || true
	! grep -q mxhold-void "$master" || break
	note "attempt $attempt: $(tail -n 3 "$relay/out")"
	kill "$apply" 2>/dev/null || true
	wait "$apply" 2>/dev/null || true
done
relay_daemons_end
status=0
wait "$apply" || status=$?
is "$status" 69 'the daemons end in the middle of apply: exit 69'
like "$(cat "$relay/out")" 'taken back' 'it is taken back'
try 'byte for byte' same_as_made
# An smtpd that is older than the reload may take one more session.
works() { smtp_talk 'EHLO x' 'MAIL FROM:<>' | grep -q '^250 2.1.0'; }
try 'and Postfix works on' wait_for 5 works
relay_daemons
sed -i 's|^relay_domains = |&hash:/nonexistent/table, |' "$main"
pf_reload "$relay"
status=0
pfc apply --shared >"$relay/out" 2>&1 || status=$?
is "$status" 69 'a Postfix that does not work before: exit 69'
like "$(cat "$relay/out")" 'repair this first' 'and it is said that it is not our doing'
try 'nothing is left behind' test ! -e "$relay/etc/mxhold-saved"

tap_done
