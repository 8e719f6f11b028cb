-- How good were the answers, for the users they were written for?
--
-- The paper's measures (definitions.md#evaluation-measures) with intervals: total_score, the mean over tasks of the
-- user's utility of the answer (scores normalised as everywhere); win_best and win_reference, the percentage of tasks
-- whose answer the user likes strictly better than the best stored response, and than the reference model's.
-- Intervals cover 95 %: mean +- 1.96 standard errors, and Wilson's for the percentages; a task is one draw, so they
-- speak of new users and prompts, not of a new decoding.
--
-- Refuses a run in which any task lacks an answer or a score unless setting allow_incomplete is 1 (n then says how
-- many were measured).  Appends a row to runs and the items to run_items; a run that is measured twice without any
-- change is there once.
--
-- Needs: sql/generation_answers.sql and scores.

DROP TABLE IF EXISTS temp.generation_item;
CREATE TEMP TABLE generation_item AS
  WITH utility AS (
    SELECT g.user_id, g.prompt_id, u.weights,
           (SELECT iif(count(*) = (SELECT count(*) FROM reward_models), persona_vector(json_group_array(z)), NULL)
            FROM (SELECT (x.score - m.mean) / m.sd AS z
                  FROM reward_models m
                       JOIN generation_scores x ON x.run = g.run AND x.user_id = g.user_id AND x.name = m.name
                  ORDER BY m.position)) AS features
    FROM generation_setting s JOIN generations g USING (run) JOIN users u USING (user_id)
  ), named AS ( -- maker/name:variant -> name
    SELECT prompt_id, rewards, model, substr(tail, 1, instr(tail || ':', ':') - 1) AS name
    FROM (SELECT *, substr(model, 1 + length(rtrim(model, replace(model, '/', '')))) AS tail FROM responses)
  ), stored AS (
    SELECT u.user_id, max(persona_reward(u.weights, r.rewards)) AS best_reward,
           max(persona_reward(u.weights, r.rewards))
             FILTER (WHERE s.reference COLLATE NOCASE IN (r.model, r.name)) AS reference_reward
    FROM generation_setting s, utility u JOIN named r USING (prompt_id)
    GROUP BY u.user_id
  )
  SELECT u.user_id, u.prompt_id, persona_reward(u.weights, u.features) AS score, s.best_reward, s.reference_reward
  FROM utility u LEFT JOIN stored s USING (user_id);

DROP TABLE IF EXISTS temp.generation_measured;
CREATE TEMP TABLE generation_measured AS
  WITH counts AS (
    SELECT count(*) AS n, avg(score) AS mean, avg(score > best_reward) AS best,
           count(reference_reward) AS reference_n, avg(score > reference_reward) AS reference_wins,
           sqrt(max(avg(score * score) - avg(score) * avg(score), 0) / nullif(count(*) - 1, 0)) AS se
    FROM generation_item WHERE score IS NOT NULL
  ), share(which, p, n) AS (
    SELECT 'best', best, n FROM counts UNION ALL SELECT 'reference', reference_wins, reference_n FROM counts
  ), wilson AS ( -- z = 1.959964
    SELECT which, (p + 3.841459 / (2 * n) - half) / (1 + 3.841459 / n) AS low,
           (p + 3.841459 / (2 * n) + half) / (1 + 3.841459 / n) AS high
    FROM (SELECT *, 1.959964 * sqrt(p * (1 - p) / n + 3.841459 / (4.0 * n * n)) AS half FROM share WHERE n > 0)
  ), asked AS (
    SELECT count(*) AS tasks, max(json_extract(g.settings, '$.requests.seed')) AS seed,
           json_object('settings', json(max(g.settings)), 'answered_by', max(g.answered_by)) AS options
    FROM generation_setting s JOIN generations g USING (run)
  ), scored AS (
    SELECT json_group_array(json_array(scorer, batch_size, precision)) AS scorer
    FROM (SELECT DISTINCT x.scorer, x.batch_size, x.precision
          FROM generation_setting s JOIN generation_scores x USING (run) ORDER BY 1, 2, 3)
  ), fingerprint AS (
    SELECT persona_fingerprint(a, b, c, d, e) AS data
    FROM (SELECT 'prompt' AS a, prompt_id AS b, split AS c, text AS d, NULL AS e FROM prompts
          UNION ALL SELECT 'response', prompt_id, position, model, text FROM responses
          UNION ALL SELECT 'scores', prompt_id, position, raw_rewards, NULL FROM responses
          UNION ALL SELECT 'reward model', position, name, mean, sd FROM reward_models
          UNION ALL SELECT 'user', user_id, weights, NULL, NULL FROM users JOIN generation_item USING (user_id))
  )
  SELECT s.run, a.seed, a.options, x.scorer, f.data, a.tasks, c.n,
         c.mean AS total_score, c.mean - 1.959964 * c.se, c.mean + 1.959964 * c.se,
         100 * c.best AS win_best, 100 * b.low, 100 * b.high,
         s.reference, c.reference_n, 100 * c.reference_wins AS win_reference, 100 * r.low, 100 * r.high,
         s.allow_incomplete
  FROM generation_setting s, counts c, asked a, scored x, fingerprint f
       LEFT JOIN wilson b ON b.which = 'best' LEFT JOIN wilson r ON r.which = 'reference';

-- A run and its items appear in one statement, so together or not at all.
DROP TRIGGER IF EXISTS temp.run_items_follow;
CREATE TEMP TRIGGER run_items_follow AFTER INSERT ON main.runs
WHEN new.data = (SELECT data FROM generation_measured) AND new.run = (SELECT run FROM generation_measured)
BEGIN
  INSERT INTO run_items SELECT new.run_id, i.* FROM generation_item i WHERE i.score IS NOT NULL;
END;
INSERT INTO runs
  SELECT NULL, * FROM generation_measured m
  WHERE NOT EXISTS (
    SELECT 1 FROM runs r
    WHERE r.run = m.run AND r.options IS m.options AND r.scorer IS m.scorer AND r.data = m.data
          AND r.tasks = m.tasks AND r.n = m.n AND r.total_score IS m.total_score AND r.win_best IS m.win_best
          AND r.reference = m.reference AND r.win_reference IS m.win_reference
          AND r.allow_incomplete = m.allow_incomplete);
DROP TRIGGER temp.run_items_follow;

SELECT r.run_id, r.run, r.n, r.tasks, round(r.total_score, 3) AS total_score,
       round(r.total_score_low, 3) AS low, round(r.total_score_high, 3) AS high,
       round(r.win_best, 1) AS win_best, round(r.win_best_low, 1) AS low, round(r.win_best_high, 1) AS high,
       round(r.win_reference, 1) AS win_reference,
       round(r.win_reference_low, 1) AS low, round(r.win_reference_high, 1) AS high
FROM runs r JOIN generation_setting s USING (run)
ORDER BY r.run_id DESC LIMIT 1;

-- What the reward models say one by one (mean normalised scores, as the published log has them).
SELECT m.name, round(avg((x.score - m.mean) / m.sd), 3) AS mean_score
FROM generation_setting s JOIN generation_scores x USING (run) JOIN reward_models m USING (name)
GROUP BY m.position ORDER BY m.position;
