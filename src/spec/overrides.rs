//! `--set key=value` on a spec.

use serde_json::Value;

use super::{Spec, value};
use crate::error::{Error, Result, nearest, refuse};

impl Spec {
    /// Applies `key=value` overrides in order and lists them in the result.
    ///
    /// A key is a dotted path into spec.json. A path that does not start there but inside the runs, such as `schedule.peak`,
    /// is set in every run; `runs.NAME.schedule.peak` in one. `seed` stands for `seeds.own`. A list for a single value of a
    /// run makes a sweep: the run is there once per value, with the value in its name.
    ///
    /// # Errors
    /// If a key is unknown (the nearest one is named) or the value does not fit.
    pub fn with_overrides(&self, overrides: &[String]) -> Result<Spec> {
        let mut tree = serde_json::to_value(self).map_err(|error| Error::Input(format!("spec: {error}")))?;
        for text in overrides {
            let Some((key, value)) = text.split_once('=') else {
                return refuse!("--set {text}: expected key=value, as in --set schedule.peak=0.1");
            };
            let key = key.trim();
            let value = value::parse(value);
            set(&mut tree, if key == "seed" { "seeds.own" } else { key }, value, text)?;
            let spec: Spec = serde_json::from_value(tree)
                .map_err(|error| Error::Input(format!("--set {text}: the value does not fit: {error}")))?;
            tree = serde_json::to_value(spec).map_err(|error| Error::Input(format!("--set {text}: {error}")))?;
        }
        let mut spec: Spec = serde_json::from_value(tree).map_err(|error| Error::Input(format!("spec: {error}")))?;
        spec.overrides.extend(overrides.iter().cloned());
        Ok(spec)
    }
}

fn set(tree: &mut Value, key: &str, value: Value, text: &str) -> Result<()> {
    let path: Vec<&str> = key.split('.').collect();
    if tree.get(path[0]).is_none() {
        return set_in_runs(tree, None, &path, &value, text);
    }
    if path[0] == "runs" && path.len() > 1 {
        let names = run_names(tree);
        // A run's name may hold dots: take the longest name that the key continues.
        let rest = key.trim_start_matches("runs.");
        let name = names.iter().filter(|name| rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')));
        let Some(name) = name.max_by_key(|name| name.len()) else {
            if names.iter().any(|name| name == rest) {
                return refuse!("--set {text}: `{key}` needs a key of the run, as in {key}.steps");
            }
            let advice = nearest(path[1], names.iter().map(String::as_str));
            return refuse!("--set {text}: there is no run `{}`{advice}", path[1]);
        };
        let inner: Vec<&str> = rest[name.len() + 1..].split('.').collect();
        return set_in_runs(tree, Some(name), &inner, &value, text);
    }
    let place = descend(tree, &path, text)?;
    if is_single(place) && value.is_array() {
        return refuse!("--set {text}: `{key}` takes one value; only keys of the runs can be swept by a list");
    }
    *place = if place.is_array() && is_single(&value) { Value::Array(vec![value]) } else { value };
    Ok(())
}

/// Sets a key in one run or in all of them; a list for a single value replaces the run by one per value.
fn set_in_runs(tree: &mut Value, only: Option<&str>, path: &[&str], value: &Value, text: &str) -> Result<()> {
    let known = keys(tree);
    let runs = tree.get_mut("runs").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let mut result = Vec::with_capacity(runs.len());
    let mut found = false;
    for mut run in runs {
        // One run's own data or network starts from the spec's.
        if only.is_some_and(|name| run["name"] == name) && ["data", "net"].contains(&path[0]) && run.get(path[0]).is_none() {
            run[path[0]] = tree[path[0]].clone();
        }
        let matches = only.is_none_or(|name| run["name"] == name) && place(&mut run.clone(), path).is_some();
        if !matches {
            result.push(run);
            continue;
        }
        found = true;
        let single = place(&mut run.clone(), path).is_some_and(|place| is_single(place));
        let values: Vec<Value> = match value {
            Value::Array(values) if single && values.is_empty() => {
                return refuse!("--set {text}: an empty list leaves no value; give at least one");
            }
            Value::Array(values) if single => values.clone(),
            value => vec![value.clone()],
        };
        for one in &values {
            let mut run = run.clone();
            let suffix = format!("{}={}", path[path.len() - 1], one.to_string().trim_matches('"'));
            if values.len() > 1 {
                run["name"] = format!("{}@{suffix}", run["name"].as_str().unwrap_or_default()).into();
            }
            if is_single(one) {
                // The declared label may name what is no longer so.
                run["label"] = format!("{}, {suffix}", run["label"].as_str().unwrap_or_default()).into();
            }
            if let Some(place) = place(&mut run, path) {
                *place = one.clone();
            }
            result.push(run);
        }
    }
    tree["runs"] = Value::Array(result);
    if !found {
        let key = path.join(".");
        let within = only.map_or(String::new(), |name| format!(" in run `{name}`"));
        return refuse!("--set {text}: there is no key `{key}`{within}{}", nearest(&key, known.iter().map(String::as_str)));
    }
    Ok(())
}

fn run_names(tree: &Value) -> Vec<String> {
    let runs = tree["runs"].as_array();
    runs.into_iter().flatten().filter_map(|run| run["name"].as_str().map(str::to_owned)).collect()
}

fn is_single(place: &Value) -> bool {
    !place.is_array() && !place.is_object()
}

/// The value at a path, object by object.
fn place<'a>(tree: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |tree, key| tree.get_mut(*key))
}

fn descend<'a>(tree: &'a mut Value, path: &[&str], text: &str) -> Result<&'a mut Value> {
    let known = keys(tree);
    place(tree, path).ok_or_else(|| {
        let key = path.join(".");
        let advice = nearest(&key, known.iter().map(String::as_str));
        Error::Input(format!("--set {text}: there is no key `{key}`{advice}"))
    })
}

/// Every key that can be set: paths of the spec, and paths inside a run.
fn keys(tree: &Value) -> Vec<String> {
    fn walk(tree: &Value, prefix: &str, into: &mut Vec<String>) {
        for (key, value) in tree.as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            walk(value, &path, into);
            into.push(path);
        }
    }
    let mut known = vec!["seed".to_owned()];
    walk(tree, "", &mut known);
    for run in tree["runs"].as_array().into_iter().flatten() {
        walk(run, "", &mut known);
    }
    known
}
