-- Attempts that were taken out of another runner's hands, and from whom.
SELECT now.began_at AS at, now.run, now.name, before.attempt AS from_attempt, before.runner AS from_runner,
       now.attempt AS to_attempt, now.runner AS to_runner, now.cause
FROM attempts AS now
JOIN attempts AS before ON before.run = now.run AND before.attempt_id = now.previous_attempt_id
WHERE before.superseded_at_us IS NOT NULL
ORDER BY now.began_position
