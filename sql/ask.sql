-- Which question should a user be asked next, and how many fewer does that take than asking at random?
--
-- A question shows two random responses to a train prompt: which do you prefer?  All users are asked from one pool, each the
-- questions that a strategy picks by what that user has answered so far:
--   at random
--   least certain answer     the pair whose answer is nearest to a coin's toss, by preference_probability
--   PReF                     the pair where sigma'(lambda.h)^2 h' M^-1 h is largest, M = .001 I + sum sigma' h h' over what was asked
--                            (2503.06358), the first one at random; features have been scaled to root mean square 1 in what was asked
--   information gain         the pair whose answer is expected to tell most about weights and sharpness, in bits, under the
--                            posterior of what was answered, with the default prior or one that other users have taught
-- What was answered after each question then becomes weights, by four methods alike for all strategies, and the weights pick a
-- response to every test prompt.  A user gives the same answer whoever asks, so that strategies are compared in pairs.
--   captured_share, top1: as in fewshot.sql.  over_random: captured share of a user's questions, minus that at random, with its
--   standard error over users.  needed: questions until the captured share is what random questions give after as many as
--   the column says; saved: the share of questions that need not be asked.
--
-- On alpaca8 (100 users, a pool of 200, the other settings as below; captured share after 5, 10, 20 questions, default posterior):
--   at random .872 .945 .979, least certain .864 .974 .996, PReF .907 .970 .993, information gain .953 .990 .998: 8 questions instead
--   of 20 at random (PReF 12), 5 instead of 10 (PReF 8).  With a logistic regression as PReF's, PReF needs 13 instead of 20, while the
--   questions of information gain are worse than random ones (.637 after 5, against .725): they presume the prior that they ask
--   about.  So ask by the model that will learn from the answers.
--   With noise .3, after 5 and 10: at random .767 .845, PReF .819 .860, information gain .861 .908, with the prior learned from users as
--   noisy .907 .941, which is more than twenty random questions teach (.902).
--
-- Needs: prompts, responses.  Keeps temp.ask_asked (who was asked what), temp.ask_grid, and temp.fewshot, which
-- persona_chart('fewshot') draws (strategies, the default posterior).
-- To change a setting, insert it before: CREATE TEMP TABLE ask_setting(name PRIMARY KEY, value); for other users make
-- temp.ask_population and temp.ask_teachers, tables or views (user_id, weights), ids from 0.

CREATE TEMP TABLE IF NOT EXISTS ask_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.ask_setting VALUES
  ('users', 50),     -- at most 10,000
  ('pool', 100),     -- questions to choose from, at most 10,000
  ('questions', 20), -- asked, at most 99; fewer where the pool has no more
  ('teachers', 100), -- users from whom a prior is learned, by ten choice sets each
  ('noise', 0),      -- Gumbel scale of the users' choices
  ('seed', 45);      -- of pool and teachers' histories; populations and chance have their own below

CREATE VIRTUAL TABLE IF NOT EXISTS temp.ask_population USING persona_users(count=10000, alpha=0.05, seed=41, generator=philox);
CREATE VIRTUAL TABLE IF NOT EXISTS temp.ask_teachers USING persona_users(count=10000, alpha=0.05, seed=42, generator=philox);
-- One of two weights under alpha = 1 is uniform between 0 and 1: numbers by which users choose, and questions are drawn.
DROP TABLE IF EXISTS temp.ask_chance;
CREATE VIRTUAL TABLE temp.ask_chance USING persona_users(count=100000000, alpha=1, seed=43, generator=philox, models=[one, other]);
DROP TABLE IF EXISTS temp.ask_lot;
CREATE VIRTUAL TABLE temp.ask_lot USING persona_users(count=100000000, alpha=1, seed=44, generator=philox, models=[one, other]);

DROP TABLE IF EXISTS temp.ask_user;
CREATE TEMP TABLE ask_user AS
  SELECT user_id, weights FROM temp.ask_population WHERE user_id < (SELECT value FROM temp.ask_setting WHERE name = 'users');
DROP TABLE IF EXISTS temp.ask_drawer;
CREATE TEMP TABLE ask_drawer AS SELECT user_id, weights FROM temp.ask_user ORDER BY user_id LIMIT 1; -- whose random pairs are the pool
DROP TABLE IF EXISTS temp.ask_question;
CREATE TEMP TABLE ask_question AS
  SELECT i.turn AS question, a.response_id AS a, b.response_id AS b, a.rewards AS features_a, b.rewards AS features_b
  FROM persona_interactions('ask_drawer', 'train', (SELECT value FROM temp.ask_setting WHERE name = 'pool'), 'random_pair',
                            (SELECT value FROM temp.ask_setting WHERE name = 'seed')) i
  JOIN responses a ON a.response_id = min(i.chosen_id, i.rejected_id) JOIN responses b ON b.response_id = max(i.chosen_id, i.rejected_id);

-- What each user would answer to each question.
DROP TABLE IF EXISTS temp.ask_answer;
CREATE TEMP TABLE ask_answer(user_id INTEGER, question INTEGER, prefers_a INTEGER, lot REAL, PRIMARY KEY(user_id, question)) WITHOUT ROWID;
INSERT INTO temp.ask_answer
  SELECT u.user_id, q.question,
         persona_reward(u.weights, q.features_a) - persona_reward(u.weights, q.features_b)
         + (SELECT value FROM temp.ask_setting WHERE name = 'noise') * (ln(c.one) - ln(c.other)) >= 0, l.one
  FROM temp.ask_user u CROSS JOIN temp.ask_question q
  JOIN temp.ask_chance c ON c.user_id = u.user_id * 10000 + q.question - 1 JOIN temp.ask_lot l ON l.user_id = u.user_id * 10000 + q.question - 1;
DROP TABLE IF EXISTS temp.ask_shown;
CREATE TEMP TABLE ask_shown(user_id INTEGER, question INTEGER, side INTEGER, features BLOB, feedback TEXT, PRIMARY KEY(user_id, question, side)) WITHOUT ROWID;
INSERT INTO temp.ask_shown
  SELECT user_id, question, 1, features_a, CASE WHEN prefers_a THEN 'best' END FROM temp.ask_answer JOIN temp.ask_question USING (question)
  UNION ALL
  SELECT user_id, question, 2, features_b, CASE WHEN NOT prefers_a THEN 'best' END FROM temp.ask_answer JOIN temp.ask_question USING (question);

DROP TABLE IF EXISTS temp.ask_history;
CREATE TEMP TABLE ask_history AS
  SELECT * FROM persona_interactions('ask_teachers', 'train', 10, 'best_worst', (SELECT value FROM temp.ask_setting WHERE name = 'seed'),
                                     (SELECT json_object('noise', value) FROM temp.ask_setting WHERE name = 'noise'))
  WHERE user_id < (SELECT value FROM temp.ask_setting WHERE name = 'teachers');
DROP TABLE IF EXISTS temp.ask_prior;
CREATE TEMP TABLE ask_prior AS
  SELECT 'prior' AS learner, learn_users_choices(user_id, choice_set, features, feedback) AS model FROM persona_choices('ask_history');

DROP TABLE IF EXISTS temp.ask_strategy;
CREATE TEMP TABLE ask_strategy(strategy_id INTEGER PRIMARY KEY, strategy TEXT, measure TEXT, options TEXT, learner TEXT);
INSERT INTO temp.ask_strategy VALUES
  (1, 'at random', 'lot', '{"return":"model"}', NULL),
  (2, 'least certain answer', 'certainty', '{"return":"model"}', NULL),
  (3, 'PReF', 'variance', (SELECT json_object('return', 'model', 'prior', 'gaussian', 'sharpness', sqrt(count(*) / 0.001)) FROM reward_models), NULL),
  (4, 'information gain', 'gain', '{"return":"model"}', NULL),
  (5, 'information gain, learned prior', 'gain', '{"return":"model"}', 'prior');

-- One step is one question: the posterior of the questions asked so far, then the best of those that are left.  The row of
-- question 1 without feedback says nothing; with it the posterior of no answers is the prior, not NULL.
DROP TABLE IF EXISTS temp.ask_asked;
CREATE TEMP TABLE ask_asked AS
  WITH RECURSIVE step(strategy_id, user_id, turn, asked) AS (
    SELECT strategy_id, user_id, 0, '[]' FROM temp.ask_strategy, temp.ask_user
    UNION ALL
    SELECT strategy_id, user_id, turn + 1, json_insert(asked, '$[#]', (
      WITH known(model) AS MATERIALIZED (
        SELECT adapt_user_choices(e.question, e.features, e.feedback, s.options, (SELECT model FROM temp.ask_prior WHERE learner = s.learner))
        FROM (SELECT 0 AS question, features_a AS features, NULL AS feedback FROM temp.ask_question WHERE question = 1
              UNION ALL
              SELECT w.question, w.features, w.feedback
              FROM json_each(p.asked) j JOIN temp.ask_shown w ON w.user_id = p.user_id AND w.question = j.value) e
      )
      SELECT question FROM (
        SELECT q.question, CASE WHEN s.measure = 'lot' OR (s.measure = 'variance' AND p.turn = 0) THEN a.lot
                                WHEN s.measure = 'certainty' THEN -abs(preference_probability(known.model, q.features_a, q.features_b) - 0.5)
                                ELSE preference_information(known.model, q.features_a, q.features_b, s.measure) END AS value
        FROM known CROSS JOIN temp.ask_question q JOIN temp.ask_answer a ON a.user_id = p.user_id AND a.question = q.question
        WHERE q.question NOT IN (SELECT value FROM json_each(p.asked))
      )
      ORDER BY value DESC, question LIMIT 1))
    FROM step p JOIN temp.ask_strategy s USING (strategy_id)
    WHERE p.turn < (SELECT value FROM temp.ask_setting WHERE name = 'questions') AND p.turn < (SELECT count(*) FROM temp.ask_question)
  )
  SELECT strategy_id, user_id, turn, asked ->> '$[#-1]' AS question FROM step WHERE turn > 0;

-- What was known after each question: 20021700045 is learner 2, strategy 2, question 17, user 45.
DROP TABLE IF EXISTS temp.ask_evidence;
CREATE TEMP TABLE ask_evidence AS
  SELECT n.strategy_id * 10000000 + n.turn * 100000 + n.user_id AS user_id, q.turn AS choice_set, w.features, w.feedback
  FROM temp.ask_asked n JOIN temp.ask_asked q ON q.strategy_id = n.strategy_id AND q.user_id = n.user_id AND q.turn <= n.turn
  JOIN temp.ask_shown w ON w.user_id = q.user_id AND w.question = q.question;
DROP TABLE IF EXISTS temp.ask_learner;
CREATE TEMP TABLE ask_learner(learner_id INTEGER PRIMARY KEY, learner TEXT, options TEXT, prior TEXT);
INSERT INTO temp.ask_learner VALUES
  (1, 'posterior (default)', '{}', NULL), (2, 'posterior, learned prior', '{}', 'prior'),
  (3, 'Bradley-Terry', '{"method":"bradley_terry"}', NULL), (4, 'logistic regression, as PReF', '{"method":"bradley_terry","lambda":0.001}', NULL);
DROP TABLE IF EXISTS temp.ask_estimate;
CREATE TEMP TABLE ask_estimate AS
  SELECT l.learner_id * 10000000000 + a.user_id AS user_id, a.weights
  FROM temp.ask_learner l CROSS JOIN persona_adapt('ask_evidence', (SELECT model FROM temp.ask_prior p WHERE p.learner = l.prior), l.options) a;
DROP TABLE IF EXISTS temp.ask_truth;
CREATE TEMP TABLE ask_truth AS
  SELECT e.user_id, u.weights FROM temp.ask_estimate e JOIN temp.ask_user u ON u.user_id = e.user_id % 100000;
DROP TABLE IF EXISTS temp.ask_judged;
CREATE TEMP TABLE ask_judged AS
  SELECT user_id / 10000000000 AS learner_id, user_id / 10000000 % 1000 AS strategy_id, user_id / 100000 % 100 AS questions,
         user_id % 100000 AS user_id, top1, reward, best_reward, random_reward
  FROM persona_evaluate('ask_truth', 'ask_estimate', 'test');

DROP TABLE IF EXISTS temp.ask_grid;
CREATE TEMP TABLE ask_grid AS
  WITH paired AS ( -- best and random are the user's own: the same whoever asks
    SELECT j.*, j.reward - r.reward AS ahead, j.best_reward - j.random_reward AS scope, j.reward - j.random_reward AS gained
    FROM temp.ask_judged j JOIN temp.ask_judged r USING (learner_id, questions, user_id) WHERE r.strategy_id = 1
  ), total AS (
    SELECT learner_id, strategy_id, questions, count(*) AS users, avg(top1) AS top1, sum(scope) AS scope,
           sum(gained) / sum(scope) AS share, sum(ahead) / sum(scope) AS ahead
    FROM paired GROUP BY learner_id, strategy_id, questions
  )
  SELECT l.learner, s.strategy, t.questions, t.users, t.top1, t.share AS captured_share, t.ahead AS over_random,
         sqrt(sum((p.gained - t.share * p.scope) * (p.gained - t.share * p.scope)) * t.users / nullif(t.users - 1, 0)) / t.scope AS error,
         sqrt(sum((p.ahead - t.ahead * p.scope) * (p.ahead - t.ahead * p.scope)) * t.users / nullif(t.users - 1, 0)) / t.scope AS paired_error
  FROM total t JOIN paired p USING (learner_id, strategy_id, questions)
  JOIN temp.ask_learner l USING (learner_id) JOIN temp.ask_strategy s USING (strategy_id)
  GROUP BY learner_id, strategy_id, questions ORDER BY learner_id, strategy_id, questions;

DROP TABLE IF EXISTS temp.fewshot;
CREATE TEMP TABLE fewshot AS
  SELECT strategy AS method, questions AS interactions, captured_share, top1, captured_share - 1.96 * error AS low, captured_share + 1.96 * error AS high
  FROM temp.ask_grid WHERE learner = 'posterior (default)' ORDER BY rowid;

-- Captured share and top1 by number of questions; the difference to random questions after five.
SELECT learner, strategy,
       round(max(captured_share) FILTER (WHERE questions = 1), 3) AS captured_1, round(max(captured_share) FILTER (WHERE questions = 3), 3) AS captured_3,
       round(max(captured_share) FILTER (WHERE questions = 5), 3) AS captured_5, round(max(captured_share) FILTER (WHERE questions = 10), 3) AS captured_10,
       round(max(captured_share) FILTER (WHERE questions = 20), 3) AS captured_20,
       round(max(top1) FILTER (WHERE questions = 5), 3) AS top1_5, round(max(top1) FILTER (WHERE questions = 10), 3) AS top1_10,
       round(max(over_random) FILTER (WHERE questions = 5), 3) AS over_random_5, round(max(paired_error) FILTER (WHERE questions = 5), 3) AS se
FROM temp.ask_grid GROUP BY learner, strategy ORDER BY min(rowid);

-- How many questions reach what random ones reach after 5, 10 and 20?  NULL: not within those asked.
WITH goal AS (
  SELECT learner, questions AS random, captured_share AS share, top1 FROM temp.ask_grid WHERE strategy = 'at random' AND questions IN (5, 10, 20)
), reached AS (
  SELECT o.learner, g.strategy, o.random, min(g.questions) FILTER (WHERE g.captured_share >= o.share) AS needed,
         min(g.questions) FILTER (WHERE g.top1 >= o.top1) AS needed_top1, min(g.rowid) AS place
  FROM goal o JOIN temp.ask_grid g ON g.learner = o.learner GROUP BY o.learner, g.strategy, o.random
)
SELECT learner, strategy, random AS random_questions, needed, round(1 - 1.0 * needed / random, 2) AS saved,
       needed_top1, round(1 - 1.0 * needed_top1 / random, 2) AS saved_top1
FROM reached WHERE strategy <> 'at random' ORDER BY random, place;
