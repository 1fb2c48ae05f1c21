-- Reports about runs that were destroyed before: each was refused and changed nothing.
SELECT refusals.recorded_at, refusals.position, refusals.run, runs.name, refusals.actor_kind, refusals.actor,
       refusals.action, refusals.count,
       (refusals.recorded_at_us - runs.updated_at_us) // 1000 AS late_ms
FROM refusals JOIN runs ON runs.run = refusals.run
WHERE refusals.reason = 'run_destroyed'
ORDER BY refusals.position
