-- What is in the database, split by split.
SELECT coalesce(split, '(none)') AS split, count(*) AS prompts, sum(responses) AS responses, sum(scored) AS scored
FROM (SELECT p.split, (SELECT count(*) FROM responses r WHERE r.prompt_id = p.prompt_id) AS responses,
             (SELECT count(rewards) FROM responses r WHERE r.prompt_id = p.prompt_id) AS scored
      FROM prompts p)
GROUP BY split
ORDER BY split;
