//! A network's parameters and running statistics as a safetensors file, by PyTorch's names and layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use handgrad_kernels::{Dtype, Real};
use safetensors::tensor::{Dtype as Kind, SafeTensors, TensorView};

use super::{Net, Parameter};
use crate::error::{Error, Result, refuse};

/// Parameters and running statistics in f64, as [`Net::parameters`] and [`Net::named_statistics`] lay them out.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict {
    /// Parameters.
    pub params: Vec<f64>,
    /// Running statistics.
    pub statistics: Vec<f64>,
}

/// How many names an error lists.
const LISTED: usize = 6;

impl StateDict {
    /// Reads a file of f32 or f64 tensors. Weights of convolutions are k x c x size x size there; torchvision's names (`downsample`,
    /// `fc`) and a `module.` prefix are understood, `num_batches_tracked` is passed over.
    ///
    /// # Errors
    /// If the file cannot be read, a tensor is missing, superfluous, of another shape or type, or holds what is not finite.
    pub fn read<T: Real>(path: &Path, net: &Net<T>) -> Result<StateDict> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let at = path.display();
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            Error::Input(format!("{at}: not a safetensors file ({error}); write it with safetensors.torch.save_file"))
        })?;
        let mut given: BTreeMap<String, TensorView<'_>> = BTreeMap::new();
        for (name, tensor) in tensors.tensors() {
            let known = our_name(&name);
            if !name.ends_with("num_batches_tracked") && given.insert(known.clone(), tensor).is_some() {
                return refuse!("{at}: `{name}` and another tensor are both `{known}` here; keep one");
            }
        }
        let (parameters, statistics) = (net.parameters(), net.named_statistics());
        let wanted: BTreeSet<&str> = parameters.iter().chain(&statistics).map(|parameter| parameter.name.as_str()).collect();
        let missing: Vec<&str> = wanted.iter().copied().filter(|&name| !given.contains_key(name)).collect();
        let unexpected: Vec<&str> = given.keys().map(String::as_str).filter(|name| !wanted.contains(name)).collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return refuse!(
                "{at}: missing {}, unexpected {}; take the state dict of this network",
                listed(&missing),
                listed(&unexpected)
            );
        }
        let all = |parameters: &[Parameter]| -> Result<Vec<f64>> {
            let mut values = Vec::new();
            for parameter in parameters {
                values.extend(numbers(path, parameter, &given[&parameter.name])?);
            }
            Ok(values)
        };
        Ok(StateDict { params: all(&parameters)?, statistics: all(&statistics)? })
    }

    /// Writes one tensor per parameter and statistic, in the network's number type; the file appears as a whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write<T: Real>(&self, path: &Path, net: &Net<T>) -> Result<()> {
        write(path, [(net.parameters(), of_type::<T>(&self.params)), (net.named_statistics(), of_type(&self.statistics))])
    }
}

/// Writes a gradient by the names of the parameters, as [`StateDict::write`] does.
///
/// # Errors
/// If it cannot be written.
pub fn write_gradients<T: Real>(path: &Path, net: &Net<T>, gradient: &[T]) -> Result<()> {
    write(path, [(net.parameters(), gradient.to_vec())])
}

fn of_type<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

fn write<T: Real>(path: &Path, groups: impl IntoIterator<Item = (Vec<Parameter>, Vec<T>)>) -> Result<()> {
    let kind = if T::DTYPE == Dtype::F32 { Kind::F32 } else { Kind::F64 };
    let tensors: Vec<(Parameter, Vec<T>)> = groups
        .into_iter()
        .flat_map(|(parameters, values)| {
            let tensor = move |parameter: Parameter| {
                let values = to_pytorch(&parameter, &values[parameter.range.clone()]);
                (parameter, values)
            };
            parameters.into_iter().map(tensor)
        })
        .collect();
    let failed = |error: safetensors::SafeTensorError| Error::io("write", path)(std::io::Error::other(error.to_string()));
    let views = tensors
        .iter()
        .map(|(parameter, values)| {
            let view = TensorView::new(kind, pytorch_shape(parameter), bytemuck::cast_slice(values));
            Ok((&parameter.name, view.map_err(failed)?))
        })
        .collect::<Result<Vec<_>>>()?;
    crate::run::replace(path, &safetensors::serialize(views, None).map_err(failed)?)
}

/// A name of PyTorch's common implementations as this crate has it.
fn our_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    match name.strip_prefix("fc.") {
        Some(rest) => format!("linear.{rest}"),
        None => name.replace(".downsample.", ".shortcut."),
    }
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => "nothing".to_owned(),
        all if all > LISTED => format!("{} and {} more", names[..LISTED].join(", "), all - LISTED),
        _ => names.join(", "),
    }
}

/// A tensor's numbers, laid out as the network has them.
fn numbers(path: &Path, parameter: &Parameter, tensor: &TensorView<'_>) -> Result<Vec<f64>> {
    let (at, name, shape) = (path.display(), &parameter.name, pytorch_shape(parameter));
    if tensor.shape() != shape {
        return refuse!("{at}: `{name}` has shape {:?}, expected {shape:?}; take the state dict of this network", tensor.shape());
    }
    let values: Vec<f64> = match tensor.dtype() {
        Kind::F32 => bytemuck::allocation::pod_collect_to_vec::<u8, f32>(tensor.data()).into_iter().map(f64::from).collect(),
        Kind::F64 => bytemuck::allocation::pod_collect_to_vec(tensor.data()),
        kind => return refuse!("{at}: `{name}` is of type {kind:?}, expected F32 or F64; convert it with .float()"),
    };
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        let value = values[position];
        return refuse!("{at}: `{name}` holds {value} at flat position {position}, expected finite numbers");
    }
    Ok(from_pytorch(parameter, &values))
}

/// Sizes as PyTorch has them: k x c x size x size for a convolution.
fn pytorch_shape(parameter: &Parameter) -> Vec<usize> {
    match parameter.shape[..] {
        [k, rows, columns, c] => vec![k, c, rows, columns],
        _ => parameter.shape.clone(),
    }
}

/// k x c x taps from k x taps x c.
fn to_pytorch<T: Real>(parameter: &Parameter, values: &[T]) -> Vec<T> {
    match parameter.shape[..] {
        [_, rows, columns, c] => transposed(values, rows * columns, c),
        _ => values.to_vec(),
    }
}

/// k x taps x c from k x c x taps.
fn from_pytorch(parameter: &Parameter, values: &[f64]) -> Vec<f64> {
    match parameter.shape[..] {
        [_, rows, columns, c] => transposed(values, c, rows * columns),
        _ => values.to_vec(),
    }
}

/// Every consecutive matrix of rows x columns, transposed.
fn transposed<T: Real>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let matrices = values.chunks_exact(rows * columns);
    matrices
        .flat_map(|matrix| (0..columns).flat_map(move |column| (0..rows).map(move |row| matrix[row * columns + column])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Architecture, Resnet};
    use crate::spec::Seed;

    fn net() -> (Net<f32>, StateDict) {
        let resnet = Resnet { depth: 18, width: 2, classes: 3, image: [8, 8, 3], preactivation: false };
        let net = resnet.net::<f32>().unwrap();
        let params = Architecture::Resnet(resnet).initial(192, Seed::Own(4));
        let params = params.into_iter().map(|value| f64::from(value as f32)).collect();
        let statistics = (0..net.statistics()).map(|at| at as f64).collect();
        (net, StateDict { params, statistics })
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (net, dict) = net();
        dict.write(&path, &net).unwrap();
        assert_eq!(StateDict::read(&path, &net).unwrap(), dict);
        // A convolution's weights in PyTorch's layout.
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let stem = tensors.tensor("conv1.weight").unwrap();
        assert_eq!(stem.shape(), [2, 3, 3, 3]);
        let values: Vec<f32> = bytemuck::allocation::pod_collect_to_vec(stem.data());
        // [k = 1, c = 2, row 0, column 1] is [1, 0, 1, 2] here.
        assert_eq!(f64::from(values[27 + 18 + 1]), dict.params[27 + 3 + 2]);
    }

    #[test]
    fn other_names_are_understood_and_wrong_ones_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (net, dict) = net();
        dict.write(&path, &net).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let renamed = |rename: &dyn Fn(&str) -> Option<String>| {
            let named: Vec<(String, TensorView<'_>)> =
                tensors.tensors().into_iter().filter_map(|(name, tensor)| Some((rename(&name)?, tensor))).collect();
            std::fs::write(&path, safetensors::serialize(named, None).unwrap()).unwrap();
            StateDict::read(&path, &net)
        };
        let torchvision =
            |name: &str| Some(format!("module.{}", name.replace(".shortcut.", ".downsample.").replace("linear.", "fc.")));
        assert_eq!(renamed(&torchvision).unwrap(), dict);
        let line = renamed(&|name| if name == "bn1.bias" { Some("bn1.offset".into()) } else { Some(name.into()) }).unwrap_err();
        assert!(line.to_string().contains("missing bn1.bias, unexpected bn1.offset"), "{line}");
        let line = renamed(&|name| (!name.starts_with("layer")).then(|| name.to_owned())).unwrap_err().to_string();
        assert!(line.contains("layer1.0.bn1.bias") && line.contains("more, unexpected nothing"), "{line}");
        let line = renamed(&|name| Some(if name.starts_with("module.") { name.to_owned() } else { format!("x.{name}") }));
        assert!(line.unwrap_err().to_string().contains("unexpected x."));
        std::fs::write(&path, b"not a file").unwrap();
        assert!(StateDict::read(&path, &net).unwrap_err().to_string().contains("not a safetensors file"));
    }
}
