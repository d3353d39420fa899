#!/bin/sh
# mxholdctl as root beside a state directory whose owner, mxhold-sync's user, was taken over: no file of root's may be
# changed through a link that he put there, and what he may not read himself, mxholdctl does not read for him.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/tap.sh

if [ "$(id -u)" -ne 0 ]; then
	echo '1..0 # SKIP only root has rights that could be lent'
	exit 0
fi
BUILD=${BUILD:-build}
ctl=$BUILD/bin/mxholdctl
owner=64101
work=$(mktemp -d /tmp/mxl.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"

mkdir "$work/state"
cat >"$work/rows" <<'ROWS'
relay relay1 eu names=relay1.mx.example addresses=192.0.2.1
customer acme regions=eu
domain customer.example acme
ROWS
"$BUILD/tests/tools/mksnapshot" "$work/state" "$work/rows"
cat >"$work/mxhold.conf" <<CONF
[relay]
name = relay1
region = eu
[authority]
conninfo = host=/nonexistent
[paths]
state_dir = $work/state
CONF
chown -R "$owner:$owner" "$work/state"

# check: what mxholdctl says of a domain, without time and place
check() {
	timeout 20 "$ctl" -c "$work/mxhold.conf" domain check customer.example 2>&1 || true
}

like "$(check)" 'customer.example: permit' 'the snapshot of another user is read'
is "$(stat -c %u "$work/state/snapshot/lock.mdb")" "$owner" 'its lock file stays his'

# A file of root's where the lock should lie: LMDB would write its table of readers over it.
printf 'root:secret\n' >"$work/shadow"
chmod 600 "$work/shadow"
before=$(sha256sum "$work/shadow")
mv "$work/state/snapshot/lock.mdb" "$work/state/snapshot/lock.old"
ln -s "$work/shadow" "$work/state/snapshot/lock.mdb"
like "$(check)" 'cannot-tell.*no-snapshot' 'a lock file that leads elsewhere: the snapshot cannot be used'
is "$(sha256sum "$work/shadow")" "$before" 'and the file there is as it was'
rm "$work/state/snapshot/lock.mdb"
mv "$work/state/snapshot/lock.old" "$work/state/snapshot/lock.mdb"

# A file that only root may read, in the place of the data.
mv "$work/state/snapshot/data.mdb" "$work/data"
chown root:root "$work/data"
chmod 600 "$work/data"
ln -s "$work/data" "$work/state/snapshot/data.mdb"
like "$(check)" 'Permission denied' 'data that its owner may not read are not read for him'
rm "$work/state/snapshot/data.mdb"
tap_done
