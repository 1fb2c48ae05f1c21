-- Refused commands by actor and reason: how many are recorded, about how many runs, and the first and last.
SELECT actor_kind, actor, reason, action, count(*) AS recorded, max(count) AS count_max, count(DISTINCT run) AS runs,
       min(recorded_at) AS first_at, max(recorded_at) AS last_at
FROM refusals
GROUP BY actor_kind, actor, reason, action
ORDER BY recorded DESC, actor_kind, actor, reason, action
