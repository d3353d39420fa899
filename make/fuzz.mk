# Fuzzing. A target tests/fuzz/fuzz_NAME.c is built twice: with clang and libFuzzer for `make fuzz`, and, in a build
# with SAN=1, as replay_NAME, which feeds it its corpus (tests/fuzz/corpus/NAME/) in `make check`.

FUZZ_SECONDS ?= 20
FUZZ_NAMES := $(patsubst fuzz_%,%,$(FUZZERS))
FUZZ_CFLAGS := -std=c11 $(filter-out -Werror,$(WARN)) -O1 -g -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# What is fuzzed lies in core, but for parsers and state machines of single programs.
FUZZ_ALSO := sync/row.c policyd/greeting.c queued/maillog.c queued/census_parse.c queued/dialogue.c queued/route.c queued/desk.c \
	queued/changes.c queued/keyed.c queued/primary.c queued/release.c queued/breaker.c queued/refusal.c queued/retention.c
LIBS_FUZZ := $(LIBS_CORE) -ljansson -lunbound -lcurl -levent_core
FUZZ_CORE := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(call sources,core) $(FUZZ_ALSO))

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CLANG,$<)$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/obj/tests/fuzz/fuzz.o $(FUZZ_CORE)
	$(call say,LINK,$@)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS_FUZZ)

$(BUILD)/fuzz/replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/fuzz.o \
		$(BUILD)/obj/tests/fuzz/replay_main.o $(call objects,$(FUZZ_ALSO)) $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_FUZZ)

-include $(shell find $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)

ifdef SAN
tests-build: $(patsubst %,$(BUILD)/fuzz/replay_%,$(FUZZ_NAMES))
endif

## make fuzz      runs each libFuzzer target for FUZZ_SECONDS (default 20)
fuzz: $(patsubst %,$(BUILD)/fuzz/fuzz_%,$(FUZZ_NAMES))
	$(Q)sh tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ_NAMES)
