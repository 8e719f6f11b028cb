-- How often do users agree on the best response?
--
-- Figure 3 (left) of the paper: each user votes for the response with the highest utility; the top-vote share of a prompt
-- is the share of its most popular response.  Shown: the percentile rank (scipy's percentileofscore, "rank") of 50, 75 and
-- 95 % in the distribution of top-vote shares, beside the paper's figure for its own test split at alpha 0.05.
--
-- Needs: prompts, responses, users.  Split: test.

WITH share AS (
  SELECT prompt_id, 1.0 * max(best_votes) / sum(best_votes) AS share
  FROM persona_votes('users', 'test')
  GROUP BY prompt_id
), threshold(q, paper) AS (VALUES (0.50, 42.6), (0.75, 89.6), (0.95, 99.8))
SELECT printf('at most %d %%', 100 * q) AS top_vote_share,
       round(50.0 * (sum(share < q) + sum(share <= q) + (sum(share <= q) > sum(share < q))) / count(*), 1)
         AS percent_of_prompts,
       paper AS paper_alpha_05
FROM threshold, share
GROUP BY q;
