use super::*;

#[test]
fn every_error_is_one_line_with_the_sizes_and_what_to_do() {
    let ordinal = 1;
    for (error, line) in [
        (
            Error::Unavailable { ordinal, found: Probe::NoDriver },
            "cannot open CUDA device 1: no CUDA driver library (libcuda.so.1) found; \
             install an NVIDIA driver >= 580, or run on the CPU",
        ),
        (
            Error::NoSuchDevice { ordinal, count: 1 },
            "cannot open CUDA device 1: 1 found, so the ordinal must be below 1 \
             (CUDA_VISIBLE_DEVICES decides which devices are seen)",
        ),
        (
            Error::Driver { ordinal, operation: "open the device", code: 46, name: "NAME".to_owned() },
            "CUDA device 1: failed to open the device: error 46 (NAME); if that does not \
             explain it, look for an earlier kernel's fault with compute-sanitizer",
        ),
        (
            Error::OutOfMemory { ordinal, len: 5, element: "f32", bytes: 20, memory_bytes: 16 },
            "CUDA device 1: out of memory for a buffer of 5 x f32 = 20 bytes (the device has \
             16 in all); use a smaller batch or fewer replicas, or free memory held by other programs",
        ),
        (
            Error::TooLarge { len: 5, element: "f32" },
            "a buffer of 5 x f32 is larger than the address space; check the shape it comes from",
        ),
        (
            Error::Length { operation: "copy to the host", device: 3, host: 4 },
            "copy to the host: 3 elements on the device, 4 on the host; a copy needs equal lengths",
        ),
        (
            Error::Range { offset: 2, len: 3, within: 4 },
            "3 elements from offset 2 do not fit in 4 elements of device memory; check the layout",
        ),
        (
            Error::Recording { operation: "copy to the host" },
            "cannot copy to the host while a graph is recorded: do it before or after the recording",
        ),
        (
            Error::DeviceTooOld { ordinal, capability: (7, 5) },
            "CUDA device 1 has compute capability 7.5, the kernels need 8.0 or newer; run on the CPU",
        ),
        (
            Error::NoSuchCode { code: "mes".to_owned(), known: vec!["adam", "mse"] },
            "there is no device code `mes`; there is: adam, mse",
        ),
        (
            Error::NoCubin { code: "mse", arch: "sm_100".to_owned(), built_in: vec!["sm_80"], reason: "WHY".to_owned() },
            "no kernels of `mse` for sm_100: built in and up to date are sm_80, and no compiler: WHY",
        ),
        (
            Error::NoCubin { code: "mse", arch: "sm_100".to_owned(), built_in: vec![], reason: "WHY".to_owned() },
            "no kernels of `mse` for sm_100: built in and up to date is none, and no compiler: WHY",
        ),
        (
            Error::Compile {
                code: "mse".to_owned(),
                arch: "sm_80".to_owned(),
                log: "mse.cu(1): warning: x\nmse.cu(2): error: y\n1 error detected".to_owned(),
            },
            "`mse` does not compile for sm_80: mse.cu(2): error: y; correct its source",
        ),
        (
            Error::NoSuchKernel { code: "mse", kernel: "mse_f16".to_owned() },
            "`mse` has no kernel `mse_f16`; look for its name in mse.cu",
        ),
        (
            Error::ArgumentCount { kernel: "k".to_owned(), got: 2, expected: 3 },
            "k: launched with 2 arguments, expected 3; compare the launcher with the kernel's signature",
        ),
        (
            Error::ArgumentSize { kernel: "k".to_owned(), position: 1, got: 4, expected: 8 },
            "k: argument 1 (counted from 0) has 4 bytes, expected 8; compare the launcher with the kernel's signature",
        ),
        (
            Error::Launch { kernel: "k".to_owned(), what: "block.x", got: 2048, expected: "1 to 1024".to_owned() },
            "k: block.x is 2048, expected 1 to 1024; choose another grid, block or tile for this shape",
        ),
        (
            Error::TensorMap { what: "box[0]".to_owned(), got: 257, expected: "1 to 256".to_owned() },
            "tensor map: box[0] is 257, expected 1 to 256",
        ),
    ] {
        assert_eq!(error.to_string(), line);
    }
}
