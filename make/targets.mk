# What one can ask make for, beside building: tests, demo, benchmarks, installation, lint.

.PHONY: help deps unit check demo bench fuzz soak lint install clean

help:
	@sed -n 's/^## //p' $(filter make/%,$(MAKEFILE_LIST))

## make deps      installs the Debian packages that building and testing need (as root)
deps:
	$(Q)sh make/deps.sh

## make unit      the unit tests alone
unit: $(UNIT)
	$(Q)sh tests/run-unit.sh $(BUILD)/tests

## make lint      cppcheck, clang-tidy, shellcheck, clang-format
lint:
	$(Q)sh make/lint.sh

include make/fuzz.mk
include make/bench.mk
include make/soak.mk

## make clean     removes what was built
clean:
	rm -rf build

# What the tests run under sanitizers is built beside the rest.
SAN_BUILD := $(BUILD)/san

## make check     all tests; ends with the line `N passed, N failed`
check:
	$(Q)sh make/deps.sh
	$(Q)+$(MAKE_ALL) tests-build
	$(Q)+$(MAKE_ALL) SAN=1 BUILD=$(SAN_BUILD) tests-build
	$(Q)BUILD=$(BUILD) SAN_BUILD=$(SAN_BUILD) sh tests/run.sh $(SUITES)

## make demo      shows the main job with real mail, on private services; KEEP=1 leaves them running
demo:
	$(Q)sh demo/demo.sh can
	$(Q)sh make/deps.sh run
	$(Q)BUILD=$(BUILD) sh demo/build.sh
	$(Q)BUILD=$(BUILD) KEEP=$(KEEP) sh demo/demo.sh

# Installation. The configuration itself is never written: the sample stands beside it.
SBINDIR := $(DESTDIR)$(PREFIX)/sbin
SHAREDIR := $(DESTDIR)$(PREFIX)/share/mxhold
MANDIR := $(DESTDIR)$(PREFIX)/share/man
DOCDIR := $(DESTDIR)$(PREFIX)/share/doc/mxhold
ETCDIR := $(DESTDIR)$(SYSCONFDIR)/mxhold
# Texts name the places of PREFIX=/usr; installed ones name their own.
PLACED := sed -e 's|/etc/mxhold/|$(SYSCONFDIR)/mxhold/|g' -e 's|/usr/share/mxhold|$(PREFIX)/share/mxhold|g'

## make install   installs below $(DESTDIR)$(PREFIX) (default PREFIX=/usr, which has its configuration in /etc)
install: all
	install -d $(SBINDIR) $(SHAREDIR)/sql/journal $(SHAREDIR)/postfix $(DOCDIR) $(ETCDIR)
	install -m 0755 $(PROGRAMS) $(SBINDIR)
	install -m 0644 sql/[0-9]*.sql $(SHAREDIR)/sql
	install -m 0644 sql/journal/[0-9]*.sql $(SHAREDIR)/sql/journal
	install -m 0644 postfix-conf/* $(SHAREDIR)/postfix
	$(PLACED) postfix-conf/mxhold.conf.sample >$(SHAREDIR)/postfix/mxhold.conf.sample
	install -m 0644 $(SHAREDIR)/postfix/mxhold.conf.sample $(ETCDIR)
	install -m 0644 README.md CHANGES LICENSE docs/*.md $(DOCDIR)
	sed 's|\([[(]\)docs/|\1|g' README.md >$(DOCDIR)/README.md
	set -e; for page in docs/man/*.[1-8]; do \
		to=$(MANDIR)/man$${page##*.}; \
		install -d $$to; \
		install -m 0644 $$page $$to; \
		$(PLACED) $$page >$$to/$${page##*/}; \
	done
