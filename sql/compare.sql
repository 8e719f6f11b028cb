-- Is one run really better than another?
--
-- Compares two rows of runs item by item: on the users that both measured, with the same prompt, the mean difference
-- of scores (second - first) with its 95 % interval (1.96 standard errors of the paired difference, which is what
-- makes small gains visible: users differ far more than runs do), and how often the second wins, ties, loses.  p is
-- two-sided for "both are equally often better" (sign test: normal approximation with continuity correction, error
-- function by Abramowitz and Stegun 7.1.26, good to 1e-7).
--
-- Needs: runs and run_items (sql/generation_run.sql).  Setting compare: '[first, second]' run_ids; the last two
-- otherwise.

WITH chosen AS (
  SELECT coalesce(json_extract(s.compare, '$[0]'),
                  (SELECT run_id FROM runs ORDER BY 1 DESC LIMIT 1 OFFSET 1)) AS first,
         coalesce(json_extract(s.compare, '$[1]'), (SELECT run_id FROM runs ORDER BY 1 DESC LIMIT 1)) AS second
  FROM generation_setting s
), paired AS (
  SELECT b.score - a.score AS d
  FROM chosen c JOIN run_items a ON a.run_id = c.first
       JOIN run_items b ON b.run_id = c.second AND b.user_id = a.user_id AND b.prompt_id = a.prompt_id
), counted AS (
  SELECT count(*) AS n, avg(d) AS mean, sqrt(max(avg(d * d) - avg(d) * avg(d), 0) / nullif(count(*) - 1, 0)) AS se,
         sum(d > 0) AS wins, sum(d = 0) AS ties, sum(d < 0) AS losses
  FROM paired
), signed AS (
  SELECT *, max(abs(wins - losses) - 1, 0) / sqrt(2.0 * nullif(wins + losses, 0)) AS x FROM counted
), tested AS (
  SELECT *, coalesce(((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
                     * exp(-x * x), 1) AS p
  FROM (SELECT *, 1 / (1 + 0.3275911 * x) AS t FROM signed)
)
SELECT c.first, a.run AS first_run, c.second, b.run AS second_run, t.n,
       (SELECT count(*) FROM run_items WHERE run_id IN (c.first, c.second)) - 2 * t.n AS unpaired,
       a.data = b.data AS same_data,
       mean AS difference, mean - 1.959964 * se AS low, mean + 1.959964 * se AS high, wins, ties, losses, p
FROM chosen c JOIN runs a ON a.run_id = c.first JOIN runs b ON b.run_id = c.second, tested t;
