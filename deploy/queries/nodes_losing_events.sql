-- Nodes where memtrace lost events or dropped rows of its recording. Its counters start again with it: the highest count of
-- each probe is that of its longest run.
WITH highest AS (
    SELECT
        node,
        probe,
        max(coalesce(ring_full, 0) + coalesce(read_failed, 0)) AS in_kernel,
        max(coalesce(shed, 0) + coalesce(decode_errors, 0)) AS in_user_space,
        max(coalesce(dropped_rows, 0)) AS dropped
    FROM recordings
    WHERE kind = 'account'
    GROUP BY node, probe
)
SELECT
    node,
    sum(in_kernel) AS lost_in_kernel,
    sum(in_user_space) AS lost_in_user_space,
    sum(dropped) AS rows_not_recorded
FROM highest
GROUP BY node
HAVING sum(in_kernel) + sum(in_user_space) + sum(dropped) > 0
ORDER BY lost_in_kernel + lost_in_user_space + rows_not_recorded DESC, node
