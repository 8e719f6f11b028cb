-- On which scale does each reward model score?
--
-- Mean and standard deviation of the raw scores of the train split, those by which this database normalises (table
-- reward_models), and the published ones where the model is one of the paper's.  That scales differ
-- so much is why raw and normalised scores make different users of the same weights.
--
-- Needs: prompts, responses; published (sql/published.sql).

WITH score AS (
  SELECT j.key + 1 AS position, j.value AS score
  FROM responses r JOIN prompts p USING (prompt_id), json_each(persona_json(r.raw_rewards)) j
  WHERE p.split = 'train'
), fitted AS (
  SELECT position, count(*) AS scores, avg(score) AS mean, min(score) AS smallest, max(score) AS largest FROM score GROUP BY position
), spread AS (
  SELECT position, sqrt(avg((score - mean) * (score - mean))) AS sd FROM score JOIN fitted USING (position) GROUP BY position
)
SELECT m.name, f.scores, round(f.smallest, 3) AS smallest, round(f.largest, 3) AS largest,
       round(f.mean, 4) AS train_mean, round(m.mean, 4) AS mean_in_use,
       round((SELECT value FROM published WHERE query = 'reward_models' AND series = 'mean' AND item = m.name), 4) AS published_mean,
       round(s.sd, 4) AS train_sd, round(m.sd, 4) AS sd_in_use,
       round((SELECT value FROM published WHERE query = 'reward_models' AND series = 'sd' AND item = m.name), 4) AS published_sd
FROM reward_models m LEFT JOIN fitted f USING (position) LEFT JOIN spread s USING (position)
ORDER BY m.position;
