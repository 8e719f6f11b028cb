-- From a few feedbacks, what does this user want?
--
-- The few-shot adaptation question of the paper, answered without an LLM: every user marks the best and the worst of eight
-- responses to 1, 3, 5 or 10 random train prompts; each method turns that into weights; the weights pick a response to every
-- test prompt.  top1: how often it is the user's own favourite.  captured: the share of what personalisation can gain
-- over a random response, sum(reward - random) / sum(best - random).  The last row is the ceiling, the true weights.
--
-- Needs: prompts, responses, users (at most 1,000,000).  Histories from train, judged on test.

DROP TABLE IF EXISTS temp.history;
CREATE TEMP TABLE history AS SELECT * FROM persona_interactions('users', 'train', 10, 'best_worst', 1);
DROP TABLE IF EXISTS temp.shown;
CREATE TEMP TABLE shown AS SELECT * FROM persona_choices('history');

-- One "user" for each user and number of interactions: 3000017 is user 17 after 3.
DROP VIEW IF EXISTS temp.evidence;
CREATE TEMP VIEW evidence AS
  SELECT n * 1000000 + user_id AS user_id, choice_set, features, feedback
  FROM (SELECT 1 AS n UNION ALL SELECT 3 UNION ALL SELECT 5 UNION ALL SELECT 10), shown
  WHERE choice_set <= n;

DROP TABLE IF EXISTS temp.method;
CREATE TEMP TABLE method(method_id INTEGER PRIMARY KEY, method TEXT, options TEXT);
INSERT INTO method(method, options) VALUES
  ('uniform weights', '{"method":"uniform"}'),
  ('sum of chosen - rejected', '{"method":"sum"}'),
  ('Bradley-Terry, the pair', '{"method":"bradley_terry"}'),
  ('Bradley-Terry, implied pairs', '{"method":"bradley_terry","pairs":"implied"}'),
  ('posterior (default)', '{}');

DROP TABLE IF EXISTS temp.estimate;
CREATE TEMP TABLE estimate AS
  SELECT method_id * 100000000 + a.user_id AS user_id, a.weights
  FROM method m, persona_adapt('evidence', NULL, m.options) a;
DROP TABLE IF EXISTS temp.truth;
CREATE TEMP TABLE truth AS
  SELECT e.user_id, u.weights FROM users u JOIN estimate e ON e.user_id % 1000000 = u.user_id;

-- What persona_chart('fewshot') draws: one row for each method and number of interactions.
DROP TABLE IF EXISTS temp.fewshot;
CREATE TEMP TABLE fewshot AS
  WITH judged AS (
    SELECT m.method_id, m.method, e.user_id / 1000000 % 100 AS n, e.*
    FROM persona_evaluate('truth', 'estimate', 'test') e JOIN method m ON m.method_id = e.user_id / 100000000
    UNION ALL
    SELECT 99, 'true weights (ceiling)', n, e.*
    FROM persona_evaluate('users', 'users', 'test') e,
         (SELECT 1 AS n UNION ALL SELECT 3 UNION ALL SELECT 5 UNION ALL SELECT 10)
  )
  SELECT method, n AS interactions, avg(top1) AS top1,
         sum(reward - random_reward) / sum(best_reward - random_reward) AS captured_share
  FROM judged
  GROUP BY method_id, n
  ORDER BY method_id, n;

SELECT method,
       round(max(top1) FILTER (WHERE interactions = 1), 3) AS top1_1,
       round(max(top1) FILTER (WHERE interactions = 3), 3) AS top1_3,
       round(max(top1) FILTER (WHERE interactions = 5), 3) AS top1_5,
       round(max(top1) FILTER (WHERE interactions = 10), 3) AS top1_10,
       round(max(captured_share) FILTER (WHERE interactions = 1), 3) AS captured_1,
       round(max(captured_share) FILTER (WHERE interactions = 3), 3) AS captured_3,
       round(max(captured_share) FILTER (WHERE interactions = 5), 3) AS captured_5,
       round(max(captured_share) FILTER (WHERE interactions = 10), 3) AS captured_10
FROM fewshot
GROUP BY method
ORDER BY min(rowid);
