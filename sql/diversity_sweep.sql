-- How does diversity depend on alpha?
--
-- Figure 3 of the paper, all three parts, for a sweep of the population's one parameter: 1,000 users, seed 0, w ~ Dirichlet(alpha *
-- 1).  Every user votes for the best response to every prompt.  Small alpha: users who follow one reward model each; large
-- alpha: users who all want the average of them.
--
--   top shares  percentile rank of 50, 75 and 95 % in the distribution of top-vote shares (sql/top_share.sql)
--   winners     share of prompts with 1 to 8 responses that are somebody's favourite (sql/winners.sql)
--   bins        the published bins: their code merges the wrong counts and drops the prompts with one winner, so that "2 or
--               less" are the prompts with 2 or 3 winners, and so on.  as_coded repeats that, as_labelled does what the labels say.
--   win rates   per cent of all votes by model (sql/win_rates.sql)
--
-- Needs: prompts, responses; published (sql/published.sql).  Split: test.  Keeps: temp.sweep_votes.

DROP TABLE IF EXISTS temp.sweep_001;
DROP TABLE IF EXISTS temp.sweep_005;
DROP TABLE IF EXISTS temp.sweep_01;
DROP TABLE IF EXISTS temp.sweep_05;
DROP TABLE IF EXISTS temp.sweep_1;
DROP TABLE IF EXISTS temp.sweep_10;
CREATE VIRTUAL TABLE temp.sweep_001 USING persona_users(count=1000, alpha=0.01, seed=0);
CREATE VIRTUAL TABLE temp.sweep_005 USING persona_users(count=1000, alpha=0.05, seed=0);
CREATE VIRTUAL TABLE temp.sweep_01 USING persona_users(count=1000, alpha=0.1, seed=0);
CREATE VIRTUAL TABLE temp.sweep_05 USING persona_users(count=1000, alpha=0.5, seed=0);
CREATE VIRTUAL TABLE temp.sweep_1 USING persona_users(count=1000, alpha=1, seed=0);
CREATE VIRTUAL TABLE temp.sweep_10 USING persona_users(count=1000, alpha=10, seed=0);

DROP TABLE IF EXISTS temp.sweep_votes;
CREATE TEMP TABLE sweep_votes AS
  SELECT 0.01 AS alpha, v.* FROM persona_votes('sweep_001', 'test') v UNION ALL
  SELECT 0.05, v.* FROM persona_votes('sweep_005', 'test') v UNION ALL
  SELECT 0.1, v.* FROM persona_votes('sweep_01', 'test') v UNION ALL
  SELECT 0.5, v.* FROM persona_votes('sweep_05', 'test') v UNION ALL
  SELECT 1.0, v.* FROM persona_votes('sweep_1', 'test') v UNION ALL
  SELECT 10.0, v.* FROM persona_votes('sweep_10', 'test') v;

WITH share AS (
  SELECT alpha, prompt_id, 1.0 * max(best_votes) / sum(best_votes) AS share FROM sweep_votes GROUP BY alpha, prompt_id
), ranked AS (
  SELECT alpha, q, 50.0 * (sum(share < q / 100.0) + sum(share <= q / 100.0) + (sum(share <= q / 100.0) > sum(share < q / 100.0)))
                   / count(*) AS prompts
  FROM share, (SELECT 50 AS q UNION ALL SELECT 75 UNION ALL SELECT 95)
  GROUP BY alpha, q
)
SELECT r.alpha,
       round(max(prompts) FILTER (WHERE q = 50), 2) AS at_most_50,
       max(p.value) FILTER (WHERE q = 50) AS published_50,
       round(max(prompts) FILTER (WHERE q = 75), 2) AS at_most_75,
       max(p.value) FILTER (WHERE q = 75) AS published_75,
       round(max(prompts) FILTER (WHERE q = 95), 2) AS at_most_95,
       max(p.value) FILTER (WHERE q = 95) AS published_95
FROM ranked r
LEFT JOIN published p ON p.query = 'top_share' AND p.series = 'alpha ' || r.alpha AND p.item = r.q || ' %'
GROUP BY r.alpha
ORDER BY r.alpha;

WITH winners AS (
  SELECT alpha, prompt_id, sum(best_votes > 0) AS winners FROM sweep_votes GROUP BY alpha, prompt_id
)
SELECT alpha, round(avg(winners = 1), 3) AS winners_1, round(avg(winners = 2), 3) AS winners_2,
       round(avg(winners = 3), 3) AS winners_3, round(avg(winners = 4), 3) AS winners_4,
       round(avg(winners = 5), 3) AS winners_5, round(avg(winners = 6), 3) AS winners_6,
       round(avg(winners = 7), 3) AS winners_7, round(avg(winners >= 8), 3) AS winners_8,
       round(avg(winners >= 5), 3) AS at_least_5
FROM winners
GROUP BY alpha
ORDER BY alpha;

WITH winners AS (
  SELECT alpha, prompt_id, sum(best_votes > 0) AS winners FROM sweep_votes GROUP BY alpha, prompt_id
), bin(label, coded_from, coded_to, from_, to_) AS (
  VALUES ('labelled 2 or less', 2, 3, 1, 2), ('labelled 3', 4, 4, 3, 3), ('labelled 4', 5, 5, 4, 4), ('labelled 5', 6, 6, 5, 5),
         ('labelled 6 or more', 7, 99, 6, 99)
)
SELECT alpha, label AS bin, round(avg(winners BETWEEN coded_from AND coded_to), 3) AS as_coded, p.value AS published,
       round(avg(winners BETWEEN from_ AND to_), 3) AS as_labelled
FROM winners, bin
LEFT JOIN published p ON p.query = 'winners' AND p.series = 'alpha ' || alpha AND p.item = label
GROUP BY alpha, coded_from
ORDER BY alpha, coded_from;

-- Models are matched with the published ones by name: what stands after a '/' and before a ':', in lower case.
WITH votes AS (
  SELECT alpha, r.model, lower(substr(r.model, instr(r.model, '/') + 1)) AS name, sum(best_votes) AS best
  FROM sweep_votes v JOIN responses r USING (response_id)
  GROUP BY alpha, r.model
), rate AS (
  SELECT alpha, model, substr(name, 1, instr(name || ':', ':') - 1) AS name,
         100.0 * best / sum(best) OVER (PARTITION BY alpha) AS percent
  FROM votes
)
SELECT model,
       round(max(percent) FILTER (WHERE alpha = 0.01), 1) AS alpha_001,
       max(p.value) FILTER (WHERE alpha = 0.01) AS published_001,
       round(max(percent) FILTER (WHERE alpha = 0.05), 1) AS alpha_005,
       max(p.value) FILTER (WHERE alpha = 0.05) AS published_005,
       round(max(percent) FILTER (WHERE alpha = 0.1), 1) AS alpha_01,
       max(p.value) FILTER (WHERE alpha = 0.1) AS published_01,
       round(max(percent) FILTER (WHERE alpha = 0.5), 1) AS alpha_05,
       round(max(percent) FILTER (WHERE alpha = 1), 1) AS alpha_1,
       round(max(percent) FILTER (WHERE alpha = 10), 1) AS alpha_10
FROM rate
LEFT JOIN published p ON p.query = 'win_rates' AND p.series = 'alpha ' || alpha AND p.item = rate.name
GROUP BY model
ORDER BY alpha_005 DESC, model;
