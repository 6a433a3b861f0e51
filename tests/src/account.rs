//! The loss identities.
use serde_json::Value;

const KERNEL: [&str; 6] = ["hits", "filtered", "summed", "submitted", "ring_full", "read_failed"];

#[track_caller]
fn number(json: &Value, field: &str) -> u64 {
    json[field].as_u64().unwrap_or_else(|| panic!("no count {field} in {json}"))
}

/// Both identities of a final line's account, program by program and in sum; every number is in the message.
#[track_caller]
pub fn assert_account(line: &Value) {
    let account = &line["account"];
    let programs = account["programs"].as_array().unwrap_or_else(|| panic!("no account in {line}"));
    let mut wrong = Vec::new();
    let mut sums = [0; KERNEL.len()];
    for program in programs {
        let counts = KERNEL.map(|field| number(program, field));
        let [hits, filtered, summed, submitted, ring_full, read_failed] = counts;
        if hits != filtered + summed + submitted + ring_full + read_failed {
            wrong.push(format!(
                "{}: hits {hits} != filtered {filtered} + summed {summed} + submitted {submitted} + ring_full {ring_full} \
                 + read_failed {read_failed}",
                program["name"]
            ));
        }
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    for (field, sum) in KERNEL.iter().zip(sums) {
        let total = number(account, field);
        if total != sum {
            wrong.push(format!("{field}: {total} in total, {sum} over the programs"));
        }
    }
    let [received, shed, decoded, decode_errors, lost] =
        ["received", "shed", "decoded", "decode_errors", "lost"].map(|field| number(account, field));
    let [.., submitted, ring_full, read_failed] = sums;
    if received != submitted {
        wrong.push(format!("submitted {submitted} != received {received}"));
    }
    if received != shed + decoded + decode_errors {
        wrong.push(format!("received {received} != shed {shed} + decoded {decoded} + decode_errors {decode_errors}"));
    }
    if lost != ring_full + read_failed + shed + decode_errors {
        wrong.push(format!(
            "lost {lost} != ring_full {ring_full} + read_failed {read_failed} + shed {shed} + decode_errors \
             {decode_errors}"
        ));
    }
    assert!(wrong.is_empty(), "the account does not add up:\n  {}\n{account:#}", wrong.join("\n  "));
}
