# The entry points. `make demo` and `make test` set up what they need.

CARGO ?= cargo
PROGRAM = target/release/distflow
SEEDS ?= 2000

.PHONY: help setup build demo test lint check sim plants fuzz bench clean

help:
	@echo "make demo    build in release and run the main job on real processes"
	@echo "make test    lints, unit, property, simulator and process tests"
	@echo "make bench   benchmarks beside the yardsticks (QUICK=1: one short round)"
	@echo "make sim     the simulator, many seeds (SEEDS=n; one: SEED=n)"
	@echo "make plants  show that the simulator finds every planted bug"
	@echo "make fuzz    fuzz everything that parses bytes (SECONDS_EACH=n)"

# Everything but the compilers comes from the lock file. One test plays with a firewall between
# network namespaces; where those are not to be had, it says so and does nothing.
setup:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: apt-get install cargo (1.95 or newer)"; exit 1; }
	@if [ "$$(id -u)" = 0 ] && ! command -v nft >/dev/null && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq nftables iproute2 >/dev/null || true; fi
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc"; exit 1; }

build: setup
	$(CARGO) build --locked --release -p distflow-core --features cli --bin distflow

demo: build
	$(PROGRAM) demo

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features distflow-core/cli,distflow-core/plants -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked -p distflow-core --features cli --no-deps

# The program is built first: process tests run it. The simulator is built with the planted
# bugs compiled in but switched off; `plants` switches them on one by one.
test: lint
	$(CARGO) build --locked --workspace --features distflow-core/cli
	$(CARGO) test --locked --workspace --features distflow-core/cli --no-fail-fast
	$(CARGO) test --locked -p distflow-core --features plants --test plants

check: test

sim: setup
	SEEDS=$(SEEDS) $(CARGO) test --locked --release -p distflow-core --test sim -- --nocapture

plants: setup
	$(CARGO) test --locked --release -p distflow-core --features plants --test plants -- --nocapture

SECONDS_EACH ?= 60
fuzz: setup
	tests/fuzz/run $(SECONDS_EACH)

bench: build
	$(CARGO) run --locked --release -p distflow-bench -- $(if $(QUICK),--quick)

clean:
	$(CARGO) clean
