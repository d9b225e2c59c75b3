# The entry points. `make demo` and `make test` set up what they need.

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
PROGRAM = $(TARGET)/release/distflow
SEEDS ?= 2000

.PHONY: help setup build demo test test-rust test-node test-python check-node check-python packages test-hosts test-brokers node python docs lint check header install uninstall sim plants fuzz bench clean

help:
	@echo "make demo    build in release and run the main job on real processes"
	@echo "make test    lints; unit, property, simulator, process, C, Node.js and Python tests"
	@echo "make test-hosts  the packages in Bun, Deno, bundlers and others (HOSTS=name…)"
	@echo "make test-brokers   game sessions on Mosquitto, NATS, RabbitMQ, ejabberd, aedes and our own broker"
	@echo "make install the program, the C library and its headers (PREFIX=/usr/local, DESTDIR=)"
	@echo "make header  write include/distflow.h and ffi/abi anew after a change of ffi/src"
	@echo "make docs    write docs/python-api.md and docs/python anew after a change of the Python package"
	@echo "make bench   benchmarks beside the yardsticks (QUICK=1: one short round)"
	@echo "make sim     the simulator, many seeds (SEEDS=n; one: SEED=n)"
	@echo "make plants  show that the simulator finds every planted bug"
	@echo "make fuzz    fuzz everything that parses bytes (SECONDS_EACH=n)"

# Everything but the compilers comes from the lock file. One test plays with a firewall between
# network namespaces; where those are not to be had, it says so and does nothing. A demo needs
# cargo, cc, Node.js and Python; what else is missing is named, and the tests that need it fail.
setup:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: Rust 1.95 or newer, from https://rustup.rs"; exit 1; }
	@missing() { \
		set -- nft=nftables ip=iproute2 cc=gcc c++=g++ pkg-config=pkg-config cmake=cmake \
			valgrind=valgrind nm=binutils mosquitto=mosquitto openssl=openssl Xvfb=xvfb; \
		for tool in "$$@"; do \
			command -v "$${tool%%=*}" >/dev/null || printf ' %s' "$${tool#*=}"; \
		done; \
	}; \
	if [ -n "$$(missing)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq $$(missing) >/dev/null || true; fi; \
	[ -z "$$(missing)" ] || echo "missing, and some tests need it: apt-get install$$(missing)"
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc"; exit 1; }

build: setup
	$(CARGO) build --locked --release -p distflow-core --features cli,broker --bin distflow

# One of the processes is a C program, one runs in Node.js, and one in Python.
demo: build node python
	$(CARGO) build --locked --release -p distflow-ffi
	@mkdir -p $(TARGET)/demo
	@ln -sf ../release/libdistflow.so $(TARGET)/demo/libdistflow.so.$(ABI)
	$(CC) -O2 -Iinclude examples/c/node.c -o $(TARGET)/demo/node -L$(TARGET)/release -ldistflow \
		-Wl,-rpath,'$$ORIGIN'
	@mkdir -p examples/node/node_modules/@distflow
	@ln -sfn ../../../../bindings-node examples/node/node_modules/@distflow/native
	@printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' $(CURDIR)/$(VENV)/bin/python \
		$(CURDIR)/examples/python/node.py > $(TARGET)/demo/python-node
	@chmod +x $(TARGET)/demo/python-node
	$(PROGRAM) demo --node-program $(TARGET)/demo/node --node-program examples/node/node.js \
		--node-program $(TARGET)/demo/python-node

# Tests of sessions are none of the targets that are run by themselves; see tests/Cargo.toml.
LINTED = --features distflow-core/cli,distflow-core/broker,distflow-core/plants,distflow-ffi/plants
lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets $(LINTED) -- -D warnings
	$(CARGO) clippy --locked --workspace --test sessions --test brokers $(LINTED) -- -D warnings
	$(CARGO) clippy --locked -p distflow-core -p distflow-ffi --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked -p distflow-core -p distflow-ffi --features distflow-core/cli,distflow-core/broker --lib --no-deps

# The packages are built while the tests of Rust run, which wait for most of their time.
# Not by -j: compilers would be given a job server that they can't reach.
test: lint
	@$(MAKE) packages >$(TARGET)/packages.log 2>&1 & packages=$$!; trap "kill $$packages" INT TERM; \
	$(MAKE) test-rust; rust=$$?; \
	wait $$packages; packages=$$?; cat $(TARGET)/packages.log; \
	[ $$rust = 0 ] && [ $$packages = 0 ]
	$(MAKE) check-python
	$(MAKE) check-node

packages: setup
	nice -n 10 $(MAKE) python
	nice -n 10 $(MAKE) node

test-python: python
	$(MAKE) check-python

test-node: node
	$(MAKE) check-node

# Packages are tested as they are released, but for the last tenth of speed: optimising across all
# crates takes minutes.
test packages test-python test-node: export CARGO_PROFILE_RELEASE_LTO = off
test packages test-python test-node: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 16

# The program is built first: process tests run it. Everything is built once, with the planted bugs
# compiled in but switched off; tests of plants switch them on, one by one and for their thread only.
# The packages of Python and Node.js are tested without them.
test-rust: setup
	$(CARGO) build --locked --workspace $(LINTED)
	$(CARGO) test --locked --workspace $(LINTED) --no-fail-fast
	RUST_TEST_THREADS=8 $(CARGO) test --locked --workspace $(LINTED) --test sessions

# Game sessions on brokers of others. Each is started on a free port, in a temporary folder, and ended.
AEDES = 1.2.0
test-brokers: setup
	@missing() { \
		set -- mosquitto=mosquitto nats-server=nats-server epmd=erlang-base; \
		for tool in "$$@"; do PATH="$$PATH:/usr/sbin" command -v "$${tool%%=*}" >/dev/null || printf ' %s' "$${tool#*=}"; done; \
		for package in rabbitmq-server ejabberd; do dpkg -L $$package >/dev/null 2>&1 || printf ' %s' $$package; done; \
	}; \
	if [ -n "$$(missing)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$(missing) >/dev/null || true; fi; \
	[ -z "$$(missing)" ] || { echo "missing: apt-get install$$(missing)"; exit 1; }
	@mkdir -p $(TARGET)/brokers
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix $(TARGET)/brokers aedes@$(AEDES)
	@test -f $(TARGET)/brokers/package.json || echo '{}' > $(TARGET)/brokers/package.json
	$(CARGO) build --locked --workspace $(LINTED) --bin distflow
	DISTFLOW_BROKERS=$(abspath $(TARGET))/brokers $(CARGO) test --locked --workspace $(LINTED) --test brokers -- --nocapture

# Lints; then the wheel in an empty environment of the oldest, the newest and the default Python.
check-python:
	cd bindings-python && ../$(VENV)/bin/ruff format --check $(PYTHON_FILES)
	cd bindings-python && ../$(VENV)/bin/ruff check $(PYTHON_FILES)
	cd bindings-python && ../$(VENV)/bin/mypy
	cd bindings-python && ../$(VENV)/bin/python -m mypy.stubtest distflow._distflow
	rm -rf $(TARGET)/docs/markdown
	$(SPHINX) markdown bindings-python/docs $(TARGET)/docs/markdown
	@diff -u docs/python-api.md $(TARGET)/docs/markdown/python-api.md && \
		diff -ru docs/python $(TARGET)/docs/markdown/python || \
		{ echo "docs/python-api.md and docs/python are not up to date: make docs"; exit 1; }
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python bindings-python/tests/source.py $(WHEELS)/source
	$(VENV)/bin/python bindings-python/tests/run.py $(WHEELS)/distflow-$(VERSION)-*.whl $(WHEELS)/environments

# Seen from bindings-python, whose pyproject.toml has the rules.
PYTHON_FILES = . ../examples/python ../tests/conformance ../tests/bench/python
VENV = .venv
PYTHON ?= python3
WHEELS = $(TARGET)/python

# On the registry, the name belongs to another package: ours is installed by its file.
python: setup
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer, with venv, is missing: apt-get install python3 python3-venv"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip --disable-pip-version-check install -q -r bindings-python/requirements-dev.txt
	rm -f $(WHEELS)/*.whl
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pip --disable-pip-version-check wheel -q \
		./bindings-python --no-deps --no-build-isolation -w $(WHEELS)
	$(VENV)/bin/python -m pip --disable-pip-version-check install -q --no-index --no-deps \
		--force-reinstall $(WHEELS)/distflow-$(VERSION)-*.whl

# The reference of the Python package: docs/python-api.md with docs/python, and as pages in target/docs/html.
docs: python
	rm -rf $(TARGET)/docs/markdown docs/python
	$(SPHINX) markdown bindings-python/docs $(TARGET)/docs/markdown
	cp -r $(TARGET)/docs/markdown/python-api.md $(TARGET)/docs/markdown/python docs
	$(SPHINX) html bindings-python/docs $(TARGET)/docs/html

SPHINX = $(VENV)/bin/python -m sphinx -q -W -E -b

# The package is packed, installed in an empty folder, and tested there; then the examples, a
# cluster of four languages, and the scenarios of tests/conformance in all of them.
check-node:
	cd bindings-node && npm test
	node --test --test-timeout=240000 tests/node/

node: setup
	@command -v npm >/dev/null && node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))' || \
		{ echo "Node.js 20 or newer, with npm, is missing: see https://nodejs.org, or apt-get install nodejs npm"; exit 1; }
	cd bindings-node && npm ci --no-audit --no-fund && npm run build

# The packages in other hosts, bundlers and packers: docs/hosts.md. Installs from npm and PyPI.
test-hosts: node python
	tests/hosts/run $(HOSTS)

check: test

header: setup
	DISTFLOW_BLESS=1 $(CARGO) test --locked -p distflow-ffi --test header
	DISTFLOW_BLESS=1 $(CARGO) test --locked -p distflow-tests --test c abi::

PREFIX ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
ABI := $(shell sed -n 's/^\#define DISTFLOW_ABI_VERSION //p' include/distflow.h)
TO = $(DESTDIR)$(PREFIX)
FILL = sed -e 's/@VERSION@/$(VERSION)/' -e 's/@ABI@/$(ABI)/'
INSTALLED = bin/distflow lib/libdistflow.so.$(VERSION) lib/libdistflow.so.$(ABI) lib/libdistflow.so \
	lib/libdistflow.a lib/pkgconfig/distflow.pc lib/cmake/distflow/distflow-config.cmake \
	lib/cmake/distflow/distflow-config-version.cmake include/distflow.h include/distflow.hpp \
	$(PAGES:%=share/doc/distflow/%)
PAGES = abi.md c.md document-format.md guarantees.md operations.md sessions.md

# What is installed holds no paths of the machine that built it. Other flags are another build, so
# it has a folder of its own. BUILT=<folder> installs the program and the libraries of that folder
# instead, without building.
BUILT ?=
RELEASE = $(TARGET)/install/release
REMAP = --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/distflow

install: FROM = $(or $(BUILT),$(RELEASE))
install: $(if $(BUILT),,build-install)
	install -d $(TO)/bin $(TO)/lib/pkgconfig $(TO)/lib/cmake/distflow $(TO)/include \
		$(TO)/share/doc/distflow
	install -m 755 $(FROM)/distflow $(TO)/bin/distflow
	install -m 755 $(FROM)/libdistflow.so $(TO)/lib/libdistflow.so.$(VERSION)
	ln -sf libdistflow.so.$(VERSION) $(TO)/lib/libdistflow.so.$(ABI)
	ln -sf libdistflow.so.$(ABI) $(TO)/lib/libdistflow.so
	install -m 644 $(FROM)/libdistflow.a $(TO)/lib/libdistflow.a
	install -m 644 include/distflow.h include/distflow.hpp $(TO)/include
	install -m 644 $(PAGES:%=docs/%) $(TO)/share/doc/distflow
	$(FILL) ffi/install/distflow.pc.in > $(TO)/lib/pkgconfig/distflow.pc
	$(FILL) ffi/install/distflow-config.cmake.in > $(TO)/lib/cmake/distflow/distflow-config.cmake
	$(FILL) ffi/install/distflow-config-version.cmake.in > $(TO)/lib/cmake/distflow/distflow-config-version.cmake
	@# The loader finds libraries in these folders by its cache only.
	@case "$(TO)" in /usr|/usr/local) ! command -v ldconfig >/dev/null || ldconfig;; esac

.PHONY: build-install
build-install: export RUSTFLAGS := $(RUSTFLAGS) $(REMAP)
build-install: export CARGO_TARGET_DIR := $(TARGET)/install
build-install: setup
	$(CARGO) build --locked --release -p distflow-core --features cli,broker --bin distflow
	$(CARGO) build --locked --release -p distflow-ffi

uninstall:
	rm -f $(addprefix $(TO)/,$(INSTALLED))
	@rmdir $(TO)/share/doc/distflow $(TO)/lib/cmake/distflow $(TO)/lib/cmake $(TO)/lib/pkgconfig 2>/dev/null || true

sim: setup
	SEEDS=$(SEEDS) $(CARGO) test --locked --release -p distflow-core --test sim -- --nocapture
	LIVES=100000 CASES=20000 $(CARGO) test --locked --release -p distflow-core --test crdt lives -- --nocapture

plants: setup
	$(CARGO) test --locked --release -p distflow-core --features plants --test plants -- --nocapture

SECONDS_EACH ?= 60
fuzz: setup
	tests/fuzz/run $(SECONDS_EACH)

COMMA := ,
bench: build node python
	$(CARGO) build --locked --release -p distflow-ffi
	$(CARGO) run --locked --release -p distflow-bench -- $(if $(QUICK),--quick)
	node tests/bench/node/run.mjs $(if $(QUICK),--quick) --json $(TARGET)/bench-node.json
	$(CARGO) run --locked --release --manifest-path tests/bench/documents/Cargo.toml \
		--target-dir $(TARGET)/bench-documents -- $(if $(QUICK),1,3)
	node tests/bench/node/documents.mjs $(if $(QUICK),--quick --keys 100$(COMMA)10000) --json $(TARGET)/bench-node-documents.json
	@test -x $(TARGET)/bench-python/bin/python || $(VENV)/bin/python -m venv $(TARGET)/bench-python
	$(TARGET)/bench-python/bin/python -m pip --disable-pip-version-check install -q -r tests/bench/python/requirements.txt
	$(TARGET)/bench-python/bin/python -m pip --disable-pip-version-check install -q --no-index --no-deps \
		--force-reinstall $(WHEELS)/distflow-$(VERSION)-*.whl
	$(TARGET)/bench-python/bin/python tests/bench/python/run.py $(if $(QUICK),--quick) --json $(TARGET)/bench-python.json

clean:
	$(CARGO) clean
