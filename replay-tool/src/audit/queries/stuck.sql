-- Open runs whose status has not changed for a long time.
-- :longer_than_ms = 3600000, how long at least
SELECT runs.run, runs.name, runs.status, runs.waits_on, runs.runner,
       max(events.recorded_at) AS since,
       (:now_us - max(events.recorded_at_us)) / 1000 AS for_ms
FROM runs JOIN events ON events.run = runs.run AND events.status IS NOT NULL
WHERE runs.ended = 0
GROUP BY runs.run
HAVING for_ms >= :longer_than_ms
ORDER BY for_ms DESC, runs.run
