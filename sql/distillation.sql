-- Can small students, from text alone, stand in for the reward models?
--
-- Students learn from the train prompts and are judged on the test prompts, which they never saw.
--   text student    distill_text: everything it needs is in the model
--   style counts    distill_rewards over the paper's seven syntactic features
--   embedding       distill_rewards over text_embedding, hashed words and character n-grams
-- First table: the text student for each reward model, within prompts: share of variance explained (R2; r2_cv is
-- what leaving out train prompts foretold), Spearman's rank correlation, share of pairs in the right order (pairs with
-- equal scores are left out).
-- Second table: what counts.  Users pick the response of the highest predicted utility: how often it is their own
-- favourite under the real scores, the share of what personalisation can gain over a random response, and how often
-- their best response is predicted above their worst.  mean only: the text student's mean over reward models, the same
-- for all users; longest wins: no student at all.
--
-- Needs: prompts, responses, users.  With 500 train prompts the text student takes about a quarter of a minute on two
-- cores.

DROP TABLE IF EXISTS temp.train;
CREATE TEMP TABLE train AS
  SELECT p.text AS prompt, r.text AS response, r.rewards, r.prompt_id
  FROM prompts p JOIN responses r USING (prompt_id)
  WHERE p.split = 'train'
  ORDER BY r.prompt_id, r.position;
DROP TABLE IF EXISTS temp.names;
CREATE TEMP TABLE names AS
  SELECT json_object('rewards', json_group_array(name)) AS options
  FROM (SELECT name FROM reward_models ORDER BY position);
DROP TABLE IF EXISTS temp.student;
CREATE TEMP TABLE student AS
  SELECT 'text student' AS name,
         distill_text(prompt, response, rewards, prompt_id, (SELECT options FROM names)) AS model
  FROM train
  UNION ALL
  SELECT 'style counts',
         distill_rewards(text_features(response), rewards, prompt_id, (SELECT options FROM names))
  FROM train
  UNION ALL
  SELECT 'embedding',
         distill_rewards(text_embedding(response, 512), rewards, prompt_id,
                         json_set((SELECT options FROM names), '$.type', 'f32'))
  FROM train;

-- A model belongs in a scalar subquery: it is then read and decoded once, not once a row.
DROP TABLE IF EXISTS temp.predicted;
CREATE TEMP TABLE predicted AS
  SELECT s.name, r.response_id, r.prompt_id, r.rewards,
         CASE s.name
           WHEN 'text student'
             THEN predict_rewards((SELECT model FROM student WHERE name = 'text student'), p.text, r.text)
           WHEN 'style counts'
             THEN predict_rewards((SELECT model FROM student WHERE name = 'style counts'), text_features(r.text))
           ELSE predict_rewards((SELECT model FROM student WHERE name = 'embedding'), text_embedding(r.text, 512))
         END AS features
  FROM student s JOIN prompts p JOIN responses r USING (prompt_id)
  WHERE p.split = 'test';

-- One row for each response and reward model: the real and the predicted score, and their ranks within the prompt.
DROP TABLE IF EXISTS temp.cell;
CREATE TEMP TABLE cell AS
  WITH score AS (
    SELECT prompt_id, t.key AS b, response_id, t.value AS truth, e.value AS guess
    FROM predicted, json_each(persona_json(rewards)) t, json_each(persona_json(features)) e
    WHERE name = 'text student' AND t.key = e.key
  )
  SELECT prompt_id, b, response_id,
         truth - avg(truth) OVER prompt AS truth,
         guess - avg(guess) OVER prompt AS guess,
         rank() OVER (PARTITION BY prompt_id, b ORDER BY truth)
           + (count(*) OVER (PARTITION BY prompt_id, b, truth) - 1) / 2.0 AS truth_rank,
         rank() OVER (PARTITION BY prompt_id, b ORDER BY guess)
           + (count(*) OVER (PARTITION BY prompt_id, b, guess) - 1) / 2.0 AS guess_rank
  FROM score
  WINDOW prompt AS (PARTITION BY prompt_id, b);
CREATE INDEX temp.cell_prompt ON cell(b, prompt_id);

WITH fit AS (
  SELECT f.key AS b, f.value ->> 'name' AS name, f.value ->> 'r2_cv' AS r2_cv
  FROM student s, json_each(model_info(s.model), '$.fit') f
  WHERE s.name = 'text student'
),
explained AS (
  SELECT b, 1 - sum((truth - guess) * (truth - guess)) / sum(truth * truth) AS r2 FROM cell GROUP BY b
),
correlated AS (
  SELECT b, avg(rho) AS spearman
  FROM (SELECT c.b, c.prompt_id,
               sum((truth_rank - m) * (guess_rank - m))
                 / sqrt(sum((truth_rank - m) * (truth_rank - m)) * sum((guess_rank - m) * (guess_rank - m))) AS rho
        FROM cell c
        JOIN (SELECT b, prompt_id, avg(truth_rank) AS m FROM cell GROUP BY b, prompt_id) USING (b, prompt_id)
        GROUP BY c.b, c.prompt_id)
  GROUP BY b
),
ordered AS (
  SELECT x.b, avg(CASE WHEN x.guess > y.guess THEN 1.0 WHEN x.guess = y.guess THEN 0.5 ELSE 0 END) AS pairs
  FROM cell x JOIN cell y USING (b, prompt_id)
  WHERE x.truth_rank > y.truth_rank
  GROUP BY x.b
)
SELECT name AS reward_model, round(r2, 3) AS r2, round(r2_cv, 3) AS r2_cv, round(spearman, 3) AS spearman,
       round(pairs, 3) AS pairs_right
FROM fit JOIN explained USING (b) JOIN correlated USING (b) JOIN ordered USING (b)
ORDER BY b;

-- What users would be served by: a response's features, which a user's weights are applied to.
DROP VIEW IF EXISTS temp.text_student;
CREATE TEMP VIEW text_student AS SELECT response_id, features FROM predicted WHERE name = 'text student';
DROP VIEW IF EXISTS temp.style_counts;
CREATE TEMP VIEW style_counts AS SELECT response_id, features FROM predicted WHERE name = 'style counts';
DROP VIEW IF EXISTS temp.embedded;
CREATE TEMP VIEW embedded AS SELECT response_id, features FROM predicted WHERE name = 'embedding';
DROP TABLE IF EXISTS temp.mean_only;
CREATE TEMP TABLE mean_only AS
  SELECT response_id,
         (SELECT json_group_array(m)
          FROM (SELECT avg(value) OVER () AS m FROM json_each(persona_json(features)))) AS features
  FROM predicted
  WHERE name = 'text student';
DROP TABLE IF EXISTS temp.longest_wins;
CREATE TEMP TABLE longest_wins AS
  SELECT response_id,
         (SELECT json_group_array(n)
          FROM (SELECT length(r.text) AS n FROM json_each(persona_json(predicted.rewards)))) AS features
  FROM responses r JOIN predicted USING (response_id)
  WHERE name = 'text student';

WITH judged AS (
  SELECT line, picks_by, e.*
  FROM (SELECT 1 AS line, 'text student' AS picks_by, 'temp.text_student' AS features
        UNION ALL SELECT 2, 'style counts', 'temp.style_counts'
        UNION ALL SELECT 3, 'embedding', 'temp.embedded'
        UNION ALL SELECT 4, 'mean only', 'temp.mean_only'
        UNION ALL SELECT 5, 'longest wins', 'temp.longest_wins'),
       persona_evaluate('users', 'users', 'test', json_object('features', features)) e
)
SELECT picks_by, round(avg(top1), 3) AS own_favourite,
       round(sum(reward - random_reward) / sum(best_reward - random_reward), 3) AS captured_share,
       round(avg(pair_accuracy), 3) AS best_above_worst
FROM judged
GROUP BY line, picks_by
ORDER BY line;
