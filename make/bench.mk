# Benchmarks: ratios against a reference that runs in the same rounds, on private services. docs/bench.md says what they
# mean. Tables come to stdout and to $(BUILD)/bench/*.txt. Each script can be run alone, and takes its sizes from variables.

BENCHES ?= policyd postfix load release

.PHONY: bench bench-build
bench-build: all $(BENCH) $(TOOLS)

## make bench     measures: decisions, Postfix with mxhold, the full load (BENCHES='policyd load' for some); as root
bench:
	$(Q)sh make/deps.sh
	$(Q)+$(MAKE_ALL) bench-build
	$(Q)for name in $(BENCHES); do \
		BUILD=$(BUILD) sh bench/$$name.sh || exit 1; echo; \
	done; \
	printf 'kept in %s/bench\n' '$(BUILD)'
