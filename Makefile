# What people do here. `make` lists it.

CARGO ?= cargo
# The tool that keeps licences, bans and sources; pinned, and built once under target/.
DENY_VERSION := 0.20.2
DENY := target/tools/bin/cargo-deny

.PHONY: help test lint fmt doc deny ci bench floods torture demo

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## Run every test. Needs nothing but Rust and a C compiler.
	$(CARGO) test --locked

fmt: ## Check the format.
	$(CARGO) fmt --check

lint: ## Check the lints; warnings are errors.
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc: ## Build the documentation; broken links are errors.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

$(DENY):
	$(CARGO) install --locked --root target/tools --version $(DENY_VERSION) cargo-deny

deny: $(DENY) ## Check licences, bans and sources; advisories where the list can be had.
	$(DENY) --locked check licenses bans sources
	@if timeout 60 $(DENY) --locked check advisories >target/advisories.log 2>&1; then \
	  echo "advisories ok"; \
	elif grep -q "failed to fetch advisory database" target/advisories.log || ! [ -s target/advisories.log ]; then \
	  echo "advisories not checked: the list cannot be had here"; \
	else cat target/advisories.log; exit 1; fi

ci: fmt lint doc test deny ## All of the above, as .ci/run does it.

bench: ## Measure the gateway, its books, its price list and its manners under overload (about ten minutes).
	$(CARGO) bench --locked --bench gateway
	$(CARGO) bench --locked --bench overload
	$(CARGO) bench --locked --bench ledger
	$(CARGO) bench --locked --bench catalog

ROW ?=
floods: ## Flood the gateway with all this machine has, and print the table of docs/security.md (about ten minutes), or its row ROW ("slow heads").
	FLOODS_ROW="$(ROW)" $(CARGO) test --locked --release --features floods --test floods -- --nocapture

MINUTES ?= 30
KILLS ?= 10000
torture: ## Kill the program for MINUTES (default 30) and KILLS times (default 10000), and print what was survived.
	$(CARGO) test --locked --profile torture --features torture --test torture -- --minutes $(MINUTES) --kills $(KILLS)

demo: ## Make a picture.
	$(CARGO) run --release --locked -- demo --once "a red fox in the snow"
