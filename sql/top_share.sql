-- How often do users agree on the best response?
--
-- Figure 3 (left) of the paper: each user votes for the response with the highest utility; the top-vote share of a prompt
-- is the share of its most popular response.  Shown: the percentile rank (scipy's percentileofscore, "rank") of 50, 75 and
-- 95 % in the distribution of top-vote shares, beside the paper's figure for its own test split at alpha 0.05.
--
-- This one SELECT is also what persona_chart('diversity') draws (the build puts it into the extension): keep it one
-- statement and its columns.  Parameters: :population (default users) and :split (default test); in the shell
-- `.parameter set :population my_users`, from elsewhere bind both (NULL is the default).
--
-- Needs: prompts, responses and the population.

WITH share AS (
  SELECT prompt_id, 1.0 * max(best_votes) / sum(best_votes) AS share
  FROM persona_votes(coalesce(:population, 'users'), coalesce(:split, 'test'))
  GROUP BY prompt_id
), threshold(q, published) AS (VALUES (0.50, 42.6), (0.75, 89.6), (0.95, 99.8))
SELECT printf('at most %d %%', 100 * q) AS top_vote_share,
       round(50.0 * (sum(share < q) + sum(share <= q) + (sum(share <= q) > sum(share < q))) / count(*), 1)
         AS percent_of_prompts,
       published
FROM threshold, share
GROUP BY q;
