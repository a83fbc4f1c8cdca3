//! Mistakes planted in the device code, each of which a test of the operator must find on the emulated device.
//!
//! The test below runs this executable again for each mistake, with its number in [`VARIABLE`]. There, [`context`] opens the
//! emulated device with that mistake in its kernels, and tests have no other context.

mod mistakes;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::{env, thread};

use handgrad_cuda::DeviceCode;
use handgrad_cuda::emulated::{self, Patch};

use crate::testing::{contexts, is_emulated};
use crate::{Context, OPERATORS, Variants};

/// The number of a mistake, or [`NONE`].
const VARIABLE: &str = "HANDGRAD_PLANTED";
const NONE: &str = "none";

/// How a mistake is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The emulator reports accesses to shared memory that nothing orders.
    Race,
    /// The emulator reports an access beyond memory.
    Bounds,
    /// The kernel runs, and the test finds its result wrong.
    Value,
}

/// The mistakes by number.
static MISTAKES: LazyLock<Vec<&Mistake>> = LazyLock::new(|| mistakes::all().collect());

/// A mistake: this text of a device code in the place of that one.
struct Mistake {
    /// The name of the test that finds it, in this crate.
    test: &'static str,
    found: Found,
    /// A source, or a header for one source: `<header> in <source>`.
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Mistake {
    fn patch(&self) -> Patch<'static> {
        let (file, within) = match self.file.split_once(" in ") {
            Some((header, source)) => (header, Some(source)),
            None => (self.file, None),
        };
        Patch { file, within, from: self.from, to: self.to }
    }

    fn describe(&self) -> String {
        let Mistake { test, file, from, to, .. } = self;
        format!("{test} with\n{from}\nreplaced in {file} by\n{to}")
    }
}

/// The emulated device with the mistake that this process has to find; `None` where it has none to find.
pub(crate) fn context() -> Option<Context> {
    let number = env::var(VARIABLE).ok()?;
    let patches: Vec<Patch<'_>> = match number.as_str() {
        NONE => vec![],
        number => vec![MISTAKES[number.parse::<usize>().unwrap()].patch()],
    };
    emulated::open_patched(&patches).unwrap();
    Some(Context::on_cuda(handgrad_cuda::Context::new(0).unwrap()).unwrap())
}

/// Runs a test with the mistake of this number; what it says, and whether it passed.
fn run(test: &str, number: &str, races: bool) -> (String, bool) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads=1"]).env(VARIABLE, number).env("RUST_BACKTRACE", "0");
    if races {
        // And in another order of threads than usual, with copies that come as late as they may.
        let settings = ["HANDGRAD_EMULATOR_RACES", "HANDGRAD_EMULATOR_SEED", "HANDGRAD_EMULATOR_LATE"];
        command.envs(settings.map(|setting| (setting, "1")));
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(text.contains("running 1 test"), "there is no test {test}:\n{text}");
    (text, output.status.success())
}

/// What is wrong with how a mistake was found; empty if nothing is.
fn verdict(number: usize) -> String {
    let mistake = MISTAKES[number];
    let (said, passed) = run(mistake.test, &number.to_string(), mistake.found == Found::Race);
    let reported = match mistake.found {
        Found::Race => said.contains(": race: "),
        Found::Bounds => said.contains(": out of bounds: "),
        Found::Value => !said.contains("emulated kernel "),
    };
    if passed {
        format!("unnoticed: {}\n\n", mistake.describe())
    } else if !(reported && said.contains(&format!("test {} ... FAILED", mistake.test))) {
        format!("noticed, but not as {:?}: {}\n{said}\n", mistake.found, mistake.describe())
    } else {
        String::new()
    }
}

#[test]
fn every_planted_mistake_is_found() {
    if !contexts().iter().any(is_emulated) {
        println!("SKIP planted mistakes: there is no emulated device");
        return;
    }
    // A test that finds races where there are none would prove nothing.
    let races = MISTAKES.iter().filter(|mistake| mistake.found == Found::Race);
    for test in races.map(|mistake| mistake.test).collect::<BTreeSet<_>>() {
        let (said, passed) = run(test, NONE, true);
        assert!(passed, "{test} fails without a mistake:\n{said}");
    }
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(String::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MISTAKES.len() {
                        break;
                    }
                    let verdict = verdict(number);
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push_str(&verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    assert!(verdicts.is_empty(), "{verdicts}");
    println!("{} planted mistakes found", MISTAKES.len());
}

#[test]
fn every_operator_and_every_file_has_planted_mistakes() {
    let has_code = |operator: &&Variants| DeviceCode::all().iter().any(|code| code.name == operator.op);
    for operator in OPERATORS.iter().filter(has_code) {
        let of_it = MISTAKES.iter().filter(|mistake| mistake.test.starts_with(&format!("{}::", operator.op)));
        let count = of_it.count();
        assert!(count >= 3, "{} has {count} planted mistakes", operator.op);
    }
    // What else there is, no operator runs.
    let of_operators = DeviceCode::all().iter().filter(|code| OPERATORS.iter().any(|operator| operator.op == code.name));
    for file in of_operators.map(|code| code.file).chain(DeviceCode::headers().iter().map(|(name, _)| *name)) {
        assert!(MISTAKES.iter().any(|mistake| mistake.patch().file == file), "{file} has no planted mistake");
    }
}
