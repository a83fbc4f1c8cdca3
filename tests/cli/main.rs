//! The command line as a user meets it: exit codes, one-line refusals, interruption and resumption.

#[path = "../common/mod.rs"]
mod common;
mod replay;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use handgrad::data::npz::{self, Array};

fn handgrad(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handgrad"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    handgrad(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2, nothing on stdout, one line on stderr that contains `want`, and an empty folder.
fn refused(folder: &Path, arguments: &[&str], want: &str) {
    let output = handgrad(arguments).current_dir(folder).output().unwrap();
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    assert!(line.contains(want) && line.trim_end().lines().count() == 1, "{arguments:?}: {line}");
}

/// A short Figure 2 in `out`, on two threads.
fn short_run<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = [
        "run",
        "sparse/fig2",
        "--seeds",
        "3",
        "--threads",
        "2",
        "--out",
        out,
        "--set",
        "steps=300000",
        "--set",
        "evaluate.first=5",
    ];
    run.iter().chain(&["--set", "evaluate.grid=40"]).chain(more).copied().collect()
}

#[test]
fn wrong_grids_and_batches_of_simulated_figures_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = |figure: &str, set: &str, want: &str| {
        refused(folder.path(), &["run", figure, "--scale", "smoke", "--set", set, "--out", "out"], want);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "{set}: nothing is left behind");
    };
    for (set, want) in [
        ("data.n=0", "runs.linear: data.n is 0, expected at least 1 point along each axis of the diagram"),
        ("schedule.peak=0", "runs.linear: schedule.peak is 0, expected the largest step size of the diagram, above 0"),
        ("schedule.peak=-0.1", "runs.linear.schedule.peak is -0.1, expected a finite number >= 0"),
        ("schedule.peak=nan", "--set schedule.peak=nan: the value does not fit"),
        ("schedule.peak=[]", "--set schedule.peak=[]: an empty list leaves no value"),
        ("optimiser.batch.size=0", "runs.linear.optimiser.batch.size is 0, expected 1 to 16777216"),
        ("optimiser.batch={\"kind\":\"full\"}", "runs.linear: optimiser.batch is full, but samples are fresh in every step"),
        ("data.d=7", "runs.linear: data.d is 7, which the network's widths are not"),
    ] {
        refuses("stability/fig7", set, want);
    }
    for figure in ["stability/fig1c", "stability/fig8"] {
        refuses(figure, "data.n=0", "data.n is 0, expected at least 1 point");
    }
    for figure in ["janus/noise", "janus/figA1", "janus/theorem1"] {
        refuses(figure, "optimiser.batch.size=11", "optimiser.batch.size is 11, expected at most the 10 samples");
    }
}

/// `n` images of 8 x 8 with labels 0, 1, ... below `classes`, in turn.
fn save_images(path: &Path, n: usize, classes: usize, spoil: f64) -> String {
    let mut pixels: Vec<f64> = (0..n * 64).map(|place| 0.5 + 0.5 * (place as f64).sin()).collect();
    pixels[70] *= spoil;
    let labels = (0..n).map(|image| (image % classes) as f64).collect();
    save(path, &[("X", &[n, 8, 8], pixels), ("y", &[n], labels)])
}

#[test]
fn a_figure_of_images_runs_on_the_users_own_and_refuses_what_is_no_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |images: &str, out: &str| {
        let data = format!("npz:{images}");
        ["run", "sparse/fig7", "--scale", "smoke", "--data", &data, "--set", "steps=4", "--out", out].map(str::to_owned)
    };
    let refuses = |images: String, want: &str| {
        let arguments = run(&images, "out");
        refused(folder.path(), &arguments.each_ref().map(String::as_str), want);
        assert!(!at("out").exists() && !at("out.partial").exists(), "{want}: nothing is left behind");
    };
    refuses(save_images(&at("one.npz"), 64, 1, 1.0), "all have one class");
    refuses(save_images(&at("few.npz"), 20, 5, 1.0), "has 32 samples, the data only 20");
    refuses(save_images(&at("nan.npz"), 64, 5, f64::NAN), "NaN");
    refuses(at("nothing.npz").to_str().unwrap().to_owned(), "cannot read");

    let out = at("good");
    let arguments = run(&save_images(&at("good.npz"), 70, 3, 1.0), out.to_str().unwrap());
    let done = output(&arguments.each_ref().map(String::as_str));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let spec: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("spec.json")).unwrap()).unwrap();
    assert!(spec["title"].as_str().unwrap().contains("good.npz, 70 images"), "{}", spec["title"]);
    assert_eq!((&spec["net"]["classes"], &spec["net"]["image"]), (&3.into(), &serde_json::json!([8, 8, 1])));
}

#[test]
fn bad_input_is_one_line_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    refused(at, &["run", "sparse/fig3x"], "there is no figure `sparse/fig3x`; did you mean `sparse/fig3`?");
    refused(
        at,
        &["run", "sparse/fig2", "--set", "scheduel.peak=0.1"],
        "there is no key `scheduel.peak`; did you mean `schedule.peak`?",
    );
    refused(at, &["run", "sparse/fig2", "--set", "runs.smal.steps=5"], "there is no run `smal`; did you mean `small`?");
    refused(at, &["run", "sparse/fig2", "--set", "steps"], "expected key=value");
    refused(at, &["run", "sparse/fig2", "--set", "data.n=[3,4]"], "only keys of the runs can be swept");
    refused(at, &["run", "sparse/fig2", "--set", "steps=-5"], "the value does not fit");
    refused(at, &["run", "sparse/fig2", "--set", "schedule.peak=-0.5"], "schedule.peak is -0.5, expected a finite number >= 0");
    refused(at, &["run", "sparse/fig2", "--set", "steps=0"], "steps is 0, expected at least 1");
    refused(at, &["run", "sparse/fig2", "--set", "data.support=201"], "expected 1 to d = 200");
    refused(at, &["run", "nothing.json"], "cannot read nothing.json");
    refused(at, &["replay", "nothing.npz", "--net", "diagonal", "--lr", "0.1", "--out", "a.csv"], "cannot read nothing.npz");
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 0, "nothing may be left behind");
    let unknown_isa = handgrad(&["info"]).env("HANDGRAD_ISA", "mmx").output().unwrap();
    assert_eq!(unknown_isa.status.code(), Some(2));
    assert!(text(&unknown_isa.stderr).contains("`mmx` is not an instruction set, expected scalar, avx2 or avx512"));
}

fn save(path: &Path, arrays: &[(&str, &[usize], Vec<f64>)]) -> String {
    let arrays: Vec<(String, Array)> = arrays
        .iter()
        .map(|(name, shape, values)| (name.to_string(), Array { shape: shape.to_vec(), values: values.clone() }))
        .collect();
    npz::write(path, &arrays).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_finished_run_is_complete_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let short = ["--set", "steps=500"];
    let run = output(&short_run(out, &short));
    assert!(run.status.success(), "{}", text(&run.stderr));
    for file in ["spec.json", "meta.json", "metrics.csv", "timings.csv", "claims.json", "arrays.npz", "figure.svg", "figure.png"]
    {
        assert!(std::fs::metadata(Path::new(out).join(file)).unwrap().len() > 0, "{file}");
    }
    assert!(!Path::new(&format!("{out}.partial")).exists());
    let claims: serde_json::Value = serde_json::from_slice(&std::fs::read(Path::new(out).join("claims.json")).unwrap()).unwrap();
    assert!(claims["overrides"].as_array().unwrap().iter().any(|text| text == "steps=500"), "overrides are listed: {claims}");
    assert!(!claims["claims"].as_array().unwrap().is_empty());
    refused(folder.path(), &short_run(out, &short), "holds a finished run");
    assert_eq!(output(&short_run(out, &[short.as_slice(), &["--resume"]].concat())).status.code(), Some(0));
    refused(folder.path(), &short_run(out, &["--set", "steps=501", "--resume"]), "finished run of another spec");

    let again = folder.path().join("again");
    let spec = Path::new(out).join("spec.json");
    let run = output(&["run", spec.to_str().unwrap(), "--threads", "1", "--out", again.to_str().unwrap()]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(std::fs::read(again.join("metrics.csv")).unwrap(), std::fs::read(Path::new(out).join("metrics.csv")).unwrap());
}

/// Starts a run that checkpoints at every opportunity and gives it a while.
fn started(out: &str, resume: bool, milliseconds: u64) -> Child {
    let more: &[&str] = if resume { &["--checkpoint-every", "0", "--resume"] } else { &["--checkpoint-every", "0"] };
    let mut command = handgrad(&short_run(out, more));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    child
}

/// Waits until a process catches SIGUSR1, the last signal that it asks for.
fn wait_until_watched(child: &Child) {
    for _ in 0..6000 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & (1 << 9) != 0 {
            return std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the run watches no signals");
}

fn metrics(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("metrics.csv")).unwrap()
}

/// Folders of an uninterrupted run and of one to interrupt.
fn pair(folder: &Path) -> (PathBuf, PathBuf) {
    let whole = folder.join("whole");
    let run = output(&short_run(whole.to_str().unwrap(), &[]));
    assert!(run.status.success(), "{}", text(&run.stderr));
    (whole, folder.join("interrupted"))
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, interrupted) = pair(folder.path());
    let out = interrupted.to_str().unwrap();
    let mut killed_unfinished = 0;
    for attempt in 0..40 {
        let resume = Path::new(&format!("{out}.partial")).exists();
        let mut child = started(out, resume, 7 + 13 * (attempt % 5));
        let finished = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if finished.is_some() || interrupted.exists() {
            break;
        }
        killed_unfinished += 1;
    }
    assert!(killed_unfinished >= 1, "the run must have been unfinished when it was killed");
    let last = output(&short_run(out, &["--resume"]));
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(metrics(&whole) == metrics(&interrupted), "killed {killed_unfinished} times: metrics.csv differs");
    assert_eq!(std::fs::read(whole.join("arrays.npz")).unwrap(), std::fs::read(interrupted.join("arrays.npz")).unwrap());
}

/// A network of images with everything that a state holds: momentum, running statistics, augmentation, 100 steps.
#[test]
fn a_killed_run_of_images_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, threads: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let arguments = [
            &["run", "sparse/fig7", "--scale", "smoke", "--set", "steps=100", "--set", "seed=0", "--threads", threads][..],
            &["--set", "runs.standard-constant.optimiser.class_noise={\"kind\":\"dynamic\",\"probability\":0.1}"],
            &["--out", out.to_str().unwrap(), "--checkpoint-every", "0"],
            more,
        ]
        .concat();
        handgrad(&arguments)
    };
    let whole = run("whole", "1", &[]).output().unwrap();
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    let mut killed = 0;
    for attempt in 0..60 {
        let more: &[&str] = if attempt > 0 { &["--resume"] } else { &[] };
        let mut child = run("interrupted", "2", more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + 170 * (attempt % 4)));
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if finished {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 1, "the run must have been unfinished when it was killed");
    let last = run("interrupted", "2", &["--resume"]).output().unwrap();
    assert!(last.status.success(), "{}", text(&last.stderr));
    let file = |run: &str, name: &str| std::fs::read(folder.path().join(run).join(name)).unwrap();
    for name in ["metrics.csv", "arrays.npz"] {
        assert!(file("whole", name) == file("interrupted", name), "killed {killed} times: {name} differs");
    }
}

#[test]
fn signals_save_and_exit_75() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, interrupted) = pair(folder.path());
    let out = interrupted.to_str().unwrap();
    for (round, signal) in ["TERM", "INT", "USR1"].into_iter().enumerate() {
        let mut child = started(out, round > 0, 0);
        wait_until_watched(&child);
        assert!(child.try_wait().unwrap().is_none(), "the run must be unfinished when SIG{signal} comes");
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(75), "SIG{signal}");
        assert!(Path::new(&format!("{out}.partial/spec.json")).exists());
    }
    refused(folder.path(), &short_run(out, &[]), "holds an unfinished run; continue it with --resume");
    let last = output(&short_run(out, &["--resume"]));
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(metrics(&whole) == metrics(&interrupted));
}

#[test]
fn the_answers_are_on_stdout() {
    let list = output(&["list", "--json"]);
    let figures: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(figures[0]["id"], "sparse/fig1");
    let info = text(&output(&["info"]).stdout);
    assert!(info.contains("CUDA: ") && info.contains("diagonal"), "{info}");
    let bench = output(&[
        "bench",
        "diagonal",
        "--n",
        "5",
        "--d",
        "9",
        "--dtype",
        "f64",
        "--steps",
        "1000",
        "--threads",
        "2",
        "--replicas",
        "4",
    ]);
    let bench: serde_json::Value = serde_json::from_slice(&bench.stdout).unwrap();
    assert!(bench["replica_steps_per_s"].as_f64().unwrap() > 0.0);
    let metric = output(&["bench", "mlp:3,4,1", "--metric", "ntk_rank@1e-4"]);
    let metric: serde_json::Value = serde_json::from_slice(&metric.stdout).unwrap();
    assert!(metric["value"].as_f64().unwrap() >= 1.0 && metric["median_s"].as_f64().unwrap() > 0.0, "{metric}");
    for (more, method) in
        [(["--replicas", "2"].as_slice(), "mlp"), (&["--composed"], "composed"), (&["--activation", "tanh"], "composed")]
    {
        let arguments = [&["bench", "mlp:3,4,1", "--n", "5", "--steps", "1000", "--clip", "1"], more].concat();
        let bench: serde_json::Value = serde_json::from_slice(&output(&arguments).stdout).unwrap();
        assert_eq!(bench["method"], method);
        assert!(bench["replica_steps_per_s"].as_f64().unwrap() > 0.0);
    }
    let gradients = output(&["gradcheck"]);
    assert_eq!(gradients.status.code(), Some(0));
    assert!(text(&gradients.stdout).contains(" 0 wrong"));
}

#[test]
fn verdicts_are_held_against_the_ledger() {
    use handgrad::claims::Verdict;
    let folder = tempfile::tempdir().unwrap();
    let known = handgrad::ledger::committed().unwrap().into_iter().next().unwrap();
    let run = |name: &str, verdict: Verdict, overrides: &[&str]| {
        let at = folder.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let claim = serde_json::json!({ "id": known.claim, "statement": "", "source": "", "verdict": verdict, "evidence": [] });
        let file = serde_json::json!({ "figure": known.figure, "scale": known.scale, "overrides": overrides, "claims": [claim] });
        std::fs::write(at.join("claims.json"), file.to_string()).unwrap();
        std::fs::write(at.join("meta.json"), r#"{"data": "digits", "threads": 2}"#).unwrap();
        at.to_str().unwrap().to_owned()
    };
    let other = if known.verdict == Verdict::Fails { Verdict::Holds } else { Verdict::Fails };
    let (same, differs) = (run("same", known.verdict, &[]), run("differs", other, &[]));
    let agreeing = output(&["verify", &same]);
    assert_eq!((agreeing.status.code(), agreeing.stderr.len()), (Some(0), 0), "{}", text(&agreeing.stderr));
    assert!(text(&agreeing.stdout).contains("as in the ledger\n1 claims, 0 verdicts differ"), "{}", text(&agreeing.stdout));
    let differing = output(&["verify", &same, &differs]);
    assert_eq!(differing.status.code(), Some(1));
    assert!(text(&differing.stdout).contains(&format!("the ledger says {}", known.verdict)), "{}", text(&differing.stdout));
    let written = folder.path().join("ledger.csv");
    let write = |date: &str| output(&["verify", &differs, "--date", date, "--write", written.to_str().unwrap()]);
    assert_eq!(write("2026-02-03").status.code(), Some(0));
    let line = format!("{},{},", known.figure, serde_json::to_string(&known.scale).unwrap().trim_matches('"'));
    assert!(std::fs::read_to_string(&written).unwrap().lines().any(|row| row.starts_with(&line) && row.ends_with("2026-02-03")));
    assert_eq!(write("tomorrow").status.code(), Some(2));

    refused(folder.path(), &["verify", &run("overridden", other, &["steps=3"])], "the run has overrides (steps=3)");
    refused(folder.path(), &["verify", "nothing"], "cannot read nothing/claims.json");
}

#[test]
fn operators_are_timed_alone() {
    let answer = |arguments: &[&str]| -> serde_json::Value {
        let output = output(&[&["bench"], arguments, &["--steps", "2"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let product = answer(&["gemm:5,7,3"]);
    assert!(product["forward"]["gflops"].as_f64().unwrap() > 0.0 && product.get("backward_data").is_none());
    let convolution = answer(&["conv:6,16,16", "--batch", "2", "--conv", "winograd2", "--dtype", "f64"]);
    for pass in ["forward", "backward_data", "backward_weight"] {
        assert!(convolution[pass]["ms"].as_f64().unwrap() > 0.0, "{convolution}");
    }
    let folder = tempfile::tempdir().unwrap();
    for precision in ["tf32", "f32x3"] {
        refused(
            folder.path(),
            &["bench", "gemm:5,7,3", "--precision", precision],
            &format!("precision {precision} was asked for on the CPU, expected f32; leave it out, or compute on a CUDA device"),
        );
    }
    refused(folder.path(), &["bench", "gemm:5,7"], "bench gemm:5,7: expected gemm:ROWS,COLUMNS,DEPTH");
    refused(folder.path(), &["bench", "conv:5,0,7"], "sizes from 1 to 1048576");
    refused(
        folder.path(),
        &["bench", "gemm:99999,99999,9"],
        "gemm:99999,99999,9: an array of 9999800001 numbers, expected at most",
    );
    refused(folder.path(), &["bench", "conv:99,9,9", "--batch", "99999"], "an array of 8820811791 numbers");
    refused(folder.path(), &["bench", "gemm:5,7,3", "--replicas", "2", "--threads", "1"], "an operator alone is timed");
}
