-- A walk through one population in the sqlite3 shell, with text bars: from the repository,
--
--   sqlite3 :memory: '.read examples/walkthrough.sql'
--
-- persona_bar(value, max [, width]) draws value/max in blocks of an eighth, so that a column of numbers can be seen.
.bail on
.load build/personalllm
.output /dev/null
SELECT persona_import('examples/demo/train.jsonl', 'train', '{"means": "fitted"}');
SELECT persona_import('examples/demo/test.jsonl', 'test');
CREATE VIRTUAL TABLE users USING persona_users(count=1000, alpha=0.05, seed=0);
CREATE VIRTUAL TABLE mixed USING persona_users(count=1000, alpha=1, seed=0);
.output
.mode column
.headers on

.print "1. What user 1 wants: the weights of the reward models"
.print
SELECT m.name AS reward_model, printf('%.3f', w.value) AS weight, persona_bar(w.value, 1, 40) AS bar
FROM users u, json_each(persona_json(u.weights)) w JOIN reward_models m ON m.position = w.key + 1
WHERE u.user_id = 1;

.print
.print "2. Single-minded users (alpha 0.05) and mixed ones (alpha 1): the weight of everyone's favourite reward model"
.print
WITH top AS (
  SELECT 'single-minded' AS population, user_id, max(w.value) AS weight
  FROM users u, json_each(persona_json(u.weights)) w GROUP BY user_id
  UNION ALL
  SELECT 'mixed', user_id, max(w.value) FROM mixed u, json_each(persona_json(u.weights)) w GROUP BY user_id
)
SELECT population, printf('%.1f to %.1f', bin / 10.0, (bin + 1) / 10.0) AS weight, count(*) AS users,
       persona_bar(count(*), 1000, 40) AS bar
FROM (SELECT population, min(CAST(weight * 10 AS INTEGER), 9) AS bin FROM top)
GROUP BY population, bin
ORDER BY population DESC, bin;

.print
.print "3. One prompt, a thousand votes: the best response, and the worst"
.print
SELECT text AS prompt FROM prompts WHERE prompt_id = 108;
.print
SELECT r.model, v.best_votes AS best, persona_bar(v.best_votes, 400, 20) AS best_bar,
       v.worst_votes AS worst, persona_bar(v.worst_votes, 400, 20) AS worst_bar
FROM persona_votes('users', 'test') v JOIN responses r USING (response_id)
WHERE v.prompt_id = 108
ORDER BY best DESC;

.print
.print "4. Fifty users, interaction by interaction: how far the learned weights are from the true ones (at most 2)"
.print
CREATE TEMP TABLE history AS SELECT * FROM persona_interactions('users', 'train', 10, 'best_worst', 1) WHERE user_id < 50;
CREATE TEMP TABLE shown AS SELECT * FROM persona_choices('history');
WITH learned AS (
  SELECT DISTINCT user_id, choice_set AS interactions,
         adapt_user_choices(choice_set, features, feedback) OVER (PARTITION BY user_id ORDER BY choice_set) AS weights
  FROM shown
), distance AS (
  SELECT l.interactions, sum(abs(t.value - w.value)) AS distance
  FROM learned l JOIN users u USING (user_id), json_each(persona_json(u.weights)) t, json_each(persona_json(l.weights)) w
  WHERE t.key = w.key
  GROUP BY l.user_id, l.interactions
)
SELECT interactions, printf('%.3f', avg(distance)) AS mean_distance, persona_bar(avg(distance), 2, 40) AS bar
FROM distance
GROUP BY interactions;

.print
.print "5. The same users after ten interactions: how often the learned weights pick a user's own favourite on new prompts"
.print
CREATE TEMP TABLE some AS SELECT * FROM users WHERE user_id < 50;
CREATE TEMP TABLE learned AS SELECT * FROM persona_adapt('shown');
SELECT printf('%3d to %3d %%', 100 * bin / 8, 100 * (bin + 1) / 8) AS favourites_found, count(*) AS users,
       persona_bar(count(*), 50, 40) AS bar
FROM (SELECT min(CAST(top1 * 8 AS INTEGER), 7) AS bin FROM persona_evaluate('some', 'learned', 'test'))
GROUP BY bin
ORDER BY bin DESC;
