-- Exits whose status nobody knows, and those that an authentic record filled in later.
SELECT attempts.run, runs.name, attempts.attempt, attempts.ended_at, attempts.witness,
       coalesce(attempts.exit_unknown, 'amended later') AS why, attempts.exit_code, attempts.exit_signal
FROM attempts JOIN runs ON runs.run = attempts.run
WHERE attempts.exit_unknown IS NOT NULL OR attempts.exit_amended = 1
ORDER BY attempts.ended_position
