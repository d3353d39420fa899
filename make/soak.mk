# What takes hours: tests/soak.sh says which parts there are, and which variables set their sizes.

## make soak      10 million domains, a million messages, faults and fuzzing for SOAK_HOURS (default 1); as root
soak:
	$(Q)sh make/deps.sh
	$(Q)+$(MAKE_ALL) bench-build tests-build $(patsubst %,$(BUILD)/fuzz/fuzz_%,$(FUZZ_NAMES))
	$(Q)BUILD=$(BUILD) sh tests/soak.sh $(SUITES)
