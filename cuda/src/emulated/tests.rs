use std::env;
use std::process::Command;

use super::compiler::FIND_RACES;
use super::*;

/// The compiler, or none after saying so; with `emulator` in REQUIRE, its absence is an error. It looks for races, and does not
/// optimise: here the time goes into compiling.
fn compiler() -> Option<Compiler> {
    match Compiler::find() {
        Ok(mut compiler) => {
            compiler.flags.retain(|&flag| flag != "-O2");
            compiler.watch = Some(FIND_RACES);
            Some(compiler)
        }
        Err(error) => {
            let required = env::var("REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "emulator"), "the emulator is required: {error}");
            println!("SKIP emulator: {error}");
            None
        }
    }
}

sources! {
    TEST_HEADERS: "emulator" / "test.h";
    TESTS: "emulator" / "test.cpp", "test_tensors.cpp";
}

/// Runs the emulator's own test, built with `patch`; what it says on stdout, and whether it passed.
fn own_test(compiler: &Compiler, patch: Option<Patch<'_>>) -> (String, bool) {
    // One after another, so that no object is compiled twice.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let patches: Vec<Patch<'_>> = patch.into_iter().collect();
    let folder = folder(compiler, headers().chain(TEST_HEADERS.iter().copied())).unwrap();
    let sources: Vec<(&str, String)> =
        EMULATOR.iter().chain(TESTS).map(|source| (source.name, patched(source, &patches).unwrap())).collect();
    let objects = compile_all(compiler, &folder, &sources).unwrap();
    let executable = folder.join(format!("test-{}", digest(&sources)));
    if !executable.exists() {
        compiler.run(&executable, &[&strings(&objects)[..], &["-pthread"]].concat()).unwrap();
    }
    let run = Command::new(&executable).output().unwrap();
    (String::from_utf8_lossy(&run.stdout).into_owned(), run.status.success())
}

#[test]
fn the_emulator_finds_what_it_promises_to_find() {
    let Some(compiler) = compiler() else { return };
    let (said, passed) = own_test(&compiler, None);
    assert!(passed, "{said}");
}

/// A test that cannot fail proves nothing: each of these breaks the emulator.
#[test]
fn its_test_fails_when_the_emulator_is_broken() {
    let Some(compiler) = compiler() else { return };
    let patch = |file, from, to| Patch { file, within: None, from, to };
    for (patch, expected) in [
        (patch("calls.cpp", "if (!current->block->late) land(copy);", "land(copy);"), "*late"),
        (patch("emulator.cpp", "std::memset(block.shared, UNSET,", "std::memset(block.shared, 0,"), "has_nan"),
        (patch("races.cpp", "if (!read_before(", "if (false && !read_before("), "read_write"),
        (patch("races.cpp", "cell.written < clock[mine]", "true"), "write_read"),
        (patch("races.cpp", "cell.written <= known[mine][other]", "true"), "other_warp"),
        (patch("races.cpp", "cell.in_flight = true;", ""), "without_wait"),
        (patch("emulator.cpp", "if (random) {", "if (false) {"), "order_of"),
        (patch("emulator.cpp", "if (beyond == shared_end) return {};", "return {};"), "write_shared(THREADS)"),
        (patch("races.cpp", "fences[cell.writer] == cell.fences", "false"), "product_of_stores"),
        (patch("tensor.cpp", "address >> 7 & rows", "address >> 7 & 1"), "permuted"),
        (patch("memory.cpp", "std::memset(pages, UNSET, paged);", ""), "value != value"),
        (patch("memory.cpp", "if (!before && !behind) continue;", "continue;"), "write_byte_at"),
        (patch("driver_launch.cpp", "if (extra && given != offset) {", "if (false) {"), "launch(bytes + 1)"),
    ] {
        let (said, passed) = own_test(&compiler, Some(patch));
        assert!(!passed && said.contains(expected), "{patch:?} goes unnoticed:\n{said}");
    }
}

#[test]
fn a_patch_must_fit_once() {
    let source = Source { name: "a.cu", text: "one two two" };
    let patch = |from| Patch { file: "a.cu", within: None, from, to: "x" };
    assert_eq!(patched(&source, &[patch("one")]).unwrap(), "x two two");
    for (from, times) in [("two", 2), ("three", 0)] {
        let error = patched(&source, &[patch(from)]).unwrap_err();
        assert!(matches!(error, EmulatorError::Patch { found, .. } if found == times), "{error}");
    }
    assert_eq!(patched(&source, &[Patch { file: "b.cu", ..patch("two") }]).unwrap(), source.text);
}

/// The sums of norm.cu do without the products that gemm.cu and linear.cu share.
#[test]
fn a_patched_header_changes_the_sources_that_it_reaches() {
    let patch = |file, from| Patch { file, within: None, from, to: "PLANTED" };
    let changed = |patch: Patch<'_>| -> Vec<&str> {
        let sources = patched_sources(&[patch]).unwrap();
        let changed = sources.iter().filter(|(_, text)| text.matches("PLANTED").count() == 1);
        changed.map(|(name, _)| *name).collect()
    };
    assert_eq!(changed(patch("norm.cu", "norm_total_##suffix")), ["norm.cu"]);
    assert_eq!(changed(patch("product.cuh", "wait_copies<1>()")), ["conv2d.cu", "gemm.cu", "linear.cu"]);
    let everywhere: Vec<&str> = DeviceCode::all().iter().map(|code| code.file).collect();
    assert_eq!(changed(patch("dev.cuh", "value = warp_sum(value)")), everywhere);
    let waits = patch("product.cuh", "wait_copies<1>()");
    assert_eq!(changed(Patch { within: Some("gemm.cu"), ..waits }), ["gemm.cu"]);
    assert!(patched_sources(&[Patch { within: Some("no.cu"), ..waits }]).is_err());
    assert!(patched_sources(&[patch("no.cu", "")]).is_err());
}

#[test]
fn a_source_that_does_not_compile_is_told_with_the_compilers_words() {
    let Some(compiler) = compiler() else { return };
    let error =
        compile(&compiler, &folder(&compiler, headers()).unwrap(), "wrong.cu", "this is no C++;").unwrap_err().to_string();
    assert!(error.contains("wrong.cu") && error.contains("error"), "{error}");
}
