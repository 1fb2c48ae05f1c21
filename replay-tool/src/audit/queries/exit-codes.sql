-- How attempts ended, by the value of a label and by hour.
-- :label = team, the key of the label
SELECT substr(attempts.ended_at, 1, 13) || ':00Z' AS hour, labels.value AS label,
       CASE WHEN attempts.outcome = 'Failed' THEN 'failed: ' || attempts.failure_kind
            WHEN attempts.exit_code IS NOT NULL THEN 'code ' || attempts.exit_code
            WHEN attempts.exit_signal IS NOT NULL THEN 'signal ' || attempts.exit_signal
            ELSE 'unknown' END AS ending,
       count(*) AS attempts
FROM attempts LEFT JOIN labels ON labels.run = attempts.run AND labels.key = :label
WHERE attempts.outcome IS NOT NULL
GROUP BY hour, label, ending
ORDER BY hour, label, ending
