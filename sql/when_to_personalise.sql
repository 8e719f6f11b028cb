-- For which user and which prompt is the personalised answer worth the risk over the popular one?
--
-- Users answer a few random train prompts by their best and worst response.  For every test prompt there is a popular response, the
-- pick of one Bradley-Terry model for all (learned from other users' histories), and a personal one, the pick of the user's
-- posterior mean.  Where they differ, a policy decides which to show:
--   risk        show the personal one where the popular one is worth more with a probability below the threshold, under the posterior
--   gain        show it where it is expected to be worth more by at least the threshold, in the user's utility
--   divided     show it on the share of the prompts that divide other users most, by the entropy of their favourites: knows the prompt
--               only, and other users' true weights
-- Judged by the user's true weights:
--   personalised: share of (user, prompt) where the personal response is shown and differs from the popular one.
--   gained: sum(shown - popular) / sum(best - popular), 0 for never and 1 for the user's own favourite throughout.
--   worse: share of (user, prompt) where what is shown is worth less than the popular response; lost: what that costs, as a share of
--   sum(best - popular).  users_worse, prompts_worse: share of users (prompts) who lose on the whole.
-- Beside them: never, always, hindsight (personal exactly where it is worth more) and the user's favourite.
--
-- On alpaca8 with the settings below, after one interaction: always gains .622 of what can be gained and is worse on .099 of (user, prompt);
--   a risk below .1 gains .463 and is worse on .006, below .3 .579 and .038.  After five: always .971 and .030, a risk below .1 .936 and
--   .005.  The half of the prompts that divides others most gains but half of that (.333, .525): how divided a prompt is says little
--   about whom to personalise for.  What is said of being worse (.22 to .15 by quarter of entropy) is what happens (.22 to .16).
--
-- Needs: prompts, responses.  Keeps temp.personal_choice (one row for user, prompt and number of interactions where the two differ),
-- temp.personal_policy, and temp.personal_entropy.
-- To change a setting, insert it before: CREATE TEMP TABLE personal_setting(name PRIMARY KEY, value); for other users make
-- temp.personal_population and temp.personal_others, tables or views (user_id, weights), ids from 0.

CREATE TEMP TABLE IF NOT EXISTS personal_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.personal_setting VALUES
  ('users', 50), ('others', 100), -- at most 100,000 each
  ('shots', '[1,3,5]'),           -- at most 99
  ('noise', 0),                   -- Gumbel scale of the users' choices
  ('learned', 1),                 -- 1: the prior is learned from the other users; 0: the default one
  ('seed', 62);                   -- of the histories; the populations have their own below

CREATE VIRTUAL TABLE IF NOT EXISTS temp.personal_population USING persona_users(count=100000, alpha=0.05, seed=60, generator=philox);
CREATE VIRTUAL TABLE IF NOT EXISTS temp.personal_others USING persona_users(count=100000, alpha=0.05, seed=61, generator=philox);

-- 17 is user 17, 100017 another one's 17.
DROP TABLE IF EXISTS temp.personal_other;
CREATE TEMP TABLE personal_other AS
  SELECT user_id, weights FROM temp.personal_others WHERE user_id < (SELECT value FROM temp.personal_setting WHERE name = 'others');
DROP TABLE IF EXISTS temp.personal_user;
CREATE TEMP TABLE personal_user AS
  SELECT user_id, weights FROM temp.personal_population WHERE user_id < (SELECT value FROM temp.personal_setting WHERE name = 'users');
DROP TABLE IF EXISTS temp.personal_everybody;
CREATE TEMP TABLE personal_everybody AS
  SELECT user_id, weights FROM temp.personal_user UNION ALL SELECT 100000 + user_id, weights FROM temp.personal_other;

DROP TABLE IF EXISTS temp.personal_history;
CREATE TEMP TABLE personal_history AS
  SELECT * FROM persona_interactions('personal_everybody', 'train',
    (SELECT max(10, max(value)) FROM json_each((SELECT value FROM temp.personal_setting WHERE name = 'shots'))), 'best_worst',
    (SELECT value FROM temp.personal_setting WHERE name = 'seed'), (SELECT json_object('noise', value) FROM temp.personal_setting WHERE name = 'noise'));
DROP TABLE IF EXISTS temp.personal_shown;
CREATE TEMP TABLE personal_shown AS SELECT * FROM persona_choices('personal_history');
DROP TABLE IF EXISTS temp.personal_model;
CREATE TEMP TABLE personal_model AS
  SELECT m.value AS learner, learn_users_choices(s.user_id, s.choice_set, s.features, s.feedback,
           CASE m.value WHEN 'prior' THEN '{"method":"prior"}' ELSE '{"method":"pooled","pairs":"implied"}' END) AS model
  FROM json_each('["pooled","prior"]') m CROSS JOIN temp.personal_shown s
  WHERE s.user_id >= 100000 AND s.choice_set <= 10 GROUP BY m.value;
DELETE FROM temp.personal_model WHERE learner = 'prior' AND NOT (SELECT value FROM temp.personal_setting WHERE name = 'learned');

-- What is known of each user after n interactions.
DROP TABLE IF EXISTS temp.personal_known;
CREATE TEMP TABLE personal_known AS
  SELECT n.value AS interactions, s.user_id,
         adapt_user_choices(s.choice_set, s.features, s.feedback, '{}', (SELECT model FROM temp.personal_model WHERE learner = 'prior')) AS weights,
         adapt_user_choices(s.choice_set, s.features, s.feedback, '{"return":"model"}', (SELECT model FROM temp.personal_model WHERE learner = 'prior')) AS posterior
  FROM json_each((SELECT value FROM temp.personal_setting WHERE name = 'shots')) n CROSS JOIN temp.personal_shown s
  WHERE s.user_id < 100000 AND s.choice_set <= n.value GROUP BY n.value, s.user_id;

DROP TABLE IF EXISTS temp.personal_response;
CREATE TEMP TABLE personal_response(prompt_id INTEGER, position INTEGER, rewards BLOB, popular REAL, PRIMARY KEY(prompt_id, position)) WITHOUT ROWID;
INSERT INTO temp.personal_response
  SELECT r.prompt_id, r.position, r.rewards, persona_reward(w.weights, r.rewards)
  FROM (SELECT persona_vector(json_group_array(weight)) AS weights
        FROM (SELECT weight FROM temp.personal_model m CROSS JOIN model_weights(m.model) WHERE m.learner = 'pooled' ORDER BY position)) w
  CROSS JOIN prompts p JOIN responses r USING (prompt_id) WHERE p.split = 'test' AND r.rewards IS NOT NULL;
DROP TABLE IF EXISTS temp.personal_popular;
CREATE TEMP TABLE personal_popular AS -- SQLite takes the other columns from the row of the maximum; a tie goes to the first position
  SELECT prompt_id, position, rewards, max(popular) AS score FROM (SELECT * FROM temp.personal_response ORDER BY prompt_id, position) GROUP BY prompt_id;

DROP TABLE IF EXISTS temp.personal_entropy;
CREATE TEMP TABLE personal_entropy AS
  SELECT prompt_id, entropy, percent_rank() OVER (ORDER BY round(entropy, 9) DESC, prompt_id) AS place
  FROM (SELECT prompt_id, -sum(CASE WHEN best_votes THEN 1.0 * best_votes / users * ln(1.0 * best_votes / users) ELSE 0 END) AS entropy
        FROM (SELECT *, sum(best_votes) OVER (PARTITION BY prompt_id) AS users FROM persona_votes('personal_other', 'test'))
        GROUP BY prompt_id);

-- What personalisation could gain of each user and prompt, whatever is shown.
DROP TABLE IF EXISTS temp.personal_scope;
CREATE TEMP TABLE personal_scope AS
  SELECT u.user_id, r.prompt_id, max(persona_reward(u.weights, r.rewards)) - persona_reward(u.weights, p.rewards) AS scope
  FROM temp.personal_user u CROSS JOIN temp.personal_response r JOIN temp.personal_popular p USING (prompt_id)
  GROUP BY u.user_id, r.prompt_id;

DROP TABLE IF EXISTS temp.personal_choice;
CREATE TEMP TABLE personal_choice AS
  SELECT k.interactions, k.user_id, p.prompt_id, e.entropy, e.place, c.position AS personal, p.position AS popular,
         persona_reward(k.weights, c.rewards) - persona_reward(k.weights, p.rewards) AS expected,
         1 - preference_probability(k.posterior, c.rewards, p.rewards, 'utility') AS risk,
         persona_reward(u.weights, c.rewards) - persona_reward(u.weights, p.rewards) AS gain
  FROM temp.personal_known k CROSS JOIN temp.personal_popular p
  JOIN temp.personal_response c ON c.prompt_id = p.prompt_id AND c.position = (
    SELECT position FROM (SELECT r.position, persona_reward(k.weights, r.rewards) AS score FROM temp.personal_response r WHERE r.prompt_id = p.prompt_id)
    ORDER BY score DESC, position LIMIT 1)
  JOIN temp.personal_user u ON u.user_id = k.user_id JOIN temp.personal_entropy e ON e.prompt_id = p.prompt_id
  WHERE c.position <> p.position;

DROP TABLE IF EXISTS temp.personal_rule;
CREATE TEMP TABLE personal_rule(rule_id INTEGER PRIMARY KEY, policy TEXT, threshold REAL);
INSERT INTO temp.personal_rule(policy, threshold) VALUES ('never', NULL),
  ('risk', 0.01), ('risk', 0.05), ('risk', 0.1), ('risk', 0.2), ('risk', 0.3), ('risk', 0.4), ('risk', 0.5),
  ('gain', 1), ('gain', 0.5), ('gain', 0.25), ('gain', 0.1), ('gain', 0.05),
  ('divided', 0.1), ('divided', 0.25), ('divided', 0.5), ('divided', 0.75), ('always', NULL), ('hindsight', NULL), ('favourite', NULL);

DROP TABLE IF EXISTS temp.personal_policy;
CREATE TEMP TABLE personal_policy AS
  WITH decided AS (
    SELECT r.rule_id, c.* FROM temp.personal_rule r JOIN temp.personal_choice c
    ON CASE r.policy WHEN 'risk' THEN c.risk < r.threshold WHEN 'gain' THEN c.expected >= r.threshold WHEN 'divided' THEN c.place < r.threshold
                     WHEN 'always' THEN 1 WHEN 'hindsight' THEN c.gain > 0 ELSE 0 END
    UNION ALL
    SELECT r.rule_id, n.value, s.user_id, s.prompt_id, NULL, NULL, NULL, NULL, NULL, NULL, s.scope
    FROM temp.personal_rule r CROSS JOIN json_each((SELECT value FROM temp.personal_setting WHERE name = 'shots')) n CROSS JOIN temp.personal_scope s
    WHERE r.policy = 'favourite' AND s.scope > 0
  ), losers AS (
    SELECT rule_id, interactions, sum(gain < 0) AS users FROM (SELECT rule_id, interactions, user_id, sum(gain) AS gain FROM decided GROUP BY 1, 2, 3) GROUP BY 1, 2
  ), prompts_lost AS (
    SELECT rule_id, interactions, sum(gain < 0) AS prompts FROM (SELECT rule_id, interactions, prompt_id, sum(gain) AS gain FROM decided GROUP BY 1, 2, 3) GROUP BY 1, 2
  ), whole AS (
    SELECT count(*) AS n, count(DISTINCT user_id) AS users, count(DISTINCT prompt_id) AS prompts, sum(scope) AS scope FROM temp.personal_scope
  ), total AS (
    SELECT rule_id, interactions, count(*) AS shown, sum(gain) AS gain, sum(gain < 0) AS worse, sum(min(gain, 0)) AS lost FROM decided GROUP BY 1, 2
  )
  SELECT n.value AS interactions, r.policy, r.threshold, coalesce(1.0 * t.shown / w.n, 0) AS personalised, coalesce(t.gain / w.scope, 0) AS gained,
         coalesce(1.0 * t.worse / w.n, 0) AS worse, coalesce(-t.lost / w.scope, 0) AS lost, coalesce(1.0 * l.users / w.users, 0) AS users_worse,
         coalesce(1.0 * p.prompts / w.prompts, 0) AS prompts_worse
  FROM json_each((SELECT value FROM temp.personal_setting WHERE name = 'shots')) n CROSS JOIN whole w CROSS JOIN temp.personal_rule r
  LEFT JOIN total t ON t.rule_id = r.rule_id AND t.interactions = n.value
  LEFT JOIN losers l ON l.rule_id = r.rule_id AND l.interactions = n.value
  LEFT JOIN prompts_lost p ON p.rule_id = r.rule_id AND p.interactions = n.value
  ORDER BY n.key, r.rule_id;

SELECT interactions, policy, threshold, round(personalised, 3) AS personalised, round(gained, 3) AS gained, round(worse, 3) AS worse, round(lost, 3) AS lost,
       round(users_worse, 3) AS users_worse, round(prompts_worse, 3) AS prompts_worse
FROM temp.personal_policy;

-- Do prompts that divide other users gain more?  Quarters of the prompts, the most divided first; the personal response throughout.
WITH quarter AS (
  SELECT min(cast(e.place * 4 AS INTEGER), 3) AS quarter, s.user_id, s.prompt_id, e.entropy, s.scope
  FROM temp.personal_scope s JOIN temp.personal_entropy e USING (prompt_id)
)
SELECT n.value AS interactions, q.quarter + 1 AS quarter, round(avg(q.entropy), 3) AS entropy, round(avg(q.scope), 3) AS to_gain,
       round(coalesce(sum(c.gain), 0) / count(*), 3) AS gain, round(avg(c.user_id IS NOT NULL), 3) AS differs,
       round(avg(coalesce(c.gain < 0, 0)), 3) AS worse, round(avg(c.risk), 3) AS said_worse, round(avg(c.gain < 0), 3) AS worse_where_differs
FROM json_each((SELECT value FROM temp.personal_setting WHERE name = 'shots')) n CROSS JOIN quarter q
LEFT JOIN temp.personal_choice c ON c.interactions = n.value AND c.user_id = q.user_id AND c.prompt_id = q.prompt_id
GROUP BY n.key, q.quarter;
