-- Snapshots that fired for a run that was not waiting, or after they were canceled. There must be none.
SELECT snapshot, run, runner, due, canceled_at, dispatched_at, status_at_dispatch
FROM snapshots
WHERE dispatched_at_us IS NOT NULL AND (status_at_dispatch IS DISTINCT FROM 'Waiting' OR canceled_at_us IS NOT NULL)
ORDER BY dispatched_position
