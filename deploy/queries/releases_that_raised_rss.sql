-- Releases whose processes hold more RSS at their peak than those of the release before, of the same workload.
WITH peaks AS (
    SELECT workload, release, max(rss_bytes) AS peak, min(time) AS begun
    FROM recordings
    WHERE kind = 'sample' AND release IS NOT NULL
    GROUP BY workload, release, node, pid, start_time_ns
),
releases AS (
    SELECT workload, release, min(begun) AS first_seen, avg(peak) AS mean_peak, count(*) AS processes
    FROM peaks
    GROUP BY workload, release
),
ordered AS (
    SELECT *, row_number() OVER (PARTITION BY workload ORDER BY first_seen) AS nth
    FROM releases
)
SELECT
    later.workload AS workload,
    earlier.release AS release_before,
    later.release AS release_after,
    earlier.mean_peak AS bytes_before,
    later.mean_peak AS bytes_after,
    later.processes AS processes_after
FROM ordered AS later
JOIN ordered AS earlier ON earlier.workload = later.workload AND earlier.nth + 1 = later.nth
WHERE later.mean_peak > earlier.mean_peak * 1.1
ORDER BY later.mean_peak - earlier.mean_peak DESC, workload
LIMIT 20
