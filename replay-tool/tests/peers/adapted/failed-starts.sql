-- Attempts that failed, by kind: how many never started, and what the last one said.
SELECT failure_kind, count(*) AS attempts, sum(started = 0) AS never_started, count(DISTINCT run) AS runs,
       max(ended_at) AS last_at, arg_max(failure_message, ended_at) AS last_message
FROM attempts
WHERE outcome = 'Failed'
GROUP BY failure_kind
ORDER BY attempts DESC, failure_kind
