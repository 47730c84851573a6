//! The command `shipper`.

fn main() -> std::process::ExitCode {
    cargo_shipper::main()
}
