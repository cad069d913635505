//! The sandbox region by itself; the provider's binary has the same subcommands.
fn main() {}
