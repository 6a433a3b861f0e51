-- Workloads by the largest gap between RSS and Go's heap in use, by the newest sample of each process.
WITH newest AS (
    SELECT
        workload,
        rss_bytes - heap_inuse_bytes AS gap,
        row_number() OVER (PARTITION BY node, pid, start_time_ns ORDER BY time DESC) AS age
    FROM recordings
    WHERE kind = 'sample' AND rss_bytes IS NOT NULL AND heap_inuse_bytes IS NOT NULL
)
SELECT workload, count(*) AS processes, max(gap) AS worst_gap_bytes, sum(gap) AS all_gaps_bytes
FROM newest
WHERE age = 1
GROUP BY workload
ORDER BY worst_gap_bytes DESC, workload
LIMIT 20
