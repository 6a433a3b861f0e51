//! Sizes and durations as people type them.
use std::time::Duration;

/// `4096`, `64k`, `4MiB`, `1g`: powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("unknown unit in {text:?}: use k, m, g or t")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size, such as 64k or 4MiB"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

/// `15`, `15s`, `500ms`, `2m30s`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?,
        Err(_) => humantime::parse_duration(text).map_err(|e| format!("{text:?} is not a duration: {e}"))?,
    };
    if parsed.is_zero() { Err("must be longer than nothing".into()) } else { Ok(parsed) }
}

/// A ring: a power of two, at least one page.
pub(crate) fn parse_ring_bytes(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    let page = ::procfs::page_size();
    if !bytes.is_power_of_two() || bytes < page || bytes > 1 << 30 {
        return Err(format!("must be a power of two from {page} to 1g"));
    }
    u32::try_from(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("4096", 4096), ("64k", 65536), ("64K", 65536), ("4MiB", 4 << 20), ("1gb", 1 << 30)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1x", "-1", "99999999999g"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_humane() {
        assert_eq!(parse_duration("15"), Ok(Duration::from_secs(15)));
        assert_eq!(parse_duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m30s"), Ok(Duration::from_secs(150)));
        assert!(parse_duration("0").is_err() && parse_duration("-1").is_err() && parse_duration("soon").is_err());
    }

    #[test]
    fn rings_are_powers_of_two() {
        assert!(parse_ring_bytes("1m").is_ok());
        assert!(parse_ring_bytes("3m").is_err() && parse_ring_bytes("512").is_err() && parse_ring_bytes("8g").is_err());
    }
}
