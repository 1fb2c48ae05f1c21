-- Snapshots that were dispatched early or late, or are overdue. Early must never be.
-- :late_ms = 1000, from how late on
SELECT snapshot, run, runner, due, dispatched_at, fate,
       (coalesce(dispatched_at_us, :now_us) - due_us) // 1000 AS late_ms
FROM snapshots
WHERE late_us < 0 OR late_us >= :late_ms * 1000
   OR (fate = 'armed' AND :now_us - due_us >= :late_ms * 1000)
ORDER BY armed_position
