use super::*;

const KERNEL: &str = r#"
#include "twice.cuh"
extern "C" __global__ void double_f32(float* values, unsigned int n) {
    unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) values[i] = twice(values[i]);
}
"#;
const HEADERS: [(&str, &str); 1] = [("twice.cuh", "__device__ inline float twice(float x) { return 2.0f * x; }")];

fn nvrtc_or_skip() -> Option<Nvrtc> {
    match Nvrtc::open() {
        Ok(nvrtc) => Some(nvrtc),
        Err(reason) => {
            crate::testing::skip("nvrtc", &reason.to_string());
            None
        }
    }
}

#[test]
fn source_and_header_become_a_cubin_that_is_the_same_again() {
    let Some(nvrtc) = nvrtc_or_skip() else {
        return;
    };
    assert!(nvrtc.version().0 >= 12, "{:?}", nvrtc.version());
    for arch in Arch::BUILT_IN {
        let cubin = nvrtc.compile_source("double.cu", KERNEL, &HEADERS, arch).unwrap();
        assert!(cubin.starts_with(b"\x7fELF"));
        assert!(cubin.windows(10).any(|name| name == b"double_f32"));
        assert_eq!(cubin, nvrtc.compile_source("double.cu", KERNEL, &HEADERS, arch).unwrap());
    }
}

#[test]
fn a_mistake_in_the_source_is_shown_with_its_line() {
    let Some(nvrtc) = nvrtc_or_skip() else {
        return;
    };
    let [arch, _] = Arch::BUILT_IN;
    let error =
        nvrtc.compile_source("double.cu", &KERNEL.replace("twice(v", "thrice(v"), &HEADERS, arch).unwrap_err().to_string();
    assert!(
        error.starts_with("`double` does not compile for sm_80: double.cu(5): error: ") && error.contains("thrice"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    let error = nvrtc.compile_source("double.cu", KERNEL, &[], arch).unwrap_err().to_string();
    assert!(error.contains("twice.cuh"), "{error}");
    let error = nvrtc.compile_source("double.cu", "\0", &[], arch).unwrap_err().to_string();
    assert!(error.contains("a zero byte in the source"), "{error}");
}

#[test]
fn a_folder_without_the_library_is_a_reason_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let reason = open_in(folder.path()).unwrap_err();
    assert!(reason.starts_with("HANDGRAD_NVRTC_DIR: ") && reason.contains(" has no libnvrtc-builtins.so.*; install"), "{reason}");
    for file in ["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"] {
        fs::write(folder.path().join(file), "no library").unwrap();
    }
    let reason = open_in(folder.path()).unwrap_err();
    assert!(reason.contains("libnvrtc-builtins.so.13.0 cannot be opened: "), "{reason}");
    assert!(open_in(Path::new("/nonexistent")).is_err());
}
