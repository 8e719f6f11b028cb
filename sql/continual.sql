-- What does forgetting gain when users change, and what does it cost when they do not?
--
-- Every user marks the best and the worst of eight responses to one random train prompt a turn, with the weights of that
-- turn: (1 - l) a + l b, l = 1 - exp(-drift (turn - 1)), from one taste to an independent one.  Window functions adapt after
-- every turn: from everything, from the last turns only (GROUPS n PRECEDING), or with a half-life.  What was learned up to
-- turn t picks a response to every test prompt for the user of turn t + 1, and is judged by the weights of turn t + 1:
-- no estimate has seen feedback of the turn that it is judged at.
--   regret: what the pick lacks to the best response, in the users' utility; 0 is perfect.
-- The same users without drift (the weights of turn 1 throughout) say what forgetting costs.  Differences are paired: the same
-- users and turns, the standard error over users.
--
-- On alpaca8 with the settings below: remembering everything costs drifting users a regret of .0594 a turn on average; the last 10 turns
--   .0374 (.0221 less, standard error .0022), a half-life of 3 turns .0383, one of 10 .0441.  Users who do not change pay for that
--   with .0293, .0323 and .0222 instead of .0199: a half-life of 10 gains .0154 where tastes drift and costs .0023 where they do not.
--   The default posterior (40 users, options '{}') needs less: .0452 without forgetting, .0175 from the last 5 turns, .0179 with a
--   half-life of 3 (.0273 less, standard error .0044); still users .0051, .0117 and .0082.
--
-- Needs: prompts, responses.  Keeps temp.continual, which persona_chart('continual') draws (the drifting users; low and high:
-- 95 %, over users), and temp.continual_user with each user's regret.
-- To change a setting, insert it before: CREATE TEMP TABLE continual_setting(name PRIMARY KEY, value), then for instance
-- ('options', '{}') for the default posterior (minutes instead of seconds).

CREATE TEMP TABLE IF NOT EXISTS continual_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.continual_setting VALUES
  ('users', 200),  -- at most 100,000
  ('turns', 40),   -- at most 999
  ('seed', 21),    -- of the histories; the population's own seed is below
  ('options', '{"method":"bradley_terry","pairs":"implied"}');

DROP TABLE IF EXISTS temp.drifting;
CREATE VIRTUAL TABLE temp.drifting USING persona_users(count=100000, alpha=0.05, seed=20, generator=philox, drift=0.1);

-- A user at a turn is a user of its own: 17003 is user 17 at turn 3, 100017003 the same one who does not drift.
DROP TABLE IF EXISTS temp.moment;
CREATE TEMP TABLE moment AS
  WITH RECURSIVE turns(turn) AS (
    SELECT 1 UNION ALL SELECT turn + 1 FROM turns WHERE turn < (SELECT value FROM temp.continual_setting WHERE name = 'turns')
  ), person(drifts, turn, user_id, weights) AS (
    SELECT 1, t.turn, d.user_id, d.weights FROM turns t CROSS JOIN temp.drifting d ON d.turn = t.turn
    UNION ALL
    SELECT 0, t.turn, d.user_id, d.weights FROM turns t CROSS JOIN temp.drifting d ON d.turn = 1
  )
  SELECT (1 - drifts) * 100000000 + user_id * 1000 + turn AS user_id, weights
  FROM person WHERE user_id < (SELECT value FROM temp.continual_setting WHERE name = 'users');

DROP TABLE IF EXISTS temp.moment_history;
CREATE TEMP TABLE moment_history AS
  SELECT user_id / 1000 AS user_id, user_id % 1000 AS turn, prompt_id, chosen_id, rejected_id, response_id, shown
  FROM persona_interactions('moment', 'train', 1, 'best_worst', (SELECT value FROM temp.continual_setting WHERE name = 'seed'));
DROP TABLE IF EXISTS temp.moment_shown;
CREATE TEMP TABLE moment_shown AS SELECT * FROM persona_choices('moment_history');

-- One row after each turn, one column a way to forget.
DROP TABLE IF EXISTS temp.learned;
CREATE TEMP TABLE learned AS
  WITH o(plain, slow, fast) AS (
    SELECT value, json_set(value, '$.half_life', 10), json_set(value, '$.half_life', 3)
    FROM temp.continual_setting WHERE name = 'options'
  )
  SELECT DISTINCT user_id, choice_set AS turn,
         adapt_user_choices(choice_set, features, feedback, '{"method":"uniform"}') OVER (turns GROUPS CURRENT ROW) AS uniform,
         adapt_user_choices(choice_set, features, feedback, plain) FILTER (WHERE choice_set <= 5) OVER turns AS first_5,
         adapt_user_choices(choice_set, features, feedback, plain) OVER turns AS everything,
         adapt_user_choices(choice_set, features, feedback, plain) OVER (turns GROUPS 19 PRECEDING) AS last_20,
         adapt_user_choices(choice_set, features, feedback, plain) OVER (turns GROUPS 9 PRECEDING) AS last_10,
         adapt_user_choices(choice_set, features, feedback, plain) OVER (turns GROUPS 4 PRECEDING) AS last_5,
         adapt_user_choices(choice_set, features, feedback, slow) OVER turns AS half_life_10,
         adapt_user_choices(choice_set, features, feedback, fast) OVER turns AS half_life_3
  FROM temp.moment_shown, o
  WHERE choice_set < (SELECT value FROM temp.continual_setting WHERE name = 'turns')
  WINDOW turns AS (PARTITION BY user_id ORDER BY choice_set);

DROP TABLE IF EXISTS temp.forgetting;
CREATE TEMP TABLE forgetting(method_id INTEGER PRIMARY KEY, method TEXT);
INSERT INTO temp.forgetting(method) VALUES
  ('uniform weights'), ('first 5 turns only'), ('no forgetting'), ('last 20 turns'), ('last 10 turns'), ('last 5 turns'),
  ('half-life 10 turns'), ('half-life 3 turns');

DROP TABLE IF EXISTS temp.moment_estimate;
CREATE TEMP TABLE moment_estimate AS
  SELECT method_id * 1000000000 + user_id * 1000 + turn + 1 AS user_id,
         CASE method_id WHEN 1 THEN uniform WHEN 2 THEN first_5 WHEN 3 THEN everything WHEN 4 THEN last_20 WHEN 5 THEN last_10
                        WHEN 6 THEN last_5 WHEN 7 THEN half_life_10 ELSE half_life_3 END AS weights
  FROM temp.learned, temp.forgetting;
DROP TABLE IF EXISTS temp.moment_truth;
CREATE TEMP TABLE moment_truth AS
  SELECT e.user_id, m.weights FROM temp.moment_estimate e JOIN temp.moment m ON m.user_id = e.user_id % 1000000000;

DROP TABLE IF EXISTS temp.continual_user;
CREATE TEMP TABLE continual_user AS
  SELECT f.method, e.user_id % 1000000000 < 100000000 AS drifts, e.user_id / 1000 % 100000 AS user_id, e.user_id % 1000 AS turn, e.regret
  FROM persona_evaluate('moment_truth', 'moment_estimate', 'test') e
  JOIN temp.forgetting f ON f.method_id = e.user_id / 1000000000;

DROP TABLE IF EXISTS temp.continual;
CREATE TEMP TABLE continual AS
  WITH at_turn AS (
    SELECT method, turn, avg(regret) AS regret, count(*) AS n, sum(regret * regret) AS squares
    FROM temp.continual_user WHERE drifts GROUP BY method, turn
  ), spread AS (
    SELECT *, 1.96 * sqrt(max(squares - n * regret * regret, 0) / nullif(n - 1, 0) / n) AS half FROM at_turn
  )
  SELECT method, turn, regret, regret - half AS low, regret + half AS high
  FROM spread JOIN temp.forgetting USING (method) ORDER BY method_id, turn;

WITH user_mean AS (
  SELECT method, drifts, user_id, avg(regret) AS regret FROM temp.continual_user GROUP BY method, drifts, user_id
), summary AS (
  SELECT m.method, m.drifts, avg(m.regret) AS regret, avg(m.regret - base.regret) AS difference,
         sqrt(max(sum((m.regret - base.regret) * (m.regret - base.regret)) / count(*)
                  - avg(m.regret - base.regret) * avg(m.regret - base.regret), 0) / nullif(count(*) - 1, 0)) AS error
  FROM user_mean m JOIN user_mean base USING (drifts, user_id)
  WHERE base.method = 'no forgetting' GROUP BY m.method, m.drifts
), chosen AS (
  SELECT method, max(regret) FILTER (WHERE turn = 2) AS turn_2, max(regret) FILTER (WHERE turn = 5) AS turn_5,
         max(regret) FILTER (WHERE turn = 10) AS turn_10, max(regret) FILTER (WHERE turn = 20) AS turn_20,
         max(regret) FILTER (WHERE turn = 40) AS turn_40
  FROM temp.continual GROUP BY method
)
SELECT method, round(turn_2, 3) AS turn_2, round(turn_5, 3) AS turn_5, round(turn_10, 3) AS turn_10, round(turn_20, 3) AS turn_20,
       round(turn_40, 3) AS turn_40, round(d.regret, 4) AS drifting, round(d.difference, 4) AS against_none, round(d.error, 4) AS se,
       round(s.regret, 4) AS still, round(s.difference, 4) AS still_against_none, round(s.error, 4) AS still_se
FROM chosen JOIN temp.forgetting USING (method)
JOIN summary d USING (method) JOIN summary s USING (method)
WHERE d.drifts AND NOT s.drifts
ORDER BY method_id;
