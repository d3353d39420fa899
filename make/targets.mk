# What one can ask make for, beside building: tests, demo, benchmarks, installation, lint.

.PHONY: help deps unit check demo bench fuzz soak lint install clean

help:
	@sed -n 's/^## //p' make/targets.mk

## make deps      installs the Debian packages that building and testing need (as root)
deps:
	$(Q)sh make/deps.sh

## make unit      the unit tests alone
unit: $(UNIT)
	$(Q)sh tests/run-unit.sh $(BUILD)/tests

## make lint      cppcheck, clang-tidy, shellcheck, clang-format
lint:
	$(Q)sh make/lint.sh

## make clean     removes what was built
clean:
	rm -rf build

## make check     all tests; ends with the line `N passed, N failed`
check:
	$(Q)sh make/deps.sh
	$(Q)$(MAKE) --no-print-directory tests-build
	$(Q)$(MAKE) --no-print-directory SAN=1 tests-build
	$(Q)BUILD=$(BUILD) SAN_BUILD=build/san sh tests/run.sh $(SUITES)
