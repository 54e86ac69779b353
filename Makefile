# Muster: every task that a person or CI starts. `make help` lists them.

PREFIX  ?= /usr/local
UNITDIR ?= /etc/systemd/system
LISTEN  ?= 127.0.0.1:7373
DATA    ?= /var/lib/muster
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
CARGO   := scripts/cargo
BINARY  := target/release/muster

.DEFAULT_GOAL := help
.PHONY: help build run test test-vm bench fuzz install uninstall

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -nE 's/^([a-z-]+):.*## (.*)/  make \1: \2/p' Makefile

build: ## the release binary (installs a C compiler and Rust where they are missing, and says so)
	@scripts/setup build
	@echo "build: $(BINARY) (the first build takes some minutes)"
	@$(CARGO) build --release --locked --package muster-cli

run: build ## build, then start Muster on this machine and say where its page is
	@echo "run: starting Muster$(if $(SUDO), (sudo: eBPF needs root)); end it with Ctrl-C"
	@echo "run: its page, once it says \`ready\`: http://$(LISTEN)/   its record: $(DATA)"
	@echo "run: in another terminal: start an agent, then \`$(if $(SUDO),$(SUDO) )$(BINARY) roll$(if $(filter-out /var/lib/muster,$(DATA)), --data $(DATA))\` (\`doctor\` says what it can see)"
	@$(SUDO) $(BINARY) watch --listen $(LISTEN) --data $(DATA)

test: ## the whole gate: format, lints, build, tests, tidy, licences, generated files
	@scripts/setup test
	@$(CARGO) xtask ci

test-vm: ## load every probe in Debian's 6.1 and 6.12 kernels, in QEMU guests
	@scripts/setup vm
	@$(CARGO) xtask vm

bench: ## the benchmarks (results: BENCHMARKS.md)
	@scripts/setup build
	@$(CARGO) xtask bench

fuzz: ## every fuzz target for a minute each (SECONDS_EACH=60)
	@$(CARGO) xtask fuzz --seconds $(or $(SECONDS_EACH),60)

install: build ## the binary to PREFIX/bin (/usr/local/bin) and the systemd unit; starts nothing
	@$(SUDO) install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/muster
	@for unit in muster muster-signer; do \
	  sed 's|/usr/local/bin/|$(PREFIX)/bin/|' systemd/$$unit.service \
	    | $(SUDO) install -D -m 0644 /dev/stdin $(DESTDIR)$(UNITDIR)/$$unit.service || exit 1; done
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || $(SUDO) systemctl daemon-reload
	@echo "install: $(DESTDIR)$(PREFIX)/bin/muster and $(DESTDIR)$(UNITDIR)/muster.service"
	@echo "install: start it, now and at every boot: $(SUDO) systemctl enable --now muster"

uninstall: ## stop the service, remove binary and unit; the record in /var/lib/muster stays
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || $(SUDO) systemctl disable --now muster muster-signer 2>/dev/null || true
	@$(SUDO) rm -f $(DESTDIR)$(PREFIX)/bin/muster $(DESTDIR)$(UNITDIR)/muster.service $(DESTDIR)$(UNITDIR)/muster-signer.service
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || $(SUDO) systemctl daemon-reload
	@echo "uninstall: done; the record stays in $(DATA) (remove it yourself: it is evidence)"
