# The ways into this project; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PREFIX ?= /usr/local
export PATH := $(CURDIR)/target/tools/bin:$(HOME)/.cargo/bin:$(PATH)

.PHONY: help setup demo demo-research build release install test soak fuzz fresh bench check fmt docs docs-container pictures sqlx advisories clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install and start what the demo needs (Docker Engine, Postgres)
	@scripts/setup

demo: setup ## Run a sweep of 30 real backtests on this machine, from set-up to the ten best
	@scripts/images sma-cross
	cargo build --locked -p btctl
	@scripts/demo target/debug/btctl

demo-research: setup ## Take trend-following rules from a sweep over a walk-forward to what is left after luck
	@scripts/images ewmac
	cargo build --locked -p btctl
	@scripts/demo-research target/debug/btctl

# What `btctl version` says of a release; nothing where this is no clone.
build: export BTCTL_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
build: export BTCTL_COMMIT_DATE ?= $(shell git log -1 --format=%cs 2>/dev/null)

build: ## Build the release program, target/release/btctl
	cargo build --release --locked -p btctl

install: build ## Install the release program to $(PREFIX)/bin
	install -D -m 0755 target/release/btctl $(DESTDIR)$(PREFIX)/bin/btctl

release: ## Build static programs, packages and checksums of the last commit, target/dist
	@scripts/release

test: ## Run every check and test, on a real Postgres and real containers
	@scripts/setup tests
	@scripts/tools
	@scripts/images sma-cross libraries ewmac test
	cargo build --locked --workspace
	@$(MAKE) --no-print-directory check
	scripts/with-postgres cargo nextest run --locked --workspace --no-fail-fast

soak: ## Random loads and faults for SECONDS (600) from a SEED, and the proof that nothing was lost, twice or half
	cargo build --locked --workspace
	BTCTL_SOAK_SECONDS=$(or $(SECONDS),600) BTCTL_SOAK_SEED=$(SEED) scripts/with-postgres \
		cargo test --locked -q -p bt-tests --test it history -- --nocapture

fuzz: ## Give hostile input to all that reads some, each TARGET (all) for SECONDS (60), and keep what fails
	@scripts/fuzz $(or $(SECONDS),60) $(TARGET)

fresh: ## Run demo and tests on new Debian and Ubuntu machines, as root and as a user (hours; see scripts/fresh-machine)
	@scripts/setup
	@scripts/fresh-machine $(MACHINES)

bench: build ## Measure against docker run, joblib, Ray, Dask, Celery, Swarm and bare Postgres in one run (40 minutes)
	@scripts/setup tests
	@scripts/images sma-cross test
	@scripts/bench $(PARTS)

check: ## Prove what can be proved: format, lints, docs, licences, who depends on whom, the queries' data
	@scripts/tools
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	cargo deny --log-level error check bans licenses sources
	cargo machete
	scripts/check-python
	scripts/check-deploy
	scripts/sqlx-prepare --check

fmt: ## Format the code
	cargo fmt

docs: ## Write the pages of docs/ that are made from the code, and build docs/ as a book, target/book/index.html
	@scripts/tools mdbook
	cargo build --locked -p btctl
	target/debug/btctl reference --dir docs
	mdbook build

# An mdbook that was built on a newer Debian than the image's does not start in the image.
docs-container: ## Build the same book in a container that has no network and writes nothing else
	@scripts/tools mdbook
	@scripts/images base
	docker run --rm --network none --read-only --user "$$(id -u):$$(id -g)" --volume "$(CURDIR):/btctl:ro" \
		--volume "$(CURDIR)/target:/btctl/target" --workdir /btctl btctl-python:3.11 target/tools/bin/mdbook build

pictures: ## Make the pictures of the page in docs/pictures anew, from real backtests
	@scripts/setup tests
	@scripts/images sma-cross
	cargo build --locked -p btctl
	@scripts/screenshots target/debug/btctl

sqlx: ## Write the offline data of the compile-time checked queries
	scripts/sqlx-prepare

advisories: ## Look the dependencies up in the RustSec database (needs the network)
	@scripts/tools
	cargo deny check advisories

clean: ## Remove what was built; images and packages stay installed
	cargo clean
