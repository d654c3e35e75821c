//! The binary `lantern`: everything is in the library.

fn main() -> std::process::ExitCode {
    lantern::cli::main()
}
