-- Open runs whose status has not changed for a long time.
-- :longer_than_ms = 3600000, how long at least
SELECT run, name, status, waits_on, runner, status_since, (:now_us - status_since_us) // 1000 AS for_ms
FROM runs
WHERE ended = 0 AND for_ms >= :longer_than_ms
ORDER BY for_ms DESC, run
