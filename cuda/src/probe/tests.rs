use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use super::*;
use crate::{Context, Error};

const STARTS: &str = "int cuInit(unsigned flags) { return flags; }";
const SUPPORTS_13_0: &str = "int cuDriverGetVersion(int *version) { *version = 13000; return 0; }";

/// Runs an ignored test of this file in a process of its own, since a process keeps the first driver that it opened.
fn in_a_process(test: &str, variables: &[(&str, &OsStr)]) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("probe::tests::{test}"), "--ignored", "--nocapture"]);
    command.env_remove(emulated::VARIABLE).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn no_driver_is_found_exactly_where_there_is_no_library() {
    let output = in_a_process("without_a_library", &[]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "runs in a process of its own"]
fn without_a_library() {
    // SAFETY: as in `function`.
    let present = unsafe { sys::is_culib_present() };
    let found = probe();
    assert_eq!(found == Probe::NoDriver, !present, "{found}");
    if !matches!(found, Probe::Devices(_)) {
        let error = Context::new(3).unwrap_err();
        assert_eq!(error, Error::Unavailable { ordinal: 3, found });
        let text = error.to_string();
        assert!(text.starts_with("cannot open CUDA device 3: ") && text.ends_with(", or run on the CPU"), "{text}");
    }
}

#[test]
fn an_emulated_device_is_found_where_it_is_asked_for() {
    let says = |compiler: &str| {
        let output =
            in_a_process("report", &[(emulated::VARIABLE, "1".as_ref()), ("CXX", compiler.as_ref()), ("PATH", "".as_ref())]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = says("no-compiler-of-this-name");
    assert!(text.contains("no C++ compiler found") && text.contains("unset HANDGRAD_EMULATED"), "{text}");
}

#[test]
fn every_finding_is_one_line_that_says_what_to_do() {
    let name = "CUDA_ERROR_UNKNOWN".to_owned();
    let device =
        DeviceInfo { ordinal: 0, name: "NVIDIA H200".to_owned(), compute_capability: (9, 0), memory_bytes: 150_054_371_328 };
    let second = DeviceInfo { ordinal: 1, ..device.clone() };
    for (found, line) in [
        (
            Probe::NoDriver,
            "no CUDA driver library (libcuda.so.1) found: kernels run on the CPU; \
             install an NVIDIA driver >= 580 to use a GPU",
        ),
        (
            Probe::DriverIncomplete { function: "cuInit" },
            "the CUDA driver library found has no function cuInit: kernels run on the CPU; \
             put the libcuda.so.1 of an NVIDIA driver >= 580 first on LD_LIBRARY_PATH to use a GPU",
        ),
        (
            Probe::DriverTooOld { cuda: (12, 4) },
            "the CUDA driver supports CUDA 12.4, the kernels need 13.0: kernels run on the CPU; \
             install an NVIDIA driver >= 580 to use a GPU",
        ),
        (
            Probe::DriverError { code: 999, name },
            "the CUDA driver answers error 999 (CUDA_ERROR_UNKNOWN): kernels run on the CPU; \
             repair the driver (nvidia-smi shows whether it works) to use a GPU",
        ),
        (
            Probe::NoDevice,
            "the CUDA driver sees no device: kernels run on the CPU; make one visible \
             (nvidia-smi lists devices, CUDA_VISIBLE_DEVICES hides them) to use a GPU",
        ),
        (
            Probe::Devices(vec![device.clone()]),
            "1 CUDA device found: 0 = NVIDIA H200 (compute capability 9.0, 139.7 GiB); \
             choose one by its ordinal",
        ),
        (
            Probe::Devices(vec![device, second]),
            "2 CUDA devices found: 0 = NVIDIA H200 (compute capability 9.0, 139.7 GiB), \
             1 = NVIDIA H200 (compute capability 9.0, 139.7 GiB); choose one by its ordinal",
        ),
    ] {
        assert_eq!(found.to_string(), line);
    }
}

/// Libraries take the driver's place, each in a process of its own. Pairs of C source and what the report says of it.
#[test]
fn no_library_makes_the_probe_panic() {
    let refuses = |code: u32| format!("int cuInit(unsigned flags) {{ return {code}; }}");
    let named = "int cuGetErrorName(int code, const char **name) { *name = \"A_NAME\"; return 0; }";
    // Every function that is needed: those given, and for the others one that just succeeds.
    let complete = |given: &[&str]| {
        let given = given.join("\n");
        let others = ENTRY_POINTS.iter().filter(|name| !given.contains(&format!("{name}(")));
        others.map(|name| format!("int {name}(void) {{ return 0; }}\n")).collect::<String>() + &given
    };
    let two_devices = complete(&[
        STARTS,
        SUPPORTS_13_0,
        "int cuDeviceGetCount(int *count) { *count = 2; return 0; }",
        "int cuDeviceGet(int *device, int index) { *device = 70 + index; return 0; }",
        "int cuDeviceGetAttribute(int *value, int attribute, int device) \
         { *value = attribute == 75 ? 9 : device - 70; return device < 70; }",
        "int cuDeviceTotalMem_v2(unsigned long *bytes, int device) { *bytes = 3ul << 29; return 0; }",
        // A name that fills its space to the last byte, without an end.
        "int cuDeviceGetName(char *name, int len, int device) \
         { while (len) name[--len] = 'N'; return 0; }",
    ]);
    let device_name = "N".repeat(256);
    for (source, says) in [
        (String::new(), "has no function cuInit:"),
        (STARTS.to_owned(), "has no function cuDriverGetVersion:"),
        (refuses(100), "sees no device:"),
        (refuses(34), "error 34 (CUDA_ERROR_STUB_LIBRARY): kernels run on the CPU; take the"),
        (refuses(803) + named, "error 803 (A_NAME): kernels run on the CPU; reboot"),
        (refuses(803), "error 803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH):"),
        (refuses(123_456), "error 123456 (unnamed):"),
        (
            STARTS.to_owned() + "int cuDriverGetVersion(int *v) { *v = 12040; return 0; }",
            "supports CUDA 12.4, the kernels need 13.0:",
        ),
        (STARTS.to_owned() + SUPPORTS_13_0, "has no function cuCtxGetCurrent:"),
        (complete(&[STARTS, SUPPORTS_13_0]), "sees no device:"),
        (complete(&[STARTS, SUPPORTS_13_0, "int cuDeviceGetCount(int *n) { return 999; }"]), "error 999 (unnamed):"),
        (two_devices, &format!("0 = {device_name} (compute capability 9.0, 1.5 GiB), 1 = ")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        if !compile(&source, folder.path()) {
            println!("SKIP: no C compiler `cc`");
            return;
        }
        let report = in_a_process("report", &[("LD_LIBRARY_PATH", folder.path().as_os_str())]);
        let text = String::from_utf8_lossy(&report.stdout);
        assert!(
            report.status.success() && text.contains(says) && text.contains("cannot open CUDA device 18446744073709551615: "),
            "{source}\n{says}\n{report:?}"
        );
    }
}

/// Builds `source` under the first name that the bindings try, ahead of a real driver's.
fn compile(source: &str, folder: &Path) -> bool {
    let file = folder.join("driver.c");
    fs::write(&file, source).unwrap();
    let library = folder.join("libcuda.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(file).status();
    compiled.is_ok_and(|status| {
        assert!(status.success(), "{source}");
        true
    })
}

#[test]
#[ignore = "runs in processes of its own"]
fn report() {
    println!("{}", probe());
    println!("{}", Context::new(usize::MAX).unwrap_err());
}
