-- Exits whose status nobody knows, and those that an authentic record filled in later.
SELECT run, name, attempt, ended_at, witness, coalesce(exit_unknown, 'amended later') AS why, exit_code, exit_signal
FROM attempts
WHERE exit_unknown IS NOT NULL OR exit_amended = 1
ORDER BY ended_position
