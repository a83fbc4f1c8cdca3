//! What dev.cuh promises, instruction by instruction (kernels/instructions.cu), against plain arithmetic; and what the emulator
//! makes of it against what a device has made, as that was written down in fixtures/instructions.txt.

mod cases;

use std::path::Path;
use std::{env, fs};

use cases::{Case, all};

use crate::emulated;
use crate::testing::{device, skip};

/// Below this crate: a line per case, with the words that a device has computed.
const FIXTURE: &str = "fixtures/instructions.txt";

/// The environment variable with the file for a real device to write such lines to.
const SAVE: &str = "HANDGRAD_SAVE_INSTRUCTIONS";

fn lines(cases: &[Case]) -> String {
    let line = |case: &Case| {
        let words: Vec<String> = case.got.iter().map(|word| format!("{word:08x}")).collect();
        format!("{} {}\n", case.name, words.join(" "))
    };
    cases.iter().map(line).collect()
}

/// The cases whose words are not those of the lines, or that these lack.
fn unlike(lines: &str, cases: &[Case]) -> Vec<String> {
    let recorded = |name: &str| {
        let line = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.split(' ').map(|word| u32::from_str_radix(word, 16).ok()).collect::<Option<Vec<u32>>>()
    };
    let differs = |case: &&Case| recorded(&case.name).is_none_or(|words| !case.agrees(&words));
    cases.iter().filter(differs).map(|case| case.name.clone()).collect()
}

#[test]
fn every_instruction_does_what_is_written_of_it() {
    let Some(context) = device() else { return };
    let cases = all(&context);
    if let Some(file) = env::var_os(SAVE).filter(|_| context.device().name != emulated::DEVICE_NAME) {
        fs::write(file, lines(&cases)).unwrap();
    }
    for case in &cases {
        let other = case.got.iter().zip(&case.want).enumerate().find(|(_, (got, want))| got != want);
        assert!(case.agrees(&case.want), "{}: word, got, want {other:x?}", case.name);
    }
}

#[test]
fn the_emulator_does_what_a_device_has_done() {
    let Some(context) = device() else { return };
    let cases = all(&context);
    match fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE)) {
        Ok(lines) => assert_eq!(unlike(&lines, &cases), [""; 0], "{} is not like {FIXTURE}", context.device().name),
        Err(_) => skip("silicon", &format!("no device has written cuda/{FIXTURE} yet; `cuda/on-gpu.sh check` does")),
    }
}

#[test]
fn a_single_other_word_is_seen() {
    let case = |name: &str, tolerance| Case { name: name.to_owned(), got: vec![1, 0x3f80_0000], want: vec![], tolerance };
    let cases = [case("one", None), case("on", Some(1e-3))];
    assert_eq!(lines(&cases), "one 00000001 3f800000\non 00000001 3f800000\n");
    assert!(unlike(&lines(&cases), &cases).is_empty());
    assert!(unlike("on 00000000 3f800001\none 00000001 3f800000\n", &cases).is_empty());
    assert_eq!(unlike("on 00000000 7fc00000\none 00000001 3f800001\n", &cases), ["one", "on"]);
    assert_eq!(unlike("one 00000001\non 00000001 3f800000 00000000\n", &cases), ["one", "on"]);
    assert_eq!(unlike("", &cases), ["one", "on"]);
}
