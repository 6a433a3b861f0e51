//! docs/operations.md says what is shipped.
use crate::read;

#[test]
fn every_right_that_is_shipped_has_its_row() {
    let page = read("docs/operations.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| CAP_")).collect();
    let values = read("deploy/kubernetes/memtrace/templates/_helpers.tpl");
    let of_chart = values.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned);
    let of_unit = crate::systemd::capabilities().into_iter().map(|name| name.to_uppercase());
    for name in of_chart.chain(of_unit) {
        assert!(rows.iter().any(|row| row.starts_with(&format!("| CAP_{name} "))), "CAP_{name} has no row");
    }
}

#[test]
fn what_it_calls_by_name_is_there() {
    let page = read("docs/operations.md");
    for path in page.split('`').filter(|word| word.starts_with("deploy/") && !word.contains([' ', '*'])) {
        let path = crate::root().join(path);
        assert!(path.exists(), "{}", path.display());
    }
}
