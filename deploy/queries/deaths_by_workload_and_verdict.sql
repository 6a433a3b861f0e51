-- What died, and of what.
SELECT workload, "trigger", verdict, count(*) AS deaths, count(DISTINCT node) AS nodes
FROM recordings
WHERE kind = 'oom'
GROUP BY workload, "trigger", verdict
ORDER BY deaths DESC, workload, "trigger", verdict
LIMIT 20
