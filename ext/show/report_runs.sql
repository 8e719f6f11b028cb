-- What language models were measured at, the latest run first (sql/generation_run.sql).
SELECT run, n, tasks, total_score, total_score_low AS low, total_score_high AS high, win_best AS "% wins against best",
       reference, win_reference AS "% wins against it", seed
FROM runs
ORDER BY run_id DESC;
