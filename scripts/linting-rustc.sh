#!/usr/bin/env bash
# The compiler that lints what it compiles, as RUSTC_WORKSPACE_WRAPPER: a build that `cargo clippy` then need not repeat.
exec clippy-driver "$@" -D warnings
