//! The right-hand side of `--set key=value`.

use serde_json::Value;

/// Numbers (also `.1` and `-3`), `a..b` (a, a+1, ..., b-1), `[a, b, ...]`, `true`, `false`, `null`, JSON objects; all else is text.
pub(super) fn parse(text: &str) -> Value {
    let text = text.trim();
    if let Some(value) = range(text).or_else(|| list(text)).or_else(|| number(text)) {
        return value;
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Object(_) | Value::String(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// A longer range is a typing error, and its list would not fit in memory.
const LONGEST_RANGE: u64 = 1_000_000;

fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    let plain = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number = text.parse::<f64>().ok().filter(|_| plain)?;
    // 1e5 steps are as good as 100000.
    if text.contains(['e', 'E']) && number >= 1.0 && number <= 2f64.powi(53) && number.fract() == 0.0 {
        return Some((number as u64).into());
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn range(text: &str) -> Option<Value> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
    (from <= to && to - from <= LONGEST_RANGE).then(|| (from..to).collect())
}

fn list(text: &str) -> Option<Value> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    if inner.contains(['[', '{', '"']) {
        return serde_json::from_str(text).ok();
    }
    Some(inner.split(',').filter(|item| !item.trim().is_empty()).map(parse).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn values_parse_as_written() {
        for (text, want) in [
            ("3", json!(3)),
            ("-0.5", json!(-0.5)),
            (".1", json!(0.1)),
            ("1e-3", json!(1e-3)),
            ("1e5", json!(100_000)),
            ("8..0", json!("8..0")),
            ("[.1,.2]", json!([0.1, 0.2])),
            ("[0..3, 7]", json!([[0, 1, 2], 7])),
            ("0..8", json!([0, 1, 2, 3, 4, 5, 6, 7])),
            ("true", json!(true)),
            ("null", json!(null)),
            ("sgd", json!("sgd")),
            ("infinity", json!("infinity")),
            (r#"{"kind":"constant","peak":0.1}"#, json!({"kind": "constant", "peak": 0.1})),
            (r#"[{"at":0.5,"divide":2}]"#, json!([{"at": 0.5, "divide": 2}])),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
