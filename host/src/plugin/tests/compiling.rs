//! Compiling: what is kept, and what a child process may not do.

use std::path::Path;
use std::time::{Duration, Instant};

use super::guests::Guest;
use super::*;

#[test]
fn compiled_code_is_used_again_and_never_when_it_is_damaged() {
    let fixture = Fixture::new();
    let bytes = Guest::counting().build();
    fixture.code(&bytes);
    let artefact = fixture.artefact();
    let whole = std::fs::read(&artefact).expect("read");

    let compiler = CompilerProcess::Program("/nowhere/lantern".into());
    let options = PluginOptions { compiler, ..PluginOptions::new(fixture.dir.path().join("cache")) };
    let without_compiler = PluginHost::new(options).expect("starts");
    assert!(without_compiler.load("a.wasm", &bytes).is_ok(), "the cache is enough");

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&artefact, damaged).expect("written");
    let error = without_compiler.load("a.wasm", &bytes).err().expect("was taken");
    assert!(error.to_string().contains("the compiler could not be run"), "{error}");
    fixture.code(&bytes);
    assert_eq!(std::fs::read(&artefact).expect("read"), whole, "compiled again");
}

/// Whether it is optimised, and the code.
fn code_of(loaded: Result<LoadedPlugin, PluginError>) -> (bool, Arc<dyn ProjectionCode>) {
    let loaded = loaded.expect("loads");
    let is_optimised = loaded.is_optimised;
    let code = loaded.into_projection().expect("a projection");
    (is_optimised, code)
}

#[test]
fn a_large_plugin_is_compiled_quickly_first_and_its_optimised_code_takes_that_place() {
    let fixture = Fixture::with(|options| options.quick_compile_bytes = 100);
    let bytes = Guest::counting().build();
    let (is_optimised, quick) = code_of(fixture.host.load("a.wasm", &bytes));
    assert!(!is_optimised);
    let quick_artefact = fixture.artefact();
    let (is_optimised, optimised) = code_of(fixture.host.optimise("a.wasm", &bytes));
    assert!(is_optimised);
    let artefact = fixture.artefact();
    assert_ne!(artefact, quick_artefact, "one took the place of the other");
    assert!(code_of(fixture.host.load("a.wasm", &bytes)).0, "from the cache");
    let mut draft = fixture.draft(&*quick);
    for code in [quick, optimised] {
        for mut instance in [code.instantiate().expect("starts"), code.instantiate_metered().expect("starts")] {
            instance.apply(&events(&["order-1"]), &mut draft).expect("applies");
        }
    }
    assert_eq!(row(&draft, "order-1"), Some(4));
    let small = Fixture::with(|options| options.quick_compile_bytes = bytes.len() as u64 + 1);
    assert!(code_of(small.host.load("a.wasm", &bytes)).0);
}

/// A compiler that never ends as long as the folder holds the file `hang`, and makes a file `began` whenever it begins.
fn hanging_compiler(dir: &Path) -> CompilerProcess {
    let real = dir.join("real");
    std::fs::create_dir(&real).expect("made");
    let CompilerProcess::Program(real) = compiler(&real) else { unreachable!("a script") };
    let dir_name = dir.display();
    script(dir, &format!("touch {dir_name}/began; test -e {dir_name}/hang && exec sleep 600; exec {}", real.display()))
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} never came", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn work_in_the_background_gives_way_to_a_plugin_that_is_needed_now_and_is_done_later() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::with(|options| options.compiler = hanging_compiler(dir.path()));
    let (hang, began) = (dir.path().join("hang"), dir.path().join("began"));
    std::fs::write(&hang, "").expect("written");
    let background = Guest::counting().memory_pages(2).build();
    std::thread::scope(|scope| {
        let optimised = scope.spawn(|| fixture.host.optimise("a.wasm", &background));
        wait_for(&began);
        std::fs::remove_file(&hang).expect("it is there");
        assert!(code_of(fixture.host.load("b.wasm", &Guest::counting().build())).0);
        assert!(code_of(optimised.join().expect("no panic")).0);
    });
}

#[test]
fn work_in_the_background_ends_when_the_host_is_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::with(|options| options.compiler = hanging_compiler(dir.path()));
    std::fs::write(dir.path().join("hang"), "").expect("written");
    std::thread::scope(|scope| {
        let optimised = scope.spawn(|| fixture.host.optimise("a.wasm", &Guest::counting().build()));
        wait_for(&dir.path().join("began"));
        fixture.host.close();
        let error = optimised.join().expect("no panic").err().expect("was given up");
        assert!(error.to_string().contains("Lantern stops"), "{error}");
    });
}

/// A program that ends as the script says.
fn script(dir: &Path, text: &str) -> CompilerProcess {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("compiler");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("made executable");
    CompilerProcess::Program(path)
}

/// A program that compiles: this test binary, told to run [`acts_as_the_compiler`].
fn compiler(dir: &Path) -> CompilerProcess {
    let test = std::env::current_exe().expect("known");
    let filter = "plugin::tests::compiling::acts_as_the_compiler --exact --include-ignored --nocapture";
    // The test runner prints to standard output, where the compiled code belongs.
    script(dir, &format!("exec {} {filter} 3>&1 >/dev/null", test.display()))
}

#[test]
#[ignore = "runs only as the child process of other tests"]
fn acts_as_the_compiler() {
    let output = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").expect("opened by the parent");
    std::process::exit(i32::from(compile::compile_into(output)));
}

#[test]
fn a_child_process_compiles_and_may_not_take_more_than_its_share() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::with(|options| options.compiler = compiler(dir.path()));
    let code = fixture.code(&Guest::counting().build());
    let mut draft = fixture.draft(&*code);
    code.instantiate().expect("starts").apply(&events(&["order-1"]), &mut draft).expect("applies");
    assert_eq!(row(&draft, "order-1"), Some(1));
    let misfit = wat::parse_str("(module (func (export \"describe\")) (func (export \"apply\")))").expect("valid");
    assert!(fixture.problem(&misfit).contains("does not fit the world projection"), "{}", fixture.problem(&misfit));

    let small = Fixture::with(|options| {
        options.compiler = compiler(dir.path());
        options.compile_memory_mib = 16;
    });
    let problem = small.problem(&Guest::counting().build());
    assert!(problem.contains("more than 16 MiB"), "{problem}");
}

#[test]
fn a_child_process_that_hangs_dies_or_lies_is_no_harm() {
    let dir = tempfile::tempdir().expect("a folder");
    let started = Instant::now();
    let problem = |text: &str| {
        let fixture = Fixture::with(|options| {
            options.compiler = script(dir.path(), text);
            options.compile_seconds = 1;
        });
        let problem = fixture.problem(&Guest::counting().build());
        let left = std::fs::read_dir(fixture.dir.path().join("cache")).expect("a folder").count();
        assert_eq!(left, 0, "nothing is left in the cache");
        problem
    };
    assert!(problem("exec sleep 600").contains("more than 1 s of processor time"));
    assert!(started.elapsed() < Duration::from_secs(60));
    let died = problem("echo oh dear >&2; kill -SEGV $$");
    assert!(died.contains("could not be run") && died.contains("oh dear"), "{died}");
    assert!(problem("echo not compiled code").contains("no whole file"));
}
