# Thin on purpose: each target is one script or one cargo command.
#
#   make demo     build, bring up a multi-zone cluster on the sandbox region, show it
#   make test     everything that CI runs
#   make bench    what it weighs and how fast it is, on this machine
#   make install  put the provider where a plain `terraform init` finds it

PROFILE ?= dev
export PROFILE

.PHONY: build demo demo-clean test lint docs install bench model-check

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

# The bounded model check of the planner, with more disturbances and time than make test gives it.
model-check: export MULTIZONE_MODEL_CHECK_DISTURBANCES ?= 3
model-check: export MULTIZONE_MODEL_CHECK_SECONDS ?= 60
model-check:
	cargo test --locked -p multizone-planner model_check -- --nocapture --test-threads=1
