//! `cargo plugins [NAME]...`: builds the named plugins, or all of `plugins/`, and prints the path of each file.

fn main() -> anyhow::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = lantern_guest_build::all_plugins()?;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for file in lantern_guest_build::build_plugins(&names)? {
        println!("{}", file.display());
    }
    Ok(())
}
