//! The command `cargo shipper`.

fn main() -> std::process::ExitCode {
    cargo_shipper::cargo_main()
}
