-- Which differences between methods would other users and other prompts show too?
--
-- From the runs of fewshot.sql so far, all seeds of a label together: the captured share of unseen users by each method, and its
-- difference to one method of reference on the same users, prompts and answers.  Both with the 95 % interval of a Bayesian
-- bootstrap over users and prompts at once: each replicate weighs every user (of every seed) and every one of twenty groups of
-- test prompts at random, by independent exponential numbers, and a user on a group by the product of the two.
--   ahead: in how many of the replicates the method is above the reference.
--
-- Needs: temp.fewshot_run, which fewshot.sql makes; at most 99,000 users of one label and answer.  Keeps temp.fewshot_interval.
-- To change a setting, insert it before: CREATE TEMP TABLE bootstrap_setting(name PRIMARY KEY, value).

CREATE TEMP TABLE IF NOT EXISTS bootstrap_setting(name TEXT PRIMARY KEY, value);
INSERT OR IGNORE INTO temp.bootstrap_setting VALUES ('reference', 'posterior (default)'), ('replicates', 400);

-- Twenty weights under alpha = 1 are those of a Bayesian bootstrap; the first of two is uniform between 0 and 1, minus its logarithm
-- exponential.
DROP TABLE IF EXISTS temp.bootstrap_prompts;
CREATE VIRTUAL TABLE temp.bootstrap_prompts USING persona_users(count=100000, alpha=1, seed=33, generator=philox,
  models=[g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, g11, g12, g13, g14, g15, g16, g17, g18, g19, g20]);
DROP TABLE IF EXISTS temp.bootstrap_chance;
CREATE VIRTUAL TABLE temp.bootstrap_chance USING persona_users(count=10000000000, alpha=1, seed=34, generator=philox, models=[one, other]);

DROP TABLE IF EXISTS temp.bootstrap_person;
CREATE TEMP TABLE bootstrap_person AS
  SELECT label, feedback, seed, person, row_number() OVER (PARTITION BY label, feedback ORDER BY seed, person) - 1 AS place
  FROM (SELECT DISTINCT label, feedback, seed, person FROM temp.fewshot_run);
DROP TABLE IF EXISTS temp.bootstrap_weight;
CREATE TEMP TABLE bootstrap_weight(place INTEGER, replicate INTEGER, weight REAL, PRIMARY KEY(place, replicate)) WITHOUT ROWID;
INSERT INTO temp.bootstrap_weight
  SELECT c.user_id % 100000, c.user_id / 100000, -ln(c.one)
  FROM temp.bootstrap_prompts r CROSS JOIN temp.bootstrap_chance c
  WHERE r.user_id < (SELECT value FROM temp.bootstrap_setting WHERE name = 'replicates')
    AND c.user_id >= r.user_id * 100000 AND c.user_id <= r.user_id * 100000 + (SELECT max(place) FROM temp.bootstrap_person);
DROP TABLE IF EXISTS temp.bootstrap_group;
CREATE TEMP TABLE bootstrap_group AS
  SELECT user_id AS replicate, weights FROM temp.bootstrap_prompts WHERE user_id < (SELECT value FROM temp.bootstrap_setting WHERE name = 'replicates');

DROP TABLE IF EXISTS temp.bootstrap_share;
CREATE TEMP TABLE bootstrap_share AS
  SELECT r.label, r.feedback, r.method, w.replicate, sum(w.weight * persona_reward(g.weights, r.gained)) / sum(w.weight * persona_reward(g.weights, r.scope)) AS share
  FROM temp.fewshot_run r JOIN temp.bootstrap_person p USING (label, feedback, seed, person)
  JOIN temp.bootstrap_weight w ON w.place = p.place JOIN temp.bootstrap_group g ON g.replicate = w.replicate
  GROUP BY r.label, r.feedback, r.method, w.replicate;

DROP TABLE IF EXISTS temp.fewshot_interval;
CREATE TEMP TABLE fewshot_interval AS
  WITH plain AS (
    SELECT label, feedback, method, count(DISTINCT seed) AS seeds, count(*) AS users,
           sum(persona_reward('[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]', gained))
           / sum(persona_reward('[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]', scope)) AS share
    FROM temp.fewshot_run GROUP BY label, feedback, method
  ), both AS (
    SELECT s.*, s.share - o.share AS difference FROM temp.bootstrap_share s JOIN temp.bootstrap_share o USING (label, feedback, replicate)
    WHERE o.method = (SELECT value FROM temp.bootstrap_setting WHERE name = 'reference')
  ), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY label, feedback, method ORDER BY share) AS a,
           row_number() OVER (PARTITION BY label, feedback, method ORDER BY difference) AS b,
           count(*) OVER (PARTITION BY label, feedback, method) AS n
    FROM both
  )
  SELECT p.label, p.feedback, p.method, p.seeds, p.users, p.share AS captured_share,
         max(r.share) FILTER (WHERE r.a <= max(1, r.n * 25 / 1000)) AS low, min(r.share) FILTER (WHERE r.a > r.n - max(1, r.n * 25 / 1000)) AS high,
         p.share - o.share AS difference,
         max(r.difference) FILTER (WHERE r.b <= max(1, r.n * 25 / 1000)) AS difference_low,
         min(r.difference) FILTER (WHERE r.b > r.n - max(1, r.n * 25 / 1000)) AS difference_high, avg(r.difference > 0) AS ahead
  FROM plain p JOIN plain o USING (label, feedback) JOIN ranked r USING (label, feedback, method)
  WHERE o.method = (SELECT value FROM temp.bootstrap_setting WHERE name = 'reference')
  GROUP BY p.label, p.feedback, p.method ORDER BY p.label, p.feedback, captured_share DESC;

SELECT label, feedback, method, seeds, users, round(captured_share, 3) AS captured, round(low, 3) AS low, round(high, 3) AS high,
       round(difference, 4) AS difference, round(difference_low, 4) AS at_least, round(difference_high, 4) AS at_most, round(ahead, 2) AS ahead
FROM temp.fewshot_interval;
