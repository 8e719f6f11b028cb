-- Of what is said to happen with 80 %, do 80 % happen?
--
-- Users mark the best and the worst of the responses to random train prompts, and are then shown two random responses to random test
-- prompts: which will they prefer?  Every method says how likely that is after a few of their answers; the users choose without
-- noise or with Gumbel noise, of a scale that no method is told, in training and in test alike.
--   confidence: the probability of the side that is said to be likelier, 1/2 to 1.  right: how often it is the one (1/2 where both
--   are equally likely).  ece: expected calibration error, the mean distance of the two over ten bins of confidence, weighted by
--   the number of predictions.  brier: mean (p - y)^2.  log_loss: mean -ln of the probability of what happened, in nats.
-- Beside the posteriors: Bradley-Terry on all implied pairs, whose sigma(w.(a - b)) knows of no uncertainty, and a coin.
-- Standard errors are over users.
--
-- On alpaca8 with the settings below: without noise the default posterior is calibrated (ece .017, .014, .010 after 1, 3, 10 answers; brier
--   .098, .048, .021).  Of users with noise .3 it is too sure at first (ece .130, .068, .028; says .80 where .68 are right after one answer),
--   as its prior knows no noise; the prior learned from noisy others is not (.041, .027, .015).  A sharpness of 20 stays too sure
--   (.205, .223, .204), Bradley-Terry and the Gaussian posterior are not sure enough without noise (.099 and .119 after 10).
--
-- Needs: prompts, responses.  Keeps temp.calibration_prediction (one row a prediction), temp.calibration (method, noise,
-- interactions) and temp.calibration_bin.
-- To change a setting, insert it before: CREATE TEMP TABLE calibration_setting(name PRIMARY KEY, value); for other users make
-- temp.calibration_population and temp.calibration_teachers, tables or views (user_id, weights), ids from 0.

CREATE TEMP TABLE IF NOT EXISTS calibration_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.calibration_setting VALUES
  ('users', 100), ('teachers', 100), -- at most 100,000 each
  ('shots', '[1,3,10]'),             -- at most 99
  ('noises', '[0,0.1,0.3]'),         -- at most 90 of them
  ('predictions', 20),               -- of each user
  ('seed', 52);                      -- of the histories, and the next one of the test pairs; the populations have their own below

CREATE VIRTUAL TABLE IF NOT EXISTS temp.calibration_population USING persona_users(count=100000, alpha=0.05, seed=50, generator=philox);
CREATE VIRTUAL TABLE IF NOT EXISTS temp.calibration_teachers USING persona_users(count=100000, alpha=0.05, seed=51, generator=philox);

-- 17 is user 17, 100017 teacher 17; with the place of the noise before it, 2000017 is user 17 with the third noise.
DROP TABLE IF EXISTS temp.calibration_user;
CREATE TEMP TABLE calibration_user AS
  SELECT user_id, weights FROM temp.calibration_population WHERE user_id < (SELECT value FROM temp.calibration_setting WHERE name = 'users')
  UNION ALL
  SELECT 100000 + user_id, weights FROM temp.calibration_teachers WHERE user_id < (SELECT value FROM temp.calibration_setting WHERE name = 'teachers');
DROP TABLE IF EXISTS temp.calibration_noise;
CREATE TEMP TABLE calibration_noise AS
  SELECT key AS place, value AS noise FROM json_each((SELECT value FROM temp.calibration_setting WHERE name = 'noises'));

DROP TABLE IF EXISTS temp.calibration_history;
CREATE TEMP TABLE calibration_history AS
  SELECT n.place * 1000000 + i.user_id AS user_id, i.turn, i.prompt_id, i.chosen_id, i.rejected_id, i.response_id, i.shown
  FROM temp.calibration_noise n CROSS JOIN persona_interactions('calibration_user', 'train',
         (SELECT max(value) FROM json_each((SELECT value FROM temp.calibration_setting WHERE name = 'shots'))), 'best_worst',
         (SELECT value FROM temp.calibration_setting WHERE name = 'seed'), json_object('noise', n.noise)) i;
DROP TABLE IF EXISTS temp.calibration_shown;
CREATE TEMP TABLE calibration_shown AS SELECT * FROM persona_choices('calibration_history');
CREATE INDEX temp.calibration_shown_user ON calibration_shown(user_id, choice_set);

DROP TABLE IF EXISTS temp.calibration_pair;
CREATE TEMP TABLE calibration_pair AS
  SELECT n.place, i.user_id, i.turn, a.rewards AS features_a, b.rewards AS features_b, i.chosen_id = a.response_id AS prefers_a
  FROM temp.calibration_noise n CROSS JOIN persona_interactions('calibration_user', 'test',
         (SELECT value FROM temp.calibration_setting WHERE name = 'predictions'), 'random_pair',
         (SELECT value + 1 FROM temp.calibration_setting WHERE name = 'seed'), json_object('noise', n.noise)) i
  JOIN responses a ON a.response_id = min(i.chosen_id, i.rejected_id) JOIN responses b ON b.response_id = max(i.chosen_id, i.rejected_id)
  WHERE i.user_id < 100000;
CREATE INDEX temp.calibration_pair_user ON calibration_pair(place, user_id);

DROP TABLE IF EXISTS temp.calibration_prior;
CREATE TEMP TABLE calibration_prior AS
  SELECT user_id / 1000000 AS place, learn_users_choices(user_id, choice_set, features, feedback) AS model
  FROM temp.calibration_shown WHERE user_id % 1000000 >= 100000 GROUP BY place;

DROP TABLE IF EXISTS temp.calibration_method;
CREATE TEMP TABLE calibration_method(method_id INTEGER PRIMARY KEY, method TEXT, options TEXT, learned INTEGER);
INSERT INTO temp.calibration_method VALUES
  (1, 'a coin', NULL, 0), (2, 'Bradley-Terry, implied pairs', '{"method":"bradley_terry","pairs":"implied"}', 0),
  (3, 'Gaussian posterior', '{"return":"model","prior":"gaussian"}', 0),
  (4, 'posterior, sharpness 20', '{"return":"model","sharpness":20}', 0),
  (5, 'posterior (default)', '{"return":"model"}', 0), (6, 'posterior, learned prior', '{"return":"model"}', 1);

-- What each method knows after n answers: weights, or a posterior as a model.
DROP TABLE IF EXISTS temp.calibration_known;
CREATE TEMP TABLE calibration_known AS
  SELECT m.method_id, n.value AS interactions, s.user_id / 1000000 AS place, s.user_id % 1000000 AS user_id,
         adapt_user_choices(s.choice_set, s.features, s.feedback, m.options,
                            (SELECT p.model FROM temp.calibration_prior p WHERE m.learned AND p.place = s.user_id / 1000000)) AS known
  FROM temp.calibration_method m CROSS JOIN json_each((SELECT value FROM temp.calibration_setting WHERE name = 'shots')) n
  CROSS JOIN temp.calibration_shown s
  WHERE m.options IS NOT NULL AND s.choice_set <= n.value AND s.user_id % 1000000 < 100000
  GROUP BY m.method_id, n.value, s.user_id;

DROP TABLE IF EXISTS temp.calibration_prediction;
CREATE TEMP TABLE calibration_prediction AS
  SELECT k.method_id, k.place, k.interactions, k.user_id, p.turn, p.prefers_a,
         CASE k.method_id WHEN 2 THEN 1 / (1 + exp(persona_reward(k.known, p.features_b) - persona_reward(k.known, p.features_a)))
                          ELSE preference_probability(k.known, p.features_a, p.features_b) END AS probability
  FROM temp.calibration_known k CROSS JOIN temp.calibration_pair p ON p.place = k.place AND p.user_id = k.user_id
  UNION ALL
  SELECT 1, p.place, n.value, p.user_id, p.turn, p.prefers_a, 0.5
  FROM temp.calibration_pair p, json_each((SELECT value FROM temp.calibration_setting WHERE name = 'shots')) n;

DROP TABLE IF EXISTS temp.calibration_bin;
CREATE TEMP TABLE calibration_bin AS
  SELECT m.method, n.noise, p.interactions, min(cast((max(p.probability, 1 - p.probability) - 0.5) * 20 AS INTEGER), 9) AS bin,
         count(*) AS predictions, avg(max(p.probability, 1 - p.probability)) AS confidence,
         avg(CASE WHEN p.probability = 0.5 THEN 0.5 ELSE (p.probability > 0.5) = p.prefers_a END) AS right
  FROM temp.calibration_prediction p JOIN temp.calibration_method m USING (method_id) JOIN temp.calibration_noise n USING (place)
  GROUP BY p.place, p.interactions, p.method_id, bin ORDER BY p.place, p.interactions, p.method_id, bin;

DROP TABLE IF EXISTS temp.calibration;
CREATE TEMP TABLE calibration AS
  WITH loss AS (
    SELECT p.*, (probability - prefers_a) * (probability - prefers_a) AS brier,
           -ln(max(CASE WHEN prefers_a THEN probability ELSE 1 - probability END, 1e-12)) AS log_loss
    FROM temp.calibration_prediction p
  ), per_user AS (
    SELECT method_id, place, interactions, user_id, avg(brier) AS brier, avg(log_loss) AS log_loss FROM loss
    GROUP BY method_id, place, interactions, user_id
  ), score AS (
    SELECT method_id, place, interactions, avg(brier) AS brier, avg(log_loss) AS log_loss, count(*) AS users,
           sqrt(max(avg(brier * brier) - avg(brier) * avg(brier), 0) / nullif(count(*) - 1, 0)) AS brier_error,
           sqrt(max(avg(log_loss * log_loss) - avg(log_loss) * avg(log_loss), 0) / nullif(count(*) - 1, 0)) AS log_loss_error
    FROM per_user GROUP BY method_id, place, interactions
  ), binned AS (
    SELECT method, noise, interactions, sum(predictions) AS predictions, sum(predictions * abs(confidence - right)) / sum(predictions) AS ece,
           sum(predictions * confidence) / sum(predictions) AS confidence, sum(predictions * right) / sum(predictions) AS right
    FROM temp.calibration_bin GROUP BY method, noise, interactions
  )
  SELECT m.method, n.noise, s.interactions, s.users, b.predictions, b.confidence, b.right, b.ece, s.brier, s.brier_error, s.log_loss, s.log_loss_error
  FROM score s JOIN temp.calibration_method m USING (method_id) JOIN temp.calibration_noise n USING (place)
  JOIN binned b ON b.method = m.method AND b.noise = n.noise AND b.interactions = s.interactions
  ORDER BY s.place, s.interactions, s.method_id;

SELECT noise, interactions, method, round(confidence, 3) AS confidence, round(right, 3) AS right, round(ece, 3) AS ece,
       round(brier, 4) AS brier, round(brier_error, 4) AS se, round(log_loss, 3) AS log_loss, round(log_loss_error, 3) AS log_loss_se
FROM temp.calibration;

-- The calibration table: the default posterior, all numbers of interactions together.
SELECT noise, printf('%.2f to %.2f', 0.5 + bin * 0.05, 0.55 + bin * 0.05) AS said, sum(predictions) AS predictions,
       round(sum(predictions * confidence) / sum(predictions), 3) AS confidence, round(sum(predictions * right) / sum(predictions), 3) AS right,
       persona_bar(sum(predictions * right) / sum(predictions), 1, 20) AS bar
FROM temp.calibration_bin WHERE method = 'posterior (default)' GROUP BY noise, bin;
