//! Many figures compared at once, so that a failure shows all that differ.
use serde_json::Value;

/// Asserts that `actual` holds everything `expected` names; objects may hold more, everything else must be equal.
#[track_caller]
pub fn assert_json(actual: &Value, expected: &Value) {
    let found = differences(actual, expected);
    assert!(found.is_empty(), "\n  {}\nin {actual:#}", found.join("\n  "));
}

/// The paths where they differ, in words.
pub fn differences(actual: &Value, expected: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", actual, expected, &mut found);
    found
}

fn compare(path: &str, actual: &Value, expected: &Value, found: &mut Vec<String>) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (key, expected) in expected {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match actual.get(key) {
                    Some(actual) => compare(&path, actual, expected, found),
                    None => found.push(format!("{path}: absent, expected {expected}")),
                }
            }
        }
        _ if actual == expected => {}
        _ => found.push(format!("{path}: {actual}, expected {expected}{}", in_pages(actual, expected))),
    }
}

fn in_pages(actual: &Value, expected: &Value) -> String {
    let pages = |value: &Value| value.as_u64().filter(|bytes| *bytes >= 4096 || *bytes == 0).map(|bytes| bytes / 4096);
    match (pages(actual), pages(expected)) {
        (Some(actual), Some(expected)) => format!(" ({actual} pages, expected {expected})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_is_named() {
        let actual = json!({"a": {"b": 8192, "c": 1, "d": null}, "e": []});
        assert_eq!(differences(&actual, &json!({"a": {"b": 8192}, "e": []})), [""; 0]);
        assert_eq!(
            differences(&actual, &json!({"a": {"b": 4096, "d": 0}, "f": 1})),
            ["a.b: 8192, expected 4096 (2 pages, expected 1)", "a.d: null, expected 0", "f: absent, expected 1"]
        );
    }
}
