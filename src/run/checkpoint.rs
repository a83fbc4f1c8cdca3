//! A group's state and what it has measured so far, in one safetensors file that is replaced as a whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use handgrad_kernels::{Context, Dtype, Real};
use safetensors::tensor::{Dtype as Kind, SafeTensors, TensorView};

use crate::error::{Error, Result, refuse};
use crate::spec::Seed;
use crate::state::State;

/// What a checkpoint file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<T> {
    /// Where training stands.
    pub state: State<T>,
    /// Measurements so far: points x replicas x metrics.
    pub table: Vec<f64>,
}

impl<T: Real> Checkpoint<T> {
    /// Writes beside `path`, then renames: a reader sees the old file or the new one, never a part. The file before it stays,
    /// as `<name>.previous.safetensors`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(path: &Path, cx: &Context, state: &State<T>, table: &[f64]) -> Result<()> {
        let kind = match T::DTYPE {
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
        };
        let failed = |error: safetensors::SafeTensorError| Error::io("write", path)(std::io::Error::other(error.to_string()));
        let arrays: [(&str, Kind, usize, &[u8]); 5] = [
            ("params", kind, state.params.len(), bytemuck::cast_slice(&state.params)),
            ("average", kind, state.average.len(), bytemuck::cast_slice(&state.average)),
            ("statistics", kind, state.statistics.len(), bytemuck::cast_slice(&state.statistics)),
            ("memory", kind, state.memory.len(), bytemuck::cast_slice(&state.memory)),
            ("table", Kind::F64, table.len(), bytemuck::cast_slice(table)),
        ];
        let views = arrays
            .into_iter()
            .map(|(name, kind, len, bytes)| Ok((name, TensorView::new(kind, vec![len], bytes).map_err(failed)?)))
            .collect::<Result<Vec<_>>>()?;
        let json = |value: serde_json::Result<String>| value.map_err(|error| Error::io("write", path)(error.into()));
        let header = HashMap::from([
            ("step".to_owned(), state.step.to_string()),
            ("seeds".to_owned(), json(serde_json::to_string(&state.seeds))?),
            ("diverged".to_owned(), json(serde_json::to_string(&state.diverged))?),
            ("variant".to_owned(), cx.variant().to_owned()),
        ]);
        let bytes = safetensors::serialize(views, Some(header)).map_err(failed)?;
        if path.exists() {
            let previous = previous(path);
            std::fs::rename(path, &previous).map_err(Error::io("rename", path))?;
        }
        super::folder::replace(path, &bytes)
    }

    /// The checkpoint at `path`, if there is one. If it is damaged or missing, the one before it; `note` is told so in a line.
    ///
    /// # Errors
    /// If neither can be read, or it belongs to other seeds, or was computed with another instruction set or device, whose bits
    /// differ.
    pub fn read(path: &Path, cx: &Context, seeds: &[Seed], note: &dyn Fn(&str)) -> Result<Option<Checkpoint<T>>> {
        let last = Checkpoint::read_one(path, cx, seeds);
        if matches!(last, Ok(Some(_))) || !previous(path).exists() {
            return last;
        }
        let why = last.err().map_or_else(|| format!("{}: not there", path.display()), |error| error.to_string());
        match Checkpoint::read_one(&previous(path), cx, seeds)? {
            Some(before) => {
                note(&format!("{why}; continuing from the checkpoint before it, of step {}", before.state.step));
                Ok(Some(before))
            }
            None => Ok(None),
        }
    }

    fn read_one(path: &Path, cx: &Context, seeds: &[Seed]) -> Result<Option<Checkpoint<T>>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let at = path.display();
        let broken = |why: &dyn std::fmt::Display| {
            Error::Input(format!("{at}: not a checkpoint ({why}); delete it to start its group anew"))
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(&error))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| broken(&error))?;
        let header = metadata.metadata().as_ref().ok_or_else(|| broken(&"it has no header"))?;
        let entry = |name: &str| header.get(name).ok_or_else(|| broken(&format!("`{name}` is missing")));
        let variant = entry("variant")?;
        if variant != cx.variant() {
            return refuse!(
                "{at}: computed with {variant}, this process uses {}; continue with {}, or start anew elsewhere",
                cx.variant(),
                how_to_have(variant)
            );
        }
        let numbers = |name: &str| tensors.tensor(name).map(|tensor| tensor.data().to_vec()).map_err(|error| broken(&error));
        let state = State {
            step: entry("step")?.parse().map_err(|error| broken(&error))?,
            seeds: serde_json::from_str(entry("seeds")?).map_err(|error| broken(&error))?,
            diverged: serde_json::from_str(entry("diverged")?).map_err(|error| broken(&error))?,
            params: bytemuck::allocation::pod_collect_to_vec(&numbers("params")?),
            average: bytemuck::allocation::pod_collect_to_vec(&numbers("average")?),
            statistics: bytemuck::allocation::pod_collect_to_vec(&numbers("statistics")?),
            memory: bytemuck::allocation::pod_collect_to_vec(&numbers("memory")?),
        };
        if state.seeds != seeds {
            return Err(broken(&"it is of other seeds"));
        }
        Ok(Some(Checkpoint { state, table: bytemuck::allocation::pod_collect_to_vec(&numbers("table")?) }))
    }
}

/// Where the checkpoint before the one at a path is.
fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.safetensors")
}

/// What makes a process compute with this variant, one of [`Context::variant`].
fn how_to_have(variant: &str) -> String {
    match variant.split_once('-') {
        Some(("cuda", precision)) => format!("--device cuda --precision {precision}"),
        Some((isa, conv)) => format!("HANDGRAD_ISA={isa} and --conv {conv}"),
        None if variant == "cuda" => "--device cuda".to_owned(),
        None => format!("HANDGRAD_ISA={variant}"),
    }
}

#[cfg(test)]
mod tests {
    use handgrad_kernels::Isa;

    use super::*;

    fn state() -> State<f32> {
        let seeds = vec![Seed::Paper, Seed::Own(7)];
        State {
            step: 12,
            seeds,
            diverged: vec![None, Some(3)],
            params: vec![0.1, -0.0, f32::MIN_POSITIVE, 1e30],
            average: vec![],
            statistics: vec![-0.0, 1e-41],
            memory: vec![0.5, -0.0, 1e-40, 3.0],
        }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cx) = (folder.path().join("a.safetensors"), Context::cpu().unwrap());
        let table = [0.1, f64::NAN, -0.0, 1e-300];
        Checkpoint::write(&path, &cx, &state(), &table).unwrap();
        let read = Checkpoint::<f32>::read(&path, &cx, &state().seeds, &|_| {}).unwrap().unwrap();
        assert_eq!(read.state, state());
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.table), bits(&table));
        assert_eq!(read.state.params[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_gives_way_to_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cx) = (folder.path().join("a.safetensors"), Context::cpu().unwrap());
        let later = State { step: 20, ..state() };
        Checkpoint::write(&path, &cx, &state(), &[1.0]).unwrap();
        Checkpoint::write(&path, &cx, &later, &[1.0, 2.0]).unwrap();
        let notes = std::cell::RefCell::new(Vec::new());
        let read = || Checkpoint::<f32>::read(&path, &cx, &state().seeds, &|line| notes.borrow_mut().push(line.to_owned()));
        assert_eq!(read().unwrap().unwrap().state, later);
        assert!(notes.borrow().is_empty());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let before = read().unwrap().unwrap();
            assert_eq!((before.state, before.table), (state(), vec![1.0]), "cut at {cut}");
        }
        assert_eq!(notes.borrow().len(), whole.len());
        assert!(notes.borrow()[0].contains("continuing from the checkpoint before it, of step 12"), "{}", notes.borrow()[0]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read().unwrap().unwrap().state, state());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cx) = (folder.path().join("a.safetensors"), Context::cpu().unwrap());
        assert_eq!(Checkpoint::<f32>::read(&path, &cx, &state().seeds, &|_| {}).unwrap(), None);
        Checkpoint::write(&path, &cx, &state(), &[]).unwrap();
        let line = |result: Result<Option<Checkpoint<f32>>>| result.unwrap_err().to_string();
        assert!(line(Checkpoint::read(&path, &cx, &[Seed::Own(1)], &|_| {})).contains("it is of other seeds"));
        if cx.isa() != Isa::Scalar {
            let scalar = Context::cpu_with(Isa::Scalar).unwrap();
            assert!(line(Checkpoint::read(&path, &scalar, &state().seeds, &|_| {})).contains("continue with HANDGRAD_ISA="));
        }
        std::fs::write(&path, b"half a che").unwrap();
        assert!(line(Checkpoint::read(&path, &cx, &state().seeds, &|_| {})).contains("not a checkpoint"));
    }

    #[test]
    fn every_kind_of_variant_is_told_how_to_be_had() {
        for (variant, flags) in [
            ("avx512", "HANDGRAD_ISA=avx512"),
            ("avx2-winograd4", "HANDGRAD_ISA=avx2 and --conv winograd4"),
            ("cuda", "--device cuda"),
            ("cuda-tf32", "--device cuda --precision tf32"),
            ("cuda-f32x3", "--device cuda --precision f32x3"),
        ] {
            assert_eq!(how_to_have(variant), flags);
        }
    }
}
