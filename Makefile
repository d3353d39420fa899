# mxhold: build, tests, demo, installation.
#
#   make            builds everything into build/
#   make check      all tests (as root on Debian 12: installs what it needs first)
#   make demo       shows the main job on private services; KEEP=1 leaves them running
#   make help       lists every target
#
# V=1 shows the commands, SAN=1 builds with AddressSanitizer and UBSan (into build/san).

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

VERSION := 0.1.0
PREFIX  ?= /usr
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
DESTDIR ?=
BUILD   ?= $(if $(SAN),build/san,build)
CC      ?= cc
CLANG   ?= clang

# --- flags -----------------------------------------------------------------

WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	  -Wformat=2 -Wundef -Wvla -Wwrite-strings
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -fno-strict-aliasing
LINKSAFE := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifdef SAN
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
else
OPT := -O2 -g -D_FORTIFY_SOURCE=2
endif
CPPFLAGS += -D_GNU_SOURCE -DMXHOLD_VERSION='"$(VERSION)"' -DMXHOLD_PREFIX='"$(PREFIX)"' \
	    -DMXHOLD_SYSCONFDIR='"$(SYSCONFDIR)"' -I.
CFLAGS   += -std=c11 $(WARN) $(HARDEN) $(OPT)
comma    := ,
LDFLAGS  += $(LINKSAFE) $(if $(SAN),-fsanitize=address$(comma)undefined)

# --- what there is -----------------------------------------------------------
# Each folder is one program: its main.c, and an archive of the rest, which the unit tests link too.

FOLDERS := $(patsubst %/main.c,%,$(wildcard sync/main.c policyd/main.c milter/main.c ctl/main.c \
	     queued/main.c helper/main.c))
bin.sync := mxhold-sync
bin.policyd := mxhold-policyd
bin.milter := mxhold-milter
bin.ctl := mxholdctl
bin.queued := mxhold-queued
bin.helper := mxhold-helper
PROGRAMS := $(foreach f,$(FOLDERS),$(BUILD)/bin/$(bin.$f))

LIBS_CORE := -llmdb -linih -lidn2
libs.sync := -lpq -ljansson
libs.policyd := -levent_core
libs.milter := -lmilter -lpthread
libs.ctl := -lpq -ljansson -lunbound -lcurl -lxxhash
libs.queued := -levent_core -levent_openssl -lssl -lcrypto -lunbound -lcurl -ljansson -lz
libs.helper :=
INC_PQ := -I/usr/include/postgresql
CPPFLAGS += $(INC_PQ)

sources = $(wildcard $1/*.c)
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$1)
CORE_LIB := $(BUILD)/lib/core.a
FOLDER_LIBS := $(foreach f,$(FOLDERS),$(BUILD)/lib/$f.a)
# collect is no test: tests/queued/collector.sh runs it.
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c) tests/unit/collect.c)
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))

Q := $(if $(V),,@)
# How targets that do more than build have things built: on all cores, unless make was told how many.
MAKE_ALL = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
say = $(if $(V),,@printf '  %-6s %s\n' '$1' '$2';)

.PHONY: all
all: $(PROGRAMS)

# Nothing that was made on the way is removed: the next build would make it again.
.SECONDARY:

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Programs know where they are installed (core/install.h): what says so follows PREFIX and SYSCONFDIR.
$(call objects,$(shell grep -lE 'CONF_DEFAULT_PATH|INSTALL_' */*.c tests/unit/*.c)): $(BUILD)/obj/places
$(BUILD)/obj/places: FORCE
	@mkdir -p $(@D)
	@echo '$(PREFIX) $(SYSCONFDIR)' | cmp -s - $@ || echo '$(PREFIX) $(SYSCONFDIR)' >$@
.PHONY: FORCE
FORCE:

define archive
$(BUILD)/lib/$1.a: $(call objects,$(filter-out $1/main.c,$(call sources,$1)))
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,core $(FOLDERS),$(eval $(call archive,$f)))

define program
$(BUILD)/bin/$(bin.$1): $(BUILD)/obj/$1/main.o $(BUILD)/lib/$1.a $(CORE_LIB)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)$(CC) $(LDFLAGS) -o $$@ $$^ $(libs.$1) $(LIBS_CORE)
endef
$(foreach f,$(FOLDERS),$(eval $(call program,$f)))

# A unit test is one file; it may use the core and every program's archive.
LIBS_UNIT := $(sort $(foreach f,$(FOLDERS),$(libs.$f))) $(LIBS_CORE) -lcheck -lsubunit -lrt -lm -lpthread
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(FOLDER_LIBS) $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_UNIT)

# Tools of the tests (a primary with faults, hostile clients, a ledger).
$(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ -levent_core $(LIBS_CORE)

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ -levent_core -lmilter -lpq -lpthread $(LIBS_CORE)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

.PHONY: tests-build
tests-build: all $(UNIT) $(TOOLS)

include make/targets.mk
