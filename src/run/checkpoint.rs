//! A group's state and what it has measured so far, in one safetensors file that is replaced as a whole.

use std::collections::HashMap;
use std::path::Path;

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
    /// Writes beside `path`, then renames: a reader sees the old file or the new one, never a part.
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
        super::folder::replace(path, &bytes)
    }

    /// The checkpoint at `path`, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, belongs to other seeds, or was computed with another instruction set or device, whose bits differ.
    pub fn read(path: &Path, cx: &Context, seeds: &[Seed]) -> Result<Option<Checkpoint<T>>> {
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
                if variant == "cuda" { "--device cuda".to_owned() } else { format!("HANDGRAD_ISA={variant}") }
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
        let read = Checkpoint::<f32>::read(&path, &cx, &state().seeds).unwrap().unwrap();
        assert_eq!(read.state, state());
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.table), bits(&table));
        assert_eq!(read.state.params[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cx) = (folder.path().join("a.safetensors"), Context::cpu().unwrap());
        assert_eq!(Checkpoint::<f32>::read(&path, &cx, &state().seeds).unwrap(), None);
        Checkpoint::write(&path, &cx, &state(), &[]).unwrap();
        let line = |result: Result<Option<Checkpoint<f32>>>| result.unwrap_err().to_string();
        assert!(line(Checkpoint::read(&path, &cx, &[Seed::Own(1)])).contains("it is of other seeds"));
        if cx.isa() != Isa::Scalar {
            let scalar = Context::cpu_with(Isa::Scalar).unwrap();
            assert!(line(Checkpoint::read(&path, &scalar, &state().seeds)).contains("continue with HANDGRAD_ISA="));
        }
        std::fs::write(&path, b"half a che").unwrap();
        assert!(line(Checkpoint::read(&path, &cx, &state().seeds)).contains("not a checkpoint"));
    }
}
