-- Workloads whose returned memory came straight back: given back to the kernel for nothing. By the last ledger of each process.
WITH last_ledger AS (
    SELECT
        workload,
        returned_bytes,
        refaulted_bytes,
        row_number() OVER (PARTITION BY node, pid, start_time_ns ORDER BY time DESC) AS age
    FROM recordings
    WHERE kind = 'ledger' AND returned_bytes > 0
)
SELECT
    workload,
    sum(returned_bytes) AS returned,
    sum(refaulted_bytes) AS refaulted,
    sum(refaulted_bytes) / sum(returned_bytes) AS refaulted_ratio
FROM last_ledger
WHERE age = 1
GROUP BY workload
ORDER BY refaulted_ratio DESC, workload
LIMIT 20
