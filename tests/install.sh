#!/bin/sh
# `make install`: what lies where, for the PREFIX of a distribution and for others, staged (DESTDIR) and not; and whether
# the installed programs look for their files there.
#
# Everything goes below a temporary directory. The build is a copy of $BUILD, so that only what tells places is compiled.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/pg.sh
. tests/lib/pg.sh
# shellcheck source=tests/lib/postfix.sh
. tests/lib/postfix.sh

work=$(mktemp -d /tmp/mxi.XXXXXX)
clean() {
	pg_stop "$work/pg" || true
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 0755 "$work"

# Not its logs, which others write meanwhile, nor what is not installed.
mkdir "$work/build"
for part in "${BUILD:-build}"/*; do
	case ${part##*/} in log | san) ;; *) cp -a "$part" "$work/build/" ;; esac
done
daemons='sync policyd milter queued helper'
programs='mxhold-sync mxhold-policyd mxhold-milter mxhold-queued mxhold-helper mxholdctl'

# The caller may be `make check PREFIX=...`, whose variables must not reach this one.
install_to() {
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u PREFIX -u DESTDIR -u SYSCONFDIR \
		make --no-print-directory "BUILD=$work/build" install "$@" >"$work/make.log" 2>&1 || {
		tail -20 "$work/make.log"
		return 1
	}
}

# missing ROOT PREFIX ETC: which of the files is not there, or not for all to read
missing() {
	{
		for program in $programs; do echo "755 $2/sbin/$program"; done
		for file in sql/[0-9]*.sql sql/journal/[0-9]*.sql; do echo "644 $2/share/mxhold/$file"; done
		for file in docs/man/*.[1-8]; do echo "644 $2/share/man/man${file##*.}/${file##*/}"; done
		for file in overlay.conf mxhold.conf.sample; do echo "644 $2/share/mxhold/postfix/$file"; done
		for file in README.md CHANGES LICENSE postmaster.md soc.md queue.md; do echo "644 $2/share/doc/mxhold/$file"; done
		echo "644 $3/mxhold/mxhold.conf.sample"
	} | while read -r mode file; do
		[ "$(stat -c %a "$1$file" 2>/dev/null)" = "$mode" ] && [ -s "$1$file" ] || echo "$file"
	done
}

# unreached DIR: the links of its README that lead to no file
unreached() {
	grep -o '](\([^):]*\))' "$1/README.md" | sed 's/^](//; s/)$//' | while read -r link; do
		[ -e "$1/$link" ] || echo "$link"
	done
}

# --- as a distribution would
try 'staged, PREFIX=/usr' install_to "DESTDIR=$work/usr"
is "$(missing "$work/usr" /usr /etc)" '' 'everything is there, in /usr and /etc'
is "$(cd "$work/usr" && echo ./*)" './etc ./usr' 'and nothing elsewhere'
is "$(unreached "$work/usr/usr/share/doc/mxhold")" '' 'what the README links to stands beside it'
for program in $programs; do
	like "$("$work/usr/usr/sbin/$program" --help)" 'default /etc/mxhold/mxhold\.conf' "$program: the configuration is in /etc"
done
cmp -s docs/man/mxholdctl.8 "$work/usr/usr/share/man/man8/mxholdctl.8" && status=0 || status=1
ok "$status" 'the manual pages are the ones of the tree'

# --- elsewhere, staged: the same build is used again
try 'staged, PREFIX=/opt/mxhold' install_to "DESTDIR=$work/opt" PREFIX=/opt/mxhold
is "$(missing "$work/opt" /opt/mxhold /opt/mxhold/etc)" '' 'everything is there, in /opt/mxhold'
is "$(cd "$work/opt" && echo ./* ./opt/*)" './opt ./opt/mxhold' 'and nothing elsewhere'
is "$(grep -rlF "$work/opt" "$work/opt" || true)" '' 'no file knows the staging directory'
is "$(grep -rahoE '(/opt/mxhold)?(/etc/mxhold|/share/mxhold)/' "$work/opt/opt/mxhold/sbin" "$work/opt/opt/mxhold/share/man" \
	"$work/opt/opt/mxhold/share/mxhold" | sort -u | tr '\n' ' ')" '/opt/mxhold/etc/mxhold/ /opt/mxhold/share/mxhold/ ' \
	'programs and pages name these places only'
for program in $programs; do
	like "$("$work/opt/opt/mxhold/sbin/$program" --help)" 'default /opt/mxhold/etc/mxhold/mxhold\.conf' \
		"$program: the configuration is in /opt/mxhold/etc"
done
try 'staged, with a SYSCONFDIR' install_to "DESTDIR=$work/local" PREFIX=/usr/local SYSCONFDIR=/etc
is "$(missing "$work/local" /usr/local /etc)" '' 'everything is there, in /usr/local and /etc'

# --- not staged, and used
own=$work/own
try 'not staged' install_to "PREFIX=$own"
is "$(missing '' "$own" "$own/etc")" '' 'everything is there'
version=$(sed -n 's/^VERSION := //p' Makefile)
for program in $programs; do
	is "$("$own/sbin/$program" -V)" "$program $version" "$program -V"
done
for daemon in $daemons; do
	status=0
	"$own/sbin/mxhold-$daemon" -n >"$work/out" 2>&1 || status=$?
	is "$status" 78 "mxhold-$daemon -n without a configuration: 78"
	like "$(cat "$work/out")" "$own/etc/mxhold/mxhold\\.conf" 'it names the file that it looked for'
done
cp "$own/etc/mxhold/mxhold.conf.sample" "$own/etc/mxhold/mxhold.conf"
for daemon in $daemons; do
	try "mxhold-$daemon -n finds the installed sample, and it is good" "$own/sbin/mxhold-$daemon" -n
done
for page in "$own"/share/man/man*/*; do
	try "man ${page##*/}" mandoc -T lint -W error "$page"
done
is "$(grep -rl ' /etc/mxhold\| /usr/share/mxhold' "$own/share/man" || true)" '' 'no page names other places'

pg_start "$work/pg"
database="host=$work/pg user=postgres dbname=postgres"
status=0
"$own/sbin/mxholdctl" -d "$database" db status >"$work/out" 2>&1 || status=$?
is "$status" 75 'mxholdctl db status finds the migrations: pending'
is "$(grep -c pending "$work/out")" "$(find sql -maxdepth 1 -name '[0-9]*.sql' | wc -l)" 'all of them'
try 'mxholdctl db migrate' "$own/sbin/mxholdctl" -d "$database" db migrate
try 'mxholdctl db status: all applied' "$own/sbin/mxholdctl" -d "$database" db status
pg_sql -c 'create database journal'
try "mxholdctl db migrate --journal: the journal's schema too" \
	"$own/sbin/mxholdctl" -d "host=$work/pg user=postgres dbname=journal" db migrate --journal
is "$(pg_sql -d journal -c "select to_regclass('mxhold_journal.message')")" mxhold_journal.message 'it is there'

pf_create "$work/pf" relay1.example 127.0.0.1:10025
sed -i "s|^;postfix_config_dir = .*|postfix_config_dir = $work/pf/etc|" "$own/etc/mxhold/mxhold.conf"
"$own/sbin/mxholdctl" postfix plan --config-dir "$work/pf/etc" >"$work/out" 2>&1 || true
like "$(cat "$work/out")" 'overlay version [1-9]' 'mxholdctl postfix plan finds the overlay'

tap_done
