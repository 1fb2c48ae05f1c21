-- Times without a supervisor after a crash, and what they cost: open runs, lost ends, late snapshots.
WITH outages AS (
  SELECT opened_position, entry_before_at AS from_at, opened_at AS to_at,
         (opened_at_us - entry_before_at_us) // 1000 AS lasted_ms, open_runs, torn_bytes, entry_before_at_us, opened_at_us,
         lead(opened_position, 1, 9223372036854775807) OVER (ORDER BY opened_position) AS next_position
  FROM sessions WHERE recovered = 1
)
SELECT from_at, to_at, lasted_ms, open_runs,
       (SELECT count(*) FROM attempts
        WHERE ifnull(began_position, 0) < opened_position
          AND ended_position > opened_position AND ended_position < next_position AND exit_unknown IS NOT NULL) AS unknown_exits,
       (SELECT count(*) FROM attempts
        WHERE ifnull(began_position, 0) < opened_position
          AND ended_position > opened_position AND ended_position < next_position
          AND failure_kind = 'supervisor_lost') AS supervisor_lost,
       (SELECT count(*) FROM snapshots
        WHERE due_us >= entry_before_at_us AND due_us < opened_at_us AND ifnull(armed_position, 0) < opened_position
          AND (dispatched_position > opened_position OR fate = 'armed')) AS late_snapshots,
       coalesce(torn_bytes, 0) AS torn_bytes
FROM outages
ORDER BY opened_position
