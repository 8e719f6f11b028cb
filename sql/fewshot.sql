-- What do a few interactions teach, by which method, from which feedback, about users seen before or not?
--
-- Seen users have a history that methods learn from across users; unseen users come from a population of another seed.  Every
-- user meets random train prompts and answers in four ways:
--   choice set          best and worst of all responses, all of which the method may use
--   best against worst  the same answer, of which only that pair is kept (what LoRe learns from)
--   random pair         the better of two random responses to a prompt
--   controversial pair  the better of the two that most seen users like best, on the prompts of the random pairs
-- Each method turns a user's first n answers into weights, which pick a response to every test prompt.  For seen users these
-- answers are the beginning of what the models have learned from.
--   top1: the pick is the user's own favourite.  captured_share: sum(reward - random) / sum(best - random).
--   gain_over_pooled: sum(reward - pooled) / sum(best - pooled), 0 for one ranking for all, 1 for the true weights.
--   worst_decile: mean captured share of the tenth of users who are served worst.  pair_accuracy: best above worst (saturates).
--   responses_read: what a user had to read for it.  low, high: 95 % of captured_share, over users (not over prompts: for that, and
--   for differences between methods, run fewshot_bootstrap.sql).
-- Beside them: uniform weights; popularity (the model that seen users chose most often when they were shown it); pooled (one
-- Bradley-Terry model of all seen users); the true weights.
--
-- Needs: prompts, responses with their models.  Keeps temp.fewshot_grid (all of it) and temp.fewshot, which persona_chart('fewshot')
-- draws and leaderboard.sql ranks (unseen users, whole choice sets), as adaptation.sql does; and temp.fewshot_run, to which every
-- run adds its unseen users for fewshot_bootstrap.sql.
-- To change a setting, insert it before: CREATE TEMP TABLE fewshot_setting(name PRIMARY KEY, value).  To run other seeds, update
-- seed and first (another seed is other prompts, another first are other users) and read this file again; five such runs take minutes.
-- For other users make temp.fewshot_seen and temp.fewshot_unseen before, of two seeds:
--   CREATE VIRTUAL TABLE temp.fewshot_seen USING persona_users(count=100000, alpha=1, seed=30, generator=philox);
-- or tables or views (user_id, weights) of your own, ids from 0; outside_users.sql makes users whom the prior does not expect.

CREATE TEMP TABLE IF NOT EXISTS fewshot_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.fewshot_setting VALUES
  ('seen', 100), ('unseen', 50), -- users; at most 100,000 each
  ('history', 10),               -- interactions of each seen user that models learn from
  ('shots', '[1,3,5,10]'),       -- at most 99
  ('noise', 0),                  -- Gumbel scale of the users' choices; controversial pairs are left out where it is not 0
  ('seed', 32),                  -- of the interactions; the populations' own seeds are below
  ('first', 0),                  -- the first user of each population
  ('label', 'alpha 0.05'),       -- under which temp.fewshot_run keeps this run and those with other seeds
  ('detail', NULL);              -- the one of the shots that it keeps; NULL: the largest up to 5

CREATE VIRTUAL TABLE IF NOT EXISTS temp.fewshot_seen USING persona_users(count=100000, alpha=0.05, seed=30, generator=philox);
CREATE VIRTUAL TABLE IF NOT EXISTS temp.fewshot_unseen USING persona_users(count=100000, alpha=0.05, seed=31, generator=philox);

-- 17 is seen user 17, 100017 unseen user 17; with the way of answering before it, 3000017 is the random pairs of user 17.
DROP TABLE IF EXISTS temp.fewshot_user;
CREATE TEMP TABLE fewshot_user AS
  WITH s AS (
    SELECT max(value) FILTER (WHERE name = 'first') AS first, max(value) FILTER (WHERE name = 'seen') AS seen,
           max(value) FILTER (WHERE name = 'unseen') AS unseen FROM temp.fewshot_setting
  )
  SELECT u.user_id - s.first AS user_id, u.weights FROM s, temp.fewshot_seen u WHERE u.user_id >= s.first AND u.user_id < s.first + s.seen
  UNION ALL
  SELECT 100000 + u.user_id - s.first, u.weights FROM s, temp.fewshot_unseen u WHERE u.user_id >= s.first AND u.user_id < s.first + s.unseen;

DROP TABLE IF EXISTS temp.fewshot_form;
CREATE TEMP TABLE fewshot_form(form INTEGER PRIMARY KEY, feedback TEXT, evidence TEXT, reads INTEGER);
INSERT INTO temp.fewshot_form VALUES
  (1, 'choice set', 'fewshot_evidence_1', NULL), (2, 'best against worst', 'fewshot_evidence_2', NULL), -- reads: NULL is all
  (3, 'random pair', 'fewshot_evidence_3', 2), (4, 'controversial pair', 'fewshot_evidence_4', 2);
DELETE FROM temp.fewshot_form WHERE form = 4 AND (SELECT value FROM temp.fewshot_setting WHERE name = 'noise') <> 0;

DROP TABLE IF EXISTS temp.fewshot_panel;
CREATE TEMP TABLE fewshot_panel AS SELECT * FROM temp.fewshot_user WHERE user_id < 100000;
DROP TABLE IF EXISTS temp.fewshot_contested;
CREATE TEMP TABLE fewshot_contested AS
  SELECT prompt_id, max(response_id) FILTER (WHERE place = 1) AS one, max(response_id) FILTER (WHERE place = 2) AS two
  FROM (SELECT prompt_id, response_id, row_number() OVER (PARTITION BY prompt_id ORDER BY best_votes DESC, response_id) AS place
        FROM persona_votes('fewshot_panel', 'train'))
  GROUP BY prompt_id;

DROP TABLE IF EXISTS temp.fewshot_asked;
CREATE TEMP TABLE fewshot_asked AS
  WITH s AS (
    SELECT max((SELECT max(value) FROM json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots'))),
               (SELECT value FROM temp.fewshot_setting WHERE name = 'history')) AS turns,
           (SELECT value FROM temp.fewshot_setting WHERE name = 'seed') AS seed,
           (SELECT json_object('noise', value) FROM temp.fewshot_setting WHERE name = 'noise') AS options
  )
  SELECT 1 AS form, i.* FROM s, persona_interactions('fewshot_user', 'train', s.turns, 'best_worst', s.seed, s.options) i
  UNION ALL
  SELECT 3, i.* FROM s, persona_interactions('fewshot_user', 'train', s.turns, 'random_pair', s.seed, s.options) i;

DROP TABLE IF EXISTS temp.fewshot_history;
CREATE TEMP TABLE fewshot_history AS
  SELECT f.form * 1000000 + a.user_id AS user_id, a.turn, a.prompt_id, a.chosen_id, a.rejected_id, a.response_id,
         CASE f.form WHEN 2 THEN 'pair' ELSE a.shown END AS shown
  FROM temp.fewshot_asked a JOIN temp.fewshot_form f ON f.form = a.form OR (f.form = 2 AND a.form = 1)
  UNION ALL
  SELECT 4000000 + user_id, turn, prompt_id, CASE WHEN first THEN one ELSE two END, CASE WHEN first THEN two ELSE one END, NULL, 'pair'
  FROM (SELECT a.user_id, a.turn, c.*, persona_reward(u.weights, x.rewards) >= persona_reward(u.weights, y.rewards) AS first
        FROM temp.fewshot_asked a JOIN temp.fewshot_contested c USING (prompt_id) JOIN temp.fewshot_user u ON u.user_id = a.user_id
        JOIN responses x ON x.response_id = c.one JOIN responses y ON y.response_id = c.two
        WHERE a.form = 3 AND 4 IN (SELECT form FROM temp.fewshot_form))
  ORDER BY 1, 2;
DROP TABLE IF EXISTS temp.fewshot_shown;
CREATE TEMP TABLE fewshot_shown AS SELECT * FROM persona_choices('fewshot_history');

-- What is known of a user after n answers; the number stands before the rest of the id.
DROP VIEW IF EXISTS temp.fewshot_evidence;
CREATE TEMP VIEW fewshot_evidence AS
  SELECT n.value * 10000000 + s.user_id AS user_id, s.choice_set, s.features, s.feedback, s.user_id / 1000000 AS form
  FROM json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots')) n JOIN temp.fewshot_shown s ON s.choice_set <= n.value;
DROP VIEW IF EXISTS temp.fewshot_evidence_1;
CREATE TEMP VIEW fewshot_evidence_1 AS SELECT user_id, choice_set, features, feedback FROM temp.fewshot_evidence WHERE form = 1;
DROP VIEW IF EXISTS temp.fewshot_evidence_2;
CREATE TEMP VIEW fewshot_evidence_2 AS SELECT user_id, choice_set, features, feedback FROM temp.fewshot_evidence WHERE form = 2;
DROP VIEW IF EXISTS temp.fewshot_evidence_3;
CREATE TEMP VIEW fewshot_evidence_3 AS SELECT user_id, choice_set, features, feedback FROM temp.fewshot_evidence WHERE form = 3;
DROP VIEW IF EXISTS temp.fewshot_evidence_4;
CREATE TEMP VIEW fewshot_evidence_4 AS SELECT user_id, choice_set, features, feedback FROM temp.fewshot_evidence WHERE form = 4;

-- All pairs that a choice set implies, for every method that learns from pairs: equal access.  Defaults throughout, but for maml:
-- at its published rates (five steps of 0.001) users would hardly leave the common start.  Nothing is tuned.
DROP TABLE IF EXISTS temp.fewshot_learner;
CREATE TEMP TABLE fewshot_learner(learner TEXT PRIMARY KEY, options TEXT);
INSERT INTO temp.fewshot_learner VALUES
  ('pooled', '{"method":"pooled","pairs":"implied"}'), ('prior', '{"method":"prior"}'),
  ('neighbors', '{"method":"neighbors","pairs":"implied"}'), ('classes', '{"method":"classes","pairs":"implied"}'),
  ('lore', '{"method":"lore","pairs":"implied"}'),
  ('svd', '{"method":"svd","pairs":"implied"}'), ('maml', '{"method":"maml","pairs":"implied","inner_rate":0.3,"rate":0.01}');
DROP TABLE IF EXISTS temp.fewshot_model;
CREATE TEMP TABLE fewshot_model AS
  SELECT l.learner, s.user_id / 1000000 AS form, learn_users_choices(s.user_id, s.choice_set, s.features, s.feedback, l.options) AS model
  FROM temp.fewshot_learner l, temp.fewshot_shown s
  WHERE s.user_id % 1000000 < 100000 AND s.choice_set <= (SELECT value FROM temp.fewshot_setting WHERE name = 'history')
  GROUP BY l.learner, form;

DROP TABLE IF EXISTS temp.fewshot_method;
CREATE TEMP TABLE fewshot_method(method_id INTEGER PRIMARY KEY, method TEXT, options TEXT, learner TEXT);
INSERT INTO temp.fewshot_method VALUES
  (1, 'uniform weights', '{"method":"uniform"}', NULL),
  (2, 'popularity', NULL, NULL), (3, 'pooled', NULL, 'pooled'),
  (4, 'sum of chosen - rejected', '{"method":"sum"}', NULL),
  (5, 'Bradley-Terry, the pair', '{"method":"bradley_terry"}', NULL),
  (6, 'Bradley-Terry, implied pairs', '{"method":"bradley_terry","pairs":"implied"}', NULL),
  (7, 'Bradley-Terry around pooled', '{"method":"bradley_terry","pairs":"implied"}', 'pooled'),
  (8, 'neighbors', '{"method":"neighbors","pairs":"implied"}', 'neighbors'),
  (9, 'LoRe', '{"method":"lore","pairs":"implied"}', 'lore'),
  (10, 'PReF (svd)', '{"method":"svd","pairs":"implied"}', 'svd'),
  (11, 'meta reward modelling (maml)', '{"method":"maml","pairs":"implied","rate":0.3,"iterations":5}', 'maml'),
  (12, 'posterior (default)', '{}', NULL), (13, 'posterior, learned prior', '{}', 'prior'),
  (14, 'posterior, Gaussian prior', '{"prior":"gaussian"}', NULL), -- signed: expects no user in particular
  (15, 'latent classes', '{"method":"classes","pairs":"implied"}', 'classes'),
  (99, 'true weights (ceiling)', NULL, NULL);

DROP TABLE IF EXISTS temp.fewshot_estimate;
CREATE TEMP TABLE fewshot_estimate AS
  SELECT m.method_id * 10000000000 + a.user_id AS user_id, a.weights
  FROM temp.fewshot_method m CROSS JOIN temp.fewshot_form f
  CROSS JOIN persona_adapt(f.evidence, (SELECT model FROM temp.fewshot_model k WHERE k.learner = m.learner AND k.form = f.form), m.options) a
  WHERE m.options IS NOT NULL
  UNION ALL -- one ranking for all, whatever a user says
  SELECT 30000000000 + n.value * 10000000 + k.form * 1000000 + u.user_id, k.weights
  FROM (SELECT form, persona_vector(json_group_array(weight)) AS weights
        FROM (SELECT form, weight FROM temp.fewshot_model k CROSS JOIN model_weights(k.model) WHERE learner = 'pooled' ORDER BY form, position)
        GROUP BY form) k,
       temp.fewshot_user u, json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots')) n;
DROP TABLE IF EXISTS temp.fewshot_truth;
CREATE TEMP TABLE fewshot_truth AS
  SELECT e.user_id, u.weights FROM temp.fewshot_estimate e JOIN temp.fewshot_user u ON u.user_id = e.user_id % 1000000;

-- Popularity as weights: of each response one feature for each way of answering, how often seen users chose its model when shown.
DROP TABLE IF EXISTS temp.fewshot_popular;
CREATE TEMP TABLE fewshot_popular AS
  WITH chosen AS (
    SELECT s.user_id / 1000000 AS form, r.model, avg(s.feedback IS 'best') AS share
    FROM temp.fewshot_shown s JOIN responses r USING (response_id)
    WHERE s.user_id % 1000000 < 100000 AND s.choice_set <= (SELECT value FROM temp.fewshot_setting WHERE name = 'history')
    GROUP BY form, r.model
  ), listed AS (
    SELECT r.response_id, f.form, coalesce(c.share, 0) AS share
    FROM responses r CROSS JOIN temp.fewshot_form f LEFT JOIN chosen c ON c.form = f.form AND c.model IS r.model
    WHERE r.prompt_id IN (SELECT prompt_id FROM prompts WHERE split = 'test')
    ORDER BY r.response_id, f.form
  )
  SELECT response_id, persona_vector(json_group_array(share)) AS features FROM listed GROUP BY response_id;
DROP TABLE IF EXISTS temp.fewshot_popular_estimate;
CREATE TEMP TABLE fewshot_popular_estimate AS
  SELECT f.form * 1000000 + u.user_id AS user_id,
         persona_vector((SELECT json_group_array(g.form = f.form) FROM (SELECT form FROM temp.fewshot_form ORDER BY form) g)) AS weights
  FROM temp.fewshot_form f, temp.fewshot_user u;
DROP TABLE IF EXISTS temp.fewshot_popular_truth;
CREATE TEMP TABLE fewshot_popular_truth AS
  SELECT e.user_id, u.weights FROM temp.fewshot_popular_estimate e JOIN temp.fewshot_user u ON u.user_id = e.user_id % 1000000;

DROP TABLE IF EXISTS temp.fewshot_judged;
CREATE TEMP TABLE fewshot_judged AS
  SELECT e.user_id / 10000000000 AS method_id, e.user_id / 1000000 % 10 AS form, e.user_id / 10000000 % 1000 AS interactions,
         e.user_id % 1000000 AS person, e.top1, e.pair_accuracy, e.reward, e.best_reward, e.random_reward
  FROM persona_evaluate('fewshot_truth', 'fewshot_estimate', 'test') e
  UNION ALL
  SELECT 2, e.user_id / 1000000, n.value, e.user_id % 1000000, e.top1, e.pair_accuracy, e.reward, e.best_reward, e.random_reward
  FROM persona_evaluate('fewshot_popular_truth', 'fewshot_popular_estimate', 'test', '{"features":"fewshot_popular"}') e
  CROSS JOIN json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots')) n
  UNION ALL
  SELECT 99, f.form, n.value, e.user_id, e.top1, e.pair_accuracy, e.reward, e.best_reward, e.random_reward
  FROM persona_evaluate('fewshot_user', 'fewshot_user', 'test') e CROSS JOIN temp.fewshot_form f
  CROSS JOIN json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots')) n;

DROP TABLE IF EXISTS temp.fewshot_grid;
CREATE TEMP TABLE fewshot_grid AS
  WITH asked AS ( -- what users read
    SELECT h.user_id / 1000000 AS form, h.turn,
           avg(coalesce(f.reads, (SELECT count(*) FROM responses r WHERE r.prompt_id = h.prompt_id))) AS responses
    FROM temp.fewshot_history h JOIN temp.fewshot_form f ON f.form = h.user_id / 1000000 GROUP BY 1, 2
  ), each AS (
    SELECT j.*, j.person < 100000 AS seen, p.reward AS pooled,
           (j.reward - j.random_reward) / nullif(j.best_reward - j.random_reward, 0) AS own_share
    FROM temp.fewshot_judged j JOIN temp.fewshot_judged p USING (form, interactions, person) WHERE p.method_id = 3
  ), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY seen, form, method_id, interactions ORDER BY own_share) AS place,
           count(*) OVER (PARTITION BY seen, form, method_id, interactions) AS users,
           sum(reward - random_reward) OVER (PARTITION BY seen, form, method_id, interactions)
           / sum(best_reward - random_reward) OVER (PARTITION BY seen, form, method_id, interactions) AS share,
           sum(reward - pooled) OVER (PARTITION BY seen, form, method_id, interactions)
           / nullif(sum(best_reward - pooled) OVER (PARTITION BY seen, form, method_id, interactions), 0) AS gain
    FROM each
  ), grouped AS ( -- standard errors of a ratio of sums
    SELECT seen, form, method_id, interactions, users, avg(top1) AS top1, share, gain, avg(pair_accuracy) AS pair_accuracy,
           avg(own_share) FILTER (WHERE place <= (users + 9) / 10) AS worst_decile,
           sqrt(sum(pow(reward - random_reward - share * (best_reward - random_reward), 2)) * users / nullif(users - 1, 0))
           / sum(best_reward - random_reward) AS error,
           sqrt(sum(pow(reward - pooled - gain * (best_reward - pooled), 2)) * users / nullif(users - 1, 0))
           / sum(best_reward - pooled) AS gain_error
    FROM ranked GROUP BY seen, form, method_id, interactions
  )
  SELECT CASE WHEN seen THEN 'seen' ELSE 'unseen' END AS who, f.feedback, m.method, g.interactions,
         (SELECT sum(responses) FROM asked a WHERE a.form = g.form AND a.turn <= g.interactions) AS responses_read,
         g.users, g.top1, g.share AS captured_share, g.share - 1.96 * g.error AS low, g.share + 1.96 * g.error AS high,
         g.gain AS gain_over_pooled, g.gain_error, g.worst_decile, g.pair_accuracy
  FROM grouped g JOIN temp.fewshot_form f USING (form) JOIN temp.fewshot_method m USING (method_id)
  ORDER BY seen, form, method_id, interactions;

DROP TABLE IF EXISTS temp.fewshot;
CREATE TEMP TABLE fewshot AS
  SELECT method, interactions, captured_share, top1, low, high FROM temp.fewshot_grid
  WHERE who = 'unseen' AND feedback = 'choice set' ORDER BY rowid;

-- What every unseen user gains by each method, by twenty groups of test prompts: weights that a bootstrap gives to users and to
-- prompts then multiply.
CREATE TEMP TABLE IF NOT EXISTS fewshot_run(label TEXT, seed INTEGER, feedback TEXT, method TEXT, person INTEGER, gained BLOB, scope BLOB,
                                            PRIMARY KEY(label, feedback, method, seed, person)) WITHOUT ROWID;
DROP TABLE IF EXISTS temp.fewshot_test;
CREATE TEMP TABLE fewshot_test(prompt_id INTEGER, position INTEGER, place INTEGER, rewards BLOB, popular BLOB, PRIMARY KEY(prompt_id, position)) WITHOUT ROWID;
INSERT INTO temp.fewshot_test
  SELECT r.prompt_id, r.position, p.place, r.rewards, f.features
  FROM (SELECT prompt_id, row_number() OVER (ORDER BY prompt_id) % 20 AS place FROM prompts WHERE split = 'test') p
  JOIN responses r USING (prompt_id) JOIN temp.fewshot_popular f USING (response_id) WHERE r.rewards IS NOT NULL;
DROP TABLE IF EXISTS temp.fewshot_scope;
CREATE TEMP TABLE fewshot_scope AS
  SELECT u.user_id AS person, t.prompt_id, max(persona_reward(u.weights, t.rewards)) AS best, avg(persona_reward(u.weights, t.rewards)) AS random
  FROM temp.fewshot_user u CROSS JOIN temp.fewshot_test t WHERE u.user_id >= 100000 GROUP BY u.user_id, t.prompt_id;
CREATE UNIQUE INDEX temp.fewshot_scope_of ON fewshot_scope(person, prompt_id);
INSERT OR REPLACE INTO temp.fewshot_run
  WITH estimate AS (
    SELECT user_id / 10000000000 AS method_id, user_id / 1000000 % 10 AS form, user_id % 1000000 AS person, weights FROM temp.fewshot_estimate
    WHERE user_id / 10000000 % 1000 = (
      SELECT coalesce((SELECT value FROM temp.fewshot_setting WHERE name = 'detail'), max(value) FILTER (WHERE value <= 5), min(value))
      FROM json_each((SELECT value FROM temp.fewshot_setting WHERE name = 'shots')))
    UNION ALL
    SELECT 2, user_id / 1000000, user_id % 1000000, weights FROM temp.fewshot_popular_estimate
    UNION ALL
    SELECT 99, f.form, u.user_id, u.weights FROM temp.fewshot_user u, temp.fewshot_form f
  ), picked AS (
    SELECT e.method_id, e.form, e.person, p.prompt_id, p.place, (
      SELECT position FROM (SELECT t.position, persona_reward(e.weights, CASE e.method_id WHEN 2 THEN t.popular ELSE t.rewards END) AS score
                            FROM temp.fewshot_test t WHERE t.prompt_id = p.prompt_id)
      ORDER BY score DESC, position LIMIT 1) AS position
    FROM estimate e CROSS JOIN (SELECT prompt_id, min(place) AS place FROM temp.fewshot_test GROUP BY prompt_id) p WHERE e.person >= 100000
  ), summed AS (
    SELECT k.method_id, k.form, k.person, k.place, sum(persona_reward(u.weights, t.rewards) - s.random) AS gained, sum(s.best - s.random) AS scope
    FROM picked k JOIN temp.fewshot_test t ON t.prompt_id = k.prompt_id AND t.position = k.position
    JOIN temp.fewshot_scope s ON s.person = k.person AND s.prompt_id = k.prompt_id JOIN temp.fewshot_user u ON u.user_id = k.person
    GROUP BY k.method_id, k.form, k.person, k.place
  ), padded AS ( -- a group without prompts counts nothing
    SELECT o.method_id, o.form, o.person, coalesce(s.gained, 0) AS gained, coalesce(s.scope, 0) AS scope
    FROM (SELECT DISTINCT method_id, form, person FROM summed) o CROSS JOIN (SELECT value AS place FROM json_each('[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]')) g
    LEFT JOIN summed s USING (method_id, form, person, place) ORDER BY 1, 2, 3, g.place
  )
  SELECT (SELECT value FROM temp.fewshot_setting WHERE name = 'label'), (SELECT value FROM temp.fewshot_setting WHERE name = 'seed'),
         f.feedback, m.method, d.person - 100000, persona_vector(json_group_array(d.gained)), persona_vector(json_group_array(d.scope))
  FROM padded d JOIN temp.fewshot_form f USING (form) JOIN temp.fewshot_method m USING (method_id)
  GROUP BY d.method_id, d.form, d.person;

-- Unseen users by number of interactions; after 5 of them in detail, with seen users in the last column.
SELECT feedback, method,
       round(max(captured_share) FILTER (WHERE interactions = 1 AND who = 'unseen'), 3) AS captured_1,
       round(max(captured_share) FILTER (WHERE interactions = 3 AND who = 'unseen'), 3) AS captured_3,
       round(max(captured_share) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS captured_5,
       round(max(captured_share) FILTER (WHERE interactions = 10 AND who = 'unseen'), 3) AS captured_10,
       round(max(top1) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS top1,
       round(max(gain_over_pooled) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS over_pooled,
       round(max(gain_error) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS se,
       round(max(worst_decile) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS worst_decile,
       round(max(pair_accuracy) FILTER (WHERE interactions = 5 AND who = 'unseen'), 3) AS pairs,
       round(max(responses_read) FILTER (WHERE interactions = 5 AND who = 'unseen'), 1) AS read,
       round(max(captured_share) FILTER (WHERE interactions = 5 AND who = 'seen'), 3) AS seen_5
FROM temp.fewshot_grid
GROUP BY feedback, method
ORDER BY min(rowid);
