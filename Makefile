# Thin on purpose: each target is one script or one cargo command.
#
#   make demo     build, bring up a multi-zone cluster on the sandbox region, show it
#   make test     everything that CI runs
#   make install  put the provider where a plain `terraform init` finds it

PROFILE ?= dev
export PROFILE

.PHONY: build demo demo-clean test lint docs install bench

build:
	cargo build --locked --profile $(PROFILE) -p multizone-provider

demo:
	@scripts/demo.sh

demo-clean:
	@scripts/demo.sh clean

test:
	@scripts/test.sh

lint:
	@scripts/lint.sh

docs: build
	@scripts/provider.sh docs --directory docs

install:
	@PROFILE=release scripts/install.sh

bench:
	@scripts/bench.sh
