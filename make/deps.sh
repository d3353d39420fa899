#!/bin/sh
# Installs the Debian 12 packages that building, testing and the demo need. As root. Safe to run twice.
# Nothing is started: Postfix comes without a configuration, and PostgreSQL without a cluster.
set -eu

build='gcc make pkg-config libc6-dev liblmdb-dev libevent-dev libmilter-dev libidn2-dev libinih-dev
libjansson-dev zlib1g-dev libxxhash-dev libpq-dev libunbound-dev libssl-dev libcurl4-openssl-dev'
run='ca-certificates postfix postgresql-15 nsd swaks iproute2 procps lmdb-utils'
check='check libsubunit-dev postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl pgbouncer unbound
clang clang-format clang-tidy libclang-rt-14-dev valgrind cppcheck shellcheck mandoc python3 strace openssl
faketime systemd'

case ${1:-all} in
run) want="$build $run" ;;
all) want="$build $run $check" ;;
*)
	echo "usage: $0 [run|all]" >&2
	exit 64
	;;
esac

missing=
for package in $want; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: these packages are missing:$missing" >&2
	echo "deps: install them, or run this as root" >&2
	exit 77
fi

# A service must neither start now nor be configured for the system by our doing.
policy=/usr/sbin/policy-rc.d
made_policy=
cluster=/etc/postgresql-common/createcluster.d/mxhold-none.conf
cleanup() {
	[ -z "$made_policy" ] || rm -f "$policy"
	rm -f "$cluster"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ ! -e "$policy" ]; then
	made_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
mkdir -p "${cluster%/*}"
echo 'create_main_cluster = false' >"$cluster"

export DEBIAN_FRONTEND=noninteractive
if ! dpkg-query -W -f '${Status}' postfix 2>/dev/null | grep -q ' installed$'; then
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
echo "deps: installing:$missing"
apt-get update -q -y >/dev/null
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing >/dev/null
