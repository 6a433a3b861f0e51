use crate::procfs::psi::{Pressure, Stall};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct PressureJson {
    some: StallJson,
    full: Option<StallJson>,
}

#[derive(Serialize)]
struct StallJson {
    avg10_percent: f64,
    avg60_percent: f64,
    avg300_percent: f64,
    total_ns: u64,
}

impl PressureJson {
    pub(crate) fn of(pressure: &Pressure) -> Self {
        Self { some: StallJson::of(&pressure.some), full: pressure.full.as_ref().map(StallJson::of) }
    }
}

impl StallJson {
    fn of(stall: &Stall) -> Self {
        let Stall { avg10_percent, avg60_percent, avg300_percent, total_ns } = *stall;
        Self { avg10_percent, avg60_percent, avg300_percent, total_ns }
    }
}
