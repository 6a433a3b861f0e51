//! Two files, key by key.
use super::{ABOUT, File, table_of};

/// What counts at once when the file is read again; the rest counts at the next start.
const LIVE: &[(&str, &[&str])] = &[
    ("targets", &["allow", "deny"]),
    ("limits", &["cpu_percent", "max_rss_bytes", "max_open_files"]),
    ("dossiers", &["max_bytes", "triggers", "headroom_percent"]),
    (
        "black_box",
        &["fine_interval", "burst_headroom_percent", "burst_time_to_full", "closeup_headroom_percent", "max_processes"],
    ),
];

impl File {
    /// The keys that another has a different value of, as `table.key`: those that count at once, and the others.
    pub fn changes(&self, other: &File) -> (Vec<String>, Vec<String>) {
        let [before, after] = [self, other].map(|file| toml::Table::try_from(file).unwrap_or_default());
        let keys = ABOUT.iter().flat_map(|(table, keys)| keys.iter().map(move |(key, _)| (*table, *key)));
        let is_changed = |(table, key): &(&str, &str)| {
            let [before, after] = [&before, &after].map(|file| table_of(file, table).and_then(|table| table.get(*key)));
            before != after
        };
        let is_live = |(table, key): &(&str, &str)| LIVE.iter().any(|(of, live)| of == table && live.contains(key));
        let (live, later): (Vec<_>, Vec<_>) = keys.filter(is_changed).partition(is_live);
        let names = |of: Vec<(&str, &str)>| {
            let mut names: Vec<String> = of.iter().map(|(table, key)| format!("{table}.{key}")).collect();
            names.sort();
            names
        };
        (names(live), names(later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_at_once_is_told_from_what_does_not() {
        let of = |text: &str| File::parse(text).unwrap();
        let (live, later) = of("").changes(&of(
            "[targets]\ndeny = [\"pod=x\"]\n[http]\nlisten = \"127.0.0.1:1\"\n[black_box]\nmax_processes = 7\n",
        ));
        assert_eq!(
            (live, later),
            (vec!["black_box.max_processes".into(), "targets.deny".into()], vec!["http.listen".into()])
        );
        assert_eq!(of("").changes(&of("[limits]\ncpu_percent = 5\n")), (vec![], vec![]));
        let later = of("").changes(&of("[recording.upload]\nurl = \"s3://b\"\n")).1;
        assert_eq!(later, ["recording.upload.url"]);
    }

    #[test]
    fn every_key_that_counts_at_once_is_one() {
        let table = toml::Table::try_from(File::default()).unwrap();
        for (name, keys) in LIVE {
            keys.iter().for_each(|key| assert!(table[*name].get(*key).is_some(), "{name}.{key}"));
        }
    }
}
